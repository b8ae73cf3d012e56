"""What differs between a snapshot and a database, row by row: digests of both sides, merged.

The server makes a digest of each row (`workbench.murmurant.row_digest`), and one of all rows whose keys have a hash in
common: a bucket, of some rows where the table is large. Of the buckets that differ the keys and digests of the rows are
fetched. That needs no index, which a restored table has not, and one scan of each side where nothing differs; of rows
that are as they were nothing travels, and whatever the size of a table few of each side are held at a time: `_SLICE`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import Connection

from workbench.database.connection import raw
from workbench.errors import DocumentError, WorkbenchError, unknown
from workbench.murmurant.catalogue import Catalogue, CatalogueTable, read_catalogue
from workbench.murmurant.row_digest import hash_of, hashed, portable, table_digests
from workbench.plans.rows import as_array
from workbench.settings import Settings
from workbench.snapshots.archive import read_archive
from workbench.snapshots.compare import Snapshot, opened

Kind = Literal["added", "removed", "changed"]
KINDS: tuple[Kind, ...] = ("added", "removed", "changed")

Progress = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""

Values = dict[str, str | None]

_SLICE = 1 << 21  # digests of a side, one for each cell of some rows, that are held at a time
_BUCKETS = 1 << 18


@dataclass(frozen=True)
class Side:
    """One of the two databases.

    Attributes
    ----------
    connection : psycopg.Connection
        In a reading, repeatable-read transaction, with values spelled as `database.connection.AS_USUAL` says.
    catalogue : Catalogue
        What it says of itself. A restored archive has no keys: these come from the live database.
    """

    connection: psycopg.Connection[Any]
    catalogue: Catalogue

    @property
    def tables(self) -> set[str]:
        """The tables that hold rows of their own."""
        return {
            name
            for name, table in self.catalogue.tables.items()
            if not any(column.in_view for column in table.columns.values())
        }

    @property
    def encoding(self) -> str:
        """The database's, as PostgreSQL spells it."""
        return self.connection.info.parameter_status("server_encoding") or "UTF8"

    def place(self, table: str) -> sql.Identifier:
        """Return a table's name with its schema."""
        return sql.Identifier(self.catalogue.schema, table)


def side_of(connection: Connection, schema: str, tables: Collection[str] | None = None) -> Side:
    """Make a side of a database that is being read; all of its tables, or some."""
    # Nothing is compiled for questions that are asked once; rows that a policy hides are an error, not absent. One process
    # a side: several would hand each other every row before it is counted, and both sides are asked at the same time.
    raw(connection).execute(
        "SET LOCAL jit = off; SET LOCAL row_security = off; SET LOCAL work_mem = '64MB';"
        " SET LOCAL max_parallel_workers_per_gather = 0"
    )
    return Side(raw(connection), read_catalogue(raw(connection), schema, tables))


@contextmanager
def opened_side(
    snapshot: Snapshot, now: Side, settings: Settings, tables: Collection[str] | None = None
) -> Iterator[Side]:
    """Make a snapshot a side, for as long as the block lasts: all of its tables, or some."""
    schema = now.catalogue.schema
    wanted = sorted(_tables_in(snapshot, schema, settings) if tables is None else tables)
    with (
        opened(snapshot, wanted, settings=settings, schema=schema, encoding=now.encoding) as scratch,
        scratch.readable.reading() as connection,
    ):
        yield side_of(connection, scratch.readable.address.schema, wanted)


