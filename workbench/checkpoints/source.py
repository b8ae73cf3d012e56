"""The database a snapshot is taken of: one state, exported, and shared by all who read it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from workbench.checkpoints.fingerprints import Connection, fingerprints, row_counts, tables_of
from workbench.checkpoints.manifest import Contents, TableState
from workbench.database.connection import SPELLING, Database
from workbench.murmurant.schema import Schema

WORKERS = 2
"""Sessions that count and digest beside pg_dump's own."""

_TIMELINE = """
SELECT s.system_identifier::text, c.timeline_id::text, d.oid::text,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text
FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d WHERE d.datname = current_database()
"""


@dataclass(frozen=True)
class Held:
    """An exported state of the database.

    Attributes
    ----------
    connection : psycopg.Connection
        In the transaction that exported it.
    snapshot : str
        What others import it by.
    transaction : str
        What ``pg_current_snapshot()`` said.
    server_version : str
        The server's.
    timeline : dict
        See `workbench.checkpoints.manifest.Manifest`.
    tables : dict
        Every table with rows of its own, by schema, the largest first.
    """

    connection: Connection
    snapshot: str
    transaction: str
    server_version: str
    timeline: dict[str, str]
    tables: dict[str, list[str]]


@dataclass(frozen=True)
class Source:
    """The database a snapshot is taken of."""

    database: Database

    @property
    def lock_wait(self) -> str:
        """pg_dump's option: how long it waits for others to let go of a table."""
        return f"--lock-wait-timeout={max(1, int(self.database.lock_timeout * 1000))}"

    def parameters(self) -> dict[str, str]:
        """Return libpq's parameters for a session without limits of time, that only reads."""
        wait = max(1, int(self.database.lock_timeout * 1000))
        return self.database.address.parameters(
            "-c default_transaction_read_only=on -c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
            f" -c lock_timeout={wait}{SPELLING}"
        )

    def connect(self) -> Connection:
        """Open a session whose transactions are repeatable-read and read-only."""
        connection: Connection = psycopg.connect(make_conninfo("", **self.parameters()))
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        return connection

    @contextmanager
    def exported(self) -> Iterator[Held]:
        """Hold one state of the database for as long as the block lasts.

        Raises
        ------
        DatabaseUnreachable
            When there is no connection, or it is lost. Other errors of the server are told likewise.
        """
        with self.database.speaking_plainly("lock_timeout"), self.connect() as connection:
            tables = tables_of(connection)
            connection.rollback()
            if tables:
                # Before the state is chosen, so that no TRUNCATE comes between it and pg_dump's own lock.
                connection.execute(
                    sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(
                        sql.SQL(", ").join(
                            sql.SQL("ONLY {}").format(sql.Identifier(schema, name))
                            for schema, names in tables.items()
                            for name in names
                        )
                    )
                )
            row = connection.execute("SELECT pg_export_snapshot(), pg_current_snapshot()::text").fetchone()
            facts = connection.execute(_TIMELINE).fetchone()
            version = connection.execute("SELECT current_setting('server_version')").fetchone()
            assert row
            assert facts
            assert version
            names = ("system_identifier", "timeline", "database_oid", "wal_position")
            timeline = dict(zip(names, facts, strict=True))
            yield Held(connection, row[0], row[1], str(version[0]), timeline, tables_of(connection))
            connection.rollback()


class Tallies:
    """Rows counted and digested in sessions of their own, while something else goes on.

    Parameters
    ----------
    source : Source
        The database.
    held : Held
        The state.
    schema : Schema
        Murmurant's tables: all are digested but the audit log. Every other table is only counted.
    """

    def __init__(self, source: Source, held: Held, schema: Schema) -> None:
        self._source, self._held, self._schema = source, held, schema
        self._wanted: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        for name, tables in held.tables.items():
            for table in tables:
                self._wanted.put((name, table))
        self._found: dict[str, dict[str, TableState]] = {}
        self._open: list[Connection] = []
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(WORKERS)
        self._work: list[Future[None]] = [self._pool.submit(self._tally) for _ in range(WORKERS)]

    def contents(self) -> dict[str, Contents]:
        """Wait for the end; return what each schema's tables hold."""
        for each in self._work:
            each.result()
        self._pool.shutdown()
        return {name: Contents(dict(sorted(tables.items()))) for name, tables in self._found.items()}

    def stop(self) -> None:
        """End the sessions, when they are not wanted any more."""
        self._stopped.set()
        for each in self._open:
            with suppress(psycopg.Error):
                each.cancel_safe(timeout=5)
        self._pool.shutdown()

    def _tally(self) -> None:
        with self._source.connect() as connection:
            self._open.append(connection)
            connection.execute(
                sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(self._held.snapshot))
            )
            while not self._stopped.is_set():
                try:
                    schema, table = self._wanted.get_nowait()
                except queue.Empty:
                    break
                self._found.setdefault(schema, {})[table] = self._state(connection, schema, table)
            connection.rollback()

    def _state(self, connection: psycopg.Connection[Any], schema: str, table: str) -> TableState:
        if digested(self._schema, schema, table):
            found = fingerprints(connection, schema, [table])[table]
            return TableState(found.rows, found.digest)
        return TableState(row_counts(connection, schema, [table])[table], None)


def digested(schema: Schema, name: str, table: str) -> bool:
    """Whether a table's rows are digested too: Murmurant's are, but for the audit log.

    The log only grows and outgrows all the others together: it is counted, and the archive's SHA-256 covers it.
    """
    log = schema.resolved.get("audit")
    return name == schema.catalogue.schema and (log is None or table != log.table)
