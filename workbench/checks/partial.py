"""Guide §1.1: the import halted midway."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, String, Subquery, bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.checks.finding import culprits
from workbench.checks.registry import Answer, Look, NotRunError, Rows, check
from workbench.errors import WorkbenchError
from workbench.investigate.left_out import (
    left_out_by,
    left_out_frame,
    lost_of,
    not_explained,
    still_left_out,
    warned_of,
)
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import as_text, named, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITY_TYPES, EVENT, MEMBER, REGISTRATION
from workbench.plans.standing import removed, standing


@check(
    "members-missing",
    "Imported members that should be here",
    guide="§1.1",
    symptom="Some members imported, others missing",
    question="Is every member that a run says it created still here, and did it deal with every contact it fetched?",
    remedy="`workbench run RUN_ID` lists what is gone. Run the importer again (§4.1 option A), or roll the run back first.",
    needs=("members",),
)
def members_missing(look: Look) -> Rows:
    return _missing(look, MEMBER)


@check(
    "records-missing",
    "Imported events and registrations that should be here",
    guide="§2.4",
    symptom="Count verification",
    question="Is every event and registration that a run says it created still here?",
    remedy="`workbench run RUN_ID` lists what is gone. Run the importer again (§4.1 option A), or roll the run back first.",
    needs=("events", "registrations"),
)
def records_missing(look: Look) -> Rows:
    return _missing(look, EVENT) + _missing(look, REGISTRATION)


@check(
    "events-without-registrations",
    "Registrations of past events",
    guide="§1.1",
    symptom="Events imported but registrations failed",
    severity="warn",
    question="Did every published event that was over when the last run ended have somebody registered?",
    remedy="Look at one in the source. If it has attendees there, the registrations failed: run the importer again (§4.1).",
    needs=("events.start", "registrations.event_id"),
)
def events_without_registrations(look: Look) -> Select[Any]:
    events, registrations = look.schema.events, look.schema.registrations
    query = select(as_text(events.c.id).label("key"), *named(events, "title", "start")).where(
        events.c.start < (look.as_of or func.now()),
        ~exists().where(same_id(registrations.c.event_id, events.c.id)),
    )
    for flag in ("published", "requires_registration"):
        if look.schema.has(f"events.{flag}"):
            query = query.where(events.c[flag])
    return query.order_by(events.c.start, events.c.id)


@check(
    "runs-interrupted",
    "Completion of import runs",
    guide="§1.1",
    symptom="Transaction rolled back mid-batch",
    question="Did every run reach its end and fetch what it should, by the evidence and not by its own word?",
    remedy="Where it fetched too little or its report warns, put that right first (credentials, filters). Then run the"
    " importer again, it skips what is done (§4.1 option A), or roll the run back and start afresh (option B).",
)
def runs_interrupted(look: Look) -> Rows:
    if not look.runs:
        raise NotRunError(NO_RUNS)
    return [
        {"key": each.run, "importer": each.importer, "status": each.status, "why": each.why}
        for each in look.runs
        if not each.rolled_back
        and (
            (each.status in {"interrupted", "failed"} and not each.superseded_by)
            or (each.status == "incomplete" and not _made_up(look, each))
        )
    ]


@check(
    "records-left-out",
    "Completeness of imports",
    guide="§1.1",
    symptom="Some members imported, others missing",
    question="Did every run take all that it fetched, or did a later one bring in what it left out?",
    remedy="Put each right where it comes from (a missing name, an e-mail address that two contacts share; a contact that"
    " the API account may not see), then run the importer again: as it is, it leaves the same ones out."
    " `workbench run RUN_ID` lists them.",
)
def records_left_out(look: Look) -> Answer:
    live = [run for run in look.runs if run.mode == "live" and not run.rolled_back]
    if not live:
        raise NotRunError(NO_RUNS)
    left_out = still_left_out(look.connection, look.schema, look.runs)
    unknown = []
    for run in {each.importer: each for each in live if each.sync != "incremental"}.values():
        unasked = [
            *([f"{run.run} has no report here"] if not run.reported else []),
            *(
                f"{run.run} skipped {count:,} {CONCEPT_OF[entity]}"
                for entity, cells in run.reported.items()
                if (count := cells.get("skipped"))
            ),
        ]
        stale = not_explained(look.connection, look.schema, run)
        left_out += [each for each in stale if run.short.get(each.entity)]
        if rest := [each.name for each in stale if not run.short.get(each.entity)]:
            unasked.append(f"it did not refresh {', '.join(rest[:3])}{', ...' if len(rest) > 3 else ''}")
        unknown += unasked
    if unknown and not left_out:
        raise NotRunError(
            f"Whom an import left out is not known: {', '.join(unknown)}. Give its report with --import-report."
        )
    table = left_out_frame(left_out).drop(columns="since")
    return Answer(culprits(table), table.head(look.sample))


@check(
    "runs-as-reported",
    "Run reports against their traces",
    guide="§2.4",
    symptom="Count verification",
    severity="warn",
    question="Does every update that a run reports have its trace, and did no run create more than it says?",
    remedy="Where traces are fewer, the audit log lost some: what those updates changed cannot be told. Where there are"
    " more, the report is not of this run as it ended: `workbench run RUN_ID`.",
)
def runs_as_reported(look: Look) -> Rows:
    live = [run for run in look.runs if run.mode == "live" and run.reported and not run.rolled_back]
    if not live:
        raise NotRunError(NO_RUNS)
    found = []
    for run in live:
        for entity, said in run.reported.items():
            seen = run.traced.get(entity, {})
            # Only the API sync logs its updates; what is missing of the created is another check's finding.
            lost = run.importer == "api" and said.get("updated", 0) > seen.get("updated", 0)
            more = seen.get("created", 0) > said.get("created", 0)
            for action in ["updated"] * lost + ["created"] * more:
                numbers = {"reported": said.get(action, 0), "traced": seen.get(action, 0)}
                found.append({"key": run.run, "entity": entity, "action": action, **numbers})
    return found


NO_RUNS = (
    "No import run left a trace: no run id in the database, no audit row, no report file."
    " Give the importer's report files with --import-report."
)


def _made_up(look: Look, run: Run) -> bool:
    """Whether a later run of the same importer fetched everything, and reached its end."""
    later = look.runs[list(look.runs).index(run) + 1 :]
    return any(
        each.importer == run.importer
        and each.mode == "live"
        and not each.rolled_back
        and each.status == "completed"
        and each.sync != "incremental"
        for each in later
    )


def _too_little(run: Run, entity: str) -> tuple[int | None, str]:
    """Return how many records a run should have brought besides, where that is known, and by what."""
    if lost := lost_of(run, entity):
        return lost, "records fetched and left out"
    said = " ".join(filter(None, (run.short.get(entity), warned_of(run, entity))))
    named = sum(each.entity == entity and each.wa_id is not None for each in left_out_by(run))
    if entity == MEMBER and named and not said and (count := lost_of(run, REGISTRATION)):
        said = f"{count:,} of {run.fetched[REGISTRATION]:,} registrations were left out"
    if not said or not named:
        return None, said
    return named, f"{said.rstrip('.')}; of those that are missing {named:,} are known by their WA id"


def _missing(look: Look, entity: str) -> Rows:
    """Compare, run by run, what was created with what is there, or was taken away by a plan that stands."""
    live = [each for each in look.runs if each.mode == "live" and not each.rolled_back]
    if not live:
        raise NotRunError(NO_RUNS)
    try:
        taken = removed(look.schema, entity, standing(look.connection))
    except WorkbenchError as error:
        raise NotRunError(str(error)) from None
    taken_of = _taken_of(look, entity, taken)
    gone_by_audit = _created_and_gone(look, entity, taken)
    found = []
    for run in live:
        claimed = run.reported.get(entity, {})
        created = claimed.get("created", 0)
        here = run.traced.get(entity, {}).get("created", 0) + taken_of.get(run.run, 0)
        gone, evidence = gone_by_audit.get(run.run, 0), "audit rows"
        if ids := _named_in_report(run, entity):
            gone, evidence = _not_there(look, entity, ids, taken), "records in its report"
        elif created > here:
            # Counted by the importer, and now without a trace: all of a run may be gone.
            gone, evidence = gone + created - here, "its own count"
        unhandled = run.fetched.get(entity, 0) - sum(claimed.values()) - run.errors.get(entity, 0)
        if claimed and unhandled > 0:
            gone, evidence = gone + unhandled, f"{evidence}, records fetched but not dealt with"
        short, why = _too_little(run, entity)
        if why and run.status != "completed" and not _made_up(look, run):
            gone, evidence = gone + (short or 0), f"{evidence}, {why}" if gone else why
        if gone or (why and evidence == why):
            found.append(
                {
                    "key": run.run,
                    "entity": entity,
                    "missing": gone or None,
                    "created": max(created, here),
                    "fetched": run.fetched.get(entity),
                    "evidence": evidence,
                }
            )
    return found


def _taken_of(look: Look, entity: str, taken: Subquery | None) -> dict[str, int]:
    """Count, per run, the records bearing its id that a plan took away."""
    if taken is None:
        return {}
    back = exists().where(as_text(look.schema.entity(entity).c.id) == taken.c.record_id)
    query = select(taken.c.run, func.count(taken.c.record_id.distinct())).group_by(taken.c.run)
    rows = look.connection.execute(query.where(taken.c.run.is_not(None), ~back))
    return {row[0]: row[1] for row in rows}


def _created_and_gone(look: Look, entity: str, taken: Subquery | None) -> dict[str, int]:
    """Count, per run, records with a CREATE audit row that are gone without a person's DELETE, and by no plan."""
    schema = look.schema
    if not schema.has("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action"):
        return {}
    audit, source = schema.audit, schema.entity(entity)
    deleted = audit.alias("deleted")
    # First what is gone, by keys alone; the metadata are read for those few.
    gone = (
        select(audit.c.id, audit.c.resource_id)
        .where(
            audit.c.action == "CREATE",
            audit.c.resource_type.in_(ENTITY_TYPES[entity]),
            ~exists().where(same_id(source.c.id, audit.c.resource_id)),
        )
        .cte("gone")
        .prefix_with("MATERIALIZED")
    )
    meant: ColumnElement[bool] = exists().where(
        deleted.c.resource_id == gone.c.resource_id, deleted.c.action == "DELETE"
    )
    if taken is not None:
        meant |= exists().where(taken.c.record_id == as_text(gone.c.resource_id))
    rows = look.connection.execute(
        select(schema.audit_run.label("run"), func.count(gone.c.resource_id.distinct()))
        .select_from(audit.join(gone, gone.c.id == audit.c.id))
        .where(schema.audit_run.is_not(None), ~meant)
        .group_by("run")
    )
    return {row[0]: row[1] for row in rows}


def _named_in_report(run: Run, entity: str) -> list[str]:
    report = max(run.reports, key=lambda each: len(each.records), default=None)
    records = report.records if report else ()
    return [
        each.record_id
        for each in records
        if each.entity == entity and each.action == "created" and each.record_id
    ]


def _not_there(look: Look, entity: str, record_ids: list[str], taken: Subquery | None) -> int:
    schema = look.schema
    source = schema.entity(entity)
    ids = func.unnest(bindparam("ids", record_ids, type_=ARRAY(String()))).table_valued("id", name="listed")
    listed = ids.render_derived()
    query = (
        select(func.count()).select_from(listed).where(~exists().where(as_text(source.c.id) == listed.c.id))
    )
    if taken is not None:
        query = query.where(~exists().where(taken.c.record_id == listed.c.id))
    if schema.has("audit.resource_id", "audit.action"):
        deleted = schema.audit.alias("deleted")
        query = query.where(
            ~exists().where(as_text(deleted.c.resource_id) == listed.c.id, deleted.c.action == "DELETE")
        )
    return int(look.connection.execute(query).scalar_one())
