"""Row-by-row differences between a snapshot and a database.

The server computes a 64-bit hash of each row's key and one of the whole row (`workbench.murmurant.row_digest`) in one
scan, on both sides at the same time, and numpy merges them. Keys and column hashes are fetched only for rows that differ.
A large table is compared in slices by the hash of its keys, which bounds the memory.
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
import pandas as pd
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import Connection

from workbench.database.connection import raw
from workbench.errors import DocumentError, WorkbenchError, unknown
from workbench.murmurant.catalogue import Catalogue, CatalogueTable, read_catalogue
from workbench.murmurant.row_digest import hash_of, hashed, portable, table_digests
from workbench.plans.rows import as_array, in_chunks
from workbench.settings import Settings
from workbench.snapshots.archive import read_archive
from workbench.snapshots.compare import Snapshot, opened

Kind = Literal["added", "removed", "changed"]
KINDS: tuple[Kind, ...] = ("added", "removed", "changed")

Progress = Callable[[str, int, int], None]
"""Called with the step that begins, how many are done, and how many there are."""

Values = dict[str, str | None]
Hashes = NDArray[np.int64]

_SLICE = 1 << 28  # bytes of a table that are compared at a time
_ROWS = 1 << 18  # rows that differ whose columns are compared at a time


@dataclass(frozen=True)
class Side:
    """One of the two databases.

    Attributes
    ----------
    connection : psycopg.Connection
        In a reading, repeatable-read transaction, with values spelled as `database.connection.SESSION_OPTIONS` says.
    catalogue : Catalogue
        What it says of itself. A restored archive has no keys: these come from the live database.
    """

    connection: psycopg.Connection[Any]
    catalogue: Catalogue

    @property
    def tables(self) -> set[str]:
        """The tables, without views."""
        tables = self.catalogue.tables.items()
        return {
            name for name, table in tables if not any(column.in_view for column in table.columns.values())
        }

    @property
    def encoding(self) -> str:
        """The database's encoding."""
        return self.connection.info.parameter_status("server_encoding") or "UTF8"

    def place(self, table: str) -> sql.Identifier:
        """Return a table's name with its schema."""
        return sql.Identifier(self.catalogue.schema, table)


def side_of(connection: Connection, schema: str, tables: Collection[str] | None = None) -> Side:
    """Return a side for a database connection, with all of its tables or some."""
    # Queries run once, so compiling them does not pay. Rows that a policy hides are an error. One process per side, since
    # both sides are queried at the same time.
    raw(connection).execute(
        "SET LOCAL jit = off; SET LOCAL row_security = off; SET LOCAL work_mem = '64MB';"
        " SET LOCAL max_parallel_workers_per_gather = 0"
    )
    return Side(raw(connection), read_catalogue(raw(connection), schema, tables))


@contextmanager
def opened_side(
    snapshot: Snapshot, now: Side, settings: Settings, tables: Collection[str] | None = None
) -> Iterator[Side]:
    """Open a snapshot as a side, with all of its tables or some."""
    schema = now.catalogue.schema
    wanted = sorted(_tables_in(snapshot, schema, settings) if tables is None else tables)
    with (
        opened(snapshot, wanted, settings=settings, schema=schema, encoding=now.encoding) as scratch,
        scratch.readable.reading() as connection,
    ):
        yield side_of(connection, scratch.readable.address.schema, wanted)


