"""Roll back one run: guide §3 levels 0 and 1, and §4.1, without losing anyone's work; and reset the sync state (§7.3).

What the run created is deleted, children first; what existed before never is. What it updated goes back column by column
to what a snapshot has. What somebody did since stays, and so does everything that it needs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from psycopg import sql

from workbench.errors import Refused
from workbench.migration.bundles import Bundle, list_bundles, sealed_in
from workbench.murmurant.importers import (
    EMPTIED,
    ROLLED_BACK,
    SYNC_STATE_RESET,
    SYNC_STATE_WAS,
    Run,
    Strength,
    Trace,
)
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, SYNC_MOMENTS
from workbench.plans import rows
from workbench.plans.draft import Draft
from workbench.plans.plan import Plan
from workbench.runs.discovery import pick_run
from workbench.runs.evidence import ask
from workbench.runs.omissions import reported_omissions
from workbench.runs.restoring import OnConflict, Restoration, way_with_conflicts
from workbench.runs.rollback import Rollback
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened, state_before
from workbench.snapshots.restore.steps import moments_of

if TYPE_CHECKING:
    from workbench.runs.questions import Runs

RERUN = dict.fromkeys(("api", "guide"), "npx tsx scripts/importing/wa_full_sync.ts")
"""How to run an importer again (guide §4.1); for the CSV import it depends on where the exports are."""

REDO_DRY = {name: f"DRY_RUN=1 {command}" for name, command in RERUN.items()}


@dataclass(frozen=True)
class LevelZero:
    """Guide §3, level 0: nothing was written, so there is nothing to roll back.

    Attributes
    ----------
    run : str
        The dry run.
    fix : tuple of str
        What to fix before it is run again.
    """

    run: str
    fix: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.run} was a dry run (level 0): nothing was written, so there is nothing to roll back."


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
    """Plan to roll one run back (guide §3); writes only a plan file.

    Parameters
    ----------
    run_id : str
        Its id, or an unambiguous beginning of it.
    snapshot : str or path, optional
        A snapshot from before the run, by its name, its file or ``latest``, or any dump of pg_dump: only the state
        before knows what the rows were that the run changed.
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
        For a run that left no trace, or an option's value that is none.
    Refused
        When there is nothing to roll back, or the snapshot is not from before the run.
    """
    wb, way, least = runs.wb, way_with_conflicts(on_conflict), Strength.named(min_evidence)
    was = (
        state_before(snapshot, before, settings=wb.settings, live=wb.database) if snapshot or before else None
    )
    with wb.planning() as context:  # one connection, and so one state
        run, others = pick_run(wb.find_runs(), run_id)
        if run.mode == "dry":
            return _level_zero(run)
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
            if run.rolled_back:
                draft.note("The audit log says that this run was rolled back before.")
            if rollback.gone:
                draft.note(f"{rollback.gone:,} records of the run no longer exist.")
            archive = None
            if was is None:
                rollback.leave_updates_open()
            else:
                archive = _bring_back(rollback, was, wb.settings, way, sync_state=not sync_state)
            states = rollback.own_sync_states()
            rollback.delete(states)
            touched = bool(states) or any(state.written for state in rollback.states)
            if sync_state:
                _reset_sync_state(draft, without=states)
                draft.note(EMPTIED)
            elif not states and not (archive and touched) and _sync_state_is_ahead(rollback):
                draft.note(
                    "The sync state still counts this run's data as imported. Add --sync-state, and run a full sync next:"
                    " an incremental one does not fetch them again."
                )
            facts: dict[str, Any] = {"run_id": run.run, "records_affected": draft.total}
            if (touched or sync_state) and (moments := moments_of(context.raw, context.schema)):
                facts[SYNC_STATE_WAS] = moments
            evidence, sealed = _evidence_of(run, archive, list_bundles(wb.settings.backups, run.run))
            if sealed:
                facts["bundle_sha256"] = sealed
            draft.evidence += evidence
            draft.log(ROLLED_BACK, **facts)
    return draft.plan


def _bring_back(
    rollback: Rollback, was: Snapshot, settings: Settings, way: OnConflict, *, sync_state: bool
) -> Snapshot:
    """Draft what goes back to what a snapshot has; return the snapshot as it was opened."""
    schema = rollback.schema
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


def _sync_state_is_ahead(rollback: Rollback) -> bool:
    """Whether the sync state remembers a sync since the run began, so that the next incremental one relies on the run."""
    if rollback.run.importer == "csv" or rollback.run.started is None:
        return False
    query = f"SELECT bool_or(greatest({', '.join(SYNC_MOMENTS)}) >= %(started)s) FROM sync_state"
    values = {"started": rollback.run.started}
    return ask(rollback.connection, rollback.schema, query, values).fetchone() == (True,)


def plan_sync_state(runs: Runs) -> Plan:
    """Plan to empty the moments of the last syncs (guide §7.3); writes only a plan file.

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
            nothing=f'The sync state ("{schema.resolved["sync_state"].table}") is empty already',
            hint="A full sync fetches everything; an incremental one never does.",
        ) as draft,
    ):
        _reset_sync_state(draft)
        draft.note(EMPTIED)
        was = {SYNC_STATE_WAS: moments_of(context.raw, schema)}
        draft.log(SYNC_STATE_RESET, records_affected=draft.total, **was)
    return draft.plan


