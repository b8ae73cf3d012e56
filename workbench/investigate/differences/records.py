"""Rows as 24 bytes each, key and digest, from the database straight into arrays: how a million are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from workbench.investigate.differences.names import Index, Numbers, Uuids, paired
from workbench.investigate.differences.sides import Shape, Side

AT_ONCE = 1 << 20
"""Rows of one side that are held in memory at a time; a larger table is compared in parts."""

_RECORD = np.dtype([("a", ">u8"), ("b", ">u8"), ("digest", ">i8")])


@dataclass(frozen=True, eq=False)
class Records(Numbers):
    """Rows of one table: their keys as two numbers each, and their digests."""

    digest: NDArray[np.int64]


class Matched(NamedTuple):
    """Where two sets of records differ: places among those before, among those now, and in both, side by side."""

    removed: Index
    added: Index
    changed_before: Index
    changed_now: Index


def fetch(side: Side, shape: Shape, part: int = 0, parts: int = 1, *, digests: bool = True) -> Records:
    """Fetch the rows of a table, or of one part of it.

    Parameters
    ----------
    part, parts : int
        Which part, of how many (a power of two): a row's key says which it is in.
    digests : bool
        Whether the rows' contents matter, or only which there are.
    """
    a, b = _key_bytes(shape)
    if shape.key:
        digest = sql.SQL("int8send({})").format(shape.digest if digests else sql.SQL("0"))
        source: sql.Composable = sql.SQL("{} t").format(side.place(shape.table))
        record: sql.Composable = sql.SQL("{}{} || {}").format(a, b, digest)
    else:  # rows that nothing names are counted, so that a second one of a kind is seen
        source = sql.SQL("(SELECT {} AS a, {} AS b, count(*) AS n FROM {} t GROUP BY 1, 2) t").format(
            shape.key_hash(0), shape.key_hash(1), side.place(shape.table)
        )
        record = sql.SQL("int8send(t.a) || int8send(t.b) || int8send(t.n)")
    where: sql.Composable = sql.SQL("")
    if parts > 1:
        number = shape.key_hash(0) if shape.key else sql.SQL("t.a")
        where = sql.SQL("WHERE {} & {} = {}").format(number, parts - 1, part)
    query = sql.SQL("SELECT string_agg({}, '') FROM {} {}").format(record, source, where)
    row = side.connection.execute(query, binary=True).fetchone()
    found = np.frombuffer((row and row[0]) or b"", _RECORD)
    return Records(
        found["a"].astype(np.uint64), found["b"].astype(np.uint64), found["digest"].astype(np.int64)
    )


def match(before: Records, now: Records) -> Matched:
    """Compare two sets of records, of which each has a key once."""
    left, right = paired(before, now)
    gone, new = np.ones(len(before), bool), np.ones(len(now), bool)
    gone[left], new[right] = False, False
    differs = before.digest[left] != now.digest[right]
    return Matched(np.flatnonzero(gone), np.flatnonzero(new), left[differs], right[differs])


def keys_at(side: Side, shape: Shape, records: Records, places: Index) -> list[str]:
    """Return the keys of some records, as text."""
    if not len(places):
        return []
    if shape.by_uuid:
        return Uuids(records.a, records.b).text(places)
    a, b = records.a[places], records.b[places]
    if not shape.key:
        return [str(each) for each in a.astype(np.int64).tolist()]
    # Hashes do not say of what they are: the table is read for them once more.
    query = sql.SQL(
        "SELECT {} FROM {} t WHERE {} = ANY (%s::bigint[]) AND {} = ANY (%s::bigint[]) ORDER BY 1"
    ).format(shape.key_text, side.place(shape.table), shape.key_hash(0), shape.key_hash(1))
    found = side.connection.execute(query, [_numbers(a), _numbers(b)]).fetchall()
    return [row[0] for row in found]


def _key_bytes(shape: Shape) -> tuple[sql.Composable, sql.Composable]:
    if shape.by_uuid:
        return sql.SQL("uuid_send({})").format(sql.Identifier("t", shape.key[0])), sql.SQL("")
    pair = [sql.SQL("int8send({})").format(shape.key_hash(seed)) for seed in (0, 1)]
    return pair[0], sql.SQL(" || {}").format(pair[1])


def _numbers(values: NDArray[np.uint64]) -> str:
    return "{" + ",".join(map(str, values.astype(np.int64).tolist())) + "}"
