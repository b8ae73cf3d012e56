"""``snapshot create``: archive one consistent state of the database, with a manifest of what it contains.

One transaction exports its snapshot; pg_dump and the sessions that digest the tables import it, so that manifest and
archive describe the same rows.
"""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from workbench.audit.digest import own_digest
from workbench.database.archives import Advance, dump, read_listing
from workbench.database.connection import SESSION_OPTIONS, Database
from workbench.database.encoding import encoding_for
from workbench.database.programs import program_for
from workbench.murmurant.schema import Schema
from workbench.session import Session as Workbench
from workbench.snapshots.archive import digest_of
from workbench.snapshots.contents import Connection, digests_of, lock_tables, tables_of
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.store import part, publish

_STATE = """
SELECT pg_export_snapshot(), current_setting('server_version'), pg_database_size(oid)
FROM pg_database WHERE datname = current_database()
"""


def create_snapshot(
    wb: Workbench,
    schema: Schema | None,
    advance: Advance,
    *,
    precedes: str | None = None,
    reason: str | None = None,
) -> Manifest:
    """Take a snapshot with pg_dump; it is listed once it is complete and on disk.

    Parameters
    ----------
    schema : Schema or None
        Murmurant's tables; None if the database does not have them any more.
    advance : callable
        Called with what begins, how many tables are done, and how many there are.
    precedes, reason : str, optional
        The run it is taken before; why it is taken.

    Raises
    ------
    Refused
        When every pg_dump is older than the server or cannot connect, or a table stays locked.
    DocumentError
        When no pg_restore here can read the archive.
    WorkbenchError
        When pg_dump fails or the disk is full; nothing is kept.
    """
    database, target, tools = wb.database, wb.target, wb.settings.client_tools
    moment = datetime.now(UTC).replace(microsecond=0)
    with (
        database.translate_errors("lock_timeout"),
        _session(database) as connection,
        part(wb.settings.backups, moment) as (archive, lock),
        ThreadPoolExecutor(1) as pool,
    ):
        lock_tables(connection, "ACCESS SHARE")  # no TRUNCATE comes between the export and pg_dump
        [(exported, version, database_size)] = connection.execute(_STATE)
        tables = tables_of(connection, target.schema)
        waiting, total = iter(tables), len(tables)
        parameters = database.address.parameters(
            f"{SESSION_OPTIONS} -c client_encoding={encoding_for(connection)}"
        )
        program = program_for("pg_dump", version, tools, parameters)

        def connect() -> Connection:
            session = _session(database)
            session.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(exported))
            return session

        digests = pool.submit(digests_of, connect, waiting)
        try:
            begun = itertools.count(1)
            compression = dump(
                *(program, database, parameters, archive, f"--snapshot={exported}"),
                lock=lock,
                advance=lambda what: advance(what, min(next(begun), total), total),
            )
            advance("checking the archive", total, total)
            read_listing(archive, tools)  # refuses what no pg_restore here can read
            states = digests.result()
        finally:
            deque(waiting, 0)  # after a failure the remaining digests are not needed
        own = {label for schema_name, _, label in tables if schema_name == target.schema}
        manifest = Manifest(
            compression=compression,
            sha256=digest_of(archive),
            size=archive.stat().st_size,
            tool_version=program.version,
            server_version=version,
            target=target,
            created_at=moment,
            created_by=wb.settings.operator,
            precedes=precedes,
            reason=reason,
            database_size=database_size,
            log=own_digest(connection, schema) if schema else None,
            tables={label: state for label, state in states.items() if label in own},
            elsewhere={label: state for label, state in states.items() if label not in own},
        )
        return publish(archive, manifest)


def _session(database: Database) -> Connection:
    """Open a read-only, repeatable-read session without a statement timeout."""
    connection = database.session({"lock_timeout": str(max(1, int(database.lock_timeout * 1000)))})
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection
