"""What must be unique in a table: every unique index, partial ones and those over expressions as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from workbench.duplicates.moving import Child, Moves, as_array, compared, of_its_kind, referring
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

_GENERATED = """
    SELECT a.attname::text, pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = %s::regclass AND a.attgenerated <> '' ORDER BY 1
"""

_CHECKS = """
    SELECT conname::text, pg_get_expr(conbin, conrelid) FROM pg_constraint
    WHERE conrelid = %s::regclass AND contype = 'c' ORDER BY 1
"""

_EXCLUSIONS = """
    SELECT c.conname::text, ARRAY(SELECT pg_get_indexdef(c.conindid, n, true) FROM generate_series(1, i.indnkeyatts) n),
           ARRAY(SELECT format('OPERATOR(%%I.%%s)', s.nspname, o.oprname) FROM unnest(c.conexclop) WITH ORDINALITY e(op, n)
                 JOIN pg_operator o ON o.oid = e.op JOIN pg_namespace s ON s.oid = o.oprnamespace ORDER BY e.n),
           coalesce(pg_get_expr(i.indpred, i.indrelid), 'true')
    FROM pg_constraint c JOIN pg_index i ON i.indexrelid = c.conindid
    WHERE c.conrelid = %s::regclass AND c.contype = 'x' ORDER BY 1
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
    moving = {*child.columns, *(name for name, each in child.described.columns.items() if each.generated)}
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
    where: list[sql.Composable] = [sql.SQL("({})").format(unique.where)]
    if unique.nulls_differ:
        where += [sql.SQL("{} IS NOT NULL").format(each) for each in unique.cells]
    query = sql.SQL(
        'SELECT array_agg("~key" ORDER BY "~key" COLLATE "C") FROM ({}) each WHERE {} GROUP BY {}'
        ' HAVING count(*) > 1 AND bool_or("~moved") ORDER BY 1'
    ).format(
        *(_afterwards(connection, graph, child, moves), sql.SQL(" AND ").join(where)),
        sql.SQL(", ").join(unique.cells),
    )
    return [tuple(found) for (found,) in connection.execute(query)]


def broken_rules(
    connection: psycopg.Connection[Any], graph: References, child: Child, moves: Moves
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each check that a row would break once it has moved, and each pair that would exclude one another: rule, keys."""
    after = _afterwards(connection, graph, child, moves)
    where = rows.qualified(graph.schema.catalogue, child.table).as_string(connection)
    for name, check in connection.execute(_CHECKS, [where]).fetchall():
        broken = sql.SQL('SELECT "~key" FROM ({}) each WHERE "~moved" AND NOT ({}) ORDER BY 1').format(
            after, sql.SQL(check)
        )
        yield from ((name, (key,)) for (key,) in connection.execute(broken).fetchall())
    for name, cells, operators, predicate in connection.execute(_EXCLUSIONS, [where]).fetchall():
        names = [sql.Identifier(f"~{place}") for place in range(len(cells))]
        shown = [
            sql.SQL("({}) AS {}").format(sql.SQL(each), it) for each, it in zip(cells, names, strict=True)
        ]
        either = sql.SQL('(SELECT "~key", "~moved", {} FROM ({}) each WHERE {})').format(
            sql.SQL(", ").join(shown), after, sql.SQL(predicate)
        )
        same = [
            sql.SQL("a.{} {} b.{}").format(cell, sql.SQL(operator), cell)
            for cell, operator in zip(names, operators, strict=True)
        ]
        pairs = sql.SQL(
            'SELECT a."~key", b."~key" FROM {} a JOIN {} b ON a."~key" < b."~key" AND (a."~moved" OR b."~moved") AND {}'
            " ORDER BY 1, 2"
        ).format(either, either, sql.SQL(" AND ").join(same))
        yield from ((name, pair) for pair in connection.execute(pairs).fetchall())


def _afterwards(
    connection: psycopg.Connection[Any], graph: References, child: Child, moves: Moves
) -> sql.Composable:
    """Return the rows that refer to somebody concerned as they would be, with ``~key``, and ``~moved`` for those that move."""
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
        for name, column in described.columns.items()
        if not column.generated
    ]
    plain = sql.SQL('SELECT {}, t.{}::text AS "~key", {} AS "~moved" FROM {} t{} WHERE {}').format(
        *(sql.SQL(", ").join(columns), sql.Identifier(key), sql.SQL(" OR ").join(moved)),
        *(rows.qualified(graph.schema.catalogue, child.table), sql.SQL("").join(joins)),
        referring(graph, child, both),
    )
    where = rows.qualified(graph.schema.catalogue, child.table).as_string(connection)
    generated = [
        sql.SQL(", ({}) AS {}").format(sql.SQL(each), sql.Identifier(name))
        for name, each in connection.execute(_GENERATED, [where])
    ]
    return (
        sql.SQL("SELECT plain.*{} FROM ({}) plain").format(sql.SQL("").join(generated), plain)
        if generated
        else plain
    )
