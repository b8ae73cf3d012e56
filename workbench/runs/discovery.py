"""Which import runs there were, and how each one ended, judged by evidence (guide §1.1, §5.1).

A report's own ``success`` is one witness among several: an interrupted sync says ``true`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select

from workbench.audit.entries import has_action, migration_action
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
    start_in_run_id,
)
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, SYNC_MOMENTS
from workbench.plans.standing import not_taken_back
from workbench.runs.evidence import ask
from workbench.runs.left_out import weigh
from workbench.runs.status import SyncState, judge, supersede

Entry = tuple[str, Any, datetime]
"""An audit entry's action, metadata and time."""

_REWRITING = (SYNC_STATE_RESET, RESTORED, ROLLED_BACK)
STARTING = timedelta(minutes=1)
"""How long after it says that it started a sync may have given itself its id."""

_NAMED = """
    SELECT run_id, 'audit row', resource_type, CASE action WHEN 'CREATE' THEN 'created' ELSE 'updated' END, count(*),
           min(created_at), max(created_at), min(metadata ->> 'environment'), min(metadata ->> 'operator'), min(metadata ->> 'mode')
    FROM audit
    WHERE run_id IS NOT NULL AND action IN ('CREATE', 'UPDATE') AND NOT starts_with(coalesce(metadata ->> 'source', ''), 'workbench')
    GROUP BY run_id, action, resource_type
    UNION ALL
    SELECT run_id, 'run id on mapping', entity_type, 'mapped', count(*), min(synced_at), max(synced_at), NULL, NULL, NULL
    FROM mappings WHERE run_id IS NOT NULL GROUP BY run_id, entity_type
""" + "".join(
    f"""
    UNION ALL
    SELECT run_id, 'run id on record', '{entity}', 'created', count(*), min(created_at), max(created_at), NULL, NULL, NULL
    FROM {CONCEPT_OF[entity]} WHERE run_id IS NOT NULL GROUP BY run_id"""
    for entity in ENTITIES
)


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
    found: dict[str, Run] = {}

    def run(run_id: str) -> Run:
        return found.setdefault(run_id, Run(run_id, importer_of(run_id), started=start_in_run_id(run_id)))

    _from_rows(connection, schema, run)
    entries = _from_migration_entries(connection, schema, run)
    for report in reports:
        _from_report(report, run(report.run_id or _run_of_output(report, found)))
    ordered = sorted(found.values(), key=lambda each: (each.started is None, each.started or 0, each.run))
    state = _sync_state(connection, schema, entries)
    for position, each in enumerate(ordered):
        judge(each, ordered[position + 1 :], state)
        each.why = redact(each.why)  # it may quote an importer's error, and that anything
    weigh(connection, schema, ordered)
    supersede(ordered, state)
    return ordered


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
    rows = [
        {
            **{name: getattr(each, name, None) for name in columns.split()},
            "operator": each.operator or "",
            **{CONCEPT_OF[entity]: in_words(each.counts.get(entity, {})) for entity in ENTITIES},
        }
        for each in runs
    ]
    return pd.DataFrame(rows, columns=columns.split()).rename(columns={"became": "rolled_back"})


def in_words(cells: dict[str, int]) -> str:
    """Say counts per action in words, leaving out the zeros."""
    said = {"unlinked": "without a member or event"}
    words = (f"{count:,} {said.get(action, action)}" for action, count in cells.items() if count)
    return ", ".join(words) or "none"


def _from_rows(connection: Connection, schema: Schema, run: Callable[[str], Run]) -> None:
    """Note the runs that audit rows, records and mappings name themselves."""
    mapped: dict[tuple[str, str], int] = {}
    for name, word, entity, action, count, first, last, *words in ask(connection, schema, _NAMED).fetchall():
        each, trace = run(name), Trace(word)
        each.saw(trace, count)
        each.started = min(filter(None, (each.started, first)), default=None)
        each.last_trace = max(filter(None, (each.last_trace, last)), default=None)
        environment, operator, sync = words
        each.environment, each.operator = each.environment or environment, each.operator or operator
        each.sync = each.sync or (sync if sync in SYNCS else "")
        if entity in ENTITIES and trace is Trace.MAPPING:
            mapped[name, entity] = count
        elif entity in ENTITIES:
            each.traced.setdefault(entity, {})[action] = count
    for (name, entity), count in mapped.items():
        cells = run(name).traced.setdefault(entity, {})
        if count > cells.get("created", 0):
            cells["mapped"] = count - cells.get("created", 0)