@dataclass
class TableDifference:
    """How a table is compared in both databases, and its differences.

    Attributes
    ----------
    table : str
        Its real name.
    key : tuple of str
        The columns that identify a row; empty where there are none, so that rows are only added and removed.
    types : dict of str to str
        The compared columns, those that both have and that are not generated, with their types. A column whose types
        differ has an empty type and is compared as text.
    only_before, only_now : list of str
        Columns that only one side has.
    recoded : bool
        Whether the databases have different encodings.
    before, now : int or None
        The number of rows on each side; None where the table does not exist.
    rows : dict of str to list of str
        The keys of the rows ``added``, ``removed`` and ``changed``, sorted.
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
        """Columns whose types differ."""
        return [name for name, type in self.types.items() if not type]

    @property
    def total(self) -> int:
        """The number of rows that differ."""
        return sum(map(len, self.rows.values()))

    @property
    def differs(self) -> bool:
        """Whether rows or columns differ."""
        return bool(self.total or self.only_before or self.only_now or self.retyped)

    @property
    def remarks(self) -> str:
        """Remarks on the table and its columns."""
        columns = {
            "new columns": self.only_now,
            "removed columns": self.only_before,
            "columns of another type": self.retyped,
        }
        remarks = ["new table"] * (self.before is None) + ["removed table"] * (self.now is None)
        remarks += [f"{what}: {', '.join(names)}" for what, names in columns.items() if names]
        return "; ".join(remarks + ["no key: rows are only added and removed"] * (not self.key))

    def hash(self, names: Iterable[str]) -> sql.Composed:
        """Return the SQL of the 64-bit hash of some columns, equal in both databases."""
        cells = [(self.types[name], sql.Identifier("t", name)) for name in names]
        if len(cells) == 1 and not self.recoded:
            return hash_of(*cells[0])
        return hashed([portable(type, cell, recoded=self.recoded) for type, cell in cells])

    @property
    def key_hash(self) -> sql.Composed:
        """The SQL of the hash that identifies a row; of the whole row where there is no key."""
        return self.hash(self.key or self.types)

    @property
    def key_text(self) -> sql.Composable:
        """The SQL of a row's key as one text, separated by slashes."""
        if not self.key:
            return sql.SQL("{}::text").format(self.key_hash)
        # Escaped, so that different keys have different texts.
        form = "t.{}::text" if len(self.key) == 1 else r"replace(replace(t.{}::text, '\', '\\'), '/', '\/')"
        return sql.SQL(" || '/' || ").join(sql.SQL(form).format(sql.Identifier(name)) for name in self.key)

    def among(self, keys: Sequence[str]) -> sql.Composed:
        """Return the condition that a row has one of some keys; it uses an index where possible."""
        type = self.types[self.key[0]] if len(self.key) == 1 else ""
        by = sql.Identifier("t", self.key[0]) if type else self.key_text
        return sql.SQL("{} = ANY ({}::{}[])").format(by, sql.Literal(as_array(keys)), sql.SQL(type or "text"))


def difference_of(
    was: CatalogueTable | None, has: CatalogueTable | None, key: tuple[str, ...], recoded: bool
) -> TableDifference:
    """Return how two tables of the same name are compared; the key is the live database's."""
    described = has or was
    assert described is not None
    old, new = (
        {name: column.type for name, column in (table or described).columns.items() if not column.generated}
        for table in (was, has)
    )
    return TableDifference(
        described.name,
        key if set(key) <= old.keys() & new.keys() else (),
        {name: type if old[name] == type else "" for name, type in new.items() if name in old},
        [name for name in old if name not in new],
        [name for name in new if name not in old],
        recoded,
    )


@dataclass(frozen=True)
class Comparison:
    """Both sides, open, and their differences.

    Attributes
    ----------
    before : Side or None
        The snapshot; None where it did not need to be opened.
    now : Side
        The database, or the later snapshot.
    tables : dict of str to TableDifference
        Every compared table, by name.
    """

    before: Side | None
    now: Side
    tables: dict[str, TableDifference]

    @property
    def different(self) -> list[TableDifference]:
        """The tables that differ."""
        return [difference for difference in self.tables.values() if difference.differs]

    def values(
        self, table: str, kind: Kind, keys: Sequence[str]
    ) -> Iterator[tuple[Values | None, Values | None]]:
        """Yield the old and new values of some rows, in the order of their keys; of changed rows only what changed."""
        difference = self.tables[table]
        before = rows_of(self.before, difference, keys) if self.before and kind != "added" else {}
        now = rows_of(self.now, difference, keys) if kind != "removed" else {}
        for key in keys:
            was, has = before.get(key), now.get(key)
            if was and has:
                names = [name for name in difference.types if was[name] != has[name]]
                was, has = ({name: row[name] for name in names} for row in (was, has))
            yield was, has


