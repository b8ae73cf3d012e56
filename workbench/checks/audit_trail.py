"""Guide §5.1: every migration operation leaves its entries, with what they must say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from workbench.checks.registry import NO_RUNS, Look, NotRunError, Rows
from workbench.database.connection import raw
from workbench.errors import WorkbenchError
from workbench.murmurant.importers import (
    ROLLED_BACK,
    Run,
    Trace,
)
from workbench.plans.journal import Entry, entries

KEPT = timedelta(days=731)
"""How long the guide keeps migration entries, at least (§5.3)."""


def runs_ended(look: Look) -> Rows:
    live = [run for run in look.runs if run.mode == "live"]
    if not live:
        raise NotRunError(NO_RUNS)
    live = [run for run in live if not run.superseded_by]
    # An importer whose other runs left their reports here has lost this one's for a reason.
    reporting = {report.importer for report in look.reports}
    untold = [
        run.run
        for run in live
        if run.status == "unknown" and (run.importer not in reporting or run.sync == "incremental")
    ]
    open_ended = [
        {"key": run.run, "importer": run.importer, "last_trace": run.last_trace, "why": run.why}
        for run in live
        if run.run not in untold
        and (run.status == "unknown" or (run.finished is None and run.status == "interrupted"))
    ]
    if untold and not open_ended:
        raise NotRunError(
            f"Nothing says how {len(untold)} of {len(live)} runs ended ({', '.join(untold[:3])})."
            " Give their report files with --import-report; an incremental sync writes none, only its output tells."
        )
    return open_ended


def audit_entries(look: Look) -> Rows:
    applied = _applied(look)
    live = [run for run in look.runs if run.mode == "live"]
    if not live and not applied:
        raise NotRunError(NO_RUNS)
    since = _now() - KEPT  # older entries may be gone: guide §5.3
    found = [
        {"key": run.run, "action": action, "at": _moment(run), "why": why}
        for run in live
        if (_moment(run) or since) >= since
        for action, why in _untold(run)
    ]
    logged = _logged_digests(look) if applied else set()
    found += [
        {
            "key": each.plan,
            "action": _LOGGED_AS.get(each.kind, f"migration:* for its {each.kind}"),
            "at": each.at,
            "why": f"{each.applied_by} applied it, says the journal",
        }
        for each in applied
        if each.total and each.digest not in logged and each.at >= since
    ]
    return sorted(found, key=lambda each: (each["key"], each["action"]))


_LOGGED_AS = {"rollback": ROLLED_BACK, "mapping": "migration:mapping:corrected"}
"""How the guide calls the entry of a plan of some kind."""


def _untold(run: Run) -> list[tuple[str, str]]:
    """Return which entries a run lacks, and how it is known that there was something to tell."""
    if run.importer == "api":
        traced = run.traces.get(Trace.AUDIT, 0)
        claimed = sum(
            cells.get(each, 0) for cells in run.reported.values() for each in ("created", "updated")
        )
        return (
            [("CREATE, UPDATE", f"its report counts {claimed:,} of them")] if claimed and not traced else []
        )
    if run.importer != "guide":
        return []  # a CSV import logs nothing, and nobody can ask it to
    logged = {action for action, _, _ in run.entries}
    found = [] if "migration:started" in logged else [("migration:started", f"{run.evidence}")]
    # One that only began is another check's finding: runs-ended.
    if run.status in {"completed", "incomplete", "failed"} and not logged & {
        "migration:completed",
        "migration:failed",
    }:
        ended = "failed" if run.status == "failed" else "completed"
        found.append((f"migration:{ended}", run.why))
    return found


def _moment(run: Run) -> datetime | None:
    return run.finished or run.last_trace or run.started


def _applied(look: Look) -> list[Entry]:
    try:
        return entries(raw(look.connection))
    except WorkbenchError as error:
        raise NotRunError(str(error)) from None


def _logged_digests(look: Look) -> set[str]:
    query = "SELECT metadata ->> 'digest' FROM audit WHERE metadata ->> 'source' = 'workbench'"
    return {digest for (digest,) in look.rows(query) if digest}


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
