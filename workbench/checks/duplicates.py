"""Guide §1.4: the same entity imported twice under different ids."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select

from workbench.checks.registry import Look, NotRunError, Rows, check
from workbench.duplicates import shifted_events, statements
from workbench.duplicates.merged import written_since
from workbench.errors import WorkbenchError
from workbench.plans.standing import standing


@check(
    "members-duplicate-email",
    "Uniqueness of members' e-mail addresses",
    guide="§1.4",
    symptom="Member appears twice in list",
    question="Does each e-mail address, whatever its case, dots and plus tag, belong to one member?",
    remedy="Look at each pair: one person is merged into the record with more associations (§4.4); a family that shares"
    " an address is not one person.",
    needs=("members.email",),
)
def members_duplicate_email(look: Look) -> Select[*tuple[Any, ...]]:
    return statements.sharing_mailbox(look.schema)


@check(
    "events-duplicate",
    "Uniqueness of events",
    guide="§1.4",
    symptom="Duplicate events",
    question="Is there one event for each title and start?",
    remedy="Keep the one with more registrations, move the others to it, and point the mapping at it (§4.4).",
    needs=("events.title", "events.start"),
)
def events_duplicate(look: Look) -> Select[*tuple[Any, ...]]:
    return statements.twin_events(look.schema)


@check(
    "events-shifted",
    "Events by one clock",
    guide="§1.4",
    symptom="Same event title/date, different IDs",
    question="Is each event there once, and not once more some hours earlier or later, for the same people, as an import on"
    " a machine in another time zone would write it?",
    remedy="`workbench duplicates --entity event` shows each pair and the hours between. Merge them (§4.4), or roll back the"
    " run that made the second (§3); and run the importer with TZ set to the club's own time zone.",
    needs=("events.title", "events.start"),
)
def events_shifted(look: Look) -> Rows:
    return [
        {
            "key": each.made_later.key,
            "other": each.earlier.key if each.made_later is each.later else each.later.key,
            "title": each.later.title,
            "start": each.made_later.start,
            "why": each.words,
        }
        for each in shifted_events(look.connection, look.schema, look.runs)
        if each.by_the_clock
    ]


@check(
    "registrations-split",
    "Registrations across duplicate records",
    guide="§1.4",
    symptom="Split registrations",
    question="Is each person registered once for each event, counting their duplicates as one?",
    remedy="Merge the duplicate members (§4.4); of two registrations for one event one has to go.",
    needs=("members.email", "registrations.member_id", "registrations.event_id"),
)
def registrations_split(look: Look) -> Select[*tuple[Any, ...]]:
    return statements.split_by_mailbox(look.schema)


@check(
    "registrations-duplicate",
    "Uniqueness of registrations",
    guide="§1.4",
    symptom="Split registrations",
    question="Is each member registered at most once for each event?",
    remedy="Keep the registration that the mapping leads to, or the one with a payment, and remove the other.",
    needs=("registrations.member_id", "registrations.event_id"),
)
def registrations_duplicate(look: Look) -> Select[*tuple[Any, ...]] | Rows:
    asked = statements.registered_twice(look.schema)
    return [] if asked is None else asked


@check(
    "merges-written-over",
    "Merged records after later imports",
    guide="§1.4",
    symptom="Member appears twice in list",
    question="Has no import since a merge written what Wild Apricot has of the duplicate into the record that stayed?",
    remedy="In Wild Apricot, merge the two (or archive or delete the duplicate), or the next sync does it again. Then put the"
    " values right: `workbench run RUN_ID` names the record, and a snapshot from before that run has its values.",
)
def merges_written_over(look: Look) -> Rows:
    try:
        merges = [each for each in standing(look.connection) if each.kind == "merge"]
    except WorkbenchError as error:
        raise NotRunError(str(error)) from None
    found = written_since(look.connection, look.schema, look.runs, merges)
    if found is None:
        raise NotRunError(
            "Records were merged here, and nothing tells what was written into them since: no audit rows of updates, no"
            " moments on mappings, no report that lists records. Give the importer's full report with --import-report."
        )
    return found
