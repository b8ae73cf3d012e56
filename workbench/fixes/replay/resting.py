"""What is put back must stand on its own: nothing that refers to a row which does not come back, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from workbench.fixes.replay.doings import Doings
from workbench.investigate.differences.comparing import Comparing
from workbench.investigate.differences.sides import Side
from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.references import Reference, References
from workbench.plans import rows
from workbench.plans.rows import in_chunks

_CHUNK = 100_000  # keys


def leave_out_what_cannot_stand(compared: Comparing, graph: References, done: Doings) -> None:
    """Take out what rests on a row that does not come back, and what the snapshot has no place for.

    A registration of a member whom only the bad run made cannot be put back; nor can the person who was
    entered under an address that the snapshot's own member has. Each is listed as a conflict.
    """
    while (
        _leave_out_resting(compared, graph, done)
        + _keep_needed(compared, graph, done)
        + _leave_out_twins(compared, graph, done)
    ):
        pass


def _leave_out_resting(compared: Comparing, graph: References, done: Doings) -> int:
    """Leave out rows to be inserted, and values to be put back, that refer to a row which does not come back."""
    out = 0
    for each in _references(graph):
        gone = done.left.get(each.parent)
        if not gone:
            continue
        waiting = sorted(done.inserts.get(each.child, ()))
        for key, to in _referring(compared.now, graph, each, waiting):
            if to not in gone:
                continue
            done.inserts[each.child].discard(key)
            why = gone[to]
            done.left.setdefault(each.child, {})[key] = "cannot come back"
            done.clash(
                each.child,
                key,
                f"rests on {each.parent} {to}, which {why} and does not come back",
                each.column,
                to,
            )
            out += 1
        for key, columns in sorted(done.updates.get(each.child, {}).items()):
            was, new = columns.get(each.column, (None, None))
            if new is None or new not in gone:
                continue
            del columns[each.column]
            reason = f"leads to {each.parent} {new}, which {gone[new]} and does not come back"
            done.conflicts.append((each.child, key, each.column, was, None, new, reason))
            if not columns:
                del done.updates[each.child][key]
            out += 1
    return out


def _keep_needed(compared: Comparing, graph: References, done: Doings) -> int:
    """Keep rows that somebody deleted, where a row of the snapshot goes on referring to them."""
    out = 0
    for each in _references(graph):
        going = done.deletes.get(each.parent)
        if not going or compared.before is None or each.child not in compared.before.tables:
            continue
        for key, to in _pointing(compared.before, graph, each, sorted(going)):
            if to not in going or key in done.deletes.get(each.child, ()):
                continue
            changed = done.updates.get(each.child, {}).get(key, {})
            if each.column in changed and changed[each.column][1] != to:
                continue
            going.discard(to)
            done.clash(
                each.parent,
                to,
                f"was deleted since, but {each.child} {key} refers to it again ({each.column})",
            )
            out += 1
    return out


def _leave_out_twins(compared: Comparing, graph: References, done: Doings) -> int:
    """Leave out rows whose place a row of the snapshot has, by a unique key of the table."""
    out = 0
    if compared.before is None:
        return 0
    for table in sorted(done.inserts.keys() | done.updates.keys()):
        described = graph.schema.catalogue.tables[table]
        for unique in described.unique:
            if unique == described.primary_key or table not in compared.before.tables:
                continue
            if not set(unique) <= set(compared.before.catalogue.tables[table].columns):
                continue
            out += _leave_out_by(compared, described, unique, done)
    return out


def _leave_out_by(
    compared: Comparing, described: CatalogueTable, unique: tuple[str, ...], done: Doings
) -> int:
    assert compared.before is not None
    table, out = described.name, 0
    inserts, updates = done.inserts.get(table, set()), done.updates.get(table, {})
    setting = {key for key, columns in updates.items() if set(unique) & columns.keys()}
    for chunk in in_chunks(sorted(inserts | setting), _CHUNK):
        wanted = dict(_values_of(compared.now, described, chunk, unique))
        for key in chunk:  # what stays of a changed row as the snapshot has it counts as well
            if key in updates and key in wanted:
                put = updates[key]
                same = dict(zip(unique, wanted[key], strict=True))
                wanted[key] = tuple(put[n][1] if n in put else same[n] for n in unique)
        holders: dict[tuple[str | None, ...], list[str]] = {}
        for key, values in _holding(compared.before, described, unique, [*set(wanted.values())]):
            holders.setdefault(values, []).append(key)
        for key, values in sorted(wanted.items()):
            if None in values:
                continue
            for holder in holders.get(values, ()):
                moves = set(unique) & updates.get(holder, {}).keys()
                if holder == key or holder in done.deletes.get(table, ()) or moves:
                    continue
                what = f"the snapshot's {table} {holder} has the same {', '.join(unique)}"
                if key in inserts:
                    inserts.discard(key)
                    done.left.setdefault(table, {})[key] = "cannot come back"
                    done.clash(table, key, f"was added since, but {what}")
                else:
                    for name in sorted(set(unique) & updates[key].keys()):
                        was, now = updates[key].pop(name)
                        done.conflicts.append((table, key, name, was, None, now, what))
                    if not updates[key]:
                        del updates[key]
                out += 1
                break
    return out


def _references(graph: References) -> list[Reference]:
    """Return every reference but the audit log's own, which tells of what was there once."""
    audit = graph.schema.resolved.get("audit")
    return [each for each in graph.all if each.declared or audit is None or each.child != audit.table]


