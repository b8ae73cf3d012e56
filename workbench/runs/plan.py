"""Roll back one run: guide §3 levels 0 and 1, and §4.1, without losing anyone's work; and reset the sync state (§7.3).

What the run created is deleted, children first; what it only mapped, or what was there before, never
is; what it updated goes back column by column as a snapshot had it; what somebody did since stays, and
so does all that it needs.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from psycopg import sql

from workbench.errors import Refused
from workbench.migration.bundles import list_bundles
from workbench.murmurant.importers import (
    EMPTIED,
    ROLLED_BACK,
    SYNC_STATE_RESET,
    SYNC_STATE_WAS,
    Strength,
)
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans import rows
from workbench.plans.draft import Draft
from workbench.plans.plan import Plan
from workbench.runs.discovery import pick_run
from workbench.runs.restoring import Restoration
from workbench.runs.rollback import Rollback
from workbench.runs.telling import LevelZero, bundle_of, evidence_of, level_zero, worth_knowing
from workbench.runs.three_way import OnConflict, way_with_conflicts
from workbench.runs.written import is_ahead
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened, state_before
from workbench.snapshots.restore.steps import moments_of

if TYPE_CHECKING:
    from workbench.runs.questions import Runs


def plan_rollback(
    runs: Runs,
    run_id: str,
    *,
    snapshot: str | Path | None = None,
    before: str | None = None,
    on_conflict: Literal["keep", "restore"] = "keep",
    min_evidence: str = "likely",
    sync_state: bool = False,
) -> Plan | LevelZero:
    """Plan to roll one run back (guide §3); writes a plan file and nothing else.

    Parameters
    ----------
    run_id : str
        Its id, or an unambiguous beginning of it.
    snapshot : str or path, optional
        A snapshot from before the run, by its name, its file or ``latest``, or any dump of pg_dump: only the state
        before knows what rows were that the run changed.
    before : str, optional
        Instead, another environment that holds the state before the run.
    on_conflict : {"keep", "restore"}
        What becomes of a column that both the run and somebody after it changed.
    min_evidence : {"certain", "strong", "likely", "weak"}
        Records tied to the run more weakly are left alone, and listed as unresolved.
    sync_state : bool
        Whether to empty the sync state as well (guide §7.3); a full sync has to follow.

    Returns
    -------
    Plan or LevelZero
        Level 0 for a dry run, which wrote nothing: what to fix.

    Raises
    ------
    UsageError
        For a run that left no trace, or a word that means nothing here.
    Refused
        When there is nothing to roll back, or the snapshot is not one from before the run.
    """
    wb, way, least = runs.wb, way_with_conflicts(on_conflict), Strength.named(min_evidence)
    was = (
        state_before(snapshot, before, settings=wb.settings, live=wb.database) if snapshot or before else None
    )
    with wb.planning() as context:  # all on one connection, and so of one state
        run, others = pick_run(wb.find_runs(), run_id)
        if run.mode == "dry":
            return level_zero(run)
        with Draft(
            context,
            "rollback",
            parameters={
                "run": run.run,
                "snapshot": was.file_name if was else None,
                "on_conflict": way,
                "min_evidence": least.name,
                "sync_state": sync_state,
            },
            reasons=[f"Rolls back run {run.run} ({run.importer} import, {run.status}: {run.why})."],
            nothing=f"Nothing of run {run.run} can be rolled back",
        ) as draft:
            rollback = Rollback(draft, run, others, least)
            if not rollback.records:
                raise Refused(
                    f"Run {run.run} left no record that can be found, so there is nothing to roll back: {run.why or run.status}.",
                    "Its report file may name them: --import-report FILE.",
                )
            draft.notes += worth_knowing(run, rollback.gone)
            archive = None
            if was is None:
                rollback.leave_updates_open()
            else:
                archive = _bring_back(rollback, was, wb.settings, way, sync_state=not sync_state)
            states = rollback.own_sync_states()
            rollback.delete(states)
            touched = bool(states) or any(state.written for state in rollback.states)
            if sync_state:
                reset_sync_state(draft, without=states)
                draft.note(EMPTIED)
            elif (
                not states and not (archive and touched) and is_ahead(context.connection, context.schema, run)
            ):
                draft.note(
                    "The sync state still says that this run's data are here. Add --sync-state, and run a full sync next:"
                    " an incremental one does not fetch them again."
                )
            bundles = list_bundles(wb.settings.backups, run.run)
            facts: dict[str, Any] = {"run_id": run.run, "records_affected": draft.total}
            if (touched or sync_state) and (moments := moments_of(context.raw, context.schema)):
                facts[SYNC_STATE_WAS] = moments
            if sealed := bundle_of(run, bundles):
                facts["bundle_sha256"] = sealed
            draft.evidence += evidence_of(run, archive, bundles)
            draft.log(ROLLED_BACK, **facts)
    return draft.plan


def _bring_back(
    rollback: Rollback, was: Snapshot, settings: Settings, way: OnConflict, *, sync_state: bool
) -> Snapshot:
    """Draft what goes back to what a snapshot has; return the snapshot as it was opened."""
    schema = rollback.schema
    # No table is needed of a snapshot but those that an importer writes to.
    concepts = [*(CONCEPT_OF[entity] for entity in ENTITIES), "mappings", "sync_state"]
    tables = [schema.resolved[concept].table for concept in concepts if concept in schema.resolved]
    with (
        opened(was, tables, settings=settings, schema=schema.catalogue.schema) as archive,
        archive.readable.look() as there,
    ):
        before = there, archive.readable.address.schema
        restoration = Restoration(rollback, f"The snapshot {archive.file_name}", before, way)
        restoration.refuse_another_database(archive)
        restoration.bring_back(sync_state=sync_state)
    return archive


def plan_sync_state(runs: Runs) -> Plan:
    """Plan to empty the moments of the last syncs (guide §7.3), and nothing else; writes a plan file alone.

    Raises
    ------
    SchemaGap
        Where no sync state is kept.
    Refused
        When it is empty already.
    """
    schema = runs.wb.schema
    schema.require("sync_state.id", "sync_state.last_full_sync")
    with (
        runs.wb.planning() as context,
        Draft(
            context,
            "sync-state",
            reasons=["Resets the sync state (guide §7.3)."],
            nothing=f'The sync state ("{schema.resolved["sync_state"].table}") names no moment of a last sync',
            hint="There is nothing to reset. A full sync fetches everything; an incremental one never does.",
        ) as draft,
    ):
        reset_sync_state(draft)
        draft.note(EMPTIED)
        was = {SYNC_STATE_WAS: moments_of(context.raw, schema)}
        draft.log(SYNC_STATE_RESET, records_affected=draft.total, **was)
    return draft.plan


def reset_sync_state(draft: Draft, without: Collection[str] = ()) -> None:
    """Empty the moments of the last syncs, but for those of some rows."""
    schema = draft.context.schema
    schema.require("sync_state.id", "sync_state.last_full_sync")
    table = schema.resolved["sync_state"].table
    key = rows.key_of(rows.table_of(schema.catalogue, table))
    query = sql.SQL("SELECT {}::text FROM {}").format(
        sql.Identifier(key), rows.qualified(schema.catalogue, table)
    )
    states = {state for (state,) in draft.context.raw.execute(query)}.difference(without)
    draft.update(table, {key: dict.fromkeys(schema.sync_moments) for key in states})
