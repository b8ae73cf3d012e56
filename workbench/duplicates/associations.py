"""Who refers to a record, how often, and by which column: what makes one of several doubles the one to keep (guide §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd
from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from workbench.database.connection import frame
from workbench.murmurant.references import Reference, References, literal, quoted
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import MEMBER

COLUMNS = ["id", "child", "column", "rows"]


def count_associations(
    connection: Connection,
    schema: Schema,
    ids: Sequence[str],
    entity: str = MEMBER,
    *,
    references: Iterable[Reference] | None = None,
) -> pd.DataFrame:
    """Count the rows that refer to some records, over every declared and soft reference.

    What the audit log tells of a record is history, not an association, and is left out.

    Parameters
    ----------
    ids : sequence of str
        Records of one entity; all of them are counted in one question.
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    references : iterable of Reference, optional
        The ways of referring to count; else every one to the entity's table.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``child``, ``column``, ``rows``: one row for each record and column that refers to it.
    """
    if references is None:
        references = References(schema).binding(schema.table_of(entity))
    counted = [(place, each) for place, each in enumerate(references) if _readable(schema, each)]
    if not counted or not ids:
        return pd.DataFrame(columns=COLUMNS)
    statement = text(
        " UNION ALL ".join(_counting(schema, each, place) for place, each in counted) + " ORDER BY 1, 2, 3"
    ).bindparams(bindparam("keys", type_=ARRAY(Text())))
    kinds = {f"kinds{place}": list(each.kinds) for place, each in counted if each.kind_column}
    if kinds:
        statement = statement.bindparams(*(bindparam(name, type_=ARRAY(Text())) for name in kinds))
    return frame(connection, statement, {"keys": sorted(set(ids)), **kinds})


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
    ids = sorted({each for cluster in clusters for each in cluster})
    if counted is None:
        counted = count_associations(connection, schema, ids, entity)
    totals = {str(key): int(rows) for key, rows in counted.groupby("id")["rows"].sum().items()}
    born = _born(connection, schema, ids, entity)
    found = []
    for cluster in clusters:
        ranked = sorted(
            cluster, key=lambda each: (-totals.get(each, 0), each not in born, born.get(each, ""), each)
        )
        first, *rest = ranked
        counts = {each: totals.get(each, 0) for each in ranked}
        alike = [each for each in rest if counts[each] == counts[first]]
        if not alike:
            by = "most associations"
        elif all(born.get(each, "") != born.get(first, "") for each in alike):
            by = "as many associations as another, and the oldest"
        else:
            by = "as many associations and as old as another, and the smallest id"
        found.append(Choice(first, counts, by))
    return found


def _readable(schema: Schema, each: Reference) -> bool:
    columns = schema.catalogue.tables[each.child].columns
    return all(columns[name].readable for name in (each.column, each.kind_column) if name)


def _counting(schema: Schema, each: Reference, place: int) -> str:
    """Return the question how many rows refer to each of `keys`, compared in the column's own type where both agree."""
    quote = quoted
    tables = schema.catalogue.tables
    kind = tables[each.child].columns[each.column].type
    column = f"t.{quote(each.column)}"
    if kind != tables[each.parent].columns[each.parent_column].type:
        column, kind = f"{column}::text", "text"
    only = f" AND t.{quote(each.kind_column)}::text = ANY(:kinds{place})" if each.kind_column else ""
    child, shown = literal(each.child), literal(each.column)
    return (
        f'SELECT {column}::text AS id, {child} AS child, {shown} AS "column", count(*) AS rows'
        f" FROM {quote(schema.catalogue.schema)}.{quote(each.child)} t"
        f" WHERE {column} = ANY(CAST(:keys AS {kind}[])){only} GROUP BY {column}"
    )


def _born(connection: Connection, schema: Schema, ids: Sequence[str], entity: str) -> dict[str, str]:
    """Return when each record was made, in a form that sorts."""
    source = schema.entity(entity)
    if "created_at" not in source.c:
        return {}
    query = select(as_text(source.c.id), source.c.created_at).where(is_one_of(source.c.id, ids))
    rows = connection.execute(query)
    return {key: made.isoformat() for key, made in rows if made is not None}
