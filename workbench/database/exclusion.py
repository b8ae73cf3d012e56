"""Advisory locks that keep applies and restores apart, across all machines.

An apply holds its lock in the live database, a restore in another one, since nobody may be connected to a database that
is renamed. Advisory locks are separate in each database but visible from all, so each side takes its own lock first and
then looks for the other's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from workbench.database.connection import Session
from workbench.database.databases import standing
from workbench.errors import Refused

RESTORING = "murmurant-workbench restore"
"""Begins the application name of a restore's session, and the comment of a database that a restore made or kept."""

HALF_MADE = "half made"

_WRITING = "murmurant-workbench writes"

_PAUSE = 0.05

# The session that holds a lock: its process, its user, and since when.
_HOLDERS = f"""
    SELECT l.pid, coalesce(
            substring(a.application_name FROM '^{RESTORING} by (.+)'), 'Database user ' || a.usename, 'Another session'),
        coalesce(to_char(coalesce(a.xact_start, a.backend_start) AT TIME ZONE 'UTC', '" at" YYYY-MM-DD HH24:MI:SS "UTC"'), '')
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(%s, 0)
        AND (%s::text IS NULL OR l.database = (SELECT oid FROM pg_database WHERE datname = %s::text))
    ORDER BY a.xact_start, a.backend_start, 1 LIMIT 1
"""

_in_restore: ContextVar[bool] = ContextVar("_in_restore", default=False)


def mark_of(request: str, live: str, what: str) -> str:
    """Return the comment for a database that a restore made or kept."""
    return f"{RESTORING} {request} of {live}: {what}"


def read_mark(comment: str, live: str) -> tuple[str, str]:
    """Return the restore of `live` and its remark in a database's comment; both empty when there is none."""
    mark = re.fullmatch(f"{RESTORING} (\\S+) of {re.escape(live)}: (.*)", comment)
    return (mark[1], mark[2]) if mark else ("", "")


@contextmanager
def restoring() -> Iterator[None]:
    """Allow the restore that holds the lock to write log entries."""
    token = _in_restore.set(True)
    try:
        yield
    finally:
        _in_restore.reset(token)


def lock_for_writing(connection: Session, live: str, *, logging: bool = False) -> None:
    """Take a writer's lock for this transaction, and refuse during a restore, which would lose what is written.

    Parameters
    ----------
    connection : psycopg.Connection
        In the writing transaction.
    live : str
        The database's name.
    logging : bool
        Whether it writes a log entry, which the restore itself may do.

    Raises
    ------
    Refused
        When a restore of this database is running or was interrupted.
    """
    connection.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", [_WRITING])
    if not (logging and _in_restore.get()):
        refuse_running_restore(connection, live)
        refuse_half_made(connection, live)


def refuse_running_restore(connection: Session, live: str) -> None:
    """Raise `Refused` while a restore of this database runs."""
    holder = connection.execute(_HOLDERS, [_key(live), None, None]).fetchone()
    if holder is not None:
        pid, who, since = holder
        raise Refused(
            f"{who} is restoring a snapshot over {live}{since and f', started{since}'}: what is written now would be lost.",
            f"Wait until it ends, then plan again. (It is process {pid} on the server.)",
        )


def refuse_half_made(connection: Session, live: str) -> None:
    """Raise `Refused` when the server has a database that an interrupted restore left half made."""
    for name, database in standing(connection).items():
        request, what = read_mark(database.comment, live)
        if what.startswith(HALF_MADE):
            started = what.removeprefix(HALF_MADE)
            raise Refused(
                f"The restore {request} of {live}{started and f'{started},'} was interrupted: when it is resumed, what is written"
                " now would be lost.",
                "Where it was started, `workbench snapshot restore --resume` finishes it and --abandon gives it up."
                f" If nobody can do that, drop the half made database {name}.",
            )


def hold_for_restore(beside: Session, live: str, operator: str) -> bool:
    """Take the restore lock of this database until the session ends; False when another session holds it."""
    row = beside.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [_key(live)]).fetchone()
    if row != (True,):
        return False
    # Others that are refused see this name, of at most 63 bytes.
    name = f"{RESTORING} by {operator}".encode()[:63].decode(errors="ignore")
    beside.execute("SELECT set_config('application_name', %s, false)", [name])
    return True


def wait_for_writers(beside: Session, live: str, seconds: float, tell: Callable[[str], None]) -> None:
    """Wait until no apply writes to this database; new ones see the restore lock and are refused.

    Raises
    ------
    Refused
        When one still runs after so many seconds; nothing was changed.
    """
    deadline = time.monotonic() + seconds
    while (holder := beside.execute(_HOLDERS, [_WRITING, live, live]).fetchone()) is not None:
        pid, who, since = holder
        if time.monotonic() > deadline:
            raise Refused(
                f"{who} is applying a plan to {live}{since and f', started{since},'} and did not finish within {seconds:g} s.",
                f"Nothing was changed. Wait until it ends, then start the restore again. (It is process {pid} on the server.)",
            )
        tell("waiting for an apply to end")
        time.sleep(_PAUSE)


def _key(live: str) -> str:
    return f"{RESTORING} of {live}"
