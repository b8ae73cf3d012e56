"""Where plans lie, and what became of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import psycopg

from workbench.documents import Store, find_approval
from workbench.errors import NotApproved, Refused, WorkbenchError
from workbench.plans.journal import Entry, Restored, entries, restores, taken_away
from workbench.plans.plan import Plan
from workbench.settings import Settings

STATES = ("planned", "approved", "expired", "applied", "undone", "restored away", "damaged")


def plans_in(settings: Settings) -> Store[Plan]:
    """Return the plans on file."""
    return Store(settings.home / "plans", Plan)


def applied_entry(connection: psycopg.Connection[Any], settings: Settings, name: str) -> Entry:
    """Return what the journal says of a plan, by its id or its file; `Refused` when it was not applied."""
    known = entries(connection)
    names = {name}
    if name not in {entry.plan for entry in known}:
        names |= {plans_in(settings).find(name).digest}
    for entry in reversed(known):
        if names & {entry.plan, entry.digest}:
            return entry
    away = (
        _away(*pair) for pair in taken_away(restores(connection)) if name in (pair[1].plan, pair[1].digest)
    )
    raise Refused(
        f"Plan {name} is not applied here: {next(away, 'it never was')}.",
        "There is nothing to take back; `workbench plans` shows what was applied.",
    )


def plan_states(connection: psycopg.Connection[Any], settings: Settings, environment: str) -> pd.DataFrame:
    """Return every plan of an environment, on file or in its journal, oldest apply first, then by id.

    Returns
    -------
    pandas.DataFrame
        ``plan``, ``kind``, ``environment``, ``changes``, ``state`` (one of `STATES`) and ``detail``: by whom and when. What
        the restores that made the database took away is not applied any more.
    """
    plans, journal = plans_in(settings), entries(connection)
    on_file, applied = plans.paths(), {entry.digest for entry in journal}
    away = {gone.digest: (restore, gone) for restore, gone in taken_away(restores(connection))}
    states: list[tuple[str, str, str, int, str, str]] = []
    for entry in journal:
        by = f"; taken back by {entry.undone_by}" if entry.undone_by else ""
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
            waiting = _waiting(plan, away.get(plan.digest))
            states.append((plan.id, plan.kind, environment, plan.total, *waiting))
    return pd.DataFrame(states, columns=["plan", "kind", "environment", "changes", "state", "detail"])


def _applied(entry: Entry) -> str:
    return f"by {entry.applied_by} at {entry.at:%Y-%m-%d %H:%M:%S} UTC, approved by {entry.approved_by}"


def _away(restore: Restored, gone: Entry) -> str:
    at = restore.restored_at.astimezone(UTC)
    return f"applied {_applied(gone)}; gone since {restore.restored_by} restored {restore.snapshot} at {at:%Y-%m-%d %H:%M:%S} UTC"


def _waiting(plan: Plan, away: tuple[Restored, Entry] | None) -> tuple[str, str]:
    try:
        approval = find_approval(plan)
    except NotApproved as error:
        return "planned", f"by {plan.planned_by}; {error.what}"
    if away and (approval is None or approval.number == away[1].approval):  # nobody has approved it again
        return "restored away", _away(*away)
    if approval is None or approval.approves != plan.digest:
        return "planned", f"by {plan.planned_by}; nobody has approved it"
    until = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
    if approval.expires_at <= datetime.now(UTC):
        return "expired", f"{approval.approver}'s approval expired at {until}"
    return "approved", f"by {approval.approver}, until {until}"
