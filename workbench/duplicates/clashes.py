"""Which rows the database's rules would forbid once everything has moved: it compares, and brings only what clashes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from workbench.duplicates.associations import as_array, compared, of_its_kind, referring
from workbench.duplicates.moves import Child, Moves
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema
from workbench.plans import rows

# What an index covers is said by its own columns, or by its dependencies, where it is over an expression.
_RULES = """
    SELECT i.indexrelid::regclass::text,
           ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts) n),
           ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND (
                 a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                 OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                            AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum)) ORDER BY 1),
           CASE WHEN i.indisexclusion THEN
                ARRAY(SELECT format('OPERATOR(%%I.%%s)', s.nspname, o.oprname) FROM pg_constraint c, unnest(c.conexclop)
                      WITH ORDINALITY e(op, n) JOIN pg_operator o ON o.oid = e.op JOIN pg_namespace s ON s.oid = o.oprnamespace
                      WHERE c.conindid = i.indexrelid AND c.contype = 'x' ORDER BY e.n)
                WHEN (to_jsonb(i) ->> 'indnullsnotdistinct')::boolean THEN array_fill('IS NOT DISTINCT FROM'::text, ARRAY[i.indnkeyatts::int])
                ELSE array_fill('='::text, ARRAY[i.indnkeyatts::int]) END,
           coalesce(pg_get_expr(i.indpred, i.indrelid), 'true'), NOT i.indisexclusion
    FROM pg_index i WHERE i.indrelid = %(table)s::regclass AND (i.indisunique OR i.indisexclusion)
    UNION ALL
    SELECT conname::text, ARRAY[pg_get_expr(conbin, conrelid)],
           ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)), NULL, 'true', false
    FROM pg_constraint WHERE conrelid = %(table)s::regclass AND contype = 'c'
    ORDER BY 1
"""

_GENERATED = """
    SELECT a.attname::text, pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = %s::regclass AND a.attgenerated <> '' ORDER BY 1
