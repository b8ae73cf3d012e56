"""Reset the sync state, so that the next sync fetches everything (guide §7.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection

from workbench.errors import Refused
from workbench.fixes.ledger import Ledger
from workbench.fixes.writing import write_plan
from workbench.murmurant.importers import SYNC_STATE_RESET
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.drafting import Updates, seen_columns
from workbench.plans.journal import raw
from workbench.plans.plan import Header, Plan, Target

KIND = "sync-state"


def plan_sync_state(
    connection: Connection, schema: Schema, *, target: Target, planned_by: str, folder: Path
) -> Plan:
    """Plan to empty the moments of the last syncs, and nothing else.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a reading, repeatable-read transaction.
    folder : Path
        Where the plan file is written.

    Raises
    ------
    SchemaGap
        Where no sync state is kept.
    Refused
        When it is empty already: the next sync fetches everything as it is.
    """
    with Updates() as updates:
        notes = reset_sync_state(raw(connection), schema, updates)
        if not updates.total:
            raise Refused(
                f'The sync state ("{schema.resolved["sync_state"].table}") names no moment of a last sync.',
                "There is nothing to reset: the next sync fetches everything.",
            )
        header = Header(
            kind=KIND,
            parameters={},
            reasons=("Resets the sync state (guide §7.3).",),
            target=target,
            planned_by=planned_by,
            notes=tuple(notes),
            audit=({"action": SYNC_STATE_RESET, "metadata": {"records_affected": updates.total}},),
        )
        return write_plan(connection, References(schema), header, Ledger(), updates, folder)


def reset_sync_state(connection: psycopg.Connection[Any], schema: Schema, updates: Updates) -> list[str]:
    """Note that the moments of the last syncs are emptied.

    Returns
    -------
    list of str
        What to know about it.
    """
    schema.require("sync_state.id", "sync_state.last_full_sync")
    found = schema.resolved["sync_state"]
    names = [
        found.spelling[each] for each in ("last_full_sync", "last_incremental_sync") if each in found.spelling
    ]
    described = rows.table_of(schema.catalogue, found.table)
    query = sql.SQL("SELECT {}::text, {}::text, {} FROM {} t ORDER BY 1").format(
        sql.Identifier("t", described.primary_key[0]),
        rows.digest(described, seen_columns(schema.catalogue, found.table), "t"),
        sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(each)) for each in names),
        rows.qualified(schema.catalogue, found.table),
    )
    for key, digest, *values in connection.execute(query):
        changes = {
            name: (value, None) for name, value in zip(names, values, strict=True) if value is not None
        }
        if changes:
            updates.add(found.table, key, digest, changes)
    return ["The sync state is reset: the next sync will fetch everything."]
