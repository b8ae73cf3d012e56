"""Guide §5.1: every migration operation leaves its entries, with what they must say."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, String, and_, case, cast, func, or_, select

from workbench.checks.partial import NO_RUNS
from workbench.checks.registry import Look, NotRunError, Rows, check
from workbench.murmurant.importers import IMPORT_SOURCE
from workbench.murmurant.schema import as_text

REQUIRED_METADATA = {
    "migration:started": ("run_id", "mode", "operator"),
    "migration:completed": ("run_id", "counts", "duration"),
    "migration:failed": ("run_id", "error", "last_batch"),
    "migration:rollback:level1": ("run_id", "records_affected"),
    "migration:rollback:level2": ("backup_file", "restore_time"),
    "migration:mapping:corrected": ("waId", "oldMurmurantId", "newMurmurantId"),
    "migration:policy:corrected": ("rule", "records_affected", "rules_sha256"),
}
"""The table of guide §5.1: action to the metadata its entry must have."""

REQUIRED_OF_SYNC = ("syncRunId", "waId", "mode")
"""What the API sync writes into every audit row of its own."""


@check(
    "runs-ended",
    "Runs that started and never ended",
    guide="§5.1",
    symptom="Import begins, and neither finishes nor errors",
    question="Did every run that started also log that it completed or failed?",
    remedy="Nothing says how far it came. `workbench run RUN_ID` shows what it did; then §4.1, re-run or roll back.",
)
def runs_ended(look: Look) -> Rows:
    live = [run for run in look.runs if run.mode == "live"]
    if not live:
        raise NotRunError(NO_RUNS)
    # An importer whose other runs left their reports here has lost this one's for a reason.
    reporting = {report.importer for report in look.reports}
    untold = [run.run for run in live if run.status == "unknown" and run.importer not in reporting]
    open_ended = [
        {"key": run.run, "importer": run.importer, "last_trace": run.last_trace, "why": run.why}
        for run in live
        if run.run not in untold
        and (run.status == "unknown" or (run.finished is None and run.status == "interrupted"))
    ]
    if untold and not open_ended:
        raise NotRunError(
            f"Nothing says how {len(untold)} of {len(live)} runs ended ({', '.join(untold[:3])})."
            " Give their report files with --import-report."
        )
    return open_ended


@check(
    "audit-metadata",
    "Audit entries that lack what they must say",
    guide="§5.1",
    symptom="Metadata Required",
    question="Does every migration entry, and every row the sync logged, carry the metadata it must?",
    remedy="The run can still be found by other evidence, but less surely: `workbench run RUN_ID` says how surely.",
    needs=("audit.action", "audit.metadata"),
)
def audit_metadata(look: Look) -> Select[Any]:
    audit = look.schema.audit
    metadata = audit.c.metadata
    required = {(metadata["source"].astext == IMPORT_SOURCE): REQUIRED_OF_SYNC}
    if not look.schema.audit_action_is_enum:  # an enum has no room for the guide's free text
        required |= {(audit.c.action == action): keys for action, keys in REQUIRED_METADATA.items()}

    def absent(key: str) -> Any:
        return func.coalesce(metadata[key].astext, "") == ""

    def lacks(keys: tuple[str, ...]) -> Any:
        """Which of the keys are absent or empty, in words."""
        return func.concat_ws(", ", *(case((absent(key), key)) for key in keys))

    return (
        select(
            as_text(audit.c.id).label("key"),
            cast(audit.c.action, String).label("action"),
            case(*((which, lacks(keys)) for which, keys in required.items())).label("lacks"),
        )
        .where(or_(*(and_(which, or_(*map(absent, keys))) for which, keys in required.items())))
        .order_by("key")
    )
