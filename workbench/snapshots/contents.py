"""What a database holds: the rows and digest of every table, the state of every sequence; and how two such differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from workbench.murmurant.row_digest import table_digests
from workbench.murmurant.spellings import CONCEPTS

Connection = psycopg.Connection[Any]
Connect = Callable[[], AbstractContextManager[Connection]]
"""Opens a session that sees the state that is wanted."""

Name = tuple[str, str]
"""Schema and relation."""

WORKERS = 2
SHOWN = 5
"""Differences that are named; the rest are counted."""

# Relations with rows of their own: no view, no partitioned parent, none that an extension brings.
_RELATIONS = """
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = %s AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                  AND d.deptype = 'e')
ORDER BY c.relpages DESC, 1, 2
"""

# Entries that the workbench itself writes about snapshots and the like: they change nothing that could be lost.
_OTHERS = """
    SELECT count(*) FROM {} WHERE NOT coalesce(metadata ->> 'source' = 'workbench'
    AND coalesce(metadata ->> 'migrationAction', action::text) ~ '^migration:(snapshot|preflight|dry-run):', false)
"""
_COLUMNS = (
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)


@dataclass(frozen=True)
class TableState:
    """How many rows a table had, and their digest: see `workbench.murmurant.row_digest.table_digests`."""

    rows: int
    digest: str


@dataclass(frozen=True)
class SequenceState:
    """A sequence's last value, and whether it was handed out already."""

    last_value: int
    is_called: bool


State = TableState | SequenceState
Contents = dict[Name, State]
Tables = dict[str, TableState]
"""Table to rows and digest; those of other schemas than Murmurant's by their full names."""


def contents_of(connect: Connect, workers: int = WORKERS) -> Contents:
    """Return what a database holds; give ``lambda: nullcontext(connection)`` and one worker to look within a transaction."""
    with connect() as connection:
        tables, contents = tables_of(connection), Contents()
        for name in connection.execute(_RELATIONS, ["S"]).fetchall():
            query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(*name))
            contents[name] = SequenceState(*connection.execute(query).fetchall()[0])
    return contents | digests_of(connect, iter(tables), workers)


def tables_of(connection: Connection) -> list[Name]:
    """List the tables with rows of their own, the largest first."""
    return connection.execute(_RELATIONS, ["r"]).fetchall()


def digests_of(connect: Connect, tables: Iterator[Name], workers: int = WORKERS) -> dict[Name, TableState]:
    """Count and digest tables, some at a time; give the largest first."""

    def work() -> dict[Name, TableState]:
        with connect() as connection:
            return {
                (schema, name): TableState(*table_digests(connection, schema, [name])[name])
                for schema, name in tables
            }

    with ThreadPoolExecutor(workers) as pool:
        working = [pool.submit(work) for _ in range(workers)]
        return {name: state for future in working for name, state in future.result().items()}


def tables_in(contents: Contents, main: str) -> Tables:
    """Return the tables of what a database holds; those of Murmurant's schema, `main`, by their names alone."""
    return {_shown(name, main): state for name, state in contents.items() if isinstance(state, TableState)}


def live_tables(connection: Connection, main: str) -> Tables:
    """Count and digest every table; of the audit log, which only grows, count what the workbench did not write itself."""
    (log,) = CONCEPTS["audit"].tables
    tables = tables_in(contents_of(lambda: nullcontext(connection), 1), main)
    if log in tables:
        table, rows = sql.Identifier(main, log), tables[log].rows
        columns = {name for (name,) in connection.execute(_COLUMNS, [table.as_string(connection)])}
        if {"metadata", "action"} <= columns:
            [(rows,)] = connection.execute(sql.SQL(_OTHERS).format(table))
        tables[log] = TableState(rows, "")
    return tables


def changed(was: Tables, now: Tables) -> dict[str, tuple[TableState | None, TableState | None]]:
    """Return the tables that are not as they were, by name: what they were, and what they are.

    One whose digest either side does not know is compared by its rows' number.
    """
    pairs = {name: (was.get(name), now.get(name)) for name in sorted({*was, *now})}
    return {name: pair for name, pair in pairs.items() if not _alike(*pair)}


def _alike(before: TableState | None, after: TableState | None) -> bool:
    if before and after and "" in (before.digest, after.digest):
        return before.rows == after.rows
    return before == after


def differences(expected: Contents, actual: Contents, main: str) -> str:
    """Compare what a database holds with what its manifest says, to the digest: one that is lacking proves nothing.

    Returns
    -------
    str
        The first differences in words, and how many there are besides; empty when there is none.
    """
    wrong = [
        f"{_shown(name, main)} has {_described(actual.get(name))} instead of {_described(expected.get(name))}"
        for name in sorted({*expected, *actual})
        if expected.get(name) != actual.get(name)
    ]
    more = f"; and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
    return "; ".join(wrong[:SHOWN]) + more


def _shown(name: Name, main: str) -> str:
    return name[1] if name[0] == main else ".".join(name)


def _described(state: State | None) -> str:
    if isinstance(state, TableState):
        return f"{state.rows:,} rows (digest {state.digest[:8] or 'unknown'})"
    return f"the last value {state.last_value}" if state else "nothing"
