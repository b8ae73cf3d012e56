"""What a database holds: the rows and digest of every table, the state of every sequence; and how two such differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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


Contents = dict[Name, TableState | SequenceState]
Tables = dict[str, TableState]
"""Table to rows and digest; those of other schemas than Murmurant's by their full names."""


def contents_of(connect: Connect, workers: int = WORKERS) -> Contents:
    """Return what a database holds; give ``lambda: nullcontext(connection)`` and one worker to look within a transaction."""
    with connect() as connection:
        tables, names = tables_of(connection), connection.execute(_RELATIONS, ["S"]).fetchall()
        sequences: Contents = {}
        for name in names:
            query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(*name))
            sequences[name] = SequenceState(*connection.execute(query).fetchall()[0])
    return {**digests_of(connect, iter(tables), workers), **sequences}


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
        return {name: state for each in working for name, state in each.result().items()}


def tables_in(contents: Contents, main: str) -> Tables:
    """Return the tables of what a database holds; those of Murmurant's schema, `main`, by their names alone."""
    return {
        name if schema == main else f"{schema}.{name}": state
        for (schema, name), state in contents.items()
        if isinstance(state, TableState)
    }


def live_tables(connection: Connection, main: str) -> Tables:
    """Count and digest every table; of the audit log, which only grows, count what the workbench did not write itself."""
    (log,) = CONCEPTS["audit"].tables
    tables = tables_in(contents_of(lambda: nullcontext(connection), 1), main)
    if log in tables:
        table, rows = sql.Identifier(main, log), tables[log].rows
        columns = {name for (name,) in connection.execute(_COLUMNS, [table.as_string(connection)])}
        if {"metadata", "action"} <= columns:
            (rows,) = connection.execute(sql.SQL(_OTHERS).format(table)).fetchone() or (0,)
        tables[log] = TableState(rows, "")
    return tables


def changed(was: Mapping[Any, Any], now: Mapping[Any, Any]) -> dict[Any, tuple[Any, Any]]:
    """Return the tables and sequences that are not as they were, by name: what they were, and what they are.

    A table whose digest either side does not know is compared by its rows' number.
    """

    def same(one: Any, other: Any) -> bool:
        if one and other and "" in (getattr(one, "digest", None), getattr(other, "digest", None)):
            return bool(one.rows == other.rows)
        return bool(one == other)

    pairs = {name: (was.get(name), now.get(name)) for name in sorted({*was, *now})}
    return {name: pair for name, pair in pairs.items() if not same(*pair)}


def differences(expected: Contents, actual: Contents, main: str) -> str:
    """Compare what a database holds with what its manifest says.

    Returns
    -------
    str
        The first differences in words, and how many there are besides; empty when there is none.
    """
    wrong = []
    for schema, relation in sorted({*expected, *actual}):
        was: Any = expected.get((schema, relation))
        now: Any = actual.get((schema, relation))
        if was == now:  # to the digest: one that is lacking proves nothing
            continue
        name = relation if schema == main else f"{schema}.{relation}"
        kind = "sequence" if isinstance(was or now, SequenceState) else "table"
        if now is None:
            wrong.append(f"there is no {kind} {name}")
        elif was is None:
            wrong.append(f"the manifest knows no {kind} {name}")
        elif isinstance(was, SequenceState):
            wrong.append(f"sequence {name} stands at {now.last_value} instead of {was.last_value}")
        elif was.rows != now.rows:
            wrong.append(f"{name} has {now.rows:,} rows instead of {was.rows:,}")
        else:
            wrong.append(f"{name} has as many rows, {was.rows:,}, but others")
    more = f"; and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
    return "; ".join(wrong[:SHOWN]) + more
