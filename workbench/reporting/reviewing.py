"""A plan beside the database it is for: what became of it, and whether it could be approved as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import psycopg

from workbench.checks.finding import SAMPLE, Finding, Status
from workbench.database.address import redact
from workbench.errors import DocumentError, Refused, SchemaGap
from workbench.plans.journal import raw
from workbench.plans.plan import Plan
from workbench.reporting.comparing import differing
from workbench.session import Session

QUESTION = "Can this plan be approved as it is?"

COMPARED = 500
"""Rows of each section that are compared with the database; apply compares every one."""

WENT = ("applied", "undone")


class Opened(Protocol):
    """What the report of a plan needs of an opened workbench."""

    @property
    def session(self) -> Session:
        """What every subject stands on."""

    def plan(self, name: str) -> Plan:
        """Return a plan by its id or its file's path."""

    def plans(self) -> pd.DataFrame:
        """List the plans of this environment and what became of each."""


@dataclass(frozen=True)
class Review:
    """A plan, looked at beside the database.

    Attributes
    ----------
    wb : Workbench
        What it was looked at through.
    plan : Plan
        The plan.
    state, detail : str
        What became of it (see `workbench.plans.states.STATES`), by whom and when.
    findings : list of Finding
        What decides whether it can be approved; `reason` says what was found.
    """

    wb: Opened
    plan: Plan
    state: str
    detail: str
    findings: list[Finding]

    @property
    def here(self) -> bool:
        """Whether this is the database that the plan was made on."""
        return self.plan.target == self.wb.session.target

    @property
    def refused(self) -> bool:
        """Whether it cannot be applied here, whoever approves it."""
        return any(each.status == "fail" for each in self.findings)

    @property
    def facts(self) -> dict[str, Any]:
        """What a machine wants to know of the plan besides the verdict."""
        plan = self.plan
        return {
            "plan": plan.id,
            "digest": plan.digest,
            "kind": plan.kind,
            "state": self.state,
            "changes": plan.changes,
            "kept": noted(plan, "kept"),
            "conflicts": noted(plan, "conflict"),
            "unresolved": noted(plan, "unresolved"),
        }


def review_plan(wb: Opened, name: str) -> Review:
    """Look at a plan and at what can be known of it without applying it.

    Parameters
    ----------
    wb : Workbench
        The environment it is for.
    name : str
        The plan's id, an unambiguous beginning of it, or its file's path.

    Raises
    ------
    UsageError
        When there is no such plan, with the nearest.
    DocumentError, Refused
        When its file is cut short or was altered; no folder of this machine is named.
    """
    try:
        plan = wb.plan(name)
    except (DocumentError, Refused) as error:
        folders = {
            str(Path(name).parent),
            str(wb.session.settings.home / "plans"),
            str(wb.session.settings.home.resolve() / "plans"),
        }
        what = error.what
        for each in sorted(folders, key=len, reverse=True):
            what = what.replace(each + os.sep, "")
        raise type(error)(what, error.next_step) from None
    state, detail = _state(wb, plan)
    findings = [_target(wb, plan), _once(plan, state, detail)]
    if all(each.status == "pass" for each in findings):
        findings.append(_rows(wb, plan))
    findings += [
        _counted(_CONFLICTS, noted(plan, "conflict"), "in conflict"),
        _counted(_OPEN, noted(plan, "unresolved"), "undecided"),
    ]
    return Review(wb, plan, state, detail, findings)


def noted(plan: Plan, name: str) -> int:
    """Count a plan's notes of one kind, without reading them."""
    return sum(each.rows for each in plan.sections if each.name == name)


def _state(wb: Opened, plan: Plan) -> tuple[str, str]:
    known = wb.plans()
    mine = known[known["plan"] == plan.id]
    if len(mine):
        return str(mine["state"].iloc[0]), str(mine["detail"].iloc[0])
    return "planned", f"by {plan.planned_by}; it is not among the plans of {wb.session.environment.name}"


