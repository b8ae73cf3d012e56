"""What was done since a snapshot, sorted: the bad runs' doing, which a restore is for, and everybody else's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from workbench.fixes.ledger import Conflict, Note, Open
from workbench.fixes.pointers import Pointer, written_mappings, written_sync_states
from workbench.fixes.replay.values import Change, Columns, Judge
from workbench.fixes.restoring import OnConflict
from workbench.investigate.differences.authors import Authors
from workbench.investigate.differences.comparing import Comparing
from workbench.investigate.differences.found import TableDifference
from workbench.investigate.records import record_fates
from workbench.murmurant.importers import Run, Strength
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES

_CHUNK = 100_000  # keys
_VALUES = 5_000  # whole rows of two databases, so fewer at a time than keys

BAD_ROW = "was made by the run"


@dataclass
class Doings:
    """What was done since the snapshot, by what becomes of it.

    Attributes
    ----------
    inserts : dict of str to set of str
        Table to the rows that come back.
    updates : dict of str to dict of str to dict
        Table to row to column: what the snapshot has, and what is put back.
    deletes : dict of str to set of str
        Rows of the snapshot that go again.
    left : dict of str to dict of str to str
        Rows that are there now and do not come back, and why: what refers to one cannot come back either.
    conflicts, unresolved, kept, notes : list
        As a plan lists them.
    """

    inserts: dict[str, set[str]] = field(default_factory=dict)
    updates: dict[str, dict[str, Columns]] = field(default_factory=dict)
    deletes: dict[str, set[str]] = field(default_factory=dict)
    left: dict[str, dict[str, str]] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    unresolved: list[Open] = field(default_factory=list)
    kept: list[Note] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many rows are put back."""
        return sum(len(rows) for each in (self.inserts, self.updates, self.deletes) for rows in each.values())

    def clash(self, table: str, key: str, reason: str, column: str = "", now: str | None = None) -> None:
        """List something that cannot be put back."""
        self.conflicts.append((table, key, column, None, None, now, reason))


