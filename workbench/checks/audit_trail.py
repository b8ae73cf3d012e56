"""Guide §5.1: every migration operation leaves its entries, with what they must say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select

from workbench.audit import migration_action
from workbench.checks.partial import NO_RUNS
from workbench.checks.registry import Look, NotRunError, Rows, check
from workbench.database.connection import raw
from workbench.errors import WorkbenchError
from workbench.murmurant.importers import (
    BUNDLE_SEALED,
    DRY_RUN_REVIEWED,
    IMPORT_SOURCE,
    ROLLED_BACK,
    Run,
    Trace,
)
from workbench.murmurant.schema import as_text
from workbench.plans.journal import Entry, entries

REQUIRED_METADATA = {
    "migration:started": ("run_id", "mode", "operator"),
    "migration:completed": ("run_id", "counts", "duration"),
    "migration:failed": ("run_id", "error", "last_batch"),
    "migration:rollback:level1": ("run_id", "records_affected"),
    "migration:rollback:level2": ("backup_file", "restore_time"),
    "migration:mapping:corrected": ("waId", "oldMurmurantId", "newMurmurantId"),
    "migration:policy:corrected": ("rule", "records_affected", "rules_sha256"),
    BUNDLE_SEALED: ("run_id", "bundle", "bundle_sha256", "operator"),
    DRY_RUN_REVIEWED: ("run_id", "dry_run", "content_sha256", "operator"),
}
"""The table of guide §5.1: action to the metadata its entry must have."""

KEPT = timedelta(days=731)
"""How long the guide keeps migration entries, at least (§5.3)."""

REQUIRED_OF_SYNC = ("syncRunId", "waId", "mode")
"""What the API sync writes into every audit row of its own."""


@check(
    "runs-ended",
    "Start and end entries of runs",
    guide="§5.1",
    symptom="Import begins, and neither finishes nor errors",
    question="Did every run that started also log that it completed or failed?",
    remedy="Nothing says how far it came. `workbench run RUN_ID` shows what it did; then §4.1, re-run or roll back.",
)
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


@check(
    "audit-metadata",
    "Required facts in audit entries",
    guide="§5.1",
    symptom="Metadata Required",
    question="Does every migration entry, and every row the sync logged, carry the metadata it must?",
    remedy="The run can still be found by other evidence, but less surely: `workbench run RUN_ID` says how surely.",
    needs=("audit.action", "audit.metadata"),
)
def audit_metadata(look: Look) -> Select[Any]:
    audit = look.schema.audit
    metadata, action = audit.c.metadata, migration_action(look.schema)
    required: dict[Any, tuple[str, ...]] = {(metadata["source"].astext == IMPORT_SOURCE): REQUIRED_OF_SYNC}
    required |= {(action == name): keys for name, keys in REQUIRED_METADATA.items()}

    def absent(key: str) -> Any:
        return func.coalesce(metadata[key].astext, "") == ""

    def lacks(keys: tuple[str, ...]) -> Any:
        """Which of the keys are absent or empty, in words."""
        return func.concat_ws(", ", *(case((absent(key), key)) for key in keys))

    return (
        select(
            as_text(audit.c.id).label("key"),
            action.label("action"),
            look.schema.audit_run.label("run"),
            case(*((which, lacks(keys)) for which, keys in required.items())).label("lacks"),
        )
        .where(or_(*(and_(which, or_(*map(absent, keys))) for which, keys in required.items())))
        .order_by("key")
    )


@check(
    "audit-entries",
    "Audit trail of operations",
    guide="§5.1",
    symptom="Every migration operation MUST create audit log entries",
    question="Did every run of the last two years log what its importer logs, and does every plan applied since have its entry?",
    remedy="An importer's entry that was never written cannot be written afterwards: keep its report file. One that the"
    " workbench wrote was taken out of the log: a snapshot or a backup has it.",
    needs=("audit.action", "audit.metadata", "audit.created_at"),
)
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
    metadata = look.schema.audit.c.metadata
    digests = select(metadata["digest"].astext).where(
        metadata["source"].astext == "workbench", metadata["digest"].astext.is_not(None)
    )
    return set(look.connection.execute(digests).scalars())


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
