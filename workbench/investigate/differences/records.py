"""Rows as 24 bytes each, key and digest, from the database straight into arrays: how a million are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from workbench.errors import WorkbenchError
from workbench.investigate.differences.sides import Shape, Side

AT_ONCE = 1 << 20
"""Rows of one side that are held in memory at a time; a larger table is compared in parts."""

_MIXING = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
_RECORD = np.dtype([("a", ">u8"), ("b", ">u8"), ("digest", ">i8")])

Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Records:
    """Rows of one table: their keys as two numbers each, and their digests."""

    a: NDArray[np.uint64]
    b: NDArray[np.uint64]
    digest: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.a)


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
    for factor in _MIXING:
        one, other = _mixed(before, factor), _mixed(now, factor)
        one_order, other_order = np.argsort(one), np.argsort(other)
        one, other = one[one_order], other[other_order]
        # That two keys of one side fall together is a matter of chance: then they are mixed anew.
        if not ((one[1:] == one[:-1]).any() or (other[1:] == other[:-1]).any()):
            break
    else:
        raise WorkbenchError("The keys of a table cannot be told apart by their digests.")
    at = np.searchsorted(one, other)
    there = at < len(one)
    there[there] = one[at[there]] == other[there]
    left, right = one_order[at[there]], other_order[there]
    same_key = (before.a[left] == now.a[right]) & (before.b[left] == now.b[right])
    left, right = left[same_key], right[same_key]
    gone, new = np.ones(len(before), bool), np.ones(len(now), bool)
    gone[left], new[right] = False, False
    differs = before.digest[left] != now.digest[right]
    return Matched(np.flatnonzero(gone), np.flatnonzero(new), left[differs], right[differs])


def keys_at(side: Side, shape: Shape, records: Records, places: Index) -> list[str]:
    """Return the keys of some records, as text."""
    if not len(places):
        return []
    a, b = records.a[places], records.b[places]
    if shape.by_uuid:
        digits = np.stack([a, b], axis=1).astype(">u8").tobytes().hex()
        return [_as_uuid(digits[start : start + 32]) for start in range(0, len(digits), 32)]
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


def _mixed(records: Records, factor: int) -> NDArray[np.uint64]:
    return records.a ^ (records.b * np.uint64(factor))


def _numbers(values: NDArray[np.uint64]) -> str:
    return "{" + ",".join(map(str, values.astype(np.int64).tolist())) + "}"


def _as_uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
