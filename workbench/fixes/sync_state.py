"""Reset the sync state, so that the next sync fetches everything (guide §7.3)."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.drafting import Updates, seen_columns


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
