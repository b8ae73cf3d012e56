"""Which rows are gone, found by counting: a clone has its rows where the database had them.

A row that nobody wrote to stays in its place for as long as the table's file does. So a page of the clone that
has more rows than the same page of the database has old ones, and than were found to be updated, has lost some;
only such pages are read. No key is compared but theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from workbench.investigate.differences.sides import Shape, Side

_WIDEST = 64  # pages
_FILE = "SELECT pg_relation_filenode(%s::regclass), pg_relation_size(%s::regclass) / current_setting('block_size')::int"

Counts = NDArray[np.int64]


def gone_from_pages(
    before: Side, now: Side, shape: Shape, found: Sequence[str], found_on: Counts, age: int, gone: int
) -> list[str] | None:
    """Return the keys of the rows that a clone has and the database has not.

    Parameters
    ----------
    before : Side
        A clone of the database, on its own server.
    found : sequence of str
        The rows of the database that may be new and that the clone has, too.
    found_on : array of int
        On which pages of the clone these lie.
    age : int
        The highest age, in transactions, of rows that may be new.
    gone : int
        How many are missing.

    Returns
    -------
    list of str or None
        None where the table was written anew since, so that its rows have other places.
    """
    name = before.place(shape.table).as_string(None)
    files = [side.connection.execute(_FILE, [name, name]).fetchone() or (None, 0) for side in (before, now)]
    (file, pages), (same, _) = files
    if file is None or file != same:
        return None
    # Several pages are counted together where few rows are missing: each question has its price.
    wide = int(min(_WIDEST, max(1, pages // (4 * gone))))
    old, everything = sql.SQL("AND age(t.xmin) > {}").format(age), sql.SQL("")
    with ThreadPoolExecutor(2) as threads:
        asked = [
            threads.submit(_counts, side, shape, pages, wide, which)
            for side, which in ((before, everything), (now, old))
        ]
        had, has = (each.result() for each in asked)
        missing = had - has - np.bincount(found_on // wide, minlength=len(had))
        if (missing < 0).any():
            return None
        places = np.flatnonzero(missing).tolist()
        asked_keys = [
            threads.submit(_keys, side, shape, places, wide, which)
            for side, which in ((before, everything), (now, old))
        ]
        were, are = (each.result() for each in asked_keys)
    there = set(are).union(found)
    keys = [key for key in were if key not in there]
    return keys if len(keys) == gone else None


def _counts(side: Side, shape: Shape, pages: int, wide: int, which: sql.Composable) -> Counts:
    """Count the rows on so many pages at a time; a subquery for each, which reads these pages alone."""
    query = sql.SQL(
        "SELECT string_agg(int8send((SELECT count(*) FROM {place} t WHERE {page} {which})), '' ORDER BY g)"
        " FROM generate_series(0, {last}) g"
    ).format(
        place=side.place(shape.table), page=_on_pages(wide), which=which, last=max(0, (pages - 1) // wide)
    )
    row = side.connection.execute(query, binary=True).fetchone()
    return np.frombuffer((row and row[0]) or b"", ">i8").astype(np.int64)


def _keys(side: Side, shape: Shape, places: Sequence[int], wide: int, which: sql.Composable) -> list[str]:
    query = sql.SQL(
        "SELECT (SELECT array_agg({key}) FROM {place} t WHERE {page} {which}) FROM unnest(%s::int[]) g"
    ).format(key=shape.key_text, place=side.place(shape.table), page=_on_pages(wide), which=which)
    found = side.connection.execute(query, [list(places)]).fetchall()
    return [key for (keys,) in found for key in keys or ()]


def _on_pages(wide: int) -> sql.Composed:
    return sql.SQL(
        "t.ctid >= ('(' || g::bigint * {wide} || ',0)')::tid AND t.ctid < ('(' || (g::bigint + 1) * {wide} || ',0)')::tid"
    ).format(wide=wide)
