"""What merging moves and deletes: all that refers to a duplicate, and what follows where two rows become one (guide §4.4)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from psycopg import sql

from workbench.duplicates.associations import count_associations, refers_to, target_of
from workbench.duplicates.request import Merge
from workbench.errors import Refused, WorkbenchError
from workbench.murmurant.references import Reference
from workbench.murmurant.spellings import CONCEPTS
from workbench.plans import rows
from workbench.plans.draft import PlanContext
from workbench.plans.rows import Current

STANDING = (
    *("CONFIRMED", "NO_SHOW", "PENDING_PAYMENT", "PENDING", "WAITLISTED"),
    *("DRAFT", "REFUND_PENDING", "REFUNDED", "CANCELLED"),
)
"""The states of a registration, the one that stays first."""

_BY_HAND = "the row named by hand stays"
_SAME = "of two rows that say the same the canonical record's own stays, else the older"
_FURTHER_ALONG = (
    "of two registrations of one person for one event the one further along stays (confirmed before waitlisted"
    " before cancelled), then the older"
)

_BORN, _CHANGED, _BY_RUN = (
    [name for concept in CONCEPTS.values() for name in concept.columns.get(column, ())]
    for column in ("created_at", "updated_at", "run_id")
)
"""How a table of any concept may spell these."""

_ROUNDS = 12  # a registration's payment's refund's ...: references of references do not go deeper

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
_AFTER = """
    WITH after AS MATERIALIZED (SELECT "~key", "~moved", {cells} FROM (
        SELECT "~key", "~moved", {columns} FROM (
            SELECT c.key AS "~key", c.changes <> '{{}}' AS "~moved", moved.*
            FROM {table} t JOIN unnest(%s::text[], %s::jsonb[]) AS c(key, changes) ON c.key = {key}
            CROSS JOIN LATERAL jsonb_populate_record(t, c.changes) AS moved WHERE {referring}
        ) AS moved) AS computed
    ) {collisions} ORDER BY 1, 2
"""
_UNIQUE = """
    SELECT {number}, array_agg("~key" ORDER BY "~key" COLLATE "C") FROM after
    WHERE {wanted} GROUP BY {cells} HAVING count(*) > 1 AND bool_or("~moved")
"""
_EXCLUDED = """
    SELECT {number}, ARRAY[a."~key", b."~key"] FROM after a JOIN after b ON {related}
    WHERE a."~key" COLLATE "C" < b."~key" AND (a."~moved" OR b."~moved")
