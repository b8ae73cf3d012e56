"""``audit``: what the audit log says of migrations, and whether the workbench's own entries are as they were."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

import workbench
from workbench.cli.options import AsJson, EnvironmentName, Unmask, open_as
from workbench.cli.output import banner, print_json, print_table, say, stderr
from workbench.errors import UsageError
from workbench.murmurant.spellings import RUN_ID_KEYS

if TYPE_CHECKING:
    from workbench.workbench import Workbench

_ROLLBACKS = "migration:rollback:"
_MONTH = "this month"


def audit(
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="RUN_ID", help="Only entries of this run.")
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Only actions that begin with this: migration:rollback")
    ] = None,
    rollbacks: Annotated[bool, typer.Option("--rollbacks", help="Only rollbacks, of either level.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help='A date, a moment (UTC), "this month", or how long ago: "30 days".'
        ),
    ] = None,
    by_operator: Annotated[
        bool,
        typer.Option("--by-operator", help="Who ran imports, how many, how long; this month, or --since."),
    ] = False,
    operators: Annotated[bool, typer.Option("--operators", help="The same, of all time.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Entries counted by run and action.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many entries to list, the latest.")] = 200,
    environment: EnvironmentName = None,
    json: AsJson = False,
    unmask: Unmask = False,
) -> None:
    """List the audit log's migration entries (guide §5.2), and tell whether the workbench's own are as they were."""
    asked = [name for name, given in (
        ("--run", run_id), ("--action", action), ("--rollbacks", rollbacks),
        ("--by-operator", by_operator), ("--operators", operators), ("--summary", summary),
    ) if given]  # fmt: skip
    _refuse_two_questions(asked)
    moment = _moment(since or (_MONTH if by_operator else None))
    with open_as(environment, None, one_state=True) as wb:
        if by_operator or operators or summary:
            counts = wb.audit_summary(moment) if summary else wb.imports_by_operator(moment)
            if json:
                print_json(workbench.mask(counts, unmask=unmask))
            else:
                banner(wb.environment)
                print_table(workbench.mask(counts, unmask=unmask), empty=_none(not summary, moment))
            return
        if run_id is not None:
            _known(wb, run_id)
        entries = wb.audit(run_id, _ROLLBACKS if rollbacks else action, moment, limit)
        total = int(wb.audit_summary()["entries"].sum()) if len(entries) == limit else len(entries)
        log = wb.audit_log_state()
    entries = workbench.mask(entries, unmask=unmask)
    if json:
        print_json({"entries": entries, "log": log._asdict()})
    else:
        banner(wb.environment)
        brief = entries.assign(metadata=[_brief(each) for each in entries["metadata"]])
        print_table(brief, empty=_none(False, moment))
        say("", str(log))
    if total > len(entries):
        stderr().print(
            f"The latest {len(entries):,} entries; more: --limit N, or --summary for all of them, counted."
        )


def _refuse_two_questions(asked: list[str]) -> None:
    questions = [each for each in asked if each in {"--operators", "--by-operator", "--summary"}]
    if len(questions) > 1 or (questions and len(asked) > 1):
        raise UsageError(f"{' and '.join(asked)} are two questions.", "Ask one at a time.")
    if {"--action", "--rollbacks"} <= set(asked):
        raise UsageError("--rollbacks is an --action of its own.", "Give one of them.")


def _moment(said: str | None) -> datetime | None:
    if not said:
        return None
    now = datetime.now(UTC).replace(tzinfo=None)
    moment = moment_of(said, now)
    if moment > now:
        raise UsageError(
            f"{said!r} is still to come: nothing can have been logged since.",
            'Write a moment that has passed: "30 days", 2026-01-31.',
        )
    return moment


def moment_of(said: str, now: datetime) -> datetime:
    """Return the moment that a text means, in UTC without zone, as `now` is.

    Parameters
    ----------
    said : str
        A date or a moment (UTC unless it names a zone), ``today``, ``this month``, ``this year``, or how
        long ago: ``30 days``, ``2 years``.

    Raises
    ------
    UsageError
        For anything else.
    """
    import pandas as pd

    begun: dict[str, dict[str, Any]] = {
        "today": {},
        "this month": {"day": 1},
        "this year": {"month": 1, "day": 1},
    }
    text = said.strip().lower()
    try:
        if text in begun:
            return now.replace(hour=0, minute=0, second=0, microsecond=0, **begun[text])
        if ago := re.fullmatch(r"(\d{1,6})\s*(hour|day|week|month|year)s?", text):
            span: Any = {f"{ago[2]}s": int(ago[1])}
            return (pd.Timestamp(now) - pd.DateOffset(**span)).to_pydatetime()
        moment = datetime.fromisoformat(said.strip())
    except (ValueError, OverflowError):
        raise UsageError(
            f"{said!r} is no moment.",
            'Write a date (2026-01-31), "today", "this month", or how long ago: "30 days", "2 years".',
        ) from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _none(operators: bool, since: datetime | None) -> str:
    period = f" since {since:%Y-%m-%d %H:%M} UTC" if since else ""
    return f"no import{period} logged who ran it" if operators else f"no such entry{period}"


def _brief(metadata: Any) -> str:
    """Say an entry's metadata without what stands in columns of its own."""
    if not isinstance(metadata, dict):
        return str(metadata)
    elsewhere = {*RUN_ID_KEYS, "operator", "source", "migrationAction"}
    return ", ".join(f"{key}: {value}" for key, value in metadata.items() if key not in elsewhere)


def _known(wb: Workbench, run_id: str) -> None:
    """Refuse an id that no run has: an empty answer would look like a quiet run."""
    from workbench.investigate.runs import pick_run

    pick_run(wb.find_runs(), run_id)
