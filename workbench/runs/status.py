"""How a run ended, judged by all evidence rather than by its report alone (guide §1.1, §5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from workbench.murmurant.importers import MIGRATION_PREFIX, Run, Trace, is_fetch_trouble
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.spellings import CONCEPT_OF

_OWN = {"full": "last_full_sync", "incremental": "last_incremental_sync"}
"""The moment that only this kind of sync writes; both kinds write the others."""

_BEFORE_ITS_END = timedelta(seconds=1)
_LONGEST_SILENCE = timedelta(hours=6)
"""A sync may go through unchanged records for this long after its last write; a later moment may be another sync's."""


class SyncState(NamedTuple):
    """What the sync state says about the ends of the last syncs.

    Attributes
    ----------
    moments : tuple of (str, datetime)
        Canonical column and moment, as it stands, and as it stood when the workbench emptied it.
    emptied, rewritten : tuple of datetime
        When the workbench emptied it; when a rollback or a restore may have written it.
    kept : frozenset of str
        The columns that this database has.
    """

    moments: tuple[tuple[str, datetime], ...] = ()
    emptied: tuple[datetime, ...] = ()
    rewritten: tuple[datetime, ...] = ()
    kept: frozenset[str] = frozenset()


def judge(run: Run, later: Sequence[Run], state: SyncState) -> None:
    """Decide how a run ended, and by which evidence."""
    ended = {action.removeprefix(MIGRATION_PREFIX): facts for action, facts, _ in run.entries}
    reports = [report for report in run.reports if report.counts]
    troubles = [reason for report in reports for reason in report.skip_reasons if is_fetch_trouble(reason)]
    touched = any(sum(cells.values()) for cells in run.counts.values()) or any(run.errors.values())
    if "failed" in ended:
        facts = ended["failed"]
        batch = f" after batch {facts['last_batch']}" if facts.get("last_batch") is not None else ""
        run.status = "interrupted" if batch else "failed"
        run.why = f"failed{batch}: {facts.get('error', 'no reason given')}"
    elif failure := _failure(run, reports):
        run.status, run.why = "failed", failure
    elif troubles:
        run.status, run.why = "interrupted", f"{len(troubles)}+ fetch errors, first: {troubles[0]}"
    elif reports and reports[-1].finished is None:
        run.status, run.why = "interrupted", "its report file has no end"
    elif reports and run.sync != "incremental" and not touched:
        run.status, run.why = "unknown", "its report file is complete, but no record was touched or traced"
    elif reports or "completed" in ended:
        run.status = "completed"
        run.why = "its report file is complete" if reports else "migration:completed was logged"
        if total := max(sum(run.errors.values()), len(run.problems)):
            run.why += f"; it gave up on {total:,} record{'s' * (total != 1)}{_first_of(run)}"
    elif "started" in ended:
        run.status, run.why = "interrupted", "migration:started was logged, and no end"
    elif run.importer == "api" and run.last_trace is not None:
        _judge_by_sync_state(run, run.last_trace, later, state)
    elif run.last_trace is None:
        run.status, run.why = "unknown", "no report says how it went"
    else:
        run.status, run.why = "unknown", "records bear its id, but nothing says how it ended"
        run.why += "; give its report file with --import-report"


def _failure(run: Run, reports: Sequence[ImportReport]) -> str:
    """Say why a run failed as a whole, by its report; empty where it did not.

    The sync reports failure for a single record in hundreds: that is no failure of the run.
    """
    lost = [
        f"it gave up on {count:,} of {run.fetched[entity]:,} {CONCEPT_OF[entity]}"
        for entity, count in run.errors.items()
        if count and run.fetched.get(entity) and 2 * count > run.fetched[entity]
    ]
    denied = any(report.success is False for report in reports)
    for problem in run.problems if denied else ():
        if problem.wa_id is None and problem.row is None:  # about no single record
            return f"its report says so: {problem.reason}"
    if lost:
        return f"{', '.join(lost)}{_first_of(run)}"
    return "its report says so" if denied and not run.problems and not any(run.errors.values()) else ""


def _first_of(run: Run, most: int = 3) -> str:
    """Name the first records that a run gave up on, with the reason."""
    names = [f"{row.entity} {row.wa_id or f'of row {row.row}'} ({row.reason})" for row in run.problems]
    more = ", ..." if len(names) > most else ""
    return f": {', '.join(names[:most])}{more}" if names else ""


def _judge_by_sync_state(run: Run, last: datetime, later: Sequence[Run], state: SyncState) -> None:
    """Decide by the sync state: at its end a sync writes the moment of its kind, and those that both kinds write."""
    kind, incremental = run.sync or "full", run.sync == "incremental"
    own, foreign = _OWN[kind], _OWN["full" if incremental else "incremental"]
    moments = {(moment, name) for name, moment in state.moments if name != foreign}
    after = sorted(pair for pair in moments if pair[0] >= last - _BEFORE_ITS_END)
    writers = [
        (other.started, other.sync or "full")
        for other in later
        if other.mode == "live" and other.importer != "csv" and other.started is not None
    ]
    for moment, name in after:
        if any(started <= moment and (name != own or sync == kind) for started, sync in writers):
            continue  # it is the later sync's
        if moment - last > _LONGEST_SILENCE:
            run.why = (
                f"the sync state names {moment:%Y-%m-%d %H:%M} as the next end, too late to be surely its own"
            )
            run.superseded_by = "a later sync" if incremental else ""
            return
        run.finished = run.finished or moment
        run.status, run.why = "completed", "the sync state was written after its last record"
        run.saw(Trace.SYNC_STATE)
        return
    rewritten = any(moment > last for moment in state.rewritten)
    reset = max((moment for moment in (*state.emptied, *state.rewritten) if moment > last), default=None)
    stale = any(moment < last - _BEFORE_ITS_END for moment, _ in moments)
    never = not after or (own in state.kept and own not in {name for _, name in moments})
    if (stale and not rewritten) or (never and reset is None):
        run.status = "interrupted"
        run.why = f"audit rows, but {'' if incremental else 'no report and '}no end in the sync state"
        return
    what = "a later sync has written over the sync state"
    if reset is not None:
        what = f"the sync state was emptied or put back on {reset:%Y-%m-%d %H:%M}"
    how = "give its report file with --import-report"
    if incremental:
        how = "an incremental sync writes no report file, only its output tells"
    run.why = f"nothing says how it ended: {what}; {how}"


def supersede(runs: Sequence[Run], state: SyncState) -> None:
    """Note which later sync fetched what an incremental sync may have missed that is not known to be complete.

    The sync state advances only at a sync's end: the next one starts from the same moment, a full one fetches everything.
    """
    resets = (*state.emptied, *state.rewritten)
    for position, run in enumerate(runs):
        if run.sync != "incremental" or run.mode != "live" or run.status == "completed":
            continue
        for other in runs[position + 1 :]:
            start = other.started
            if other.mode != "live" or other.status != "completed" or not other.sync or start is None:
                continue
            emptied = any(run.started is None or run.started < moment < start for moment in resets)
            if other.sync == "full" or not emptied:
                run.superseded_by = other.run
                break
        if run.superseded_by:
            run.why += f"; {run.superseded_by} fetched what it may have missed"
