"""Which import runs there were, how each ended, and which dry run came before it (guide §1.1, §1.6, §5.1).

All of it rests on evidence: an interrupted sync reports ``success`` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection

from workbench.audit.entries import has_action
from workbench.database.address import redact
from workbench.errors import unknown
from workbench.murmurant.importers import (
    ACTIONS,
    MIGRATION_PREFIX,
    RESTORED,
    ROLLED_BACK,
    SYNC_STATE_RESET,
    SYNC_STATE_WAS,
    SYNCS,
    Counts,
    Run,
    Trace,
    importer_of,
    read_moment,
    start_in_run_id,
)
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, SYNC_MOMENTS
from workbench.plans.journal import not_undone
from workbench.runs.evidence import ask
from workbench.runs.omissions import assess_completeness
from workbench.runs.status import SyncState, judge, supersede

Entry = tuple[str, Any, datetime]
"""An audit entry's action, metadata and time."""

_STARTUP = timedelta(minutes=1)
"""A sync may log its start this long after it made its run id."""

# LATERAL: otherwise the run id is extracted twice from each of a million rows, and a group is expected for each.
_NAMED = """
    SELECT logged.run, 'audit row', resource_type, CASE spelled WHEN 'CREATE' THEN 'created' ELSE 'updated' END, count(*),
           min(created_at), max(created_at), min(metadata ->> 'environment') FROM audit, LATERAL (SELECT run_id AS run OFFSET 0) AS logged
    WHERE logged.run IS NOT NULL AND spelled IN ('CREATE', 'UPDATE') AND NOT starts_with(coalesce(metadata ->> 'source', ''), 'workbench')
    GROUP BY logged.run, spelled, resource_type
    UNION ALL
    SELECT run_id, 'run id on mapping', entity_type, 'mapped', count(*), min(synced_at), max(synced_at), NULL
    FROM mappings WHERE run_id IS NOT NULL GROUP BY run_id, entity_type
""" + "".join(
    f"""
    UNION ALL
    SELECT run_id, 'run id on record', '{entity}', 'created', count(*), min(created_at), max(created_at), NULL
    FROM {CONCEPT_OF[entity]} WHERE run_id IS NOT NULL GROUP BY run_id"""
    for entity in ENTITIES
)
# A sync writes these into each row that it logs: its first rows are enough. Not so for the environment: no row may hide it.
_CIRCUMSTANCES = """
    SELECT run_id, min(metadata ->> 'operator'), min(metadata ->> 'mode')
    FROM audit
    WHERE created_at = ANY (%(firsts)s::timestamp[]) AND run_id IS NOT NULL AND spelled IN ('CREATE', 'UPDATE') GROUP BY 1
"""


def find_runs(connection: Connection, schema: Schema, reports: Sequence[ImportReport] = ()) -> list[Run]:
    """Find every run that left a trace in the database or in a report file, by start; unknown starts last.

    Raises
    ------
    SchemaGap
        When a table in which runs leave traces cannot be read completely.
    """
    schema.refuse_unreadable("audit", "mappings", "sync_state", "members", "events", "registrations")
    runs = _Runs()
    _add_rows(connection, schema, runs)
    entries = _add_migration_entries(connection, schema, runs)
    for report in reports:
        _add_report(report, runs[report.run_id or _run_of_output(report, runs)])
    ordered = sorted(runs.values(), key=lambda run: (run.started is None, run.started or 0, run.run))
    state = _sync_state(connection, schema, entries)
    for position, run in enumerate(ordered):
        judge(run, ordered[position + 1 :], state)
        run.why = redact(run.why)  # it may quote an importer's error
    assess_completeness(connection, schema, ordered)
    supersede(ordered, state)
    return ordered


class _Runs(dict[str, Run]):
    def __missing__(self, run_id: str) -> Run:
        run = self[run_id] = Run(run_id, importer_of(run_id), started=start_in_run_id(run_id))
        return run


def pick_run(runs: Sequence[Run], run_id: str) -> tuple[Run, list[Run]]:
    """Return one run, by its id or an unambiguous beginning of it, and all the others; `UsageError` for no or several."""
    close = [run for run in runs if run.run == run_id]
    close = close or [run for run in runs if run_id and run.run.startswith(run_id)]
    if len(close) != 1:
        raise unknown("run", run_id, [run.run for run in close or runs])
    return close[0], [run for run in runs if run is not close[0]]


