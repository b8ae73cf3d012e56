"""What the tables of a live database hold: to tell whether it changed since somebody looked."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from psycopg import sql

from workbench.database.connection import Session
from workbench.murmurant.spellings import CONCEPTS
from workbench.snapshots.contents import TableState, contents_of, named

Tables = dict[str, TableState]
"""Table to rows and digest; those of other schemas than Murmurant's by their full names."""

# Entries that the workbench itself writes about snapshots and the like: they change nothing that could be lost.
_OTHERS = """
    SELECT count(*) FROM {} WHERE NOT coalesce(metadata ->> 'source' = 'workbench'
    AND coalesce(metadata ->> 'migrationAction', action::text) ~ '^migration:(snapshot|preflight|dry-run):', false)
"""
_COLUMNS = (
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)


def tables_in(connection: Session, main: str) -> Tables:
    """Count and digest every table; of the audit log, which only grows, count what the workbench did not write itself.

    Parameters
    ----------
    main : str
        Murmurant's schema: its tables go by their names alone.
    """
    (log,) = CONCEPTS["audit"].tables
    tables: Tables = named(contents_of(lambda: nullcontext(connection), 1), main)
    if log in tables:
        table, rows = sql.Identifier(main, log), tables[log].rows
        columns = {name for (name,) in connection.execute(_COLUMNS, [table.as_string(connection)])}
        if {"metadata", "action"} <= columns:
            (rows,) = connection.execute(sql.SQL(_OTHERS).format(table)).fetchone() or (0,)
        tables[log] = TableState(rows, "")
    return tables


def changed(was: Tables, now: Tables) -> dict[str, tuple[TableState | None, TableState | None]]:
    """Return the tables that are not as they were, by name: what they were, and what they are.

    One whose digest either side does not know is compared by its rows' number.
    """
    pairs = {table: (was.get(table), now.get(table)) for table in sorted({*was, *now})}
    return {table: pair for table, pair in pairs.items() if not _same(*pair)}


def losses(was: Tables, now: Tables) -> list[dict[str, Any]]:
    """Tell table by table what is not as a snapshot has it: all of that goes, whoever did it."""
    return [
        {"table": table, "rows in the snapshot": one and one.rows, "rows now": other and other.rows}
        for table, (one, other) in changed(was, now).items()
    ]


def _same(one: TableState | None, other: TableState | None) -> bool:
    if one is None or other is None or not (one.digest and other.digest):
        return (one and one.rows) == (other and other.rows)
    return one == other
