"""Where plans lie, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from workbench.documents import Store, find_approval
from workbench.errors import NotApproved, Refused, WorkbenchError
from workbench.plans.journal import Entry, entries
from workbench.plans.plan import Plan
from workbench.plans.restores import Gone, Restored, restores, said_of
from workbench.settings import Settings

STATES = ("planned", "approved", "expired", "applied", "undone", "restored away", "damaged")


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


def plans_in(settings: Settings) -> Store[Plan]:
    """Return the plans on file."""
    return Store(settings.home / "plans", Plan)


def applied_entry(connection: psycopg.Connection[Any], settings: Settings, name: str) -> Entry:
    """Return what the journal says of a plan, by its id or its file; `Refused` when it was not applied."""
    known = entries(connection)
    found = next((each for each in reversed(known) if each.plan == name), None)
    if found is None:
        digest = plans_in(settings).find(name).digest
        found = next((each for each in reversed(known) if each.digest == digest), None)
    if found is None and (away := _taken_away(restores(connection), name)):
        raise Refused(f"Plan {name} is not applied here: {said_of(*away)}.", "There is nothing to take back.")
    if found is None:
        raise Refused(
            f"Plan {name} was not applied here, so there is nothing to take back.",
            "`workbench plans` shows what was.",
        )
    return found


def plan_states(
    settings: Settings, journal: Sequence[Entry], environment: str, restored: Sequence[Restored] = ()
) -> list[PlanState]:
    """Return every plan of an environment, on file or in its journal, oldest apply first, then by id.

    Parameters
    ----------
    restored : sequence of Restored
        The restores that made the database what it is: what they took away is not applied any more.
    """
    applied = {each.digest: each for each in journal}
    found = [
        PlanState(
            each.plan, each.kind, each.environment, each.total, *_applied(each), _file(settings, each.plan)
        )
        for each in journal
    ]
    away = {each.digest: (restore, each) for restore in restored for each in restore.gone or ()}
    found += [
        PlanState(
            each.plan,
            each.kind,
            each.environment,
            each.changes,
            *_away(restore, each),
            _file(settings, each.plan),
        )
        for restore, each in away.values()
        if each.digest not in applied and _file(settings, each.plan) is None
    ]
    for path, plan in plans_in(settings).scan():
        if isinstance(plan, WorkbenchError):
            found.append(PlanState(path.name, "", environment, 0, "damaged", plan.what, path))
            continue
        target = plan.header.target
        if plan.digest in applied or target.environment != environment:
            continue
        if plan.digest in away and _still(plan, away[plan.digest][1]):
            state = _away(*away[plan.digest])
        else:
            state = _waiting(plan)
        found.append(PlanState(plan.id, plan.header.kind, target.environment, plan.total, *state, path))
    return found


def _applied(entry: Entry) -> tuple[str, str]:
    done = (
        f"by {entry.applied_by} at {entry.applied_at:%Y-%m-%d %H:%M:%S} UTC, approved by {entry.approved_by}"
    )
    return ("undone", f"{done}; taken back by {entry.undone_by}") if entry.undone_by else ("applied", done)


def _away(restore: Restored, gone: Gone) -> tuple[str, str]:
    return "restored away", said_of(restore, gone)


def _still(plan: Plan, gone: Gone) -> bool:
    """Tell whether nobody has approved a plan again since a restore took it away."""
    try:
        approval = find_approval(plan)
    except NotApproved:
        return False
    return approval is None or approval.number == gone.approval


def _taken_away(restored: Sequence[Restored], name: str) -> tuple[Restored, Gone] | None:
    found = [
        (restore, each)
        for restore in restored
        for each in restore.gone or ()
        if name in (each.plan, each.digest)
    ]
    return found[-1] if found else None


def _waiting(plan: Plan) -> tuple[str, str]:
    try:
        approval = find_approval(plan)
    except NotApproved as error:
        return "planned", f"by {plan.header.planned_by}; {error.what}"
    if approval is None or approval.approves != plan.digest:
        return "planned", f"by {plan.header.planned_by}; nobody has approved it"
    until = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
    if approval.expires_at <= datetime.now(UTC):
        return "expired", f"{approval.approver}'s approval expired at {until}"
    return "approved", f"by {approval.approver}, until {until}"


def _file(settings: Settings, plan: str) -> Path | None:
    path = plans_in(settings).path(plan)
    return path if path.exists() else None