def runs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """Lay the runs out as a table.

    Returns
    -------
    pandas.DataFrame
        One row per run: ``run``, ``importer``, ``mode``, ``sync`` (``full``, ``incremental``), ``operator``, ``started``,
        ``finished`` (UTC), ``duration`` (seconds), ``status``, ``why``, ``rolled_back`` (by which plan and when, or
        empty), a column of counts per entity (``120 created, 20 updated``), ``evidence``.
    """
    names = ["run", "importer", "mode", "sync", "operator", "started", "finished", "duration"]
    names += ["status", "why", "became"]
    rows = [
        {name: getattr(run, name) for name in names}
        | {CONCEPT_OF[entity]: in_words(run.counts.get(entity, {})) for entity in ENTITIES}
        | {"operator": run.operator or "", "evidence": run.evidence}
        for run in runs
    ]
    columns = [*names, *(CONCEPT_OF[entity] for entity in ENTITIES), "evidence"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"became": "rolled_back"})


def in_words(cells: dict[str, int]) -> str:
    """Write counts per action as text, without the zeros."""
    words = {"unlinked": "without a member or event"}
    return (
        ", ".join(f"{count:,} {words.get(action, action)}" for action, count in cells.items() if count)
        or "none"
    )


def _add_rows(connection: Connection, schema: Schema, runs: _Runs) -> None:
    """Add the runs that audit rows, records and mappings name."""
    mapped: dict[tuple[str, str], int] = {}
    firsts: list[datetime] = []
    for run_id, word, entity, action, count, first, last, environment in ask(connection, schema, _NAMED):
        run, trace = runs[run_id], Trace(word)
        run.saw(trace, count)
        run.started = min(filter(None, (run.started, first)), default=None)
        run.last_trace = max(filter(None, (run.last_trace, last)), default=None)
        if trace is Trace.AUDIT:
            firsts.append(first)
            run.environment = run.environment or environment
        if entity in ENTITIES and trace is Trace.MAPPING:
            mapped[run_id, entity] = count
        elif entity in ENTITIES:
            run.traced.setdefault(entity, {})[action] = count
    for run_id, operator, sync in ask(connection, schema, _CIRCUMSTANCES, {"firsts": firsts}):
        runs[run_id].operator = operator
        runs[run_id].sync = sync if sync in SYNCS else ""
    for (run_id, entity), count in mapped.items():
        cells = runs[run_id].traced.setdefault(entity, {})
        if count > cells.get("created", 0):
            cells["mapped"] = count - cells.get("created", 0)


def _add_migration_entries(connection: Connection, schema: Schema, runs: _Runs) -> list[Entry]:
    """Add what the guide's audit entries say; return those of acts that may have changed the sync state."""
    started, *ends = (f"{MIGRATION_PREFIX}{event}" for event in ("started", "completed", "failed"))
    rewriting = (SYNC_STATE_RESET, RESTORED, ROLLED_BACK)
    query = f"""
        SELECT migration_action, metadata, created_at, run_id FROM audit AS entry
        WHERE {has_action(schema, started, *ends, *rewriting)} AND {not_undone(schema)} ORDER BY created_at"""
    state_entries: list[Entry] = []
    for action, metadata, at, run_id in ask(connection, schema, query):
        facts = metadata if isinstance(metadata, dict) else {}
        if action in rewriting:
            state_entries.append((action, facts, at))
        if not run_id or action in (SYNC_STATE_RESET, RESTORED):
            continue  # the check audit-metadata reports entries without a run
        run, operator = runs[run_id], _text(facts.get("operator"))
        run.saw(Trace.MIGRATION, 1)
        if action == ROLLED_BACK:
            plan = _text(facts.get("plan"))
            run.rollbacks[plan or str(at)] = {"plan": plan, "at": at, "by": operator}
            continue
        run.entries.append((action, facts, at))
        run.operator = operator or run.operator
        run.environment = _text(facts.get("environment")) or run.environment
        if isinstance(facts.get("config"), dict):
            run.config = facts["config"]
        if action == started:
            run.mode = "dry" if str(facts.get("mode", "live")).startswith("dry") else "live"
            run.sync = facts["mode"] if facts.get("mode") in SYNCS else run.sync
            run.started = at
        else:
            run.finished = at
            counts, errors = _logged_counts(facts.get("counts"))
            run.reported, run.errors = run.reported or counts, run.errors or errors
    return state_entries


def _add_report(report: ImportReport, run: Run) -> None:
    run.reports.append(report)
    run.saw(Trace.REPORT, 1)
    run.mode = report.mode
    run.importer = report.importer if run.importer == importer_of(run.run) else run.importer
    for name in ("started", "finished", "files", "errors", "fetched"):  # the report takes precedence
        setattr(run, name, getattr(report, name) or getattr(run, name))
    for name in ("sync", "operator", "environment", "config"):
        setattr(run, name, getattr(run, name) or getattr(report, name))
    if report.counts and (report.records or not run.reported):  # a full listing over a summary
        run.reported = report.counts


