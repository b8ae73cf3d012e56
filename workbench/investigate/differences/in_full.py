"""Compare every row of a table with every row that it had, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from workbench.investigate.differences.found import TableDifference
from workbench.investigate.differences.records import AT_ONCE, Records, fetch, keys_at, match
from workbench.investigate.differences.sides import Shape, Side


def in_full(before: Side, now: Side, shape: Shape, found: TableDifference) -> None:
    """Compare all rows, by their keys and digests."""
    found.before = found.now = 0
    for one, other in parts_of(before, now, shape, digests=True):
        places = match(one, other)
        if not shape.key:
            _count_alike(found, one, other)
            continue
        found.before += len(one)
        found.now += len(other)
        found.removed.add(keys_at(before, shape, one, places.removed))
        found.added.add(keys_at(now, shape, other, places.added))
        found.changed.add(keys_at(now, shape, other, places.changed_now))


def _count_alike(found: TableDifference, before: Records, now: Records) -> None:
    """Take rows that nothing names: of each kind some may have come or gone."""
    was = dict(zip(before.a.astype(np.int64).tolist(), before.digest.tolist(), strict=True))
    has = dict(zip(now.a.astype(np.int64).tolist(), now.digest.tolist(), strict=True))
    found.before = (found.before or 0) + sum(was.values())
    found.now = (found.now or 0) + sum(has.values())
    for each in sorted(was.keys() | has.keys()):
        more = has.get(each, 0) - was.get(each, 0)
        (found.added if more > 0 else found.removed).add([str(each)] * abs(more))


def parts_of(before: Side, now: Side, shape: Shape, *, digests: bool) -> Iterator[tuple[Records, Records]]:
    """Fetch both sides, part by part, at the same time."""
    parts = _parts(max(side.about(shape.table) for side in (before, now)))
    with ThreadPoolExecutor(2) as threads:
        for part in range(parts):
            asked = [
                threads.submit(fetch, side, shape, part, parts, digests=digests) for side in (before, now)
            ]
            one, other = (each.result() for each in asked)
            yield one, other


def all_of(side: Side, shape: Shape, found: TableDifference, *, added: bool) -> int:
    """Take a table that is in one of the databases only."""
    parts, rows = _parts(side.about(shape.table)), 0
    for part in range(parts):
        records = fetch(side, shape, part, parts, digests=False)
        keys = keys_at(side, shape, records, np.arange(len(records)))
        (found.added if added else found.removed).add(keys)
        rows += len(records)
    return rows


def _parts(rows: float) -> int:
    parts = 1
    while rows / parts > AT_ONCE:
        parts *= 2
    return parts
