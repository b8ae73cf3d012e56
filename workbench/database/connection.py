"""Connections: one engine per environment, and reading transactions that cannot write.

Looking never writes, and one report sees one consistent state.
"""

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

_USUAL = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "array_nulls": "on",
    "jit": "off",  # no statement here is asked twice, and to compile one costs more than it saves
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_read_only": "off",
}

SESSION_OPTIONS = "".join(f" -c {name}={value}" for name, value in _USUAL.items())
"""How values are written as text, whatever the database is set to, and no limits of time: digests, plans and undo rest
on it. For programs, which are told by an option. A session of ours is told once it stands: see `configure`."""

Session = psycopg.Connection[Any]

# What an older server does not know is left out.
_SET = """
    SELECT name, set_config(name, value, %s) FROM unnest(%s::text[], %s::text[]) AS s(name, value)
    WHERE current_setting(name, true) IS NOT NULL
"""
_STANDING = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS s(name)"
_DIRECT = (
    "Use the server's own URL instead: hosted services call it direct or non-pooling; with PgBouncer it is that of the"
    " server behind it, usually on port 5432."
)

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


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
        settings = self._for_looking()
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._open(settings),
            poolclass=NullPool,
            hide_parameters=True,
            use_native_hstore=False,  # or SQLAlchemy looks for the type on each connection
        )
        with self.translate_errors(), engine.connect() as plain:
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            configure(raw(connection), settings, local=True)
            yield connection

    def look(self) -> Session:
        """Open one reading transaction as `reading` does, as the driver's connection; the driver's errors come as they are."""
        return self._begin(self._for_looking())

    @contextmanager
    def writing(self) -> Iterator[Session]:
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
        settings = self._limits(self.apply_timeout) | {
            "application_name": "murmurant-workbench apply",
            "lock_timeout": str(_milliseconds(self.lock_timeout)),
        }
        with self.translate_errors("apply_timeout"), self._begin(settings, writing=True) as connection:
            yield connection

    def at(self, name: str) -> Database:
        """Return another database of the same server, as the same user."""
        conninfo = make_conninfo(self.address.conninfo, dbname=name)
        return replace(self, address=replace(self.address, conninfo=conninfo))

    def session(self, settings: Mapping[str, str] | None = None, *, autocommit: bool = False) -> Session:
        """Open a session of its own, which takes as long as it needs unless its settings say otherwise.

        The driver's errors come as they are, see `translate_errors`.

        Raises
        ------
        Refused
            Where a pooler lends each transaction another session; with the address that is needed.
        """
        connection = self._open(settings or {}, whole=True)
        connection.autocommit = autocommit
        return connection

    def refuse_pooler(self) -> None:
        """Refuse what needs sessions of its own behind a pooler; a server that does not answer is left to whoever comes next."""
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
        """Turn the driver's errors into ours, with every secret taken out; `limit` is what time is limited by."""
        try:
            yield
        except DBAPIError as error:
            state = "08006" if error.connection_invalidated else _state(error.orig)
            raise self.translate(str(error.orig), state, limit) from None
        except psycopg.Error as error:
            raise self.translate(error.diag.message_primary or str(error), _state(error), limit) from None

    def redacted(self, message: str) -> str:
        """Return the first line of what the server or a program reports, without secrets; the others would quote rows."""
        first = (message.strip() or "no reason given").splitlines()[0]
        return redact(first, self.address.parameters().get("password", "")).rstrip(".")

    def translate(self, message: str, state: str, limit: str = "statement_timeout") -> WorkbenchError:
        """Make the error for what the server said, by its SQLSTATE: the one translation there is.

        Parameters
        ----------
        message : str
            The server's words, or a client program's.
        state : str
            The SQLSTATE; empty where it is not known.
        limit : str
            Which of the limits of time a question runs into.
        """
        where, reason = str(self.environment), self.redacted(message)
        # PgBouncer takes no startup options, and in one mode no transaction.
        if "unsupported startup parameter" in reason or "in statement pooling mode" in reason:
            return Refused(f"The connection pooler of {where} refuses: {reason}.", _DIRECT)
        if re.match("connection is bad: (invalid|weak) ", reason):
            return UsageError(
                f"The way to connect to {where} is wrong: {reason.partition(': ')[2]}.",
                "Correct the parameter of the URL, or the variable of the shell, that says so.",
            )
        match state:
            case "57014":
                return WorkbenchError(
                    f"A question to {where} took longer than {getattr(self, limit):g} s and was stopped: {reason}.",
                    f"Raise {limit} for this environment, or try at a quieter hour.",
                )
            case "55P03":
                return Refused(
                    f"Somebody else is writing to tables of {where}, and did not finish within {self.lock_timeout:g} s.",
                    "Try again in a moment, stop the application, or raise lock_timeout for this environment.",
                )
            case "53100":
                return Refused(f"There is no room on the server of {where}: {reason}.", "Make room there.")
            case "42501":
                return WorkbenchError(
                    f"The database user lacks a right that is needed on {where}: {reason}.",
                    "Ask its owner for it; `workbench doctor` lists what is missing for reading.",
                )
        # A disk that is full has a state of the same class.
        if state.startswith(("08", "57P")) or state in {"28000", "28P01", "3D000", "53300"}:
            return DatabaseUnreachable(
                f"No connection to {where}: {reason}.",
                "Check that the server runs and that the URL's host, port, user and database are right.",
            )
        return WorkbenchError(f"The database at {where} refused: {reason}.")

    def _limits(self, seconds: float) -> dict[str, str]:
        quoted = self.address.schema.replace('"', '""')
        # Rows that a policy hides are an error, never silently missing.
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
        """Connect; behind a pooler without settings, which whoever begins a transaction makes for it (`configure`)."""
        with without_client_variables():
            connection = psycopg.connect(make_conninfo("", **self.address.parameters()), autocommit=True)
        try:
            prepare(connection)
            if not pooled(connection):
                configure(connection, settings)
            elif whole:
                raise Refused(
                    f"This needs sessions of its own on the server; {self.environment} is reached through a connection pooler.",
                    _DIRECT,
                )
            else:  # the name of what is prepared would meet another client's in the same session
                connection.prepare_threshold = None
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection


