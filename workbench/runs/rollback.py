"""What undoing one run has to do: each record, mapping and sync state that it wrote, by the evidence for it.

Whatever a row that stays refers to stays as well: no foreign key of the database decides what is deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from workbench.mappings.queries import mapping_rows
from workbench.murmurant.importers import STRENGTH, Run, Strength, Trace
from workbench.murmurant.references import Reference, References
from workbench.plans import rows
from workbench.plans.draft import Draft
from workbench.runs.evidence import (
    has_mappings,
    overlaps,
    own_mappings,
    record_fates,
    sync_states,
    written_mappings,
)

_LEADS_TO_KEPT = "leads to a record that is kept"
_STATE_BEFORE = "the state before the run: --snapshot FILE (or its name), or --before ENVIRONMENT"


class Rollback:
    """What one run did, sorted by what becomes of it; what stays is listed in the draft.

    Parameters
    ----------
    others : sequence of Run
        All other runs.
    min_evidence : Strength
        What is tied to the run more weakly stays.

    Attributes
    ----------
    created : dict of str to (list of str, list of str or None)
        By entity the records that it created and nobody changed since: ids, and each one's WA ids as text.
    updated : dict of str to dict of str to str
        By entity the existing records that it changed: id to who changed it since, if anybody.
    mapped : list of (str, str, str, str)
        Existing records that it only mapped: entity, id, WA ids, who changed it since.
    kept : set of (table, key)
        Records that it created and somebody changed since.
    gone, records : int
        How many records that it wrote no longer exist; how many it dealt with.
    written : dict of str to WrittenMapping
        The mappings that it wrote, or may have.
    own, redirected : set of str
        Mappings that go with it, and those that lead elsewhere again instead.
    states : list of SyncRow
        The rows of the sync state that it wrote.
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
        self.redirected: set[str] = set()
        self.states = sync_states(self.connection, self.schema, run)

    def _sort_records(self) -> None:
        undone = {run.run for run in self.others if run.rolled_back}
        for group in record_fates(self.connection, self.schema, self.run, self.others):
            entity, action, table = group.entity, group.action, self.schema.table_of(group.entity)
            self.records += len(group.record_ids)
            weak = group.strength < self.min_evidence
            if action in ("existing", "skipped") or (action == "mapped" and weak):
                continue  # the mapping's own evidence decides about the mapping
            changed_by = "" if group.touched_since in undone else group.touched_since
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
                self.mapped += [(entity, str(key), str(wa_ids), changed_by) for key, wa_ids in pairs]
            elif action == "updated":
                self.updated[entity] |= dict.fromkeys(keys, changed_by)
            elif changed_by:
                by, first = changed_by, ""
                if by not in ("a person", "somebody"):
                    by, first = f"run {by}", "; roll that run back first"
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
        """List a record that existed before the run."""
        reason = f"existed before; the run only mapped WA id {wa_ids} onto it"
        self.draft.keep(self.schema.table_of(entity), key, reason)

    def leads_to_kept(self, key: str) -> bool:
        """Whether a mapping leads to a record that the run created and that is kept; if so, list it."""
        mapping = self.written[key]
        if (self.schema.table_of(mapping.entity), mapping.target) not in self.kept:
            return False
        self.draft.keep(self.schema.resolved["mappings"].table, key, _LEADS_TO_KEPT)
        return True

    def leave_updates_open(self) -> None:
        """List what cannot be restored without a snapshot."""
        for entity, key, wa_ids, _ in self.mapped:
            self.keep_mapped(entity, key, wa_ids)
        what = "updated by the run; what it was before is not written anywhere"
        for entity, updated in self.updated.items():
            for key in updated:
                self.draft.unresolved(self.schema.table_of(entity), key, what, _STATE_BEFORE)
        for key in self.written.keys() - self.own:
            if not self.leads_to_kept(key):
                entity, table = self.written[key].entity, self.schema.resolved["mappings"].table
                what = f"mapping of {entity} records that the run created, refreshed or changed; which is not known"
                self.draft.unresolved(table, key, what, _STATE_BEFORE)

    def delete(self, states: list[str]) -> None:
        """Delete what the run created, these rows of the sync state too, except what something that stays needs."""
        draft, schema = self.draft, self.schema
        doomed = {schema.table_of(entity): sorted(keys) for entity, (keys, _) in self.created.items()}
        mappings = schema.resolved["mappings"].table if has_mappings(schema) else ""
        if self.own:
            doomed[mappings] = sorted(self.own)
        if states:
            doomed[schema.resolved["sync_state"].table] = states
        kept = [(table, key) for table, key, *_ in draft.listed["kept"]]
        going, spared = spare_referenced(
            draft.context.raw, draft.context.references, doomed, {mappings: self.redirected}, kept
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
        """Return the rows of the sync state that the run created and that go with it."""
        going = []
        by_time = STRENGTH[Trace.WINDOW]
        for state in self.states:
            table = self.schema.resolved["sync_state"].table
            if state.created and state.by:
                self.draft.keep(table, state.key, f"created by the run, but {state.by} wrote to it since")
            elif state.created and self.min_evidence > by_time:
                what = "created while the run was under way; only its time ties it to the run"
                self.leave_weak(table, state.key, what, f"--min-evidence {by_time.name}")
            elif state.created:
                going.append(state.key)
        return going


def spare_referenced(
    connection: psycopg.Connection[Any],
    graph: References,
    doomed: Mapping[str, Sequence[str]],
    redirected: Mapping[str, set[str]],
    kept: Iterable[tuple[str | None, str | None]] = (),
) -> tuple[dict[str, list[str]], list[tuple[str, str, str]]]:
    """Spare the rows to be deleted to which a row that stays refers, and whatever those need.

    Parameters
    ----------
    doomed : mapping of str to sequence of str
        Table to keys, sorted.
    redirected : mapping of str to set of str
        Table to keys of rows that stay but refer to rows that stay, once the plan is applied.
    kept : iterable of (table, key)
        The run's own rows that are listed as staying already.

    Returns
    -------
    tuple of dict and list
        What may still be deleted; and for every row that stays its table, key and the reason.
    """
    sizes = rows.sizes(connection, graph.schema.catalogue)
    going = {table: list(keys) for table, keys in doomed.items()}
    spared: dict[str, dict[str, str]] = {table: {} for table in doomed}
    own = set(kept)
    binding = {table: graph.binding(table) for table in doomed}
    # Children first, as far as possible: then it is settled which of them stay before their parents are asked.
    tables = sorted(doomed, key=lambda table: sum(way.child in doomed for way in binding[table]))
    references = [reference for table in tables for reference in binding[table]]
    while references:
        grown = set()
        for reference in references:
            table, child = reference.parent, reference.child
            if child not in sizes or not going[table]:
                continue
            free = [*going.get(child, ()), *redirected.get(child, ())]
            few = 0 <= sizes[child] < len(going[table])
            needed = _needed(connection, graph, reference, going[table], free, few)
            for key, by in needed:
                stays = by in spared.get(child, {}) or (child, by) in own
                which = "which is kept" if stays else "which is not part of the run"
                reason = f"created by the run, but {child} {by}, {which}, refers to it ({reference.column})"
                spared[table].setdefault(key, reason)
            if needed:
                grown.add(table)
                going[table] = [key for key in going[table] if key not in spared[table]]
        references = [way for table in tables for way in binding[table] if way.child in grown]
    stay = [(table, key, reason) for table in sorted(spared) for key, reason in sorted(spared[table].items())]
    return {table: keys for table, keys in going.items() if keys}, stay


def _needed(
    connection: psycopg.Connection[Any],
    graph: References,
    reference: Reference,
    keys: Sequence[str],
    free: Sequence[str],
    few: bool,
) -> list[tuple[str, str]]:
    """Return which of some keys a row refers to that is not free to go, and the first such row.

    Where only a `few` rows could refer, these are fetched, instead of sending all the keys.
    """
    catalogue = graph.schema.catalogue
    parent, child = catalogue.tables[reference.parent], catalogue.tables[reference.child]
    key_columns = child.primary_key or (reference.column,)
    column = sql.Identifier("c", reference.column)
    values: dict[str, Any] = {"kinds": list(reference.kinds) if reference.kind_column else None}
    among = sql.SQL("WHERE {} IS NOT NULL").format(column)
    if not few:
        parent_type, child_type = parent.columns[rows.key_of(parent)].type, child.columns[key_columns[0]].type
        same = child.columns[reference.column].type == parent.columns[reference.parent_column].type
        values |= {"keys": rows.sent(keys, parent_type), "free": rows.sent(free, child_type)}
        # The CASE keeps the planner from estimating the array's keys one by one.
        among = sql.SQL(
            """JOIN unnest(%(keys)s::{parent_type}[]) AS d(id) ON {column}{cast} = d.id{cast}
               WHERE CASE WHEN {own} = ANY (%(free)s::{child_type}[]) THEN false ELSE true END"""
        ).format(
            column=column,
            parent_type=sql.SQL(parent_type),
            cast=sql.SQL("" if same else "::text"),
            child_type=sql.SQL(child_type),
            own=sql.Identifier("c", key_columns[0]),
        )
    query = sql.SQL(
        """SELECT {distinct} {column}::text, {key} FROM {child} c {among}
             AND (%(kinds)s::text[] IS NULL OR {kind}::text = ANY(%(kinds)s::text[])) ORDER BY {column}, 2"""
    ).format(
        distinct=sql.SQL("" if few else "DISTINCT ON ({})").format(column),
        column=column,
        key=rows.key_text(key_columns, "c"),
        child=rows.qualified(catalogue, reference.child),
        among=among,
        kind=sql.Identifier("c", reference.kind_column or reference.column),
    )
    pairs = connection.execute(query, values).fetchall()
    if not few:
        return pairs
    parents = {key for key, _ in pairs}.intersection(keys)
    going = {by for _, by in pairs}.intersection(free)
    return [(key, by) for key, by in pairs if key in parents and by not in going]
