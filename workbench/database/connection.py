"""Connections: one engine per environment, and reading transactions that cannot write.

Promise 1 of the design: looking never writes, and one report sees one consistent state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine, Executable, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from workbench.database.address import CONNECT_TIMEOUT, Address, parse_address, redact
from workbench.database.embedded import embedded_url
from workbench.database.environment import Environment, address_of, guard
from workbench.errors import DatabaseUnreachable, Refused, WorkbenchError
from workbench.settings import EnvironmentSettings, Settings

SPELLING = (
    " -c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
    " -c client_encoding=UTF8 -c array_nulls=on"
)
"""How values are written as text, whatever the database is set to: digests, plans and undo rest on it."""


@dataclass(frozen=True)
class Identity:
    """Which database this really is, from the server itself.

    Attributes
    ----------
    system_identifier : str
        The cluster's own number, given at initdb; two servers never share it, except copies.
    database : str
        The database's name.
    version : str
        The server's version.
    user : str
        The role that is connected.
    """

    system_identifier: str
    database: str
    version: str
    user: str


@dataclass(frozen=True)
class Database:
    """A target that passed the guard, ready to be read.

    Attributes
    ----------
    environment : Environment
        Name, kind and address.
    address : Address
        Its URL; never printed.
    statement_timeout : float
        Longest a single question may take, seconds.
    """

    environment: Environment
    address: Address
    statement_timeout: float = 120.0
    apply_timeout: float = 900.0
    lock_timeout: float = 10.0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open one read-only, repeatable-read transaction.

        Every question asked on it sees the database as it was at the first one. The session
        itself is read-only as well, so that no statement can leave the transaction and write.

        Yields
        ------
        sqlalchemy.Connection
            In a transaction that is always rolled back.

        Raises
        ------
        DatabaseUnreachable
            When there is no connection, or it is lost. A question that ran into the statement
            timeout or lacks a right is a `WorkbenchError` that says so.
        """
        engine = self._engine()
        try:
            with self.speaking_plainly(), engine.connect() as raw:
                connection = raw.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
                with connection.begin() as transaction:
                    yield connection
                    transaction.rollback()
        finally:
            engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[psycopg.Connection[Any]]:
        """Open one transaction that may write; for `workbench.plans.apply` and `workbench.audit.record` alone.

        It ends with the block: committed when that is left without an error, else rolled back
        whole. A statement may take `apply_timeout`, a lock `lock_timeout` seconds.

        Yields
        ------
        psycopg.Connection
            In a read-committed transaction.

        Raises
        ------
        DatabaseUnreachable
            When there is no connection, or it is lost.
        """
        settings = (
            f"-c statement_timeout={_milliseconds(self.apply_timeout)} -c lock_timeout={_milliseconds(self.lock_timeout)}"
            f" -c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed"
            f"{SPELLING} -c search_path={_quoted(self.address.schema)}"
        )
        # Never as a URL: SQLAlchemy leaves spaces in passwords and names as they are, and libpq refuses them there.
        parameters = self.address.parameters(settings) | {
            "connect_timeout": str(CONNECT_TIMEOUT),
            "application_name": "murmurant-workbench apply",
        }
        with (
            self.speaking_plainly("apply_timeout"),
            psycopg.connect(make_conninfo("", **parameters)) as connection,
        ):
            yield connection

    def identify(self, connection: Connection) -> Identity:
        """Ask the server which database this is."""
        row = connection.execute(
            text(
                "SELECT system_identifier::text, current_database(), current_setting('server_version'),"
                " current_user::text FROM pg_control_system()"
            )
        ).one()
        return Identity(*row)

    @contextmanager
    def speaking_plainly(self, limit: str = "statement_timeout") -> Iterator[None]:
        """Turn the driver's errors into ours, with every secret taken out; `limit` is what time is limited by."""
        try:
            yield
        except DBAPIError as error:
            raise self._explained(error.orig, limit, lost=error.connection_invalidated) from None
        except psycopg.Error as error:
            raise self._explained(error, limit) from None

    def _engine(self) -> Engine:
        options = (
            f"-c default_transaction_read_only=on -c statement_timeout={_milliseconds(self.statement_timeout)}"
            f"{SPELLING} -c search_path={_quoted(self.address.schema)}"
        )
        return create_engine(
            self.address.url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT,
                "application_name": "murmurant-workbench",
                "options": options,
            },
        )

    def _explained(self, error: BaseException | None, limit: str, lost: bool = False) -> WorkbenchError:
        where = str(self.environment)
        said = str(error).strip() or type(error).__name__
        reason = redact(said.splitlines()[0], str(self.address.url.password or ""))
        state = getattr(error, "sqlstate", None) or ""
        if state == "57014":
            return WorkbenchError(
                f"A question to {where} took longer than {getattr(self, limit):g} s and was stopped: {reason}.",
                f"Raise {limit} for this environment, or try at a quieter hour.",
            )
        if state == "55P03":
            return Refused(
                f"Somebody else is writing to tables of {where}, and did not finish within {self.lock_timeout:g} s.",
                "Try again in a moment, stop the application, or raise lock_timeout for this environment.",
            )
        if state == "53100":
            return Refused(f"There is no room on the server of {where}: {reason}.", "Make room there.")
        if state == "42501":
            return WorkbenchError(
                f"The database user lacks a right that is needed on {where}: {reason}.",
                "Ask its owner for it; `workbench doctor` lists what is missing for reading.",
            )
        # A lost connection has no state, or one of its own classes; a disk that is full has another (53100).
        gone = isinstance(error, psycopg.OperationalError) and (
            not state or state.startswith(("08", "57P")) or state in {"28000", "28P01", "3D000", "53300"}
        )
        if lost or gone or state.startswith("08"):
            return DatabaseUnreachable(
                f"No connection to {where}: {reason}.",
                "Check that the server runs and that the URL's host, port, user and database are right.",
            )
        return WorkbenchError(f"The database at {where} refused: {reason}.")


