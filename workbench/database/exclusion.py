"""Applies and restores keep out of each other's way, wherever on the network they were begun.

An apply's lock lies in the database that it writes to, a restore's in another one: the live database is renamed, and
nobody may be connected to it then. PostgreSQL keeps such locks apart by database, but shows everybody all of them.
So each takes its own first and looks for the other's then; whoever comes second sees the first.
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
"""How the session of a restore is called, and how the comment begins of a database that one made or kept."""

HALF_MADE = "half made"

_WRITING = "murmurant-workbench writes"

_PAUSE = 0.05

# Whose session has a lock: its process, who that is, and since when.
_HOLDERS = f"""
    SELECT l.pid, coalesce(
            substring(a.application_name FROM '^{RESTORING} by (.+)'), 'the database user ' || a.usename, 'somebody'),
        coalesce(to_char(coalesce(a.xact_start, a.backend_start) AT TIME ZONE 'UTC', '" at" YYYY-MM-DD HH24:MI:SS "UTC"'), '')
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(%s, 0)
        AND (%s::text IS NULL OR l.database = (SELECT oid FROM pg_database WHERE datname = %s::text))
    ORDER BY a.xact_start, a.backend_start, 1 LIMIT 1
"""

_own: ContextVar[bool] = ContextVar("_own", default=False)


def mark_of(request: str, live: str, what: str) -> str:
    """Return the comment that tells what a database of ours is, wherever it is found."""
    return f"{RESTORING} {request} of {live}: {what}"


def read_mark(comment: str, live: str) -> tuple[str, str]:
    """Return which restore of `live` made or kept a database, by its comment, and what it is; both empty where none did."""
    mark = re.fullmatch(f"{RESTORING} (\\S+) of {re.escape(live)}: (.*)", comment)
    return (mark[1], mark[2]) if mark else ("", "")


@contextmanager
def restoring() -> Iterator[None]:
    """Let what a restore itself logs, while it holds its lock, be written."""
    token = _own.set(True)
    try:
        yield
    finally:
        _own.reset(token)


def lock_for_writing(connection: Session, live: str, *, logging: bool = False) -> None:
    """Take a writer's lock for this transaction, and refuse while a restore would take away what it writes.

    Parameters
    ----------
    connection : psycopg.Connection
        In the transaction that is going to write.
    live : str
        The database's name.
    logging : bool
        Whether it only logs: a restore's own safety backup may.

    Raises
    ------
    Refused
        When a restore of this database is under way, or was interrupted; with who began it, and when.
    """
    connection.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", [_WRITING])
    if not (logging and _own.get()):
        refuse_running_restore(connection, live)
        refuse_half_made(connection, live)


def refuse_running_restore(connection: Session, live: str) -> None:
    """Refuse while a restore of this database runs, wherever it was begun."""
    holder = connection.execute(_HOLDERS, [_key(live), None, None]).fetchone()
    if holder is not None:
        pid, who, since = holder
        raise Refused(
            f"A snapshot is being restored over {live} at this moment, begun by {who}{since}: what is written now would"
            " be lost.",
            f"Wait for it to end, then plan again. (On the server it is process {pid}.)",
        )


def refuse_half_made(connection: Session, live: str) -> None:
    """Refuse while a database stands on the server that a restore, wherever it was begun, has not finished."""
    for name, database in standing(connection).items():
        request, what = read_mark(database.comment, live)
        if what.startswith(HALF_MADE):
            begun = what.removeprefix(HALF_MADE)
            raise Refused(
                f"The restore {request} of {live}{begun and f'{begun},'} was interrupted: when it goes on, what is written"
                " now would be lost.",
                "Where it was begun, `workbench snapshot restore --resume` goes on with it, --abandon gives it up;"
                f" where nobody can, drop the database {name}, which it left half made.",
            )


def hold_for_restore(beside: Session, live: str, operator: str) -> bool:
    """Take the lock of a restore of this database until the session ends; False when another has it."""
    row = beside.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [_key(live)]).fetchone()
    if row != (True,):
        return False
    # Whoever is refused meanwhile reads whose it is. A name of the server's has 63 bytes; more of it is cut off.
    called = f"{RESTORING} by {operator}".encode()[:63].decode(errors="ignore")
    beside.execute("SELECT set_config('application_name', %s, false)", [called])
    return True


def wait_for_writers(beside: Session, live: str, seconds: float, tell: Callable[[str], None]) -> None:
    """Wait until nobody of ours writes to this database; new ones see the restore's lock, and are refused.

    Raises
    ------
    Refused
        When somebody still does after so many seconds; nothing was changed.
    """
    deadline = time.monotonic() + seconds
    while (holder := beside.execute(_HOLDERS, [_WRITING, live, live]).fetchone()) is not None:
        pid, who, since = holder
        if time.monotonic() > deadline:
            raise Refused(
                f"A plan is being applied to {live} at this moment, by {who}{since}, and did not"
                f" end within {seconds:g} s.",
                f"Wait for it, then begin the restore again. (On the server it is process {pid}.) Nothing was changed.",
            )
        tell("waiting for an apply to end")
        time.sleep(_PAUSE)


def _key(live: str) -> str:
    return f"{RESTORING} of {live}"
