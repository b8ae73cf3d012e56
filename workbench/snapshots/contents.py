"""What a database holds: the rows and digest of every table, the state of every sequence; and how two such differ."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from workbench.murmurant.row_digest import table_digests

Connection = psycopg.Connection[Any]
Connect = Callable[[], AbstractContextManager[Connection]]
"""Opens a session that sees the state that is wanted."""

WORKERS = 2
SHOWN = 5
"""Differences that are named; the rest are counted."""

# Tables with rows of their own: no view, no partitioned parent, none that an extension brings.
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


@contextmanager
def digesting(
    connect: Connect, tables: Mapping[str, list[str]], workers: int = WORKERS
) -> Iterator[Callable[[], dict[str, dict[str, TableState]]]]:
    """Count and digest tables while the block does something else; yield what waits for their states.

    Parameters
    ----------
    connect : callable
        Opens a session that sees the state that is wanted.
    tables : mapping of str to list of str
        The tables, by schema, the largest first: see `tables_of`.
    workers : int
        Sessions at a time.
    """
    names = iter([(schema, name) for schema, each in tables.items() for name in each])

    def work() -> dict[tuple[str, str], TableState]:
        with connect() as connection:
            return {
                (schema, name): TableState(*table_digests(connection, schema, [name])[name])
                for schema, name in names
            }

    with ThreadPoolExecutor(workers) as pool:
        working = [pool.submit(work) for _ in range(workers)]

        def states() -> dict[str, dict[str, TableState]]:
            digests = {key: state for each in working for key, state in each.result().items()}
            return {
                schema: {name: digests[schema, name] for name in sorted(tables[schema])} for schema in tables
            }

        try:
            yield states
        finally:
            deque(names, 0)  # whoever leaves early wants no more of them


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
    with digesting(connect, tables, workers) as states:
        return joined(states(), sequences)


def joined(
    tables: Mapping[str, dict[str, TableState]], sequences: Mapping[str, dict[str, SequenceState]]
) -> dict[str, Contents]:
    """Return tables and sequences as the contents of each schema."""
    return {
        schema: Contents(tables.get(schema, {}), sequences.get(schema, {}))
        for schema in sorted({*tables, *sequences})
    }


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


def tables_of(connection: Connection) -> dict[str, list[str]]:
    """List the tables with rows of their own, by schema, the largest first."""
    return _by_schema(connection, "r")


def sequences_of(connection: Connection) -> dict[str, dict[str, SequenceState]]:
    """Read the state of every sequence, by schema; no transaction holds it still."""
    states: dict[str, dict[str, SequenceState]] = {}
    for schema, names in _by_schema(connection, "S").items():
        query = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}, last_value, is_called FROM {}").format(name, sql.Identifier(schema, name))
            for name in sorted(names)
        )
        states[schema] = {
            str(name): SequenceState(last, called) for name, last, called in connection.execute(query)
        }
    return states


def _by_schema(connection: Connection, kind: str) -> dict[str, list[str]]:
    relations: dict[str, list[str]] = {}
    for schema, name in connection.execute(_RELATIONS, [kind]):
        relations.setdefault(schema, []).append(name)
    return relations
