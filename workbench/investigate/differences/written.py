"""The rows of a table that were written since a moment: read with one look at the head of each."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from workbench.investigate.differences.recent import Since
from workbench.investigate.differences.rows import Rows, gather, rows_from
from workbench.investigate.differences.sides import Shape, Side

MOST = 1 << 16
"""So many rows that may be new are held in memory; where there are more, all rows are compared."""


@dataclass(frozen=True)
class Written:
    """A table as the server's transaction numbers tell of it.

    Attributes
    ----------
    rows : int
        How many it has.
    new : Rows or None
        Those that may be new; None where they are more than `MOST`.
    """

    rows: int
    new: Rows | None


def written(side: Side, shape: Shape, since: Since) -> Written:
    """Count a table's rows, and read those that may be new, with two scans that look at each row's head alone.

    Two simple scans take less than one that does both: that one would have to make something of each row.
    """
    place = side.place(shape.table)
    query = sql.SQL(
        "SELECT (SELECT count(*) FROM {}), {} FROM (SELECT {} FROM {} t WHERE {} LIMIT {}) t"
    ).format(place, gather(shape), _columns(shape), place, since.new, MOST + 1)
    count, *found = side.connection.execute(query, binary=True).fetchone() or (0, None, None)
    rows = rows_from(shape, found)
    return Written(count, rows if len(rows) <= MOST else None)


def _columns(shape: Shape) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier("t", name) for name in shape.columns)