def _from_migration_entries(connection: Connection, schema: Schema, run: Any) -> list[Entry]:
    """Note what the entries say of each run; return those of what may have emptied the sync state."""
    rewriting: list[Entry] = []
    if not schema.has("audit.metadata", "audit.action", "audit.created_at"):
        return rewriting
    audit = schema.audit
    wanted = [f"{MIGRATION_PREFIX}{each}" for each in ("started", "completed", "failed")]
    rows = connection.execute(
        select(
            migration_action(schema).label("action"),
            audit.c.metadata,
            audit.c.created_at,
            schema.audit_run.label("run"),
        )
        .where(has_action(schema, *wanted, *_REWRITING), not_taken_back(schema))
        .order_by(audit.c.created_at)
    )
    for row in rows:
        if row.action in _REWRITING:
            rewriting.append((row.action, row.metadata, row.created_at))
        if not row.run or row.action in (SYNC_STATE_RESET, RESTORED):
            continue  # the check audit-metadata reports an entry that names no run
        each: Run = run(row.run)
        facts = row.metadata if isinstance(row.metadata, dict) else {}
        each.saw(Trace.MIGRATION, 1)
        if row.action == ROLLED_BACK:
            plan = _said(facts.get("plan"))
            by = _said(facts.get("operator"))
            each.rollbacks[plan or str(row.created_at)] = {"plan": plan, "at": row.created_at, "by": by}
            continue
        each.entries.append((row.action, facts, row.created_at))
        each.operator = _said(facts.get("operator")) or each.operator
        each.environment = _said(facts.get("environment")) or each.environment
        if isinstance(facts.get("config"), dict):
            each.config = facts["config"]
        if row.action == "migration:started":
            each.mode = "dry" if str(facts.get("mode", "live")).startswith("dry") else "live"
            each.sync = facts["mode"] if facts.get("mode") in SYNCS else each.sync
            each.started = row.created_at
        else:
            each.finished = row.created_at
            counts, errors = _counted(facts.get("counts"))
            each.reported, each.errors = each.reported or counts, each.errors or errors
    return rewriting


def _from_report(report: ImportReport, run: Run) -> None:
    run.reports.append(report)
    run.saw(Trace.REPORT, 1)
    run.mode = report.mode
    run.sync = run.sync or report.sync
    run.importer = report.importer if run.importer == importer_of(run.run) else run.importer
    run.started = report.started or run.started
    run.finished = report.finished or run.finished
    run.operator = run.operator or report.operator
    run.environment = run.environment or report.environment
    run.config = run.config or report.config
    run.files = report.files or run.files
    run.errors = report.errors or run.errors
    run.fetched = report.fetched or run.fetched
    if report.counts and (report.records or not run.reported):  # a full listing tells more than a summary
        run.reported = report.counts


def _run_of_output(report: ImportReport, found: dict[str, Run]) -> str:
    """Name the run that printed this: the output tells no id, but when it started; the id tells that too."""
    assert report.started is not None
    near = [
        (each.started - report.started, name)
        for name, each in found.items()
        if each.sync == report.sync
        and each.started
        and timedelta(0) <= each.started - report.started < STARTING
    ]
    return min(near)[1] if near else report.path.stem


def _said(value: Any) -> str | None:
    """Take a word from metadata that anybody may have written; anything else says nothing."""
    return value if isinstance(value, str) and value else None


def _counted(facts: Any) -> tuple[Counts, dict[str, int]]:
    """Read the counts of a ``migration:completed`` entry, in either of the forms in use, and of what it gave up on."""
    counts: Counts = {}
    errors: dict[str, int] = {}
    for entity in ENTITIES if isinstance(facts, dict) else ():
        cells = facts.get(CONCEPT_OF[entity])
        if isinstance(cells, dict):
            numbers = {key: value for key, value in cells.items() if type(value) is int}
            counts[entity] = {key: value for key, value in numbers.items() if key in ACTIONS}
            errors |= {entity: numbers["errors"]} if "errors" in numbers else {}
        elif isinstance(cells, int):
            counts[entity] = {"created": cells}
    return counts, errors


def _sync_state(connection: Connection, schema: Schema, entries: Sequence[Entry]) -> SyncState:
    """Return what the sync state says, and what it said before the workbench emptied it."""
    emptied: list[datetime] = []
    rewritten: list[datetime] = []
    names = [name for name in SYNC_MOMENTS if schema.has(f"sync_state.{name}")]
    latest = ", ".join(f"max({name})" for name in SYNC_MOMENTS)
    row = ask(connection, schema, f"SELECT {latest} FROM sync_state").fetchone() or ()
    moments = [(name, value) for name, value in zip(SYNC_MOMENTS, row, strict=True) if value is not None]
    real = schema.resolved["sync_state"].spelling if names else {}
    for action, facts, at in entries:
        facts = facts if isinstance(facts, dict) else {}
        was = facts.get(SYNC_STATE_WAS)
        if action == ROLLED_BACK and facts.get("plan") and was is None:
            continue  # a plan that touched the sync state says what it was
        (emptied if action == SYNC_STATE_RESET else rewritten).append(at)
        if isinstance(was, dict):
            values = ((name, _moment(was.get(real[name]))) for name in names)
            moments += [(name, value) for name, value in values if value]
    return SyncState(tuple(moments), tuple(emptied), tuple(rewritten), frozenset(names))


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None  # an entry that anybody may have written
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
