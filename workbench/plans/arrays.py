"""Many keys or digests as one parameter, in the server's own binary form: it takes a million in without parsing one."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Dumper

from workbench.plans.rows import as_array

_UUID, _UUIDS = 2950, 2951  # PostgreSQL's numbers for uuid and uuid[], bigint and bigint[]
_BIGINT, _BIGINTS = 20, 1016
_UUID_LENGTH = 36  # characters
_HEADER = 20  # bytes before the first value


class UuidArray(bytes):
    """A ``uuid[]`` as it is sent."""


class BigintArray(bytes):
    """A ``bigint[]`` as it is sent."""


class _AsItIs(Dumper):
    format = psycopg.pq.Format.BINARY

    def dump(self, obj: bytes) -> Buffer | None:
        return obj


class _UuidsAsTheyAre(_AsItIs):
    oid = _UUIDS


class _BigintsAsTheyAre(_AsItIs):
    oid = _BIGINTS


psycopg.adapters.register_dumper(UuidArray, _UuidsAsTheyAre)
psycopg.adapters.register_dumper(BigintArray, _BigintsAsTheyAre)


def key_array(keys: Sequence[str], type: str) -> str | UuidArray:
    """Return keys as one parameter, for ``%s::TYPE[]``: in binary where they are uuids, else as text.

    Parameters
    ----------
    keys : sequence of str
        As the database writes them; uuids among which one is spelled otherwise go as text.
    type : str
        The type of the column they name, as PostgreSQL spells it.
    """
    if type != "uuid" or set(map(len, keys)) != {_UUID_LENGTH}:
        return as_array(keys)
    digits = "".join(keys).replace("-", "")
    try:
        values = np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(len(keys), 16)
    except ValueError:  # the server will say what is wrong with them
        return as_array(keys)
    return UuidArray(_framed(values, _UUID))


def uuids_in(array: UuidArray) -> NDArray[np.bytes_]:
    """Return what an array holds: sixteen bytes each."""
    return np.frombuffer(array[_HEADER:], np.uint8).reshape(-1, 20)[:, 4:].copy().view("S16").ravel()


def digest_array(digests: Sequence[int]) -> BigintArray:
    """Return digests as one parameter, for ``%s::bigint[]``; `OverflowError` for one that has more than 64 bits."""
    values = np.array(digests, np.int64).astype(">i8")
    return BigintArray(_framed(values.view(np.uint8).reshape(-1, 8), _BIGINT))


def _framed(values: NDArray[np.uint8], of: int) -> bytes:
    """Frame values, a row of bytes each: one dimension, no NULL, so many, counted from one, each after its length."""
    count, length = values.shape
    cells = np.empty((count, 4 + length), np.uint8)
    cells[:, :4] = 0, 0, 0, length
    cells[:, 4:] = values
    return struct.pack("!5i", 1, 0, of, count, 1) + cells.tobytes()