@dataclass
class TableDifference:
    """How the rows of one table are told apart and compared in both databases, and what differs.

    Attributes
    ----------
    table : str
        Real name, the same in both.
    key : tuple of str
        The columns that name a row; empty where nothing does, so that rows only come and go.
    types : dict of str to str
        What is compared, and its type as PostgreSQL spells it: the columns that both have and that somebody writes.
        A column whose types differ has none here, and is compared by its text.
    only_before, only_now : list of str
        Columns that one of them has not.
    recoded : bool
        Whether the databases have different encodings, so that text is compared by its characters.
    before, now : int or None
        How many rows it has on either side; None where the table is not there.
    rows : dict of str to list of str
        The rows ``added``, ``removed`` and ``changed``, by key, sorted.
    columns : Counter of str
        Column to the number of rows in which it changed.
    """

    table: str
    key: tuple[str, ...]
    types: Mapping[str, str]
    only_before: list[str]
    only_now: list[str]
    recoded: bool = False
    before: int | None = None
    now: int | None = None
    rows: dict[Kind, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    columns: Counter[str] = field(default_factory=Counter)

    @property
    def retyped(self) -> list[str]:
        """Columns that both have, of different types."""
        return [name for name, type in self.types.items() if not type]

    @property
    def total(self) -> int:
        """How many rows differ."""
        return sum(map(len, self.rows.values()))

    @property
    def differs(self) -> bool:
        """Whether anything does, rows or columns."""
        return bool(self.total or self.only_before or self.only_now or self.retyped)

    @property
    def remarks(self) -> str:
        """What to know of it besides."""
        columns = {
            "new columns": self.only_now,
            "columns that are gone": self.only_before,
            "columns of another type": self.retyped,
        }
        remarks = ["it is new"] * (self.before is None) + ["it is gone"] * (self.now is None)
        remarks += [f"{what}: {', '.join(names)}" for what, names in columns.items() if names]
        return "; ".join(remarks + ["its rows have no key, so they only come and go"] * (not self.key))

    def hash(self, names: Iterable[str]) -> sql.Composed:
        """Return the expression of the 64-bit hash of some columns, alike in both databases."""
        cells = [(self.types[name], sql.Identifier("t", name)) for name in names]
        if len(cells) == 1 and not self.recoded:
            return hash_of(*cells[0])
        return hashed([portable(type, cell, recoded=self.recoded) for type, cell in cells])

    @property
    def key_text(self) -> sql.Composable:
        """The expression of a row's key as one text, parted by slashes; a row without one goes by its hash."""
        if not self.key:
            return sql.SQL("{}::text").format(self.hash(self.types))
        # No two keys may read alike, whatever they hold.
        form = "t.{}::text" if len(self.key) == 1 else r"replace(replace(t.{}::text, '\', '\\'), '/', '\/')"
        return sql.SQL(" || '/' || ").join(sql.SQL(form).format(sql.Identifier(name)) for name in self.key)

    def among(self, keys: Sequence[str]) -> sql.Composed:
        """Return the condition that a row's key is one of some: by an index where that can be."""
        type = self.types[self.key[0]] if len(self.key) == 1 else ""
        by = sql.Identifier("t", self.key[0]) if type else self.key_text
        return sql.SQL("{} = ANY ({}::{}[])").format(by, sql.Literal(as_array(keys)), sql.SQL(type or "text"))


def difference_of(
    was: CatalogueTable | None, has: CatalogueTable | None, key: tuple[str, ...], recoded: bool
) -> TableDifference:
    """Find out how two tables of one name are compared; the key is as the live database says."""
    described = has or was
    assert described is not None
    old, new = (
        {name: column.type for name, column in (table or described).columns.items() if not column.generated}
        for table in (was, has)
    )
    types = {name: type if old[name] == type else "" for name, type in new.items() if name in old}
    return TableDifference(
        described.name,
        key if set(key) <= set(types) else (),
        types,
        [name for name in old if name not in new],
        [name for name in new if name not in old],
        recoded,
    )


@dataclass(frozen=True)
class Comparison:
    """Both sides, held open, and what differs.

    Attributes
    ----------
    before : Side or None
        The snapshot; None where it did not need to be opened.
    now : Side
        The database, or the later snapshot.
    tables : dict of str to TableDifference
        Every table that was looked at, by name.
    """

    before: Side | None
    now: Side
    tables: dict[str, TableDifference]

    @property
    def different(self) -> list[TableDifference]:
        """The tables in which anything differs."""
        return [difference for difference in self.tables.values() if difference.differs]

    def values(
        self, table: str, kind: Kind, keys: Sequence[str]
    ) -> Iterator[tuple[Values | None, Values | None]]:
        """Yield what some rows of one kind were and are, in the order of their keys; of changed ones what changed."""
        difference = self.tables[table]
        was = rows_of(self.before, difference, keys) if self.before and kind != "added" else {}
        now = rows_of(self.now, difference, keys) if kind != "removed" else {}
        for key in keys:
            one, other = was.get(key), now.get(key)
            if one and other:
                names = [name for name in difference.types if one[name] != other[name]]
                one, other = ({name: row[name] for name in names} for row in (one, other))
            yield one, other


@contextmanager
def compared(
    snapshot: Snapshot,
    now: Side,
    live: Catalogue,
    settings: Settings,
    *,
    only: Collection[str] = (),
    in_full: bool = False,
    progress: Progress | None = None,
) -> Iterator[Comparison]:
    """Compare a snapshot with what is now; both can be asked for rows while the block lasts.

    Of a snapshot with a manifest only the tables are restored whose digest is another one now.

    Parameters
    ----------
    now : Side
        The database, or a later snapshot.
    live : Catalogue
        That of the database, which says by which columns rows are named.
    only : collection of str
        The tables to compare; else all.
    in_full : bool
        Whether every row is compared, whatever the manifest's digests say.

    Raises
    ------
    UsageError
        For a table that neither has.
    DocumentError
        When the snapshot is not what its manifest says, or has text that cannot be compared with the database's.
    """
    progress = progress or (lambda what, done, total: None)
    states = snapshot.manifest.tables if snapshot.manifest else {}
    there, here = _tables_in(snapshot, now.catalogue.schema, settings), now.tables
    for name in only:
        if name not in there | here:
            raise unknown("table", name, sorted(there | here))
    wanted = sorted(set(only) or there | here)
    same = set()
    for number, table in enumerate(wanted):
        progress(f"looking at {table}", number, len(wanted))
        if table in states and table in here and not in_full:
            digest = table_digests(now.connection, now.catalogue.schema, [table])[table]
            if digest == (states[table].rows, states[table].digest):
                same.add(table)
    needed = [table for table in wanted if table in there and table not in same]
    with ExitStack() as stack:
        before = stack.enter_context(opened_side(snapshot, now, settings, needed)) if needed else None
        recoded = before is not None and _recoded(snapshot, before, now)
        comparison = Comparison(before, now, {})
        for number, table in enumerate(wanted):
            progress(f"comparing {table}", number, len(wanted))
            was = before.catalogue.tables.get(table) if before else None
            has = now.catalogue.tables.get(table) if table in here else None
            key = live.tables[table].primary_key if table in live.tables else ()
            difference = comparison.tables[table] = difference_of(was, has, key, recoded)
            if table in same:
                difference.before = difference.now = states[table].rows
                continue
            _compare(before if was else None, now if has else None, difference)
            if table in states and difference.before != states[table].rows:
                raise DocumentError(
                    f"The snapshot {snapshot.name} has {difference.before} rows of {table},"
                    f" its manifest says {states[table].rows}.",
                    "One of the two was altered: use another snapshot.",
                )
        yield comparison


def rows_of(
    side: Side, difference: TableDifference, keys: Sequence[str], names: Iterable[str] | None = None
) -> dict[str, Values]:
    """Return rows of one side by their keys, every value as text; all columns, or some."""
    described = side.catalogue.tables.get(difference.table)
    if described is None or not keys or not difference.key:
        return {}
    names = list(described.columns if names is None else names)
    cells = [difference.key_text, *(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names)]
    query = sql.SQL("SELECT {} FROM {} t WHERE {}").format(
        sql.SQL(", ").join(cells), side.place(difference.table), difference.among(keys)
    )
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in side.connection.execute(query)}


