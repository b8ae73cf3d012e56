"""What undoing one run has to do: each record, mapping and sync state that it wrote, by what ties it to the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from workbench.mappings.queries import mapping_rows
from workbench.murmurant.importers import STRENGTH, Run, Strength, Trace
from workbench.plans.draft import Draft
from workbench.runs.evidence import overlaps, record_fates
from workbench.runs.keeping import spare_what_is_needed
from workbench.runs.written import has_mappings, own_mappings, sync_states, written_mappings

_LEADS_TO_KEPT = "leads to a record that is kept"
_STATE_BEFORE = "the state before the run: --snapshot FILE (or its name), or --before ENVIRONMENT"


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
    own, turned : set of str
        Mappings that go with it; and those that go back to leading elsewhere instead.
    states : list of SyncRow
        The rows of the sync state that it made or wrote.
    weak : set of (table, key)
        What is tied to it more weakly than was asked for.
    """

    def __init__(self, draft: Draft, run: Run, others: Sequence[Run], min_evidence: Strength) -> None:
        self.draft, self.run, self.others, self.min_evidence = draft, run, others, min_evidence
        self.connection, self.schema = draft.context.connection, draft.context.schema
        self.created = defaultdict[str, tuple[list[str], list[str | None]]](lambda: ([], []))
        self.updated = defaultdict[str, dict[str, str]](dict)
        self.mapped: list[tuple[str, str, str, str]] = []
        self.kept: set[tuple[str, str]] = set()
        self.weak: set[tuple[str, str]] = set()
        self.gone = self.records = 0
        self._sort_records()
        self.written = written_mappings(self.connection, self.schema, run)
        by_time = (Strength.weak if overlaps(run, others) else STRENGTH[Trace.WINDOW]) >= min_evidence
        self.own = own_mappings(self.connection, self.schema, run, self.created, self.written, by_time)
        self.turned: set[str] = set()
        self.states = sync_states(self.connection, self.schema, run)

    def _sort_records(self) -> None:
        undone = {run.run for run in self.others if run.rolled_back}
        for group in record_fates(self.connection, self.schema, self.run, self.others):
            entity, action, table = group.entity, group.action, self.schema.table_of(group.entity)
            self.records += len(group.record_ids)
            weak = group.strength < self.min_evidence
            if action in ("existing", "skipped") or (action == "mapped" and weak):
                continue  # whether a mapping is the run's is asked of the mapping itself
            touched = "" if group.touched_since in undone else group.touched_since
            keys = [key for key in group.record_ids if key is not None]
            if weak:
                how = f"--min-evidence {group.strength.name}, or a report file that names it"
                for key, wa_id in zip(group.record_ids, group.wa_ids, strict=True):
                    what = f"{action} by the run on {group.strength.name} evidence only"
                    self.leave_weak(table, key or f"WA id {wa_id}", what, how)
            elif not group.exists:
                self.gone += len(group.record_ids) if action != "mapped" else 0
            elif action == "mapped":
                pairs = zip(group.record_ids, group.wa_ids, strict=True)
                self.mapped += [(entity, str(key), str(wa_ids), touched) for key, wa_ids in pairs]
            elif action == "updated":
                self.updated[entity] |= dict.fromkeys(keys, touched)
            elif touched:
                by = touched if touched in ("a person", "somebody") else f"run {touched}"
                first = "" if by == touched else "; roll that run back first"
                for key in keys:
                    self.draft.keep(table, key, f"created by the run, but {by} changed it since{first}")
                self.kept.update((table, key) for key in keys)
            else:
                self.created[entity][0].extend(keys)
                self.created[entity][1].extend(group.wa_ids)

    def leave_weak(self, table: str, key: str, what: str, how: str) -> None:
        """List what is tied to the run on weaker evidence than was asked for."""
        self.weak.add((table, key))
        self.draft.unresolved(table, key, what, how)

    def keep_mapped(self, entity: str, key: str, wa_ids: str) -> None:
        """List a record that the run did not make."""
        reason = f"was there before; the run only mapped WA id {wa_ids} onto it"
        self.draft.keep(self.schema.table_of(entity), key, reason)

    def leads_to_kept(self, key: str) -> bool:
        """Whether a mapping that the run wrote leads to a record that it made and that is kept; if so, list it."""
        mapping = self.written[key]
        if (self.schema.table_of(mapping.entity), mapping.target) not in self.kept:
            return False
        self.draft.keep(self.schema.resolved["mappings"].table, key, _LEADS_TO_KEPT)
        return True

    def leave_updates_open(self) -> None:
        """List what cannot go back without a snapshot, since nothing else knows what was there."""
        for entity, key, wa_ids, _ in self.mapped:
            self.keep_mapped(entity, key, wa_ids)
        what = "updated by the run; what it was before is not written anywhere"
        for entity, touched in self.updated.items():
            for key in touched:
                self.draft.unresolved(self.schema.table_of(entity), key, what, _STATE_BEFORE)
        for key in self.written.keys() - self.own:
            if not self.leads_to_kept(key):
                entity, table = self.written[key].entity, self.schema.resolved["mappings"].table
                what = f"mapping of {entity} records: the run made, refreshed or re-pointed it; nothing tells which"
                self.draft.unresolved(table, key, what, _STATE_BEFORE)

    def delete(self, states: list[str]) -> None:
        """Delete what the run made, rows of the sync state among it, less what something that stays needs."""
        draft, schema = self.draft, self.schema
        doomed = {schema.table_of(entity): sorted(keys) for entity, (keys, _) in self.created.items()}
        mappings = schema.resolved["mappings"].table if has_mappings(schema) else ""
        if self.own:
            doomed[mappings] = sorted(self.own)
        if states:
            doomed[schema.resolved["sync_state"].table] = states
        kept = [(table, key) for table, key, *_ in draft.listed["kept"]]
        going, spared = spare_what_is_needed(
            draft.context.raw, draft.context.references, doomed, {mappings: self.turned}, kept
        )
        for table, key, reason in spared:
            draft.keep(table, key, reason)
        stay: set[str] = set()
        for entity in self.created if self.own and spared else ():
            keys = [key for table, key, _ in spared if table == schema.table_of(entity)]
            leading = mapping_rows(self.connection, schema, records=keys, entity=entity)
            stay |= self.own.intersection(row.id for row in leading)
        for key in stay:
            draft.keep(mappings, key, _LEADS_TO_KEPT)
        for table, keys in going.items():
            draft.delete(table, [key for key in keys if table != mappings or key not in stay])

    def own_sync_states(self) -> list[str]:
        """Return the rows of the sync state that go with the run, for it made them."""
        going = []
        by_time = STRENGTH[Trace.WINDOW]
        for state in self.states:
            table = self.schema.resolved["sync_state"].table
            if state.created and state.by:
                self.draft.keep(table, state.key, f"made by the run, but {state.by} wrote to it since")
            elif state.created and self.min_evidence > by_time:
                what = "made while the run was under way; only its time ties it to the run"
                self.leave_weak(table, state.key, what, f"--min-evidence {by_time.name}")
            elif state.created:
                going.append(state.key)
        return going
