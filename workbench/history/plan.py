"""Plan what is put back after a restore (guide §3, level 2): planned before the restore, applied after it.

A restore loses everything since the snapshot. What is put back is what there would be if the bad runs had been rolled back
instead. The plan expects the snapshot's rows, so apply refuses it until the restored database has the live one's name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from workbench.errors import Refused
from workbench.history.authors import WORKBENCH, Authors
from workbench.history.differences import KINDS, Comparison, Kind, Side, TableDifference, Values, rows_of
from workbench.murmurant.catalogue import Catalogue
from workbench.murmurant.importers import REPLAYED, Run, Strength
from workbench.murmurant.references import Reference, References
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.plans.rows import as_array, in_chunks
from workbench.runs.evidence import writers
from workbench.runs.restoring import UNKNOWN, OnConflict, Restoration, testimonies
from workbench.runs.rollback import Rollback

_ROWS = 5_000  # whole rows of two databases at a time
_KEYS = 100_000

Columns = dict[str, tuple[str | None, str | None]]
"""Column to the snapshot's value and the value that is put back."""

Cells = tuple[str | None, ...]


class PutBack:
    """The rows that are put back, made consistent with the snapshot.

    A registration of a member whom only the bad run created cannot be put back, nor can a person whose e-mail address
    another member of the snapshot has. Each is listed as a conflict.

    Attributes
    ----------
    back : dict
        Kind of difference to table to rows: ``added`` rows are inserted, ``removed`` rows are deleted; of ``changed`` rows
        each column with the snapshot's value and the one that is put back.
    left : dict of str to dict of str to str
        Rows that exist now and are not put back, with the reason; what refers to them cannot be put back either.
    """

    def __init__(self, comparison: Comparison, graph: References, draft: Draft) -> None:
        self.comparison, self.graph, self.draft = comparison, graph, draft
        self.back = {kind: defaultdict[str, dict[str, Columns]](dict) for kind in KINDS}
        self.left = defaultdict[str, dict[str, str]](dict)

    def rows(self, kind: Kind, table: str) -> dict[str, Columns]:
        """Return the rows of a table of one kind."""
        return self.back[kind].get(table, {})

    def make_consistent(self, before: Side) -> None:
        """Remove rows and values that conflict with the snapshot (`before`), until none is left."""
        out = 1
        while out:
            out = 0
            for reference in self.graph.lasting:
                out += self._remove_dangling(reference) + self._keep_referenced(before, reference)
            for table in sorted(self.back["added"].keys() | self.back["changed"].keys()):
                described, was = self.graph.schema.catalogue.tables[table], before.catalogue.tables[table]
                for unique in described.unique:
                    if unique != described.primary_key and was.columns.keys() >= set(unique):
                        out += self._remove_duplicates(before, table, unique)

    def _remove(self, table: str, key: str, columns: Sequence[str], reason: str, now: str | None) -> int:
        """Do not insert a row, or keep the snapshot's values in some columns."""
        if self.back["added"][table].pop(key, None) is not None:
            self.left[table][key] = "cannot be put back"
            self.draft.conflict(table, key, columns[0] if now else "", None, None, now, reason)
            return 1
        changed = self.back["changed"][table][key]
        for name in sorted(set(columns) & changed.keys()):
            was, put = changed.pop(name)
            self.draft.conflict(table, key, name, was, None, put, reason)
        if not changed:
            del self.back["changed"][table][key]
        return 1

    def _remove_dangling(self, reference: Reference) -> int:
        """Remove rows and values that refer to a row which is not put back."""
        child, column, kind = reference.child, reference.column, reference.kind_column
        if not (gone := self.left.get(reference.parent)):
            return 0
        added = self._values(child, sorted(self.rows("added", child)), [column, kind] if kind else [column])
        dangling = [(key, row[column]) for key, row in added if not kind or row[kind] in reference.kinds]
        changed = sorted(self.rows("changed", child).items())
        dangling += [(key, columns[column][1]) for key, columns in changed if column in columns]
        out = 0
        for key, to in dangling:
            if to in gone:
                reason = f"refers to {reference.parent} {to}, which {gone[to]} and is not put back"
                out += self._remove(child, key, [column], reason, to)
        return out

    def _keep_referenced(self, before: Side, reference: Reference) -> int:
        """Keep rows that somebody deleted, where a row of the snapshot still refers to them."""
        child, column, kind = reference.child, reference.column, reference.kind_column
        going, out = self.rows("removed", reference.parent), 0
        if not going or child not in before.tables or len(self.comparison.tables[child].key) != 1:
            return 0
        names = (column, kind) if kind else (column,)
        for chunk in in_chunks(sorted(going), _KEYS):
            for key, (to, *of) in self._rows_with(before, child, (column,), [(key,) for key in chunk], names):
                put = self.rows("changed", child).get(key, {}).get(column)
                stays = key not in self.rows("removed", child) and (put is None or put[1] == to)
                if stays and to in going and (not of or of[0] in reference.kinds):
                    del going[to]
                    why = f"was deleted since, but {child} {key} refers to it again ({column})"
                    self.draft.conflict(reference.parent, to, "", None, None, None, why)
                    out += 1
        return out

    def _remove_duplicates(self, before: Side, table: str, unique: tuple[str, ...]) -> int:
        """Remove rows whose unique key a row of the snapshot already has."""
        out, updates, gone = 0, self.rows("changed", table), self.rows("removed", table)
        moving = {key for key, columns in updates.items() if columns.keys() & unique}
        for chunk in in_chunks(sorted(self.rows("added", table).keys() | moving), _KEYS):
            places: dict[str, Cells] = {}
            for key, row in self._values(table, chunk, unique):
                # The unchanged columns of a changed row are the snapshot's.
                put = {name: new for name, (_, new) in updates.get(key, {}).items()}
                places[key] = tuple(put.get(name, row[name]) for name in unique)
            holders: dict[Cells, list[str]] = defaultdict(list)
            for key, place in self._rows_with(
                before, table, unique, sorted({*places.values()}, key=str), unique
            ):
                if key not in moving and key not in gone:
                    holders[place].append(key)
            for key, place in places.items():
                if others := [holder for holder in holders.get(place, ()) if holder != key]:
                    reason = f"the snapshot's {table} {others[0]} has the same {', '.join(unique)}"
                    out += self._remove(table, key, unique, reason, None)
        return out

    def _values(self, table: str, keys: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, Values]]:
        """Yield columns of some rows as they are now, in key order."""
        for chunk in in_chunks(keys, _KEYS):
            values = rows_of(self.comparison.now, self.comparison.tables[table], chunk, names)
            yield from ((key, values[key]) for key in chunk if key in values)

    def _rows_with(
        self, before: Side, table: str, unique: Sequence[str], places: Sequence[Cells], names: Sequence[str]
    ) -> list[tuple[str, Cells]]:
        """Return the snapshot's rows with some values in some columns: key and the columns `names`."""
        complete = [place for place in places if None not in place]
        if not complete:
            return []
        shown, wanted = (
            sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in columns)
            for columns in (names, unique)
        )
        arrays = [sql.SQL("{}::text[]").format(as_array(column)) for column in zip(*complete, strict=True)]
        query = sql.SQL("SELECT {}, {} FROM {} t WHERE ({}) IN (SELECT * FROM unnest({})) ORDER BY 1").format(
            *(self.comparison.tables[table].key_text, shown, before.place(table), wanted),
            sql.SQL(", ").join(arrays),
        )
        return [(key, tuple(values)) for key, *values in before.connection.execute(query)]


