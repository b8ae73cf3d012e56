"""What a database holds: the rows and digest of every table, the state of every sequence; and how two such differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from workbench.murmurant.row_digest import table_digests

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


@dataclass(frozen=True)
class Contents:
    """The tables and sequences of one schema, by name."""

    tables: dict[str, TableState] = field(default_factory=dict)
    sequences: dict[str, SequenceState] = field(default_factory=dict)


def contents_of(connect: Connect, workers: int = WORKERS) -> dict[str, Contents]:
    """Return what a database holds, by schema.

    Parameters
    ----------
    connect : callable
        Opens a session on it, in a state that does not change. Give ``lambda: nullcontext(connection)`` and one
        worker to look from within a transaction.
    """
    with connect() as connection:
        tables, sequences = tables_of(connection), sequences_of(connection)
    return by_schema(digests_of(connect, iter(tables), workers), sequences)


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


def by_schema(
    tables: Mapping[Name, TableState], sequences: Mapping[Name, SequenceState]
) -> dict[str, Contents]:
    """Return tables and sequences as the contents of each schema."""
    contents = {schema: Contents() for schema, _ in sorted({*tables, *sequences})}
    for (schema, name), table in sorted(tables.items()):
        contents[schema].tables[name] = table
    for (schema, name), sequence in sorted(sequences.items()):
        contents[schema].sequences[name] = sequence
    return contents


def named(contents: Mapping[str, Contents], main: str, of: str = "tables") -> dict[str, Any]:
    """Return the tables (or ``sequences``) of all schemas in one: those of the schema `main` by their names alone."""
    return {
        name if schema == main else f"{schema}.{name}": state
        for schema, each in contents.items()
        for name, state in getattr(each, of).items()
    }


def differences(
    expected: Mapping[str, Contents], actual: Mapping[str, Contents], main: str = "public"
) -> str:
    """Compare what a database holds with what a manifest says, or with what another holds.

    Parameters
    ----------
    expected, actual : mapping of str to Contents
        By schema: `workbench.snapshots.manifest.Manifest.contents`, and `contents_of` the database.
    main : str
        The schema whose tables go by their names alone.

    Returns
    -------
    str
        The first differences in words, and how many there are besides; empty when there is none.
    """
    wrong = []
    for of in ("tables", "sequences"):
        should, there = named(expected, main, of), named(actual, main, of)
        for name in sorted({*should, *there}):
            was, now = should.get(name), there.get(name)
            if now is None:
                wrong.append(f"there is no {of[:-1]} {name}")
            elif was is None:
                wrong.append(f"the manifest knows no {of[:-1]} {name}")
            elif was != now and of == "sequences":
                wrong.append(f"sequence {name} stands at {now.last_value} instead of {was.last_value}")
            elif was != now and was.rows != now.rows:
                wrong.append(f"{name} has {now.rows:,} rows instead of {was.rows:,}")
            elif was != now:
                wrong.append(f"{name} has as many rows, {was.rows:,}, but others")
    more = f"; and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
    return "; ".join(wrong[:SHOWN]) + more


def tables_of(connection: Connection) -> list[Name]:
    """List the tables with rows of their own, the largest first."""
    return connection.execute(_RELATIONS, ["r"]).fetchall()


def sequences_of(connection: Connection) -> dict[Name, SequenceState]:
    """Read the state of every sequence; no transaction holds it still."""
    names = connection.execute(_RELATIONS, ["S"]).fetchall()
    if not names:
        return {}
    query = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, {}, last_value, is_called FROM {}").format(*name, sql.Identifier(*name))
        for name in names
    )
    return {(schema, name): SequenceState(*state) for schema, name, *state in connection.execute(query)}
