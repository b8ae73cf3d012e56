"""What can be corrected in an environment: every planner, and the way from a plan to its undo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from workbench.fixes.corrections import Correction, corrections_of
from workbench.fixes.remapping import MappingRequest, plan_mappings
from workbench.fixes.rollback import RollbackRequest, plan_rollback
from workbench.fixes.telling import LevelZero
from workbench.murmurant.exports import read_exports
from workbench.plans import journal
from workbench.plans.apply import Progress, apply_plan
from workbench.plans.approvals import Approval, approve_plan
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan
from workbench.plans.store import PlanState, applied_entry, find_plan, plan_states, plans_folder
from workbench.plans.undo import plan_undo
from workbench.session import Session


class Planning(Session):
    """The corrections."""

    def plan_rollback(
        self,
        run_id: str,
        *,
        snapshot: str | Path | None = None,
        on_conflict: Literal["keep", "restore"] = "keep",
        min_evidence: str = "likely",
        sync_state: bool = False,
    ) -> Plan | LevelZero:
        """Plan to roll one run back (guide §3); writes a plan file and nothing else.

        Parameters
        ----------
        snapshot : path, optional
            A pg_dump archive from before the run: only it knows what rows were that the run changed.
        on_conflict : {"keep", "restore"}
            What becomes of a column that both the run and somebody after it changed.
        min_evidence : {"certain", "strong", "likely", "weak"}
            Records tied to the run more weakly are left alone, and listed as unresolved.
        sync_state : bool
            Whether to reset the sync state as well (guide §7.3).

        Returns
        -------
        Plan or LevelZero
            Level 0 for a dry run, which wrote nothing: what to fix.
        """
        request = RollbackRequest.checked(run_id, snapshot, on_conflict, min_evidence, sync_state)
        with self.reading() as connection:
            return plan_rollback(
                connection,
                self.schema,
                self.find_runs(),
                request,
                target=self.target,
                planned_by=self.settings.operator,
                settings=self.settings,
                folder=plans_folder(self.settings),
            )

    def plan_mapping(
        self, entity: str, wa_id: str | int, new_id: str, *, reason: str = "", **how: Any
    ) -> Plan:
        """Plan to lead one WA id to the right record (guide §4.2); `how` as in `plan_mappings`."""
        return self._plan_mappings(
            [Correction(entity, str(wa_id).strip(), str(new_id).strip(), reason)], **how
        )

    def plan_mappings(self, source: str | Path | Iterable[Any], **how: Any) -> Plan:
        """Plan to correct many mappings as one; writes a plan file and nothing else.

        Parameters
        ----------
        source : path, frame or iterable
            A CSV file, or rows, with ``entity``, ``wa_id``, ``new_id`` and perhaps ``reason``.
        move_records : bool
            Whether registrations that came through the wrong mappings move too.
        whole_cycle : bool
            Whether the rest of a swap or cycle is corrected with the part that was named.
        exports : sequence of path
            Wild Apricot's own CSV exports, or folders of them, as evidence.
        """
        return self._plan_mappings(corrections_of(source), **how)

    def _plan_mappings(
        self,
        corrections: Sequence[Correction],
        *,
        move_records: bool = False,
        whole_cycle: bool = False,
        exports: Sequence[str | Path] = (),
    ) -> Plan:
        told, runs = read_exports(map(Path, exports)), self.find_runs()
        with self.reading() as connection:
            return plan_mappings(
                connection,
                self.schema,
                runs,
                MappingRequest(tuple(corrections), move_records, whole_cycle),
                exports=told,
                target=self.target,
                planned_by=self.settings.operator,
                folder=plans_folder(self.settings),
            )

    def plan(self, name: str) -> Plan:
        """Return a plan by its id or its file's path."""
        return find_plan(self.settings, name)

    def plans(self) -> pd.DataFrame:
        """List the plans of this environment and what became of each."""
        with self.reading() as connection:
            states = plan_states(
                self.settings, journal.entries(journal.raw(connection)), self.environment.name
            )
        return pd.DataFrame(states, columns=[each.name for each in fields(PlanState)]).drop(columns="path")

    def plan_undo(self, name: str) -> Plan:
        """Plan to take back what a plan did; writes a plan file and nothing else."""
        with self.reading() as connection:
            found = journal.raw(connection)
            return plan_undo(
                found,
                self.schema,
                applied_entry(found, self.settings, name),
                target=self.target,
                planned_by=self.settings.operator,
                folder=plans_folder(self.settings),
            )

    def approve(
        self, plan: Plan, digest: str, *, approver: str | None = None, confirm: str | None = None
    ) -> Approval:
        """Record a person's consent to a plan: see `workbench.plans.approvals.approve_plan`."""
        return approve_plan(
            plan,
            digest,
            approver=approver or self.settings.operator,
            hours=self.settings.approval_hours,
            confirmed_environment=confirm,
        )

    def apply(self, plan: Plan, progress: Progress | None = None) -> Entry:
        """Carry out an approved plan, whole or not at all; the only act here that writes rows."""
        return apply_plan(self.database, plan, operator=self.settings.operator, progress=progress)
