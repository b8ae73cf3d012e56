"""Which columns of changed rows changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from workbench.investigate.differences.keys import Keys
from workbench.investigate.differences.sides import Shape, Side
from workbench.murmurant.row_digest import hashed

_CHUNK = 100_000  # rows, of some twenty columns each


def changed_columns(before: Side, now: Side, shape: Shape, keys: Keys) -> Counter[str]:
    """Count in how many of some rows each column changed; columns in which nothing did are left out."""
    found: Counter[str] = Counter()
    for chunk in keys.chunks(_CHUNK):
        counts = differing(before, now, shape, chunk).sum(axis=0)
        found.update({name: int(n) for name, n in zip(shape.columns, counts, strict=True) if n})
    return found


def differing(before: Side, now: Side, shape: Shape, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Tell for rows that are in both, and for each column compared, whether it differs: rows by columns."""
    was, has = (_digests(side, shape, keys) for side in (before, now))
    different: NDArray[np.bool_] = was != has
    return different


def names_of(shape: Shape, row: Iterable[bool]) -> list[str]:
    """Return the columns that one row of `differing` means."""
    return [name for name, differs in zip(shape.columns, row, strict=True) if differs]


def _digests(side: Side, shape: Shape, keys: Sequence[str]) -> NDArray[np.int64]:
    by, type = shape.looked_up
    cells = [sql.SQL("int8send({})").format(hashed([shape.cell(name)])) for name in shape.columns]
    query = sql.SQL(
        "SELECT string_agg({}, '' ORDER BY k.place) FROM {} t"
        " JOIN unnest(%s::{}[]) WITH ORDINALITY k(key, place) ON {} = k.key"
    ).format(sql.SQL(" || ").join(cells), side.place(shape.table), sql.SQL(type), by)
    row = side.connection.execute(query, [list(keys)], binary=True).fetchone()
    found = np.frombuffer((row and row[0]) or b"", ">i8").reshape(-1, len(shape.columns))
    return found.astype(np.int64)