@dataclass(frozen=True)
class Sorting:
    """Sorts what differs between a snapshot and the database by whose doing it is.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To the live database.
    compared : Comparing
        Both sides, held open.
    bad : sequence of Run
        The runs whose doing is not wanted back; none for a list of everything.
    runs : sequence of Run
        Every run that is known.
    """

    connection: Connection
    schema: Schema
    compared: Comparing
    authors: Authors
    bad: Sequence[Run]
    runs: Sequence[Run]
    on_conflict: OnConflict = "keep"
    min_evidence: Strength = Strength.likely
    done: Doings = field(default_factory=Doings)

    def sort(self) -> Doings:
        """Go through every table that differs."""
        concepts = {found.table: name for name, found in self.schema.resolved.items()}
        entities = {CONCEPT_OF[entity]: entity for entity in ENTITIES}
        for each in self.compared.different:
            shape, concept = each.shape, concepts.get(each.table)
            if shape is None or len(shape.key) != 1:
                self._cannot(each)
                continue
            if shape.only_now or shape.retyped:
                names = ", ".join((*shape.only_now, *shape.retyped))
                self.done.notes.append(
                    f"{each.table}: columns that the snapshot has not so ({names}) are not put back."
                )
            if concept in entities:
                self._records(each, entities[concept])
            elif concept == "mappings":
                self._mappings(each)
            elif concept == "sync_state":
                states = [written_sync_states(self.connection, self.schema, run) for run in self.bad]
                self._written(each, {key: by for state in states for key, by in state.items()})
            elif concept == "audit":
                self._history(each)
            else:
                self._all(each)
            self._removed(each)
        return self.done

    def _records(self, each: TableDifference, entity: str) -> None:
        for chunk in each.added.chunks(_CHUNK):
            made, weak, changed = self._fates(entity, chunk)
            for key in sorted(changed):
                self.done.clash(
                    each.table,
                    key,
                    "added since, and changed by the run after that: it is put back as it is now, for what it was"
                    " in between is not known",
                )
            for key, by in sorted(made.items()):
                self._leave(each.table, key, BAD_ROW)
                if by:
                    self.done.clash(
                        each.table, key, f"made by the run, but {by} changed it since: that goes with it"
                    )
            self._too_weak(each.table, weak, "created")
            for key in weak:
                self._leave(each.table, key, "may have been made by the run")
            self._insert(each.table, [key for key in chunk if key not in made and key not in weak])
        for chunk in each.changed.chunks(_VALUES):
            _, weak, updated = self._fates(entity, chunk)
            self._too_weak(each.table, weak, "updated")
            judge = Judge(self.connection, self.schema, entity, self.bad, self._good(), self.on_conflict)
            self._judge(each, [key for key in chunk if key not in weak], updated, judge)

    def _fates(
        self, entity: str, keys: Sequence[str]
    ) -> tuple[dict[str, str], dict[str, Strength], dict[str, str]]:
        """Return the bad runs' own rows, those tied to them too weakly, and those they updated; with who came after."""
        made: dict[str, str] = {}
        weak: dict[str, Strength] = {}
        updated: dict[str, str] = {}
        wanted, names = set(keys), {run.run for run in self.bad}
        for run in self.bad:
            others = [each for each in self.runs if each is not run]
            for fates in record_fates(self.connection, self.schema, run, others, list(keys)):
                concerned = wanted.intersection(key for key in fates.record_ids if key is not None)
                if fates.entity != entity or not concerned:
                    continue
                by = "" if fates.touched_since in names else fates.touched_since
                hidden = fates.action == "mapped" and run.importer == "guide" and by
                if fates.action not in ("created", "updated") and not hidden:
                    continue
                if fates.strength < self.min_evidence:
                    weak |= dict.fromkeys(concerned, fates.strength)
                elif fates.action == "created":
                    made |= dict.fromkeys(concerned, by)
                else:
                    updated |= dict.fromkeys(concerned, by)
        return made, {key: each for key, each in weak.items() if key not in made | updated}, updated

    def _good(self) -> list[Run]:
        names = {run.run for run in self.bad}
        return [each for each in self.authors.since if each.run not in names and not each.rolled_back]

    def _too_weak(self, table: str, weak: dict[str, Strength], what: str) -> None:
        for key, strength in sorted(weak.items()):
            self.done.unresolved.append(
                (
                    table,
                    key,
                    f"{what} by the run on {strength.name} evidence only; it is not put back",
                    f"--min-evidence {strength.name}, or a report file that names it",
                )
            )

    def _mappings(self, each: TableDifference) -> None:
        written: dict[str, Pointer] = {}
        for run in self.bad:
            written |= written_mappings(self.connection, self.schema, run)
        for chunk in each.added.chunks(_CHUNK):
            for key in sorted(set(chunk) & written.keys()):
                self._leave(each.table, key, BAD_ROW)
                if by := written[key].by:
                    self.done.clash(
                        each.table,
                        key,
                        f"made by the run for WA id {written[key].wa_id}, but {by} corrected it since",
                    )
            self._insert(each.table, [key for key in chunk if key not in written])
        self._written(each, {key: pointer.by for key, pointer in written.items()}, added=False)

    def _written(self, each: TableDifference, written: dict[str, str], *, added: bool = True) -> None:
        """Take rows of which it is known who wrote them last, but not what."""
        if added:
            for chunk in each.added.chunks(_CHUNK):
                for key in sorted(set(chunk) & written.keys()):
                    self._leave(each.table, key, BAD_ROW)
                self._insert(each.table, [key for key in chunk if key not in written])
        judge = Judge(self.connection, self.schema, None, (), (), self.on_conflict)
        for chunk in each.changed.chunks(_VALUES):
            self._judge(each, chunk, {key: by for key, by in written.items() if key in chunk}, judge)

    def _history(self, each: TableDifference) -> None:
        """Take the audit log: everybody's entries come back but the runs' own, and the workbench's."""
        names = {run.run for run in self.bad}
        own = 0
        for chunk in each.added.chunks(_CHUNK):
            by = self.authors.of(each.table, "added", chunk)
            back = []
            for key in chunk:
                who = by[key].who if key in by else ""
                if who == "the workbench":
                    own += 1
                elif who not in names:
                    back.append(key)
            self._insert(each.table, back)
        if own:
            self.done.notes.append(
                f"{own:,} audit entries of the workbench's own are not put back: they tell of what is restored away."
            )
        self._changed(each)

    def _all(self, each: TableDifference) -> None:
        for chunk in each.added.chunks(_CHUNK):
            self._insert(each.table, chunk)
        self._changed(each)

    def _changed(self, each: TableDifference) -> None:
        judge = Judge(self.connection, self.schema, None, (), (), self.on_conflict)
        for chunk in each.changed.chunks(_VALUES):
            self._judge(each, chunk, {}, judge)

    def _judge(
        self, each: TableDifference, keys: Sequence[str], updated: dict[str, str], judge: Judge
    ) -> None:
        found: list[Change] = judge.decide(self.compared, each, keys, updated)
        for change in found:
            self.done.conflicts += change.conflicts
            if change.columns:
                self.done.updates.setdefault(each.table, {})[change.key] = change.columns

    def _removed(self, each: TableDifference) -> None:
        names = {run.run for run in self.bad}
        for chunk in each.removed.chunks(_CHUNK):
            by = {
                key
                for key, run in ((key, self.authors.entries.of_runs.get((each.table, key))) for key in chunk)
                if run in names
            }
            gone = [key for key in chunk if key not in by]
            if gone:
                self.done.deletes.setdefault(each.table, set()).update(gone)

    def _cannot(self, each: TableDifference) -> None:
        if not each.rows:
            return
        reason = "it is not in the snapshot" if each.before is None else "it is gone"
        if each.shape is not None:
            reason = "its rows have no key of one column"
        self.done.unresolved.append(
            (
                each.table,
                "",
                f"{each.rows:,} rows differ, and {reason}",
                "the migration that made the table, or by hand from the safety backup",
            )
        )

    def _insert(self, table: str, keys: Collection[str]) -> None:
        if keys:
            self.done.inserts.setdefault(table, set()).update(keys)

    def _leave(self, table: str, key: str, why: str) -> None:
        self.done.left.setdefault(table, {})[key] = why
