"""The rows of a table that were written since a moment: read with one look at the head of each, or page by page."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from psycopg import sql

from workbench.investigate.differences.recent import Since
from workbench.investigate.differences.rows import Rows, gather, rows_from
from workbench.investigate.differences.sides import Shape, Side

MOST = 1 << 16
"""So many rows that may be new are held in memory at a time; where there are more, they are read by pages."""

RANGES = 140_000
"""The first version of PostgreSQL that reads some pages of a table without reading all."""

_SMALLEST = 28  # bytes; what the shortest row takes on its page
_LARGEST = 1 << 14  # pages read together


@dataclass(frozen=True)
class Written:
    """A table as the server's transaction numbers tell of it.

    Attributes
    ----------
    rows : int
        How many it has.
    new : Rows or None
        Those that may be new; None where they are more than `MOST`.
    """

    rows: int
    new: Rows | None


def written(side: Side, shape: Shape, since: Since) -> Written:
    """Count a table's rows, and read those that may be new, with two scans that look at each row's head alone.

    Two simple scans take less than one that does both: that one would have to make something of each row.
    """
    place = side.place(shape.table)
    query = sql.SQL(
        "SELECT (SELECT count(*) FROM {}), {} FROM (SELECT {} FROM {} t WHERE {} LIMIT {}) t"
    ).format(place, gather(shape), _columns(shape), place, since.new, MOST + 1)
    count, *found = side.connection.execute(query, binary=True).fetchone() or (0, None, None, None)
    rows = rows_from(shape, found)
    return Written(count, rows if len(rows) <= MOST else None)


def count_written(side: Side, shape: Shape, since: Since) -> int:
    """Count the rows that may be new."""
    query = sql.SQL("SELECT count(*) FROM {} t WHERE {}").format(side.place(shape.table), since.new)
    (count,) = side.connection.execute(query).fetchone() or (0,)
    return int(count)


def written_by_pages(side: Side, shape: Shape, since: Since) -> Iterator[Rows]:
    """Yield the rows that may be new, at most `MOST` at a time; the next are read while some are looked at."""
    size = "SELECT pg_relation_size(%s::regclass), current_setting('block_size')::int"
    name = side.place(shape.table).as_string(None)
    whole, block = side.connection.execute(size, [name]).fetchone() or (0, 1)
    fewest = max(1, MOST // (block // _SMALLEST))  # so many pages can hold no more than MOST rows
    with ThreadPoolExecutor(1) as thread:
        start, pages, last = 0, fewest, whole // block
        asked = thread.submit(_on_pages, side, shape, since, (start, start + pages))
        while start < last:
            rows = asked.result()
            if len(rows) > MOST:
                pages = max(fewest, pages // 4)
                asked = thread.submit(_on_pages, side, shape, since, (start, start + pages))
                continue
            start += pages
            if len(rows) < MOST // 4:
                pages = min(_LARGEST, pages * 2)
            if start < last:
                asked = thread.submit(_on_pages, side, shape, since, (start, start + pages))
            if len(rows):
                yield rows


def _on_pages(side: Side, shape: Shape, since: Since, pages: tuple[int, int]) -> Rows:
    query = sql.SQL(
        "SELECT {} FROM (SELECT {} FROM {} t WHERE t.ctid >= {}::tid AND t.ctid < {}::tid AND {} LIMIT {}) t"
    ).format(
        gather(shape),
        _columns(shape),
        side.place(shape.table),
        f"({pages[0]},0)",
        f"({pages[1]},0)",
        since.new,
        MOST + 1,
    )
    return rows_from(shape, side.connection.execute(query, binary=True).fetchone() or (None, None, None))


def _columns(shape: Shape) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier("t", name) for name in shape.columns)
