"""The databases of a server: connect, list, create, rename, drop; and scratch databases, dropped after use."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from workbench.database.address import parse_address
from workbench.database.connection import Database, Session
from workbench.database.embedded import start_server
from workbench.database.environment import Environment, address_in, guard
from workbench.errors import WorkbenchError
from workbench.settings import Settings

SCRATCH = "scratch"
_MAX_NAME = 63  # bytes


def connect(name: str, settings: Settings) -> Database:
    """Return the database of an environment, after the guard.

    Parameters
    ----------
    name : str
        An environment of `settings`.

    Raises
    ------
    UsageError
        For an unknown name, or when its variable is not set or holds no URL.
    WrongEnvironment
        When name, kind and address disagree.
    """
    chosen = settings.environment(name)
    limits = chosen.statement_timeout, chosen.apply_timeout, chosen.lock_timeout
    if chosen.url_env is None:
        embedded = embedded_database(embedded_data(settings), name)
        return Database(Environment(name, chosen.kind, "embedded"), embedded.address, *limits)
    address = address_in(chosen.url_env, f"environment {name!r}")
    return Database(guard(name, chosen, address), address, *limits)


def embedded_data(settings: Settings) -> Path:
    """Return the embedded server's data directory."""
    return settings.home / "postgres"


def embedded_database(data: Path, name: str, *, anew: bool = False) -> Database:
    """Return a database of the embedded server; a missing one is created, and `anew` replaces it by an empty one."""
    server = _embedded_server(data)
    with server.translate_errors(), server.session(autocommit=True) as beside:
        # One process at a time.
        beside.execute("SELECT pg_advisory_lock(hashtext('murmurant-workbench databases'))")
        if anew:
            drop(beside, name)
        if name not in standing(beside):
            create(beside, name, "ENCODING 'UTF8'")
    return server.at(name)


def _embedded_server(data: Path) -> Database:
    address = parse_address(start_server(data).get_uri(), named="the embedded server", embedded=True)
    return Database(Environment(SCRATCH, "demo", "the embedded server"), address)


@dataclass(frozen=True)
class Standing:
    """A database of a server.

    Attributes
    ----------
    name : str
        Its name.
    oid : int
        Its id, which a renaming does not change.
    owner : str
        The owning role.
    comment : str
        Its comment, or "".
    ours : bool
        Whether this user has its owner's rights.
    """

    name: str
    oid: int
    owner: str
    comment: str
    ours: bool


@contextmanager
def connect_beside(database: Database) -> Iterator[Session]:
    """Open a session with another database of the server, from which this one can be renamed.

    Raises
    ------
    Refused
        Behind a connection pooler.
    DatabaseUnreachable
        When the server does not answer, or this user may not connect there.
    """
    database.refuse_pooler()
    # A database that nearly every server has.
    place = database.at("template1" if database.address.database == "postgres" else "postgres")
    with database.translate_errors(), place.session({"synchronous_commit": "on"}, autocommit=True) as beside:
        yield beside


def standing(beside: Session) -> dict[str, Standing]:
    """Return the databases of the server by name."""
    rows = beside.execute(
        "SELECT d.datname, d.oid::bigint, pg_get_userbyid(d.datdba),"
        " coalesce(shobj_description(d.oid, 'pg_database'), ''), pg_has_role(d.datdba, 'USAGE')"
        " FROM pg_database d WHERE d.datname <> 'template0' ORDER BY 1"
    )
    return {row[0]: Standing(*row) for row in rows}


def cannot_replace(beside: Session, live: Standing | None) -> str:
    """Return why this user may not replace the live database by a new one; empty when they may."""
    [(may_create, user)] = beside.execute(
        "SELECT rolsuper OR rolcreatedb, rolname FROM pg_roles WHERE rolname = current_user"
    )
    if not may_create:
        return f"the database user {user} may not create databases (CREATEDB)"
    if live is not None and not live.ours:
        return f"{live.name} belongs to {live.owner}, not to the database user {user}"
    return ""


def name_beside(live: str, ending: str) -> str:
    """Return the live database's name with an ending, shortened to the longest possible name."""
    length = _MAX_NAME - len(ending.encode())
    return live.encode()[:length].decode(errors="ignore") + ending


def create(beside: Session, name: str, options: str = "") -> None:
    """Create an empty database, with options of CREATE DATABASE as pg_dump writes them."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
    beside.execute(f"{statement.as_string(beside)} {options}".encode())


def drop(beside: Session, name: str) -> None:
    """Drop a database if it exists, and disconnect its sessions."""
    beside.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def rename(beside: Session, renames: Mapping[str, str], comments: Mapping[str, str]) -> None:
    """Rename databases without sessions, in order, and set comments, in one transaction."""
    with beside.transaction():
        for name, new in renames.items():
            statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            beside.execute(statement.format(sql.Identifier(name), sql.Identifier(new)))
        for name, comment in comments.items():
            statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
            beside.execute(statement.format(sql.Identifier(name), sql.Literal(comment or None)))


@contextmanager
def scratch_database(settings: Settings, encoding: str = "UTF8") -> Iterator[tuple[Database, Session]]:
    """Create an empty database with a random name on the embedded server or ``scratch_url_env``'s; drop it at the end.

    Yields
    ------
    tuple of (Database, psycopg.Connection)
        The database, and a session with the server that lasts as long; a crash of the server ends it.

    Raises
    ------
    UsageError
        When the variable that ``scratch_url_env`` names is not set or holds no URL.
    DatabaseUnreachable
        When there is no connection to the server.
    WorkbenchError
        When the database cannot be created or dropped.
    """
    if settings.scratch_url_env is None:
        server = _embedded_server(embedded_data(settings))
    else:
        address = address_in(settings.scratch_url_env, "the scratch server")
        server = Database(Environment(SCRATCH, "development", address.where), address)
    name = f"{SCRATCH}_{secrets.token_hex(8)}"
    locale = "" if encoding == "UTF8" else " LC_COLLATE 'C' LC_CTYPE 'C'"
    with server.translate_errors():
        holder = server.session(autocommit=True)
    with holder:
        try:
            with server.translate_errors():
                # Held to the end: a scratch database without its lock belongs to a killed process.
                holder.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
                if server.address.embedded:
                    _drop_left_behind(holder)
                create(holder, name, f"ENCODING {encoding}{locale}")
            yield server.at(name), holder
        finally:
            try:
                # On a new connection: the first may have been lost.
                with server.session(autocommit=True) as connection:
                    drop(connection, name)
            except psycopg.Error as error:
                raise WorkbenchError(
                    f"The scratch database {name}, with people's data, could not be dropped on {server.environment}:"
                    f" {server.redacted(str(error))}.",
                    "The next use of a snapshot drops it."
                    if server.address.embedded
                    else "Drop it yourself.",
                ) from error


def _drop_left_behind(connection: Session) -> None:
    """Drop the scratch databases of killed processes: they hold people's data."""
    names = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^scratch_[0-9a-f]{16}$'")
    for (name,) in names.fetchall():
        lock = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name]).fetchone()
        if lock == (True,):
            with suppress(psycopg.errors.ObjectInUse):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])
