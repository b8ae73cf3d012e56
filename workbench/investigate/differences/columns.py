"""Which columns of changed rows changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from workbench.investigate.differences.keys import Keys
from workbench.investigate.differences.names import names_of
from workbench.investigate.differences.rows import Digests, look_up
from workbench.investigate.differences.sides import Shape, Side

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
    with ThreadPoolExecutor(2) as threads:
        was, has = threads.map(lambda side: _digests(side, shape, keys), (before, now))
    different: NDArray[np.bool_] = was != has
    return different


def column_names(shape: Shape, row: Iterable[bool]) -> list[str]:
    """Return the columns that one row of `differing` means."""
    return [name for name, differs in zip(shape.columns, row, strict=True) if differs]


def _digests(side: Side, shape: Shape, keys: Sequence[str]) -> Digests:
    names = names_of(shape, keys)
    found = look_up(side, shape, names)
    digests = np.empty_like(found.digests)
    digests[found.names.where(names)] = found.digests
    return digests