@contextmanager
def compared(
    snapshot: Snapshot,
    now: Side,
    live: Catalogue,
    settings: Settings,
    *,
    only: Collection[str] = (),
    in_full: bool = False,
    progress: Progress = lambda *_: None,
) -> Iterator[Comparison]:
    """Compare a snapshot with a database; both can be queried for rows within the block.

    Of a snapshot with a manifest, only the tables with a different digest are restored.

    Parameters
    ----------
    now : Side
        The database, or a later snapshot.
    live : Catalogue
        The database's, for the keys.
    only : collection of str
        The tables to compare; all when empty.
    in_full : bool
        Compare every row, even where the manifest's digests agree.

    Raises
    ------
    UsageError
        For an unknown table.
    DocumentError
        When the snapshot does not match its manifest, or the encodings cannot be compared.
    """
    states = snapshot.manifest.tables if snapshot.manifest else {}
    old_tables, new_tables = _tables_in(snapshot, now.catalogue.schema, settings), now.tables
    for name in only:
        if name not in old_tables | new_tables:
            raise unknown("table", name, sorted(old_tables | new_tables))
    wanted = sorted(set(only) or old_tables | new_tables)
    same = set()
    for number, table in enumerate(wanted):
        progress(f"reading {table}", number, len(wanted))
        if table in states and table in new_tables and not in_full:
            digest = table_digests(now.connection, now.catalogue.schema, [table])[table]
            if digest == (states[table].rows, states[table].digest):
                same.add(table)
    needed = [table for table in wanted if table in old_tables and table not in same]
    with ExitStack() as stack:
        before = stack.enter_context(opened_side(snapshot, now, settings, needed)) if needed else None
        recoded = before is not None and before.encoding != now.encoding
        if before and recoded and "SQL_ASCII" in (before.encoding, now.encoding):
            raise DocumentError(
                f"{snapshot.name} is in {before.encoding}, the database in {now.encoding}; text in SQL_ASCII"
                " cannot be compared with another encoding.",
                "Compare with a copy in the same encoding.",
            )
        comparison = Comparison(before, now, {})
        for number, table in enumerate(wanted):
            progress(f"comparing {table}", number, len(wanted))
            was = before.catalogue.tables.get(table) if before else None
            has = now.catalogue.tables.get(table) if table in new_tables else None
            key = live.tables[table].primary_key if table in live.tables else ()
            difference = comparison.tables[table] = difference_of(was, has, key, recoded)
            if table in same:
                difference.before = difference.now = states[table].rows
                continue
            _compare(before if was else None, now if has else None, difference)
            if table in states and difference.before != states[table].rows:
                raise DocumentError(
                    f"{snapshot.name} has {difference.before} rows of {table}, its manifest {states[table].rows}.",
                    "One of the two was altered: use another snapshot.",
                )
        yield comparison


def rows_of(
    side: Side, difference: TableDifference, keys: Sequence[str], names: Iterable[str] | None = None
) -> dict[str, Values]:
    """Return rows of one side by key, with all columns or some, every value as text."""
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
    """Merge the hashes of both sides, and fetch the keys and column hashes of the rows that differ."""
    size = max(_size(side, difference.table) for side in (before, now) if side)
    slices, rows, names = size // _SLICE + 1, difference.rows, [*difference.types]
    counts = np.zeros(2, int)
    for number in range(slices):
        was, has = _of_both(partial(_hashes, difference, number, slices), before, now)
        counts += was.shape[1], has.shape[1]
        if not difference.key:
            _count_alike(rows, was[0], has[0])
            continue
        at = pd.Index(has[0]).get_indexer(was[0])  # -1 where a key is gone
        new = np.ones(has.shape[1], bool)
        new[at[at >= 0]] = False
        for chunk in _chunks(was[0][at < 0]):
            rows["removed"] += _fetch(difference, chunk, (), before)[0]
        for chunk in _chunks(has[0][new]):
            rows["added"] += _fetch(difference, chunk, (), now)[0]
        for chunk in _chunks(was[0][(at >= 0) & (np.append(has[1], 0)[at] != was[1])]):
            (keys, old_cells), (_, cells) = _of_both(partial(_fetch, difference, chunk, names), before, now)
            rows["changed"] += keys
            changed = (old_cells != cells).sum(axis=0).tolist()
            difference.columns.update(
                {name: count for name, count in zip(names, changed, strict=True) if count}
            )
    for keys in rows.values():
        keys.sort()
    difference.before, difference.now = (
        int(count) if side else None for count, side in zip(counts, (before, now), strict=True)
    )


