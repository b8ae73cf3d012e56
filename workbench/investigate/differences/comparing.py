"""Compare a snapshot with a database, or two snapshots, table by table: as little as has to be read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

from workbench.errors import SnapshotError, unknown
from workbench.investigate.differences.by_transaction import Told, by_transaction, looked_up
from workbench.investigate.differences.columns import changed_columns
from workbench.investigate.differences.found import TableDifference
from workbench.investigate.differences.in_full import all_of
from workbench.investigate.differences.in_full import in_full as compare_all
from workbench.investigate.differences.recent import Moment, Since, since
from workbench.investigate.differences.rows import Rows
from workbench.investigate.differences.sides import Shape, Side, shape_of
from workbench.investigate.differences.written import written
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
    told: dict[str, Told] = {}
    with ExitStack() as stack:
        opening = Opening(earlier, now, both if isinstance(how, Since) else ())
        stack.callback(opening.close)
        # The largest first: what is new there is looked up in a clone while the others are being read.
        for number, table in enumerate(sorted(both, key=lambda each: -now.tables[each])):
            progress(f"looking at {table}", number, len(wanted))
            if (
                isinstance(how, Since)
                and table not in how.redefined | now.partitioned
                and table in earlier.rows
            ):
                # Columns are as they were, so that the snapshot's own need not be seen.
                described = now.catalogue.tables[table]
                shape = shape_of(described, described, keys.get(table, ()))
                if shape.key:
                    each = written(now, shape, how)
                    told[table] = Told(shape, each, how, opening.look_up(shape, each.new))
        rest = [table for table in both if table not in told]
        for table in earlier.unchanged(rest) if rest and not in_full else ():
            found[table].how = "by digest"
            found[table].before = found[table].now = earlier.rows.get(table)
        needed = []
        for table in wanted:
            if table in told:
                each = told[table].written
                found[table].before, found[table].now = earlier.rows[table], each.rows
                found[table].how = "by transaction"
                if each.new is not None and not len(each.new) and each.rows == earlier.rows[table]:
                    continue
            elif found[table].how == "by digest":
                continue
            if table in there:
                needed.append(table)
        before = opening.side(needed, stack)
        for number, table in enumerate(wanted):
            progress(f"comparing {table}", number, len(wanted))
            if table in needed or table not in there:
                _compare(before, now, found[table], told.get(table), keys.get(table, ()), earlier)
                if isinstance(how, Since) and table in how.redefined and table in both:
                    found[table].why = (
                        found[table].why or "its columns, or an enum's labels, were changed since"
                    )
        yield Comparing(before, now, keys, found, how if isinstance(how, str) else "")


class Opening:
    """The snapshot being opened: a clone at once, while the database is still being read; else where it is needed.

    Parameters
    ----------
    tables : sequence of str
        Those that will be read of a clone.
    """

    def __init__(self, earlier: Earlier, now: Side, tables: Sequence[str]) -> None:
        self._earlier, self._now = earlier, now
        self._thread = ThreadPoolExecutor(1)
        self._held = ExitStack()
        self._clone: Future[Side] | None = None
        if earlier.clone and tables:
            self._clone = self._thread.submit(lambda: self._held.enter_context(earlier.opened(tables)))

    def look_up(self, shape: Shape, new: Rows | None) -> Future[Rows | None] | None:
        """Have rows looked up in a clone; in an archive they are not yet."""
        clone = self._clone
        if clone is None or new is None or not len(new):
            return None
        return self._thread.submit(lambda: looked_up(clone.result(), self._now, shape, new))

    def side(self, tables: Sequence[str], stack: ExitStack) -> Side | None:
        """Return the snapshot, open until the stack is left; None where none of its tables is needed."""
        if not tables:
            return None
        if self._clone is None:
            return stack.enter_context(self._earlier.opened(tables))
        side = self._clone.result()
        stack.push(self._held.pop_all())
        stack.callback(self._thread.shutdown, cancel_futures=True)
        return side

    def close(self) -> None:
        """Close what nobody asked for."""
        self._thread.shutdown(cancel_futures=True)
        self._held.close()


def _compare(
    before: Side | None,
    now: Side,
    found: TableDifference,
    told: Told | None,
    key: tuple[str, ...],
    earlier: Earlier,
) -> None:
    table = found.table
    was = before.catalogue.tables.get(table) if before else None
    has = now.catalogue.tables.get(table) if table in now.tables else None
    if before is None or was is None or has is None:
        side = now if was is None else before
        assert side is not None
        described = side.catalogue.tables[table]
        rows = all_of(side, shape_of(described, described, key), found, added=was is None)
        found.now, found.before = (rows, None) if was is None else (None, rows)
        found.why = "it is new" if was is None else "it is gone"
        return
    found.shape = shape = shape_of(was, has, key)
    if told is None or not by_transaction(before, now, told, found, clone=earlier.clone):
        found.how = "in full"
        compare_all(before, now, shape, found)
    expected = earlier.rows.get(table)
    if found.how == "in full" and expected is not None and found.before != expected:
        raise SnapshotError(
            f"The snapshot {earlier.name} has {found.before:,} rows of {table}, its manifest says {expected:,}.",
            "One of the two was altered: use another snapshot.",
        )
    if found.how == "in full" and len(found.changed):
        found.columns = changed_columns(before, now, shape, found.changed)


def keys_of(tables: Mapping[str, CatalogueTable]) -> dict[str, tuple[str, ...]]:
    """Return the columns of each table's primary key."""
    return {name: described.primary_key for name, described in tables.items()}
