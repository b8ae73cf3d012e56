"""Roll back one run: guide §3 levels 0 and 1, and §4.1, without losing anyone's work.

What the run created is deleted, children first; what it only mapped, or what was there before, never
is; what it updated goes back column by column as a snapshot had it; what somebody did since stays, and
so does all that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from workbench.checkpoints.earlier import Snapshot, opened
from workbench.checkpoints.restore.settling import moments_of
from workbench.errors import Refused, unknown
from workbench.fixes.effects import Effects, find_effects
from workbench.fixes.keeping import spare_what_is_needed
from workbench.fixes.ledger import Doomed, Ledger
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
from workbench.fixes.writing import write_plan
from workbench.investigate.runs import pick_run
from workbench.investigate.traces import overlaps
from workbench.migration.bundles import bundles_holding
from workbench.murmurant.importers import EMPTIED, ROLLED_BACK, STRENGTH, SYNC_STATE_WAS, Run, Strength, Trace
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.drafting import Updates
from workbench.plans.journal import raw
from workbench.plans.plan import Header, Plan, Target
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
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    request: RollbackRequest,
    *,
    target: Target,
    planned_by: str,
    settings: Settings,
    folder: Path,
) -> Plan | LevelZero:
    """Plan the rollback of one run.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a reading, repeatable-read transaction; nothing else is needed.
    runs : sequence of Run
        Every run that is known here.
    folder : Path
        Where the plan file is written.

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
    run, others = pick_run(runs, request.run)
    if run.mode == "dry":
        return level_zero(run)
    effects = find_effects(connection, schema, run, others, request.min_evidence)
    if not effects.records:
        raise Refused(
            f"Run {run.run} left no record that can be found, so there is nothing to roll back: {run.why or run.status}.",
            "Its report file may name them: --import-report FILE.",
        )
    ledger = Ledger(kept=list(effects.kept), unresolved=list(effects.unresolved))
    graph = References(schema)
    with ExitStack() as stack:
        updates = stack.enter_context(Updates())
        written = written_mappings(connection, schema, run)
        strength = Strength.weak if overlaps(run, others) else STRENGTH[Trace.WINDOW]
        mappings = own_mappings(
            connection, schema, run, effects, written, by_time=strength >= request.min_evidence
        )
        archive = None
        turned: set[str] = set()
        if request.snapshot is None:
            for fate in effects.mapped:
                ledger.kept.append((schema.table_of(fate.entity), fate.record_id, only_mapped(fate.wa_ids)))
            leave_updates_open(schema, effects, written, set(mappings), ledger)
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
            restoration = Restoration(
                connection,
                schema,
                run,
                effects,
                written,
                scratch,
                stack,
                updates,
                request.on_conflict,
                target,
            )
            mappings, turned = restoration.bring_back(
                mappings, ledger, request.min_evidence, sync_state=not request.sync_state
            )
        states = _own_sync_states(connection, schema, run, request.min_evidence, ledger)
        _find_what_goes(connection, graph, effects, mappings, states, turned, ledger)
        touched = bool(states or written_sync_states(connection, schema, run))
        if request.sync_state:
            reset_sync_state(raw(connection), schema, updates, without=states)
            ledger.notes.append(EMPTIED)
        elif not states and not (archive and touched) and is_ahead(connection, schema, run):
            ledger.notes.append(
                "The sync state still says that this run's data are here. Add --sync-state, and run a full sync next:"
                " an incremental one does not fetch them again."
            )
        affected = sum(map(len, ledger.doomed.values())) + updates.total
        if not affected:
            raise _nothing_to_change(run, effects, ledger)
        bundles = bundles_holding(settings.backups, run.run)
        told: dict[str, Any] = {"run_id": run.run, "records_affected": affected}
        if (touched or request.sync_state) and (was := moments_of(raw(connection), schema)):
            told[SYNC_STATE_WAS] = was
        if sealed := bundle_of(run, bundles):
            told["bundle_sha256"] = sealed
        header = Header(
            kind="rollback",
            parameters=request.parameters(),
            reasons=(f"Rolls back run {run.run} ({run.importer} import, {run.status}: {run.why}).",),
            target=target,
            planned_by=planned_by,
            evidence=told_by(run, archive, bundles),
            notes=(*worth_knowing(run, effects.gone), *ledger.notes),
            audit=({"action": ROLLED_BACK, "metadata": told},),
        )
        return write_plan(connection, graph, header, ledger, updates, folder)


def _find_what_goes(
    connection: Connection,
    graph: References,
    effects: Effects,
    mappings: list[str],
    states: list[str],
    turned: set[str],
    ledger: Ledger,
) -> None:
    """Settle what is deleted: what the run made, less what something that stays needs.

    Mappings that are turned to another record need none of these.
    """
    schema = graph.schema
    doomed: Doomed = {schema.table_of(entity): keys for entity, (keys, _) in effects.created.items()}
    table = schema.resolved["mappings"].table if has_mappings(schema) else ""
    if mappings:
        doomed[table] = mappings
    if states:
        doomed[schema.resolved["sync_state"].table] = states
    ledger.doomed, spared = spare_what_is_needed(raw(connection), graph, doomed, {table: turned}, ledger.kept)
    ledger.kept += spared
    stay: set[str] = set()
    for entity in ENTITIES:
        keys = [key for each, key, _ in spared if each == schema.table_of(entity)] if spared else []
        if keys and mappings:
            stay |= leading_to(connection, schema, mappings, entity, keys)
    if stay:
        ledger.kept += [(table, key, LEADS_TO_KEPT) for key in sorted(stay)]
        ledger.doomed[table] = [key for key in ledger.doomed[table] if key not in stay]


def _own_sync_states(
    connection: Connection, schema: Schema, run: Run, min_evidence: Strength, ledger: Ledger
) -> list[str]:
    """Return the rows of the sync state that go with the run, for it made them."""
    going = []
    for key, by in sorted(made_sync_states(connection, schema, run).items()):
        table = schema.resolved["sync_state"].table
        if by:
            ledger.kept.append((table, key, f"made by the run, but {by} wrote to it since"))
        elif min_evidence > STRENGTH[Trace.WINDOW]:
            what = "made while the run was under way; only its time ties it to the run"
            ledger.unresolved.append((table, key, what, f"--min-evidence {STRENGTH[Trace.WINDOW].name}"))
        else:
            going.append(key)
    return going


def _nothing_to_change(run: Run, effects: Effects, ledger: Ledger) -> Refused:
    why = ""
    if ledger.unresolved:
        table, key, reason, resolved_by = ledger.unresolved[0]
        why = f"{table} {key}: {reason}. What would resolve it: {resolved_by}."
    elif ledger.kept:
        why = "{} {}: {}.".format(*ledger.kept[0])
    return Refused(
        f"Nothing of run {run.run} can be rolled back: {len(ledger.kept):,} rows are kept,"
        f" {len(ledger.unresolved):,} are unresolved, {effects.gone:,} are gone already.",
        why,
    )
