"""The swap itself: sessions are ended, and databases are renamed in one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress

import psycopg

from workbench.database import databases
from workbench.database.connection import Database, Session
from workbench.errors import Refused

_PATIENCE = 3.0  # seconds for sessions to end
_PAUSE = 0.05

# By OID, because the live name leads to the new database after the renaming. An ordinary user sees only the owner of
# other users' sessions, not even what kind of session it is.
_OTHERS = """
    SELECT a.pid, a.usename::text, a.application_name,
        (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        OR NOT r.rolsuper AND (pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')) AS may_be_ended
    FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
    WHERE a.datid = ANY(%s::oid[]) AND a.pid <> pg_backend_pid()
"""

_END = f"SELECT count(pg_terminate_backend(pid)) FROM ({_OTHERS} OFFSET 0) others WHERE may_be_ended"

Sessions = list[tuple[int, str, str, bool]]


def swap(
    database: Database, server: Session, renames: Mapping[str, str], comments: Mapping[str, str]
) -> float:
    """Rename databases in one transaction.

    Parameters
    ----------
    database : Database
        The live one.
    server : psycopg.Connection
        A session at a database that is not renamed.
    renames : mapping of str to str
        Old name to new, in order; the live one first, if it exists.
    comments : mapping of str to str
        New name to the database's new comment; empty for none.

    Returns
    -------
    float
        How long the live name was locked, seconds.

    Raises
    ------
    Refused
        When a session cannot be ended, or a prepared transaction is open; nothing was renamed.
    """
    names = list(renames)
    refuse_permanent(server, names)
    oids = _oids(server, names)
    server.execute(_END, [oids])
    done = threading.Event()

    def keep_out() -> None:
        # The renaming reports sessions that could not be ended.
        with suppress(psycopg.Error), database.at(server.info.dbname).session(autocommit=True) as connection:
            while not done.wait(0.01):
                connection.execute(_END, [oids[:1]])

    guard = threading.Thread(target=keep_out)
    guard.start()
    try:
        deadline = time.monotonic() + _PATIENCE
        while connected(server, names) and time.monotonic() < deadline:
            time.sleep(0.002)
        begun = time.perf_counter()
        databases.rename(server, renames, comments)
        return time.perf_counter() - begun
    except psycopg.errors.ObjectInUse as error:  # although the server itself waits some seconds for them
        raise _in_use(names[0], connected(server, names), error.diag.message_detail or "") from None
    finally:
        done.set()
        guard.join()


def connected(server: Session, names: list[str]) -> Sessions:
    """Return the sessions in these databases: process, user, application, and whether this user may end them."""
    return server.execute(_OTHERS, [_oids(server, names)]).fetchall()


def refuse_permanent(server: Session, names: list[str]) -> None:
    """Refuse while somebody is connected whose session this user may not end."""
    deadline = time.monotonic() + _PATIENCE
    while permanent := [session for session in connected(server, names) if not session[-1]]:
        if time.monotonic() > deadline:
            raise _in_use(names[0], permanent)
        time.sleep(_PAUSE)


def _oids(server: Session, names: list[str]) -> list[int]:
    existing = databases.standing(server)
    return [existing[name].oid for name in names if name in existing]


def _in_use(name: str, sessions: Sessions, detail: str = "") -> Refused:
    who = "; ".join(f"{user} ({called or 'unnamed'}, pid {pid})" for pid, user, called, _ in sessions)
    return Refused(
        f"{name} could not be renamed because of open sessions: {who or detail}.",
        "Close them, or let the database user end them (GRANT pg_signal_backend; a superuser's sessions only a superuser"
        " can end). Nothing was renamed.",
    )