def _chunks(hashes: Hashes) -> Iterator[Sequence[str]]:
    return in_chunks([*map(str, hashes.tolist())], _ROWS)


def _of_both(ask: Callable[[Side | None], Any], *sides: Side | None) -> list[Any]:
    """Query both sides at the same time."""
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(ask, sides))


def _size(side: Side, table: str) -> int:
    """Return the size of a table in bytes, with its partitions."""
    place = sql.Literal(side.place(table).as_string(side.connection))
    query = sql.SQL("SELECT sum(pg_relation_size(relid))::bigint FROM pg_partition_tree({}::regclass)")
    ((size,),) = side.connection.execute(query.format(place)).fetchall()
    return size or 0


def _hashes(difference: TableDifference, number: int, slices: int, side: Side | None) -> Hashes:
    """Return the key hashes of a slice, and the row hashes."""
    if side is None:
        return np.zeros((2, 0), np.int64)
    query = sql.SQL(
        "SELECT string_agg(int8send(k) || int8send(r), '') FROM (SELECT {} AS k, {} AS r FROM {} t) t"
    ).format(difference.key_hash, difference.hash(difference.types), side.place(difference.table))
    if slices > 1:
        query += sql.SQL(" WHERE (k & 1048575) % {} = {}").format(slices, number)
    ((pairs,),) = side.connection.execute(query, binary=True).fetchall()
    hashes = np.frombuffer(pairs or b"", ">i8").reshape(-1, 2).T.astype(np.int64)
    if difference.key and not pd.Index(hashes[0]).is_unique:
        raise WorkbenchError(
            f"Rows of {difference.table} in {side.connection.info.dbname} are not unique by {', '.join(difference.key)}.",
            "The table's key was changed since the snapshot: compare the other tables with --table.",
        )
    return hashes


def _count_alike(rows: dict[Kind, list[str]], was: Hashes, has: Hashes) -> None:
    """Count how many more or fewer equal rows there are, in a table without a key."""
    alike, at = np.unique(np.concatenate([has, was]), return_inverse=True)
    more = np.bincount(at, np.repeat([1, -1], [len(has), len(was)]), len(alike)).astype(int)
    for kind, counts in (("added", more), ("removed", -more)):
        rows[kind] += np.repeat(alike, counts.clip(0)).astype(str).tolist()  # type: ignore[index]


def _fetch(
    difference: TableDifference, hashes: Sequence[str], names: Sequence[str], side: Side | None
) -> tuple[list[str], Hashes]:
    """Return the keys of some rows, sorted, and the hashes of some columns."""
    assert side is not None
    cells = [sql.SQL("int8send({})").format(difference.hash([name])) for name in names]
    query = sql.SQL(
        """SELECT array_agg(k ORDER BY k COLLATE "C"), string_agg(d, '' ORDER BY k COLLATE "C")
           FROM (SELECT {} AS k, {} AS d FROM {} t WHERE {} = ANY ({}::bigint[])) t"""
    ).format(
        difference.key_text,
        sql.SQL(" || ").join(cells) if cells else sql.SQL("''::bytea"),
        side.place(difference.table),
        difference.key_hash,
        sql.Literal(as_array(hashes)),
    )
    ((keys, digests),) = side.connection.execute(query, binary=True).fetchall()
    return keys or [], np.frombuffer(digests or b"", ">i8").reshape(len(keys or ()), len(names))


def _tables_in(snapshot: Snapshot, schema: str, settings: Settings) -> set[str]:
    """Return the tables of a snapshot."""
    if snapshot.manifest is not None:
        return set(snapshot.manifest.tables)
    if snapshot.path is not None:
        return set(read_archive(snapshot.path, schema, settings.client_tools).tables)
    with snapshot.readable.reading() as connection:
        return side_of(connection, snapshot.readable.address.schema).tables
