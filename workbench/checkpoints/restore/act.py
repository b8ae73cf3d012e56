"""Restore a snapshot: an approved request, carried out step by step, and resumable after every one.

Until the swap the live database is only read; the swap is one transaction; after it nothing is left but to start
the application and to look. So killed at any moment, the live name holds a whole database: the old one or the new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg

from workbench.checkpoints.manifest import Manifest
from workbench.checkpoints.restore.cluster import Cluster, Session
from workbench.checkpoints.restore.record import (
    ABANDONED,
    DONE,
    FAILED,
    UNDER_WAY,
    Record,
    interrupted,
    records,
)
from workbench.checkpoints.restore.request import Counted, Request, Way
from workbench.database.exclusion import is_half_made
from workbench.errors import DatabaseUnreachable, Refused, WorkbenchError
from workbench.settings import Settings

Progress = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""


@dataclass(frozen=True)
class Surroundings:
    """What a restore needs from outside of this room.

    Attributes
    ----------
    settings : Settings
        Folders.
    operator : str
        Who carries it out.
    stop, start : callable or None
        Stop and start the application; None where no command is configured.
    health : callable
        Asks the application how it is: a list of findings as plain facts, each with its ``status``.
    backup : callable
        Makes the safety backup of the live database; returns its file.
    watch : callable
        Counts the rows of a database's tables, with their digests, to see whether it has changed; takes its name.
    manifest : callable
        Reads the snapshot's manifest.
    examine : callable
        Refuses what has become impossible since the request was made.
    progress : callable
        Told every step.
    jobs : int
        How many sessions restore at once.
    """

    settings: Settings
    operator: str
    stop: Callable[[], Any] | None
    start: Callable[[], Any] | None
    health: Callable[[], list[dict[str, Any]]]
    backup: Callable[[], str]
    watch: Callable[[str], Counted]
    manifest: Callable[[Request], Manifest]
    examine: Callable[[Request, psycopg.Connection[Any]], None]
    progress: Progress
    jobs: int = 2


@dataclass
class Restore:
    """A restore that is under way: what its steps share.

    Attributes
    ----------
    beside : psycopg.Connection
        A session at another database of the server, which holds the lock.
    """

    cluster: Cluster
    request: Request
    record: Record
    around: Surroundings
    beside: Session
    place: int = 0
    total: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def tell(self, what: str, done: int = 0, of: int = 0) -> None:
        """Tell what is under way within a step."""
        share = f" ({done:,} of {of:,})" if of else ""
        self.around.progress(f"{what}{share}", self.place, self.total)


@dataclass(frozen=True)
class Step:
    """One step: its name in the record, what it is called while it runs, and how it is done."""

    name: str
    called: str
    carry_out: Callable[[Restore], None]


def carry_out(restore: Restore, steps: list[Step]) -> Record:
    """Do the steps that are not done yet; after a failure before the swap put everything back.

    Raises
    ------
    DatabaseUnreachable
        When the server was lost: what was done stays, to be resumed.
    KeyboardInterrupt
        When somebody pressed ctrl-C: the same, and it says so.
    WorkbenchError
        When a step failed; the message says what became of everything.
    """
    record = restore.record
    record.outcome = UNDER_WAY
    record.save()
    restore.total = len(steps)
    for restore.place, step in enumerate(steps):
        if step.name in record.done:
            continue
        begun = perf_counter()
        try:
            restore.around.progress(step.called, restore.place, restore.total)
            with restore.cluster.speaking_plainly():
                step.carry_out(restore)
            seconds = {**record.facts.get("seconds", {}), step.name: round(perf_counter() - begun, 3)}
            record.finish(step.name, seconds=seconds)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupted(record, step)) from None
        except DatabaseUnreachable as error:
            raise DatabaseUnreachable(error.what, f"{_stands(record)} {_go_on(record)}") from None
        except WorkbenchError as error:
            if record.swapped:
                error.args = (f"{error} {_stands(record)} {_go_on(record)}",)
                error.next_step = f"{error.next_step} {_stands(record)} {_go_on(record)}".strip()
                raise
            _put_back(restore, error)
            raise
    restore.around.progress("done", restore.total, restore.total)
    record.outcome = DONE
    record.note(ended=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", snapshot=restore.request.source.snapshot)
    return record


def _go_on(record: Record) -> str:
    """Say what can be done with a restore that stands where it is: one that has swapped is not given up any more."""
    if record.swapped:
        return "`workbench snapshot restore --resume` finishes it; after that --undo leads back."
    return "`workbench snapshot restore --resume` goes on, --abandon gives up."


def abandon(restore: Restore) -> Record:
    """Give an interrupted restore up: drop what it made, start the application again.

    Raises
    ------
    Refused
        When the swap is done: what was restored is live, and `--resume` finishes it.
    """
    if restore.record.swapped:
        raise Refused(
            f"The restore {restore.record.request} cannot be given up any more: the restored database is the live one.",
            "`workbench snapshot restore --resume` finishes it; after that --undo puts the old database back.",
        )
    _clean_up(restore)
    restore.record.outcome = ABANDONED
    restore.record.save()
    return restore.record


def settle_swap(restore: Restore) -> None:
    """Find out from the databases' numbers whether a swap was committed of which the record does not know."""
    record = restore.record
    made, live = record.facts.get("new_oid"), restore.cluster.standing(restore.beside).get(record.live)
    if made and live is not None and live.oid == made and "swap" not in record.done:
        record.finish("swap")


