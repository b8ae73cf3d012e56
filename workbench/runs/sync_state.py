"""The sync state: which rows of it are a run's, and how it is reset, so that no sync relies on what is gone (guide §7.3)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from psycopg import sql
from sqlalchemy import ColumnElement, Connection, false, func, or_, select

from workbench.murmurant.importers import EMPTIED, SYNC_STATE_RESET, SYNC_STATE_WAS, Run
from workbench.murmurant.schema import Schema, as_text
from workbench.murmurant.spellings import SYNC_MOMENTS
from workbench.plans import rows
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.runs.traces import TOLERANCE, within
from workbench.snapshots.restore.settling import moments_of


def plan_sync_state(context: PlanContext) -> Plan:
    """Plan to empty the moments of the last syncs, and nothing else.

    Raises
    ------
    SchemaGap
        Where no sync state is kept.
    Refused
        When it is empty already.
    """
    context.schema.require("sync_state.id", "sync_state.last_full_sync")
    table = context.schema.resolved["sync_state"].table
    with Draft(
        context,
        "sync-state",
        reasons=["Resets the sync state (guide §7.3)."],
        nothing=f'The sync state ("{table}") names no moment of a last sync',
        hint="There is nothing to reset. A full sync fetches everything; an incremental one never does.",
    ) as draft:
        reset_sync_state(draft)
        draft.note(EMPTIED)
        was = {SYNC_STATE_WAS: moments_of(context.raw, context.schema)}
        draft.log(SYNC_STATE_RESET, records_affected=draft.total, **was)
    return draft.plan


def reset_sync_state(draft: Draft, without: Collection[str] = ()) -> None:
    """Empty the moments of the last syncs, but for those of some rows."""
    schema = draft.context.schema
    schema.require("sync_state.id", "sync_state.last_full_sync")
    table = schema.resolved["sync_state"].table
    key = rows.key_of(rows.table_of(schema.catalogue, table))
    query = sql.SQL("SELECT {}::text FROM {}").format(
        sql.Identifier(key), rows.qualified(schema.catalogue, table)
    )
    for (state,) in draft.context.raw.execute(query):
        if state not in without:
            draft.update(table, state, dict.fromkeys(schema.sync_moments))


def written_sync_states(connection: Connection, schema: Schema, run: Run) -> dict[str, str]:
    """Return the rows of the sync state that the run wrote last: id to who wrote to them since."""
    if run.importer == "csv" or not schema.has("sync_state.id") or not (moments := _moments(schema)):
        return {}
    state = schema.sync_state
    later: Any = false()
    if schema.has("sync_state.updated_at") and (end := run.finished or run.last_trace):
        later = state.c.updated_at > end + TOLERANCE
    rows = connection.execute(
        select(as_text(state.c.id), later.label("later")).where(or_(*(within(each, run) for each in moments)))
    )
    return {key: "somebody" if touched else "" for key, touched in rows}


def made_sync_states(connection: Connection, schema: Schema, run: Run) -> dict[str, str]:
    """Return the rows of the sync state that the run made: id to who wrote to them since."""
    end = run.finished or run.last_trace
    if run.importer == "csv" or end is None or not schema.has("sync_state.id", "sync_state.created_at"):
        return {}
    state = schema.sync_state
    written = [*_moments(schema), *([state.c.updated_at] if schema.has("sync_state.updated_at") else [])]
    later = func.greatest(*written) > end + TOLERANCE if written else false()
    rows = connection.execute(
        select(as_text(state.c.id), func.coalesce(later, false())).where(within(state.c.created_at, run))
    )
    return {key: "a later sync" if touched else "" for key, touched in rows}


def is_ahead(connection: Connection, schema: Schema, run: Run) -> bool:
    """Whether the sync state remembers a sync since the run began: the next incremental one relies on what the run brought."""
    if run.importer == "csv" or run.started is None or not schema.has("sync_state"):
        return False
    latest = [func.max(each) for each in _moments(schema)]
    row = connection.execute(select(*latest)).one() if latest else ()
    return any(moment is not None and moment >= run.started for moment in row)


def _moments(schema: Schema) -> list[ColumnElement[Any]]:
    """Return those of the sync state's moments that are here."""
    return [schema.sync_state.c[each] for each in SYNC_MOMENTS if schema.has(f"sync_state.{each}")]