"""
_CHECKED = """SELECT {number}, ARRAY["~key"] FROM after WHERE "~moved" AND NOT {cell}"""


class Rule(NamedTuple):
    """What rows of a table may not share, or may not say.

    Attributes
    ----------
    name : str
        The index or constraint, or the rule.
    cells : list of str
        Expressions over the table's columns; of a check the one that has to be true.
    operators : list of str or None
        No two rows may be related by all of these, cell by cell; empty for a check, None where cells may not be equal.
    where : str
        Which rows it is about.
    nulls_are_equal : bool
        Whether two cells without a value are equal.
    """

    name: str
    cells: list[str]
    operators: list[str] | None = None
    where: str = "true"
    nulls_are_equal: bool = False


class Blocked(NamedTuple):
    """Rows of a table of which no rule can tell which stays: why not, and what to do."""

    table: str
    keys: tuple[str, ...]
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.table} {', '.join(self.keys)}: {self.reason}"


@dataclass
class Child:
    """A table with rows that refer to what goes, or to what takes its place.

    Attributes
    ----------
    references : list of Reference
        Those of its references that lead to a table some of whose rows go.
    rewritten : bool
        Whether its rows cannot be moved, only deleted and written anew: what moves is part of what names them.
    referring : Composable
        The condition of what it lists.
    rows : dict of str to Current
        These rows, by key.
    moved : dict of str to dict
        Those that refer to something that goes: the columns that change, with their new values.
    losers : dict of str to str
        The rows that go because another is the same row then, each with the one that stays.
    rules : set of str
        The rules that decided which stays.
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
        Where the records are.
    keep : collection of str
        Rows that stay by the word of whoever asks.

    Attributes
    ----------
    gone : dict
        Table to the rows that go, each with the one that takes its place: the duplicates, and what collided.
    children : dict of str to Child
        Tables with rows that refer to something that goes.
    owners : dict of (table, key) to set of str
        Each row concerned, to the canonical records whose merges concern it.

    Raises
    ------
    Refused
        When references lead in a circle, or a row cannot be named.
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
        self._registrations = registrations = self.schema.resolved.get("registrations")
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

    def counted(self) -> tuple[Counter[str], Counter[str]]:
        """Count the rows that move, and those that go besides the duplicates, by canonical record."""
        moved, deleted = Counter[str](), Counter[str]()
        for name, child in self.children.items():
            deleted.update(owner for key in child.losers for owner in self.owners[name, key])
            staying = (key for key in child.moved if not self.goes(name, key))
            moved.update(owner for key in staying for owner in self.owners[name, key])
        return moved, deleted

    def proof(self) -> list[dict[str, Any]]:
        """Count what refers to the records concerned, and hold it against what the plan would move and delete.

        The counts are the database's own, asked anew and not derived from what was read for the plan.

        Returns
        -------
        list of dict
            One for each way to refer to what is merged that is in use: ``table``, ``column``, ``to``; the rows that
            refer to the records concerned ``before``, how many of them are ``moved`` and ``deleted`` (another row stays
            in their place), the rows ``after``; and ``why`` they differ.

        Raises
        ------
        WorkbenchError
            When they do not add up: the plan would lose, or miss, a row. None is written.
        """
        concerned = {parent: {*pairs, *pairs.values()} for parent, pairs in self.gone.items()}
        planned = Counter[tuple[Reference, bool, str]]()
        for name, child in self.children.items():
            for key in child.rows:
                for reference, target in child.targets(key):
                    fate = "moved" if reference.column in child.moved.get(key, ()) else "stays"
                    fate = "deleted" if self.goes(name, key) else fate
                    if target in concerned[reference.parent]:
                        planned[reference, target in self.gone[reference.parent], fate] += 1
        proof = []
        for parent, pairs in self.gone.items():
            references = [way for way in self.graph.binding(parent) if way.child in self.children]
            counted = count_associations(self.context.connection, self.graph, concerned[parent], references)
            for reference in references:
                name, column = reference.child, reference.column
                counts = counted[(counted["child"] == name) & (counted["column"] == column)].set_index("id")[
                    "rows"
                ]
                before, leaving = int(counts.sum()), int(counts[counts.index.isin(pairs)].sum())
                moved, deleted = planned[reference, True, "moved"], planned[reference, True, "deleted"]
                if leaving != moved + deleted:
                    raise WorkbenchError(
                        f"The plan does not add up: {leaving:,} rows of {name} refer by {column} to what would go,"
                        f" and the plan moves {moved:,} and deletes {deleted:,}.",
                        "Nothing was planned. Please report it.",
                    )
                deleted += planned[reference, False, "deleted"]
                rules = "; ".join(sorted(self.children[name].rules))
                why = (rules or "the record itself is one of the duplicates") if deleted else ""
                row = {"table": name, "column": column, "to": parent, "before": before, "moved": moved}
                proof.append(row | {"deleted": deleted, "after": before - deleted, "why": why})
        used = (row for row in proof if row["before"])
        return sorted(used, key=lambda row: (row["to"], row["table"], row["column"]))

    def _owners_of(self, table: str, keys: Collection[str]) -> set[str]:
        return {owner for key in keys for owner in self.owners[table, key]}

    def _follow(self) -> None:
        """Go from what goes to what refers to it, settle what collides, and on from there until nothing more goes."""
        known: dict[str, dict[str, dict[str, str]]] = {}
        occupied = rows.sizes(self.context.raw, self.schema.catalogue)
        for _ in range(_ROUNDS):
            referring: dict[str, list[Reference]] = {}
            for parent in sorted(self.gone):
                for reference in self.graph.binding(parent):
                    if reference.child in occupied:
                        referring.setdefault(reference.child, []).append(reference)
            for name, references in referring.items():
                pairs = {reference.parent: self.gone[reference.parent] for reference in references}
                if known.get(name) != pairs:  # something goes that it refers to, and did not before
                    known[name], self.children[name] = pairs, self._read(name, references)
                    self._settle(self.children[name])
            self.children = {name: self.children[name] for name in referring}
            gone = {
                name: child.losers
                for name, child in self.children.items()
                if child.losers and not child.rewritten
            }
            if self.table in gone:
                problem = f"Rows of {self.table} that refer to one another would collide."
                raise Refused(problem, "Merge them one after the other.")
            gone[self.table] = self.gone[self.table]
            if gone == self.gone:
                return
            self.gone = gone
        raise Refused("What collides leads to ever more that collides.", "Merge fewer records at a time.")

    def _read(self, table: str, references: list[Reference]) -> Child:
        """Read a table's rows that refer to what goes or to what takes its place, and say how they change."""
        catalogue, described = self.schema.catalogue, self.schema.catalogue.tables[table]
        concerned = [
            refers_to(self.graph, way, {*self.gone[way.parent], *self.gone[way.parent].values()})
            for way in references
        ]
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
            problem = (
                f'Rows of "{table}" refer to what would go, and nothing in it is unique and never empty.'
            )
            raise Refused(problem, "Give it a primary key, or move these rows in the application first.")
        return child

    def _settle(self, child: Child) -> None:
        """Decide for each group of rows that would be one which of them stays."""
        groups: dict[tuple[str, ...], list[Rule]] = {}
        collisions = [*self._collisions(child)] if child.moved else []
        for rule, names in collisions:
            if rule.operators is None:
                groups.setdefault(tuple(names), []).append(rule)
        several = Counter(key for keys in groups for key in keys)
        for keys, rules in sorted(groups.items()):
            decision = self._decide(child, keys, rules, max(several[key] for key in keys) > 1)
            if isinstance(decision, Blocked):
                child.blocked.append(decision)
                continue
            winner, reason = decision
            child.losers |= {key: winner for key in keys if key != winner}
            child.rules.add(reason)
            owners = self._owners_of(child.table, keys)
            self.owners |= {(child.table, key): owners for key in keys}
        for rule, names in collisions:
            if rule.operators is not None and not child.losers.keys() & {*names}:
                reason = f"once they are of one record, the table's rule {rule.name} forbids it"
                remedy = f"Change or delete in the application the row of {child.table} that is wrong"
                child.blocked.append(Blocked(child.table, tuple(names), reason, remedy))

    def _collisions(self, child: Child) -> Iterator[tuple[Rule, list[str]]]:
        """Yield the rows that break a rule once they have moved, as the database compares them.

        That one member is registered once for an event is a rule of Murmurant's also where no index says so.
        """
        connection, described = self.context.raw, self.schema.catalogue.tables[child.table]
        table = rows.qualified(self.schema.catalogue, child.table)
        rules = [Rule(*rule) for rule in connection.execute(_RULES, {"table": table.as_string()})]
        pair = ("event_id", "member_id")
        known = self._is_of_registrations(child) and {*pair} <= self._spelling.keys()
        if known and not self.schema.forbids_twins("registrations", *pair):
            names = [sql.Identifier(self._spelling[name]).as_string() for name in pair]
            rules.append(Rule("one registration per event and member", names))
        if not rules:
            return
        alias = sql.SQL("({}) AS {}").format

        def verbatim(text: str) -> sql.SQL:
            return sql.SQL(text.replace("%", "%%"))

        generated = dict(connection.execute(_GENERATED, [table.as_string()]).fetchall())
        columns = [
            alias(verbatim(generated[name]), sql.Identifier(name))
            if name in generated
            else sql.Identifier(name)
            for name in described.columns
        ]
        cells, collisions = list[sql.Composable](), list[sql.Composable]()
        for number, rule in enumerate(rules):
            about, where = f"~{number}", verbatim(rule.where)
            cells.append(alias(where, sql.Identifier(about)))
            for place, cell in enumerate(rule.cells):
                value = sql.SQL("CASE WHEN {} THEN ({}) END").format(where, verbatim(cell))
                cells.append(alias(value, sql.Identifier(f"{about}.{place}")))
            collisions.append(_collision(number, rule))
        query = sql.SQL(_AFTER).format(
            cells=sql.SQL(", ").join(cells),
            columns=sql.SQL(", ").join(columns),
            table=table,
            key=rows.key_text(described.primary_key, "t"),
            referring=child.referring,
            collisions=sql.SQL(" UNION ALL ").join(collisions),
        )
        changes = [json.dumps(child.moved.get(name, {})) for name in child.rows]
        for number, keys in connection.execute(query, [list(child.rows), changes]):
            yield rules[number], keys

    def _decide(
        self, child: Child, keys: tuple[str, ...], rules: Sequence[Rule], in_several: bool
    ) -> tuple[str, str] | Blocked:
        """Return which of the rows that would be one stays, and by which rule; or why nobody can tell."""
        moving = {reference.column for reference in child.references}
        names = ", ".join(rule.name for rule in rules)
        kept = [key for key in keys if key in self.keep and not child.rewritten]
        remedy = f"Delete or change in the application the row of {child.table} that is wrong"
        unconditional = (rule.cells for rule in rules if rule.where == "true")
        alone = any({cell.strip('"') for cell in cells} <= moving for cells in unconditional)
        if alone and not child.rewritten:
            reason = f"each record has a row of its own there, and one record can have only one ({names})"
            return Blocked(child.table, keys, reason, f"{remedy}, and plan again")
        remedy += ", or name the one that stays with --keep ID"
        if in_several or len(kept) > 1:
            reason = "more than one is named to stay" if kept else "they collide in more than one way"
            return Blocked(child.table, keys, reason, remedy)
        if kept:
            return kept[0], _BY_HAND
        after = {key: {**child.rows[key].values, **child.moved.get(key, {})} for key in keys}
        ages = {key: (key in child.moved, _stamp(row, _BORN), key) for key, row in after.items()}
        states = {row.get(self._spelling.get("status", "")) for row in after.values()}
        if self._is_of_registrations(child) and (len(states) == 1 or states <= {*STANDING}):

            def place(key: str) -> tuple[Any, ...]:
                state = str(after[key].get(self._spelling.get("status", "")))
                since = _stamp(after[key], [self._spelling.get("registered_at", "")])
                return (len(states) > 1 and STANDING.index(state)), since, ages[key]

            return min(keys, key=place), _FURTHER_ALONG
        own = {*self.schema.catalogue.tables[child.table].primary_key, *_BORN, *_CHANGED, *_BY_RUN}
        first, *others = after.values()
        if differ := sorted({name for row in others for name in {*row} - own if row[name] != first[name]}):
            reason = f"they would be one row ({names}), and differ in {', '.join(differ)}"
            return Blocked(child.table, keys, reason, remedy)
        return min(keys, key=ages.__getitem__), _SAME

    def _is_of_registrations(self, child: Child) -> bool:
        return self._registrations is not None and self._registrations.table == child.table

    def _block_parts(self, child: Child) -> None:
        """Block rows that become one where two of them have parts of their own, such as payments.

        A part is what the database would not let its row go without: a reference that cascades, or forbids.
        Parts of one of them move to the one that stays; of parts on both sides nobody but a person knows which count.
        """
        for reference in child.references:
            parent = self.children.get(reference.parent)
            if parent is None or not reference.declared or reference.on_delete == "SET NULL":
                continue
            groups, parts = defaultdict[str, set[str]](set), defaultdict[str, list[str]](list)
            winners = dict(zip(parent.losers.values(), parent.losers.values(), strict=True)) | parent.losers
            for key, row in child.rows.items():
                target = row.values[reference.column] or ""
                if target in winners:
                    parts[target].append(key)
                    groups[winners[target]].add(target)
            for owners in groups.values():
                if len(owners) > 1:
                    names = "; ".join(f"{key} has {', '.join(parts[key])}" for key in sorted(owners))
                    reason = f"more than one of them has rows of {child.table} ({names})"
                    remedy = f"Settle in the application which of {child.table} count, then plan again"
                    parent.blocked.append(Blocked(parent.table, tuple(sorted(owners)), reason, remedy))


