"""``snapshot create``: one consistent state of the database as an archive, with what was in it beside it.

One transaction exports its snapshot; pg_dump and the sessions that digest the tables import it, so that the manifest
says of the very rows that the archive has.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from workbench.snapshots.contents import (
    Connection,
    Name,
    SequenceState,
    TableState,
    digests_of,
    tables_of,
)
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.store import part

_STATE = """
SELECT pg_export_snapshot(), current_setting('server_version'), pg_database_size(oid)
FROM pg_database WHERE datname = current_database()
"""

_NAME = r'((?:"(?:[^"]|"")+"|[^".])+)'
_SEQUENCE = re.compile(
    rf"^SELECT pg_catalog\.setval\('{_NAME}\.{_NAME}', (-?\d+), (true|false)\);$", re.MULTILINE
)


def create_snapshot(
    wb: Workbench,
    schema: Schema | None,
    advance: Advance,
    *,
    precedes: str | None = None,
    reason: str | None = None,
) -> Manifest:
    """Take a snapshot with pg_dump: written under a temporary name, flushed, then listed.

    Parameters
    ----------
    schema : Schema or None
        Murmurant's tables; None where the database does not hold them any more.
    advance : callable
        Told what begins, how many tables are done, and how many there are.
    precedes, reason : str, optional
        Before which run, and why.

    Raises
    ------
    Refused
        When every pg_dump is older than the server or cannot connect, or somebody holds a lock too long.
    DocumentError
        When no pg_restore here reads what pg_dump wrote.
    WorkbenchError
        When pg_dump fails, or there is no room; nothing is kept then.
    """
    database, target, tools = wb.database, wb.target, wb.settings.client_tools
    moment = datetime.now(UTC).replace(microsecond=0)
    with (
        database.translate_errors("lock_timeout"),
        _session(database) as connection,
        part(wb.settings.backups, moment) as archive,
        ThreadPoolExecutor(1) as pool,
    ):
        _lock_tables(connection)
        [(exported, version, database_size)] = connection.execute(_STATE)
        tables = tables_of(connection)
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
                *(program, database, parameters, archive.path, f"--snapshot={exported}"),
                lock=archive.lock,
                advance=lambda what: advance(what, min(next(begun), total), total),
            )
            advance("checking what was written", total, total)
            sha256, sequences = digest_of(archive.path), sequences_in(archive.path, tools)
            schemas: dict[str, dict[str, Any]] = defaultdict(dict)
            for (schema_name, name), state in {**digests.result(), **sequences}.items():
                schemas[schema_name][name] = state
        finally:
            deque(waiting, 0)  # after a failure nobody wants the rest
        main = schemas.pop(target.schema, {})
        manifest = Manifest(
            compression=compression,
            sha256=sha256,
            size=archive.path.stat().st_size,
            tool_version=program.version,
            server_version=version,
            target=target,
            dialect=schema.dialect if schema else "",
            created_at=moment,
            created_by=wb.settings.operator,
            precedes=precedes,
            reason=reason,
            database_size=database_size,
            log=own_digest(connection, schema) if schema else None,
            tables={name: state for name, state in main.items() if isinstance(state, TableState)},
            sequences={name: state for name, state in main.items() if isinstance(state, SequenceState)},
            elsewhere=schemas,
        )
        return archive.publish(manifest)


def _lock_tables(connection: Connection) -> None:
    """Keep the tables from being emptied or dropped, before the state is chosen: no TRUNCATE comes between it and pg_dump."""
    names = [sql.SQL("ONLY {}").format(sql.Identifier(*name)) for name in tables_of(connection)]
    connection.rollback()
    if names:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.SQL(", ").join(names)))


def _session(database: Database) -> Connection:
    """Open a session without limits of time, whose transactions are repeatable-read and read-only."""
    connection = database.session({"lock_timeout": str(max(1, int(database.lock_timeout * 1000)))})
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def sequences_in(archive: Path, tools: Path | None) -> dict[Name, SequenceState]:
    """Read from an archive where its sequences stand: no transaction holds them still."""
    listing = read_listing(archive, tools)
    entries = listing.of("SEQUENCE SET")
    script = listing.script(entries) if entries else ""
    return {
        (_bare(schema), _bare(name)): SequenceState(int(last), called == "true")
        for schema, name, last, called in _SEQUENCE.findall(script)
    }


def _bare(name: str) -> str:
    name = name.replace("''", "'")
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
