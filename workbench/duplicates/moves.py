"""What a merge moves and deletes: rows that refer to a duplicate, and rows that would become one (guide §4.4)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

import pandas as pd
from psycopg import sql

from workbench.duplicates.records import refers_to, target_of
from workbench.errors import Refused
from workbench.murmurant.references import Reference
from workbench.murmurant.spellings import CONCEPTS
from workbench.plans import rows
from workbench.plans.draft import PlanContext
from workbench.plans.rows import Current

STATES = (
    *("CONFIRMED", "NO_SHOW", "PENDING_PAYMENT", "PENDING", "WAITLISTED"),
    *("DRAFT", "REFUND_PENDING", "REFUNDED", "CANCELLED"),
)
"""The states of a registration; of two registrations the one whose state comes first stays."""

_BY_HAND = "the row named with --keep stays"
_IDENTICAL = "of two identical rows the canonical record's own stays, else the older"
_FURTHER_ALONG = (
    "of two registrations of one person for one event the one further along stays (confirmed before waitlisted"
    " before cancelled), then the older"
)
_ROUNDS = 500  # references that lead in a circle would go on forever

_CREATED, _UPDATED, _RUN = (
    [name for concept in CONCEPTS.values() for name in concept.columns.get(column, ())]
    for column in ("created_at", "updated_at", "run_id")
)
"""How any table may spell these columns."""

_RULES = """
    SELECT i.indexrelid::regclass::text,
           ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts) n),
           CASE WHEN i.indisexclusion THEN
                ARRAY(SELECT format('OPERATOR(%%I.%%s)', s.nspname, o.oprname) FROM pg_constraint c, unnest(c.conexclop)
                      WITH ORDINALITY e(op, n) JOIN pg_operator o ON o.oid = e.op JOIN pg_namespace s ON s.oid = o.oprnamespace
                      WHERE c.conindid = i.indexrelid AND c.contype = 'x' ORDER BY e.n) END,
           coalesce(pg_get_expr(i.indpred, i.indrelid), 'true'),
           coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
    FROM pg_index i WHERE i.indrelid = %(table)s::regclass AND (i.indisunique OR i.indisexclusion)
    UNION ALL
    SELECT conname::text, ARRAY[pg_get_expr(conbin, conrelid)], '{}', 'true', false
    FROM pg_constraint WHERE conrelid = %(table)s::regclass AND contype = 'c' ORDER BY 1
"""
_GENERATED = """
    SELECT a.attname::text, pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = %s::regclass AND a.attgenerated <> ''
"""
# The rows as they would be after the merge, with generated columns computed anew.
_AFTER = """
    WITH after AS MATERIALIZED (
        SELECT "~key", "~moved", {columns} FROM (
            SELECT c.key AS "~key", c.changes <> '{{}}' AS "~moved", moved.*
            FROM {table} t JOIN unnest(%s::text[], %s::jsonb[]) AS c(key, changes) ON c.key = {key}
            CROSS JOIN LATERAL jsonb_populate_record(t, c.changes) AS moved WHERE {referring}
        ) AS moved
    ) {broken} ORDER BY 1, 2
"""
_TWICE = """
    SELECT {number}, array_agg("~key" ORDER BY "~key" COLLATE "C") FROM after WHERE {where}
    GROUP BY ROW({cells}) HAVING count(*) > 1 AND bool_or("~moved") AND ({nulls_are_equal} OR ROW({cells}) IS NOT NULL)
"""
_EXCLUDED = """
    SELECT {number}, ARRAY[a."~key", b."~key"] FROM (SELECT "~key", "~moved", {cells} FROM after WHERE {where}) AS a
    JOIN (SELECT "~key", "~moved", {cells} FROM after WHERE {where}) AS b ON {related}
    WHERE a."~key" COLLATE "C" < b."~key" AND (a."~moved" OR b."~moved")
