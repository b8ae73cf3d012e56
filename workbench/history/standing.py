"""What is put back must stand on its own: nothing that refers to a row which does not come back, nothing twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from psycopg import sql

from workbench.history.differences import KINDS, Comparison, Kind, Side, Values, rows_of
from workbench.murmurant.references import Reference, References
from workbench.plans.draft import Draft
from workbench.plans.rows import as_array, in_chunks

_CHUNK = 100_000  # keys

Columns = dict[str, tuple[str | None, str | None]]
"""Column to what the snapshot has, and what is put back."""

Cells = tuple[str | None, ...]


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

    def __init__(self, comparison: Comparison, graph: References, draft: Draft) -> None:
        self.comparison, self.graph, self.draft = comparison, graph, draft
        self.back = {kind: defaultdict[str, dict[str, Columns]](dict) for kind in KINDS}
        self.left = defaultdict[str, dict[str, str]](dict)

    def rows(self, kind: Kind, table: str) -> dict[str, Columns]:
        """Return the rows of a table that are put back in one way."""
        return self.back[kind].get(table, {})

    def leave_out_the_rest(self, before: Side) -> None:
        """Take out whatever cannot stand, until all that is left can; `before` is the snapshot."""
        out = 1
        while out:
            out = 0
            for reference in self.graph.lasting:
                out += self._leave_out_resting(reference) + self._keep_needed(before, reference)
            for table in sorted(self.back["added"].keys() | self.back["changed"].keys()):
                described, was = self.graph.schema.catalogue.tables[table], before.catalogue.tables[table]
                for unique in described.unique:
                    if unique != described.primary_key and was.columns.keys() >= set(unique):
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
        child, column, kind = reference.child, reference.column, reference.kind_column
        if not (gone := self.left.get(reference.parent)):
            return 0
        added = self._values(child, sorted(self.rows("added", child)), [column, kind] if kind else [column])
        resting = [(key, row[column]) for key, row in added if not kind or row[kind] in reference.kinds]
        changed = sorted(self.rows("changed", child).items())
        resting += [(key, columns[column][1]) for key, columns in changed if column in columns]
        out = 0
        for key, to in resting:
            if to in gone:
                reason = f"leads to {reference.parent} {to}, which {gone[to]} and does not come back"
                out += self._take_out(child, key, [column], reason, to)
        return out

    def _keep_needed(self, before: Side, reference: Reference) -> int:
        """Keep rows that somebody deleted, where a row of the snapshot goes on referring to them."""
        child, column, kind = reference.child, reference.column, reference.kind_column
        going, out = self.rows("removed", reference.parent), 0
        if not going or child not in before.tables or len(self.comparison.tables[child].key) != 1:
            return 0
        names = (column, kind) if kind else (column,)
        for chunk in in_chunks(sorted(going), _CHUNK):
            for key, (to, *of) in self._holding(before, child, (column,), [(key,) for key in chunk], names):
                put = self.rows("changed", child).get(key, {}).get(column)
                stays = key not in self.rows("removed", child) and (put is None or put[1] == to)
                if stays and to in going and (not of or of[0] in reference.kinds):
                    del going[to]
                    why = f"was deleted since, but {child} {key} refers to it again ({column})"
                    self.draft.conflict(reference.parent, to, "", None, None, None, why)
                    out += 1
        return out

    def _leave_out_twins(self, before: Side, table: str, unique: tuple[str, ...]) -> int:
        """Leave out rows whose place a row of the snapshot has, by a unique key of the table."""
        out, updates, gone = 0, self.rows("changed", table), self.rows("removed", table)
        moving = {key for key, columns in updates.items() if columns.keys() & unique}
        for chunk in in_chunks(sorted(self.rows("added", table).keys() | moving), _CHUNK):
            places: dict[str, Cells] = {}
            for key, row in self._values(table, chunk, unique):
                # What stays of a changed row as the snapshot has it counts as well.
                put = {name: new for name, (_, new) in updates.get(key, {}).items()}
                places[key] = tuple(put.get(name, row[name]) for name in unique)
            holders: dict[Cells, list[str]] = defaultdict(list)
            for key, place in self._holding(
                before, table, unique, sorted({*places.values()}, key=str), unique
            ):
                if key not in moving and key not in gone:
                    holders[place].append(key)
            for key, place in places.items():
                if others := [holder for holder in holders.get(place, ()) if holder != key]:
                    reason = f"the snapshot's {table} {others[0]} has the same {', '.join(unique)}"
                    out += self._take_out(table, key, unique, reason, None)
        return out

    def _values(self, table: str, keys: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, Values]]:
        """Yield columns of some rows as they are now, in the order of their keys."""
        for chunk in in_chunks(keys, _CHUNK):
            values = rows_of(self.comparison.now, self.comparison.tables[table], chunk, names)
            yield from ((key, values[key]) for key in chunk if key in values)

    def _holding(
        self, before: Side, table: str, unique: Sequence[str], places: Sequence[Cells], names: Sequence[str]
    ) -> list[tuple[str, Cells]]:
        """Return which rows of the snapshot hold some values in some columns, and more columns of theirs."""
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
