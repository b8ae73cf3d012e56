"""What is here, what an import did, and what is wrong: the questions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.answer import Answer, Step, Table
from workbench.cli.command import answers
from workbench.cli.options import exclusive
from workbench.cli.output import Advance
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.workbench import Workbench


@answers("doctor", "import_report")
def doctor(wb: Workbench) -> Answer:
    """Tell what works here and what is missing: connection, dialect, rights, tools, configuration."""
    return wb.doctor()


@answers("triage", "import_report")
def triage(wb: Workbench, run_id: str | None = None, *, advance: Advance) -> Answer:
    """Name the failures that are here, and lay the ways out side by side, with what each would cost."""
    return wb.triage(run_id, advance)


@answers("runs", "import_report", one_state=False)
def runs(wb: Workbench) -> Answer:
    """List every import run: when, by whom, what it did, how it ended and how we know."""
    return wb.runs()


@answers("run", "import_report")
def run(wb: Workbench, run_id: str, limit: int = 50) -> Answer:
    """Tell record by record what one run did, by which evidence, and what became of it since."""
    return wb.runs.run(run_id, limit)


@answers("check", "import_report", "unmask")
def check(wb: Workbench, checks: Sequence[str] = (), waive: Sequence[str] = (), limit: int = 20) -> Answer:
    """Ask what the guide says to check, and show each finding with its section of the guide."""
    return wb.check(checks, waive, sample=limit)


@answers("audit", "unmask")
def audit(
    wb: Workbench,
    run_id: str | None = None,
    action: str | None = None,
    rollbacks: bool = False,
    since: str | None = None,
    by_operator: bool = False,
    operators: bool = False,
    summary: bool = False,
    limit: int = 200,
) -> Answer:
    """List the audit log's migration entries (guide §5.2), and tell whether the workbench's own are as they were."""
    exclusive(
        run=run_id or action or rollbacks, by_operator=by_operator, operators=operators, summary=summary
    )
    exclusive(action=action, rollbacks=rollbacks)
    moment = moment_of(since or ("this month" if by_operator else ""), datetime.now(UTC).replace(tzinfo=None))
    if summary:
        return wb.audit.summary(moment)
    if by_operator or operators:
        return wb.audit.operators(moment)
    return wb.audit(run_id, "migration:rollback:" if rollbacks else action, moment, limit)


def moment_of(text: str, now: datetime) -> datetime | None:
    """Return the moment that a text means, in UTC without zone, as `now` is; None for no text.

    Parameters
    ----------
    text : str
        A date or a moment (UTC unless it names a zone), ``today``, ``this month``, ``this year``, or how
        long ago: ``30 days``, ``2 years``.

    Raises
    ------
    UsageError
        For anything else, and for a moment that is still to come.
    """
    import pandas as pd

    begun = {"today": "D", "this month": "M", "this year": "Y"}
    words = text.strip().lower()
    if not words:
        return None
    try:
        if words in begun:
            moment = pd.Period(now, begun[words]).start_time
        elif ago := re.fullmatch(r"(\d{1,6})\s*(hour|day|week|month|year)s?", words):
            moment = pd.Timestamp(now) - pd.DateOffset(**{f"{ago[2]}s": int(ago[1])})  # type: ignore[arg-type]
        else:
            moment = pd.Timestamp(datetime.fromisoformat(text.strip()))
            moment = moment.tz_convert(None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment > now:
        raise UsageError(
            f"{text!r} is no moment that has passed.",
            'Write a date (2026-01-31), "today", "this month", or how long ago: "30 days", "2 years".',
        )
    return moment.to_pydatetime()


@answers("tiers", "unmask")
def tiers(wb: Workbench, mapping: Sequence[Path] = ()) -> Answer:
    """Compare every member's membership tier with what their Wild Apricot level should give."""
    return wb.tiers(mapping or None)


@answers("policies", "import_report", "unmask")
def policies(
    wb: Workbench,
    rules_asked: Sequence[str] = (),
    rules: Path | None = None,
    starter: Path | None = None,
    waive: Sequence[str] = (),
    limit: int = 20,
) -> Answer:
    """Ask the organisation's own rules, of the folder policies or the starter set, and show who breaks them."""
    if starter is not None:
        from workbench.checks.rules import copy_starter

        return Answer(
            f"{len(copy_starter(starter))} rules are in {starter}; each is a file to read and edit."
        )
    return wb.policies(rules, rules_asked, waive, sample=limit)


@answers("duplicates", "acting", "unmask")
def duplicates(
    wb: Workbench,
    entity: Literal["member", "event", "registration"] | None = None,
    threshold: float | None = None,
    model: Path | None = None,
    limit: int | None = None,
    listing: Path | None = None,
    decide: tuple[str, str, str] | None = None,
    remark: str = "",
    decisions: bool = False,
    engine: Literal["duckdb", "spark"] = "duckdb",
    master: str | None = None,
    others: Sequence[str] = (),
) -> Answer:
    """Find members, events and registrations that are there more than once, and say which may be merged.

    Decisions (--decide) are kept beside the reports and respected the next time.
    """
    exclusive(decide=decide, decisions=decisions, to=listing, **{"with": others})
    if (remark and decide is None) or (listing is not None and entity is None):
        raise UsageError("--remark goes with --decide, and --to with --entity.", "Give both, or neither.")
    of = entity.capitalize() if entity else None
    if decide is not None:
        decision = wb.duplicates.decide(*decide, remark=remark, entity=of)
        words = {"same": "one and the same", "different": "different", "unsure": "not decided yet"}
        return Answer(
            f"{decision.entity} {decision.left} and {decision.right}: {words[decision.decision]}, by {decision.by}.",
            next_steps=[Step("Kept beside the reports; all of them", "duplicates --decisions")],
            facts=vars(decision),
        )
    if decisions:
        frame = wb.duplicates.decisions()
        return Answer(parts={"decisions": Table(frame, empty="Nothing was decided yet.")}, facts=frame)
    how: dict[str, Any] = {"model": model, "limit": limit, "engine": engine, "master": master}
    how |= {"threshold": threshold} if threshold else {}
    if others:
        return wb.duplicates.across(others, of, **how)
    return wb.duplicates(of, listing=listing, **how)


@answers("duplicates train")
def train_duplicates(wb: Workbench, out: Path | None = None) -> Answer:
    """Estimate from the members how one person's records differ, as from 5,000 members on `duplicates` does by itself."""
    return wb.duplicates.train(out)


@answers("mappings", "import_report", "unmask")
def mappings(
    wb: Workbench,
    problem: Sequence[str] = (),
    wa_id: str | None = None,
    limit: int = 20,
    csv: Path | None = None,
    export: Sequence[Path] = (),
) -> Answer:
    """List ids that lead to the wrong person or record, twice or nowhere; worst first, cycles drawn."""
    return wb.mappings(export, problem=problem, wa_id=wa_id, csv=csv, limit=limit)


@answers("reconcile", "import_report", "unmask")
def reconcile(
    wb: Workbench,
    export: Sequence[Path],
    missing_at_most: str | None = None,
    differs_at_most: str | None = None,
    extra_at_most: str | None = None,
    time_zone: str | None = None,
    limit: int = 20,
) -> Answer:
    """Tell whether everybody is here: Wild Apricot's exports beside the database; go or no-go.

    Exit code 0 means go.
    """
    limits = {
        "missing_at_most": missing_at_most,
        "differs_at_most": differs_at_most,
        "extra_at_most": extra_at_most,
    }
    return wb.reconcile(export, limit, time_zone=time_zone, **limits)
