"""Reset the sync state (guide §7.3), so that no sync relies on what is gone; only a full one fetches everything."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection

from workbench.checkpoints.restore.settling import moments_of
from workbench.errors import Refused
from workbench.fixes.ledger import Ledger
from workbench.fixes.writing import write_plan
from workbench.murmurant.importers import EMPTIED, SYNC_STATE_RESET, SYNC_STATE_WAS
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
        When it is empty already.
    """
    with Updates() as updates:
        reset_sync_state(raw(connection), schema, updates)
        if not updates.total:
            raise Refused(
                f'The sync state ("{schema.resolved["sync_state"].table}") names no moment of a last sync.',
                "There is nothing to reset. A full sync fetches everything; an incremental one never does.",
            )
        header = Header(
            kind=KIND,
            parameters={},
            reasons=("Resets the sync state (guide §7.3).",),
            target=target,
            planned_by=planned_by,
            notes=(EMPTIED,),
            audit=(
                {
                    "action": SYNC_STATE_RESET,
                    "metadata": {
                        "records_affected": updates.total,
                        SYNC_STATE_WAS: moments_of(raw(connection), schema),
                    },
                },
            ),
        )
        return write_plan(connection, References(schema), header, Ledger(), updates, folder)


def reset_sync_state(
    connection: psycopg.Connection[Any], schema: Schema, updates: Updates, without: Collection[str] = ()
) -> None:
    """Note that the moments of the last syncs are emptied.

    Parameters
    ----------
    without : collection of str
        The rows that are deleted anyway.
    """
    schema.require("sync_state.id", "sync_state.last_full_sync")
    found = schema.resolved["sync_state"]
    names = schema.sync_moments
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
        if changes and key not in without:
            updates.add(found.table, key, digest, changes)
