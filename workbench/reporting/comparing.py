"""Some rows of a plan beside the database, to see whether they are still as the plan saw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from workbench.errors import SchemaGap
from workbench.murmurant.catalogue import Catalogue
from workbench.plans import rows
from workbench.plans.plan import Row, Section


def differing(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    section: Section,
    first: Sequence[Row],
) -> list[tuple[str, str, str]]:
    """Compare some rows of a section with the database, without writing anything.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction.
    first : sequence of rows
        As the plan has them.

    Returns
    -------
    list of tuple
        Table, key and reason of each that is not as the plan saw it.

    Raises
    ------
    SchemaGap
        When the table is not there, or has changed its columns or key.
    """
    described = rows.table_of(catalogue, section.table)
    gone = sorted({*section.key, *section.seen, *section.changed} - described.columns.keys())
    if gone or section.key != described.primary_key:
        raise SchemaGap(
            f'The table "{section.table}" has changed its columns or key since the plan was made'
            f" ({', '.join(gone) or 'primary key'}).",
            "Plan again.",
        )
    places = [section.columns.index(each) for each in section.key]
    keys = [[row[place] for row in first] for place in places]
    names = [f"k{number}" for number in range(len(keys))]
    match = sql.SQL(" AND ").join(
        sql.SQL("t.{} = k.{}").format(sql.Identifier(column), sql.Identifier(name))
        for column, name in zip(section.key, names, strict=True)
    )
    arrays = sql.SQL(", ").join(
        sql.SQL("{}::{}[]").format(sql.Literal(values), sql.SQL(described.columns[column].type))
        for column, values in zip(section.key, keys, strict=True)
    )
    digest: sql.Composable = (
        sql.SQL("0") if section.name == "insert" else rows.digest(described, section.seen, "t")
    )
    query = sql.SQL(
        "SELECT k.n, ({digest})::text FROM unnest({arrays}) WITH ORDINALITY k({names}, n) JOIN {table} t ON {match}"
    ).format(
        digest=digest,
        arrays=arrays,
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        table=rows.qualified(catalogue, section.table),
        match=match,
    )
    now = {int(number) - 1: found for number, found in connection.execute(query)}
    different = []
    for number, row in enumerate(first):
        reason = _difference(section, row, now.get(number))
        if reason:
            different.append((section.table, "/".join(str(row[place]) for place in places), reason))
    return different


def _difference(section: Section, row: Row, now: str | None) -> str:
    if section.name == "insert":
        return "" if now is None else "is there already"
    if now is None:
        return "is not there any more"
    return "" if now == row[len(section.key)] else "was changed since"
