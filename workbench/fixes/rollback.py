"""Roll back one run: guide §3 levels 0 and 1, and §4.1, without losing anyone's work.

What the run created is deleted, children first; what it only mapped, or what was there before, never
is; what it updated goes back column by column as a snapshot had it; what somebody did since stays, and
so does all that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from workbench.checkpoints.earlier import Snapshot, opened
from workbench.checkpoints.restore.settling import moments_of
from workbench.errors import Refused, unknown
from workbench.fixes.effects import Effects, find_effects
from workbench.fixes.keeping import spare_what_is_needed
from workbench.fixes.pointers import (
    has_mappings,
    is_ahead,
    leading_to,
    made_sync_states,
    own_mappings,
    written_mappings,
    written_sync_states,
)
from workbench.fixes.restoring import OnConflict
from workbench.fixes.snapshots import (
    LEADS_TO_KEPT,
    Restoration,
    leave_updates_open,
    only_mapped,
    snapshot_tables,
)
from workbench.fixes.sync_state import reset_sync_state
from workbench.fixes.telling import LevelZero, bundle_of, level_zero, told_by, worth_knowing
from workbench.investigate.runs import pick_run
from workbench.investigate.traces import overlaps
from workbench.migration.bundles import list_bundles
from workbench.murmurant.importers import EMPTIED, ROLLED_BACK, STRENGTH, SYNC_STATE_WAS, Run, Strength, Trace
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.settings import Settings


@dataclass(frozen=True)
class RollbackRequest:
    """What was asked for.

    Attributes
    ----------
    run : str
        The run's id.
    snapshot : Snapshot or None
        The state before it.
    on_conflict : {"keep", "restore"}
        What becomes of a column that both the run and somebody after it changed.
    min_evidence : Strength
        Records tied to the run more weakly are left alone, and listed.
    sync_state : bool
        Whether to reset the sync state as well (guide §7.3); only a full sync fetches everything after that.
    """

    run: str
    snapshot: Snapshot | None = None
    on_conflict: OnConflict = "keep"
    min_evidence: Strength = Strength.likely
    sync_state: bool = False

    @classmethod
    def checked(
        cls, run: str, snapshot: Snapshot | None, on_conflict: str, min_evidence: str, sync_state: bool
    ) -> RollbackRequest:
        """Take what was asked for in words; `UsageError` for a word that means nothing here."""
        if min_evidence not in Strength.__members__:
            raise unknown("strength of evidence", min_evidence, Strength.__members__)
        if on_conflict not in ("keep", "restore"):
            raise unknown("way with conflicts", on_conflict, ("keep", "restore"))
        way: OnConflict = "restore" if on_conflict == "restore" else "keep"
        return cls(run, snapshot, way, Strength[min_evidence], sync_state)

    def parameters(self) -> dict[str, Any]:
        """Return them as a plan's header has them: no path of this machine."""
        was = self.snapshot
        return {
            "run": self.run,
            "snapshot": (was.archive.name if was.archive else was.name) if was else None,
            "on_conflict": self.on_conflict,
            "min_evidence": self.min_evidence.name,
            "sync_state": self.sync_state,
        }


