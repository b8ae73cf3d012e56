"""Rows into tables: COPY for streams, and the schema around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql

from workbench.demo.shape import Dialect

Row = Sequence[Any]
Rows = tuple[str, str, Iterable[Row]]
"""A table, its columns in one string separated by blanks, and a stream of rows."""

AFTER_THE_ROWS = "-- After the rows"


def schema(dialect: Dialect) -> tuple[str, str]:
    """Return a dialect's tables, and what is built once they are filled: indexes and foreign keys."""
    text = files("workbench.demo").joinpath("schemas", f"{dialect}.sql").read_text(encoding="utf-8")
    before, _, after = text.rpartition(AFTER_THE_ROWS)
    return before, after


def copy(connection: psycopg.Connection[Any], table: str, columns: str, rows: Iterable[Row]) -> None:
    """Stream rows into a table."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns.split()))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        for row in rows:
            stream.write_row(row)
