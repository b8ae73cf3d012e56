"""Scratch databases: made on the embedded server or on one that the settings name, and always dropped."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from workbench.database.address import Address, parse_address, redact
from workbench.database.connection import DIRECT, embedded_data, is_of_pooler, session
from workbench.database.embedded import start_server
from workbench.errors import DatabaseUnreachable, Refused, UsageError, WorkbenchError
from workbench.settings import Settings

WRITING = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"


@dataclass(frozen=True)
class ScratchServer:
    """The scratch server, at one of its databases.

    Attributes
    ----------
    address : Address
        The server's and the database's.
    embedded : bool
        Whether it is the workbench's own server.
    holder : psycopg.Connection or None
        The session that holds a scratch database for as long as it is needed.
    """

    address: Address
    embedded: bool
    holder: psycopg.Connection[TupleRow] | None = field(default=None, repr=False, compare=False)

    @property
    def where(self) -> str:
        """The server, for a message."""
        host = self.address.where.rpartition("/")[0]
        return "the embedded server" if self.embedded else f"the scratch server on {host}"

    def parameters(self, options: str) -> dict[str, str]:
        """Return libpq's connection parameters, the password among them."""
        return self.address.parameters(options)

    def connect(self, options: str = WRITING, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
        """Open a session; the driver's errors come as they are, see `speaking_plainly`."""
        return session(self.parameters(options), autocommit=autocommit)

    def redacted(self, said: str) -> str:
        """Take the secrets out of what the server said."""
        return redact(said, self.parameters("").get("password", "")).rstrip(".")

    @contextmanager
    def speaking_plainly(self, otherwise: Callable[[str], WorkbenchError]) -> Iterator[None]:
        """Turn the driver's errors into ours, without secrets or rows.

        Parameters
        ----------
        otherwise : callable
            Makes the error of a reason that is neither the server's room, rights nor absence.
        """
        try:
            yield
        except psycopg.Error as error:
            raise self.explained(_said(error), error.sqlstate or "08000", otherwise) from None

    def explained(self, said: str, state: str, otherwise: Callable[[str], WorkbenchError]) -> WorkbenchError:
        """Make the error for what the server said, with its SQLSTATE where that is known."""
        reason = self.redacted(said)
        if is_of_pooler(reason):
            return Refused(f"{self.where} is reached through a connection pooler: {reason}.", DIRECT)
        if state == "53100" or "No space left on device" in reason:
            return WorkbenchError(
                f"There is no room for the snapshot's rows on {self.where}: {reason}.",
                "Make room there, or let scratch_url_env name another server.",
            )
        if state == "42501":
            return WorkbenchError(
                f"No scratch database can be made on {self.where}: {reason}.",
                "Let its user make databases (CREATEDB), or unset scratch_url_env to use the embedded server.",
            )
        if state[:2] in {"08", "28", "3D", "53", "57"}:
            return DatabaseUnreachable(
                f"No connection to {self.where}: {reason}.",
                "Check that it runs"
                + ("." if self.embedded else ", and the URL in the variable that scratch_url_env names."),
            )
        return otherwise(reason)


@contextmanager
def scratch_database(settings: Settings, encoding: str = "UTF8") -> Iterator[ScratchServer]:
    """Make an empty database of a random name, and of an encoding; drop it at the end, whatever happened.

    Raises
    ------
    UsageError
        When the variable that ``scratch_url_env`` names is not set or holds no URL.
    DatabaseUnreachable
        When there is no connection to the server.
    WorkbenchError
        When the database cannot be made there (no right to, no room), or not be dropped.
    """
    server = _server(settings)
    name = f"scratch_{secrets.token_hex(8)}"
    database = sql.Identifier(name)

    def failed(reason: str) -> WorkbenchError:
        return WorkbenchError(f"No scratch database can be made on {server.where}: {reason}.")

    with server.speaking_plainly(failed):
        holder = server.connect(autocommit=True)
    with closing(holder):
        try:
            with server.speaking_plainly(failed):
                # Held to the end: a scratch database that nobody holds is that of a killed process.
                holder.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
                if server.embedded:
                    _drop_left_behind(holder)
                holder.execute(
                    sql.SQL("CREATE DATABASE {} ENCODING {}{} TEMPLATE template0").format(
                        database,
                        encoding,
                        sql.SQL("" if encoding == "UTF8" else " LC_COLLATE 'C' LC_CTYPE 'C'"),
                    )
                )
            address = replace(server.address, url=server.address.url.set(database=name), schema="public")
            yield replace(server, address=address, holder=holder)
        finally:
            try:
                # On a connection of its own: the first may have been lost while the rows were read.
                with server.connect(autocommit=True) as connection:
                    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
            except psycopg.Error as error:
                raise WorkbenchError(
                    f"The database {name}, which holds a snapshot's rows, is left on {server.where}:"
                    f" {server.redacted(_said(error))}.",
                    "The next restore drops it." if server.embedded else "Drop it yourself.",
                ) from error


def _said(error: psycopg.Error) -> str:
    # The first line only: those under it would quote the row.
    return (error.diag.message_primary or str(error)).strip().split("\n")[0]


def _server(settings: Settings) -> ScratchServer:
    name = settings.scratch_url_env
    if name is None:
        uri = start_server(embedded_data(settings)).get_uri()
        return ScratchServer(
            parse_address(uri, named="the embedded server's URL", embedded=True), embedded=True
        )
    url = os.environ.get(name, "")
    if not url.strip():
        raise UsageError(
            f"The variable {name}, which holds the URL of the scratch server, is not set.",
            "Set it, or unset scratch_url_env to use the embedded server.",
        )
    return ScratchServer(parse_address(url, named=f"${name}"), embedded=False)


def _drop_left_behind(connection: psycopg.Connection[TupleRow]) -> None:
    """Drop what killed processes left on the embedded server: it holds people's data."""
    found = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^scratch_[0-9a-f]{16}$'")
    for (name,) in found.fetchall():
        lock = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name]).fetchone()
        if lock == (True,):
            with suppress(psycopg.errors.ObjectInUse):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])