def _run_of_output(report: ImportReport, runs: _Runs) -> str:
    """Name the run that printed this output, which has no run id, by its start."""
    assert report.started is not None
    near = [
        (run.started - report.started, name)
        for name, run in runs.items()
        if run.sync == report.sync and run.started and timedelta(0) <= run.started - report.started < _STARTUP
    ]
    return min(near)[1] if near else report.path.stem


def _text(value: Any) -> str | None:
    """Return a text from metadata, which anyone may have written; None for anything else."""
    return value if isinstance(value, str) and value else None


def _logged_counts(facts: Any) -> tuple[Counts, dict[str, int]]:
    """Read the counts of a ``migration:completed`` entry, in either form that is in use, and its errors."""
    counts: Counts = {}
    errors: dict[str, int] = {}
    for entity in ENTITIES if isinstance(facts, dict) else ():
        cells = facts.get(CONCEPT_OF[entity])
        cells = {"created": cells} if isinstance(cells, int) else cells if isinstance(cells, dict) else {}
        numbers = {key: value for key, value in cells.items() if type(value) is int}
        if cells:
            counts[entity] = {key: value for key, value in numbers.items() if key in ACTIONS}
        if "errors" in numbers:
            errors[entity] = numbers["errors"]
    return counts, errors


def _sync_state(connection: Connection, schema: Schema, entries: Sequence[Entry]) -> SyncState:
    """Return what the sync state says, and what it said before the workbench emptied it."""
    emptied: list[datetime] = []
    rewritten: list[datetime] = []
    names = [name for name in SYNC_MOMENTS if schema.has(f"sync_state.{name}")]
    latest = ", ".join(f"max({name})" for name in SYNC_MOMENTS)
    row = ask(connection, schema, f"SELECT {latest} FROM sync_state").fetchone() or ()
    moments = [(name, value) for name, value in zip(SYNC_MOMENTS, row, strict=True) if value is not None]
    spelling = schema.resolved["sync_state"].spelling if names else {}
    for action, facts, at in entries:
        was = facts.get(SYNC_STATE_WAS)
        if action == ROLLED_BACK and facts.get("plan") and was is None:
            continue  # a plan that touches the sync state logs what it was
        (emptied if action == SYNC_STATE_RESET else rewritten).append(at)
        for name in names if isinstance(was, dict) else ():
            with suppress(ValueError):  # anyone may have written the entry
                moments.append((name, read_moment(was.get(spelling[name]))))
    return SyncState(tuple(moments), tuple(emptied), tuple(rewritten), frozenset(names))


# -------------------------------------------------------------------------------------------------- rehearsals


class Rehearsal(NamedTuple):
    """A live run and the last dry run of the same importer before it; for an incremental sync, of the same kind.

    Attributes
    ----------
    hours : float or None
        From the dry run's start to the live run's.
    judged : {"fresh", "stale", "failed", "none", "unknown"}
        Whether the live run was rehearsed; ``unknown`` where a start is.
    """

    run: Run
    dry: Run | None
    hours: float | None
    judged: str


def rehearsals(runs: Sequence[Run], fresh_hours: float) -> list[Rehearsal]:
    """Pair each live run with its dry run, which may be `fresh_hours` older; the runs by start."""
    pairs: list[Rehearsal] = []
    last: dict[tuple[str, bool], Run] = {}
    for run in runs:
        kind = run.importer, run.sync == "incremental"
        if run.mode == "dry":
            last[kind] = run
            continue
        dry, hours = last.get(kind), None
        if dry is None:
            judged = "none"
        elif run.started is None or dry.started is None:
            judged = "unknown"
        else:
            hours = (run.started - dry.started) / timedelta(hours=1)
            failed = dry.status in ("incomplete", "failed", "interrupted")
            judged = "stale" if hours > fresh_hours else "failed" if failed else "fresh"
        pairs.append(Rehearsal(run, dry, hours, judged))
    return pairs


def rehearsals_frame(pairs: Sequence[Rehearsal]) -> pd.DataFrame:
    """Lay them out as a table.

    Returns
    -------
    pandas.DataFrame
        One row per live run: ``run``, ``importer``, ``started``, ``rehearsed`` (``fresh``, ``stale``, ``failed``,
        ``none`` or ``unknown``), ``hours_before``, ``dry_run``, ``dry_started``.
    """
    columns = ["run", "importer", "started", "rehearsed", "hours_before", "dry_run", "dry_started"]
    rows = [
        (run.run, run.importer, run.started, judged, hours, dry and dry.run, dry and dry.started)
        for run, dry, hours, judged in pairs
    ]
    table = pd.DataFrame(rows, columns=columns).astype({"hours_before": "float64"}).round({"hours_before": 1})
    return table.assign(**{name: pd.to_datetime(table[name]) for name in ("started", "dry_started")})
