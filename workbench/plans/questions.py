"""``wb.plans``: the plans of an environment; approve, apply and undo them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from workbench.answer import Answer, Table
from workbench.covering import answering
from workbench.database.connection import raw
from workbench.database.exclusion import refuse_running_restore
from workbench.documents import Approvable, Approval, approve
from workbench.errors import Refused
from workbench.plans.apply import Progress, apply_plan
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan
from workbench.plans.states import applied_entry, plan_states, plans_in
from workbench.plans.undo import plan_undo
from workbench.reporting.plans import explain
from workbench.session import Session
from workbench.snapshots.restore.request import refuse_interrupted


class Plans:
    """``wb.plans()`` lists the plans; ``wb.plans[name]`` is one of them, by id, unambiguous beginning of it or path."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(self) -> Answer:
        """List the plans of this environment with their states: ``tables.plans``."""
        states = self.states()
        table = Table(states, empty="no plans yet", first=("plan", "state", "kind", "detail"))
        return Answer(parts={"plans": table}, facts=states.to_dict("records"))

    def __getitem__(self, name: str) -> Plan:
        return plans_in(self.wb.settings).find(name)

    def states(self) -> pd.DataFrame:
        """Return the plans' states: ``plan``, ``kind``, ``environment``, ``changes``, ``state``, ``detail``."""
        with self.wb.reading() as connection:
            return plan_states(raw(connection), self.wb.settings, self.wb.environment.name)

    def explain(self, plan: Plan, **facts: Any) -> Answer:
        """Explain a plan: see `workbench.reporting.plans.explain`."""
        return explain(self.wb, plan, **facts)

    def approve(
        self, plan: Approvable, digest: str, *, approver: str | None = None, confirm: str | None = None
    ) -> Approval:
        """Record a person's approval of a plan or a restore request: see `workbench.documents.approve`."""
        by, hours = approver or self.wb.settings.operator, self.wb.settings.approval_hours
        return approve(plan, digest, by=by, hours=hours, confirm=confirm)

    def apply(self, plan: Plan, progress: Progress | None = None) -> Entry:
        """Carry out an approved plan, completely or not at all: see `workbench.plans.apply.apply_plan`."""
        database = self.wb.database
        try:
            refuse_interrupted(self.wb.settings, database)
        except Refused:
            with database.reading() as connection:  # it may still be running
                refuse_running_restore(raw(connection), database.address.database)
            raise
        return apply_plan(database, plan, operator=self.wb.settings.operator, progress=progress)

    def plan_undo(self, name: str) -> Plan:
        """Plan the undo of an applied plan; writes only a plan file."""
        with self.wb.planning() as context:
            return plan_undo(context, applied_entry(context.raw, self.wb.settings, name))
