"""Some rows of a table: their keys, and the digests of their columns."""

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


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a table.

    Attributes
    ----------
    names : Names
        Their keys.
    digests : array of int
        Of their columns: rows by columns.
    """

    names: Names
    digests: Digests

    def __len__(self) -> int:
        return len(self.names)


def gather(shape: Shape) -> sql.Composed:
    """Return the aggregates from which `rows_from` makes rows."""
    return sql.SQL("{}, string_agg({}, '')").format(gathered(shape), shape.column_digests)


def rows_from(shape: Shape, row: Sequence[Any]) -> Rows:
    """Read what `gather` gave."""
    names, digests = row
    return Rows(
        names_from(shape, names),
        np.frombuffer(digests or b"", ">i8").reshape(-1, len(shape.columns)).astype(np.int64),
    )


def look_up(side: Side, shape: Shape, names: Names) -> Rows:
    """Look rows up by their keys; leave out what is not there."""
    query = sql.SQL("SELECT {} FROM {} t WHERE {}").format(
        gather(shape), side.place(shape.table), shape.among(side.many(shape.table, len(names)))
    )
    cursor = side.connection.cursor(binary=True)
    cursor.adapters.register_dumper(UuidArray, UuidDumper)
    found = cursor.execute(query, [names.parameter]).fetchone()
    return rows_from(shape, found or (None, None))
