"""Which import runs there were, and how each one ended, judged by evidence (guide §1.1, §5.1).

A report's own ``success`` is one witness among several: an interrupted sync says ``true`` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

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
from workbench.runs.left_out import weigh
from workbench.runs.status import SyncState, judge, supersede

Entry = tuple[str, Any, datetime]
"""An audit entry's action, metadata and time."""

_REWRITING = (SYNC_STATE_RESET, RESTORED, ROLLED_BACK)
STARTING = timedelta(minutes=1)
"""How long after its id was made a sync may say that it started."""

# LATERAL: without it the run id is extracted twice from each of a million rows, and a group is expected for each.
_NAMED = """
    SELECT logged.run, 'audit row', resource_type, CASE spelled WHEN 'CREATE' THEN 'created' ELSE 'updated' END, count(*),
           min(created_at), max(created_at) FROM audit, LATERAL (SELECT run_id AS run OFFSET 0) AS logged
    WHERE logged.run IS NOT NULL AND spelled IN ('CREATE', 'UPDATE') AND NOT starts_with(coalesce(metadata ->> 'source', ''), 'workbench')
    GROUP BY logged.run, spelled, resource_type
    UNION ALL
    SELECT run_id, 'run id on mapping', entity_type, 'mapped', count(*), min(synced_at), max(synced_at)
    FROM mappings WHERE run_id IS NOT NULL GROUP BY run_id, entity_type
""" + "".join(
    f"""
    UNION ALL
    SELECT run_id, 'run id on record', '{entity}', 'created', count(*), min(created_at), max(created_at)
    FROM {CONCEPT_OF[entity]} WHERE run_id IS NOT NULL GROUP BY run_id"""
    for entity in ENTITIES
)
# A sync writes these into each row that it logs: its first rows are enough.
_CIRCUMSTANCES = """
    SELECT run_id, min(metadata ->> 'environment'), min(metadata ->> 'operator'), min(metadata ->> 'mode')
    FROM audit
    WHERE created_at = ANY (%(firsts)s::timestamp[]) AND run_id IS NOT NULL AND spelled IN ('CREATE', 'UPDATE') GROUP BY 1
"""


def find_runs(connection: Connection, schema: Schema, reports: Sequence[ImportReport] = ()) -> list[Run]:
    """Find every run that left a trace in the database or in a report file.

    Returns
    -------
    list of Run
        By start; runs whose start is unknown last.

    Raises
    ------
    SchemaGap
        When a table that runs leave traces in may not be read whole.
    """
    schema.refuse_unreadable("audit", "mappings", "sync_state", "members", "events", "registrations")
    runs = _Runs()
    _from_rows(connection, schema, runs)
    entries = _from_migration_entries(connection, schema, runs)
    for report in reports:
        _from_report(report, runs[report.run_id or _run_of_output(report, runs)])
    ordered = sorted(runs.values(), key=lambda run: (run.started is None, run.started or 0, run.run))
    state = _sync_state(connection, schema, entries)
    for position, run in enumerate(ordered):
        judge(run, ordered[position + 1 :], state)
        run.why = redact(run.why)  # it may quote an importer's error, and that anything
    weigh(connection, schema, ordered)
    supersede(ordered, state)
    return ordered


class _Runs(dict[str, Run]):
    """Runs by their ids, each made when it is first named."""

    def __missing__(self, run_id: str) -> Run:
        run = self[run_id] = Run(run_id, importer_of(run_id), started=start_in_run_id(run_id))
        return run


