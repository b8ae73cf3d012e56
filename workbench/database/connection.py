"""Database sessions: read-only transactions for looking, writing transactions for apply, and error translation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from workbench.database.address import Address, redact, without_client_variables
from workbench.database.encoding import encoding_for
from workbench.database.environment import Environment
from workbench.database.values import prepare
from workbench.errors import DatabaseUnreachable, Refused, UsageError, WorkbenchError

_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "array_nulls": "on",
    "jit": "off",  # compiling costs more than it saves: no statement runs twice
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_read_only": "off",
}

SESSION_OPTIONS = "".join(f" -c {name}={value}" for name, value in _SETTINGS.items())
"""How values are written as text, and no time limits, whatever the database's defaults: digests, plans and undo depend on
it. These options are for client programs; our own sessions use `configure`."""

Session = psycopg.Connection[Any]

# Settings that an older server does not know are left out.
_SET_CONFIG = """
    SELECT name, set_config(name, value, %s) FROM unnest(%s::text[], %s::text[]) AS s(name, value)
    WHERE current_setting(name, true) IS NOT NULL
"""
_CURRENT = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS s(name)"
_DIRECT = (
    "Use the URL of the server itself: hosted services call it direct or non-pooling; behind PgBouncer it is usually on"
    " port 5432."
)

_Parameters = ParamSpec("_Parameters")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Identity:
    """Which database this is, according to the server.

    Attributes
    ----------
    system_identifier : str
        The cluster's number, given at initdb; only copies of a cluster share it.
    database : str
        The database's name.
    version : str
        The server's version.
    user : str
        The connected role.
    """

    system_identifier: str
    database: str
    version: str
    user: str


@dataclass(frozen=True)
class Database:
    """A database that passed the environment guard.

    Attributes
    ----------
    environment : Environment
        Name, kind and address.
    address : Address
        Its parsed URL; never printed.
    statement_timeout, apply_timeout : float
        Limits for one statement when looking and when applying, seconds.
    lock_timeout : float
        Limit for waiting for a lock when applying, seconds.
    """

    environment: Environment
    address: Address
    statement_timeout: float = 120.0
    apply_timeout: float = 900.0
    lock_timeout: float = 10.0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open one read-only, repeatable-read transaction.

        Every query in it sees the same state. The session is read-only too, so that no statement can end the
        transaction and write.

        Yields
        ------
        sqlalchemy.Connection
            Always rolled back.

        Raises
        ------
        DatabaseUnreachable
            When there is no connection, or it is lost. A statement timeout or a missing right is a `WorkbenchError`.
        """
        settings = self._for_looking()
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._open(settings),
            poolclass=NullPool,
            hide_parameters=True,
            use_native_hstore=False,  # saves a query per connection
        )
        with self.translate_errors(), engine.connect() as plain:
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            configure(raw(connection), settings, local=True)
            yield connection

    def look(self) -> Session:
        """Open a read-only transaction as `reading` does, as a psycopg connection; errors are not translated."""
        return self._begin(self._for_looking())

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that may write; only `workbench.plans.apply` and `workbench.audit.record` use it.

        It is committed at the end of the block, or rolled back on an error.

        Yields
        ------
        psycopg.Connection
            In a read-committed transaction.

        Raises
        ------
        DatabaseUnreachable
            When there is no connection, or it is lost.
        """
        settings = self._limits(self.apply_timeout) | {
            "application_name": "murmurant-workbench apply",
            "lock_timeout": str(_milliseconds(self.lock_timeout)),
        }
        with self.translate_errors("apply_timeout"), self._begin(settings, writing=True) as connection:
            yield connection

    def at(self, name: str) -> Database:
        """Return another database of the same server, for the same user."""
        conninfo = make_conninfo(self.address.conninfo, dbname=name)
        return replace(self, address=replace(self.address, conninfo=conninfo))

    def session(self, settings: Mapping[str, str] | None = None, *, autocommit: bool = False) -> Session:
        """Open a session without time limits, unless `settings` set them; errors are not translated.

        Raises
        ------
        Refused
            Behind a connection pooler, which gives each transaction another session.
        """
        connection = self._open(settings or {}, whole=True)
        connection.autocommit = autocommit
        return connection

    def refuse_pooler(self) -> None:
        """Raise `Refused` behind a connection pooler; a server that does not answer is left to the next connection."""
        with suppress(psycopg.OperationalError):
            self.session().close()

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
    def translate_errors(self, limit: str = "statement_timeout") -> Iterator[None]:
        """Turn driver errors into ours, without secrets; `limit` names the setting that limits the time."""
        try:
            yield
        except DBAPIError as error:
            state = "08006" if error.connection_invalidated else _state(error.orig)
            raise self.translate(str(error.orig), state, limit) from None
        except psycopg.Error as error:
            raise self.translate(error.diag.message_primary or str(error), _state(error), limit) from None

    def redacted(self, message: str) -> str:
        """Return the first line of a server's or program's message without secrets; further lines may quote rows."""
        first = (message.strip() or "no reason given").splitlines()[0]
        return redact(first, self.address.parameters().get("password", "")).rstrip(".")

    def translate(self, message: str, state: str, limit: str = "statement_timeout") -> WorkbenchError:
        """Return our error for a server message, by its SQLSTATE.

        Parameters
        ----------
        message : str
            From the server or a client program.
        state : str
            The SQLSTATE; empty when unknown.
        limit : str
            The name of the time limit in force.
        """
        where, reason = str(self.environment), self.redacted(message)
        # PgBouncer takes no startup options, and no transactions in statement mode.
        if "unsupported startup parameter" in reason or "in statement pooling mode" in reason:
            return Refused(f"The connection pooler of {where} refuses: {reason}.", _DIRECT)
        if re.match("connection is bad: (invalid|weak) ", reason):
            return UsageError(
                f"A connection parameter of {where} is wrong: {reason.partition(': ')[2]}.",
                "Correct it in the URL or in the shell's variables.",
            )
        match state:
            case "57014":
                return WorkbenchError(
                    f"A query on {where} took longer than {getattr(self, limit):g} s and was cancelled: {reason}.",
                    f"Raise {limit} for this environment, or try again at a quieter time.",
                )
            case "55P03":
                return Refused(
                    f"Another session is writing to tables of {where} and did not finish within {self.lock_timeout:g} s.",
                    "Try again in a moment, stop the application, or raise lock_timeout for this environment.",
                )
            case "53100":
                return Refused(
                    f"The server of {where} is out of disk space: {reason}.", "Free some space on it."
                )
            case "42501":
                return WorkbenchError(
                    f"The database user lacks a right on {where}: {reason}.",
                    "Ask the owner for it; `workbench doctor` lists the rights that reading needs.",
                )
        # 53300 is too many connections; a full disk is of the same class.
        if state.startswith(("08", "57P")) or state in {"28000", "28P01", "3D000", "53300"}:
            return DatabaseUnreachable(
                f"No connection to {where}: {reason}.",
                "Check that the server runs, and the host, port, user and database in the URL.",
            )
        return WorkbenchError(f"The database at {where} refused: {reason}.")

    def _limits(self, seconds: float) -> dict[str, str]:
        quoted = self.address.schema.replace('"', '""')
        # Rows hidden by row level security are an error, never silently missing.
        limit = str(_milliseconds(seconds))
        return {"statement_timeout": limit, "search_path": f'"{quoted}"', "row_security": "off"}

    def _for_looking(self) -> dict[str, str]:
        return self._limits(self.statement_timeout) | {"default_transaction_read_only": "on"}

    def _begin(self, settings: Mapping[str, str], *, writing: bool = False) -> Session:
        connection, level = self._open(settings), psycopg.IsolationLevel
        connection.isolation_level = level.READ_COMMITTED if writing else level.REPEATABLE_READ
        connection.read_only = not writing
        configure(connection, settings, local=True)
        return connection

    def _open(self, settings: Mapping[str, str], *, whole: bool = False) -> Session:
        """Connect. Behind a pooler, settings are made per transaction instead of per session."""
        with without_client_variables():
            connection = psycopg.connect(make_conninfo("", **self.address.parameters()), autocommit=True)
        try:
            prepare(connection)
            if not pooled(connection):
                configure(connection, settings)
            elif whole:
                raise Refused(
                    f"This needs a direct connection; {self.environment} is reached through a connection pooler.",
                    _DIRECT,
                )
            else:  # another client of the same server session may use the same statement names
                connection.prepare_threshold = None
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection


def cached_per_connection(function: Callable[_Parameters, _Answer]) -> Callable[_Parameters, _Answer]:
    """Cache a function's results for as long as its first argument, a connection, is open.

    A connection sees one state all that time. Callers must not change the results.
    """

    @wraps(function)
    def cached(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Answer:
        connection: Any = args[0]
        key = function, *map(id, args), *map(id, kwargs.values())
        if key not in connection.info:
            # Keep the arguments alive: a new object could get the id of a dead one.
            connection.info[key] = args, kwargs, function(*args, **kwargs)
        answer: _Answer = connection.info[key][-1]
        return answer

    return cached


def raw(connection: Connection) -> Session:
    """Return the psycopg connection of a SQLAlchemy connection, in the same transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def configure(connection: Session, settings: Mapping[str, str], *, local: bool = False) -> None:
    """Make settings for the session or (`local`) the transaction, and check that they took effect.

    Startup options would not do: poolers refuse them, and variables such as ``PGTZ`` override them.

    Raises
    ------
    Refused
        When a proxy in between dropped them.
    """
    defaults = _SETTINGS | {"transaction_timeout": "0", "client_encoding": encoding_for(connection)}
    wanted = {**defaults, **settings}
    requested = connection.execute(_SET_CONFIG, [local, list(wanted), list(wanted.values())]).fetchall()
    current = connection.execute(_CURRENT, [[name for name, _ in requested]]).fetchall()
    if missing := sorted({*requested} - {*current}):
        name = missing[0][0]
        raise Refused(f"The setting {name} has no effect here, so values could be misread.", _DIRECT)


def pooled(connection: Session) -> bool:
    """Whether a pooler or proxy is in between: it reports another process id than the server that answers."""
    return connection.execute("SELECT pg_backend_pid()").fetchone() != (connection.info.backend_pid,)


def _state(error: BaseException | None) -> str:
    """Return an error's SQLSTATE, or that of a lost connection, which has none."""
    state = getattr(error, "sqlstate", None) or ""
    return state or ("08006" if isinstance(error, psycopg.OperationalError) else "")


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))  # 0 would mean no limit
