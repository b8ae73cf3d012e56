"""How a run ended, judged by evidence and never by its report's own word alone (guide §1.1, §5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from workbench.murmurant.importers import MIGRATION_PREFIX, Run, Trace, is_fetch_trouble
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES


def judge(run: Run, earlier: Sequence[Run], later: Run | None, last_sync: datetime | None) -> None:
    """Decide how a run ended, and say by what."""
    ended = {action.removeprefix(MIGRATION_PREFIX): facts for action, facts, _ in run.entries}
    told = [report for report in run.reports if report.counts]
    reasons = [reason for report in told for reason in report.skip_reasons if is_fetch_trouble(reason)]
    if "failed" in ended:
        facts = ended["failed"]
        batch = f" after batch {facts['last_batch']}" if facts.get("last_batch") is not None else ""
        run.status, run.why = (
            "interrupted" if batch else "failed",
            f"failed{batch}: {facts.get('error', 'no reason given')}",
        )
    elif any(report.success is False for report in told):
        run.status, run.why = "failed", "its report says so"
    elif reasons:
        fewer = _fewer_than_before(run, earlier)
        run.status, run.why = "interrupted", f"{len(reasons)}+ fetch errors, first: {reasons[0]}{fewer}"
    elif told and told[-1].finished is None:
        run.status, run.why = "interrupted", "its report file has no end"
    elif (
        told
        and not any(sum(cells.values()) for cells in run.counts.values())
        and not any(run.errors.values())
    ):
        run.status, run.why = "unknown", "its report file is complete, but no record was touched or traced"
    elif told or "completed" in ended:
        run.status, run.why = (
            "completed",
            "its report file is complete" if told else "migration:completed was logged",
        )
        total = sum(run.errors.values())
        run.why += f", with {total} errors" if total else ""
    elif "started" in ended:
        run.status, run.why = "interrupted", "migration:started was logged, and no end"
    elif run.importer == "api" and later is None and run.last_trace is not None:
        _judge_by_sync_state(run, last_sync)
    elif run.last_trace is None:
        run.status, run.why = "unknown", "no report says how it went"
    else:
        run.status, run.why = (
            "unknown",
            "records bear its id, but nothing says how it ended; give its report file with --import-report",
        )


def _judge_by_sync_state(run: Run, last_sync: datetime | None) -> None:
    """Decide by the sync state, which the last sync of all writes at its end."""
    assert run.last_trace is not None
    if last_sync is not None and last_sync >= run.last_trace - timedelta(seconds=1):
        run.finished = run.finished or last_sync
        run.status, run.why = "completed", "the sync state was written after its last record"
        run.saw(Trace.SYNC_STATE)
    else:
        run.status, run.why = "interrupted", "audit rows, but no report and no sync state after them"


def _fewer_than_before(run: Run, earlier: Sequence[Run]) -> str:
    before = next(
        (
            one
            for one in reversed(earlier)
            if one.importer == run.importer and one.mode == "live" and one.fetched
        ),
        None,
    )
    if before is None:
        return ""
    less = [
        f"{run.fetched[entity]:,} of {before.fetched[entity]:,} {CONCEPT_OF[entity]}"
        for entity in ENTITIES
        if run.fetched.get(entity, 0) < before.fetched.get(entity, 0)
    ]
    return f"; it fetched {', '.join(less)} that the run before it had" if less else ""
