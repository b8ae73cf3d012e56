"""Compare a snapshot with a database, or two snapshots, table by table: as little as has to be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import numpy as np

from workbench.errors import SnapshotError, unknown
from workbench.investigate.differences.columns import changed_columns
from workbench.investigate.differences.found import TableDifference
from workbench.investigate.differences.places import gone_from_places
from workbench.investigate.differences.recent import Moment, Since, Written, look_up, since, written
from workbench.investigate.differences.records import (
    AT_ONCE,
    Records,
    fetch,
    keys_at,
    match,
)
from workbench.investigate.differences.sides import Shape, Side, shape_of
from workbench.murmurant.catalogue import CatalogueTable

Progress = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""


@dataclass(frozen=True)
class Earlier:
    """A snapshot, as far as it is known without being opened.

    Attributes
    ----------
    name : str
        Of the snapshot.
    opened : callable
        Makes some of its tables readable for as long as a block lasts: restores them, or connects.
    tables : collection of str
        The tables whose rows it has.
    rows : mapping of str to int
        How many rows each has, where that is known.
    moment : Moment or None
        When it was taken, in the server's own terms.
    clone : bool
        Whether it is a clone on the database's own server, whose rows lie where the database's did.
    unchanged : callable
        Tells which of some tables are by their digest known to be as they were.
    """

    name: str
    opened: Callable[[Sequence[str]], AbstractContextManager[Side]]
    tables: Collection[str]
    rows: Mapping[str, int] = field(default_factory=dict)
    moment: Moment | None = None
    clone: bool = False
    unchanged: Callable[[Sequence[str]], Collection[str]] = lambda tables: ()


@dataclass(frozen=True)
class Comparing:
    """What was compared: both sides, and what differs.

    Attributes
    ----------
    before : Side or None
        The snapshot; None where it did not need to be opened.
    now : Side
        The database, or the later snapshot.
    keys : mapping of str to tuple of str
        The columns of each table's key.
    tables : dict of str to TableDifference
        Every table that was looked at, by name.
    why : str
        Why rows had to be compared in full, where they had; of all tables.
    """

    before: Side | None
    now: Side
    keys: Mapping[str, tuple[str, ...]]
    tables: dict[str, TableDifference]
    why: str = ""

    @property
    def different(self) -> list[TableDifference]:
        """The tables in which anything differs."""
        return [each for each in self.tables.values() if each.differs]


@contextmanager
def compared(
    earlier: Earlier,
    now: Side,
    *,
    keys: Mapping[str, tuple[str, ...]],
    only: Sequence[str] = (),
    in_full: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Iterator[Comparing]:
    """Compare a snapshot with what is now; both can be asked for rows while the block lasts.

    Parameters
    ----------
    earlier : Earlier
        The snapshot.
    now : Side
        The database, or a later snapshot.
    keys : mapping of str to tuple of str
        The columns of each table's primary key, as a database that has keys says.
    only : sequence of str
        The tables to compare; else all.
    in_full : bool
        Whether every row is compared, whatever the transaction numbers and digests say.

    Raises
    ------
    UsageError
        For a table that neither has.
    SnapshotError
        When the snapshot is not what its manifest says.
    """
    there, here = set(earlier.tables), set(now.tables)
    for name in only:
        if name not in there | here:
            raise unknown("table", name, sorted(there | here))
    wanted = sorted(set(only) or there | here)
    how = "you asked for it" if in_full else since(now, earlier.moment)
    both = [table for table in wanted if table in there and table in here]
    found = {table: TableDifference(table) for table in wanted}
    told: dict[str, tuple[Shape, Written]] = {}
    for number, table in enumerate(both):
        progress(f"looking at {table}", number, len(wanted))
        if isinstance(how, Since) and table not in how.redefined | now.partitioned and table in earlier.rows:
            # Columns are as they were, so that the snapshot's own need not be seen.
            described = now.catalogue.tables[table]
            shape = shape_of(described, described, keys.get(table, ()))
            if shape.key:
                told[table] = shape, written(now, shape, how)
    rest = [table for table in both if table not in told]
    for table in earlier.unchanged(rest) if rest and not in_full else ():
        found[table].how = "by digest"
        found[table].before = found[table].now = earlier.rows.get(table)
    needed = []
    for table in wanted:
        if table in told:
            _, each = told[table]
            found[table].before, found[table].now = earlier.rows[table], each.rows
            found[table].how = "by transaction"
            if each.keys == [] and each.rows == earlier.rows[table]:
                continue
        elif found[table].how == "by digest":
            continue
        if table in there:
            needed.append(table)
    with _opened(earlier, needed) as before:
        for number, table in enumerate(wanted):
            progress(f"comparing {table}", number, len(wanted))
            if table in needed or table not in there:
                age = how.age if isinstance(how, Since) and earlier.clone else None
                _compare(before, now, found[table], told.get(table), keys.get(table, ()), earlier, age)
                if not isinstance(how, Since):
                    continue
                if table in how.redefined and table in both:
                    found[table].why = (
                        found[table].why or "its columns, or an enum's labels, were changed since"
                    )
        yield Comparing(before, now, keys, found, how if isinstance(how, str) else "")


@contextmanager
def _opened(earlier: Earlier, tables: Sequence[str]) -> Iterator[Side | None]:
    if not tables:
        yield None
        return
    with earlier.opened(tables) as side:
        yield side


def _compare(
    before: Side | None,
    now: Side,
    found: TableDifference,
    told: tuple[Shape, Written] | None,
    key: tuple[str, ...],
    earlier: Earlier,
    age: int | None,
) -> None:
    table = found.table
    was = before.catalogue.tables.get(table) if before else None
    has = now.catalogue.tables.get(table) if table in now.tables else None
    if before is None or was is None or has is None:
        side = now if was is None else before
        assert side is not None
        described = side.catalogue.tables[table]
        rows = _all_of(side, shape_of(described, described, key), found, added=was is None)
        found.now, found.before = (rows, None) if was is None else (None, rows)
        found.why = "it is new" if was is None else "it is gone"
        return
    found.shape = shape = shape_of(was, has, key)
    if told is None or not _by_transaction(before, now, shape, told, found, age):
        found.how = "in full"
        _in_full(before, now, shape, found)
    expected = earlier.rows.get(table)
    if found.how == "in full" and expected is not None and found.before != expected:
        raise SnapshotError(
            f"The snapshot {earlier.name} has {found.before:,} rows of {table}, its manifest says {expected:,}.",
            "One of the two was altered: use another snapshot.",
        )
    if found.how == "in full" and len(found.changed):
        found.columns = changed_columns(before, now, shape, found.changed)


def _by_transaction(
    before: Side,
    now: Side,
    shape: Shape,
    told: tuple[Shape, Written],
    found: TableDifference,
    age: int | None,
) -> bool:
    """Compare the rows that were written since, and find those that are gone; False where that cannot be."""
    as_seen, new = told
    if new.keys is None:
        found.why = "so many rows were written since that all are compared"
        return False
    if as_seen != shape:
        found.why = "the snapshot has other columns"
        return False
    was = look_up(before, shape, new.keys, clone=age is not None)
    there = np.zeros(len(new.keys), bool)
    there[was.places] = True
    differs = new.digests[was.places] != was.digests
    added = [new.keys[place] for place in np.flatnonzero(~there).tolist()]
    gone = (found.before or 0) + len(added) - new.rows
    removed: list[str] | None = None
    if gone > 0 and age is not None:
        removed = gone_from_places(before, now, shape, was.lie, age, gone)
    if gone > 0 and removed is None:
        removed = []
        for one, other in _parts(before, now, shape, digests=False):
            removed += keys_at(before, shape, one, match(one, other).removed)
    if len(removed or ()) != gone:
        found.why = "the counts do not add up by transaction"
        return False
    found.added.add(added)
    found.changed.add([new.keys[place] for place in was.places[differs.any(axis=1)].tolist()])
    found.removed.add(removed or [])
    counts = zip(shape.columns, differs.sum(axis=0).tolist(), strict=True)
    found.columns = Counter({name: count for name, count in counts if count})
    return True


def _in_full(before: Side, now: Side, shape: Shape, found: TableDifference) -> None:
    found.before = found.now = 0
    for one, other in _parts(before, now, shape, digests=True):
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


def _parts(before: Side, now: Side, shape: Shape, *, digests: bool) -> Iterator[tuple[Records, Records]]:
    """Fetch both sides, part by part, at the same time."""
    size = max(before.tables.get(shape.table, 0), now.tables.get(shape.table, 0))
    parts = 1
    while size / parts > AT_ONCE:
        parts *= 2
    with ThreadPoolExecutor(2) as threads:
        for part in range(parts):
            asked = [
                threads.submit(fetch, side, shape, part, parts, digests=digests) for side in (before, now)
            ]
            one, other = (each.result() for each in asked)
            yield one, other


def _all_of(side: Side, shape: Shape, found: TableDifference, *, added: bool) -> int:
    """Take a table that is in one of the databases only."""
    parts, rows = 1, 0
    while side.tables.get(shape.table, 0) / parts > AT_ONCE:
        parts *= 2
    for part in range(parts):
        records = fetch(side, shape, part, parts, digests=False)
        keys = keys_at(side, shape, records, np.arange(len(records)))
        (found.added if added else found.removed).add(keys)
        rows += len(records)
    return rows


def keys_of(tables: Mapping[str, CatalogueTable]) -> dict[str, tuple[str, ...]]:
    """Return the columns of each table's primary key."""
    return {name: described.primary_key for name, described in tables.items()}