def connect(name: str, settings: Settings) -> Database:
    """Resolve an environment to its database, through the guard.

    Parameters
    ----------
    name : str
        An environment of `settings`.

    Raises
    ------
    UsageError
        Unknown name, or its variable is not set or holds no URL.
    WrongEnvironment
        When name, kind and address disagree.
    """
    chosen: EnvironmentSettings = settings.environment(name)
    address = address_of(name, chosen)
    if address is None:
        url = embedded_url(embedded_data(settings), name)
        address = parse_address(url, named="the embedded server")
        environment = Environment(name, chosen.kind, "embedded")
    else:
        environment = guard(name, chosen, address)
    limits = chosen.statement_timeout, chosen.apply_timeout, chosen.lock_timeout
    return Database(environment, address, *limits)


def embedded_data(settings: Settings) -> Path:
    """Return the embedded server's data directory."""
    return settings.home / "postgres"


def frame(
    connection: Connection, statement: Executable, parameters: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Run a question and return its rows as they are.

    Unlike `pandas.read_sql` it leaves numeric values exact (`decimal.Decimal`) and integers
    with gaps whole.

    Returns
    -------
    pandas.DataFrame
        One row per row, columns named as in the statement.
    """
    result = connection.execute(statement, dict(parameters or {}))
    return pd.DataFrame.from_records(result.all(), columns=list(result.keys()))


def raw(connection: Connection) -> psycopg.Connection[Any]:
    """Return the driver's connection under one of SQLAlchemy's, in the same transaction."""
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    return found


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))  # to PostgreSQL, none at all would mean no limit


def _quoted(name: str) -> str:
    # A schema's name goes into a libpq option: quoted for SQL, then escaped for the option string.
    quoted = '"' + name.replace('"', '""') + '"'
    return quoted.replace("\\", "\\\\").replace(" ", "\\ ")
