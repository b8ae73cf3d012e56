"""Which columns of changed rows changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from workbench.investigate.differences.keys import Keys
from workbench.investigate.differences.sides import Shape, Side

_CHUNK = 100_000  # rows, of some twenty columns each

Digests = NDArray[np.int64]


def changed_columns(before: Side, now: Side, shape: Shape, keys: Keys) -> Counter[str]:
    """Count in how many of some rows each column changed; columns in which nothing did are left out."""
    found: Counter[str] = Counter()
    for chunk in keys.chunks(_CHUNK):
        counts = differing(before, now, shape, chunk).sum(axis=0)
        found.update({name: int(n) for name, n in zip(shape.columns, counts, strict=True) if n})
    return found


def differing(before: Side, now: Side, shape: Shape, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Tell for rows that are in both, and for each column compared, whether it differs: rows by columns."""
    with ThreadPoolExecutor(2) as threads:
        was, has = threads.map(lambda side: _digests(side, shape, keys), (before, now))
    different: NDArray[np.bool_] = was != has
    return different


def names_of(shape: Shape, row: Iterable[bool]) -> list[str]:
    """Return the columns that one row of `differing` means."""
    return [name for name, differs in zip(shape.columns, row, strict=True) if differs]


def _digests(side: Side, shape: Shape, keys: Sequence[str]) -> Digests:
    query = sql.SQL("SELECT array_agg({}), string_agg({}, '') FROM {} t WHERE {}").format(
        shape.key_text,
        shape.column_digests,
        side.place(shape.table),
        shape.among(side.many(shape.table, len(keys))),
    )
    row = side.connection.execute(query, [list(keys)], binary=True).fetchone()
    assert row is not None
    there = {key: number for number, key in enumerate(row[0] or [])}
    return as_digests(row[1] or b"", shape)[[there[key] for key in keys]]


def as_digests(found: bytes, shape: Shape) -> Digests:
    """Return column digests as they come from the database as numbers: rows by columns."""
    return np.frombuffer(found, ">i8").reshape(-1, len(shape.columns)).astype(np.int64)
