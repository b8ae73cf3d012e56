"""``audit``: what the audit log says of migrations, and whether the workbench's own entries are as they were."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import answers
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench


@answers("unmask")
def audit(
    wb: Workbench,
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
) -> Answer:
    """List the audit log's migration entries (guide §5.2), and tell whether the workbench's own are as they were."""
    asked = [name for name, given in (
        ("--run", run_id), ("--action", action), ("--rollbacks", rollbacks),
        ("--by-operator", by_operator), ("--operators", operators), ("--summary", summary),
    ) if given]  # fmt: skip
    _refuse_two_questions(asked)
    moment = _moment(since or ("this month" if by_operator else None))
    if summary:
        return wb.audit.summary(moment)
    if by_operator or operators:
        return wb.audit.operators(moment)
    return wb.audit(run_id, "migration:rollback:" if rollbacks else action, moment, limit)


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
