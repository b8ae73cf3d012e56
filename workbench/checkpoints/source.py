"""The database a snapshot is taken of: one state, exported, and shared by all who read it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from workbench.checkpoints.fingerprints import Connection, tables_of
from workbench.checkpoints.row_hashes import row_hashes
from workbench.checkpoints.tallies import Tallies
from workbench.database.connection import SPELLING, Database, session

LARGE = 64 * 2**20
"""Bytes from which on a database is large: dumped by parallel jobs."""

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
    timeline, database_size : dict, int
        See `workbench.checkpoints.manifest.Manifest`.
    tables : dict
        Every table with rows of its own, by schema, the largest first.
    """

    connection: Connection
    snapshot: str
    transaction: str
    server_version: str
    timeline: dict[str, str]
    database_size: int
    tables: dict[str, list[str]]


@dataclass(frozen=True)
class Source:
    """The database a snapshot is taken of."""

    database: Database

    @property
    def lock_wait(self) -> str:
        """pg_dump's option: how long it waits for others to let go of a table."""
        return f"--lock-wait-timeout={max(1, int(self.database.lock_timeout * 1000))}"

    def parameters(self, encoding: str = "UTF8") -> dict[str, str]:
        """Return libpq's parameters for a session without limits of time, that only reads."""
        wait = max(1, int(self.database.lock_timeout * 1000))
        limits = f"-c statement_timeout=0 -c lock_timeout={wait}"
        return self.database.address.parameters(f"{limits}{SPELLING} -c client_encoding={encoding}")

    def connect(self) -> Connection:
        """Open a session whose transactions are repeatable-read and read-only."""
        connection: Connection = session(self.parameters())
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
            version = connection.execute(
                "SELECT current_setting('server_version'), pg_database_size(current_database())"
            ).fetchone()
            assert row
            assert facts
            assert version
            names = ("system_identifier", "timeline", "database_oid", "wal_position")
            timeline = dict(zip(names, facts, strict=True))
            yield Held(connection, row[0], row[1], version[0], timeline, version[1], tables_of(connection))
            connection.rollback()

    def count(self, held: Held) -> Tallies:
        """Begin to count the rows of the tables of a held state."""

        def connect() -> Connection:
            connection = self.connect()
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(held.snapshot)))
            return connection

        wanted = [(name, table, False) for name, tables in held.tables.items() for table in tables]
        return Tallies(connect, wanted, row_hashes)
