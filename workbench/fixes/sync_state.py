"""Reset the sync state (guide §7.3), so that no sync relies on what is gone; only a full one fetches everything."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import sql

from workbench.checkpoints.restore.settling import moments_of
from workbench.murmurant.importers import EMPTIED, SYNC_STATE_RESET, SYNC_STATE_WAS
from workbench.plans import rows
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan


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