def plan_rollback(
    context: PlanContext, runs: Sequence[Run], request: RollbackRequest, settings: Settings
) -> Plan | LevelZero:
    """Plan the rollback of one run.

    Parameters
    ----------
    runs : sequence of Run
        Every run that is known here.

    Returns
    -------
    Plan or LevelZero
        Level 0 (guide §3) for a dry run: nothing was written, here is what to fix.

    Raises
    ------
    UsageError
        For a run that left no trace.
    Refused
        When there is nothing to roll back, or the snapshot is not one from before the run.
    """
    connection, schema = context.connection, context.schema
    run, others = pick_run(runs, request.run)
    if run.mode == "dry":
        return level_zero(run)
    with (
        Draft(
            context,
            "rollback",
            parameters=request.parameters(),
            reasons=[f"Rolls back run {run.run} ({run.importer} import, {run.status}: {run.why})."],
            nothing=f"Nothing of run {run.run} can be rolled back",
        ) as draft,
        ExitStack() as stack,
    ):
        effects = find_effects(draft, run, others, request.min_evidence)
        if not effects.records:
            raise Refused(
                f"Run {run.run} left no record that can be found, so there is nothing to roll back: {run.why or run.status}.",
                "Its report file may name them: --import-report FILE.",
            )
        draft.notes += worth_knowing(run, effects.gone)
        written = written_mappings(connection, schema, run)
        strength = Strength.weak if overlaps(run, others) else STRENGTH[Trace.WINDOW]
        mappings = own_mappings(
            connection, schema, run, effects, written, by_time=strength >= request.min_evidence
        )
        archive = None
        turned: set[str] = set()
        if request.snapshot is None:
            for fate in effects.mapped:
                draft.keep(schema.table_of(fate.entity), fate.record_id, only_mapped(fate.wa_ids))
            leave_updates_open(draft, effects, written, set(mappings))
        else:
            scratch = stack.enter_context(
                opened(
                    request.snapshot,
                    snapshot_tables(schema),
                    settings=settings,
                    schema=schema.catalogue.schema,
                )
            )
            archive = scratch.archive
            there = stack.enter_context(scratch.connect())
            restoration = Restoration(draft, run, effects, written, scratch, there, request.on_conflict)
            mappings, turned = restoration.bring_back(
                mappings, request.min_evidence, sync_state=not request.sync_state
            )
        states = _own_sync_states(draft, run, request.min_evidence)
        _find_what_goes(draft, effects, mappings, states, turned)
        touched = bool(states or written_sync_states(connection, schema, run))
        if request.sync_state:
            reset_sync_state(draft, without=states)
            draft.note(EMPTIED)
        elif not states and not (archive and touched) and is_ahead(connection, schema, run):
            draft.note(
                "The sync state still says that this run's data are here. Add --sync-state, and run a full sync next:"
                " an incremental one does not fetch them again."
            )
        bundles = list_bundles(settings.backups, run.run)
        told: dict[str, Any] = {"run_id": run.run, "records_affected": draft.total}
        if (touched or request.sync_state) and (was := moments_of(context.raw, schema)):
            told[SYNC_STATE_WAS] = was
        if sealed := bundle_of(run, bundles):
            told["bundle_sha256"] = sealed
        draft.evidence += told_by(run, archive, bundles)
        draft.log(ROLLED_BACK, **told)
    return draft.plan


def _find_what_goes(
    draft: Draft, effects: Effects, mappings: list[str], states: list[str], turned: set[str]
) -> None:
    """Settle what is deleted: what the run made, less what something that stays needs.

    Mappings that are turned to another record need none of these.
    """
    connection, schema = draft.context.connection, draft.context.schema
    doomed = {schema.table_of(entity): keys for entity, (keys, _) in effects.created.items()}
    table = schema.resolved["mappings"].table if has_mappings(schema) else ""
    if mappings:
        doomed[table] = mappings
    if states:
        doomed[schema.resolved["sync_state"].table] = states
    kept = [(row[0], row[1]) for row in draft.listed["kept"]]
    doomed, spared = spare_what_is_needed(
        draft.context.raw, draft.context.references, doomed, {table: turned}, kept
    )
    for name, key, reason in spared:
        draft.keep(name, key, reason)
    stay: set[str] = set()
    for entity in ENTITIES:
        keys = [key for each, key, _ in spared if each == schema.table_of(entity)] if spared else []
        if keys and mappings:
            stay |= leading_to(connection, schema, mappings, entity, keys)
    for key in sorted(stay):
        draft.keep(table, key, LEADS_TO_KEPT)
    if stay:
        doomed[table] = [key for key in doomed[table] if key not in stay]
    for name, keys in doomed.items():
        draft.delete(name, keys)


def _own_sync_states(draft: Draft, run: Run, min_evidence: Strength) -> list[str]:
    """Return the rows of the sync state that go with the run, for it made them."""
    going, schema = [], draft.context.schema
    for key, by in sorted(made_sync_states(draft.context.connection, schema, run).items()):
        table = schema.resolved["sync_state"].table
        if by:
            draft.keep(table, key, f"made by the run, but {by} wrote to it since")
        elif min_evidence > STRENGTH[Trace.WINDOW]:
            what = "made while the run was under way; only its time ties it to the run"
            draft.unresolved(table, key, what, f"--min-evidence {STRENGTH[Trace.WINDOW].name}")
        else:
            going.append(key)
    return going