def find_interrupted(folder: Path, environment: str, name: str | None) -> Record:
    """Return the restore to go on with."""
    return interrupted(records(folder), environment, name)


def way_name(way: Way) -> str:
    """Say in a word or two how a request restores."""
    return {
        "swap": "into a new database, then renamed",
        "in place": "in place, in one transaction",
        "swap back": "the database that was kept becomes the live one again",
    }[way]


def _put_back(restore: Restore, error: WorkbenchError) -> None:
    """After a failure before the swap: drop what was made, start the application; say so in the error."""
    try:
        _clean_up(restore)
    except WorkbenchError as trouble:
        said = f"{_stands(restore.record)} Putting things back failed as well: {trouble} {_go_on(restore.record)}"
    else:
        restore.record.outcome = FAILED
        restore.record.note(error=error.what)
        started = " The application was started again." if restore.record.facts.get("restarted") else ""
        said = f"Nothing was changed: {restore.record.live} is as it was.{started}"
    error.next_step = f"{error.next_step} {said}".strip()
    error.args = (f"{error.what} {error.next_step}",)


def _clean_up(restore: Restore) -> None:
    record = restore.record
    with restore.cluster.speaking_plainly():
        standing = restore.cluster.standing(restore.beside)
        for name, each in standing.items():
            if is_half_made(each.comment, record.live, record.request):
                restore.cluster.drop(restore.beside, name)
        forget_unmarked(restore)
    if record.facts.get("stopped") and restore.around.start and not record.facts.get("restarted"):
        restore.around.start()
        record.note(restarted=True)


def forget_unmarked(restore: Restore) -> None:
    """Drop the new database of a restore that was killed before it could mark it as its own."""
    name, oid = restore.record.facts.get("new"), restore.record.facts.get("new_oid")
    each = restore.cluster.standing(restore.beside).get(name or "")
    if each is not None and not each.comment and oid is None:
        restore.cluster.drop(restore.beside, each.name)


def _interrupted(record: Record, step: Step) -> str:
    stands = _stands(record)
    if step.name in {"swap", "replace"}:
        stands = f"The live database {record.live} is whole: the one that was there, or the restored one."
    stopped = record.facts.get("stopped") and not record.facts.get("restarted")
    application = " The application is stopped." if stopped else ""
    return f"Interrupted while {step.called}. {stands}{application} {_go_on(record)}"


def _stands(record: Record) -> str:
    if record.swapped:
        return f"What was restored is the live database {record.live}."
    return f"The live database {record.live} is as it was."
