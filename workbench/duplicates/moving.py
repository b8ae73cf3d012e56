"""Which rows refer to records that go, and what each of their columns becomes: every reference of the catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from workbench.errors import Refused, SchemaGap
from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.references import Reference, References
from workbench.plans import rows
from workbench.plans.current import Current
from workbench.plans.rows import seen_columns

Moves = dict[str, dict[str, str]]
"""Table to the rows that go, each with the row that takes its place."""


@dataclass(frozen=True)
class Child:
    """A table with columns that refer to what goes.

    Attributes
    ----------
    described : CatalogueTable
        The table.
    references : tuple of Reference
        Those of its references that lead to a table some of whose rows go.
    rows : dict of str to Moving
        Its rows that refer to a row that goes, by key.
    dropped : set of str
        Those of them, in a table that is rewritten, in whose place the same row is there already.
    """

    described: CatalogueTable
    references: tuple[Reference, ...]
    rows: dict[str, Current] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)

    @property
    def rewritten(self) -> bool:
        """Whether its rows cannot be moved, only deleted and written anew: what moves is part of what names them."""
        key = self.described.primary_key
        return len(key) != 1 or key[0] in self.columns

    @property
    def table(self) -> str:
        """Its real name."""
        return self.described.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that may move."""
        return tuple(dict.fromkeys(each.column for each in self.references))

    def after(self, values: Mapping[str, str | None], moves: Moves) -> dict[str, str | None]:
        """Return what the columns of a row that lead to something that goes become."""
        found: dict[str, str | None] = {}
        for each in self.references:
            old = values[each.column]
            if old is not None and old in moves[each.parent] and speaks_of(each, values):
                found[each.column] = moves[each.parent][old]
        return found


def speaks_of(reference: Reference, values: Mapping[str, str | None]) -> bool:
    """Whether a row's reference leads to the reference's parent, where a column says to which table it leads."""
    return reference.kind_column is None or values[reference.kind_column] in reference.kinds


def children_of(graph: References, parents: Collection[str], occupied: Collection[str]) -> Iterator[Child]:
    """Yield every table with a row that may refer to one of some tables, with the references that do.

    Raises
    ------
    SchemaGap
        When one may not be read: nobody could tell whether something refers to what goes.
    """
    catalogue = graph.schema.catalogue
    found: dict[str, list[Reference]] = {}
    for parent in sorted(parents):
        for each in graph.binding(parent):
            if each.child in occupied:
                found.setdefault(each.child, []).append(each)
    for name in sorted(found):
        described = catalogue.tables[name]
        for each in found[name]:
            for column in filter(None, (each.column, each.kind_column)):
                if not described.columns[column].readable:
                    raise SchemaGap(
                        f'The column "{column}" of "{name}" may not be read, and it refers to "{each.parent}".',
                        f'SELECT on "{name}" would show which of its rows have to move.',
                    )
            if (each.parent_column,) != catalogue.tables[each.parent].primary_key:
                raise Refused(
                    f'"{name}" refers to "{each.parent}" by {each.parent_column}, which is not its key;'
                    " the workbench moves references to keys only.",
                    "Nothing was planned.",
                )
        yield Child(described, tuple(found[name]))


def read_moving(connection: psycopg.Connection[Any], graph: References, child: Child, moves: Moves) -> Child:
    """Return a table with its rows that refer to something that goes, in the order of their keys.

    Raises
    ------
    Refused
        When such a row cannot be named, or its reference is part of its name: a plan changes no keys.
    """
    described, catalogue = child.described, graph.schema.catalogue
    source = sql.SQL("{} t WHERE {}").format(
        rows.qualified(catalogue, child.table),
        referring(graph, child, {k: list(v) for k, v in moves.items()}),
    )
    names = tuple(
        dict.fromkeys(name for each in child.references for name in (each.column, each.kind_column) if name)
    )
    key = described.primary_key
    if child.rewritten:
        names = tuple(name for name, column in described.columns.items() if not column.generated)
    if not key or not set(key) <= {*names, *key[: not child.rewritten]}:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(source)).fetchone()
        if row != (0,):
            raise Refused(
                f'{row[0] if row else "Some"} rows of "{child.table}" refer to what would go, and nothing in the table is'
                " unique and never empty, so a plan cannot name them.",
                "Give it a primary key, or move these rows in the application first. Nothing was planned.",
            )
        return child
    query = sql.SQL("SELECT {}, {}::text, {} FROM {} ORDER BY {}").format(
        rows.key_text(key, "t"),
        rows.digest(described, seen_columns(catalogue, child.table), "t"),
        sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(each)) for each in names),
        source,
        sql.SQL(", ").join(rows.in_order(described, name, "t") for name in key),
    )
    for found, digest, *values in connection.execute(query):
        child.rows[found] = Current(digest, dict(zip(names, values, strict=True)))
    return child


def referring(graph: References, child: Child, ids: Mapping[str, Iterable[str]]) -> sql.Composable:
    """Return the condition that a row ``t`` refers to one of some rows, by the table they are of."""
    parts = [
        sql.SQL("({} = ANY({}){})").format(
            compared(graph, each), as_array(graph, each, list(ids[each.parent])), of_its_kind(each)
        )
        for each in child.references
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts))


def compared(graph: References, each: Reference) -> sql.Composable:
    """Return a referring column in the form in which it is compared: its own type, so that an index can serve."""
    cell = sql.Identifier("t", each.column)
    return cell if _same_type(graph, each) else sql.SQL("{}::text").format(cell)


def as_array(graph: References, each: Reference, ids: Sequence[str]) -> sql.Composable:
    """Return ids as an array of what `compared` gives."""
    kind = _type(graph, each) if _same_type(graph, each) else "text"
    return sql.SQL("{}::{}[]").format(sql.Literal(rows.as_array(ids)), sql.SQL(kind))


def of_its_kind(each: Reference) -> sql.Composable:
    """Return the further condition of a reference that may lead to several tables."""
    if each.kind_column is None:
        return sql.SQL("")
    kind = sql.Identifier("t", each.kind_column)
    return sql.SQL(" AND {}::text = ANY({})").format(kind, sql.Literal(list(each.kinds)))


def _type(graph: References, each: Reference) -> str:
    return graph.schema.catalogue.tables[each.child].columns[each.column].type


def _same_type(graph: References, each: Reference) -> bool:
    parent = graph.schema.catalogue.tables[each.parent].columns[each.parent_column].type
    return _type(graph, each) == parent
