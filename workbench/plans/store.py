"""Where plans lie, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from workbench.errors import NotApproved, PlanError, Refused, unknown
from workbench.plans.approvals import find_approval
from workbench.plans.journal import Entry, entries
from workbench.plans.plan import SUFFIX, Plan
from workbench.plans.reading import read_plan
from workbench.settings import Settings

STATES = ("planned", "approved", "expired", "applied", "undone", "damaged")


@dataclass(frozen=True)
class PlanState:
    """One plan, and what became of it.

    Attributes
    ----------
    state : str
        One of `STATES`; `detail` says by whom and when.
    """

    plan: str
    kind: str
    environment: str
    changes: int
    state: str
    detail: str
    path: Path | None


def plans_folder(settings: Settings) -> Path:
    """Return where plan files lie."""
    return settings.home / "plans"


def find_plan(settings: Settings, name: str) -> Plan:
    """Return a plan by its file's path or its id; an unambiguous beginning of the id is enough.

    Raises
    ------
    UsageError
        When there is no such plan, with the nearest ids.
    Refused
        When the file's name does not go with its content: it was altered since it was made.
    """
    path = Path(name)
    if not (path.is_file() or name.endswith(SUFFIX) or "/" in name):
        folder = plans_folder(settings)
        known = {each.name.removesuffix(SUFFIX): each for each in sorted(folder.glob(f"*{SUFFIX}"))}
        close = [each for each in known if each == name] or [each for each in known if each.startswith(name)]
        if len(close) != 1 or not name:
            raise unknown("plan", name, close or known)
        path = known[close[0]]
    plan = read_plan(path)
    if path.parent.resolve() == plans_folder(settings).resolve() and path.name != f"{plan.id}{SUFFIX}":
        raise Refused(
            f"The plan file {path.name} was altered since it was made: its digest is now {plan.digest}.",
            "Plan again.",
        )
    return plan


def applied_entry(connection: psycopg.Connection[Any], settings: Settings, name: str) -> Entry:
    """Return what the journal says of a plan, by its id or its file; `Refused` when it was not applied."""
    known = entries(connection)
    found = next((each for each in reversed(known) if each.plan == name), None)
    if found is None:
        digest = find_plan(settings, name).digest
        found = next((each for each in reversed(known) if each.digest == digest), None)
    if found is None:
        raise Refused(
            f"Plan {name} was not applied here, so there is nothing to take back.",
            "`workbench plans` shows what was.",
        )
    return found


def plan_states(settings: Settings, journal: Sequence[Entry], environment: str) -> list[PlanState]:
    """Return every plan of an environment, on file or in its journal, oldest apply first, then by id."""
    applied = {each.digest: each for each in journal}
    found = [
        PlanState(
            each.plan, each.kind, each.environment, each.total, *_applied(each), _file(settings, each.plan)
        )
        for each in journal
    ]
    for path in sorted(plans_folder(settings).glob(f"*{SUFFIX}")):
        try:
            plan = read_plan(path)
        except PlanError as error:
            found.append(PlanState(path.name, "", environment, 0, "damaged", error.what, path))
            continue
        target = plan.header.target
        if plan.digest in applied or target.environment != environment:
            continue
        if path.name != f"{plan.id}{SUFFIX}":
            state = "damaged", "the file was altered since it was made"
        else:
            state = _waiting(plan)
        found.append(PlanState(plan.id, plan.header.kind, target.environment, plan.total, *state, path))
    return found


def _applied(entry: Entry) -> tuple[str, str]:
    done = (
        f"by {entry.applied_by} at {entry.applied_at:%Y-%m-%d %H:%M:%S} UTC, approved by {entry.approved_by}"
    )
    return ("undone", f"{done}; taken back by {entry.undone_by}") if entry.undone_by else ("applied", done)


def _waiting(plan: Plan) -> tuple[str, str]:
    try:
        approval = find_approval(plan)
    except NotApproved as error:
        return "planned", f"by {plan.header.planned_by}; {error.what}"
    if approval is None or approval.digest != plan.digest:
        return "planned", f"by {plan.header.planned_by}; nobody has approved it"
    until = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
    if approval.expires_at <= datetime.now(UTC):
        return "expired", f"{approval.approver}'s approval expired at {until}"
    return "approved", f"by {approval.approver}, until {until}"


def _file(settings: Settings, plan: str) -> Path | None:
    path = plans_folder(settings) / f"{plan}{SUFFIX}"
    return path if path.exists() else None
