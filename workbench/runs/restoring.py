"""With a snapshot from before a run: what the run updated goes back to what it was, column by column (guide §3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import psycopg

from workbench.errors import Refused
from workbench.murmurant.catalogue import CatalogueTable, Column, read_catalogue
from workbench.murmurant.importers import Strength
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans import rows
from workbench.plans.rows import rows_by_key
from workbench.runs.evidence import ask
from workbench.runs.rollback import Rollback
from workbench.runs.three_way import UNKNOWN, OnConflict, Outcome, Testimony, judge, testimonies
from workbench.snapshots.compare import Snapshot

_CHUNK = 5_000  # whole rows of two databases, so fewer at a time than keys

_LABELS = "SELECT format_type(enumtypid, NULL), array_agg(enumlabel::text) FROM pg_enum GROUP BY 1"

Side = tuple[psycopg.Connection[Any], str]
"""A session that reads one of the two databases, and the schema of its tables."""


class Restoration:
    """One run's updates brought back from one snapshot.

    Parameters
    ----------
    name : str
        What the snapshot is called.
    before : Side or None
        Where its rows are read, with times in UTC; a table that it has not there is as it is now, as are all without one.
    on_conflict : {"keep", "restore"}
        What becomes of a column that both the run and somebody after it changed.
    """

    def __init__(self, rollback: Rollback, name: str, before: Side | None, on_conflict: OnConflict) -> None:
        self.rollback, self.run, self.draft = rollback, rollback.run, rollback.draft
        self.schema, self.on_conflict, self.name, self.before = rollback.schema, on_conflict, name, before
        self.now: Side = self.draft.context.raw, self.schema.catalogue.schema
        self.then = read_catalogue(*before).tables if before else {}
        self.labels = dict(self.now[0].execute(_LABELS).fetchall())

    def bring_back(self, *, sync_state: bool) -> None:
        """Compare what the run wrote with the snapshot, draft what goes back, and say which mappings go.

        Parameters
        ----------
        sync_state : bool
            Whether the sync state goes back too.

        Raises
        ------
        Refused
            When the snapshot is not from before the run.
        """
        rollback = self.rollback
        for entity, (keys, _) in rollback.created.items():
            if present := self._present(self.schema.table_of(entity), keys):
                raise Refused(
                    f"{self.name} is not from before run {self.run.run}: it has {len(present):,} of the {entity} records that the"
                    f" run created, {min(present)} for one.",
                    "Give one that was taken before it began.",
                )
        updated = {entity: dict(touched) for entity, touched in rollback.updated.items()}
        for entity, key, _, touched_since in rollback.mapped:
            # Where only a row's own time told that the run changed it, a later change hides that it did.
            if touched_since and self.run.importer == "guide":
                updated.setdefault(entity, {})[key] = touched_since
        for entity, touched in sorted(updated.items()):
            self._restore(CONCEPT_OF[entity], touched, entity)
        self._restore_mappings()
        states = {state.key: state.by for state in rollback.states if state.written and not state.created}
        if sync_state and states:
            self._restore("sync_state", states)

    def _restore(self, concept: str, touched: Mapping[str, str], entity: str = "") -> None:
        """Decide, for rows that the run updated, which columns go back; `touched` names who wrote to them after it."""
        resolved, connection = self.schema.resolved[concept], self.rollback.connection
        table, bookkeeping = resolved.table, resolved.spelling.get("updated_at", "")
        described = rows.table_of(self.schema.catalogue, table)
        if self.before is None or table not in self.then:
            return
        names = self._columns_of_both(described)
        for chunk in rows.in_chunks(sorted(touched), _CHUNK):
            now = rows_by_key(*self.now, described, chunk, names)
            before = rows_by_key(*self.before, described, chunk, names)
            known = testimonies(connection, self.schema, self.run, entity, chunk) if entity else {}
            for key in now.keys() - before.keys():
                what = "updated by the run, and not in the snapshot"
                self.draft.unresolved(table, key, what, "an older snapshot, or the run that made it")
            going: dict[str, dict[str, str | None]] = {}
            for key in now.keys() & before.keys():
                was, values, by = before[key].values, now[key].values, touched[key]
                going[key] = {
                    name: was[name]
                    for name, outcome, left in judge(
                        was, values, known.get(key, Testimony()), by, bookkeeping
                    )
                    if self._goes_back(described, key, name, outcome, (was[name], left, values[name]), by)
                }
                if bookkeeping in was and not by:
                    # When it was written goes back with a row that nobody touched.
                    going[key][bookkeeping] = was[bookkeeping]
            self.draft.update(table, going)

    def _goes_back(
        self,
        described: CatalogueTable,
        key: str,
        name: str,
        outcome: Outcome,
        values: tuple[Any, ...],
        by: str,
    ) -> bool:
        """Whether a column goes back to what it was; list it where it does not, or somebody else wrote it too.

        The `values` are what was there before the run, what the run left, and what is there now.
        """
        table, (was, left, now) = described.name, values
        if outcome is Outcome.KEPT:
            self.draft.keep(table, key, f"{name} was changed by {by or 'somebody'}, not by the run")
            return False
        if outcome is Outcome.CONFLICT:
            why = f"{by or 'somebody'} changed it after the run"
            if left is UNKNOWN:
                left, why = "not known", f"the run or {by}: nothing tells which of them changed it"
            self.draft.conflict(table, key, name, was, left, now, f"{why}; {self.on_conflict}")
            if self.on_conflict == "keep":
                return False
        if not self._takes(described.columns[name], was):
            what = f"{name} was {was or 'empty'} before the run, which today's {name} does not take"
            self.draft.unresolved(table, key, what, "a migration that lets it, or a value by hand")
            return False
        return True

    def _takes(self, column: Column, value: str | None) -> bool:
        """Whether a column of today can hold what was in it."""
        return column.nullable if value is None else value in self.labels.get(column.type, (value,))

    def _columns_of_both(self, described: CatalogueTable) -> list[str]:
        """Return the columns that the snapshot has alike, and say which it has otherwise."""
        then = self.then[described.name].columns
        now = {name: column for name, column in described.columns.items() if not column.generated}
        alike = [name for name, column in now.items() if name in then and then[name].type == column.type]
        gone = [name for name in then if name not in described.columns or (name in now and name not in alike)]
        if gone:
            note = f"{described.name} has no column {' and no '.join(map(repr, gone))} any more, as in the snapshot: it was"
            note += " dropped, renamed or given another type since. What the run did to it is not taken back."
            self.draft.note(note)
        return alike

    def _restore_mappings(self) -> None:
        """Bring back the mappings that were there; those that were not go with the run, onto whatever record they lead."""
        rollback, written = self.rollback, self.rollback.written
        if not written:
            return
        table = self.schema.resolved["mappings"].table
        present = self._present(table, rollback.own.union(written))
        self._restore("mappings", {key: row.by for key, row in written.items() if key in present})
        rollback.turned = {key for key in rollback.own & present if key in written and not written[key].by}
        new = written.keys() - present - rollback.own
        rollback.own -= present
        mapped = defaultdict[tuple[str, str], set[str]](set)
        for key in new:
            row = written[key]
            # Its time alone is weak; that it was not there before the run either makes it likely.
            strength = max(row.strength, Strength.likely)
            if row.by:
                self.draft.keep(table, key, f"made by the run, but {row.by} changed it since")
            elif rollback.leads_to_kept(key):
                continue
            elif strength < rollback.min_evidence:
                what = f"mapping of {row.entity} {row.wa_id}, new since the snapshot; only its time ties it to the run"
                rollback.leave_weak(table, key, what, f"--min-evidence {strength.name}")
            else:
                rollback.own.add(key)
                mapped[row.entity, row.target].add(row.wa_id)
        own = {(entity, key) for entity, (keys, _) in rollback.created.items() for key in keys if mapped}
        own |= {(entity, key) for entity, touched in rollback.updated.items() for key in touched}
        for entity, key in mapped.keys() - own:
            rollback.keep_mapped(entity, key, ", ".join(sorted(mapped[entity, key])))

    def refuse_another_database(self, snapshot: Snapshot) -> None:
        """Refuse one that knows nothing of what was here before the run: it is of another database, or far too old."""
        rollback, manifest = self.rollback, snapshot.manifest
        before = [(entity, key) for entity, touched in rollback.updated.items() for key in touched]
        before += [(entity, key) for entity, key, *_ in rollback.mapped]
        created = {(entity, key) for entity, (keys, _) in rollback.created.items() for key in keys}
        before += {(row.entity, row.target) for row in rollback.written.values()} - created
        known = False
        for entity in [entity for entity in ENTITIES if self.schema.has(CONCEPT_OF[entity])]:
            keys = [key for kind, key in before if kind == entity]
            known = known or bool(self._present(self.schema.table_of(entity), keys))
        taken = "SELECT 1 FROM audit WHERE metadata ->> 'sha256' = %(sha256)s LIMIT 1"
        digest = {"sha256": snapshot.sha256}
        if not known and snapshot.sha256:
            known = ask(rollback.connection, self.schema, taken, digest).fetchone() is not None
        server = self.draft.context.target.system_identifier
        elsewhere = manifest is not None and manifest.target.system_identifier != server
        if not known and (before or elsewhere):  # the club may have moved to another server since
            raise Refused(
                f"{self.name} (of database {snapshot.taken_from!r}) is of another database: it has none of the records"
                " that were here before the run.",
                "Give one of this database, from just before the run.",
            )

    def _present(self, table: str, keys: Collection[str]) -> set[str]:
        """Return which of some rows the snapshot has."""
        if self.before is None or table not in self.then:
            return set(keys)
        described = rows.table_of(self.schema.catalogue, table)
        chunks = rows.in_chunks(sorted(keys))
        return {key for chunk in chunks for key in rows_by_key(*self.before, described, chunk, ())}