def cached_per_connection(question: Callable[_Asked, _Answer]) -> Callable[_Asked, _Answer]:
    """Let a dear question of a connection, its first argument, be answered once for as long as that is open.

    It sees one state all that time; nobody may change the answer.
    """

    @wraps(question)
    def ask(*args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        connection: Any = args[0]
        key = question, *map(id, args), *map(id, kwargs.values())
        if key not in connection.info:
            # The arguments stay with the answer: another one would get a dead one's id.
            connection.info[key] = args, kwargs, question(*args, **kwargs)
        answer: _Answer = connection.info[key][-1]
        return answer

    return ask


def raw(connection: Connection) -> Session:
    """Return the driver's connection under one of SQLAlchemy's, in the same transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def configure(connection: Session, settings: Mapping[str, str], *, local: bool = False) -> None:
    """Make the usual settings and these, for the session or (`local`) for the transaction, and see that they stand.

    Never as startup options: a pooler refuses those, and what ``PGTZ`` and its like say would win over them.

    Raises
    ------
    Refused
        When what stands between drops or redirects them.
    """
    further = {"transaction_timeout": "0", "client_encoding": encoding_for(connection)}
    wanted = {**_USUAL, **further, **settings}
    requested = connection.execute(_SET, [local, list(wanted), list(wanted.values())]).fetchall()
    standing = connection.execute(_STANDING, [[name for name, _ in requested]]).fetchall()
    if missing := sorted({*requested} - {*standing}):
        name = missing[0][0]
        raise Refused(f"The setting {name} does not hold here, so values could be misread.", _DIRECT)


def pooled(connection: Session) -> bool:
    """Whether a pooler or proxy stands before the server: it gives itself out for another process than that which answers."""
    return connection.execute("SELECT pg_backend_pid()").fetchone() != (connection.info.backend_pid,)


def _state(error: BaseException | None) -> str:
    """Return an error's SQLSTATE; a connection that was lost has none of the server's."""
    state = getattr(error, "sqlstate", None) or ""
    return state or ("08006" if isinstance(error, psycopg.OperationalError) else "")


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))  # to PostgreSQL, none at all would mean no limit