def _compare(before: Side | None, now: Side | None, difference: TableDifference) -> None:
    """Count a table, find its buckets that differ, and fetch the keys and digests of their rows from both sides."""
    sides = before, now
    bucket = sql.SQL("{} & {}").format(difference.hash(difference.key or difference.types), _BUCKETS - 1)
    was, has = _of_both(partial(_buckets, difference=difference, bucket=bucket), *sides)
    difference.before, difference.now = (
        int(each[0].sum()) if side else None for each, side in zip((was, has), sides, strict=True)
    )
    told = bool(difference.key and before and now)  # of rows without a key two alike would cancel each other
    different = np.flatnonzero((was != has).any(axis=0) if told else was[0] + has[0])
    slices = np.cumsum(np.maximum(was[0], has[0])[different]) * max(1, len(difference.types)) // _SLICE
    for part in np.split(different, np.flatnonzero(np.diff(slices)) + 1) if len(different) else ():
        within = sql.SQL("{} = ANY ({}::bigint[])").format(bucket, sql.Literal(as_array([*map(str, part)])))
        (old, old_cells), (new, new_cells) = _of_both(
            partial(_rows, difference=difference, within=within), *sides
        )
        rows = difference.rows
        if not difference.key:  # some of a kind may have come or gone
            for key in old.keys() | new.keys():
                more = sum(new_cells[new[key]]) if key in new else 0
                more -= sum(old_cells[old[key]]) if key in old else 0
                rows["added" if more > 0 else "removed"] += [key] * abs(int(more))
            continue
        rows["removed"] += old.keys() - new.keys()
        rows["added"] += new.keys() - old.keys()
        both = [key for key in old if key in new]
        places = np.array([(old[key], new[key]) for key in both], np.int64).reshape(-1, 2)
        changed = np.zeros(len(both), bool)
        for column, name in enumerate(difference.types):
            differs = old_cells[places[:, 0], column] != new_cells[places[:, 1], column]
            changed |= differs
            if differs.any():
                difference.columns[name] += int(differs.sum())
        rows["changed"] += [both[place] for place in np.flatnonzero(changed)]
    for keys in difference.rows.values():
        keys.sort()


