"""Which rows are gone, found by their places: a clone has its rows where the database had them.

A row that nobody wrote to stays in its place for as long as the table's file does. So a place of the clone that
is neither an old row's of the database nor that of one found to be updated has lost its row. Where few are gone,
the rows of some pages at a time are counted first, and only where the numbers differ are places compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from psycopg import sql

from workbench.investigate.differences.recent import Since
from workbench.investigate.differences.rows import Places, places_from
from workbench.investigate.differences.sides import Shape, Side
from workbench.investigate.differences.written import RANGES

_RUN = 1 << 7  # pages counted together: enough to be read in one go
_AT_ONCE = 1 << 6  # runs whose places are compared together: 64 MB of rows
_ROOM = 12  # bits: on a page, even of the largest size, are fewer than 4,096 rows
_LAST = (1 << _ROOM) - 1
_FILE = "SELECT pg_relation_filenode(%s::regclass), pg_relation_size(%s::regclass) / current_setting('block_size')::int"


def gone_from_places(
    before: Side, now: Side, shape: Shape, since: Since, found: Places, gone: int
) -> list[str] | None:
    """Return the keys of the rows that a clone has and the database has not.

    Parameters
    ----------
    before : Side
        A clone of the database, on its own server.
    found : array of int
        Where the clone has those rows of the database that may be new: the page's number times 65,536, and within it.
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
    sides = (before, sql.SQL("true")), (now, since.old)
    runs = np.arange(-(-pages // _RUN))
    with ThreadPoolExecutor(2) as threads:
        if gone * 2 < len(runs):
            asked = [threads.submit(_counts, side, shape, pages, which) for side, which in sides]
            had, has = (each.result() for each in asked)
            updated = np.bincount((found >> 16) // _RUN, minlength=len(runs))
            runs = np.flatnonzero(had - has - updated)
        for start in range(0, len(runs), _AT_ONCE):
            some = runs[start : start + _AT_ONCE]
            asked = [threads.submit(_places, side, shape, some, which) for side, which in sides]
            one, other = (each.result() for each in asked)
            here = found[np.isin((found >> 16) // _RUN, some)]
            keys += _keys_at(before, shape, _without(one, (other, here), some))
    return keys if len(keys) == gone else None


def _without(places: Places, others: Sequence[Places], runs: Places) -> Places:
    """Return those of some places that are none of the others; all on some runs of pages."""
    left = np.zeros(len(runs) * _RUN << _ROOM, bool)

    def squeezed(places: Places) -> Places:
        page = places >> 16
        squeezed: Places = np.searchsorted(runs, page // _RUN) * _RUN + page % _RUN << _ROOM | places & 0xFFFF
        return squeezed

    left[squeezed(places)] = True
    for each in others:
        left[squeezed(each)] = False
    at = np.flatnonzero(left)
    page = at >> _ROOM
    there: Places = runs[page // _RUN] * _RUN + page % _RUN << 16 | at & _LAST
    return there


def _counts(side: Side, shape: Shape, pages: int, which: sql.Composable) -> Places:
    """Count some rows of each run of pages."""
    each = _of_run(side, shape, sql.SQL("int4send(count(*)::int)"), which)
    query = sql.SQL("SELECT string_agg({}, '' ORDER BY p) FROM generate_series(0, {}, {}) p").format(
        each, pages - 1, _RUN
    )
    return np.frombuffer(_sent(side, query), ">i4").astype(np.int64)


def _places(side: Side, shape: Shape, runs: Places, which: sql.Composable) -> Places:
    """Return the places of some rows of some runs of pages."""
    each = _of_run(side, shape, sql.SQL("string_agg(tidsend(t.ctid), '')"), which)
    query = sql.SQL("SELECT string_agg({}, '') FROM unnest(%s::bigint[]) p").format(each)
    return places_from(_sent(side, query, [(runs * _RUN).tolist()]))


def _of_run(side: Side, shape: Shape, what: sql.Composable, which: sql.Composable) -> sql.Composed:
    """Return the question for something of a run's rows, from page p on; as a subquery it reads these pages alone."""
    return sql.SQL(
        "(SELECT {} FROM {} t WHERE t.ctid >= format('(%%s,0)', p)::tid AND t.ctid < format('(%%s,0)', p + {})::tid AND {})"
    ).format(what, side.place(shape.table), _RUN, which)


def _sent(side: Side, query: sql.Composed, values: Sequence[Any] = ()) -> bytes:
    row = side.connection.execute(query, values, binary=True).fetchone()
    return (row and row[0]) or b""


def _keys_at(side: Side, shape: Shape, places: Places) -> list[str]:
    tids = [f"({place >> 16},{place & 0xFFFF})" for place in places.tolist()]
    query = sql.SQL("SELECT {} FROM {} t WHERE t.ctid = ANY (%s::tid[]) ORDER BY t.ctid").format(
        shape.key_text, side.place(shape.table)
    )
    return [row[0] for row in side.connection.execute(query, [tids])] if tids else []
