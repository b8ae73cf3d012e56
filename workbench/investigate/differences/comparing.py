"""Compare a snapshot with a database, or two snapshots, table by table: as little as has to be read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

from workbench.errors import SnapshotError, unknown
from workbench.investigate.differences.by_transaction import Told, by_transaction
from workbench.investigate.differences.columns import changed_columns
from workbench.investigate.differences.found import TableDifference
from workbench.investigate.differences.in_full import all_of
from workbench.investigate.differences.in_full import in_full as compare_all
from workbench.investigate.differences.recent import Moment, Since, since
from workbench.investigate.differences.sides import Side, shape_of
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
    unchanged : callable
        Tells which of some tables are by their digest known to be as they were.
    """

    name: str
    opened: Callable[[Sequence[str]], AbstractContextManager[Side]]
    tables: Collection[str]
    rows: Mapping[str, int] = field(default_factory=dict)
    moment: Moment | None = None
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
        for number, table in enumerate(both):
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
                    told[table] = Told(shape, written(now, shape, how))
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
        before = stack.enter_context(earlier.opened(needed)) if needed else None
        for number, table in enumerate(wanted):
            progress(f"comparing {table}", number, len(wanted))
            if table in needed or table not in there:
                _compare(before, now, found[table], told.get(table), keys.get(table, ()), earlier)
                if isinstance(how, Since) and table in how.redefined and table in both:
                    found[table].why = (
                        found[table].why or "its columns, or an enum's labels, were changed since"
                    )
        yield Comparing(before, now, keys, found, how if isinstance(how, str) else "")


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
    if told is None or not by_transaction(before, now, told, found):
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
