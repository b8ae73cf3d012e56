"""Some rows of a table: their keys, the digests of their columns, and where each lies."""

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
Places = NDArray[np.int64]

_SHARE = 10  # up to one row in so many is looked up by the index of a clone

_PLACE = np.dtype([("page", ">u4"), ("at", ">u2")])


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a table.

    Attributes
    ----------
    names : Names
        Their keys.
    digests : array of int
        Of their columns: rows by columns.
    places : array of int
        Where each lies: its page's number times 65,536, and within it; empty where that was not asked for.
    """

    names: Names
    digests: Digests
    places: Places

    def __len__(self) -> int:
        return len(self.names)


def gather(shape: Shape, *, places: bool = False) -> sql.Composed:
    """Return the aggregates from which `rows_from` makes rows."""
    return sql.SQL("{}, string_agg({}, ''), {}").format(
        gathered(shape),
        shape.column_digests,
        sql.SQL("string_agg(tidsend(t.ctid), '')" if places else "NULL::bytea"),
    )


def rows_from(shape: Shape, row: Sequence[Any]) -> Rows:
    """Read what `gather` gave."""
    names, digests, places = row
    return Rows(
        names_from(shape, names),
        np.frombuffer(digests or b"", ">i8").reshape(-1, len(shape.columns)).astype(np.int64),
        places_from(places or b""),
    )


def places_from(sent: bytes) -> Places:
    """Read rows' places as PostgreSQL sends them, one after the other."""
    found = np.frombuffer(sent, _PLACE)
    places: Places = (found["page"].astype(np.int64) << 16) | found["at"]
    return places


def look_up(side: Side, shape: Shape, names: Names, *, places: bool = False) -> Rows:
    """Look rows up by their keys, with the place of each where that means something; leave out what is not there."""
    many = side.many(shape.table, len(names))
    # The planner takes an index's pages for far away; a clone's are not, and it has one, which a restored archive has not.
    by_index = many and places and len(names) * _SHARE <= side.tables.get(shape.table, 0)
    query = sql.SQL("SELECT {} FROM {} t WHERE {}").format(
        gather(shape, places=places), side.place(shape.table), shape.among(many and not by_index)
    )
    cursor = side.connection.cursor(binary=True)
    cursor.adapters.register_dumper(UuidArray, UuidDumper)
    if by_index:
        cursor.execute("SET LOCAL enable_seqscan = off")
    found = cursor.execute(query, [names.parameter]).fetchone()
    if by_index:
        cursor.execute("SET LOCAL enable_seqscan = on")
    return rows_from(shape, found or (None, None, None))
