"""What a database holds: the rows and digest of every table, the state of every sequence; and how two such differ."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from workbench.murmurant.row_digest import table_digests

Connection = psycopg.Connection[Any]
Connect = Callable[[], AbstractContextManager[Connection]]
"""Opens a session that sees the state that is wanted."""

WORKERS = 2

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


class Digesting:
    """The tables of a database, being counted and digested while something else goes on.

    Parameters
    ----------
    connect : callable
        Opens a session that sees the state that is wanted.
    tables : mapping of str to list of str
        The tables, by schema, the largest first: see `tables_of`.
    workers : int
        Sessions at a time.
    """

    def __init__(self, connect: Connect, tables: Mapping[str, list[str]], workers: int = WORKERS) -> None:
        self._connect = connect
        self._wanted: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        for schema, names in tables.items():
            for name in names:
                self._wanted.put((schema, name))
        self._states: dict[str, dict[str, TableState]] = {schema: {} for schema in tables}
        self._sessions: list[Connection] = []
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(workers)
        self._work = [self._pool.submit(self._run) for _ in range(workers)]

    def states(self) -> dict[str, dict[str, TableState]]:
        """Wait for the end, and return the tables' states by schema and name."""
        try:
            for each in self._work:
                each.result()
        finally:
            self.stop()
        return {schema: dict(sorted(tables.items())) for schema, tables in self._states.items()}

    def stop(self) -> None:
        """End it early."""
        self._stopped.set()
        for each in self._sessions:
            with suppress(psycopg.Error):
                each.cancel_safe(timeout=5)
        self._pool.shutdown()

    def _run(self) -> None:
        with self._connect() as connection:
            self._sessions.append(connection)
            with suppress(queue.Empty):
                while not self._stopped.is_set():
                    schema, table = self._wanted.get_nowait()
                    digest = table_digests(connection, schema, [table])[table]
                    self._states[schema][table] = TableState(*digest)
            self._sessions.remove(connection)


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
    return joined(Digesting(connect, tables, workers).states(), sequences)


def joined(
    tables: Mapping[str, dict[str, TableState]], sequences: Mapping[str, dict[str, SequenceState]]
) -> dict[str, Contents]:
    """Return tables and sequences as the contents of each schema."""
    return {
        schema: Contents(tables.get(schema, {}), sequences.get(schema, {}))
        for schema in sorted({*tables, *sequences})
    }


def differences(
    expected: Mapping[str, Contents], actual: Mapping[str, Contents], main: str = "public"
) -> list[str]:
    """Compare what a database holds with what a manifest says, or with what another holds.

    Parameters
    ----------
    expected, actual : mapping of str to Contents
        By schema: `workbench.snapshots.manifest.Manifest.contents`, and `contents_of` the database.
    main : str
        The schema whose tables go by their names alone.

    Returns
    -------
    list of str
        Each difference in words, by schema and name; empty when there is none.
    """
    said: list[str] = []
    for schema in sorted({*expected, *actual}):
        should, there = expected.get(schema, Contents()), actual.get(schema, Contents())
        prefix = "" if schema == main else f"{schema}."
        said += _missing(f"table {prefix}", should.tables, there.tables)
        for name in sorted(should.tables.keys() & there.tables.keys()):
            one, other = should.tables[name], there.tables[name]
            if one.rows != other.rows:
                said.append(f"{prefix}{name} has {other.rows:,} rows instead of {one.rows:,}")
            elif one.digest != other.digest:
                said.append(f"{prefix}{name} has as many rows, {one.rows:,}, but others")
        said += _missing(f"sequence {prefix}", should.sequences, there.sequences)
        for name in sorted(should.sequences.keys() & there.sequences.keys()):
            if should.sequences[name] != there.sequences[name]:
                at, due = there.sequences[name].last_value, should.sequences[name].last_value
                said.append(f"sequence {prefix}{name} stands at {at} instead of {due}")
    return said


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


def _missing(kind: str, should: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"there is no {kind}{name}" for name in sorted(should.keys() - there.keys()))
    yield from (f"the manifest knows no {kind}{name}" for name in sorted(there.keys() - should.keys()))
