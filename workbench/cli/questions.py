"""The commands that only look: what an import did, and what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.answer import Answer, Step, Table
from workbench.cli.command import command
from workbench.cli.options import REQUIRED, exclusive
from workbench.cli.output import Advance
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.workbench import Workbench


@command("doctor", "import_report")
def doctor(wb: Workbench) -> Answer:
    """Check connection, permissions, tools and configuration."""
    return wb.doctor()


@command("triage", "run_id", "import_report", run_id=None)
def triage(wb: Workbench, run_id: str | None, advance: Advance) -> Answer:
    """Name what went wrong and compare the ways to fix it."""
    return wb.triage(run_id, advance)


@command("runs", "import_report", one_state=False)
def runs(wb: Workbench) -> Answer:
    """List the import runs and how each ended."""
    return wb.runs()


@command("run", "run_id", "limit", "import_report", limit=50)
def run(wb: Workbench, run_id: str, limit: int) -> Answer:
    """Show what a run did, record by record, with the evidence."""
    return wb.runs.run(run_id, limit)


@command("check", "checks", "waive", "limit", "import_report", "unmask")
def check(wb: Workbench, checks: list[str], waive: list[str], limit: int) -> Answer:
    """Run the checks of the recovery guide."""
    return wb.check(checks, waive, sample=limit)


_AUDIT = ("run_id", "action", "rollbacks", "since", "by_operator", "summary", "limit", "unmask")


@command("audit", *_AUDIT, limit=200, run_id=None)
def audit(wb: Workbench, run_id: str | None, since: str | None, limit: int, **given: Any) -> Answer:
    """List the audit log's entries on migrations (guide §5.2)."""
    action, rollbacks, by_operator, summary = map(
        given.get, ("action", "rollbacks", "by_operator", "summary")
    )
    exclusive(run=run_id or action or rollbacks, by_operator=by_operator, summary=summary)
    exclusive(action=action, rollbacks=rollbacks)
    if by_operator:
        since = since or "this month"
    moment = parse_since(since, datetime.now(UTC).replace(tzinfo=None)) if since else None
    if summary:
        return wb.audit.summary(moment)
    if by_operator:
        return wb.audit.operators(moment)
    return wb.audit(run_id, "migration:rollback:" if rollbacks else action, moment, limit)


def parse_since(text: str, now: datetime) -> datetime:
    """Parse a date, a time, ``this month`` or an age such as ``30 days``; naive UTC, like `now`.

    Raises
    ------
    UsageError
        If it cannot be parsed or is in the future.
    """
    import pandas as pd

    try:
        if text == "this month":
            moment = pd.Period(now, "M").start_time
        elif text[-1:].isdigit():
            moment = pd.Timestamp(datetime.fromisoformat(text))
            moment = moment.tz_convert(None) if moment.tzinfo else moment
        else:
            moment = pd.Timestamp(now) - pd.Timedelta(text)
    except (ValueError, OverflowError):
        moment = pd.Timestamp.max
    if not moment <= now:
        raise UsageError(
            f"{text!r} is not a time in the past.",
            'Write a date (2026-01-31), "this month", or an age such as "30 days".',
        )
    return moment.to_pydatetime()


@command("tiers", "mapping", "unmask")
def tiers(wb: Workbench, mapping: list[Path]) -> Answer:
    """Compare tiers and statuses with Wild Apricot levels."""
    return wb.tiers(mapping or None)


@command("policies", "rules_asked", "rules", "starter", "waive", "limit", "import_report", "unmask")
def policies(
    wb: Workbench, rules_asked: list[str], rules: Path | None, starter: Path | None, **given: Any
) -> Answer:
    """Check the organisation's own rules."""
    if starter is not None:
        from workbench.checks.registry import copy_starter

        return Answer(f"Copied {len(copy_starter(starter))} rules to {starter}, one file each.")
    return wb.policies(rules, rules_asked, given["waive"], sample=given["limit"])


_DUPLICATES = ("entity", "threshold", "model", "limit", "listing", "decide", "remark", "decisions")


@command("duplicates", *_DUPLICATES, "engine", "master", "others", "acting", "unmask")
def duplicates(
    wb: Workbench, entity: str | None, decide: Any, remark: str, decisions: bool, **given: Any
) -> Answer:
    """Find duplicate members, events and registrations.

    Decisions (--decide) are stored with the reports and used the next time.
    """
    kind, others, listing = entity and entity.capitalize(), given.pop("others"), given.pop("listing")
    exclusive(decide=decide, decisions=decisions, to=listing, **{"with": others})
    if (remark and decide is None) or (listing is not None and entity is None):
        raise UsageError("--remark needs --decide, and --to needs --entity.", "Give both, or neither.")
    if decide is not None:
        decision = wb.duplicates.decide(*decide, remark=remark, entity=kind)
        return Answer(
            f"{decision.entity} {decision.left} and {decision.right}: {decision.decision}, by {decision.by}.",
            next_steps=[Step("To list all decisions", "duplicates --decisions")],
            facts=vars(decision),
        )
    if decisions:
        frame = wb.duplicates.decisions()
        return Answer(parts={"decisions": Table(frame, empty="No decisions yet.")}, facts=frame)
    if given["threshold"] is None:
        del given["threshold"]
    if others:
        return wb.duplicates.across(others, kind, **given)
    return wb.duplicates(kind, listing=listing, **given)


@command("duplicates train", "out")
def train_duplicates(wb: Workbench, out: Path | None) -> Answer:
    """Estimate the matching parameters from this club's members."""
    return wb.duplicates.train(out)


@command("mappings", "problem", "wa_id", "limit", "csv", "export", "import_report", "unmask")
def mappings(wb: Workbench, export: list[Path], **given: Any) -> Answer:
    """List Wild Apricot ids that lead to the wrong record."""
    return wb.mappings(export, **given)


_LIMITS = ("missing_at_most", "differs_at_most", "extra_at_most")


@command("reconcile", "export", *_LIMITS, "time_zone", "limit", "import_report", "unmask", export=REQUIRED)
def reconcile(wb: Workbench, export: list[Path], **given: Any) -> Answer:
    """Compare Wild Apricot's exports with the database.

    Exit code 0 if everybody is there, within the limits.
    """
    return wb.reconcile(export, **given)
