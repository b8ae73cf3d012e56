"""With a snapshot from before a run: what the run updated goes back to what it was, column by column (guide §3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import psycopg

from workbench.errors import Refused
from workbench.murmurant.catalogue import CatalogueTable, Column, read_catalogue
from workbench.murmurant.importers import Run, Strength
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans import rows
from workbench.plans.rows import rows_by_key
from workbench.runs.evidence import ask
from workbench.runs.rollback import Rollback
from workbench.runs.three_way import OnConflict, Outcome, Verdict, judge, testimonies
from workbench.snapshots.compare import Snapshot

_CHUNK = 5_000  # whole rows of two databases, so fewer at a time than keys

_LABELS = "SELECT format_type(enumtypid, NULL), array_agg(enumlabel::text) FROM pg_enum GROUP BY 1"

Side = tuple[psycopg.Connection[Any], str]
"""A session that reads one of the two databases, and the schema of its tables."""


class Restoration:
    """One run's updates brought back from one snapshot.

    Parameters
    ----------
    snapshot, there : Snapshot, psycopg.Connection
        One that is opened, and a session that reads its rows, with times in UTC.
    on_conflict : {"keep", "restore"}
        What becomes of a column that both the run and somebody after it changed.
    """

    def __init__(
        self,
        rollback: Rollback,
        snapshot: Snapshot,
        there: psycopg.Connection[Any],
        on_conflict: OnConflict,
    ) -> None:
        self.rollback, self.run, self.draft = rollback, rollback.run, rollback.draft
        self.schema, self.on_conflict, self.snapshot = rollback.schema, on_conflict, snapshot
        self.name = f"The snapshot {snapshot.file_name}"
        self.now: Side = self.draft.context.raw, self.schema.catalogue.schema
        self.before: Side = there, snapshot.readable.address.schema
        self.then = read_catalogue(*self.before).tables
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
            When the snapshot is not from before the run, or of another database.
        """
        rollback = self.rollback
        for entity, (keys, _) in rollback.created.items():
            present = self._present(self.before, self.schema.table_of(entity), keys)
            refuse_a_later_snapshot(self.name, self.run, entity, present)
        self._refuse_another_database()
        updated = {entity: dict(touched) for entity, touched in rollback.updated.items()}
        for entity, key, _, touched_since in rollback.mapped:
            # Where only a row's own time told that the run changed it, a later change hides that it did.
            if touched_since and self.run.importer == "guide":
                updated.setdefault(entity, {})[key] = touched_since
        for entity, touched in sorted(updated.items()):
            self._restore(CONCEPT_OF[entity], touched, entity)
        self._restore_mappings()
        states = {state.key: state.by for state in rollback.states if state.written and not state.made}
        if sync_state and states:
            self._restore("sync_state", states)

    def _restore(self, concept: str, touched: Mapping[str, str], entity: str = "") -> None:
        """Decide, for rows that the run updated, which columns go back; `touched` names who wrote to them after it."""
        resolved, connection = self.schema.resolved[concept], self.rollback.connection
        table, bookkeeping = resolved.table, resolved.spelling.get("updated_at", "")
        described = rows.table_of(self.schema.catalogue, table)
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
                evidence = [known[key]] if key in known else []
                going[key] = {
                    verdict.column: was[verdict.column]
                    for verdict in judge(was, values, evidence, by, bookkeeping)
                    if self._goes_back(described, key, verdict, was, values, by)
                }
                if bookkeeping in was and not by:
                    # When it was written goes back with a row that nobody touched.
                    going[key][bookkeeping] = was[bookkeeping]
            self.draft.update(table, going)

    def _goes_back(
        self,
        described: CatalogueTable,
        key: str,
        verdict: Verdict,
        was: Mapping[str, str | None],
        now: Mapping[str, str | None],
        by: str,
    ) -> bool:
        """Whether a column goes back to what it was; list it where it does not, or somebody else wrote it too."""
        table, name, outcome = described.name, verdict.column, verdict.outcome
        if outcome is Outcome.KEPT:
            self.draft.keep(table, key, f"{name} was changed by {by or 'somebody'}, not by the run")
            return False
        if outcome is Outcome.CONFLICT:
            left, why = verdict.conflict(by)
            self.draft.conflict(table, key, name, was[name], left, now[name], f"{why}; {self.on_conflict}")
            if self.on_conflict == "keep":
                return False
        if not self._takes(described.columns[name], was[name]):
            what = f"{name} was {was[name] or 'empty'} before the run, which today's {name} does not take"
            self.draft.unresolved(
                table, key, what, "a migration that lets it, or a value by hand", in_part=True
            )
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
        present = self._present(self.before, table, sorted(rollback.own.union(written)))
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
                self.draft.unresolved(table, key, what, f"--min-evidence {strength.name}")
            else:
                rollback.own.add(key)
                mapped[row.entity, row.target].add(row.wa_id)
        own = {(entity, key) for entity, (keys, _) in rollback.created.items() for key in keys if mapped}
        own |= {(entity, key) for entity, touched in rollback.updated.items() for key in touched}
        for entity, key in mapped.keys() - own:
            rollback.keep_mapped(entity, key, ", ".join(sorted(mapped[entity, key])))

    def _refuse_another_database(self) -> None:
        """Refuse one that knows nothing of what was here before the run: it is of another database, or far too old."""
        rollback, manifest = self.rollback, self.snapshot.manifest
        before = [(entity, key) for entity, touched in rollback.updated.items() for key in touched]
        before += [(entity, key) for entity, key, *_ in rollback.mapped]
        created = {(entity, key) for entity, (keys, _) in rollback.created.items() for key in keys}
        before += {(row.entity, row.target) for row in rollback.written.values()} - created
        known = False
        for entity in [entity for entity in ENTITIES if self.schema.has(CONCEPT_OF[entity])]:
            keys = [key for kind, key in before if kind == entity]
            known = known or bool(self._present(self.before, self.schema.table_of(entity), keys))
        taken = "SELECT 1 FROM audit WHERE metadata ->> 'sha256' = %(sha256)s LIMIT 1"
        digest = {"sha256": self.snapshot.sha256}
        if not known and digest["sha256"]:
            known = ask(rollback.connection, self.schema, taken, digest).fetchone() is not None
        server = self.draft.context.target.system_identifier
        if (before and not known) or (manifest and manifest.target.system_identifier != server):
            raise Refused(
                f"{self.name} (of database {self.snapshot.taken_from!r}) is of another database: it has none of the records"
                " that were here before the run.",
                "Give one of this database, from just before the run.",
            )

    def _present(self, side: Side, table: str, keys: Collection[str]) -> set[str]:
        described = rows.table_of(self.schema.catalogue, table)
        return {key for chunk in rows.in_chunks([*keys]) for key in rows_by_key(*side, described, chunk, ())}


def refuse_a_later_snapshot(named: str, run: Run, entity: str, present: set[str]) -> None:
    """Refuse a snapshot that has what the run created: it was taken when the run had begun."""
    if present:
        raise Refused(
            f"{named} is not from before run {run.run}: it has {len(present):,} of the {entity} records that the run created,"
            f" {min(present)} for one.",
            "Give one that was taken before it began.",
        )
