"""What a database contains: the rows and digest of every table; and how two databases differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from workbench.murmurant.row_digest import table_digests
from workbench.murmurant.spellings import CONCEPTS

Connection = psycopg.Connection[Any]
Connect = Callable[[], AbstractContextManager[Connection]]
"""Opens a session that sees the state to read."""

Relation = tuple[str, str, str]
"""Schema, table and label."""

WORKERS = 2
SHOWN = 5
"""How many differences are listed; the rest are counted."""

# Tables with rows of their own: no partitioned tables, nothing that belongs to an extension.
_TABLES = """
SELECT n.nspname::text, c.relname::text,
    CASE WHEN n.nspname = %s THEN c.relname::text ELSE format('%%I.%%I', n.nspname, c.relname) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                  AND d.deptype = 'e')
ORDER BY c.relpages DESC, 1, 2
"""

# Entries that the workbench writes about snapshots and dry runs change nothing that could be lost.
_OTHER_ENTRIES = """
    SELECT count(*) FROM {} WHERE NOT coalesce(metadata ->> 'source' = 'workbench'
    AND coalesce(metadata ->> 'migrationAction', action::text) ~ '^migration:(snapshot|preflight|dry-run):', false)
"""


@dataclass(frozen=True)
class TableState:
    """A table's number of rows and digest: see `workbench.murmurant.row_digest.table_digests`."""

    rows: int
    digest: str


Tables = dict[str, TableState]
"""Tables by label: those of Murmurant's schema by name, others by qualified name."""


def contents_of(connect: Connect, main: str, workers: int = WORKERS) -> Tables:
    """Count and digest all tables; to do it in a transaction give ``lambda: nullcontext(connection)`` and one worker."""
    with connect() as connection:
        tables = tables_of(connection, main)
    return digests_of(connect, iter(tables), workers)


def tables_of(connection: Connection, main: str) -> list[Relation]:
    """List the tables with rows of their own, the largest first; `main` is Murmurant's schema."""
    return connection.execute(_TABLES, [main]).fetchall()


def lock_tables(connection: Connection, mode: str) -> None:
    """Lock every table in a new transaction, whose snapshot is taken only after that."""
    names = [sql.SQL("ONLY {}").format(sql.Identifier(*name)) for *name, _ in tables_of(connection, "")]
    connection.rollback()
    if names:
        statement = sql.SQL("LOCK TABLE {} IN {} MODE")
        connection.execute(statement.format(sql.SQL(", ").join(names), sql.SQL(mode)))


def digests_of(connect: Connect, tables: Iterator[Relation], workers: int = WORKERS) -> Tables:
    """Count and digest tables in parallel; give the largest first."""

    def work() -> Tables:
        with connect() as connection:
            return {
                label: TableState(*table_digests(connection, schema, [name])[name])
                for schema, name, label in tables
            }

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work) for _ in range(workers)]
        return {name: state for future in futures for name, state in future.result().items()}


def live_tables(connection: Connection, main: str) -> Tables:
    """Count and digest every table; of the audit log, only count the entries that the workbench did not write."""
    (log,) = CONCEPTS["audit"].tables
    tables = contents_of(lambda: nullcontext(connection), main, 1)
    if log in tables:
        table, rows = sql.Identifier(main, log), tables[log].rows
        # A table of another application may lack these columns.
        with suppress(psycopg.ProgrammingError), connection.transaction():
            [(rows,)] = connection.execute(sql.SQL(_OTHER_ENTRIES).format(table))
        tables[log] = TableState(rows, "")
    return tables


def changed(before: Tables, after: Tables) -> dict[str, tuple[TableState | None, TableState | None]]:
    """Return the tables that differ, with their state before and after."""
    pairs = {name: (before.get(name), after.get(name)) for name in sorted({*before, *after})}
    return {name: (old, new) for name, (old, new) in pairs.items() if old != new}


def differences(expected: Tables, actual: Tables) -> str:
    """Compare a database with its manifest; return the first differences in words, empty when there are none."""
    wrong = [
        f"{name} has {_describe(new)} instead of {_describe(old)}"
        for name, (old, new) in changed(expected, actual).items()
    ]
    more = f"; and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
    return "; ".join(wrong[:SHOWN]) + more


def _describe(state: TableState | None) -> str:
    return f"{state.rows:,} rows (digest {state.digest[:8] or 'unknown'})" if state else "nothing"
