"""What must be unique in a table: every unique index, partial ones and those over expressions as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from workbench.fixes.merging.moving import Child, Moves, as_array, compared, of_its_kind, referring
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema
from workbench.plans import rows

# What an index covers is said by its own columns, or by its dependencies, where it is over an expression.
_INDEXES = """
    SELECT i.indexrelid::regclass::text,
           ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts) n),
           ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND (
                 a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                 OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                            AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum)) ORDER BY 1),
           pg_get_expr(i.indpred, i.indrelid),
           coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
    FROM pg_index i WHERE i.indrelid = %s::regclass AND i.indisunique AND NOT i.indisprimary
    ORDER BY 1
"""

ONCE_PER_EVENT = "one registration per event and member"


@dataclass(frozen=True)
class Unique:
    """What no two rows of a table may agree in.

    Attributes
    ----------
    name : str
        The index, or the rule.
    cells : tuple of Composable
        The expressions that count, over bare column names.
    columns : frozenset of str
        The columns they rest on.
    where : Composable
        Which rows it is about.
    nulls_differ : bool
        Whether rows with a NULL are never alike.
    """

    name: str
    cells: tuple[sql.Composable, ...]
    columns: frozenset[str]
    where: sql.Composable
    nulls_differ: bool


def uniques_of(connection: psycopg.Connection[Any], schema: Schema, child: Child) -> Iterator[Unique]:
    """Yield what must be unique in a table and rests on a column that moves.

    That one member is registered once for an event is a rule of Murmurant's also where no index says so
    (the guide's database has none).
    """
    moving = set(child.columns)
    where = rows.qualified(schema.catalogue, child.table).as_string(connection)
    known: set[frozenset[str]] = set()
    for name, cells, columns, predicate, nulls_alike in connection.execute(_INDEXES, [where]):
        known.add(frozenset(columns))
        if moving & set(columns):
            yield Unique(
                name,
                tuple(sql.SQL("({})").format(sql.SQL(each)) for each in cells),
                frozenset(columns),
                sql.SQL(predicate or "true"),
                not nulls_alike,
            )
    found = schema.resolved.get("registrations")
    if (
        found
        and found.table == child.table
        and schema.has("registrations.event_id", "registrations.member_id")
    ):
        pair = [found.spelling["event_id"], found.spelling["member_id"]]
        if frozenset(pair) not in known and moving & set(pair):
            cells = tuple(map(sql.Identifier, pair))
            yield Unique(ONCE_PER_EVENT, cells, frozenset(pair), sql.SQL("true"), nulls_differ=True)


def colliding(
    connection: psycopg.Connection[Any], graph: References, child: Child, unique: Unique, moves: Moves
) -> list[tuple[str, ...]]:
    """Return groups of rows, by key, that would be alike once everything has moved, each with one that moves.

    The database compares: of a large table only what collides is brought here.
    """
    described = child.described
    key = rows.key_of(described)
    joins: list[sql.Composable] = []
    cells: dict[str, list[sql.Composable]] = {}
    moved: list[sql.Composable] = []
    both: dict[str, list[str]] = {}
    for place, each in enumerate(child.references):
        alias, pairs = f"~m{place}", moves[each.parent]
        joins.append(
            sql.SQL(" LEFT JOIN unnest({}, {}) AS {}(old, new) ON {} = {}{}").format(
                *(as_array(graph, each, list(pairs)), as_array(graph, each, list(pairs.values()))),
                *(sql.Identifier(alias), compared(graph, each), sql.Identifier(alias, "old")),
                of_its_kind(each),
            )
        )
        kind = sql.SQL(described.columns[each.column].type)
        cells.setdefault(each.column, []).append(sql.SQL("{}::{}").format(sql.Identifier(alias, "new"), kind))
        moved.append(sql.SQL("{} IS NOT NULL").format(sql.Identifier(alias, "old")))
        both[each.parent] = [*pairs, *pairs.values()]
    columns = [
        sql.SQL("coalesce({}) AS {}").format(
            sql.SQL(", ").join([*cells[name], sql.Identifier("t", name)]), sql.Identifier(name)
        )
        if name in cells
        else sql.Identifier("t", name)
        for name in described.columns
    ]
    where: list[sql.Composable] = [sql.SQL("({})").format(unique.where)]
    if unique.nulls_differ:
        where += [sql.SQL("{} IS NOT NULL").format(each) for each in unique.cells]
    query = sql.SQL(
        'SELECT array_agg("~key" ORDER BY "~key" COLLATE "C") FROM (SELECT {}, t.{}::text AS "~key", {} AS "~moved"'
        ' FROM {} t{} WHERE {}) each WHERE {} GROUP BY {} HAVING count(*) > 1 AND bool_or("~moved") ORDER BY 1'
    ).format(
        *(sql.SQL(", ").join(columns), sql.Identifier(key), sql.SQL(" OR ").join(moved)),
        *(rows.qualified(graph.schema.catalogue, child.table), sql.SQL("").join(joins)),
        *(referring(graph, child, both), sql.SQL(" AND ").join(where), sql.SQL(", ").join(unique.cells)),
    )
    return [tuple(found) for (found,) in connection.execute(query)]
