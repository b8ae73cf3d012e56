"""Guide §1.1: the import halted midway."""

from __future__ import annotations

from typing import Any

import pandas as pd

from workbench.checks.registry import NO_RUNS, Look, NotRunError, Rows
from workbench.database.connection import raw
from workbench.errors import WorkbenchError
from workbench.mappings.queries import fetch
from workbench.murmurant.importers import Run
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION
from workbench.plans.standing import removed, standing
from workbench.runs.evidence import ask
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
    gone_by_audit, taken_of = _by_run(look, entity, _GONE), _by_run(look, entity, _TAKEN)
    found = []
    for run in live:
        claimed = run.reported.get(entity, {})
        created = claimed.get("created", 0)
        here = run.traced.get(entity, {}).get("created", 0) + taken_of.get(run.run, 0)
        gone, evidence = gone_by_audit.get(run.run, 0), "audit rows"
        report = max(run.reports, key=lambda each: len(each.records), default=None)
        named = [each for each in report.records if each.entity == entity] if report else []
        if ids := [each.record_id for each in named if each.action == "created" and each.record_id]:
            gone, evidence = _not_there(look, entity, ids), "records in its report"
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


# Per run: the records bearing its id that a plan took away.
_TAKEN = """
SELECT run, count(DISTINCT record_id) FROM taken
WHERE run IS NOT NULL AND NOT EXISTS (SELECT FROM {relation} AS back WHERE back.id::text = record_id) GROUP BY run
"""

# Per run: what has a CREATE audit row and is gone, by no person's DELETE and no plan; the metadata of those few are read.
_GONE = """
WITH gone AS MATERIALIZED (
  SELECT id, resource_id FROM audit WHERE action = 'CREATE' AND resource_type = %(entity)s
  AND NOT EXISTS (SELECT FROM {relation} AS record WHERE record.id = resource_id)
)
SELECT run_id, count(DISTINCT gone.resource_id) FROM audit JOIN gone USING (id)
WHERE run_id IS NOT NULL AND NOT EXISTS (SELECT FROM taken WHERE record_id = gone.resource_id::text)
  AND NOT EXISTS (SELECT FROM audit AS del WHERE del.resource_id = gone.resource_id AND del.action = 'DELETE')
GROUP BY run_id
"""

_NAMED_AND_GONE = """
SELECT count(*) FROM unnest(%(ids)s::text[]) AS named(id)
WHERE NOT EXISTS (SELECT FROM {relation} AS record WHERE record.id::text = named.id)
  AND NOT EXISTS (SELECT FROM taken WHERE record_id = named.id)
  AND NOT EXISTS (SELECT FROM audit WHERE resource_id::text = named.id AND action = 'DELETE')
"""


def _ask(look: Look, entity: str, query: str, **values: Any) -> list[Any]:
    """Ask of an entity's records, with ``taken``: those that plans which stand took away."""
    try:
        taken = removed(look.schema, entity, standing(look.connection))
    except WorkbenchError as error:
        raise NotRunError(str(error)) from None
    question = query.format(relation=CONCEPT_OF[entity])
    return ask(
        look.connection, look.schema, question, {"entity": entity, **values}, {"taken": taken}
    ).fetchall()


def _by_run(look: Look, entity: str, query: str) -> dict[str, int]:
    # One by one a million of them are looked up: the planner takes them for a few.
    raw(look.connection).execute("SET LOCAL enable_nestloop = off")
    rows = _ask(look, entity, query)
    raw(look.connection).execute("SET LOCAL enable_nestloop = on")
    return dict(rows)


def _not_there(look: Look, entity: str, ids: list[str]) -> int:
    """Count those of some records that are gone, and that neither a person nor a plan deleted."""
    query = f"SELECT count(*) FROM {CONCEPT_OF[entity]} WHERE id = ANY (%(ids)s::ids)"
    if fetch(look.connection, look.schema, query, ids=ids)[0][0] == len(set(ids)):
        return 0  # as a rule; only else is it asked which, and what became of them
    return int(_ask(look, entity, _NAMED_AND_GONE, ids=ids)[0][0])
