"""The gate before a restore: approved, by itself, and with nothing half done around."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, sleep

from workbench.checkpoints.restore.cluster import Cluster, Session
from workbench.checkpoints.restore.record import (
    ABANDONED,
    DONE,
    FAILED,
    UNDER_WAY,
    Record,
    read_record,
    record_beside,
    records,
)
from workbench.checkpoints.restore.request import Request
from workbench.database.exclusion import hold_for_restore, is_half_made, restoring
from workbench.documents import Approval, valid_approval
from workbench.errors import Refused

_PATIENCE = 3.0  # seconds for the session of a killed restore to end

_PAUSE = 0.05


@contextmanager
def alone(cluster: Cluster, request: Request, operator: str) -> Iterator[Session]:
    """Hold the lock that lets one restore of a database run at a time, here and on the server.

    Raises
    ------
    Refused
        When another one is running.
    """
    folder = request.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    here = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = perf_counter() + _PATIENCE
        while not _locked(here):
            if perf_counter() > deadline:
                raise _another(cluster)
            sleep(_PAUSE)
        with cluster.beside() as beside:
            # The session of a killed one may take a moment to notice.
            while not hold_for_restore(beside, cluster.live, operator):
                if perf_counter() > deadline:
                    raise _another(cluster)
                sleep(_PAUSE)
            with restoring():
                yield beside
    finally:
        os.close(here)


def begin(cluster: Cluster, request: Request, operator: str, beside: Session) -> Record:
    """Let an approved request begin: nothing else may be half done, and its approval is used up.

    Raises
    ------
    NotApproved
        Nobody's valid approval of exactly this digest.
    Refused
        When it was carried out before, or another restore was interrupted.
    """
    approval = valid_approval(request)
    folder = request.path.parent
    refuse_interrupted(folder, cluster)
    before = read_record(record_beside(request.path, request.id))
    if before is not None:
        _refuse_once_more(before, approval)
    _refuse_traces(cluster, beside)
    target = request.header.target
    record = Record(
        *(record_beside(request.path, request.id), request.id, approval.number, approval.approver),
        *(operator, cluster.live, target.environment),
    )
    attempt = {} if before is None else {"attempt": int(before.facts.get("attempt", 0))}
    record.facts = {"begun": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", **attempt}
    return record


def refuse_interrupted(folder: Path, cluster: Cluster) -> None:
    """Refuse while a restore of this database, begun in this home, is neither done nor given up."""
    here = cluster.database.environment.name, cluster.live
    for each in records(folder):
        if each.outcome == UNDER_WAY and (each.environment, each.live) == here:
            begun = f", begun by {each.operator} at {each.facts['begun']}," if "begun" in each.facts else ""
            raise Refused(
                f"The restore {each.request} of {each.live}{begun} was interrupted after {_last(each)}.",
                "`workbench snapshot restore --resume` goes on with it, --abandon gives it up.",
            )


def _refuse_once_more(before: Record, approval: Approval) -> None:
    if before.outcome == DONE:
        raise Refused(
            f"The request {before.request} was carried out by {before.operator} at"
            f" {before.facts.get('settled', {}).get('restore_time', 'a moment not noted')}.",
            "Nothing is restored twice by one request. Ask for the restore anew.",
        )
    if before.approval == approval.number:
        raise Refused(
            f"The approval of {before.request} was used before; that restore {_ENDED[before.outcome]}.",
            "Approve it again.",
        )


_ENDED = {ABANDONED: "was given up", FAILED: "failed"}


def _refuse_traces(cluster: Cluster, beside: Session) -> None:
    """Refuse while what another home's interrupted restore made still stands."""
    for name, each in cluster.standing(beside).items():
        if is_half_made(each.comment, cluster.live):
            raise Refused(
                f"The database {name} is what an interrupted restore of {cluster.live} left: {each.comment}.",
                "Resume or abandon it where it was begun; or drop that database yourself.",
            )


def _another(cluster: Cluster) -> Refused:
    return Refused(
        f"Another restore of {cluster.live} is running at this moment.", "Wait for it to end, or end it."
    )


def _last(record: Record) -> str:
    return f"its step '{record.done[-1]}'" if record.done else "it began"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
