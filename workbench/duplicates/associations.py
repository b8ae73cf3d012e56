"""Who refers to a record, how often, and by which column: what makes one of several doubles the one to keep (guide §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from psycopg import sql
from sqlalchemy import Connection, select

from workbench.database.connection import raw
from workbench.murmurant.references import Reference, References
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import MEMBER
from workbench.plans import rows

COLUMNS = ["id", "child", "column", "rows"]


def count_associations(
    connection: Connection, graph: References, ids: Iterable[str], references: Iterable[Reference]
) -> pd.DataFrame:
    """Count the rows that refer to some records, by each of some references.

    What the audit log tells of a record is history, not an association: `References.binding` leaves it out.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``child``, ``column``, ``rows``: one row for each record and column that refers to it.
    """
    tables, keys = graph.schema.catalogue.tables, sorted(set(ids))
    parts = [
        sql.SQL("SELECT {}::text, {}, {}, count(*) FROM {} t WHERE {} GROUP BY 1").format(
            *(compared(graph, each), sql.Literal(each.child), sql.Literal(each.column)),
            rows.qualified(graph.schema.catalogue, each.child),
            referring(graph, [each], {each.parent: keys}),
        )
        for each in references
        if all(tables[each.child].columns[name].readable for name in (each.column, each.kind_column) if name)
    ]
    found = []
    if parts and keys:
        query = sql.SQL("{} ORDER BY 1, 2, 3").format(sql.SQL(" UNION ALL ").join(parts))
        found = raw(connection).execute(query).fetchall()
    return pd.DataFrame(found, columns=COLUMNS)


def leads(reference: Reference, values: Mapping[str, str | None]) -> bool:
    """Whether a row's reference leads to the reference's parent, where a column says to which table it leads."""
    return reference.kind_column is None or values[reference.kind_column] in reference.kinds


def referring(
    graph: References, references: Iterable[Reference], ids: Mapping[str, Iterable[str]]
) -> sql.Composable:
    """Return the condition that a row ``t`` refers to one of some rows, by the table they are of."""
    parts = [
        sql.SQL("({} = ANY({}){})").format(
            compared(graph, each), as_array(graph, each, list(ids[each.parent])), of_its_kind(each)
        )
        for each in references
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts))


def compared(graph: References, each: Reference) -> sql.Composable:
    """Return a referring column in the form in which it is compared: its own type, so that an index can serve."""
    return sql.SQL("{}::{}").format(sql.Identifier("t", each.column), sql.SQL(_type(graph, each)))


def as_array(graph: References, each: Reference, ids: Sequence[str]) -> sql.Composable:
    """Return ids as an array of what `compared` gives."""
    return sql.SQL("{}::{}[]").format(sql.Literal(rows.as_array(ids)), sql.SQL(_type(graph, each)))


def of_its_kind(each: Reference) -> sql.Composable:
    """Return the further condition of a reference that may lead to several tables."""
    if each.kind_column is None:
        return sql.SQL("")
    kind = sql.Identifier("t", each.kind_column)
    return sql.SQL(" AND {}::text = ANY({})").format(kind, sql.Literal(list(each.kinds)))


def _type(graph: References, each: Reference) -> str:
    """Return in which type both ends of a reference can be compared: their own where it is one."""
    tables = graph.schema.catalogue.tables
    own = tables[each.child].columns[each.column].type
    return own if own == tables[each.parent].columns[each.parent_column].type else "text"


class Choice(NamedTuple):
    """The record of a cluster that stays, and what decided.

    Attributes
    ----------
    canonical : str
        Its id.
    associations : dict of str to int
        Each record of the cluster to the number of rows that refer to it.
    by : str
        What decided, in words.
    """

    canonical: str
    associations: dict[str, int]
    by: str


def choose_canonicals(
    connection: Connection,
    schema: Schema,
    clusters: Sequence[Sequence[str]],
    entity: str = MEMBER,
    *,
    counted: pd.DataFrame | None = None,
) -> list[Choice]:
    """Choose the record of each cluster that stays: most associations, then the oldest, then the smallest id (guide §4.4).

    Parameters
    ----------
    clusters : sequence of sequence of str
        Ids of records that are there, each cluster with at least one.
    counted : pandas.DataFrame, optional
        What refers to them, where that was counted already.

    Returns
    -------
    list of Choice
        One for each cluster, in order.
    """
    ids, source = {each for cluster in clusters for each in cluster}, schema.entity(entity)
    if counted is None:
        graph = References(schema)
        counted = count_associations(connection, graph, ids, graph.binding(schema.table_of(entity)))
    totals = {str(key): int(count) for key, count in counted.groupby("id")["rows"].sum().items()}
    born = dict.fromkeys(ids, "~")  # not known: after every year
    if "created_at" in source.c:
        query = select(as_text(source.c.id), source.c.created_at).where(is_one_of(source.c.id, ids))
        born |= {key: made.isoformat() for key, made in connection.execute(query) if made is not None}
    found = []
    for cluster in clusters:
        first, *rest = sorted(cluster, key=lambda key: (-totals.get(key, 0), born[key], key))
        counts = {key: totals.get(key, 0) for key in (first, *rest)}
        alike = [key for key in rest if counts[key] == counts[first]]
        by = "as many associations and as old as another, and the smallest id"
        if not alike:
            by = "most associations"
        elif all(born[key] != born[first] for key in alike):
            by = "as many associations as another, and the oldest"
        found.append(Choice(first, counts, by))
    return found
