"""Compare by transaction numbers: the rows that were written since, and those that are gone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from workbench.investigate.differences.found import TableDifference
from workbench.investigate.differences.in_full import parts_of
from workbench.investigate.differences.keys import Keys
from workbench.investigate.differences.records import keys_at, match
from workbench.investigate.differences.rows import Rows, look_up
from workbench.investigate.differences.sides import Shape, Side, shape_of
from workbench.investigate.differences.written import Written


@dataclass(frozen=True)
class Told:
    """What the transaction numbers tell of a table, before the snapshot is opened.

    Attributes
    ----------
    shape : Shape
        How its rows are compared where its columns are as they were.
    written : Written
        Its rows, and those that may be new.
    """

    shape: Shape
    written: Written


def by_transaction(before: Side, now: Side, told: Told, found: TableDifference) -> bool:
    """Compare the rows that were written since, and find those that are gone; False where that cannot be."""
    shape, new = told.shape, told.written.new
    was = before.catalogue.tables.get(shape.table)
    if was is None or shape_of(was, now.catalogue.tables[shape.table], shape.key) != shape:
        found.why = "the snapshot has other columns"
        return False
    if new is None:
        found.why = "so many rows were written since that all are compared"
        return False
    added, changed, columns = _compare(before, shape, new)
    gone = (found.before or 0) + len(added) - told.written.rows
    removed: list[str] = []
    if gone > 0:
        for one, other in parts_of(before, now, shape, digests=False):
            removed += keys_at(before, shape, one, match(one, other).removed)
    if len(removed) != gone:
        found.why = "the counts do not add up by transaction"
        return False
    found.added, found.changed, found.columns = added, changed, columns
    found.removed.add(removed)
    return True


def _compare(before: Side, shape: Shape, new: Rows) -> tuple[Keys, Keys, Counter[str]]:
    """Tell rows that may be new from what the snapshot has of them: added, changed, and the columns that changed."""
    added, changed, columns = Keys(), Keys(), Counter[str]()
    if len(new):
        was = look_up(before, shape, new.names)
        at = was.names.where(new.names)
        there = np.zeros(len(new), bool)
        there[at] = True
        differs = new.digests[at] != was.digests
        added.add(new.names.text(np.flatnonzero(~there)))
        changed.add(new.names.text(at[differs.any(axis=1)]))
        counts = zip(shape.columns, differs.sum(axis=0).tolist(), strict=True)
        columns.update({name: count for name, count in counts if count})
    return added, changed, columns
