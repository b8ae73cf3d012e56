"""What undoing one run has to do: each record, mapping and sync state that it wrote, by what ties it to the run."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.mappings.queries import mapping_rows
from workbench.murmurant.importers import STRENGTH, Run, Strength, Trace
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.draft import Draft
from workbench.runs.evidence import overlaps, record_fates
from workbench.runs.keeping import spare_what_is_needed
from workbench.runs.written import has_mappings, own_mappings, sync_states, written_mappings

LEADS_TO_KEPT = "leads to a record that is kept"
_FROM_BEFORE = "the state before the run: --snapshot FILE (or its name), or --before ENVIRONMENT"


class Rollback:
    """One run's doing, sorted by what becomes of it; what stays is listed in the draft of the plan.

    Parameters
    ----------
    others : sequence of Run
        The other runs that are known here.
    min_evidence : Strength
        What is tied to the run more weakly stays.

    Attributes
    ----------
    created : dict of str to (list of str, list of str or None)
        By entity the records that it made and nobody touched since: ids, and the WA ids of each as text.
    updated : dict of str to dict of str to str
        By entity the records that were there before and that it changed: id to who touched it since, if anybody.
    mapped : list of (str, str, str, str)
        Records that were there before and that it only mapped: entity, id, WA ids, who touched it since.
    kept : set of (table, key)
        Records that it made and that bear somebody's later work.
    gone, records : int
        How many that it made or changed are not there any more; how many it dealt with.
    written : dict of str to Pointer
        The mappings that bear a mark of it.
    own : list of str
        Mappings that go with it: those that lead to records it created.
    turned : set of str
        Mappings of these that go back to leading elsewhere instead.
    states : list of SyncRow
        The rows of the sync state that it made or wrote.
    """

    def __init__(self, draft: Draft, run: Run, others: Sequence[Run], min_evidence: Strength) -> None:
        self.draft, self.run, self.others, self.min_evidence = draft, run, others, min_evidence
        self.connection, self.schema = draft.context.connection, draft.context.schema
        self.created: dict[str, tuple[list[str], list[str | None]]] = {}
        self.updated: dict[str, dict[str, str]] = {}
        self.mapped: list[tuple[str, str, str, str]] = []
        self.kept: set[tuple[str, str]] = set()
        self.gone = self.records = 0
        self._sort_records()
        self.written = written_mappings(self.connection, self.schema, run)
        by_time = (Strength.weak if overlaps(run, others) else STRENGTH[Trace.WINDOW]) >= min_evidence
        self.own = own_mappings(self.connection, self.schema, run, self.created, self.written, by_time)
        self.turned: set[str] = set()
        self.states = sync_states(self.connection, self.schema, run)

    def _sort_records(self) -> None:
        undone = {run.run for run in self.others if run.rolled_back}
        for fates in record_fates(self.connection, self.schema, self.run, self.others):
            self.records += len(fates.record_ids)
            weak = fates.strength < self.min_evidence
            if fates.action in ("existing", "skipped") or (fates.action == "mapped" and weak):
                continue  # whether a mapping is the run's is asked of the mapping itself
            table, pairs = (
                self.schema.table_of(fates.entity),
                zip(fates.record_ids, fates.wa_ids, strict=True),
            )
            touched = "" if fates.touched_since in undone else fates.touched_since
            keys = [key for key in fates.record_ids if key is not None]
            if weak:
                for key, wa_id in pairs:
                    leave_too_weak(self.draft, table, key or f"WA id {wa_id}", fates.action, fates.strength)
            elif not fates.exists:
                self.gone += len(fates.record_ids) if fates.action != "mapped" else 0
            elif fates.action == "mapped":
                self.mapped += [(fates.entity, str(key), str(wa_ids), touched) for key, wa_ids in pairs]
            elif fates.action == "updated":
                self.updated.setdefault(fates.entity, {}).update(dict.fromkeys(keys, touched))
            elif touched:
                person = touched in ("a person", "somebody")
                by = touched if person else f"run {touched}"
                since = "it since the run" if person else "it since; roll that run back first"
                for key in keys:
                    self.draft.keep(table, key, f"created by the run, but {by} changed {since}")
                    self.kept.add((table, key))
            else:
                created = self.created.setdefault(fates.entity, ([], []))
                created[0].extend(keys)
                created[1].extend(fates.wa_ids)

    def leave_updates_open(self) -> None:
        """List what cannot go back without a snapshot, since nothing else knows what was there."""
        for entity, key, wa_ids, _ in self.mapped:
            self.draft.keep(self.schema.table_of(entity), key, only_mapped(wa_ids))
        for entity, touched in self.updated.items():
            for key in touched:
                what = "updated by the run; what it was before is not written anywhere"
                self.draft.unresolved(self.schema.table_of(entity), key, what, _FROM_BEFORE)
        for key in self.written.keys() - set(self.own):
            entity, table = self.written[key].entity, self.schema.resolved["mappings"].table
            if (self.schema.table_of(entity), self.written[key].target) in self.kept:
                self.draft.keep(table, key, LEADS_TO_KEPT)
            else:
                what = f"mapping of {entity} records: the run made, refreshed or re-pointed it; nothing tells which"
                self.draft.unresolved(table, key, what, _FROM_BEFORE)

    def delete(self, states: list[str]) -> None:
        """Delete what the run made, rows of the sync state among it, less what something that stays needs."""
        draft, schema = self.draft, self.schema
        doomed = {schema.table_of(entity): sorted(keys) for entity, (keys, _) in self.created.items()}
        table = schema.resolved["mappings"].table if has_mappings(schema) else ""
        if self.own:
            doomed[table] = self.own
        if states:
            doomed[schema.resolved["sync_state"].table] = states
        kept = [(row[0], row[1]) for row in draft.listed["kept"]]
        doomed, spared = spare_what_is_needed(
            draft.context.raw, draft.context.references, doomed, {table: self.turned}, kept
        )
        for name, key, reason in spared:
            draft.keep(name, key, reason)
        stay: set[str] = set()
        for entity in ENTITIES if self.own and spared else ():
            keys = [key for name, key, _ in spared if name == schema.table_of(entity)]
            stay |= {row.id for row in mapping_rows(self.connection, schema, records=keys, entity=entity)}
        for key in stay.intersection(self.own):
            draft.keep(table, key, LEADS_TO_KEPT)
        for name, going in doomed.items():
            draft.delete(name, [key for key in going if name != table or key not in stay])

    def own_sync_states(self) -> list[str]:
        """Return the rows of the sync state that go with the run, for it made them."""
        going = []
        for state in self.states:
            table = self.schema.resolved["sync_state"].table
            if not state.made:
                continue
            if state.by:
                self.draft.keep(table, state.key, f"made by the run, but {state.by} wrote to it since")
            elif self.min_evidence > STRENGTH[Trace.WINDOW]:
                what = "made while the run was under way; only its time ties it to the run"
                self.draft.unresolved(table, state.key, what, f"--min-evidence {STRENGTH[Trace.WINDOW].name}")
            else:
                going.append(state.key)
        return going


def leave_too_weak(draft: Draft, table: str, key: str, action: str, strength: Strength) -> None:
    """List a record that is tied to a run on weaker evidence than was asked for."""
    draft.unresolved(
        table,
        key,
        f"{action} by the run on {strength.name} evidence only",
        f"--min-evidence {strength.name}, or a report file that names it",
    )


def only_mapped(wa_ids: str) -> str:
    """Say why a record stays that the run did not make."""
    return f"was there before; the run only mapped WA id {wa_ids} onto it"
