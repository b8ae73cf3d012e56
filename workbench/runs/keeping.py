"""What cannot go because something that stays needs it: the reference graph, followed to its end.

No foreign key of the database is left to decide: a row is deleted by name or it stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    sizes = rows.sizes(connection, graph.schema.catalogue)
    left = {table: list(keys) for table, keys in doomed.items()}
    spared: dict[str, dict[str, str]] = {table: {} for table in doomed}
    own, binding = set(kept), {table: graph.binding(table) for table in doomed}
    # Children first, as far as that goes: who stays among them is settled when their parents are asked.
    tables = sorted(doomed, key=lambda table: sum(each.child in doomed for each in binding[table]))
    asking = [each for table in tables for each in binding[table]]
    free = {table: [*left.get(table, ()), *turned.get(table, ())] for table in {*left, *turned}}
    while asking:
        grown = set()
        for each in asking:
            table = each.parent
            if each.child not in sizes or not left[table]:
                continue
            few = 0 <= sizes[each.child] < len(left[table])
            needed = _needed(connection, graph, each, left[table], free.get(each.child, ()), few)
            for parent_key, child_key in needed:
                stays = child_key in spared.get(each.child, {}) or (each.child, child_key) in own
                who = "which is kept" if stays else "which is not part of the run"
                reason = (
                    f"created by the run, but {each.child} {child_key}, {who}, refers to it ({each.column})"
                )
                spared[table].setdefault(parent_key, reason)
            if needed:
                grown.add(table)
                left[table] = [key for key in left[table] if key not in spared[table]]
                free[table] = [*left[table], *turned.get(table, ())]
        asking = [each for table in tables for each in binding[table] if each.child in grown]
    stay = [(table, key, reason) for table in sorted(spared) for key, reason in sorted(spared[table].items())]
    return {table: keys for table, keys in left.items() if keys}, stay


def _needed(
    connection: psycopg.Connection[Any],
    graph: References,
    each: Reference,
    keys: Sequence[str],
    free: Sequence[str],
    few: bool,
) -> list[tuple[str, str]]:
    """Return to which of some rows a row refers that is not free to go, and the first that does.

    Where `few` rows refer, they come here, rather than that all the keys go there.
    """
    catalogue = graph.schema.catalogue
    parent, child = catalogue.tables[each.parent], catalogue.tables[each.child]
    named = child.primary_key or (each.column,)
    parent_type, child_type = parent.columns[rows.key_of(parent)].type, child.columns[named[0]].type
    same = child.columns[each.column].type == parent.columns[each.parent_column].type
    # The planner must not estimate the array's keys one by one, hence CASE.
    among = sql.SQL(
        """JOIN unnest(%(keys)s::{parent_type}[]) AS d(id) ON {column}{cast} = d.id{cast}
           WHERE CASE WHEN {own} = ANY (%(free)s::{child_type}[]) THEN false ELSE true END"""
    ).format(
        column=sql.Identifier("c", each.column),
        parent_type=sql.SQL(parent_type),
        cast=sql.SQL("" if same else "::text"),
        child_type=sql.SQL(child_type),
        own=sql.Identifier("c", named[0]),
    )
    query = sql.SQL(
        """SELECT DISTINCT ON ({column}) {column}::text, {key} FROM {child} c {among}
             AND (%(kinds)s::text[] IS NULL OR {kind}::text = ANY(%(kinds)s::text[]))
           ORDER BY {column}, 2"""
        if not few
        else """SELECT {column}::text, {key} FROM {child} c WHERE {column} IS NOT NULL
                  AND (%(kinds)s::text[] IS NULL OR {kind}::text = ANY(%(kinds)s::text[]))
                ORDER BY {column}, 2"""
    ).format(
        among=among,
        column=sql.Identifier("c", each.column),
        key=rows.key_text(named, "c"),
        child=rows.qualified(catalogue, each.child),
        kind=sql.Identifier("c", each.kind_column or each.column),
    )
    values: dict[str, Any] = {"kinds": list(each.kinds) if each.kind_column else None}
    if not few:
        values |= {"keys": rows.sent(keys, parent_type), "free": rows.sent(free, child_type)}
        return connection.execute(query, values).fetchall()
    pairs = connection.execute(query, values).fetchall()
    parents = {parent_key for parent_key, _ in pairs}.intersection(keys)
    going = {child_key for _, child_key in pairs}.intersection(free)
    return [pair for pair in pairs if pair[0] in parents and pair[1] not in going]
