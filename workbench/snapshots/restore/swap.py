"""The moment of a restore: two renames in one transaction, and nobody connected meanwhile.

PostgreSQL renames a database that nobody is connected to, and does it within a transaction, so that no moment
exists at which the live name leads nowhere. While one session waits for its lock another ends whoever is still
connected: those who come back wait for the lock, and find the new database behind the old name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress

import psycopg

from workbench.database.connection import Database, Session
from workbench.database.databases import rename, standing
from workbench.errors import Refused

_PATIENCE = 3.0  # seconds for sessions to end when they are told to
_PAUSE = 0.05

# Of others' sessions a user without further rights sees little, not even their kind; but whose they are.
_OTHERS = """
    SELECT a.pid, a.usename::text, a.application_name
    FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
    WHERE a.datname = ANY(%s) AND a.pid <> pg_backend_pid()
"""

_MAY_BE_ENDED = """((SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
    OR NOT r.rolsuper AND (pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))"""

_STAY = f"{_OTHERS} AND NOT {_MAY_BE_ENDED} ORDER BY 1"

_END = f"""
    SELECT count(pg_terminate_backend(pid)) FROM (
        SELECT a.pid FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
        WHERE a.datid = ANY(%s::oid[]) AND a.pid <> pg_backend_pid() AND {_MAY_BE_ENDED} OFFSET 0
    ) them
"""


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
    # By their numbers: once the renames are committed, whoever comes by the live name is in the new database.
    numbers = {name: each.oid for name, each in standing(beside).items() if name in names}
    beside.execute(_END, [list(numbers.values())])
    done = threading.Event()

    def keep_out() -> None:
        # What could not be ended shows in the rename, which says so.
        with suppress(psycopg.Error), database.at(beside.info.dbname).session(autocommit=True) as connection:
            while not done.wait(0.01):
                connection.execute(_END, [[numbers[name] for name in names[:1] if name in numbers]])

    guard = threading.Thread(target=keep_out)
    guard.start()
    try:
        deadline = time.monotonic() + _PATIENCE
        while others(beside, names) and time.monotonic() < deadline:
            time.sleep(0.002)
        begun = time.perf_counter()
        rename(beside, renames, comments)
        return time.perf_counter() - begun
    except psycopg.errors.ObjectInUse:  # though the server waits some seconds for them
        raise _stayed(names, others(beside, names)) from None
    finally:
        done.set()
        guard.join()


def others(beside: Session, names: list[str]) -> list[tuple[int, str, str]]:
    """Return who is connected to these databases: process, user and application."""
    return beside.execute(_OTHERS, [names]).fetchall()


def refuse_who_stays(beside: Session, names: list[str]) -> None:
    """Refuse while somebody is connected whose session this user may not end."""
    deadline = time.monotonic() + _PATIENCE
    while staying := beside.execute(_STAY, [names]).fetchall():
        if time.monotonic() > deadline:
            raise _stayed(names, staying)
        time.sleep(_PAUSE)


def _stayed(names: list[str], sessions: list[tuple[int, str, str]]) -> Refused:
    who = "; ".join(f"{user} ({application or 'unnamed'}, pid {pid})" for pid, user, application in sessions)
    return Refused(
        f"Somebody stayed connected to {names[0]}, and it could not be renamed: {who or 'gone by now'}.",
        "Stop what is connected; or let the database user end other people's sessions (GRANT pg_signal_backend;"
        " those of superusers a superuser alone can end). Nothing was renamed.",
    )


def refuse_prepared(beside: Session, names: list[str]) -> None:
    """Refuse while a prepared transaction waits in one of these databases: it holds its locks until somebody ends it."""
    row = beside.execute(
        "SELECT gid, database::text, owner::text, prepared AT TIME ZONE 'UTC' FROM pg_prepared_xacts"
        " WHERE database = ANY(%s) ORDER BY prepared LIMIT 1",
        [names],
    ).fetchone()
    if row is not None:
        raise Refused(
            f"The prepared transaction {row[0]!r} of {row[2]} waits in {row[1]} since {row[3]:%Y-%m-%d %H:%M:%S} UTC, which can"
            " neither be renamed nor replaced until it ends.",
            f"Whoever prepared it knows which: COMMIT PREPARED {row[0]!r} or ROLLBACK PREPARED {row[0]!r}, in"
            f" {row[1]}. Nothing was changed.",
        )
