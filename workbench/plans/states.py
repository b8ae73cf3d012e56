"""The folder of plans, and the state of each plan."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from workbench.database.connection import Session
from workbench.documents import Store, find_approval
from workbench.errors import NotApproved, Refused, WorkbenchError
from workbench.plans.journal import Entry, Restored, entries, restores, taken_away
from workbench.plans.plan import Plan
from workbench.settings import Settings


def plans_in(settings: Settings) -> Store[Plan]:
    """Return the store of plan files."""
    return Store(settings.home / "plans", Plan)


def applied_entry(connection: Session, settings: Settings, name: str) -> Entry:
    """Return the journal entry of a plan, given its id or file; `Refused` when it was not applied."""
    known = entries(connection)
    names = {name} if name in {entry.plan for entry in known} else {plans_in(settings).find(name).digest}
    for entry in reversed(known):
        if names & {entry.plan, entry.digest}:
            return entry
    raise Refused(f"Plan {name} is not applied here.", "`workbench plans` shows which plans are.")


def plan_states(connection: Session, settings: Settings, environment: str) -> pd.DataFrame:
    """Return every plan of an environment, on file or in its journal; applied ones first, then by id.

    Returns
    -------
    pandas.DataFrame
        ``plan``, ``kind``, ``environment``, ``changes``, ``state`` (planned, approved, expired, applied, undone, restored
        away or damaged) and ``detail``: by whom and when. A restore removes the changes of "restored away" plans.
    """
    plans, journal = plans_in(settings), entries(connection)
    on_file, applied = plans.paths(), {entry.digest for entry in journal}
    away = {gone.digest: (restore, gone) for restore, gone in taken_away(restores(connection))}
    states: list[tuple[str, str, str, int, str, str]] = []
    for entry in journal:
        by = f"; undone by {entry.undone_by}" if entry.undone_by else ""
        state = "undone" if entry.undone_by else "applied"
        states.append((entry.plan, entry.kind, entry.environment, entry.total, state, _applied(entry) + by))
    for restore, gone in away.values():
        if gone.digest not in applied and gone.plan not in on_file:
            facts = gone.plan, gone.kind, gone.environment, gone.total
            states.append((*facts, "restored away", _away(restore, gone)))
    for path, plan in plans.scan():
        if isinstance(plan, WorkbenchError):
            states.append((path.name, "", environment, 0, "damaged", plan.what))
        elif plan.digest not in applied and plan.target.environment == environment:
            state, detail = _before_apply(plan, away.get(plan.digest))
            states.append((plan.id, plan.kind, environment, plan.total, state, detail))
    return pd.DataFrame(states, columns=["plan", "kind", "environment", "changes", "state", "detail"])


def _applied(entry: Entry) -> str:
    return f"by {entry.applied_by} at {entry.at:%Y-%m-%d %H:%M:%S} UTC, approved by {entry.approved_by}"


def _away(restore: Restored, gone: Entry) -> str:
    at = restore.restored_at.astimezone(UTC)
    return f"applied {_applied(gone)}; gone since {restore.restored_by} restored {restore.snapshot} at {at:%Y-%m-%d %H:%M:%S} UTC"


def _before_apply(plan: Plan, away: tuple[Restored, Entry] | None) -> tuple[str, str]:
    try:
        approval = find_approval(plan)
    except NotApproved as error:
        return "planned", f"by {plan.planned_by}; {error.what}"
    if away and (approval is None or approval.number == away[1].approval):  # not approved again since
        return "restored away", _away(*away)
    if approval is None or approval.approves != plan.digest:
        return "planned", f"by {plan.planned_by}; nobody has approved it"
    until = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
    if approval.expires_at <= datetime.now(UTC):
        return "expired", f"{approval.approver}'s approval expired at {until}"
    return "approved", f"by {approval.approver}, until {until}"
