"""What is put back must stand on its own: nothing that refers to a row which does not come back, nothing twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from workbench.history.differences import Comparison, Kind, Shape, Side, Values, rows_of
from workbench.murmurant.references import Reference, References
from workbench.plans.draft import Draft
from workbench.plans.rows import as_array, in_chunks

_CHUNK = 100_000  # keys

Columns = dict[str, tuple[str | None, str | None]]
"""Column to what the snapshot has, and what is put back."""


@dataclass
class Back:
    """What was done since a snapshot, by what becomes of it after a restore.

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
    """

    inserts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    updates: dict[str, dict[str, Columns]] = field(default_factory=lambda: defaultdict(dict))
    deletes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    left: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def by_kind(self) -> dict[Kind, dict[str, set[str]]]:
        """The rows that are put back, by how they differ and by table."""
        updates = {table: set(rows) for table, rows in self.updates.items()}
        return {"added": self.inserts, "changed": updates, "removed": self.deletes}


@dataclass(frozen=True)
class Standing:
    """Takes out what rests on a row that does not come back, and what the snapshot has no place for.

    A registration of a member whom only the bad run made cannot be put back; nor can the person who was
    entered under an address that the snapshot's own member has. Each is listed as a conflict.
    """

    comparison: Comparison
    before: Side
    graph: References
    back: Back
    draft: Draft

    def leave_out_the_rest(self) -> None:
        """Take out whatever cannot stand, until all that is left can."""
        catalogue, back = self.graph.schema.catalogue, self.back
        out = 1
        while out:
            out = 0
            for reference in self.graph.lasting:
                out += self._leave_out_resting(reference) + self._keep_needed(reference)
            for table in sorted(back.inserts.keys() | back.updates.keys()):
                described, there = catalogue.tables[table], self.before.catalogue.tables[table].columns
                for unique in described.unique:
                    if unique != described.primary_key and set(unique) <= there.keys():
                        out += self._leave_out_twins(table, unique)

    def clash(self, table: str, key: str, reason: str, column: str = "", now: str | None = None) -> None:
        """List a row that cannot be put back."""
        self.draft.conflict(table, key, column, None, None, now, reason)

    def _leave_out(self, table: str, key: str, reason: str, column: str = "", now: str | None = None) -> int:
        """Leave out a row that was to be inserted."""
        self.back.inserts[table].discard(key)
        self.back.left[table][key] = "cannot come back"
        self.clash(table, key, reason, column, now)
        return 1

    def _withdraw(self, table: str, key: str, column: str, reason: str) -> int:
        """Leave one column as the snapshot has it."""
        was, now = self.back.updates[table][key].pop(column)
        self.draft.conflict(table, key, column, was, None, now, reason)
        if not self.back.updates[table][key]:
            del self.back.updates[table][key]
        return 1

    def _leave_out_resting(self, reference: Reference) -> int:
        """Leave out rows to be inserted, and values to be put back, that refer to a row which does not come back."""
        child, parent, column = reference.child, reference.parent, reference.column
        kind, gone, out = reference.kind_column, self.back.left.get(parent), 0
        if not gone:
            return 0
        names = [column, kind] if kind else [column]
        for key, values in self._values(child, sorted(self.back.inserts.get(child, ())), names):
            to = values[column]
            if to in gone and not (kind and values[kind] not in reference.kinds):
                reason = f"rests on {parent} {to}, which {gone[to]} and does not come back"
                out += self._leave_out(child, key, reason, column, to)
        for key, columns in sorted(self.back.updates.get(child, {}).items()):
            new = columns.get(column, (None, None))[1]
            if new in gone:
                reason = f"leads to {parent} {new}, which {gone[new]} and does not come back"
                out += self._withdraw(child, key, column, reason)
        return out

    def _keep_needed(self, reference: Reference) -> int:
        """Keep rows that somebody deleted, where a row of the snapshot goes on referring to them."""
        going, child, column = self.back.deletes.get(reference.parent), reference.child, reference.column
        out = 0
        if not going or child not in self.before.tables or len(self._shape(child).key) != 1:
            return 0
        for chunk in in_chunks(sorted(going), _CHUNK):
            names = (column, reference.kind_column) if reference.kind_column else (column,)
            for key, (to, *kind) in self._holding(child, (column,), [(key,) for key in chunk], names):
                put = self.back.updates.get(child, {}).get(key, {}).get(column)
                if (
                    to not in going
                    or key in self.back.deletes.get(child, ())
                    or (kind and kind[0] not in reference.kinds)
                    or (put and put[1] != to)
                ):
                    continue
                going.discard(to)
                self.clash(
                    reference.parent,
                    to,
                    f"was deleted since, but {child} {key} refers to it again ({column})",
                )
                out += 1
        return out

    def _leave_out_twins(self, table: str, unique: tuple[str, ...]) -> int:
        """Leave out rows whose place a row of the snapshot has, by a unique key of the table."""
        out, inserts, updates = 0, self.back.inserts.get(table, set()), self.back.updates.get(table, {})
        setting = {key for key, columns in updates.items() if set(unique) & columns.keys()}
        for chunk in in_chunks(sorted(inserts | setting), _CHUNK):
            wanted = {}
            for key, values in self._values(table, chunk, unique):
                # What stays of a changed row as the snapshot has it counts as well.
                put = {name: new for name, (_, new) in updates.get(key, {}).items()}
                wanted[key] = tuple(put.get(name, values[name]) for name in unique)
            holders = defaultdict(list)
            for key, place in self._holding(table, unique, sorted({*wanted.values()}, key=str), unique):
                moves = set(unique) & updates.get(key, {}).keys()
                if not moves and key not in self.back.deletes.get(table, ()):
                    holders[place].append(key)
            for key, place in wanted.items():
                holder = next((holder for holder in holders[place] if holder != key), None)
                if holder is None:
                    continue
                what = f"the snapshot's {table} {holder} has the same {', '.join(unique)}"
                if key in inserts:
                    out += self._leave_out(table, key, f"was added since, but {what}")
                    continue
                for name in sorted(set(unique) & updates[key].keys()):
                    out += self._withdraw(table, key, name, what)
        return out

    def _shape(self, table: str) -> Shape:
        return self.comparison.tables[table].shape

    def _values(self, table: str, keys: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, Values]]:
        """Yield columns of some rows as they are now, in the order of their keys."""
        for chunk in in_chunks(keys, _CHUNK):
            values = rows_of(self.comparison.now, self._shape(table), chunk, names)
            yield from ((key, values[key]) for key in chunk if key in values)

    def _holding(
        self,
        table: str,
        unique: Sequence[str],
        places: Sequence[tuple[str | None, ...]],
        names: Sequence[str],
    ) -> list[tuple[str, tuple[str | None, ...]]]:
        """Return which rows of the snapshot hold some values in some columns, and more columns of theirs."""
        complete = [place for place in places if None not in place]
        if not complete:
            return []
        cells = [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names]
        query = sql.SQL("SELECT {}, {} FROM {} t WHERE ({}) IN (SELECT * FROM unnest({})) ORDER BY 1").format(
            self._shape(table).key_text,
            sql.SQL(", ").join(cells),
            self.before.place(table),
            sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in unique),
            sql.SQL(", ").join(
                sql.SQL("{}::text[]").format(sql.Literal(as_array(values)))
                for values in zip(*complete, strict=True)
            ),
        )
        return [(key, tuple(values)) for key, *values in self.before.connection.execute(query)]
