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
    going = {table: list(keys) for table, keys in doomed.items()}
    spared: dict[str, dict[str, str]] = {table: {} for table in doomed}
    own = set(kept)
    binding = {table: graph.binding(table) for table in doomed}
    # Children first, as far as that goes: who stays among them is settled when their parents are asked.
    tables = sorted(doomed, key=lambda table: sum(way.child in doomed for way in binding[table]))
    asking = [reference for table in tables for reference in binding[table]]
    while asking:
        grown = set()
        for reference in asking:
            table, child = reference.parent, reference.child
            if child not in sizes or not going[table]:
                continue
            free = [*going.get(child, ()), *turned.get(child, ())]
            few = 0 <= sizes[child] < len(going[table])
            needed = _needed(connection, graph, reference, going[table], free, few)
            for key, by in needed:
                stays = by in spared.get(child, {}) or (child, by) in own
                which = "which is kept" if stays else "which is not part of the run"
                reason = f"created by the run, but {child} {by}, {which}, refers to it ({reference.column})"
                spared[table].setdefault(key, reason)
            if needed:
                grown.add(table)
                going[table] = [key for key in going[table] if key not in spared[table]]
        asking = [way for table in tables for way in binding[table] if way.child in grown]
    stay = [(table, key, reason) for table in sorted(spared) for key, reason in sorted(spared[table].items())]
    return {table: keys for table, keys in going.items() if keys}, stay


def _needed(
    connection: psycopg.Connection[Any],
    graph: References,
    reference: Reference,
    keys: Sequence[str],
    free: Sequence[str],
    few: bool,
) -> list[tuple[str, str]]:
    """Return to which of some rows a row refers that is not free to go, and the first that does.

    Where `few` rows refer, they come here, rather than that all the keys go there.
    """
    catalogue = graph.schema.catalogue
    parent, child = catalogue.tables[reference.parent], catalogue.tables[reference.child]
    named = child.primary_key or (reference.column,)
    column = sql.Identifier("c", reference.column)
    values: dict[str, Any] = {"kinds": list(reference.kinds) if reference.kind_column else None}
    among = sql.SQL("WHERE {} IS NOT NULL").format(column)
    if not few:
        parent_type, child_type = parent.columns[rows.key_of(parent)].type, child.columns[named[0]].type
        same = child.columns[reference.column].type == parent.columns[reference.parent_column].type
        values |= {"keys": rows.sent(keys, parent_type), "free": rows.sent(free, child_type)}
        # The planner must not estimate the array's keys one by one, hence CASE.
        among = sql.SQL(
            """JOIN unnest(%(keys)s::{parent_type}[]) AS d(id) ON {column}{cast} = d.id{cast}
               WHERE CASE WHEN {own} = ANY (%(free)s::{child_type}[]) THEN false ELSE true END"""
        ).format(
            column=column,
            parent_type=sql.SQL(parent_type),
            cast=sql.SQL("" if same else "::text"),
            child_type=sql.SQL(child_type),
            own=sql.Identifier("c", named[0]),
        )
    query = sql.SQL(
        """SELECT {distinct} {column}::text, {key} FROM {child} c {among}
             AND (%(kinds)s::text[] IS NULL OR {kind}::text = ANY(%(kinds)s::text[])) ORDER BY {column}, 2"""
    ).format(
        distinct=sql.SQL("" if few else "DISTINCT ON ({})").format(column),
        column=column,
        key=rows.key_text(named, "c"),
        child=rows.qualified(catalogue, reference.child),
        among=among,
        kind=sql.Identifier("c", reference.kind_column or reference.column),
    )
    pairs = connection.execute(query, values).fetchall()
    if not few:
        return pairs
    parents = {key for key, _ in pairs}.intersection(keys)
    going = {by for _, by in pairs}.intersection(free)
    return [(key, by) for key, by in pairs if key in parents and by not in going]
