"""What can be corrected in an environment: every planner, and the way from a plan to its undo."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pandas as pd

from workbench.answer import Answer
from workbench.database.connection import raw
from workbench.database.exclusion import refuse_running_restore
from workbench.documents import Approvable, Approval, approve
from workbench.errors import Refused
from workbench.plans import journal
from workbench.plans.apply import Progress, apply_plan
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan
from workbench.plans.states import PlanState, applied_entry, plan_states, plans_in
from workbench.plans.undo import plan_undo
from workbench.reporting.plans import explain
from workbench.session import Session
from workbench.snapshots.restore.request import refuse_interrupted


class Planning:
    """The corrections."""

    session: Session

    def explain(self, plan: Plan, **facts: Any) -> Answer:
        """Explain a plan in a sentence and in tables: see `workbench.reporting.plans.explain`."""
        return explain(self.session, plan, **facts)

    def plan(self, name: str) -> Plan:
        """Return a plan by its id or its file's path."""
        return plans_in(self.session.settings).find(name)

    def plans(self) -> pd.DataFrame:
        """List the plans of this environment and what became of each."""
        with self.session.reading() as connection:
            asked = journal.raw(connection)
            states = plan_states(
                self.session.settings,
                journal.entries(asked),
                self.session.environment.name,
                journal.restores(asked),
            )
        return pd.DataFrame(states, columns=[each.name for each in fields(PlanState)]).drop(columns="path")

    def plan_undo(self, name: str) -> Plan:
        """Plan to take back what a plan did; writes a plan file and nothing else."""
        with self.session.planning() as context:
            return plan_undo(context, applied_entry(context.raw, self.session.settings, name))

    def approve(
        self, plan: Approvable, digest: str, *, approver: str | None = None, confirm: str | None = None
    ) -> Approval:
        """Record a person's consent to a plan, or to a request to restore: see `workbench.documents.approve`."""
        return approve(
            plan,
            digest,
            by=approver or self.session.settings.operator,
            hours=self.session.settings.approval_hours,
            confirm=confirm,
        )

    def apply(self, plan: Plan, progress: Progress | None = None) -> Entry:
        """Carry out an approved plan, whole or not at all; the only act here that writes rows."""
        self._refuse_restores()
        return apply_plan(
            self.session.database, plan, operator=self.session.settings.operator, progress=progress
        )

    def _refuse_restores(self) -> None:
        """Refuse while a restore begun here is not done; one begun elsewhere the apply itself finds on the server."""
        try:
            refuse_interrupted(self.session.settings, self.session.database)
        except Refused:  # unless it goes on at this moment, which the server knows
            with self.session.database.reading() as connection:
                refuse_running_restore(raw(connection), self.session.database.address.database)
            raise
