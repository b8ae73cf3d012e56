"""What merging moves and deletes: every row that refers to a duplicate, and what follows from that, to its end (guide §4.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from workbench.duplicates.associations import leads, referring
from workbench.duplicates.request import Merge
from workbench.errors import Refused, SchemaGap
from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.references import Reference, References
from workbench.plans import rows
from workbench.plans.rows import Current

Moves = Mapping[str, Mapping[str, str]]
"""Table to the rows that go, each with the row that takes its place."""


class Blocked(NamedTuple):
    """Rows of a table of which no rule can tell which stays: why not, and what to do."""

    table: str
    keys: tuple[str, ...]
    reason: str
    remedy: str

    @property
    def words(self) -> str:
        """Which rows, and why not."""
        return f"{self.table} {', '.join(self.keys)}: {self.reason}"


@dataclass
class Child:
    """A table with columns that refer to what goes.

    Attributes
    ----------
    described : CatalogueTable
        The table.
    references : tuple of Reference
        Those of its references that lead to a table some of whose rows go.
    rows : dict of str to Current
        Its rows that refer to a row that goes, by key.
    losers : dict of str to str
        Its rows that go since another is the same row then, each with the one that stays.
    gone : dict of str to dict
        What those say, column by column.
    rules : Counter
        Each rule that decided which stays, and how many rows went by it.
    blocked : list of Blocked
        What no rule decides.
    by_hand : set of str
        Rows named by hand that decided something.
    """

    described: CatalogueTable
    references: tuple[Reference, ...]
    rows: dict[str, Current] = field(default_factory=dict)
    losers: dict[str, str] = field(default_factory=dict)
    gone: dict[str, dict[str, str | None]] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    blocked: list[Blocked] = field(default_factory=list)
    by_hand: set[str] = field(default_factory=set)

    @property
    def table(self) -> str:
        """Its real name."""
        return self.described.name

    @property
    def columns(self) -> set[str]:
        """The columns that may move."""
        return {each.column for each in self.references}

    @property
    def rewritten(self) -> bool:
        """Whether its rows cannot be moved, only deleted and written anew: what moves is part of what names them."""
        key = self.described.primary_key
        return len(key) != 1 or key[0] in self.columns

    def after(self, values: Mapping[str, str | None], moves: Moves) -> dict[str, str | None]:
        """Return what the columns of a row that lead to something that goes become."""
        return {
            each.column: moves[each.parent][old]
            for each in self.references
            if (old := values[each.column]) is not None and old in moves[each.parent] and leads(each, values)
        }


@dataclass
class Work:
    """Everything some merges move and delete.

    Attributes
    ----------
    table : str
        Where the records are.
    moves : dict
        Table to the rows that go, each with the one that takes its place: the duplicates, and what collided.
    whose : dict of (table, key) to set of str
        Each row that goes or takes another's place, to the canonical records it belongs to.
    children : dict of str to Child
        Tables with rows that refer to something that goes.
    """

    table: str
    moves: dict[str, dict[str, str]]
    whose: dict[tuple[str, str], set[str]]
    children: dict[str, Child] = field(default_factory=dict)

    def goes(self, table: str, key: str) -> bool:
        """Whether a row is deleted."""
        child = self.children.get(table)
        return key in self.moves.get(table, ()) or (child is not None and key in child.losers)

    def belongs_to(self, child: Child, key: str) -> set[str]:
        """Return the canonical records whose merge concerns a row."""
        found = set(self.whose.get((child.table, key), ()))
        if row := child.rows.get(key):
            for each in child.references:
                if leads(each, row.values):
                    found |= self.whose.get((each.parent, str(row.values[each.column])), set())
        return found

    def blocked(self, merges: Iterable[Merge]) -> dict[str, list[Blocked]]:
        """Return what blocks each merge, by its canonical record."""
        found: dict[str, list[Blocked]] = {}
        for child in self.children.values():
            for each in child.blocked:
                for canonical in set[str]().union(*(self.belongs_to(child, key) for key in each.keys)):
                    found.setdefault(canonical, []).append(each)
        return {merge.canonical: found[merge.canonical] for merge in merges if merge.canonical in found}

    def settled(self, child: Child) -> None:
        """Note to whom the rows belong that became one."""
        groups: dict[str, list[str]] = {}
        for loser, winner in child.losers.items():
            groups.setdefault(winner, [winner]).append(loser)
        for group in groups.values():
            people = set[str]().union(*(self.belongs_to(child, key) for key in group))
            self.whose |= {(child.table, key): people for key in group}


def children_of(graph: References, parents: Collection[str], occupied: Collection[str]) -> Iterator[Child]:
    """Yield every table with a row that may refer to one of some tables, with the references that do.

    Raises
    ------
    SchemaGap
        When one may not be read: nobody could tell whether something refers to what goes.
    """
    tables = graph.schema.catalogue.tables
    found: dict[str, list[Reference]] = {}
    for parent in sorted(parents):
        for each in graph.binding(parent):
            if each.child in occupied:
                found.setdefault(each.child, []).append(each)
    for name, references in sorted(found.items()):
        for each in references:
            for column in filter(None, (each.column, each.kind_column)):
                if not tables[name].columns[column].readable:
                    raise SchemaGap(
                        f'The column "{column}" of "{name}" may not be read, and it refers to "{each.parent}".',
                        f'SELECT on "{name}" would show which of its rows have to move.',
                    )
            if (each.parent_column,) != tables[each.parent].primary_key:
                raise Refused(
                    f'"{name}" refers to "{each.parent}" by {each.parent_column}, which is not its key;'
                    " the workbench moves references to keys only.",
                    "Nothing was planned.",
                )
        yield Child(tables[name], tuple(references))


def read_rows(connection: psycopg.Connection[Any], graph: References, child: Child, moves: Moves) -> None:
    """Read a table's rows that refer to something that goes, in the order of their keys.

    Raises
    ------
    Refused
        When such a row cannot be named.
    """
    described, catalogue, key = child.described, graph.schema.catalogue, child.described.primary_key
    source = sql.SQL("{} t WHERE {}").format(
        rows.qualified(catalogue, child.table), referring(graph, child.references, moves)
    )
    names = [name for each in child.references for name in (each.column, each.kind_column) if name]
    if child.rewritten:
        names = [name for name, column in described.columns.items() if not column.generated]
    names = list(dict.fromkeys(names))
    if not key or (child.rewritten and not set(key) <= {*names}):
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(source)).fetchone()
        if row != (0,):
            raise Refused(
                f'{row[0] if row else "Some"} rows of "{child.table}" refer to what would go, and nothing in the table is'
                " unique and never empty, so a plan cannot name them.",
                "Give it a primary key, or move these rows in the application first. Nothing was planned.",
            )
        return
    query = sql.SQL("SELECT {}, {}::text, {} FROM {} ORDER BY {}").format(
        rows.key_text(key, "t"),
        rows.digest(described, tuple(described.columns), "t"),
        sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(each)) for each in names),
        source,
        sql.SQL(", ").join(rows.in_order(described, name, "t") for name in key),
    )
    for found, digest, *values in connection.execute(query):
        child.rows[found] = Current(digest, dict(zip(names, values, strict=True)))