def _collision(number: int, rule: Rule) -> sql.Composed:
    """Return the question of the rows that break a rule; they have each of its cells as ``~number.place``."""
    names = [f"~{number}.{place}" for place in range(len(rule.cells))]
    literal = sql.Literal(number)
    if rule.operators is None:
        cells = sql.SQL(", ").join(map(sql.Identifier, names))
        wanted: list[sql.Composable] = [sql.Identifier(f"~{number}")]
        filled = [sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)) for name in names]
        wanted += [] if rule.nulls_are_equal else filled
        return sql.SQL(_UNIQUE).format(number=literal, wanted=sql.SQL(" AND ").join(wanted), cells=cells)
    if not rule.operators:
        return sql.SQL(_CHECKED).format(number=literal, cell=sql.Identifier(*names))
    related = [
        sql.SQL("a.{} {} b.{}").format(sql.Identifier(name), sql.SQL(operator), sql.Identifier(name))
        for name, operator in zip(names, rule.operators, strict=True)
    ]
    return sql.SQL(_EXCLUDED).format(number=literal, related=sql.SQL(" AND ").join(related))


def _stamp(row: Mapping[str, str | None], names: Sequence[str]) -> str:
    """Return a row's moment, in whichever spelling; one that is not known is after every year."""
    return next(filter(None, map(row.get, names)), "~")
