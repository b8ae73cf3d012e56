"""The three ways to act on a request: carry it out, go on with it, give it up."""

from __future__ import annotations

from pathlib import Path

from workbench.checkpoints.restore.act import (
    Restore,
    Step,
    Surroundings,
    abandon,
    carry_out,
    find_interrupted,
    settle_swap,
)
from workbench.checkpoints.restore.cluster import Cluster, Session
from workbench.checkpoints.restore.gate import alone, begin
from workbench.checkpoints.restore.in_place import IN_PLACE, settle_replacement
from workbench.checkpoints.restore.record import Record
from workbench.checkpoints.restore.request import SUFFIX, Request, Way, read_request
from workbench.checkpoints.restore.steps import SWAP, SWAP_BACK
from workbench.database.exclusion import wait_for_writers
from workbench.errors import Refused, WrongEnvironment

STEPS: dict[Way, list[Step]] = {"swap": SWAP, "in place": IN_PLACE, "swap back": SWAP_BACK}


def restore_request(cluster: Cluster, request: Request, around: Surroundings) -> Record:
    """Carry an approved request out: all its steps, or nothing that lasts.

    Parameters
    ----------
    cluster : Cluster
        The target's server.
    request : Request
        As it was read.

    Returns
    -------
    Record
        What was done.

    Raises
    ------
    NotApproved
        Nobody's valid approval of exactly this digest.
    WrongEnvironment
        Another database than the one it was made for.
    Drift
        The live database has changed since; nothing was changed.
    Refused
        It was carried out before, another restore runs or was interrupted, or it is not possible any more.
    DatabaseUnreachable
        The server was lost on the way; `resume_restore` goes on.
    """
    with alone(cluster, request, around.operator) as beside:
        refuse_another_target(cluster, beside, request)
        record = begin(cluster, request, around.operator, beside)
        _wait_for_writers(cluster, beside, around, len(STEPS[request.way]))
        around.progress("checking the snapshot and the server", 0, len(STEPS[request.way]))
        around.examine(request, beside)
        return carry_out(Restore(cluster, request, record, around, beside), STEPS[request.way])


def resume_restore(cluster: Cluster, folder: Path, around: Surroundings, name: str | None = None) -> Record:
    """Go on with the restore that was interrupted, where it stopped; `Refused` when none was."""
    record = find_interrupted(folder, cluster.database.environment.name, name)
    request = _request_of(record)
    with alone(cluster, request, around.operator) as beside:
        refuse_another_target(cluster, beside, request)
        restore = _found(cluster, request, record, around, beside)
        _wait_for_writers(cluster, beside, around, len(STEPS[request.way]))
        return carry_out(restore, STEPS[request.way])


def abandon_restore(cluster: Cluster, folder: Path, around: Surroundings, name: str | None = None) -> Record:
    """Give the restore up that was interrupted: nothing of it stays; `Refused` when it is done already."""
    record = find_interrupted(folder, cluster.database.environment.name, name)
    request = _request_of(record)
    with alone(cluster, request, around.operator) as beside:
        return abandon(_found(cluster, request, record, around, beside))


def refuse_another_target(cluster: Cluster, beside: Session, request: Request) -> None:
    """Refuse a request that was made for another database."""
    target, here = request.header.target, cluster.database.environment
    if (target.environment, target.kind) != (here.name, here.kind):
        raise WrongEnvironment(
            f"The request {request.id} was made for environment {target.environment!r} ({target.kind}), this is {here}.",
            f"Carry it out with --environment {target.environment}.",
        )
    found = cluster.system_identifier(beside), cluster.live, cluster.database.address.schema
    if found != (target.system_identifier, target.database, target.schema):
        raise WrongEnvironment(
            f"The request {request.id} was made for database {target.database!r} of server"
            f" {target.system_identifier}; {here} is database {found[1]!r} of server {found[0]}.",
            "The environment leads somewhere else than when it was made. Ask for the restore anew.",
        )


def _wait_for_writers(cluster: Cluster, beside: Session, around: Surroundings, steps: int) -> None:
    seconds = cluster.database.lock_timeout
    wait_for_writers(beside, cluster.live, seconds, lambda what: around.progress(what, 0, steps))


def _request_of(record: Record) -> Request:
    request = read_request(record.path.with_name(f"{record.request}{SUFFIX}"))
    if request.id != record.request:
        raise Refused(
            f"The request {record.request} was altered since it was approved.",
            "Nothing goes on by it; what it made on the server bears its name in its comment.",
        )
    return request


def _found(
    cluster: Cluster, request: Request, record: Record, around: Surroundings, beside: Session
) -> Restore:
    """Take an interrupted restore up: what the server did last may not be in its record."""
    restore = Restore(cluster, request, record, around, beside)
    if request.way == "in place":
        settle_replacement(restore)
    else:
        settle_swap(restore)
    return restore
