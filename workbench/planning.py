"""What can be corrected in an environment: every planner, and the way from a plan to its undo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.answer import Answer
from workbench.database.connection import raw
from workbench.database.exclusion import refuse_running_restore
from workbench.documents import Approvable, Approval, approve
from workbench.duplicates.plan import plan_merges
from workbench.duplicates.request import Asked, MergeRequest, Named, Wishes, read_merges
from workbench.errors import Refused
from workbench.explaining import explain
from workbench.murmurant.spellings import MEMBER
from workbench.plans import journal
from workbench.plans.apply import Progress, apply_plan
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan
from workbench.plans.states import PlanState, applied_entry, plan_states, plans_in
from workbench.plans.undo import plan_undo
from workbench.session import Session
from workbench.snapshots.restore.request import refuse_interrupted

Wanted = tuple[str | None, Sequence[str]] | tuple[str | None, Sequence[str], str]
"""A merge that is asked for: the record that stays, those that go, and perhaps why."""


class Planning(Session):
    """The corrections."""

    def plan_merge(
        self,
        canonical: str | None,
        duplicates: Sequence[str],
        *,
        entity: str = MEMBER,
        rules: str | Mapping[str, str] = "canonical",
        by_hand: Mapping[str, str] | None = None,
        keep: Sequence[str] = (),
        leave_out: Sequence[str] = (),
        reason: str = "",
    ) -> Plan:
        """Plan to merge duplicates into one record (guide §4.4); writes a plan file and nothing else.

        Parameters
        ----------
        canonical : str or None
            The record that stays; None leaves the choice to the rule: most associations, then the oldest.
        duplicates : sequence of str
            The records that go; where the rule chooses, all of them.
        rules, by_hand, keep, leave_out
            As for `plan_merges`.
        reason : str
            Why, for whoever approves it.
        """
        head = Named(canonical) if canonical is not None else None
        asked = Asked(head, tuple(map(Named, duplicates)), reason)
        return self._plan_merges(
            MergeRequest((asked,), _wishes(rules, by_hand, keep), entity, tuple(leave_out))
        )

    def plan_merges(
        self,
        merges: str | Path | Sequence[Wanted],
        *,
        entity: str = MEMBER,
        rules: str | Mapping[str, str] = "canonical",
        by_hand: Mapping[str, str] | None = None,
        keep: Sequence[str] = (),
        leave_out: Sequence[str] = (),
        skip_blocked: bool = False,
    ) -> Plan:
        """Plan many merges as one plan (guide §4.4); writes a plan file and nothing else.

        Parameters
        ----------
        merges : path, or sequence of (canonical, duplicates) or (canonical, duplicates, reason)
            A CSV file with the columns ``canonical,duplicate`` or ``cluster,member``, and perhaps ``reason``.
            Of a sequence a canonical record of None leaves the choice to the rule, as in `plan_merge`.
        entity : {"Member", "Event", "Registration"}
            What they are.
        rules : str or mapping of str to str
            ``canonical``, ``newest`` or ``most-complete``, for all fields or field by field (``"*"`` for the others).
        by_hand : mapping of str to str
            Field to the record whose value it is to have.
        keep : sequence of str
            Rows that stay where two would become one and no rule can tell.
        leave_out : sequence of str
            Records of a cluster that are not merged.
        skip_blocked : bool
            Whether to leave out merges that no rule can decide, and list them as unresolved.
        """
        wishes = _wishes(rules, by_hand, keep, skip_blocked)
        if isinstance(merges, str | Path):
            request = read_merges(Path(merges))
        else:
            asked = (
                Asked(Named(head) if head is not None else None, tuple(map(Named, others)), *why)
                for head, others, *why in merges
            )
            request = MergeRequest(tuple(asked))
        return self._plan_merges(replace(request, wishes=wishes, entity=entity, exceptions=tuple(leave_out)))

    def _plan_merges(self, request: MergeRequest) -> Plan:
        with self.planning() as context:
            return plan_merges(context, request)

    def explain(self, plan: Plan, **facts: Any) -> Answer:
        """Explain a plan in a sentence and in tables: see `workbench.explaining.explain`."""
        return explain(self, plan, **facts)

    def plan(self, name: str) -> Plan:
        """Return a plan by its id or its file's path."""
        return plans_in(self.settings).find(name)

    def plans(self) -> pd.DataFrame:
        """List the plans of this environment and what became of each."""
        with self.reading() as connection:
            asked = journal.raw(connection)
            states = plan_states(
                self.settings, journal.entries(asked), self.environment.name, journal.restores(asked)
            )
        return pd.DataFrame(states, columns=[each.name for each in fields(PlanState)]).drop(columns="path")

    def plan_undo(self, name: str) -> Plan:
        """Plan to take back what a plan did; writes a plan file and nothing else."""
        with self.planning() as context:
            return plan_undo(context, applied_entry(context.raw, self.settings, name))

    def approve(
        self, plan: Approvable, digest: str, *, approver: str | None = None, confirm: str | None = None
    ) -> Approval:
        """Record a person's consent to a plan, or to a request to restore: see `workbench.documents.approve`."""
        return approve(
            plan,
            digest,
            by=approver or self.settings.operator,
            hours=self.settings.approval_hours,
            confirm=confirm,
        )

    def apply(self, plan: Plan, progress: Progress | None = None) -> Entry:
        """Carry out an approved plan, whole or not at all; the only act here that writes rows."""
        self._refuse_restores()
        return apply_plan(self.database, plan, operator=self.settings.operator, progress=progress)

    def _refuse_restores(self) -> None:
        """Refuse while a restore begun here is not done; one begun elsewhere the apply itself finds on the server."""
        try:
            refuse_interrupted(self.settings, self.database)
        except Refused:  # unless it goes on at this moment, which the server knows
            with self.database.reading() as connection:
                refuse_running_restore(raw(connection), self.database.address.database)
            raise


def _wishes(
    rules: str | Mapping[str, str],
    by_hand: Mapping[str, str] | None,
    keep: Sequence[str],
    skip_blocked: bool = False,
) -> Wishes:
    named = {"*": rules} if isinstance(rules, str) else dict(rules)
    rule = named.pop("*", "canonical")
    hands = tuple(sorted((by_hand or {}).items()))
    return Wishes(rule, named, hands, frozenset(keep), skip_blocked)
