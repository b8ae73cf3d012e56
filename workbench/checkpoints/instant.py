"""The instant checkpoint: a clone of the database on its own server, for an application that is stopped.

PostgreSQL copies a database's files faster than any dump can be written, but only while nobody is connected.
The clone keeps every row's transaction id, has the same manifest as a dump, and is proved by reading it. It
does not protect from the loss of the server. Settings and grants of the database itself are not cloned.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import psycopg
from psycopg import sql

from workbench.checkpoints.comparing import counted, differences_from, way_of
from workbench.checkpoints.fingerprints import Connection, sequences_of
from workbench.checkpoints.manifest import Contents, Manifest, Verification, flush_folder
from workbench.checkpoints.parts import Part, part
from workbench.checkpoints.snapshot import Advance, Wish, elsewhere
from workbench.checkpoints.source import Source
from workbench.checkpoints.verifying import NotAsSaidError, judged, refuse_differences, size_in_range
from workbench.database.connection import Database, session
from workbench.errors import Refused, UsageError, WorkbenchError
from workbench.murmurant.schema import Schema

CLAIM = "clone.json"
"""In the folder of an unfinished checkpoint: which database on which server is being made."""

PATIENCE = 1.0
"""Seconds in which others may leave."""

_BEFORE = """
SELECT pg_current_snapshot()::text, oid::text, pg_current_wal_lsn()::text FROM pg_database WHERE datname = %s
"""

_MAINTENANCE = ("postgres", "template1")

_CONNECTED = """
SELECT coalesce(usename, 'somebody') || coalesce(' (' || nullif(application_name, '') || ')', '')
       || coalesce(' from ' || host(client_addr), '')
FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'
UNION ALL SELECT 'the prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = %s ORDER BY 1
"""


def create_instant(
    database: Database,
    schema: Schema,
    target: dict[str, str],
    folder: Path,
    wish: Wish,
    advance: Advance,
) -> Manifest:
    """Clone the database beside itself; nobody may be connected meanwhile.

    Parameters
    ----------
    database : Database
        The database.
    schema : Schema
        Murmurant's tables there.
    target : dict
        Which database that is, for the manifest.
    folder : Path
        The backups, where the manifest goes.
    wish : Wish
        By whom, and what for.
    advance : callable
        Told what begins.

    Returns
    -------
    Manifest
        ``kind`` is ``instant``, and ``file`` the clone's name.

    Raises
    ------
    Refused
        While others are connected; it names them.
    WorkbenchError
        When the role may not make databases there, or there is no room.
    """
    if wish.format or wish.jobs or wish.compression:
        raise UsageError("An instant checkpoint is no archive.", "Leave --format, --jobs and --compress out.")
    name = database.address.database
    moment = datetime.now(UTC)
    with part(folder, moment) as made, administration(database) as maintenance:
        # What a transaction that begins later does is not older than this: so before anything is copied.
        before = maintenance.execute(_BEFORE, [name]).fetchone()
        assert before
        _refuse_company(maintenance, name)
        _claim(made.place, target["system_identifier"], made.name)
        advance(f"cloning {name}", 0, 2)
        try:
            _clone(
                maintenance,
                name,
                made.name,
                f"Checkpoint of {name}, {moment:%Y-%m-%d %H:%M} UTC, by {wish.by}",
            )
            advance("counting", 1, 2)
            manifest = _described(database, schema, made, wish, moment)
            timeline = manifest.timeline | {"database_oid": before[1], "wal_position": before[2]}
            manifest = replace(manifest, target=target, transaction=before[0], timeline=timeline)
            made.publish(manifest)
        except psycopg.errors.ObjectInUse:
            _refuse_company(maintenance, name)
            raise
        except BaseException:
            drop_clone(maintenance, made.name)
            raise
    return manifest


def verify_instant(
    database: Database, manifest: Manifest, predecessors: list[Manifest], by: str, *, any_size: bool = False
) -> Verification:
    """Prove a clone: it is restored already, so read all of it and compare."""

    def proved() -> tuple[str, str]:
        size = size_in_range(manifest, predecessors, any_size)
        source = clone_of(database, manifest)
        try:
            with database.speaking_plainly():
                said = differences_from(manifest, source.connect, way_of(manifest))
        except WorkbenchError:
            if not exists(database, manifest.file):
                raise NotAsSaidError(f"The database {manifest.file} is not there any more.") from None
            raise
        refuse_differences(said)
        return f"read in place: {counted(manifest)}; {size}", f"the database {manifest.file} beside it"

    return judged(proved, by)


def clone_of(database: Database, manifest: Manifest) -> Source:
    """Return a clone, to be read."""
    url = database.address.url.set(database=manifest.file)
    return Source(replace(database, address=replace(database.address, url=url)))


def exists(database: Database, name: str) -> bool:
    """Whether there is a database of a name on the same server."""
    with administration(database) as connection:
        return (
            connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None
        )


def drop_clone(maintenance: Connection, name: str) -> None:
    """Drop a clone, whoever reads it."""
    maintenance.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def forget_clone(database: Database, place: Path) -> str:
    """Drop the clone that an unfinished checkpoint claims; return why it could not be, else nothing.

    Parameters
    ----------
    database : Database
        A database on a server; another server's clone is left alone.
    place : Path
        The folder of the unfinished checkpoint.
    """
    try:
        claim = json.loads((place / CLAIM).read_text(encoding="utf-8"))
        server, clone = str(claim["system_identifier"]), str(claim["clone"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        return f"Which database it made cannot be read from {place / CLAIM}."
    try:
        with administration(database) as connection:
            row = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
            if row != (server,):
                return f"It may have left the database {clone} on another server than this."
            drop_clone(connection, clone)
    except WorkbenchError as error:
        return f"The database {clone}, which it left, could not be dropped: {error.what}"
    return ""


def claim_clone(place: Path, manifest: Manifest) -> None:
    """Write down that a clone is to be dropped, before it is."""
    _claim(place, manifest.timeline["system_identifier"], manifest.file)


@contextmanager
def administration(database: Database) -> Iterator[Connection]:
    """Connect to the same server beside the database, to clone or drop databases.

    Raises
    ------
    DatabaseUnreachable
        When there is no connection; other errors of the server are told likewise.
    """
    with database.speaking_plainly("apply_timeout"):
        connection: Connection | None = None
        for name in _MAINTENANCE:
            parameters = database.address.parameters("-c statement_timeout=0 -c lock_timeout=0")
            try:
                connection = session(parameters | {"dbname": name}, autocommit=True)
                break
            except psycopg.OperationalError:
                if name == _MAINTENANCE[-1]:
                    raise
        assert connection
        with connection:
            yield connection


def _refuse_company(maintenance: Connection, name: str) -> None:
    deadline = monotonic() + PATIENCE
    while found := [who for (who,) in maintenance.execute(_CONNECTED, [name, name])]:
        if monotonic() < deadline:  # a session that has just been closed is seen for a moment
            sleep(0.05)
            continue
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise Refused(
            f"Others are connected to {name}: {', '.join(found[:5])}{more}. It can be cloned only while nobody is.",
            "Stop the application, or take a snapshot without --instant, which needs nobody to leave.",
        )


def _claim(place: Path, server: str, clone: str) -> None:
    with (place / CLAIM).open("w", encoding="utf-8") as file:
        json.dump({"system_identifier": server, "clone": clone}, file)
        file.flush()
        os.fsync(file.fileno())
    flush_folder(place)


def _clone(maintenance: Connection, name: str, clone: str, comment: str) -> None:
    """Copy the database's files: twice as fast as through the server's log, and faster where files can be shared."""
    copy, original = sql.Identifier(clone), sql.Identifier(name)
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, original)
    if maintenance.info.server_version >= 150000:
        statement += sql.SQL(" STRATEGY FILE_COPY")
    if maintenance.info.server_version >= 180000:
        try:
            maintenance.execute("SET file_copy_method = clone")
            maintenance.execute(statement)
        except (
            psycopg.errors.InvalidParameterValue,
            psycopg.errors.SystemError,
            psycopg.errors.FeatureNotSupported,
        ):
            maintenance.execute("SET file_copy_method = copy")  # this file system shares nothing
            maintenance.execute(statement)
    else:
        maintenance.execute(statement)
    # It holds the data of people, and must stay as it is.
    maintenance.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(copy))
    maintenance.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(copy))
    maintenance.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(copy, sql.Literal(comment)))


def _described(database: Database, schema: Schema, made: Part, wish: Wish, moment: datetime) -> Manifest:
    """Count and digest the clone, which nobody has touched: it is what the database was."""
    url = database.address.url.set(database=made.name)
    source = Source(replace(database, address=replace(database.address, url=url)))
    with source.exported() as held:
        states = sequences_of(held.connection)
        contents = source.tally(held, schema).contents()
    here = schema.catalogue.schema
    return Manifest(
        snapshot=made.name,
        kind="instant",
        format="database",
        compression="",
        file=made.name,
        sha256="",
        size=held.database_size,
        tool_version="",
        server_version=held.server_version,
        target={},
        schema=here,
        dialect=schema.dialect,
        created_at=moment.isoformat(timespec="seconds"),
        created_by=wish.by,
        precedes=wish.precedes,
        reason=wish.reason,
        transaction=held.transaction,
        timeline=held.timeline,
        tables=contents.get(here, Contents()).tables,
        sequences=states.get(here, {}),
        elsewhere=elsewhere(contents, states, here),
        database_size=held.database_size,
        folder=made.folder,
    )