def _reset_sync_state(draft: Draft, without: Collection[str] = ()) -> None:
    """Empty the moments of the last syncs, except in some rows."""
    schema = draft.context.schema
    schema.require("sync_state.id", "sync_state.last_full_sync")
    table = schema.resolved["sync_state"].table
    key = rows.key_of(rows.table_of(schema.catalogue, table))
    query = sql.SQL("SELECT {}::text FROM {}").format(
        sql.Identifier(key), rows.qualified(schema.catalogue, table)
    )
    states = {state for (state,) in draft.context.raw.execute(query)}.difference(without)
    draft.update(table, {key: dict.fromkeys(schema.sync_moments) for key in states})


def _level_zero(run: Run) -> LevelZero:
    """List what a dry run found that has to be fixed."""
    wrong = [f"It ended as {run.status}: {run.why}."] if run.status != "completed" else []
    wrong += [f"{warning.code or 'Warning'}: {warning.message}" for warning in run.warnings]
    for row in reported_omissions(run):
        times = f" ({row.records:,} times)" if row.records and row.records > 1 else ""
        wrong.append(f"{row.name}: {row.reason}{times}.")
    wrong = wrong or ["Its report names no problem; compare its counts with the source."]
    again = REDO_DRY.get(run.importer, "with the same export files.")
    return LevelZero(run.run, (*wrong, f"Then the dry run again: {again}"))


def _evidence_of(
    run: Run, archive: Snapshot | None, bundles: Sequence[Bundle]
) -> tuple[list[str], str | None]:
    """List the evidence of a plan, and return the digest of the newest bundle that seals all of the run's reports as read."""
    evidence = [
        f"{trace}: {count:,}" if count else str(trace)
        for trace, count in sorted(run.traces.items())
        if trace != Trace.REPORT
    ]
    files = {report.path.name: report.path for report in run.reports}
    for name, path in sorted(files.items()):
        sealed = sealed_in(bundles, path)
        words = f", sealed in {sealed[0].folder.name}, SHA-256 {sealed[0].digest}" if sealed else ""
        evidence.append(f"report file {name}{words}")
    if archive is not None:
        proof = f", SHA-256 {archive.sha256}" if archive.sha256 else ""
        evidence.append(f"snapshot {archive.file_name} of database {archive.taken_from}{proof}")
    paths = [report.path for report in run.reports]
    complete = (
        bundle.digest for bundle in bundles if paths and all(sealed_in([bundle], path) for path in paths)
    )
    return evidence, next(complete, None)


def options(run: Run) -> tuple[str, ...]:
    """Return guide §4.1's options after an interrupted import, as commands."""
    again = RERUN.get(run.importer, "with the same export files.")
    first = (
        "First fix what its report warns of (credentials, filters); otherwise it fetches too little again."
    )
    return (
        *([first] if run.status == "incomplete" else []),
        f"Option A, to run it again (records that exist are skipped): {again}",
        f"Option B, to roll it back first: `workbench plan rollback {run.run}`.",
    )
