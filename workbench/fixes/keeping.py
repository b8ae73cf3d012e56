"""What cannot go because something that stays needs it: the reference graph, followed to its end.

No foreign key of the database is left to decide: a row is deleted by name or it stays (DESIGN §3,
promises 5 and 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.references import Reference, References
from workbench.plans import rows
from workbench.plans.arrays import key_array
from workbench.plans.rows import in_chunks

_AT_ONCE = 1_000_000  # keys


def spare_what_is_needed(
    connection: psycopg.Connection[Any],
    graph: References,
    doomed: Mapping[str, list[str]],
    turned: Mapping[str, set[str]] | None = None,
    kept: Iterable[tuple[str | None, str | None]] = (),
) -> tuple[dict[str, list[str]], list[tuple[str, str, str]]]:
    """Take out of the rows to be deleted those that a row which stays refers to, and what these need.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction.
    doomed : dict of str to list of str
        Table to keys, sorted.
    turned : mapping of str to set of str, optional
        Table to keys of rows that stay and that the plan turns to other rows, which stay.
    kept : iterable of (table, key)
        The run's own rows that are listed as staying already.

    Returns
    -------
    tuple of dict and list
        What may still go; and for every row that stays its table, key and the reason.
    """
    order = graph.delete_order(doomed)
    left = {table: list(keys) for table, keys in doomed.items()}
    spared: dict[str, dict[str, str]] = {table: {} for table in doomed}
    own = set(kept)
    while True:
        before = {table: len(keys) for table, keys in left.items()}
        for (
            table
        ) in order.tables:  # children first: who stays among them is settled when their parents are asked
            for chunk in in_chunks(left[table], _AT_ONCE):
                _spare(connection, graph, table, chunk, left, turned or {}, spared, own)
            if spared[table]:
                left[table] = [key for key in left[table] if key not in spared[table]]
        # One pass settles it, unless references run in a circle.
        if not order.broken or before == {table: len(keys) for table, keys in left.items()}:
            break
    needed = [
        (table, key, reason)
        for table, found in sorted(spared.items())
        for key, reason in sorted(found.items())
    ]
    return {table: keys for table, keys in left.items() if keys}, needed


def _spare(
    connection: psycopg.Connection[Any],
    graph: References,
    table: str,
    keys: Sequence[str],
    left: Mapping[str, list[str]],
    turned: Mapping[str, set[str]],
    spared: dict[str, dict[str, str]],
    own: set[tuple[str | None, str | None]],
) -> None:
    """Ask every reference to a table at once, so that the keys are sent once."""
    described = partial(rows.table_of, graph.schema.catalogue)
    holding = rows.occupied(connection, graph.schema.catalogue)
    references = [each for each in graph.binding(table) if each.child in holding]
    small = _sizes(connection, graph.schema.catalogue.schema)
    doomed = set(keys)
    for each in references:
        if small.get(each.child, len(keys)) * 2 < len(keys):
            # Fewer rows refer than could be referred to: they come here, rather than all the keys go there.
            too = {*left.get(each.child, ()), *turned.get(each.child, ())}
            found = connection.execute(_pointing(graph, each))
            _note(each, ((p, c) for p, c in found if p in doomed and c not in too), spared, own)
    references = [each for each in references if small.get(each.child, len(keys)) * 2 >= len(keys)]
    if not references:
        return
    free = {each.child: [*left.get(each.child, ()), *turned.get(each.child, ())] for each in references}
    going = sorted(child for child, keys in free.items() if keys)
    parts = [_named_keys("doomed", described(table))]
    parts += [_named_keys(f"going {child}", described(child)) for child in going]
    sent = [(table, keys), *((child, free[child]) for child in going)]
    values = [key_array(each, _key_type(described(name))) for name, each in sent]
    questions = [_question(graph, number, each, going) for number, each in enumerate(references)]
    query = sql.SQL("WITH {} {}").format(sql.SQL(", ").join(parts), sql.SQL(" UNION ALL ").join(questions))
    for number, parent_key, child_key in connection.execute(query, values):
        _note(references[number], [(parent_key, child_key)], spared, own)


def _note(
    each: Reference,
    pairs: Iterable[tuple[str, str]],
    spared: dict[str, dict[str, str]],
    own: set[tuple[str | None, str | None]],
) -> None:
    for parent_key, child_key in pairs:
        stays = child_key in spared.get(each.child, {}) or (each.child, child_key) in own
        who = "which is kept" if stays else "which is not part of the run"
        reason = f"created by the run, but {each.child} {child_key}, {who}, refers to it ({each.column})"
        spared[each.parent].setdefault(parent_key, reason)


def _sizes(connection: psycopg.Connection[Any], schema: str) -> dict[str, float]:
    """Return how many rows each table has, as far as the server has counted."""
    found = connection.execute(
        "SELECT relname::text, reltuples FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))"
        " AND relkind = 'r' AND reltuples >= 0",
        [schema],
    )
    return dict(found.fetchall())


def _pointing(graph: References, each: Reference) -> sql.Composed:
    """Return the question who refers to anything at all by this reference."""
    child = graph.schema.catalogue.tables[each.child]
    kind: sql.Composable = sql.SQL("")
    if each.kind_column:
        kind = sql.SQL(" AND {}::text = ANY({})").format(
            sql.Identifier("c", each.kind_column), sql.Literal(list(each.kinds))
        )
    column = sql.Identifier("c", each.column)
    return sql.SQL("SELECT {}::text, {} FROM {} c WHERE {} IS NOT NULL{} ORDER BY 1, 2").format(
        column,
        rows.key_text(child.primary_key or (each.column,), "c"),
        rows.qualified(graph.schema.catalogue, each.child),
        column,
        kind,
    )


def _named_keys(name: str, described: CatalogueTable) -> sql.Composed:
    return sql.SQL("{} AS MATERIALIZED (SELECT unnest(%s::{}[]) AS id)").format(
        sql.Identifier(name), sql.SQL(_key_type(described))
    )


def _key_type(described: CatalogueTable) -> str:
    return described.columns[rows.key_of(described)].type


def _question(graph: References, number: int, each: Reference, going: Sequence[str]) -> sql.Composed:
    tables = graph.schema.catalogue.tables
    child = tables[each.child]
    key = child.primary_key or (each.column,)
    same_type = child.columns[each.column].type == tables[each.parent].columns[each.parent_column].type
    cast = sql.SQL("" if same_type else "::text")
    conditions: list[sql.Composable] = [sql.SQL("TRUE")]
    if each.kind_column:
        conditions.append(
            sql.SQL("{}::text = ANY({})").format(
                sql.Identifier("c", each.kind_column), sql.Literal(list(each.kinds))
            )
        )
    if each.child in going:
        conditions.append(
            sql.SQL("NOT EXISTS (SELECT FROM {} g WHERE g.id = {})").format(
                sql.Identifier(f"going {each.child}"), sql.Identifier("c", key[0])
            )
        )
    return sql.SQL(
        "(SELECT DISTINCT ON (c.{column}) {number}, c.{column}::text, {key} FROM {child} c"
        " JOIN doomed d ON c.{column}{cast} = d.id{cast} WHERE {conditions} ORDER BY c.{column}, 3)"
    ).format(
        column=sql.Identifier(each.column),
        number=sql.Literal(number),
        key=rows.key_text(key, "c"),
        child=rows.qualified(graph.schema.catalogue, each.child),
        cast=cast,
        conditions=sql.SQL(" AND ").join(conditions),
    )
