"""Which import runs there were, and how each one ended, judged by evidence (guide §1.1, §5.1).

A report's own ``success`` is one witness among several: an interrupted sync says ``true`` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import Connection, String, cast, func, literal, select, union_all

from workbench.audit import has_action, migration_action
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
from workbench.murmurant.schema import Schema, entity_of
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, SYNC_MOMENTS
from workbench.plans.standing import not_taken_back
from workbench.runs.left_out import weigh
from workbench.runs.status import SyncState, judge, supersede

Entry = tuple[str, Any, datetime]
"""An audit entry's action, metadata and time."""

_REWRITING = (SYNC_STATE_RESET, RESTORED, ROLLED_BACK)
STARTING = timedelta(minutes=1)
"""How long after it says that it started a sync may have given itself its id."""

_AUDIT_ACTIONS = {"CREATE": "created", "UPDATE": "updated"}


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

    _from_audit_rows(connection, schema, run)
    entries = _from_migration_entries(connection, schema, run)
    _from_run_columns(connection, schema, run)
    for report in reports:
        _from_report(report, run(report.run_id or _run_of_output(report, found)))
    ordered = sorted(found.values(), key=lambda each: (each.started is None, each.started or 0, each.run))
    state = _sync_state(connection, schema, entries)
    for position, each in enumerate(ordered):
        judge(each, ordered[:position], ordered[position + 1 :], state)
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
    rows = [
        {
            "run": each.run,
            "importer": each.importer,
            "mode": each.mode,
            "sync": each.sync,
            "operator": each.operator or "",
            "started": each.started,
            "finished": each.finished,
            "duration": each.duration,
            "status": each.status,
            "why": each.why,
            "rolled_back": each.became,
            **{CONCEPT_OF[entity]: in_words(each.counts.get(entity, {})) for entity in ENTITIES},
            "evidence": each.evidence,
        }
        for each in runs
    ]
    columns = "run importer mode sync operator started finished duration status why rolled_back members events registrations evidence"
    return pd.DataFrame(rows, columns=columns.split())


def in_words(cells: dict[str, int]) -> str:
    """Say counts per action in words, leaving out the zeros."""
    said = {"unlinked": "without a member or event"}
    words = (f"{count:,} {said.get(action, action)}" for action, count in cells.items() if count)
    return ", ".join(words) or "none"


def _from_audit_rows(connection: Connection, schema: Schema, run: Any) -> None:
    if not schema.has("audit.metadata", "audit.resource_type", "audit.action"):
        return
    audit = schema.audit
    metadata = audit.c.metadata
    key = schema.audit_run
    at = audit.c.created_at if schema.has("audit.created_at") else literal(None)
    rows = connection.execute(
        select(
            key.label("run"),
            audit.c.action.label("action"),
            entity_of(audit.c.resource_type).label("entity"),
            func.count().label("rows"),
            func.min(at).label("first"),
            func.max(at).label("last"),
            func.min(metadata["environment"].astext).label("environment"),
            func.min(metadata["operator"].astext).label("operator"),
            func.min(metadata["mode"].astext).label("sync"),
        )
        .where(
            key.is_not(None),
            audit.c.action.in_(list(_AUDIT_ACTIONS)),
            func.coalesce(metadata["source"].astext, "").not_like("workbench%"),
        )
        .group_by("run", "action", "entity")
    )
    for row in rows:
        each: Run = run(row.run)
        each.saw(Trace.AUDIT, row.rows)
        each.environment = each.environment or row.environment
        each.operator = each.operator or row.operator
        each.sync = each.sync or (row.sync if row.sync in SYNCS else "")
        each.started = min(filter(None, (each.started, row.first)), default=None)
        each.last_trace = max(filter(None, (each.last_trace, row.last)), default=None)
        if row.entity in ENTITIES:
            each.traced.setdefault(row.entity, {})[_AUDIT_ACTIONS[row.action]] = row.rows


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
            each.reported = each.reported or _claimed(facts.get("counts"))
            each.errors = each.errors or _given_up(facts.get("counts"))
    return rewriting


def _from_run_columns(connection: Connection, schema: Schema, run: Any) -> None:
    """Note the runs that mappings and records name themselves."""
    questions = []
    if schema.has("mappings.run_id", "mappings.entity_type"):
        mappings = schema.mappings
        moment = mappings.c.synced_at if schema.has("mappings.synced_at") else literal(None)
        questions.append(
            (Trace.MAPPING, entity_of(mappings.c.entity_type), mappings.c.run_id, moment),
        )
    for entity in ENTITIES:
        concept = CONCEPT_OF[entity]
        if schema.has(concept, f"{concept}.run_id"):
            source = schema.source(concept)
            moment = source.c.created_at if schema.has(f"{concept}.created_at") else literal(None)
            questions.append((Trace.RECORD, literal(entity), source.c.run_id, moment))
    if not questions:
        return
    statement = union_all(
        *(
            select(
                literal(str(trace)).label("trace"),
                entity.label("entity"),
                cast(run_id, String).label("run"),
                func.count().label("rows"),
                func.min(moment).label("first"),
                func.max(moment).label("last"),
            )
            .where(run_id.is_not(None))
            .group_by("entity", "run")
            for trace, entity, run_id, moment in questions
        )
    )
    mapped: dict[tuple[str, str], int] = {}
    for row in connection.execute(statement):
        each: Run = run(row.run)
        each.saw(Trace(row.trace), row.rows)
        if not each.entries:  # the entry says it better
            each.started = min(filter(None, (each.started, row.first)), default=None)
        each.last_trace = max(filter(None, (each.last_trace, row.last)), default=None)
        if row.entity not in ENTITIES:
            continue
        if row.trace == Trace.RECORD:
            each.traced.setdefault(row.entity, {})["created"] = row.rows
        else:
            mapped[row.run, row.entity] = row.rows
    for (run_id, entity), rows in mapped.items():
        cells = run(run_id).traced.setdefault(entity, {})
        others = rows - cells.get("created", 0)
        if others > 0:
            cells["mapped"] = others


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


def _claimed(counts: Any) -> Counts:
    """Read the counts of a ``migration:completed`` entry, in either of the forms in use."""
    found: Counts = {}
    for name, entity in ((CONCEPT_OF[entity], entity) for entity in ENTITIES):
        cells = counts.get(name) if isinstance(counts, dict) else None
        if isinstance(cells, dict):
            found[entity] = {
                key: value for key, value in cells.items() if key in ACTIONS and type(value) is int
            }
        elif isinstance(cells, int):
            found[entity] = {"created": cells}
    return found


def _given_up(counts: Any) -> dict[str, int]:
    cells = (
        {entity: counts.get(CONCEPT_OF[entity]) for entity in ENTITIES} if isinstance(counts, dict) else {}
    )
    return {
        entity: each["errors"]
        for entity, each in cells.items()
        if isinstance(each, dict) and type(each.get("errors")) is int
    }


def _sync_state(connection: Connection, schema: Schema, entries: Sequence[Entry]) -> SyncState:
    """Return what the sync state says, and what it said before the workbench emptied it."""
    emptied: list[datetime] = []
    rewritten: list[datetime] = []
    moments: list[tuple[str, datetime]] = []
    names = [name for name in SYNC_MOMENTS if schema.has(f"sync_state.{name}")]
    if names:
        state = schema.sync_state
        row = connection.execute(select(*(func.max(state.c[name]) for name in names))).one()
        moments += [(name, value) for name, value in zip(names, row, strict=True) if value is not None]
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
