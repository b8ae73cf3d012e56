"""The three ways to act on a request to restore: carry it out, go on with it, give it up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, sleep

from workbench.database.connection import Session
from workbench.database.databases import connect_beside
from workbench.database.exclusion import hold_for_restore, restoring, wait_for_writers
from workbench.documents import refuse_other_target, valid_approval
from workbench.errors import DatabaseUnreachable, Refused, WorkbenchError
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.in_place import IN_PLACE, settle_replacement
from workbench.snapshots.restore.preconditions import (
    examine_again,
    refuse_interrupted,
    refuse_once_more,
    refuse_traces,
    target_of,
)
from workbench.snapshots.restore.request import (
    ABANDONED,
    DONE,
    FAILED,
    Record,
    Request,
    Way,
    interrupted,
)
from workbench.snapshots.restore.steps import (
    SWAP,
    SWAP_BACK,
    Progress,
    Restore,
    Step,
    Workplace,
    drop_half_made,
)
from workbench.snapshots.service import Say

STEPS: dict[Way, list[Step]] = {"swap": SWAP, "in place": IN_PLACE, "swap back": SWAP_BACK}

_PATIENCE = 3.0  # seconds for the session of a killed restore to end
_PAUSE = 0.05


def restore_request(wb: Workplace, request: Request, progress: Progress, say: Say | None = None) -> Record:
    """Carry an approved request out: all its steps, or nothing that lasts.

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
    database, settings, steps = wb.database, wb.settings, STEPS[request.way]
    live = request.target.database
    with _alone(wb) as beside:
        refuse_other_target(request, target_of(database, beside))
        approval = valid_approval(request)
        refuse_interrupted(settings, database)
        before = refuse_once_more(request, approval)
        refuse_traces(beside, live)
        _wait_for_writers(wb, beside, progress, len(steps))
        progress("checking the snapshot and the server", 0, len(steps))
        if request.way != "swap back":
            examine_again(database, settings, beside, request, Manifest.read(Path(request.file)))
        record = Record(
            request=request.id,
            approval=approval.number,
            approved_by=approval.approver,
            operator=settings.operator,
            live=live,
            environment=request.target.environment,
            facts={
                "begun": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
                "attempt": before.facts.get("attempt", 0) if before else 0,
            },
        ).write(request.path.with_name(f"{request.id}{Record.suffix}"))
        return _carry_out(Restore(wb, request, record, beside, progress, say))


def resume_restore(wb: Workplace, name: str | None, progress: Progress, say: Say | None = None) -> Record:
    """Go on with the restore that was interrupted, where it stopped; `Refused` when none was."""
    request, record = interrupted(wb.settings, wb.database.environment.name, name)
    with _alone(wb) as beside:
        refuse_other_target(request, target_of(wb.database, beside))
        restore = Restore(wb, request, record, beside, progress, say)
        _settle_last(restore)
        _wait_for_writers(wb, beside, progress, len(STEPS[request.way]))
        return _carry_out(restore)


def abandon_restore(wb: Workplace, name: str | None, progress: Progress, say: Say | None = None) -> Record:
    """Give the restore up that was interrupted: nothing of it stays; `Refused` when what was restored is live."""
    request, record = interrupted(wb.settings, wb.database.environment.name, name)
    with _alone(wb) as beside:
        restore = Restore(wb, request, record, beside, progress, say)
        _settle_last(restore)
        if record.swapped:
            raise Refused(
                f"The restore {record.request} cannot be given up any more: the restored database is the live one.",
                "`workbench snapshot restore --resume` finishes it; after that --undo puts the old database back.",
            )
        _put_back(restore)
        record.outcome = ABANDONED
        record.note()
        return record


@contextmanager
def _alone(wb: Workplace) -> Iterator[Session]:
    """Hold the server's lock that lets one restore of a database run at a time, wherever it was begun."""
    live, deadline = wb.database.address.database, perf_counter() + _PATIENCE
    with connect_beside(wb.database, "A restore") as beside:
        # The session of a killed one may take a moment to notice.
        while not hold_for_restore(beside, live, wb.settings.operator):
            if perf_counter() > deadline:
                raise Refused(
                    f"Another restore of {live} is running at this moment.", "Wait for it to end, or end it."
                )
            sleep(_PAUSE)
        with restoring():
            yield beside


def _wait_for_writers(wb: Workplace, beside: Session, progress: Progress, steps: int) -> None:
    live, seconds = wb.database.address.database, wb.database.lock_timeout
    wait_for_writers(beside, live, seconds, lambda what: progress(what, 0, steps))


def _settle_last(restore: Restore) -> None:
    """Find out whether the server committed what the record of an interrupted restore does not know of."""
    if restore.request.way == "in place":
        settle_replacement(restore)
        return
    made, live = restore.record.facts.get("new_oid"), restore.live
    if made and live is not None and live.oid == made and "swap" not in restore.record.done:
        restore.record.finish("swap")


def _carry_out(restore: Restore) -> Record:
    """Do the steps that are not done yet; after a failure before the swap put everything back.

    A server that was lost, and ctrl-C, leave what was done, to be resumed; the message says what stands.
    """
    record, steps = restore.record, STEPS[restore.request.way]
    restore.total = len(steps)
    for restore.place, step in enumerate(steps):
        if step.name in record.done:
            continue
        begun = perf_counter()
        try:
            restore.progress(step.called, restore.place, restore.total)
            with restore.wb.database.speaking_plainly():
                step.carry_out(restore)
            seconds = {**record.facts.get("seconds", {}), step.name: round(perf_counter() - begun, 3)}
            record.finish(step.name, seconds=seconds)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupted(record, step)) from None
        except DatabaseUnreachable as error:
            raise DatabaseUnreachable(error.what, f"{_stands(record)} {_go_on(record)}") from None
        except WorkbenchError as error:
            if record.swapped:
                _say_more(error, f"{_stands(record)} {_go_on(record)}")
            else:
                _fail(restore, error)
            raise
    restore.progress("done", restore.total, restore.total)
    record.outcome = DONE
    record.note(ended=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", snapshot=restore.request.snapshot)
    return record


def _fail(restore: Restore, error: WorkbenchError) -> None:
    """After a failure before the swap: put everything back, and say in the error how it stands."""
    record = restore.record
    try:
        _put_back(restore)
    except WorkbenchError as trouble:
        _say_more(error, f"{_stands(record)} Putting things back failed as well: {trouble} {_go_on(record)}")
        return
    record.outcome = FAILED
    record.note(error=error.what)
    started = " The application was started again." if record.facts.get("restarted") else ""
    _say_more(error, f"Nothing was changed: {record.live} is as it was.{started}")


def _put_back(restore: Restore) -> None:
    """Drop what was made, and start the application."""
    facts = restore.record.facts
    with restore.wb.database.speaking_plainly():
        drop_half_made(restore)
    if facts.get("stopped") and restore.wb.options.app_start and not facts.get("restarted"):
        restore.wb.service("start", restore.say)
        restore.record.note(restarted=True)


def _say_more(error: WorkbenchError, what: str) -> None:
    error.next_step = f"{error.next_step} {what}".strip()
    error.args = (f"{error.what} {error.next_step}",)


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


def _go_on(record: Record) -> str:
    """Say what can be done with a restore that stands where it is: one that has swapped is not given up any more."""
    if record.swapped:
        return "`workbench snapshot restore --resume` finishes it; after that --undo leads back."
    return "`workbench snapshot restore --resume` goes on, --abandon gives up."
