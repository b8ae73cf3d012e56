"""Guide §1.1: the import halted midway."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import ColumnElement, String, Subquery, bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.checks.registry import NO_RUNS, Look, NotRunError, Rows
from workbench.errors import WorkbenchError
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import as_text, is_one_of, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITY_TYPES, EVENT, MEMBER, REGISTRATION
from workbench.plans.standing import removed, standing
from workbench.runs.left_out import (
    left_out_by,
    left_out_frame,
    lost_of,
    not_explained,
    still_left_out,
    warned_of,
)


def members_missing(look: Look) -> Rows:
    return _missing(look, MEMBER)


def records_missing(look: Look) -> Rows:
    return _missing(look, EVENT) + _missing(look, REGISTRATION)


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


def records_left_out(look: Look) -> pd.DataFrame:
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
    return left_out_frame(left_out).drop(columns="since")


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
    there = select(func.count()).select_from(source).where(is_one_of(source.c.id, record_ids))
    if look.connection.execute(there).scalar_one() == len(set(record_ids)):
        return 0  # as a rule; only else is it asked which, and what became of them
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