def pick_run(runs: Sequence[Run], run_id: str) -> tuple[Run, list[Run]]:
    """Return one run, named by its id or an unambiguous beginning of it, and all the others.

    Raises
    ------
    UsageError
        For an id that left no trace, with the nearest ids that did; for a beginning of several, with these.
    """
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
        ``finished`` (UTC), ``duration`` (seconds), ``status``, ``why``, ``rolled_back`` (by which plan and when;
        empty where it was not), a column of counts per entity (``120 created, 20 updated``), ``evidence``.
    """
    columns = "run importer mode sync operator started finished duration status why became members events registrations evidence"
    rows = []
    for run in runs:
        counts = {CONCEPT_OF[entity]: in_words(run.counts.get(entity, {})) for entity in ENTITIES}
        rows.append([counts[name] if name in counts else getattr(run, name) for name in columns.split()])
    frame = pd.DataFrame(rows, columns=columns.split()).rename(columns={"became": "rolled_back"})
    return frame.assign(operator=[run.operator or "" for run in runs])


def in_words(cells: dict[str, int]) -> str:
    """Say counts per action in words, leaving out the zeros."""
    words = {"unlinked": "without a member or event"}
    return (
        ", ".join(f"{count:,} {words.get(action, action)}" for action, count in cells.items() if count)
        or "none"
    )


def _from_rows(connection: Connection, schema: Schema, runs: _Runs) -> None:
    """Note the runs that audit rows, records and mappings name themselves."""
    mapped: dict[tuple[str, str], int] = {}
    firsts: list[datetime] = []
    for run_id, word, entity, action, count, first, last in ask(connection, schema, _NAMED):
        run, trace = runs[run_id], Trace(word)
        run.saw(trace, count)
        run.started = min(filter(None, (run.started, first)), default=None)
        run.last_trace = max(filter(None, (run.last_trace, last)), default=None)
        if trace is Trace.AUDIT:
            firsts.append(first)
        if entity in ENTITIES and trace is Trace.MAPPING:
            mapped[run_id, entity] = count
        elif entity in ENTITIES:
            run.traced.setdefault(entity, {})[action] = count
    for run_id, environment, operator, sync in ask(connection, schema, _CIRCUMSTANCES, {"firsts": firsts}):
        runs[run_id].environment, runs[run_id].operator = environment, operator
        runs[run_id].sync = sync if sync in SYNCS else ""
    for (run_id, entity), count in mapped.items():
        cells = runs[run_id].traced.setdefault(entity, {})
        if count > cells.get("created", 0):
            cells["mapped"] = count - cells.get("created", 0)


def _from_migration_entries(connection: Connection, schema: Schema, runs: _Runs) -> list[Entry]:
    """Note what the entries say of each run; return those of what may have emptied the sync state."""
    rewriting: list[Entry] = []
    wanted = [f"{MIGRATION_PREFIX}{event}" for event in ("started", "completed", "failed")]
    query = f"""
        SELECT migration_action, metadata, created_at, run_id FROM audit AS entry
        WHERE {has_action(schema, *wanted, *_REWRITING)} AND {not_undone(schema)} ORDER BY created_at"""
    for action, metadata, at, run_id in ask(connection, schema, query):
        facts = metadata if isinstance(metadata, dict) else {}
        if action in _REWRITING:
            rewriting.append((action, facts, at))
        if not run_id or action in (SYNC_STATE_RESET, RESTORED):
            continue  # the check audit-metadata reports an entry that names no run
        run, operator = runs[run_id], _word(facts.get("operator"))
        run.saw(Trace.MIGRATION, 1)
        if action == ROLLED_BACK:
            plan = _word(facts.get("plan"))
            run.rollbacks[plan or str(at)] = {"plan": plan, "at": at, "by": operator}
            continue
        run.entries.append((action, facts, at))
        run.operator = operator or run.operator
        run.environment = _word(facts.get("environment")) or run.environment
        if isinstance(facts.get("config"), dict):
            run.config = facts["config"]
        if action == "migration:started":
            run.mode = "dry" if str(facts.get("mode", "live")).startswith("dry") else "live"
            run.sync = facts["mode"] if facts.get("mode") in SYNCS else run.sync
            run.started = at
        else:
            run.finished = at
            counts, errors = _counted(facts.get("counts"))
            run.reported, run.errors = run.reported or counts, run.errors or errors
    return rewriting


def _from_report(report: ImportReport, run: Run) -> None:
    run.reports.append(report)
    run.saw(Trace.REPORT, 1)
    run.mode = report.mode
    run.importer = report.importer if run.importer == importer_of(run.run) else run.importer
    for name in ("started", "finished", "files", "errors", "fetched"):  # the report knows them best
        setattr(run, name, getattr(report, name) or getattr(run, name))
    for name in ("sync", "operator", "environment", "config"):
        setattr(run, name, getattr(run, name) or getattr(report, name))
    if report.counts and (report.records or not run.reported):  # a full listing tells more than a summary
        run.reported = report.counts


def _run_of_output(report: ImportReport, runs: _Runs) -> str:
    """Name the run that printed this: the output tells no id, but when it started; the id tells that too."""
    assert report.started is not None
    near = [
        (run.started - report.started, name)
        for name, run in runs.items()
        if run.sync == report.sync and run.started and timedelta(0) <= run.started - report.started < STARTING
    ]
    return min(near)[1] if near else report.path.stem


def _word(value: Any) -> str | None:
    """Take a word from metadata that anybody may have written; anything else says nothing."""
    return value if isinstance(value, str) and value else None


def _counted(facts: Any) -> tuple[Counts, dict[str, int]]:
    """Read the counts of a ``migration:completed`` entry, in either of the forms in use, and of what it gave up on."""
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
            continue  # a plan that touched the sync state says what it was
        (emptied if action == SYNC_STATE_RESET else rewritten).append(at)
        for name in names if isinstance(was, dict) else ():
            with suppress(ValueError):  # an entry that anybody may have written
                moments.append((name, read_moment(was.get(spelling[name]))))
    return SyncState(tuple(moments), tuple(emptied), tuple(rewritten), frozenset(names))
