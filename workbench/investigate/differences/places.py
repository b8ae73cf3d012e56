"""Which rows are gone, found by their places: a clone has its rows where the database had them.

A row that nobody wrote to stays in its place for as long as the table's file does. So a place of the clone that
is neither an old row's of the database nor that of one found to be updated has lost its row. Places take six
bytes each, and no key is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from workbench.investigate.differences.sides import Shape, Side

_PAGES = 1 << 13  # looked at together: 64 MB of rows
_ROOM = 12  # bits: on a page, even of the largest size, are fewer than 4,096 rows
_LAST = (1 << _ROOM) - 1
_FILE = "SELECT pg_relation_filenode(%s::regclass), pg_relation_size(%s::regclass) / current_setting('block_size')::int"

Places = NDArray[np.int64]


def gone_from_places(
    before: Side, now: Side, shape: Shape, found: Places, age: int, gone: int
) -> list[str] | None:
    """Return the keys of the rows that a clone has and the database has not.

    Parameters
    ----------
    before : Side
        A clone of the database, on its own server.
    found : array of int
        Where the clone has those rows of the database that may be new: the page's number times 65,536, and within it.
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
    keys: list[str] = []
    old, everything = sql.SQL("AND age(t.xmin) > {}").format(age), sql.SQL("")
    with ThreadPoolExecutor(2) as threads:
        for start in range(0, pages, _PAGES):
            asked = [
                threads.submit(_places, side, shape, start, which)
                for side, which in ((before, everything), (now, old))
            ]
            had, has = (each.result() for each in asked)
            here = found[(found >= start << 16) & (found < (start + _PAGES) << 16)]
            left = np.zeros(_PAGES << _ROOM, bool)
            left[_squeezed(had, start)] = True
            left[_squeezed(has, start)] = False
            left[_squeezed(here, start)] = False
            places = np.flatnonzero(left)
            tids = [f"({(place >> _ROOM) + start},{place & _LAST})" for place in places.tolist()]
            keys += _keys_at(before, shape, tids)
    return keys if len(keys) == gone else None


def _places(side: Side, shape: Shape, start: int, which: sql.Composable) -> Places:
    """Return the places of rows on some pages: the page's number, and within it."""
    query = sql.SQL(
        "SELECT string_agg(tidsend(t.ctid), '') FROM {} t WHERE t.ctid >= {}::tid AND t.ctid < {}::tid {}"
    ).format(side.place(shape.table), f"({start},0)", f"({start + _PAGES},0)", which)
    row = side.connection.execute(query, binary=True).fetchone()
    found = np.frombuffer((row and row[0]) or b"", np.dtype([("page", ">u4"), ("at", ">u2")]))
    places: Places = (found["page"].astype(np.int64) << 16) | found["at"]
    return places


def _squeezed(places: Places, start: int) -> Places:
    return ((places >> 16) - start << _ROOM) | (places & 0xFFFF)


def _keys_at(side: Side, shape: Shape, places: Sequence[str]) -> list[str]:
    query = sql.SQL("SELECT {} FROM {} t WHERE t.ctid = ANY (%s::tid[]) ORDER BY t.ctid").format(
        shape.key_text, side.place(shape.table)
    )
    return [row[0] for row in side.connection.execute(query, [list(places)])] if places else []
