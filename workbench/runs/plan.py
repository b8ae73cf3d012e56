"""Roll back one run: guide §3 levels 0 and 1, and §4.1, without losing anyone's work; and reset the sync state (§7.3).

What the run created is deleted, children first; what it only mapped, or what was there before, never
is; what it updated goes back column by column as a snapshot had it; what somebody did since stays, and
so does all that it needs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from psycopg import sql

from workbench.errors import Refused
from workbench.migration.bundles import list_bundles
from workbench.murmurant.importers import (
    EMPTIED,
    ROLLED_BACK,
    SYNC_STATE_RESET,
    SYNC_STATE_WAS,
    Run,
    Strength,
)
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans import rows
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.runs.restoring import Restoration
from workbench.runs.rollback import Rollback
from workbench.runs.telling import bundle_of, told_by, worth_knowing
from workbench.runs.three_way import OnConflict
from workbench.runs.written import is_ahead
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened
from workbench.snapshots.restore.settling import moments_of
from workbench.snapshots.scratch import Archive


def plan_rollback(
    context: PlanContext,
    run: Run,
    others: Sequence[Run],
    *,
    settings: Settings,
    snapshot: Snapshot | None,
    on_conflict: OnConflict,
    min_evidence: Strength,
    sync_state: bool,
) -> Plan:
    """Plan the rollback of a live run; the parameters are those of `workbench.runs.questions.Runs.plan_rollback`."""
    connection, schema = context.connection, context.schema
    with Draft(
        context,
        "rollback",
        parameters={
            "run": run.run,
            "snapshot": snapshot.file_name if snapshot else None,
            "on_conflict": on_conflict,
            "min_evidence": min_evidence.name,
            "sync_state": sync_state,
        },
        reasons=[f"Rolls back run {run.run} ({run.importer} import, {run.status}: {run.why})."],
        nothing=f"Nothing of run {run.run} can be rolled back",
    ) as draft:
        rollback = Rollback(draft, run, others, min_evidence)
        if not rollback.records:
            raise Refused(
                f"Run {run.run} left no record that can be found, so there is nothing to roll back: {run.why or run.status}.",
                "Its report file may name them: --import-report FILE.",
            )
        draft.notes += worth_knowing(run, rollback.gone)
        archive: Archive | None = None
        if snapshot is None:
            rollback.leave_updates_open()
        else:
            # No table is needed of a snapshot but those that an importer writes to.
            concepts = [*(CONCEPT_OF[entity] for entity in ENTITIES), "mappings", "sync_state"]
            tables = [schema.resolved[each].table for each in concepts if each in schema.resolved]
            held = opened(snapshot, tables, settings=settings, schema=schema.catalogue.schema)
            with held as scratch, scratch.connect() as there:
                archive = scratch.archive
                Restoration(rollback, snapshot, scratch, there, on_conflict).bring_back(
                    sync_state=not sync_state
                )
        states = rollback.own_sync_states()
        rollback.delete(states)
        touched = bool(states) or any(state.written for state in rollback.states)
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


def plan_sync_state(context: PlanContext) -> Plan:
    """Plan to empty the moments of the last syncs, and nothing else.

    Raises
    ------
    SchemaGap
        Where no sync state is kept.
    Refused
        When it is empty already.
    """
    context.schema.require("sync_state.id", "sync_state.last_full_sync")
    table = context.schema.resolved["sync_state"].table
    with Draft(
        context,
        "sync-state",
        reasons=["Resets the sync state (guide §7.3)."],
        nothing=f'The sync state ("{table}") names no moment of a last sync',
        hint="There is nothing to reset. A full sync fetches everything; an incremental one never does.",
    ) as draft:
        reset_sync_state(draft)
        draft.note(EMPTIED)
        was = {SYNC_STATE_WAS: moments_of(context.raw, context.schema)}
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
    for (state,) in draft.context.raw.execute(query):
        if state not in without:
            draft.update(table, state, dict.fromkeys(schema.sync_moments))