def _target(wb: Opened, plan: Plan) -> Finding:
    made, here = plan.target, wb.session.target
    if made == here:
        said = f"{made.database}, schema {made.schema}, on server {made.system_identifier}, as {made.environment} ({made.kind})"
        return _TARGET("pass", 0, reason=f"It is: {said}.")
    pairs = {
        "environment": (f"{made.environment} ({made.kind})", f"{here.environment} ({here.kind})"),
        "database": (made.database, here.database),
        "schema": (made.schema, here.schema),
        "server": (made.system_identifier, here.system_identifier),
    }
    differ = [f"{what} {was}, this is {now}" for what, (was, now) in pairs.items() if was != now]
    return _TARGET("fail", len(differ), reason=f"It was made for {'; for '.join(differ)}.")


def _once(plan: Plan, state: str, detail: str) -> Finding:
    if state in WENT:
        return _ONCE("fail", 1, pd.DataFrame({"key": [plan.id]}), reason=f"It was {state}: {detail}.")
    return _ONCE("pass", 0, reason=f"The journal does not have it. It is {state}: {detail}.")


def _counted(made: Callable[..., Finding], count: int, what: str) -> Finding:
    status: Status = "warn" if count else "pass"
    said = f"{count:,} {what}; they are listed below." if count else f"Nothing is {what}."
    return made(status, count, reason=said)


def _rows(wb: Opened, plan: Plan) -> Finding:
    """Compare the first rows of each section; only apply, which keeps everybody else from writing, can tell of all."""
    seen, different = 0, []
    with wb.session.reading() as connection:
        try:
            with (
                connection.begin_nested()
            ):  # a question that the database refuses must not silence the others
                for section in plan.operations:
                    first = list(islice(plan.rows(section), COMPARED))
                    seen += len(first)
                    different += differing(raw(connection), wb.session.schema.catalogue, section, first)
        except SchemaGap as error:
            return _ROWS("fail", 1, reason=error.what)
        except (psycopg.DataError, psycopg.errors.InsufficientPrivilege) as error:
            said = redact(str(error).splitlines()[0])
            return _ROWS("not run", reason=f"The database refused the comparison: {said}.")
    told = f"{seen:,} of {plan.total:,} rows were compared with the database"
    if not different:
        return _ROWS("pass", 0, reason=f"{told}: each is as the plan saw it.")
    table, key, reason = different[0]
    more = f", and {len(different) - 1:,} more" if len(different) > 1 else ""
    shown = pd.DataFrame(different[:SAMPLE], columns=["table", "key", "reason"])[["key", "table", "reason"]]
    return _ROWS(
        "fail",
        len(different),
        shown,
        reason=f"{told}: {table} {key} {reason}{more}. Apply would refuse the whole plan.",
    )


_TARGET = partial(
    Finding,
    "plan-target",
    "It was made for this database",
    guide="§1.6",
    severity="fail",
    question="Are environment, server, database and schema those that the plan was made on?",
    remedy="Look at it on its own environment (`--environment NAME`), or plan again here.",
    risk="critical",
)
_ONCE = partial(
    Finding,
    "plan-applied",
    "It has not been applied yet",
    guide="§3",
    severity="fail",
    question="Does the journal in the database know it?",
    remedy="Nothing is applied twice. Plan again if there is more to correct; `workbench undo PLAN` takes back what it did.",
)
_ROWS = partial(
    Finding,
    "plan-rows",
    "The rows it would change are as it saw them",
    guide="§3",
    severity="fail",
    question="Are the rows still there, and still as they were?",
    remedy="Plan again: the new plan will see what is there now.",
    risk="high",
)
_CONFLICTS = partial(
    Finding,
    "plan-conflicts",
    "Nobody else wrote to the columns it would change",
    guide="§3",
    severity="warn",
    question="Did somebody write to the same column after the run did?",
    remedy="Read each conflict below and decide who is right; what the plan does about it is said beside it.",
)
_OPEN = partial(
    Finding,
    "plan-unresolved",
    "Nothing is left undecided",
    guide="§3",
    severity="warn",
    question="Is there anything that could not be decided for want of evidence?",
    remedy="Read below what is left undecided, and what would decide it; until then it stays as it is.",
)
