"""Roll back one run: guide §3 levels 0 and 1, and §4.1, without losing anyone's work.

What the run created is deleted, children first; what it only mapped, or what was there before, never
is; what it updated goes back column by column as a snapshot had it; what somebody did since stays, and
so does all that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from workbench.errors import Refused
from workbench.mappings.queries import mapping_rows
from workbench.migration.bundles import list_bundles
from workbench.murmurant.importers import EMPTIED, ROLLED_BACK, STRENGTH, SYNC_STATE_WAS, Run, Strength, Trace
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.runs.discovery import pick_run
from workbench.runs.effects import LEADS_TO_KEPT, Effects, find_effects, leave_updates_open
from workbench.runs.keeping import spare_what_is_needed
from workbench.runs.pointers import has_mappings, own_mappings, written_mappings
from workbench.runs.restoring import Restoration
from workbench.runs.sync_state import is_ahead, made_sync_states, reset_sync_state, written_sync_states
from workbench.runs.telling import LevelZero, bundle_of, level_zero, told_by, worth_knowing
from workbench.runs.three_way import way_with_conflicts
from workbench.runs.traces import overlaps
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened
from workbench.snapshots.restore.settling import moments_of


def plan_rollback(
    context: PlanContext,
    runs: Sequence[Run],
    run_id: str,
    *,
    settings: Settings,
    snapshot: Snapshot | None = None,
    on_conflict: str = "keep",
    min_evidence: str = "likely",
    sync_state: bool = False,
) -> Plan | LevelZero:
    """Plan the rollback of one run.

    Parameters
    ----------
    runs : sequence of Run
        Every run that is known here.
    snapshot : Snapshot, optional
        The state before it: only that knows what rows were that the run changed.
    on_conflict : {"keep", "restore"}
        What becomes of a column that both the run and somebody after it changed.
    min_evidence : {"certain", "strong", "likely", "weak"}
        Records tied to the run more weakly are left alone, and listed.
    sync_state : bool
        Whether to reset the sync state as well (guide §7.3); only a full sync fetches everything after that.

    Returns
    -------
    Plan or LevelZero
        Level 0 (guide §3) for a dry run: nothing was written, here is what to fix.

    Raises
    ------
    UsageError
        For a run that left no trace, or a word that means nothing here.
    Refused
        When there is nothing to roll back, or the snapshot is not one from before the run.
    """
    connection, schema = context.connection, context.schema
    way, least = way_with_conflicts(on_conflict), Strength.named(min_evidence)
    run, others = pick_run(runs, run_id)
    if run.mode == "dry":
        return level_zero(run)
    with (
        Draft(
            context,
            "rollback",
            parameters={
                "run": run.run,
                "snapshot": snapshot.file_name if snapshot else None,
                "on_conflict": way,
                "min_evidence": least.name,
                "sync_state": sync_state,
            },
            reasons=[f"Rolls back run {run.run} ({run.importer} import, {run.status}: {run.why})."],
            nothing=f"Nothing of run {run.run} can be rolled back",
        ) as draft,
        ExitStack() as stack,
    ):
        effects = find_effects(draft, run, others, least)
        if not effects.records:
            raise Refused(
                f"Run {run.run} left no record that can be found, so there is nothing to roll back: {run.why or run.status}.",
                "Its report file may name them: --import-report FILE.",
            )
        draft.notes += worth_knowing(run, effects.gone)
        written = written_mappings(connection, schema, run)
        strength = Strength.weak if overlaps(run, others) else STRENGTH[Trace.WINDOW]
        mappings = own_mappings(connection, schema, run, effects.created, written, by_time=strength >= least)
        archive, turned = None, set[str]()
        if snapshot is None:
            leave_updates_open(draft, effects, written, set(mappings))
        else:
            # No table is needed of a snapshot but those that an importer writes to.
            concepts = [*(CONCEPT_OF[entity] for entity in ENTITIES), "mappings", "sync_state"]
            tables = [schema.resolved[each].table for each in concepts if each in schema.resolved]
            scratch = stack.enter_context(
                opened(snapshot, tables, settings=settings, schema=schema.catalogue.schema)
            )
            archive = scratch.archive
            there = stack.enter_context(scratch.connect())
            restoration = Restoration(draft, run, effects, written, snapshot, scratch, there, way)
            mappings, turned = restoration.bring_back(mappings, least, sync_state=not sync_state)
        states = _own_sync_states(draft, run, least)
        _find_what_goes(draft, effects, mappings, states, turned)
        touched = bool(states or written_sync_states(connection, schema, run))
        if sync_state:
            reset_sync_state(draft, without=states)
            draft.note(EMPTIED)
        elif not states and not (archive and touched) and is_ahead(connection, schema, run):
            draft.note(
                "The sync state still says that this run's data are here. Add --sync-state, and run a full sync next:"
                " an incremental one does not fetch them again."
            )
        bundles = list_bundles(settings.backups, run.run)
        told: dict[str, Any] = {"run_id": run.run, "records_affected": draft.total}
        if (touched or sync_state) and (was := moments_of(context.raw, schema)):
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
            stay |= {row.id for row in mapping_rows(connection, schema, records=keys, entity=entity)}
    stay.intersection_update(mappings)
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
