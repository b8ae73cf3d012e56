"""Who refers to a record, how often and by which column: what decides which of several duplicates stays (guide §4.4)."""

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


def count_associations(
    connection: Connection, graph: References, ids: Iterable[str], references: Iterable[Reference]
) -> pd.DataFrame:
    """Count the rows that refer to some records, by each of some references.

    What the audit log says of a record is history, not an association: `References.binding` leaves it out.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``child``, ``column``, ``rows``: one row for each record and column that refers to it.
    """
    keys, counts, counted = sorted(set(ids)), list[sql.Composable](), []
    for reference in references if keys else ():
        columns = graph.schema.catalogue.tables[reference.child].columns
        if all(columns[name].readable for name in (reference.column, reference.kind_column) if name):
            count = sql.SQL("SELECT t.{}::text, {}, {}, count(*) FROM {} t WHERE {} GROUP BY 1")
            names = sql.Literal(reference.child), sql.Literal(reference.column)
            table = rows.qualified(graph.schema.catalogue, reference.child)
            column, concerned = sql.Identifier(reference.column), refers_to(graph, reference, keys)
            counts.append(count.format(column, *names, table, concerned))
    if counts:
        query = sql.SQL("{} ORDER BY 1, 2, 3").format(sql.SQL(" UNION ALL ").join(counts))
        counted = raw(connection).execute(query).fetchall()
    return pd.DataFrame(counted, columns=["id", "child", "column", "rows"])


def refers_to(graph: References, reference: Reference, ids: Iterable[str]) -> sql.Composable:
    """Return the condition that a row ``t`` refers to one of some records, in a type that lets an index serve."""
    tables = graph.schema.catalogue.tables
    own = tables[reference.child].columns[reference.column].type
    same = own == tables[reference.parent].columns[reference.parent_column].type
    kind, wanted = sql.SQL(own if same else "text"), sql.Literal(rows.as_array([*ids]))
    condition = sql.SQL("t.{}::{} = ANY({}::{}[])").format(
        sql.Identifier(reference.column), kind, wanted, kind
    )
    if reference.kind_column is None:
        return condition
    of_kind = sql.SQL("({} AND t.{}::text = ANY({}))")
    return of_kind.format(
        condition, sql.Identifier(reference.kind_column), sql.Literal(list(reference.kinds))
    )


def target_of(reference: Reference, values: Mapping[str, str | None]) -> str | None:
    """Return the record of the reference's parent that a row leads to, if it leads to that table."""
    leads = reference.kind_column is None or values[reference.kind_column] in reference.kinds
    return values[reference.column] if leads else None


class Choice(NamedTuple):
    """The record of a cluster that stays: its id, how many rows refer to each of the cluster, and what decided."""

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
    """
    ids, source = {key for cluster in clusters for key in cluster}, schema.entity(entity)
    if counted is None:
        graph = References(schema)
        counted = count_associations(connection, graph, ids, graph.binding(schema.table_of(entity)))
    totals = {str(key): int(count) for key, count in counted.groupby("id")["rows"].sum().items()}
    born = dict.fromkeys(ids, "~")  # not known: after every year
    if "created_at" in source.c:
        query = select(as_text(source.c.id), source.c.created_at).where(is_one_of(source.c.id, ids))
        born |= {key: moment.isoformat() for key, moment in connection.execute(query) if moment is not None}
    choices = []
    for cluster in clusters:
        first, *rest = sorted(cluster, key=lambda key: (-totals.get(key, 0), born[key], key))
        counts = {key: totals.get(key, 0) for key in (first, *rest)}
        rivals = [key for key in rest if counts[key] == counts[first]]
        by = "most associations"
        if any(born[key] == born[first] for key in rivals):
            by = "as many associations and as old as another, and the smallest id"
        elif rivals:
            by = "as many associations as another, and the oldest"
        choices.append(Choice(first, counts, by))
    return choices
