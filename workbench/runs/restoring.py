"""With a snapshot from before a run: what the run updated goes back to what it was, column by column (guide §3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from workbench.errors import Refused
from workbench.murmurant.catalogue import CatalogueTable, read_catalogue
from workbench.murmurant.importers import Run, Strength
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans import rows
from workbench.plans.rows import Current, rows_by_key
from workbench.runs.evidence import ask
from workbench.runs.rollback import LEADS_TO_KEPT, Rollback, only_mapped
from workbench.runs.three_way import OnConflict, Outcome, Verdict, judge
from workbench.runs.witnesses import testimonies
from workbench.snapshots.compare import Snapshot

_CHUNK = 5_000  # whole rows of two databases, so fewer at a time than keys

_ENOUGH = 100
"""Records looked for to tell a snapshot of this database from another's."""

_OWN_TYPES = "SELECT format_type(oid, NULL) FROM pg_type WHERE typtype IN ('d', 'e')"
"""Domains and enums, which may take other values today than they did."""

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
        self.named = f"The snapshot {snapshot.file_name}"
        self.here: Side = self.draft.context.raw, self.schema.catalogue.schema
        self.before: Side = there, snapshot.readable.address.schema
        self.then = read_catalogue(*self.before).tables
        self.own_types = {name for (name,) in self.here[0].execute(_OWN_TYPES)}

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
            there = self._present(self.before, self.schema.table_of(entity), keys)
            refuse_a_later_snapshot(self.named, self.run, entity, there)
        self._refuse_another_database()
        updated = {entity: dict(touched) for entity, touched in rollback.updated.items()}
        if self.run.importer == "guide":
            # Where only a row's own time told that the run changed it, a later change hides that it did.
            for entity, key, _, touched_since in rollback.mapped:
                if touched_since:
                    updated.setdefault(entity, {})[key] = touched_since
        for entity, touched in sorted(updated.items()):
            self._restore(CONCEPT_OF[entity], touched, entity)
        self._mappings()
        states = {state.key: state.by for state in rollback.states if state.written and not state.made}
        if sync_state and states:
            self._restore("sync_state", states)

    def _restore(self, concept: str, touched: dict[str, str], entity: str = "") -> None:
        """Decide, for rows that the run updated, which columns go back; `touched` names who wrote to them after it."""
        resolved, connection = self.schema.resolved[concept], self.rollback.connection
        table, bookkeeping = resolved.table, resolved.spelling.get("updated_at")
        described = rows.table_of(self.schema.catalogue, table)
        seen = rows.digest(described, tuple(described.columns), "t")
        names = [
            name
            for name, column in described.columns.items()
            if name in self.then[table].columns and not column.generated
        ]
        for chunk in rows.in_chunks(sorted(touched), _CHUNK):
            now = rows_by_key(*self.here, described, chunk, names, seen)
            before = rows_by_key(*self.before, described, chunk, names)
            self._translate(described, now, before)
            known = testimonies(connection, self.schema, self.run, entity, chunk) if entity else {}
            for key in now.keys() - before.keys():
                what = "updated by the run, and not in the snapshot"
                self.draft.unresolved(table, key, what, "an older snapshot, or the run that made it")
            going: dict[str, dict[str, str | None]] = {}
            for key in chunk:
                if key not in now or key not in before:
                    continue
                was, has, by = before[key].values, now[key].values, touched[key]
                going[key] = {
                    each.column: was[each.column]
                    for each in judge(was, has, [known[key]] if key in known else [], by, bookkeeping)
                    if self._goes_back(table, key, each, was[each.column], has[each.column], by)
                }
                if bookkeeping and bookkeeping in was and not by:
                    # When it was written goes back with a row that nobody touched.
                    going[key][bookkeeping] = was[bookkeeping]
            self.draft.update(table, going)

    def _goes_back(
        self, table: str, key: str, verdict: Verdict, was: str | None, now: str | None, by: str
    ) -> bool:
        """Whether a column goes back to what it was; list it where it does not, or somebody else wrote it too."""
        name = verdict.column
        if verdict.outcome is Outcome.KEPT:
            self.draft.keep(table, key, f"{name} was changed by {by or 'somebody'}, not by the run")
        elif verdict.outcome is Outcome.CONFLICT:
            left, why = verdict.conflict(by)
            self.draft.conflict(table, key, name, was, left, now, f"{why}; {self.on_conflict}")
        restore = self.on_conflict == "restore" and verdict.outcome is Outcome.CONFLICT
        return restore or verdict.outcome is Outcome.RESTORE

    def _translate(
        self, described: CatalogueTable, now: Mapping[str, Current], before: Mapping[str, Current]
    ) -> None:
        """Write the snapshot's values as the columns of today hold them; what none can hold is unresolved, and left out."""
        table, then = described.name, self.then[described.name].columns
        if gone := [name for name in then if name not in described.columns]:
            note = f"{table} has no column {' and no '.join(map(repr, gone))} any more, as in the snapshot: it was dropped or"
            note += " renamed since. What the run did to it is not taken back."
            self.draft.notes[:] = dict.fromkeys([*self.draft.notes, note])
        for name, kind in described.columns.items():
            was = then.get(name)
            if was is None or kind.generated:
                continue
            if (was.type, was.nullable) == (kind.type, kind.nullable) and kind.type not in self.own_types:
                continue
            held_then = {value for row in before.values() if (value := row.values[name]) is not None}
            known: dict[str | None, str | None] = {None: None} if kind.nullable else {}
            known.update(self._read(kind.type, held_then).items())
            for key, row in before.items():
                held = row.values.pop(name)
                if held in known:
                    row.values[name] = known[held]
                elif key in now and now[key].values[name] != held:
                    shown = "empty" if held is None else repr(held) if kind.is_enum else "something"
                    what = f"{name} was {shown} before the run, and today's {name} ({kind.type}) does not take that"
                    how = "a migration that lets it, or a value by hand"
                    self.draft.unresolved(table, key, what, how, in_part=True)

    def _read(self, type: str, values: Iterable[str]) -> dict[str, str]:
        """Return values as a type of today spells them, without those that it cannot hold."""
        wanted = sorted(values)
        query = sql.SQL("SELECT v, v::{}::text FROM unnest(%s::text[]) v").format(sql.SQL(type))
        try:
            with self.here[0].transaction():
                read = dict(self.here[0].execute(query, [wanted]).fetchall())
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
            if len(wanted) == 1:
                return {}
            half = len(wanted) // 2
            return self._read(type, wanted[:half]) | self._read(type, wanted[half:])
        # A cast cuts text off where an assignment would refuse it.
        cut = type.startswith("character")
        return {old: new for old, new in read.items() if not cut or old.rstrip() == new.rstrip()}

    def _mappings(self) -> None:
        """Bring back the mappings that were there; those that were not go with the run, onto whatever record they lead."""
        rollback, own = self.rollback, set(self.rollback.own)
        if not rollback.written:
            return
        table = self.schema.resolved["mappings"].table
        here = self._present(self.before, table, sorted(own.union(rollback.written)))
        self._restore("mappings", {key: each.by for key, each in rollback.written.items() if key in here})
        rollback.turned = {
            key for key in own & here if key in rollback.written and not rollback.written[key].by
        }
        mapped: dict[tuple[str, str], set[str]] = {}
        for key in rollback.written.keys() - here - own:
            each = rollback.written[key]
            # Its time alone is weak; that it was not there before the run either makes it likely.
            strength = max(each.strength, Strength.likely)
            if each.by:
                self.draft.keep(table, key, f"made by the run, but {each.by} changed it since")
            elif (self.schema.table_of(each.entity), each.target) in rollback.kept:
                self.draft.keep(table, key, LEADS_TO_KEPT)
            elif strength >= rollback.min_evidence:
                own.add(key)
                mapped.setdefault((each.entity, each.target), set()).add(each.wa_id)
            else:
                what = f"mapping of {each.entity} {each.wa_id}, new since the snapshot; only its time ties it to the run"
                self.draft.unresolved(table, key, what, f"--min-evidence {strength.name}")
        rollback.own = sorted(own - here)
        theirs = {(entity, key) for entity, (keys, _) in rollback.created.items() for key in keys if mapped}
        theirs |= {(entity, key) for entity, touched in rollback.updated.items() for key in touched}
        for entity, key in mapped.keys() - theirs:
            wa_ids = ", ".join(sorted(mapped[entity, key]))
            self.draft.keep(self.schema.table_of(entity), key, only_mapped(wa_ids))

    def _refuse_another_database(self) -> None:
        """Refuse one that shares no record with this database, unless it was taken here or neither had any."""
        strangers = False
        for entity in ENTITIES:
            if self.schema.has(CONCEPT_OF[entity]):
                table = self.schema.table_of(entity)
                ours = sorted(self.rollback.updated.get(entity, ()))[:_ENOUGH] or self._older(entity, table)
                theirs = self._some(self.before, table, sql.SQL("true"))
                if self._present(self.before, table, ours) or self._present(self.here, table, theirs):
                    return
                strangers = strangers or bool(ours or theirs)
        taken_here = self._was_taken_here()
        if taken_here is False or (strangers and not taken_here):
            raise Refused(
                f"{self.named} (of database {self.snapshot.taken_from!r}) is of another database: it has none of the records that were"
                " here before the run.",
                "Give one of this database.",
            )

    def _was_taken_here(self) -> bool | None:
        """Whether the audit log knows the archive, or its manifest names this database; None where neither says."""
        known = "SELECT 1 FROM audit WHERE metadata ->> 'sha256' = %(sha256)s LIMIT 1"
        digest = self.snapshot.sha256
        if digest and ask(self.rollback.connection, self.schema, known, {"sha256": digest}).fetchone():
            return True
        if self.snapshot.manifest is None:
            return None
        theirs, ours = self.snapshot.manifest.target, self.draft.context.target
        if theirs.system_identifier != ours.system_identifier:
            return False
        return True if theirs.database == ours.database else None

    def _older(self, entity: str, table: str) -> list[str]:
        """Return some keys of rows that the run did not make, and older than it where that is known."""
        made = [*self.rollback.created.get(entity, ([], []))[0]]
        made += [key for name, key in self.rollback.kept if name == table]
        described = rows.table_of(self.schema.catalogue, table)
        name = rows.key_of(described)
        condition = sql.SQL("{} <> ALL({}::{}[])").format(
            sql.Identifier(name), sql.Literal(rows.as_array(made)), sql.SQL(described.columns[name].type)
        )
        created = self.schema.resolved[CONCEPT_OF[entity]].spelling.get("created_at")
        if created and self.run.started:
            started = sql.Literal(self.run.started)
            condition += sql.SQL(" AND {} < {}").format(sql.Identifier(created), started)
        return self._some(self.here, table, condition)

    def _some(self, side: Side, table: str, condition: sql.Composable) -> list[str]:
        key = rows.key_of(rows.table_of(self.schema.catalogue, table))
        query = sql.SQL("SELECT {}::text FROM {} WHERE {} ORDER BY 1 LIMIT {}").format(
            sql.Identifier(key), sql.Identifier(side[1], table), condition, _ENOUGH
        )
        return [key for (key,) in side[0].execute(query)]

    def _present(self, side: Side, table: str, keys: Sequence[str]) -> set[str]:
        described = rows.table_of(self.schema.catalogue, table)
        return {key for chunk in rows.in_chunks(keys) for key in rows_by_key(*side, described, chunk, ())}


def refuse_a_later_snapshot(named: str, run: Run, entity: str, made: set[str]) -> None:
    """Refuse a snapshot that has what the run created: it was taken when the run had begun."""
    if made:
        raise Refused(
            f"{named} is not from before run {run.run}: it has {len(made):,} of the {entity} records that the run created,"
            f" {min(made)} for one.",
            "Give one that was taken before it began.",
        )
