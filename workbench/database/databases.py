"""The databases of a server: listed, made, dropped, and scratch ones, which are always dropped at the end."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from workbench.database.address import parse_address
from workbench.database.connection import Database, Session, embedded_data
from workbench.database.embedded import start_server
from workbench.database.environment import Environment
from workbench.errors import UsageError, WorkbenchError
from workbench.settings import Settings

SCRATCH = "scratch"


def create(beside: Session, name: str, options: sql.Composable) -> None:
    """Make an empty database, with options of CREATE DATABASE."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}")
    beside.execute(statement.format(sql.Identifier(name), options))


def drop(beside: Session, name: str) -> None:
    """Drop a database, if it is there, whoever is still connected to it."""
    # Nothing is deleted in it first, though a full disk may leave no room for the checkpoint that this takes: to
    # write more there could take the whole server down. It can be dropped later, once there is room.
    beside.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def scratch_database(settings: Settings, encoding: str = "UTF8") -> Iterator[tuple[Database, Session]]:
    """Make an empty database of a random name, and of an encoding; drop it at the end, whatever happened.

    It is made on the embedded server, or on the one that ``scratch_url_env`` names.

    Yields
    ------
    tuple of (Database, psycopg.Connection)
        The database, and a session beside it that lasts as long: a crash of the server ends it.

    Raises
    ------
    UsageError
        When the variable that ``scratch_url_env`` names is not set or holds no URL.
    DatabaseUnreachable
        When there is no connection to the server.
    WorkbenchError
        When the database cannot be made there (no right to, no room), or not be dropped.
    """
    server = _scratch_server(settings)
    name = f"{SCRATCH}_{secrets.token_hex(8)}"
    locale = sql.SQL("" if encoding == "UTF8" else " LC_COLLATE 'C' LC_CTYPE 'C'")
    with server.speaking_plainly():
        holder = server.session(autocommit=True)
    with holder:
        try:
            with server.speaking_plainly():
                # Held to the end: a scratch database that nobody holds is that of a killed process.
                holder.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
                if settings.scratch_url_env is None:
                    _drop_left_behind(holder)
                create(holder, name, sql.SQL("ENCODING {}{}").format(sql.Literal(encoding), locale))
            yield server.at(name), holder
        finally:
            try:
                # On a connection of its own: the first may have been lost while the rows were read.
                with server.session(autocommit=True) as connection:
                    drop(connection, name)
            except psycopg.Error as error:
                raise WorkbenchError(
                    f"The database {name}, which holds a snapshot's rows, is left on {server.environment}:"
                    f" {server.redacted(str(error))}.",
                    "The next restore drops it." if settings.scratch_url_env is None else "Drop it yourself.",
                ) from error


def _scratch_server(settings: Settings) -> Database:
    name = settings.scratch_url_env
    if name is None:
        uri = start_server(embedded_data(settings)).get_uri()
        address = parse_address(uri, named="the embedded server's URL", embedded=True)
        return Database(Environment(SCRATCH, "demo", "the embedded server"), address)
    url = os.environ.get(name, "")
    if not url.strip():
        raise UsageError(
            f"The variable {name}, which holds the URL of the scratch server, is not set.",
            "Set it, or unset scratch_url_env to use the embedded server.",
        )
    address = parse_address(url, named=f"${name}")
    return Database(Environment(SCRATCH, "development", address.where), address)


def _drop_left_behind(connection: Session) -> None:
    """Drop what killed processes left on the embedded server: it holds people's data."""
    names = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^scratch_[0-9a-f]{16}$'")
    for (name,) in names.fetchall():
        lock = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name]).fetchone()
        if lock == (True,):
            with suppress(psycopg.errors.ObjectInUse):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])
