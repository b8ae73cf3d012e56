"""Compare by transaction numbers: the rows that were written since, and those that are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from workbench.investigate.differences.found import TableDifference
from workbench.investigate.differences.in_full import parts_of
from workbench.investigate.differences.keys import Keys
from workbench.investigate.differences.places import gone_from_places
from workbench.investigate.differences.recent import Since
from workbench.investigate.differences.records import keys_at, match
from workbench.investigate.differences.rows import Places, Rows, look_up
from workbench.investigate.differences.sides import Shape, Side, shape_of
from workbench.investigate.differences.written import RANGES, Written, count_written, written_by_pages

_SHARE = 4  # where more than one row in so many may be new, comparing all is the shorter way


@dataclass(frozen=True)
class Told:
    """What the transaction numbers tell of a table, before the snapshot is opened.

    Attributes
    ----------
    shape : Shape
        How its rows are compared where its columns are as they were.
    written : Written
        Its rows, and those that may be new.
    since : Since
        How old and new are told apart.
    looked_up : Future or None
        What a clone has of the new ones, where they are being looked up already.
    """

    shape: Shape
    written: Written
    since: Since
    looked_up: Future[Rows | None] | None = None


class Counting:
    """Adds up what is found, some rows at a time."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.added, self.changed = Keys(), Keys()
        self.columns: Counter[str] = Counter()
        self._places: list[Places] = []

    def take(self, new: Rows, was: Rows) -> None:
        """Take some rows that may be new, and what the snapshot has of them."""
        at = was.names.where(new.names)
        there = np.zeros(len(new), bool)
        there[at] = True
        differs = new.digests[at] != was.digests
        self.added.add(new.names.text(np.flatnonzero(~there)))
        self.changed.add(new.names.text(at[differs.any(axis=1)]))
        counts = zip(self.shape.columns, differs.sum(axis=0).tolist(), strict=True)
        self.columns.update({name: count for name, count in counts if count})
        self._places.append(was.places)

    @property
    def places(self) -> Places:
        """Where a clone has the rows that it has; eight bytes each, of at most a part of the table."""
        return np.concatenate([np.zeros(0, np.int64), *self._places])


def looked_up(before: Side, now: Side, shape: Shape, new: Rows) -> Rows | None:
    """Look rows up in a clone; None where its columns are not the database's."""
    return look_up(before, shape, new.names, places=True) if _alike(before, now, shape) else None


def by_transaction(before: Side, now: Side, told: Told, found: TableDifference, *, clone: bool) -> bool:
    """Compare the rows that were written since, and find those that are gone; False where that cannot be."""
    shape, new = told.shape, told.written.new
    if not _alike(before, now, shape):
        found.why = "the snapshot has other columns"
        return False
    if new is None and not _worth_it(now, told, clone):
        found.why = "so many rows were written since that all are compared"
        return False
    counting = Counting(shape)
    for some in _parts(now, told):
        was = told.looked_up.result() if told.looked_up else None
        if was is None:
            was = look_up(before, shape, some.names, places=clone)
        counting.take(some, was)
    gone = (found.before or 0) + len(counting.added) - told.written.rows
    removed: list[str] | None = None
    if gone > 0 and clone:
        removed = gone_from_places(before, now, shape, told.since, counting.places, gone)
    if gone > 0 and removed is None:
        removed = []
        for one, other in parts_of(before, now, shape, digests=False):
            removed += keys_at(before, shape, one, match(one, other).removed)
    if len(removed or ()) != gone:
        found.why = "the counts do not add up by transaction"
        return False
    found.added, found.changed, found.columns = counting.added, counting.changed, counting.columns
    found.removed.add(removed or [])
    return True


def _alike(before: Side, now: Side, shape: Shape) -> bool:
    was, has = before.catalogue.tables.get(shape.table), now.catalogue.tables[shape.table]
    return was is not None and shape_of(was, has, shape.key) == shape


def _worth_it(now: Side, told: Told, clone: bool) -> bool:
    """Whether very many new rows are looked up: a clone has an index for that, and pages can be read one by one."""
    if not clone or now.connection.info.server_version < RANGES:
        return False
    return count_written(now, told.shape, told.since) * _SHARE <= told.written.rows


def _parts(now: Side, told: Told) -> Iterator[Rows]:
    if told.written.new is None:
        yield from written_by_pages(now, told.shape, told.since)
    elif len(told.written.new):
        yield told.written.new