class _Undoing(Draft):
    """Records what rolling the bad runs back would do to the database as it is; never becomes a plan."""

    def __init__(self, context: PlanContext) -> None:
        super().__init__(context, "rollback")
        self.gone = defaultdict[str, set[str]](set)
        self.restored = defaultdict[tuple[str, str], dict[str, str | None]](dict)
        self.weak = set[tuple[str, str]]()

    def delete(self, table: str, keys: Iterable[str]) -> None:
        self.gone[table].update(keys)

    def update(
        self, table: str, wanted: Mapping[str, Mapping[str, str | None]], *, together: Collection[str] = ()
    ) -> None:
        for key, columns in wanted.items():
            self.restored[table, key] |= columns


class Replay:
    """Separates the changes since a snapshot into those of the bad runs and all others, which are put back.

    Parameters
    ----------
    authors : Authors
        Both sides, open, and the authors of the differences.
    bad : sequence of Run
        The runs whose changes are not put back; none to list everything.
    known : sequence of Run
        Every known run.

    Attributes
    ----------
    back, left : dict
        What is put back and what is not: see `PutBack`.
    draft : Draft
        Of the plan, for the database that takes the live one's place.

    Raises
    ------
    Refused
        For a dry run, or a snapshot that is not from before the run.
    """

    def __init__(
        self,
        context: PlanContext,
        authors: Authors,
        bad: Sequence[Run],
        known: Sequence[Run],
        snapshot: str,
        on_conflict: OnConflict = "keep",
        min_evidence: Strength = Strength.likely,
    ) -> None:
        self.context, self.authors, self.comparison = context, authors, authors.comparison
        self.bad, self.snapshot, self.names = bad, snapshot, [run.run for run in bad]
        before = self.comparison.before
        self.draft = Draft(
            context,
            "replay",
            parameters={
                "snapshot": snapshot,
                "runs": self.names,
                "on_conflict": on_conflict,
                "min_evidence": min_evidence.name,
            },
            nothing=f"Nothing was done since {snapshot} except by {', '.join(self.names)} that can be put back",
            connection=before.connection if before else None,
            catalogue=_as_restored(before.catalogue, context.schema.catalogue) if before else None,
        )
        put_back = PutBack(self.comparison, context.references, self.draft)
        self.back, self.left = put_back.back, put_back.left
        undoing = self._undo(known, on_conflict, min_evidence)
        for difference in self.comparison.different:
            self._sort(difference, undoing)
        if before is not None:
            put_back.make_consistent(before)

    def plan(self, evidence: Iterable[str]) -> Plan:
        """Write the plan; `Refused` where nothing is put back."""
        with self.draft as draft:
            names = ", ".join(self.names)
            draft.reasons.append(
                f"Puts back, after a restore to {self.snapshot}, what was done since then, except by {names}."
            )
            draft.evidence += evidence
            notes = ["Apply it after the restore: it expects the restored rows."]
            unknown = sum(
                len(rows.keys() - self.authors.of(table, kind).keys())
                for kind, tables in self.back.items()
                for table, rows in tables.items()
            )
            if unknown:
                notes.append(f"Of {unknown:,} rows that are put back it is unknown who wrote them.")
            draft.notes[:0] = notes
            for table, rows in self.back["removed"].items():
                draft.delete(table, rows)
            for table, rows in sorted(self.back["added"].items()):
                difference = self.comparison.tables[table]
                for chunk in in_chunks(sorted(rows), _ROWS):
                    values = rows_of(self.comparison.now, difference, chunk, difference.types)
                    for key in chunk:
                        draft.insert(table, values[key])
            for table, rows in self.back["changed"].items():
                put = {key: {name: new for name, (_, new) in row.items()} for key, row in rows.items()}
                draft.update(table, put)
            runs = {"run_id": self.names[0]} if len(self.names) == 1 else {"runs": self.names}
            draft.log(REPLAYED, backup_file=self.snapshot, records_affected=draft.total, **runs)
        return draft.plan

    def _undo(self, known: Sequence[Run], on_conflict: OnConflict, min_evidence: Strength) -> _Undoing:
        """Record what rolling back the bad runs would do, and list its conflicts."""
        undoing, before = _Undoing(self.context), self.comparison.before
        for run in self.bad:
            if run.mode == "dry":
                raise Refused(f"{run.run} was a dry run, which wrote nothing.")
            # The later changes of another bad run are undone as well.
            others = [
                replace(other, rollbacks={"": {}}) if other.run in self.names else other
                for other in known
                if other is not run
            ]
            rollback = Rollback(undoing, run, others, min_evidence)
            side = (before.connection, before.catalogue.schema) if before else None
            Restoration(rollback, "The snapshot", side, on_conflict).bring_back(sync_state=True)
            rollback.delete(rollback.own_sync_states())
            undoing.weak |= rollback.weak
        self.draft.listed["conflict"] += undoing.listed["conflict"]
        self.draft.listed["unresolved"] += undoing.listed["unresolved"]
        for table, key, reason in undoing.listed["kept"]:
            difference = self.comparison.tables.get(str(table))
            if difference and key in difference.rows["added"]:
                self.draft.keep(str(table), str(key), str(reason))
        return undoing

    def _sort(self, difference: TableDifference, undoing: _Undoing) -> None:
        """Sort the differences of a table."""
        table, rows, left = difference.table, difference.rows, self.left[difference.table]
        reason = "" if len(difference.key) == 1 else "it has no key of one column"
        if difference.now is None or difference.before is None:
            reason = "it does not exist any more" if difference.now is None else "it is not in the snapshot"
        if reason:
            how = "the migration that made the table, or by hand from the safety backup"
            if difference.total:
                self.draft.unresolved(table, "", f"{difference.total:,} rows differ, and {reason}", how)
            return
        if columns := difference.only_now + difference.retyped:
            names = ", ".join(columns)
            self.draft.note(
                f"{table}: the columns {names} are not in the snapshot, or of another type, and are not put back."
            )
        left |= dict.fromkeys(undoing.gone[table], "was made by the run")
        left |= {key: "may have been made by the run" for name, key in undoing.weak if name == table}
        if self.authors.concepts.get(table) == "audit":
            self._leave_entries(table)
        self.back["added"][table].update((key, {}) for key in rows["added"] if key not in left)
        for chunk in in_chunks(rows["changed"], _ROWS):
            self._changed(difference, [key for key in chunk if (table, key) not in undoing.weak], undoing)
        by_runs = self.authors.deleted_by_run
        going = (key for key in rows["removed"] if by_runs.get((table, key)) not in self.names)
        self.back["removed"][table].update((key, {}) for key in going)

    def _leave_entries(self, table: str) -> None:
        """Exclude the audit entries of the bad runs and of the workbench."""
        for key, author in self.authors.of(table, "added").items():
            if author.who in self.names:
                self.left[table][key] = "was made by the run"
            elif author.who == WORKBENCH:
                self.left[table][key] = "is the workbench's own"
        if WORKBENCH in {author.who for author in self.authors.of(table, "added").values()}:
            self.draft.note(
                "The workbench's own audit entries are not put back: they describe the replaced state."
            )

    def _changed(self, difference: TableDifference, keys: Sequence[str], undoing: _Undoing) -> None:
        """Decide which columns of some changed rows are put back."""
        table = difference.table
        names = [name for name in difference.types if name not in difference.retyped]
        was, now = (
            rows_of(side, difference, keys, names) if side else {}
            for side in (self.comparison.before, self.comparison.now)
        )
        earlier = self._written_by_others(table, [key for key in keys if (table, key) in undoing.restored])
        for key in keys:
            before, after = was[key], dict(now[key])
            for name in undoing.restored.get((table, key), {}).keys() & after.keys():
                # What another run wrote before the bad one is kept.
                after[name] = earlier.get(key, {}).get(name, before[name])
            columns: Columns = {
                name: (old, after[name]) for name, old in before.items() if old != after[name]
            }
            if columns:
                self.back["changed"][table][key] = columns

    def _written_by_others(self, table: str, keys: Sequence[str]) -> dict[str, dict[str, str | None]]:
        """Return the values that the other runs since the snapshot wrote into some rows, by the evidence."""
        entity, written = self.authors.entities.get(table), dict[str, dict[str, str | None]]()
        good = [run for run in self.authors.since if run.run not in self.names and not run.rolled_back]
        connection, schema = self.context.connection, self.context.schema
        if entity is None or not keys or not good:
            return written
        names = {
            write.run.run
            for writes in writers(connection, schema, good, (), entity, keys).values()
            for write in writes
            if write.action == "updated" and write.strength >= Strength.likely
        }
        for run in good:
            known = testimonies(connection, schema, run, entity, keys) if run.run in names else {}
            for key, testimony in known.items():
                values = {name: value for name, value in testimony.written.items() if value is not UNKNOWN}
                written[key] = written.get(key, {}) | values
        return written


def _as_restored(before: Catalogue, live: Catalogue) -> Catalogue:
    """Return the catalogue of the restored database: the snapshot's columns with the live database's keys."""
    tables = {
        name: replace(table, primary_key=live.tables[name].primary_key, unique=live.tables[name].unique)
        for name, table in before.tables.items()
        if name in live.tables
    }
    return replace(before, tables=tables)
