"""Which rows are gone, found by their places: a clone has its rows where the database had them.

A row that nobody wrote to stays in its place for as long as the table's file does. So some pages of the clone have
as many rows as the database has old ones there and as were found to be updated; where they have more, rows are gone.
Only there is looked row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from workbench.investigate.differences.names import Names, gathered, names_from
from workbench.investigate.differences.recent import Since
from workbench.investigate.differences.rows import PLACE, Pages, there
from workbench.investigate.differences.sides import Shape, Side
from workbench.investigate.differences.written import RANGES

_RUN = 8  # pages counted together: few enough that not many rows lie there, many enough to be read together
_AT_ONCE = 1 << 9  # runs looked at row by row: 32 MB of rows
_FILE = "SELECT pg_relation_filenode(%s::regclass), pg_relation_size(%s::regclass) / current_setting('block_size')::int"
_EVERY = sql.SQL("true")

Places = NDArray[np.int64]


def gone_from_places(
    before: Side, now: Side, shape: Shape, since: Since, found: Pages, gone: int
) -> list[str] | None:
    """Return the keys of the rows that a clone has and the database has not.

    Parameters
    ----------
    before : Side
        A clone of the database, on its own server.
    found : array of int
        By page of the clone, how many rows it has of those of the database that may be new.
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
    if file is None or file != same or now.connection.info.server_version < RANGES:
        return None
    keys: list[str] = []
    with ThreadPoolExecutor(2) as threads:
        asked = [
            threads.submit(_counts, side, shape, pages, which)
            for side, which in ((before, _EVERY), (now, since.old))
        ]
        had, has = (each.result() for each in asked)
        runs = len(had)
        missing = had - has - _by_run(found, runs)
        if (missing < 0).any():
            return None
        lost = np.flatnonzero(missing) * _RUN
        for start in range(0, len(lost), _AT_ONCE):
            chunk = lost[start : start + _AT_ONCE].tolist()
            asked = [
                threads.submit(_places, side, shape, chunk, which)
                for side, which in ((before, _EVERY), (now, since.old))
            ]
            one, other = (each.result() for each in asked)
            # What is no more where it was has been updated, or is gone: its key tells which.
            moved = _names_at(before, shape, np.setdiff1d(one, other, assume_unique=True))
            left = np.ones(len(moved), bool)
            left[there(now, shape, moved).where(moved)] = False
            keys += moved.text(np.flatnonzero(left))
    return keys if len(keys) == gone else None


def _by_run(found: Pages, runs: int) -> Pages:
    padded = np.zeros(runs * _RUN, np.int64)
    padded[: len(found)] = found
    counted: Pages = padded.reshape(runs, _RUN).sum(axis=1)
    return counted


def _counts(side: Side, shape: Shape, pages: int, which: sql.Composable) -> Pages:
    """Count some rows of each run of pages."""
    each = _of_run(side, shape, sql.SQL("int4send(count(*)::int)"), which)
    query = sql.SQL("SELECT string_agg({}, '' ORDER BY p) FROM generate_series(0, {}, {}) p").format(
        each, pages - 1, _RUN
    )
    return np.frombuffer(_sent(side, query), ">i4").astype(np.int64)


def _places(side: Side, shape: Shape, starts: Sequence[int], which: sql.Composable) -> Places:
    """Return the places of some rows of runs of pages: the page's number times 65,536, and within it."""
    each = _of_run(side, shape, sql.SQL("string_agg(tidsend(t.ctid), '')"), which)
    query = sql.SQL("SELECT string_agg({}, '') FROM unnest(%s::bigint[]) p").format(each)
    found = np.frombuffer(_sent(side, query, [list(starts)]), PLACE)
    places: Places = (found["page"].astype(np.int64) << 16) | found["at"]
    return places


def _of_run(side: Side, shape: Shape, what: sql.Composable, which: sql.Composable) -> sql.Composed:
    """Return the question for something of a run's rows, from page p on; as a subquery it reads these pages alone."""
    return sql.SQL(
        "(SELECT {} FROM {} t WHERE t.ctid >= format('(%%s,0)', p)::tid AND t.ctid < format('(%%s,0)', p + {})::tid AND {})"
    ).format(what, side.place(shape.table), _RUN, which)


def _sent(side: Side, query: sql.Composed, values: Sequence[Any] = ()) -> bytes:
    row = side.connection.execute(query, values, binary=True).fetchone()
    return (row and row[0]) or b""


def _names_at(side: Side, shape: Shape, places: Places) -> Names:
    tids = [f"({place >> 16},{place & 0xFFFF})" for place in places.tolist()]
    query = sql.SQL("SELECT {} FROM {} t WHERE t.ctid = ANY (%s::tid[])").format(
        gathered(shape), side.place(shape.table)
    )
    row = side.connection.execute(query, [tids], binary=True).fetchone() or (None,)
    return names_from(shape, row[0])