def _key(described: CatalogueTable) -> tuple[sql.Composable, str]:
    name = rows.key_of(described)
    return sql.Identifier("t", name), described.columns[name].type


def _referring(
    side: Side, graph: References, each: Reference, keys: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield of some rows to which row they refer."""
    if not keys:
        return
    described = graph.schema.catalogue.tables[each.child]
    key, type = _key(described)
    column = sql.Identifier("t", each.column)
    query = sql.SQL(
        "SELECT {key}::text, {column}::text FROM {place} t JOIN unnest(%s::{type}[]) AS k(key) ON {key} = k.key"
        " WHERE {column} IS NOT NULL {kind} ORDER BY 1"
    ).format(key=key, column=column, place=side.place(each.child), type=sql.SQL(type), kind=_of_kind(each))
    for chunk in in_chunks(keys, _CHUNK):
        yield from _pairs(side.connection, query, chunk)


def _pointing(side: Side, graph: References, each: Reference, to: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield which rows refer to some rows, and to which."""
    described = graph.schema.catalogue.tables[each.child]
    if len(described.primary_key) != 1:
        return
    key, _ = _key(described)
    column = sql.Identifier("t", each.column)
    query = sql.SQL(
        "SELECT {key}::text, {column}::text FROM {place} t WHERE {column}::text = ANY (%s) {kind} ORDER BY 1"
    ).format(key=key, column=column, place=side.place(each.child), kind=_of_kind(each))
    for chunk in in_chunks(to, _CHUNK):
        yield from _pairs(side.connection, query, chunk)


def _of_kind(each: Reference) -> sql.Composable:
    if not each.kind_column:
        return sql.SQL("")
    return sql.SQL("AND {}::text = ANY ({})").format(
        sql.Identifier("t", each.kind_column), sql.Literal(list(each.kinds))
    )


def _pairs(
    connection: psycopg.Connection[Any], query: sql.Composed, keys: Sequence[str]
) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in connection.execute(query, [list(keys)])]


def _values_of(
    side: Side, described: CatalogueTable, keys: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    key, type = _key(described)
    query = sql.SQL(
        "SELECT {key}::text, {cells} FROM {place} t JOIN unnest(%s::{type}[]) AS k(key) ON {key} = k.key"
    )
    statement = query.format(
        key=key,
        cells=sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names),
        place=side.place(described.name),
        type=sql.SQL(type),
    )
    for row in side.connection.execute(statement, [list(keys)]):
        yield row[0], tuple(row[1:])


def _holding(
    side: Side, described: CatalogueTable, names: Sequence[str], values: Sequence[tuple[str | None, ...]]
) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    """Yield which rows hold some values, and which."""
    key, _ = _key(described)
    cells = [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names]
    named = [sql.Identifier("k", f"v{number}") for number in range(len(names))]
    query = sql.SQL("SELECT {}::text, {} FROM {} t JOIN unnest({}) AS k({}) ON {}").format(
        key,
        sql.SQL(", ").join(cells),
        side.place(described.name),
        sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(names)),
        sql.SQL(", ").join(sql.Identifier(f"v{number}") for number in range(len(names))),
        sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(cell, name) for cell, name in zip(cells, named, strict=True)
        ),
    )
    columns = [list(each) for each in zip(*values, strict=True)]
    if not columns:
        return
    for row in side.connection.execute(query, columns):
        yield row[0], tuple(row[1:])