"""
_CHECKED = """SELECT {number}, ARRAY["~key"] FROM after WHERE "~moved" AND NOT ({cells})"""


class Merge(NamedTuple):
    """Duplicates, sorted, that go into a canonical record; what made it canonical, and why they are merged."""

    canonical: str
    duplicates: tuple[str, ...]
    chosen_by: str
    reason: str

    @property
    def records(self) -> tuple[str, ...]:
        """All of them, the canonical one first."""
        return (self.canonical, *self.duplicates)


class Rule(NamedTuple):
    """A unique index, an exclusion or a check constraint, or a rule of Murmurant's.

    Attributes
    ----------
    name : str
        The index, constraint or rule.
    cells : list of str
        SQL expressions over the table's columns; of a check the condition.
    operators : list of str or None
        None for a unique rule, empty for a check; else those by which no two rows may be related, cell by cell.
    where : str
        The rows it applies to.
    nulls_are_equal : bool
        Whether two NULLs are equal.
    """

    name: str
    cells: list[str]
    operators: list[str] | None = None
    where: str = "true"
    nulls_are_equal: bool = False


class Blocked(NamedTuple):
    """Rows of which no rule can tell which one stays: why not, and what to do."""

    table: str
    keys: tuple[str, ...]
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.table} {', '.join(self.keys)}: {self.reason}"


@dataclass
class Child:
    """A table with rows that refer to what goes, or to what replaces it.

    Attributes
    ----------
    references : list of Reference
        Its references to tables some of whose rows go.
    rewritten : bool
        Whether its rows have to be deleted and inserted again, since what changes is part of their key.
    referring : Composable
        The condition by which its rows are read.
    rows : dict of str to Current
        These rows, by key.
    moved : dict of str to dict
        Those that refer to something that goes: the columns that change, with their new values.
    losers : dict of str to str
        Rows that go because another row takes their place, each with that row.
    rules : set of str
        The rules that decided which row stays.
    blocked : list of Blocked
        What no rule decides.
    """

    table: str
    references: list[Reference]
    rewritten: bool
    referring: sql.Composable
    rows: dict[str, Current] = field(default_factory=dict)
    moved: dict[str, dict[str, str]] = field(default_factory=dict)
    losers: dict[str, str] = field(default_factory=dict)
    rules: set[str] = field(default_factory=set)
    blocked: list[Blocked] = field(default_factory=list)

    def targets(self, key: str) -> Iterator[tuple[Reference, str]]:
        """Yield what a row refers to now."""
        for reference in self.references:
            if target := target_of(reference, self.rows[key].values):
                yield reference, target


class Moves:
    """Everything that some merges move and delete.

    Parameters
    ----------
    table : str
        The table of the records.
    keep : collection of str
        Rows that the user wants to stay.

    Attributes
    ----------
    gone : dict
        Table to the rows that go, each with the row that replaces it.
    children : dict of str to Child
        Tables with rows that refer to something that goes.
    owners : dict of (table, key) to set of str
        The canonical records whose merges concern a row.

    Raises
    ------
    Refused
        When references lead in a circle, or a row has no key.
    """

    def __init__(
        self, context: PlanContext, table: str, merges: Sequence[Merge], keep: Collection[str]
    ) -> None:
        self.context, self.schema, self.graph = context, context.schema, context.references
        self.table, self.keep = table, keep
        self.gone = {table: {key: merge.canonical for merge in merges for key in merge.duplicates}}
        self.children: dict[str, Child] = {}
        self.owners: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.owners |= {(table, key): {merge.canonical} for merge in merges for key in merge.records}
        registrations = self.schema.resolved.get("registrations")
        self._registrations = registrations.table if registrations else ""
        self._spelling = registrations.spelling if registrations else {}
        self._follow()
        for child in self.children.values():
            self._block_parts(child)

    def goes(self, table: str, key: str) -> bool:
        """Whether a row is deleted."""
        child = self.children.get(table)
        return key in self.gone.get(table, ()) or (child is not None and key in child.losers)

    def blocked(self) -> dict[str, list[Blocked]]:
        """Return what no rule decides, by the canonical record whose merge it blocks."""
        by_merge: dict[str, list[Blocked]] = defaultdict(list)
        for obstacle in (obstacle for child in self.children.values() for obstacle in child.blocked):
            for canonical in self._owners_of(obstacle.table, obstacle.keys):
                by_merge[canonical].append(obstacle)
        return by_merge

    def proof(self) -> list[dict[str, Any]]:
        """Account for every row that refers to what goes or to what replaces it; apply counts them again.

        Returns
        -------
        list of dict
            One for each referring column in use: ``table``, ``column``, ``to``; the rows that refer to the records
            ``before``, how many are ``moved`` and ``deleted``, how many refer to the canonical records ``after``, and
            ``why`` any are deleted.
        """
        fates = defaultdict[tuple[str, str, str], Counter[str]](Counter)
        stay = {parent: {*pairs.values()} for parent, pairs in self.gone.items()}
        for name, child in self.children.items():
            for key in child.rows:
                for way, target in child.targets(key):
                    moves = target in self.gone[way.parent]
                    fate = "deleted" if self.goes(name, key) else "moved" if moves else "stays"
                    if moves or target in stay[way.parent]:
                        fates[way.parent, name, way.column][fate] += 1
        proof = []
        for (parent, name, column), counts in sorted(fates.items()):
            before, deleted = counts.total(), counts["deleted"]
            rules = "; ".join(sorted(self.children[name].rules)) or "the row is itself one of the duplicates"
            row = {"table": name, "column": column, "to": parent, "before": before, "moved": counts["moved"]}
            row |= {"deleted": deleted, "after": before - deleted, "why": rules if deleted else ""}
            proof.append(row)
        return proof

    def _owners_of(self, table: str, keys: Collection[str]) -> set[str]:
        return {owner for key in keys for owner in self.owners[table, key]}

    def _follow(self) -> None:
        """Read the rows that refer to what goes and decide what collides; repeat for the rows that go because of it."""
        occupied, pending = rows.sizes(self.context.raw, self.schema.catalogue), [self.table]
        for _ in range(_ROUNDS):
            if not pending:
                return
            parent = pending.pop(0)
            for name in sorted({way.child for way in self.graph.binding(parent)} & occupied.keys()):
                child = self.children[name] = self._read(name)
                self._decide_collisions(child)
                losers = {} if child.rewritten else child.losers
                if losers and name == self.table:
                    problem = f"Rows of {name} that refer to one another would collide."
                    raise Refused(problem, "Merge them one after the other.")
                if name != self.table and losers != self.gone.get(name, {}):
                    self.gone[name] = losers
                    pending += [] if name in pending else [name]
        raise Refused(
            "References lead in a circle, and collide again and again.", "Merge fewer records at a time."
        )

    def _read(self, table: str) -> Child:
        """Read the rows of a table that refer to what goes or to what replaces it, and note how they change."""
        catalogue, described = self.schema.catalogue, self.schema.catalogue.tables[table]
        parents = sorted(parent for parent, pairs in self.gone.items() if pairs)
        references = [way for parent in parents for way in self.graph.binding(parent) if way.child == table]
        concerned = [
            refers_to(self.graph, way, {*self.gone[way.parent], *self.gone[way.parent].values()})
            for way in references
        ] or [sql.SQL("false")]
        key = described.primary_key
        names = [name for name, column in described.columns.items() if not column.generated]
        rewritten = len(key) != 1 or key[0] in {reference.column for reference in references}
        child = Child(table, references, rewritten, sql.SQL("({})").format(sql.SQL(" OR ").join(concerned)))
        query = sql.SQL("SELECT {}, {}::text, {} FROM {} t WHERE {}").format(
            rows.key_text(key, "t") if key else sql.SQL("''"),
            rows.digest(described, tuple(described.columns), "t"),
            sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names),
            *(rows.qualified(catalogue, table), child.referring),
        )
        for name, digest, *values in sorted(self.context.raw.execute(query), key=itemgetter(0)):
            child.rows[name] = Current(digest, dict(zip(names, values, strict=True)))
            for reference, target in child.targets(name):
                self.owners[table, name] |= self.owners.get((reference.parent, target), set())
                if target in self.gone[reference.parent]:
                    changes = child.moved.setdefault(name, {})
                    changes[reference.column] = self.gone[reference.parent][target]
        if child.rows and not (key and {*key} <= {*names}):
            problem = f'Rows of "{table}" refer to what would go, and the table has no primary key.'
            raise Refused(problem, "Give it a primary key, or move these rows in the application first.")
        return child

    def _decide_collisions(self, child: Child) -> None:
        """Decide for each group of rows that would become one which row stays."""
        groups: dict[tuple[str, ...], list[Rule]] = defaultdict(list)
        collisions = [*self._collisions(child)] if child.moved else []
        for rule, keys in collisions:
            if rule.operators is None:
                groups[keys].append(rule)
        collides = Counter(key for keys in groups for key in keys)
        for keys, rules in sorted(groups.items()):
            decision = self._decide(child, keys, rules, max(collides[key] for key in keys) > 1)
            if isinstance(decision, Blocked):
                child.blocked.append(decision)
                continue
            winner, reason = decision
            child.losers |= {key: winner for key in keys if key != winner}
            child.rules.add(reason)
            self.owners |= dict.fromkeys(
                ((child.table, key) for key in keys), self._owners_of(child.table, keys)
            )
        for rule, keys in collisions:
            if rule.operators is not None and not child.losers.keys() & {*keys}:
                reason = f"after the merge the table's rule {rule.name} would forbid it"
                remedy = f"Change or delete in the application the row of {child.table} that is wrong"
                child.blocked.append(Blocked(child.table, keys, reason, remedy))

    def _collisions(self, child: Child) -> Iterator[tuple[Rule, tuple[str, ...]]]:
        """Yield the rows that would break a rule once they have moved, as the database compares them."""
        connection, described = self.context.raw, self.schema.catalogue.tables[child.table]
        table = rows.qualified(self.schema.catalogue, child.table)
        rules = [Rule(*rule) for rule in connection.execute(_RULES, {"table": table.as_string()})]
        pair = ("event_id", "member_id")
        known = child.table == self._registrations and {*pair} <= self._spelling.keys()
        if known and not self.schema.forbids_twins("registrations", *pair):
            # Murmurant's own rule, also where no index enforces it.
            names = [sql.Identifier(self._spelling[name]).as_string() for name in pair]
            rules.append(Rule("one registration per event and member", names))
        if not rules:
            return
        computed = dict(connection.execute(_GENERATED, [table.as_string()]).fetchall())
        columns = [
            sql.SQL("({}) AS {}").format(_verbatim(computed[name]), sql.Identifier(name))
            if name in computed
            else sql.Identifier(name)
            for name in described.columns
        ]
        query = sql.SQL(_AFTER).format(
            columns=sql.SQL(", ").join(columns),
            table=table,
            key=rows.key_text(described.primary_key, "t"),
            referring=child.referring,
            broken=sql.SQL(" UNION ALL ").join(_broken(number, rule) for number, rule in enumerate(rules)),
        )
        changes = [json.dumps(child.moved.get(name, {})) for name in child.rows]
        for number, keys in connection.execute(query, [list(child.rows), changes]):
            yield rules[number], tuple(keys)

    def _decide(
        self, child: Child, keys: tuple[str, ...], rules: Sequence[Rule], in_several: bool
    ) -> tuple[str, str] | Blocked:
        """Return which of the rows that would become one stays, and by which rule; or why no rule can tell."""
        names = ", ".join(rule.name for rule in rules)
        remedy = f"Delete or change in the application the row of {child.table} that is wrong"
        moving = {reference.column for reference in child.references}
        cells = [{cell.strip('"') for cell in rule.cells} for rule in rules if rule.where == "true"]
        if any(cell <= moving for cell in cells) and not child.rewritten:
            reason = f"each record has a row of its own there, and one record can have only one ({names})"
            return Blocked(child.table, keys, reason, f"{remedy}, and plan again")
        remedy += ", or name the one that stays with --keep ID"
        kept = [key for key in keys if key in self.keep and not child.rewritten]
        if in_several or len(kept) > 1:
            reason = "more than one is named to stay" if kept else "they collide in more than one way"
            return Blocked(child.table, keys, reason, remedy)
        if kept:
            return kept[0], _BY_HAND
        after = {key: {**child.rows[key].values, **child.moved.get(key, {})} for key in keys}
        ages = {key: (key in child.moved, _moment(row, _CREATED), key) for key, row in after.items()}
        states = {key: str(row.get(self._spelling.get("status", ""))) for key, row in after.items()}
        if child.table == self._registrations and (
            len({*states.values()}) == 1 or {*states.values()} <= {*STATES}
        ):
            places = {state: place for place, state in enumerate(STATES)}
            registered = [self._spelling.get("registered_at", "")]
            order = {
                key: (places.get(states[key], 0), _moment(row, registered), ages[key])
                for key, row in after.items()
            }
            return min(keys, key=order.__getitem__), _FURTHER_ALONG
        own = {*self.schema.catalogue.tables[child.table].primary_key, *_CREATED, *_UPDATED, *_RUN}
        values = pd.DataFrame(after.values(), dtype=object).drop(columns=list(own), errors="ignore")
        if differ := sorted(values.columns[values.nunique(dropna=False) > 1]):
            reason = f"they would be one row ({names}), and differ in {', '.join(differ)}"
            return Blocked(child.table, keys, reason, remedy)
        return min(keys, key=ages.__getitem__), _IDENTICAL

    def _block_parts(self, child: Child) -> None:
        """Block rows that become one where two of them have parts of their own, such as payments.

        A part is a row that the database deletes with the row it refers to, or that forbids deleting it. Parts of one
        row move to the row that stays; only a person can tell which parts of several rows count.
        """
        for reference in child.references:
            parent = self.children.get(reference.parent)
            if parent is None or not reference.declared or reference.on_delete == "SET NULL":
                continue
            parts = defaultdict[str, dict[str, list[str]]](dict)
            winners = {winner: winner for winner in parent.losers.values()} | parent.losers
            for key, row in child.rows.items():
                if (target := row.values[reference.column] or "") in winners:
                    parts[winners[target]].setdefault(target, []).append(key)
            for owners in (owners for owners in parts.values() if len(owners) > 1):
                names = "; ".join(f"{key} has {', '.join(keys)}" for key, keys in sorted(owners.items()))
                reason = f"more than one of them has rows of {child.table} ({names})"
                remedy = f"Decide in the application which of {child.table} count, then plan again"
                parent.blocked.append(Blocked(parent.table, tuple(sorted(owners)), reason, remedy))


def _verbatim(text: str) -> sql.SQL:
    return sql.SQL(text.replace("%", "%%"))


def _broken(number: int, rule: Rule) -> sql.Composed:
    """Return the query for the rows of ``after`` that break a rule: the rule's number, and their keys."""
    cells = [sql.SQL("({})").format(_verbatim(cell)) for cell in rule.cells]
    names = [sql.Identifier(f"~{place}") for place in range(len(cells))]
    query, related = _TWICE, sql.Composed([])
    if rule.operators is not None:
        query = _EXCLUDED if rule.operators else _CHECKED
    if rule.operators:
        cells = [sql.SQL("{} AS {}").format(cell, name) for cell, name in zip(cells, names, strict=True)]
        pairs = zip(names, rule.operators, strict=True)
        related = sql.SQL(" AND ").join(
            sql.SQL("a.{0} {1} b.{0}").format(name, sql.SQL(op)) for name, op in pairs
        )
    return sql.SQL(query).format(
        number=sql.Literal(number),
        cells=sql.SQL(", ").join(cells),
        where=_verbatim(rule.where),
        related=related,
        nulls_are_equal=sql.Literal(rule.nulls_are_equal),
    )


def _moment(row: Mapping[str, str | None], names: Sequence[str]) -> str:
    """Return a row's moment, however the column is spelled; an unknown one sorts after every date."""
    return next(filter(None, map(row.get, names)), "~")