def _of_both(ask: Callable[[Side | None], Any], *sides: Side | None) -> list[Any]:
    """Ask both sides at the same time."""
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(ask, sides))


def _buckets(side: Side | None, difference: TableDifference, bucket: sql.Composed) -> NDArray[np.int64]:
    """Return of each bucket how many rows are in it, and their digest; nought of a side that is not there."""
    buckets = np.zeros((2, _BUCKETS), np.int64)
    if side is not None:
        # A row's digest is a sum over its columns, so digests are hashed once more: else two rows could exchange values.
        query = sql.SQL(
            "SELECT string_agg(int8send(b) || int8send(c) || int8send(d), '') FROM (SELECT {} AS b,"
            " count(*) AS c, bit_xor(hashint8extended({}, 0)) AS d FROM {} t GROUP BY 1) t"
        ).format(bucket, difference.hash(difference.types), side.place(difference.table))
        (found,) = side.connection.execute(query, binary=True).fetchall()[0]
        numbers = np.frombuffer(found or b"", ">i8").reshape(-1, 3).T
        buckets[:, numbers[0]] = numbers[1:]
    return buckets


def _rows(
    side: Side | None, difference: TableDifference, within: sql.Composed
) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Return the rows of a slice: places by key, and at each the digest of every column; without a key how many are alike."""
    if side is None:
        return {}, np.zeros((0, len(difference.types)), np.int64)
    cells = (
        [difference.hash([name]) for name in difference.types] if difference.key else [sql.SQL("count(*)")]
    )
    query = sql.SQL(
        "SELECT array_agg(k), string_agg(d, '') FROM (SELECT {} AS k, {} AS d FROM {} t WHERE {} {}) t"
    ).format(
        difference.key_text,
        sql.SQL(" || ").join(sql.SQL("int8send({})").format(cell) for cell in cells),
        *(side.place(difference.table), within, sql.SQL("" if difference.key else "GROUP BY 1")),
    )
    keys, digests = side.connection.execute(query, binary=True).fetchall()[0]
    places = {key: place for place, key in enumerate(keys or [])}
    if len(places) < len(keys or []) or None in places:
        raise WorkbenchError(
            f"Rows of {difference.table} in {side.connection.info.dbname} cannot be told apart by {', '.join(difference.key)}.",
            "The table's key was changed since the snapshot: compare the other tables with --table.",
        )
    return places, np.frombuffer(digests or b"", ">i8").reshape(-1, len(cells))


def _tables_in(snapshot: Snapshot, schema: str, settings: Settings) -> set[str]:
    """Return the tables whose rows a snapshot has."""
    if snapshot.manifest is not None:
        return set(snapshot.manifest.tables)
    if snapshot.path is not None:
        return set(read_archive(snapshot.path, schema, settings.client_tools).tables)
    with snapshot.readable.reading() as connection:
        return side_of(connection, snapshot.readable.address.schema).tables


def _recoded(snapshot: Snapshot, before: Side, now: Side) -> bool:
    """Whether text has to be brought into one encoding; refuse what has none, whose characters nobody knows."""
    if before.encoding != now.encoding and "SQL_ASCII" in (before.encoding, now.encoding):
        raise DocumentError(
            f"{snapshot.name} keeps text as {before.encoding}, the database compared with it as {now.encoding}:"
            " of text in SQL_ASCII nothing tells which characters its bytes mean, so the two cannot be compared.",
            "Compare with a copy in the same encoding.",
        )
    return before.encoding != now.encoding
