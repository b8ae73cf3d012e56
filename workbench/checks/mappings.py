"""Guide §1.2: Wild Apricot ids that lead to the wrong record."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select

from workbench.checks.partial import NO_RUNS
from workbench.checks.registry import Look, NotRunError, Rows, check
from workbench.mappings.contradictions import contradicted
from workbench.mappings.misplaced import brought_elsewhere
from workbench.mappings.queries import NEEDS, mapped_twice, shared_targets
from workbench.mappings.traces import imported_twice, without_mapping
from workbench.murmurant.spellings import EVENT, MEMBER

_NO_EVIDENCE = (
    "Nothing here says {what}: no audit rows of creations, no raw Wild Apricot"
    " data, no report that lists records. Give the importer's full report with --import-report."
)


@check(
    "members-wrong-person",
    "People that member mappings lead to",
    guide="§1.2",
    symptom="Member linked to wrong person",
    question="Does every contact's Wild Apricot id lead to the record that was made for that contact?",
    remedy="Find out who each one is, then correct the mapping (§4.2); a swap is corrected as one.",
    needs=(*NEEDS, "members"),
)
def members_wrong_person(look: Look) -> Select[Any]:
    return _contradicted(look, MEMBER)


@check(
    "events-wrong-record",
    "Records that event mappings lead to",
    guide="§1.2",
    symptom="Event registrations on wrong event",
    question="Does every event's Wild Apricot id lead to the record that was made for it?",
    remedy="Correct the mapping (§4.2), and move the registrations that came through it.",
    needs=(*NEEDS, "events"),
)
def events_wrong_record(look: Look) -> Select[Any]:
    return _contradicted(look, EVENT)


@check(
    "registrations-wrong-event",
    "Event and person of each registration",
    guide="§1.2",
    symptom="Event registrations on wrong event",
    question="Is every registration still on the event and the person that its import brought it for?",
    remedy="Correct the event's or the member's mapping first (§4.2), then move the registration back.",
    needs=("registrations.event_id", "registrations.member_id"),
)
def registrations_wrong_event(look: Look) -> Select[Any]:
    asked = brought_elsewhere(look.connection, look.schema, look.runs)
    if asked is None:
        raise NotRunError(_NO_EVIDENCE.format(what="which event a registration was imported for"))
    return asked


@check(
    "mappings-duplicate",
    "Mappings per Wild Apricot id",
    guide="§1.2",
    symptom="Duplicate mappings",
    question="Is each Wild Apricot id of each kind mapped once?",
    remedy="Keep the mapping that leads to the right record and remove the other (§4.2).",
    needs=NEEDS,
)
def mappings_duplicate(look: Look) -> Select[Any]:
    return mapped_twice(look.schema)


@check(
    "mappings-shared-target",
    "Wild Apricot ids per record",
    guide="§1.2",
    symptom="Duplicate mappings",
    severity="warn",
    question="Is each record the target of one Wild Apricot id only?",
    remedy="Usually one contact who was twice in Wild Apricot, found by e-mail: harmless if it is one person, and never"
    " to be rolled back by deleting the member. If they are two people, one of them has no record: correct it (§4.2).",
    needs=NEEDS,
)
def mappings_shared_target(look: Look) -> Select[Any]:
    return shared_targets(look.schema)


@check(
    "mappings-missing",
    "A mapping for each record that an import made",
    guide="§1.2",
    symptom="Manual database edits conflicting with import",
    question="Does a Wild Apricot id lead to every record that an API sync made? (A CSV import leaves no mapping, by design:"
    " what it made is not counted here; `workbench mappings` says how much it is.)",
    remedy="Before the next sync: `workbench plan mapping --rebuild` puts the mappings back. Without them a sync finds members"
    " by their e-mail and registrations by their event and member, but makes every event and all of its registrations anew.",
    needs=NEEDS,
)
def mappings_missing(look: Look) -> Rows:
    if not look.runs:
        raise NotRunError(NO_RUNS)
    bare, others = without_mapping(look.connection, look.schema, look.runs)
    found = [
        {
            "key": f"{each.entity} {each.record}",
            "wa_id": each.wa_id or None,
            "run": each.run or None,
            "evidence": each.words,
        }
        for each in bare
        if each.importer != "csv"
    ]
    untold = [
        run.run
        for run in look.runs
        if run.mode == "live"
        and not run.rolled_back
        and run.importer != "csv"
        and not run.traced
        and any(cells.get("created") for cells in run.reported.values())
    ]
    if not found and others and untold:
        raise NotRunError(
            f"No mapping leads to {others:,} records, and nothing says which of them {', '.join(untold[:3])} made: the"
            " audit rows of it are gone. An earlier snapshot has the mappings: `workbench plan mapping --rebuild --snapshot FILE`."
        )
    return found


@check(
    "records-imported-twice",
    "One record for each Wild Apricot id",
    guide="§1.4",
    symptom="Duplicate events",
    question="Do mapping, audit log and the imports' id maps name one record for each Wild Apricot id?",
    remedy="An event, or a registration, that is there twice: `workbench duplicates --entity event`, then merge them (§4.4), or"
    " roll back the run that made the second (§3). A member: the import took this contact for somebody else, and wrote"
    " over that person's data.",
    needs=NEEDS,
)
def records_imported_twice(look: Look) -> Rows:
    if not look.runs:
        raise NotRunError(NO_RUNS)
    return [
        {
            "key": each.record,
            "entity": each.entity,
            "wa_id": each.wa_id,
            "first": each.first,
            "run": each.run or None,
            "leads_to": each.leads_to or None,
            "evidence": each.words,
        }
        for each in imported_twice(look.connection, look.schema, look.runs)
    ]


def _contradicted(look: Look, entity: str) -> Select[Any]:
    asked = contradicted(look.connection, look.schema, entity, look.runs)
    if asked is None:
        raise NotRunError(
            _NO_EVIDENCE.format(what=f"which {entity.lower()} a Wild Apricot id was imported as")
        )
    return asked