"""

ONCE_PER_EVENT = "one registration per event and member"


class Rule(NamedTuple):
    """What the rows of a table may not do.

    Attributes
    ----------
    name : str
        The index or constraint, or the rule.
    cells : list of str
        The expressions that count, over bare column names; of a check the one that has to be true.
    columns : list of str
        The columns they rest on.
    operators : list of str or None
        No two rows may be related by all of these, cell by cell; None for a check.
    where : str
        Which rows it is about.
    unique : bool
        Whether rows that break it say that they are the same.
    """

    name: str
    cells: list[str]
    columns: list[str]
    operators: list[str] | None
    where: str
    unique: bool


class Clash(NamedTuple):
    """Two rows that break a rule together, by key; of a check the same one twice."""

    rule: Rule
    left: str
    right: str


class Afterwards:
    """The rows of a table that refer to somebody concerned, as they would be once everything has moved."""

    def __init__(
        self, connection: psycopg.Connection[Any], graph: References, child: Child, moves: Moves
    ) -> None:
        self.connection, self.schema, self.child = connection, graph.schema, child
        self._table = rows.qualified(graph.schema.catalogue, child.table).as_string(connection)
        self._rows = _moved(graph, child, moves)
        if generated := connection.execute(_GENERATED, [self._table]).fetchall():
            cells = [
                sql.SQL("({}) AS {}").format(sql.SQL(each), sql.Identifier(name)) for name, each in generated
            ]
            self._rows = sql.SQL("SELECT m.*, {} FROM ({}) m").format(sql.SQL(", ").join(cells), self._rows)

    def clashes(self) -> list[Clash]:
        """Return what breaks a rule that rests on a column which moves."""
        rules, cells, parts = list(self._rules()), list[sql.Composable](), list[sql.Composable]()
        for number, rule in enumerate(rules):
            names = [sql.Identifier(f"~{number}.{place}") for place in range(len(rule.cells))]
            cells += [
                sql.SQL("CASE WHEN {} THEN ({}) END AS {}").format(sql.SQL(rule.where), sql.SQL(each), name)
                for each, name in zip(rule.cells, names, strict=True)
            ]
            cells.append(
                sql.SQL("({}) AS {}").format(sql.SQL(rule.where), about := sql.Identifier(f"~{number}"))
            )
            if rule.operators is None:
                broken = sql.SQL('SELECT {}, a."~key", a."~key" FROM after a WHERE a."~moved" AND NOT a.{}')
                parts.append(broken.format(sql.Literal(number), names[0]))
                continue
            related = [
                sql.SQL("a.{} {} b.{}").format(name, sql.SQL(operator), name)
                for name, operator in zip(names, rule.operators, strict=True)
            ]
            pairs = (
                'SELECT {}, a."~key", b."~key" FROM after a JOIN after b ON {} WHERE a.{} AND b.{}'
                ' AND a."~key" COLLATE "C" < b."~key"'
            )
            if not rule.unique:
                pairs += ' AND (a."~moved" OR b."~moved")'
            parts.append(
                sql.SQL(pairs).format(sql.Literal(number), sql.SQL(" AND ").join(related), about, about)
            )
        if not rules:
            return []
        query = sql.SQL(
            'WITH after AS MATERIALIZED (SELECT "~key", "~moved", {} FROM ({}) g) {} ORDER BY 1, 2, 3'
        )
        found = self.connection.execute(
            query.format(sql.SQL(", ").join(cells), self._rows, sql.SQL(" UNION ALL ").join(parts))
        )
        return [Clash(rules[number], left, right) for number, left, right in found]

    def rows(self, keys: Iterable[str]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Return some of the rows, by key: as they are, and as they would be."""
        query = sql.SQL('SELECT "~key", "~was", to_jsonb(g) FROM ({}) g WHERE "~key" = ANY({})')
        found = self.connection.execute(query.format(self._rows, sql.Literal(list(keys))))
        return {key: (was, after) for key, was, after in found}

    def _rules(self) -> Iterable[Rule]:
        """Yield the table's rules that rest on what moves.

        That one member is registered once for an event is a rule of Murmurant's also where no index says so
        (the guide's database has none).
        """
        moving = self.child.columns
        moving |= {name for name, each in self.child.described.columns.items() if each.generated}
        rules = [Rule(*row) for row in self.connection.execute(_RULES, {"table": self._table})]
        if is_of_registrations(self.schema, self.child):
            spelling = self.schema.resolved["registrations"].spelling
            pair = [spelling[name] for name in ("event_id", "member_id") if name in spelling]
            if len(pair) == 2 and not any(each.unique and set(each.columns) == {*pair} for each in rules):
                cells = [sql.Identifier(name).as_string(self.connection) for name in pair]
                rules.append(Rule(ONCE_PER_EVENT, cells, pair, ["=", "="], "true", unique=True))
        return [each for each in rules if moving & set(each.columns)]


def is_of_registrations(schema: Schema, child: Child) -> bool:
    """Whether a table is that of the registrations."""
    found = schema.resolved.get("registrations")
    return found is not None and found.table == child.table


def _moved(graph: References, child: Child, moves: Moves) -> sql.Composable:
    """Select the rows, with ``~key``, ``~was`` (the row as it is), and ``~moved`` for those that move."""
    described = child.described
    joins, moved = list[sql.Composable](), list[sql.Composable]()
    cells: dict[str, list[sql.Composable]] = {}
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
    columns = [
        sql.SQL("coalesce({}) AS {}").format(
            sql.SQL(", ").join([*cells.get(name, ()), sql.Identifier("t", name)]), sql.Identifier(name)
        )
        for name, column in described.columns.items()
        if not column.generated
    ]
    return sql.SQL('SELECT {}, {} AS "~key", to_jsonb(t) AS "~was", {} AS "~moved" FROM {} t{} WHERE {}').format(
        *(sql.SQL(", ").join(columns), rows.key_text(described.primary_key, "t"), sql.SQL(" OR ").join(moved)),
        *(rows.qualified(graph.schema.catalogue, child.table), sql.SQL("").join(joins)),
        referring(graph, child.references, {parent: [*pairs, *pairs.values()] for parent, pairs in moves.items()}),
    )  # fmt: skip
