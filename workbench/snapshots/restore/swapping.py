"""The moment of a swap: who is connected to a database is sent away, and databases are renamed in one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress

import psycopg

from workbench.database import databases
from workbench.database.connection import Database, Session
from workbench.errors import Refused

_PATIENCE = 3.0  # seconds for sessions to end when they are told to
_PAUSE = 0.05

# By the database's number: once it is renamed, whoever comes by the live name is in the new one. Of others' sessions a user
# without further rights sees little, not even their kind; but whose they are.
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
    database: Database, beside: Session, renames: Mapping[str, str], comments: Mapping[str, str]
) -> float:
    """Rename databases in one transaction, all or none.

    Parameters
    ----------
    database : Database
        The live one.
    beside : psycopg.Connection
        At a database that is not renamed.
    renames : mapping of str to str
        Old name to new, in order; the live one first, if it is there.
    comments : mapping of str to str
        New name to the database's comment from then on; empty for none.

    Returns
    -------
    float
        How long the live name was locked, seconds.

    Raises
    ------
    Refused
        When somebody cannot be disconnected, or a prepared transaction waits in one of them; nothing was renamed.
    """
    names = list(renames)
    refuse_prepared(beside, names)
    refuse_who_stays(beside, names)
    numbers = _numbers(beside, names)
    beside.execute(_END, [numbers])
    done = threading.Event()

    def keep_out() -> None:
        # What could not be ended shows in the rename, which says so.
        with suppress(psycopg.Error), database.at(beside.info.dbname).session(autocommit=True) as connection:
            while not done.wait(0.01):
                connection.execute(_END, [numbers[:1]])

    guard = threading.Thread(target=keep_out)
    guard.start()
    try:
        deadline = time.monotonic() + _PATIENCE
        while connected(beside, names) and time.monotonic() < deadline:
            time.sleep(0.002)
        begun = time.perf_counter()
        databases.rename(beside, renames, comments)
        return time.perf_counter() - begun
    except psycopg.errors.ObjectInUse:  # though the server waits some seconds for them
        raise _stayed(names, connected(beside, names)) from None
    finally:
        done.set()
        guard.join()


def connected(beside: Session, names: list[str]) -> Sessions:
    """Return who is connected to these databases: process, user, application, and whether this user may end that."""
    return beside.execute(_OTHERS, [_numbers(beside, names)]).fetchall()


def refuse_who_stays(beside: Session, names: list[str]) -> None:
    """Refuse while somebody is connected whose session this user may not end."""
    deadline = time.monotonic() + _PATIENCE
    while staying := [session for session in connected(beside, names) if not session[-1]]:
        if time.monotonic() > deadline:
            raise _stayed(names, staying)
        time.sleep(_PAUSE)


def refuse_prepared(beside: Session, names: list[str]) -> None:
    """Refuse while a prepared transaction waits in one of these databases: it holds its locks until somebody ends it."""
    rows = beside.execute(
        "SELECT gid, database::text, owner::text, prepared AT TIME ZONE 'UTC' FROM pg_prepared_xacts"
        " WHERE database = ANY(%s) ORDER BY prepared",
        [names],
    )
    for number, database, owner, since in rows:
        raise Refused(
            f"The prepared transaction {number!r} of {owner} waits in {database} since {since:%Y-%m-%d %H:%M:%S} UTC,"
            " which can neither be renamed nor replaced until it ends.",
            f"In {database}: COMMIT PREPARED {number!r} or ROLLBACK PREPARED {number!r}. Nothing was changed.",
        )


def _numbers(beside: Session, names: list[str]) -> list[int]:
    there = databases.standing(beside)
    return [there[name].oid for name in names if name in there]


def _stayed(names: list[str], sessions: Sessions) -> Refused:
    who = "; ".join(f"{user} ({called or 'unnamed'}, pid {pid})" for pid, user, called, _ in sessions)
    return Refused(
        f"Somebody stayed connected to {names[0]}, and it could not be renamed: {who or 'gone by now'}.",
        "Stop what is connected; or let the database user end other people's sessions (GRANT pg_signal_backend;"
        " those of superusers a superuser alone can end). Nothing was renamed.",
    )
