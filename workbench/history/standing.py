"""What is put back must stand on its own: nothing that refers to a row which does not come back, nothing twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from workbench.history.differences import KINDS, Comparison, Kind, Side, Values, rows_of
from workbench.murmurant.references import Reference, References
from workbench.plans.draft import Draft
from workbench.plans.rows import as_array, in_chunks

_CHUNK = 100_000  # keys

Columns = dict[str, tuple[str | None, str | None]]
"""Column to what the snapshot has, and what is put back."""


@dataclass(frozen=True)
class Standing:
    """What is put back; and takes out of it what rests on a row that does not come back, and what has no place.

    A registration of a member whom only the bad run made cannot be put back; nor can the person who was
    entered under an address that the snapshot's own member has. Each is listed as a conflict.

    Attributes
    ----------
    back : dict
        How rows differ, to table, to the rows that are put back: what was ``added`` is inserted, what was ``removed``
        goes again; of what was ``changed``, column by column what the snapshot has, and what is put back.
    left : dict of str to dict of str to str
        Rows that are there now and do not come back, and why: what refers to one cannot come back either.
    """

    comparison: Comparison
    graph: References
    draft: Draft
    back: dict[Kind, dict[str, dict[str, Columns]]] = field(
        default_factory=lambda: {kind: defaultdict(dict) for kind in KINDS}
    )
    left: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def leave_out_the_rest(self, before: Side) -> None:
        """Take out whatever cannot stand, until all that is left can; `before` is the snapshot."""
        out = 1
        while out:
            out = 0
            for reference in self.graph.lasting:
                out += self._leave_out_resting(reference) + self._keep_needed(before, reference)
            for table in sorted(self.back["added"].keys() | self.back["changed"].keys()):
                described, there = self.graph.schema.catalogue.tables[table], before.catalogue.tables[table]
                for unique in described.unique:
                    if unique != described.primary_key and set(unique) <= there.columns.keys():
                        out += self._leave_out_twins(before, table, unique)

    def _take_out(self, table: str, key: str, columns: Sequence[str], reason: str, now: str | None) -> int:
        """Leave a row out that was to be inserted, or columns of it as the snapshot has them."""
        if self.back["added"][table].pop(key, None) is not None:
            self.left[table][key] = "cannot come back"
            self.draft.conflict(table, key, columns[0] if now else "", None, None, now, reason)
            return 1
        changed = self.back["changed"][table][key]
        for name in sorted(set(columns) & changed.keys()):
            was, put = changed.pop(name)
            self.draft.conflict(table, key, name, was, None, put, reason)
        if not changed:
            del self.back["changed"][table][key]
        return 1

    def _leave_out_resting(self, reference: Reference) -> int:
        """Leave out rows to be inserted, and values to be put back, that refer to a row which does not come back."""
        child, parent, column, kind = (
            reference.child,
            reference.parent,
            reference.column,
            reference.kind_column,
        )
        gone = self.left.get(parent)
        if not gone:
            return 0
        names = [column, kind] if kind else [column]
        resting = [
            (key, values[column])
            for key, values in self._values(child, sorted(self.back["added"].get(child, ())), names)
            if not (kind and values[kind] not in reference.kinds)
        ]
        changed = sorted(self.back["changed"].get(child, {}).items())
        resting += [(key, columns[column][1]) for key, columns in changed if column in columns]
        return sum(
            self._take_out(
                child, key, [column], f"leads to {parent} {to}, which {gone[to]} and does not come back", to
            )
            for key, to in resting
            if to in gone
        )

    def _keep_needed(self, before: Side, reference: Reference) -> int:
        """Keep rows that somebody deleted, where a row of the snapshot goes on referring to them."""
        child, column, kind = reference.child, reference.column, reference.kind_column
        going, out = self.back["removed"].get(reference.parent), 0
        if not going or child not in before.tables or len(self._key(child)) != 1:
            return 0
        for chunk in in_chunks(sorted(going), _CHUNK):
            names = (column, kind) if kind else (column,)
            for key, (to, *of) in self._holding(before, child, (column,), [(key,) for key in chunk], names):
                put = self.back["changed"].get(child, {}).get(key, {}).get(column)
                stays = key not in self.back["removed"].get(child, ()) and not (put and put[1] != to)
                if stays and to in going and not (of and of[0] not in reference.kinds):
                    del going[to]
                    why = f"was deleted since, but {child} {key} refers to it again ({column})"
                    self.draft.conflict(reference.parent, to, "", None, None, None, why)
                    out += 1
        return out

    def _leave_out_twins(self, before: Side, table: str, unique: tuple[str, ...]) -> int:
        """Leave out rows whose place a row of the snapshot has, by a unique key of the table."""
        out, updates, wanted = 0, self.back["changed"].get(table, {}), set(unique)
        setting = {key for key, columns in updates.items() if wanted & columns.keys()}
        for chunk in in_chunks(sorted(self.back["added"].get(table, {}).keys() | setting), _CHUNK):
            places = {}
            for key, values in self._values(table, chunk, unique):
                # What stays of a changed row as the snapshot has it counts as well.
                put = {name: new for name, (_, new) in updates.get(key, {}).items()}
                places[key] = tuple(put.get(name, values[name]) for name in unique)
            holders = defaultdict(list)
            taken = sorted({*places.values()}, key=str)
            for key, place in self._holding(before, table, unique, taken, unique):
                if not wanted & updates.get(key, {}).keys() and key not in self.back["removed"].get(
                    table, ()
                ):
                    holders[place].append(key)
            for key, place in places.items():
                for holder in [holder for holder in holders[place] if holder != key][:1]:
                    reason = f"the snapshot's {table} {holder} has the same {', '.join(unique)}"
                    out += self._take_out(table, key, unique, reason, None)
        return out

    def _key(self, table: str) -> tuple[str, ...]:
        return self.comparison.tables[table].key

    def _values(self, table: str, keys: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, Values]]:
        """Yield columns of some rows as they are now, in the order of their keys."""
        for chunk in in_chunks(keys, _CHUNK):
            values = rows_of(self.comparison.now, self.comparison.tables[table], chunk, names)
            yield from ((key, values[key]) for key in chunk if key in values)

    def _holding(
        self,
        before: Side,
        table: str,
        unique: Sequence[str],
        places: Sequence[tuple[str | None, ...]],
        names: Sequence[str],
    ) -> list[tuple[str, tuple[str | None, ...]]]:
        """Return which rows of the snapshot hold some values in some columns, and more columns of theirs."""
        complete = [place for place in places if None not in place]
        if not complete:
            return []
        cells, held = (
            sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in each)
            for each in (names, unique)
        )
        arrays = (sql.Literal(as_array(values)) for values in zip(*complete, strict=True))
        query = sql.SQL("SELECT {}, {} FROM {} t WHERE ({}) IN (SELECT * FROM unnest({})) ORDER BY 1").format(
            *(self.comparison.tables[table].key_text, cells, before.place(table), held),
            sql.SQL(", ").join(sql.SQL("{}::text[]").format(array) for array in arrays),
        )
        return [(key, tuple(values)) for key, *values in before.connection.execute(query)]
