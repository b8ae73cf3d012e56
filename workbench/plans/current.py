"""Rows as they are: each with the digest by which an apply will recognise it, and its columns as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from workbench.murmurant.catalogue import Catalogue, CatalogueTable
from workbench.plans import rows
from workbench.plans.rows import in_chunks, seen_columns

_CHUNK = 5_000  # whole rows, so fewer at a time than keys


class Current(NamedTuple):
    """A row: its digest, and columns as text (None for NULL)."""

    digest: str
    values: dict[str, str | None]


def current_rows(
    connection: psycopg.Connection[Any], catalogue: Catalogue, table: str, keys: Sequence[str]
) -> Iterator[tuple[str, Current]]:
    """Yield the rows of a table that some keys name, in the order of the keys; one that is gone is left out.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction, with times in UTC.
    table : str
        Real name of a table with a key of one column.
    keys : sequence of str
        Sorted, where the plan's bytes depend on their order.
    """
    described = rows.table_of(catalogue, table)
    seen = rows.digest(described, seen_columns(catalogue, table), "t")
    names = [name for name, column in described.columns.items() if not column.generated]
    for chunk in in_chunks(keys, _CHUNK):
        found = rows_by_key(connection, catalogue.schema, described, chunk, names, seen)
        yield from ((key, found[key]) for key in chunk if key in found)


def rows_by_key(
    connection: psycopg.Connection[Any],
    schema: str,
    described: CatalogueTable,
    keys: Iterable[str],
    names: Sequence[str],
    seen: sql.Composable | None = None,
) -> dict[str, Current]:
    """Return rows by their key, with the named columns; the digest is empty where none was asked for."""
    key = rows.key_of(described)
    query = sql.SQL("SELECT t.{key}::text, {cells} FROM {table} t WHERE t.{key} = ANY({keys}::{type}[])")
    cells = [sql.SQL("{}::text").format(seen or sql.SQL("''"))]
    cells += [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names]
    statement = query.format(
        key=sql.Identifier(key),
        cells=sql.SQL(", ").join(cells),
        table=sql.Identifier(schema, described.name),
        keys=sql.Literal(rows.as_array(list(keys))),
        type=sql.SQL(described.columns[key].type),
    )
    return {
        row[0]: Current(row[1], dict(zip(names, row[2:], strict=True)))
        for row in connection.execute(statement)
    }
