"""The server around a database: which databases stand there, which are ours, and what this user may do.

A database that is to be renamed cannot be connected to meanwhile; all this is asked from another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from workbench.database.address import redact
from workbench.database.connection import SPELLING, Database, session
from workbench.database.exclusion import RESTORING
from workbench.errors import DatabaseUnreachable, Refused, WorkbenchError

_PLACES = ("postgres", "template1")
"""Databases that nearly every server has, to ask from."""

_LONG = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"

_LONGEST = 63  # bytes of a name

_DURABLE = f"{SPELLING} -c synchronous_commit=on"

Session = psycopg.Connection[Any]


@dataclass(frozen=True)
class Standing:
    """A database as it stands in the cluster.

    Attributes
    ----------
    name, owner : str
        Its name and its owner's.
    oid : int
        What it keeps when it is renamed.
    comment : str
        What is said of it.
    ours : bool
        Whether this user may do what its owner may.
    """

    name: str
    oid: int
    owner: str
    comment: str
    ours: bool


@dataclass(frozen=True)
class Cluster:
    """The server of one database.

    Attributes
    ----------
    database : Database
        The target, which passed the environment guard.
    tools : Path or None
        The configured folder of client programs.
    """

    database: Database
    tools: Path | None = None

    @property
    def live(self) -> str:
        """The name that the application knows."""
        return self.database.address.database

    def at(self, name: str) -> Database:
        """Return another database of the same server, as the same user."""
        live = self.database.address
        address = replace(live, url=live.url.set(database=name))
        limits = self.database.statement_timeout, self.database.apply_timeout, self.database.lock_timeout
        return Database(self.database.environment, address, *limits)

    def parameters(self, name: str, options: str = "") -> dict[str, str]:
        """Return libpq's parameters for a database of the server, the password among them."""
        found = self.at(name).address.parameters(f"{_LONG} {options}")
        return {**found, "application_name": RESTORING}

    def connect(self, name: str, *, autocommit: bool = False, options: str = SPELLING) -> Session:
        """Open a session at a database; the driver's errors come as they are, see `speaking_plainly`."""
        return session(self.parameters(name, options), autocommit=autocommit)

    @contextmanager
    def beside(self) -> Iterator[Session]:
        """Open a session at another database than the live one, from which that can be renamed.

        Raises
        ------
        Refused
            When there is none that this user may connect to.
        DatabaseUnreachable
            When the server does not answer.
        """
        self.database.refuse_pooler("A restore")
        refused: psycopg.Error | None = None
        for place in _PLACES:
            if place == self.live:
                continue
            try:
                connection = self.connect(place, autocommit=True, options=_DURABLE)
            except psycopg.OperationalError as error:
                if (
                    error.sqlstate is None
                    and "does not exist" not in str(error)
                    and "FATAL" not in str(error)
                ):
                    raise self.lost(error) from None
                refused = error
                continue
            with self.speaking_plainly(), connection:
                yield connection
            return
        raise Refused(
            f"No database beside {self.live} can be connected to on its server: {self.redacted(refused)}.",
            "Let its user connect to the database 'postgres', or restore --in-place.",
        )

    def standing(self, beside: Session) -> dict[str, Standing]:
        """Return the databases of the server by name, templates aside."""
        found = beside.execute(
            "SELECT d.datname, d.oid::bigint, pg_get_userbyid(d.datdba),"
            " coalesce(shobj_description(d.oid, 'pg_database'), ''), pg_has_role(d.datdba, 'USAGE')"
            " FROM pg_database d WHERE d.datname <> 'template0' ORDER BY 1"
        )
        return {row[0]: Standing(*row) for row in found}

    def system_identifier(self, beside: Session) -> str:
        """Return the cluster's own number."""
        row = beside.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
        assert row is not None
        return str(row[0])

    def server_version(self, beside: Session) -> int:
        """Return the server's major version."""
        return beside.info.server_version // 10000

    def may_rename(self, beside: Session, live: Standing | None) -> str:
        """Return why this user may not restore into a new database and rename; empty when they may."""
        row = beside.execute(
            "SELECT rolsuper OR rolcreatedb, rolname FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row is not None
        if not row[0]:
            return f"the database user {row[1]} may not make databases (CREATEDB)"
        if live is not None and not live.ours:
            return f"the database user {row[1]} does not own {live.name}, {live.owner} does"
        return ""

    def drop(self, beside: Session, name: str) -> None:
        """Drop a database that a restore made, whoever is still connected to it."""
        # Nothing is deleted in it first, though a full disk may leave no room for the checkpoint that this takes: to
        # write more there could take the whole server down. It can be dropped later, once there is room.
        beside.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def redacted(self, error: BaseException | None) -> str:
        """Return the first line of what the server said, without secrets."""
        said = str(error or "").strip() or type(error).__name__
        if isinstance(error, psycopg.Error) and error.diag.message_primary:
            said = error.diag.message_primary
        return redact(said.splitlines()[0], str(self.database.address.url.password or "")).rstrip(".")

    def lost(self, error: BaseException) -> DatabaseUnreachable:
        """Make the error for a server that does not answer."""
        return DatabaseUnreachable(
            f"No connection to the server of {self.database.environment}: {self.redacted(error)}.",
            "Check that it runs.",
        )

    @contextmanager
    def speaking_plainly(self) -> Iterator[None]:
        """Turn the driver's errors into ours, with every secret taken out."""
        try:
            yield
        except psycopg.Error as error:
            state = error.sqlstate or "08000"
            if state[:2] in {"08", "28", "57"} and state != "57014":
                raise self.lost(error) from None
            if state == "53100":
                raise Refused(
                    f"There is no room on the server of {self.database.environment}: {self.redacted(error)}.",
                    "Make room there.",
                ) from None
            raise WorkbenchError(
                f"The server of {self.database.environment} refused: {self.redacted(error)}."
            ) from None


def name_beside(live: str, ending: str) -> str:
    """Return a name for a database beside the live one, no longer than a name may be."""
    room = _LONGEST - len(ending.encode())
    return live.encode()[:room].decode(errors="ignore") + ending
