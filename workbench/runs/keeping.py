"""What cannot go because something that stays needs it: the reference graph, followed to its end.

No foreign key of the database is left to decide: a row is deleted by name or it stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from workbench.murmurant.references import Reference, References
from workbench.plans import rows


def spare_what_is_needed(
    connection: psycopg.Connection[Any],
    graph: References,
    doomed: Mapping[str, Sequence[str]],
    turned: Mapping[str, set[str]],
    kept: Iterable[tuple[str | None, str | None]] = (),
) -> tuple[dict[str, list[str]], list[tuple[str, str, str]]]:
    """Take out of the rows to be deleted those that a row which stays refers to, and what these need.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction.
    doomed : mapping of str to sequence of str
        Table to keys, sorted.
    turned : mapping of str to set of str
        Table to keys of rows that stay and that the plan turns to other rows, which stay.
    kept : iterable of (table, key)
        The run's own rows that are listed as staying already.

    Returns
    -------
    tuple of dict and list
        What may still go; and for every row that stays its table, key and the reason.
    """
    occupied = rows.occupied(connection, graph.schema.catalogue)
    sizes = _sizes(connection, graph.schema.catalogue.schema)
    left = {table: list(keys) for table, keys in doomed.items()}
    spared: dict[str, dict[str, str]] = {table: {} for table in doomed}
    own, binding = set(kept), {table: graph.binding(table) for table in doomed}
    # Children first, as far as that goes: who stays among them is settled when their parents are asked.
    tables = sorted(doomed, key=lambda table: sum(each.child in doomed for each in binding[table]))
    asking = [each for table in tables for each in binding[table]]
    while asking:
        grown = set()
        for each in asking:
            table = each.parent
            if each.child not in occupied or not left[table]:
                continue
            free = [*left.get(each.child, ()), *turned.get(each.child, ())]
            few = sizes.get(each.child, len(left[table])) * 2 < len(left[table])
            for parent_key, child_key in _needed(connection, graph, each, left[table], free, few):
                stays = child_key in spared.get(each.child, {}) or (each.child, child_key) in own
                who = "which is kept" if stays else "which is not part of the run"
                reason = (
                    f"created by the run, but {each.child} {child_key}, {who}, refers to it ({each.column})"
                )
                spared[table].setdefault(parent_key, reason)
                grown.add(table)
            left[table] = [key for key in left[table] if key not in spared[table]]
        asking = [each for table in tables for each in binding[table] if each.child in grown]
    needed = [
        (table, key, reason) for table in sorted(spared) for key, reason in sorted(spared[table].items())
    ]
    return {table: keys for table, keys in left.items() if keys}, needed


def _sizes(connection: psycopg.Connection[Any], schema: str) -> dict[str, float]:
    """Return how many rows each table has, as far as the server has counted."""
    found = connection.execute(
        "SELECT relname::text, reltuples FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))"
        " AND relkind = 'r' AND reltuples >= 0",
        [schema],
    )
    return dict(found.fetchall())


def _needed(
    connection: psycopg.Connection[Any],
    graph: References,
    each: Reference,
    keys: Sequence[str],
    free: Sequence[str],
    few: bool,
) -> Iterator[tuple[str, str]]:
    """Yield to which of some rows a row refers that is not free to go, and the first that does.

    Parameters
    ----------
    few : bool
        Whether fewer rows refer than could be referred to: then they come here, rather than all the keys go there.
    """
    tables = graph.schema.catalogue.tables
    parent, child = tables[each.parent], tables[each.child]
    named = child.primary_key or (each.column,)
    column = sql.Identifier("c", each.column)
    conditions: list[sql.Composable] = [sql.SQL("{} IS NOT NULL").format(column)]
    if each.kind_column:
        kind = sql.Identifier("c", each.kind_column)
        conditions.append(sql.SQL("{}::text = ANY({})").format(kind, sql.Literal(list(each.kinds))))
    source = sql.SQL("{} c").format(rows.qualified(graph.schema.catalogue, each.child))
    values = []
    if not few:
        parent_type = parent.columns[rows.key_of(parent)].type
        same = child.columns[each.column].type == parent.columns[each.parent_column].type
        cast = sql.SQL("" if same else "::text")
        source += sql.SQL(" JOIN unnest(%s::{}[]) AS d(id) ON {}{} = d.id{}").format(
            sql.SQL(parent_type), column, cast, cast
        )
        values.append(rows.as_array(keys))
        if free:
            child_type = child.columns[rows.key_of(child)].type
            conditions.append(
                sql.SQL("NOT EXISTS (SELECT FROM unnest(%s::{}[]) AS g(id) WHERE g.id = {})").format(
                    sql.SQL(child_type), sql.Identifier("c", named[0])
                )
            )
            values.append(rows.as_array(free))
    query = sql.SQL(
        "SELECT DISTINCT ON ({column}) {column}::text, {key} FROM {source} WHERE {conditions} ORDER BY {column}, 2"
    )
    if few:
        query = sql.SQL("SELECT {column}::text, {key} FROM {source} WHERE {conditions} ORDER BY 1, 2")
    found = connection.execute(
        query.format(
            column=column,
            key=rows.key_text(named, "c"),
            source=source,
            conditions=sql.SQL(" AND ").join(conditions),
        ),
        values,
    )
    if not few:
        yield from found
        return
    doomed, going = set(keys), set(free)
    yield from (
        (parent_key, child_key)
        for parent_key, child_key in found
        if parent_key in doomed and child_key not in going
    )
