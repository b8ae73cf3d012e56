"""Some rows of a table: their keys, the digests of their columns, and on which page each lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from workbench.investigate.differences.names import Names, UuidArray, UuidDumper, gathered, names_from
from workbench.investigate.differences.sides import Shape, Side

Digests = NDArray[np.int64]
Pages = NDArray[np.int64]

PLACE = np.dtype([("page", ">u4"), ("at", ">u2")])
"""A row's place as PostgreSQL sends it."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a table.

    Attributes
    ----------
    names : Names
        Their keys.
    digests : array of int
        Of their columns: rows by columns.
    pages : array of int
        The page on which each lies; empty where that was not asked for.
    """

    names: Names
    digests: Digests
    pages: Pages

    def __len__(self) -> int:
        return len(self.names)


def gather(shape: Shape, *, pages: bool = False) -> sql.Composed:
    """Return the aggregates from which `rows_from` makes rows."""
    return sql.SQL("{}, string_agg({}, ''), {}").format(
        gathered(shape),
        shape.column_digests,
        sql.SQL("string_agg(tidsend(t.ctid), '')" if pages else "NULL::bytea"),
    )


def rows_from(shape: Shape, row: Sequence[Any]) -> Rows:
    """Read what `gather` gave."""
    names, digests, places = row
    return Rows(
        names_from(shape, names),
        np.frombuffer(digests or b"", ">i8").reshape(-1, len(shape.columns)).astype(np.int64),
        np.frombuffer(places or b"", PLACE)["page"].astype(np.int64),
    )


def look_up(side: Side, shape: Shape, names: Names, *, pages: bool = False) -> Rows:
    """Look rows up by their keys; those that are not there are left out."""
    query = sql.SQL("SELECT {} FROM {} t WHERE {}").format(
        gather(shape, pages=pages), side.place(shape.table), shape.among(side.many(shape.table, len(names)))
    )
    return rows_from(shape, asked(side, query, names))


def there(side: Side, shape: Shape, names: Names) -> Names:
    """Return those of some keys whose rows are there."""
    query = sql.SQL("SELECT {} FROM {} t WHERE {}").format(
        gathered(shape), side.place(shape.table), shape.among(side.many(shape.table, len(names)))
    )
    return names_from(shape, asked(side, query, names)[0])


def asked(side: Side, query: sql.Composed, names: Names) -> Sequence[Any]:
    """Ask for one row about rows of some keys."""
    cursor = side.connection.cursor(binary=True)
    cursor.adapters.register_dumper(UuidArray, UuidDumper)
    found = cursor.execute(query, [names.parameter]).fetchone()
    assert found is not None
    row: Sequence[Any] = found
    return row
