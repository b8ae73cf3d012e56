"""What is put back must stand on its own: nothing that refers to a row which does not come back, nothing twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from workbench.investigate.differences.comparing import Comparing
from workbench.investigate.differences.found import Kind
from workbench.investigate.differences.sides import Side
from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.references import Reference, References
from workbench.plans import rows
from workbench.plans.current import rows_by_key
from workbench.plans.draft import Draft

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
        updates = {table: set(changed) for table, changed in self.updates.items()}
        return {"added": self.inserts, "changed": updates, "removed": self.deletes}


def clash(draft: Draft, table: str, key: str, reason: str, column: str = "", now: str | None = None) -> None:
    """List a row that cannot be put back."""
    draft.conflict(table, key, column, None, None, now, reason)


def leave_out_what_cannot_stand(compared: Comparing, graph: References, back: Back, draft: Draft) -> None:
    """Take out what rests on a row that does not come back, and what the snapshot has no place for.

    A registration of a member whom only the bad run made cannot be put back; nor can the person who was
    entered under an address that the snapshot's own member has. Each is listed as a conflict.
    """
    # The audit log's own references tell of what was there once.
    audit = graph.schema.resolved.get("audit")
    references = [each for each in graph.all if each.declared or audit is None or each.child != audit.table]
    before = compared.before
    while before is not None:
        out = 0
        for each in references:
            out += _leave_out_resting(compared.now, graph, each, back, draft)
            out += _keep_needed(before, graph, each, back, draft)
        for table in sorted(back.inserts.keys() | back.updates.keys()):
            described = graph.schema.catalogue.tables[table]
            there = before.catalogue.tables[table].columns if table in before.tables else {}
            for unique in described.unique:
                if unique != described.primary_key and set(unique) <= set(there):
                    out += _leave_out_twins(compared.now, before, described, unique, back, draft)
        if not out:
            break


def _leave_out_resting(now: Side, graph: References, each: Reference, back: Back, draft: Draft) -> int:
    """Leave out rows to be inserted, and values to be put back, that refer to a row which does not come back."""
    gone, child, out = back.left.get(each.parent), each.child, 0
    if not gone:
        return 0
    described = graph.schema.catalogue.tables[child]
    names = [each.column, *([each.kind_column] if each.kind_column else [])]
    for key, values in _values_of(now, described, sorted(back.inserts.get(child, ())), names):
        to = values[each.column]
        if to is None or to not in gone or (each.kind_column and values[each.kind_column] not in each.kinds):
            continue
        back.inserts[child].discard(key)
        back.left[child][key] = "cannot come back"
        reason = f"rests on {each.parent} {to}, which {gone[to]} and does not come back"
        clash(draft, child, key, reason, each.column, to)
        out += 1
    for key, columns in sorted(back.updates.get(child, {}).items()):
        new = columns.get(each.column, (None, None))[1]
        if new is not None and new in gone:
            reason = f"leads to {each.parent} {new}, which {gone[new]} and does not come back"
            _withdraw(back, draft, child, key, each.column, reason)
            out += 1
    return out


def _keep_needed(before: Side, graph: References, each: Reference, back: Back, draft: Draft) -> int:
    """Keep rows that somebody deleted, where a row of the snapshot goes on referring to them."""
    going, child, out = back.deletes.get(each.parent), each.child, 0
    described = graph.schema.catalogue.tables[child]
    if not going or child not in before.tables or len(described.primary_key) != 1:
        return 0
    for chunk in rows.in_chunks(sorted(going), _CHUNK):
        for key, (to, *kind) in _holding(
            before, described, (each.column,), [(parent,) for parent in chunk], each.kind_column
        ):
            if to not in going or key in back.deletes.get(child, ()) or (kind and kind[0] not in each.kinds):
                continue
            put = back.updates.get(child, {}).get(key, {}).get(each.column)
            if put and put[1] != to:
                continue
            going.discard(to)
            reason = f"was deleted since, but {child} {key} refers to it again ({each.column})"
            clash(draft, each.parent, to, reason)
            out += 1
    return out


def _leave_out_twins(
    now: Side, before: Side, described: CatalogueTable, unique: tuple[str, ...], back: Back, draft: Draft
) -> int:
    """Leave out rows whose place a row of the snapshot has, by a unique key of the table."""
    table, out = described.name, 0
    inserts, updates = back.inserts.get(table, set()), back.updates.get(table, {})
    setting = {key for key, columns in updates.items() if set(unique) & columns.keys()}
    for chunk in rows.in_chunks(sorted(inserts | setting), _CHUNK):
        wanted = {}
        for key, values in _values_of(now, described, chunk, unique):
            # What stays of a changed row as the snapshot has it counts as well.
            put = {name: new for name, (_, new) in updates.get(key, {}).items()}
            wanted[key] = tuple(put.get(name, values[name]) for name in unique)
        holders: dict[tuple[str | None, ...], list[str]] = {}
        for key, held in _holding(before, described, unique, sorted({*wanted.values()}, key=str)):
            holders.setdefault(held, []).append(key)
        for key, place in sorted(wanted.items()):
            for holder in holders.get(place, ()):
                moves = set(unique) & updates.get(holder, {}).keys()
                if holder == key or holder in back.deletes.get(table, ()) or moves:
                    continue
                what = f"the snapshot's {table} {holder} has the same {', '.join(unique)}"
                if key in inserts:
                    inserts.discard(key)
                    back.left[table][key] = "cannot come back"
                    clash(draft, table, key, f"was added since, but {what}")
                else:
                    for name in sorted(set(unique) & updates[key].keys()):
                        _withdraw(back, draft, table, key, name, what)
                out += 1
                break
    return out


def _withdraw(back: Back, draft: Draft, table: str, key: str, column: str, reason: str) -> None:
    """Leave one column as the snapshot has it."""
    was, now = back.updates[table][key].pop(column)
    draft.conflict(table, key, column, was, None, now, reason)
    if not back.updates[table][key]:
        del back.updates[table][key]


def _values_of(
    side: Side, described: CatalogueTable, keys: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, str | None]]]:
    for chunk in rows.in_chunks(keys, _CHUNK):
        found = rows_by_key(side.connection, side.schema, described, chunk, names)
        yield from ((key, found[key].values) for key in chunk if key in found)


def _holding(
    side: Side,
    described: CatalogueTable,
    names: Sequence[str],
    places: Sequence[tuple[str | None, ...]],
    also: str | None = None,
) -> list[tuple[str, tuple[str | None, ...]]]:
    """Return which rows hold some values, and which; with another column of theirs, where one is asked for."""
    if not places:
        return []
    asked = [sql.Identifier("k", f"v{number}") for number in range(len(names))]
    cells = [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names]
    more = [sql.SQL("t.{}::text").format(sql.Identifier(also))] if also else []
    query = sql.SQL("SELECT t.{}::text, {} FROM {} t JOIN unnest({}) AS k({}) ON {} ORDER BY 1").format(
        sql.Identifier(rows.key_of(described)),
        sql.SQL(", ").join([*cells, *more]),
        side.place(described.name),
        sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(names)),
        sql.SQL(", ").join(sql.Identifier(f"v{number}") for number in range(len(names))),
        sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(cell, name) for cell, name in zip(cells, asked, strict=True)
        ),
    )
    found = side.connection.execute(query, [list(each) for each in zip(*places, strict=True)])
    return [(row[0], tuple(row[1:])) for row in found]
