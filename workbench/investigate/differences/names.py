"""The keys of many rows, as they come from a database and go to another: sixteen bytes each, or text."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

from workbench.errors import WorkbenchError
from workbench.investigate.differences.sides import Shape

Index = NDArray[np.intp]

_MIXING = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
_UUID, _UUIDS = 2950, 2951  # PostgreSQL's numbers for the type and for an array of it


class Names(Protocol):
    """The keys of some rows of one table."""

    def __len__(self) -> int: ...

    def text(self, places: Index) -> list[str]:
        """Return some of them as text."""

    def where(self, asked: Any) -> Index:
        """Tell for each where it stands among those that were asked for, all of which are of its kind."""

    @property
    def parameter(self) -> Any:
        """What a statement is given to look them up."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """Keys as two numbers each: a uuid's halves, or two hashes."""

    a: NDArray[np.uint64]
    b: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.a)


class Uuids(Numbers):
    """Keys that are one uuid."""

    def text(self, places: Index) -> list[str]:
        """Return some of them as text."""
        digits = np.stack([self.a[places], self.b[places]], axis=1).astype(">u8").tobytes().hex()
        return [_as_uuid(digits[start : start + 32]) for start in range(0, len(digits), 32)]

    def where(self, asked: Uuids) -> Index:
        """Tell for each where it stands among those that were asked for."""
        here, there = paired(self, asked)
        return _complete(here, there, len(self))

    @property
    def parameter(self) -> UuidArray:
        """An array as PostgreSQL takes it, without a text made of each."""
        cells = np.empty(len(self), np.dtype([("size", ">i4"), ("a", ">u8"), ("b", ">u8")]))
        cells["size"], cells["a"], cells["b"] = 16, self.a, self.b
        header = (
            struct.pack(">5i", 1, 0, _UUID, len(self), 1) if len(self) else struct.pack(">3i", 0, 0, _UUID)
        )
        return UuidArray(header + cells.tobytes())


@dataclass(frozen=True, eq=False)
class Texts:
    """Keys of any other kind."""

    values: list[str]

    def __len__(self) -> int:
        return len(self.values)

    def text(self, places: Index) -> list[str]:
        """Return some of them."""
        return [self.values[place] for place in places.tolist()]

    def where(self, asked: Texts) -> Index:
        """Tell for each where it stands among those that were asked for."""
        number = {key: at for at, key in enumerate(asked.values)}
        return np.array([number[key] for key in self.values], np.intp)

    @property
    def parameter(self) -> list[str]:
        """A list."""
        return self.values


class UuidArray(bytes):
    """An array of uuids in PostgreSQL's own form."""


class UuidDumper(Dumper):
    """Hands an array over as it is."""

    format, oid = Format.BINARY, _UUIDS

    def dump(self, obj: UuidArray) -> bytes:
        """Return it."""
        return bytes(obj)


def gathered(shape: Shape) -> sql.Composed:
    """Return the aggregate of the keys of some rows."""
    if shape.by_uuid:
        return sql.SQL("string_agg(uuid_send({}), '')").format(sql.Identifier("t", shape.key[0]))
    return sql.SQL("array_agg({})").format(shape.key_text)


def names_from(shape: Shape, found: Any) -> Names:
    """Read what `gathered` gave."""
    if not shape.by_uuid:
        return Texts(found or [])
    return _uuids(found or b"")


def names_of(shape: Shape, keys: Sequence[str]) -> Names:
    """Read keys that are texts."""
    return _uuids(bytes.fromhex("".join(keys).replace("-", ""))) if shape.by_uuid else Texts(list(keys))


def paired(one: Numbers, other: Numbers) -> tuple[Index, Index]:
    """Find the keys that are in both; return their places, side by side. Each side has a key once."""
    for factor in _MIXING:
        left, right = _mixed(one, factor), _mixed(other, factor)
        left_order, right_order = np.argsort(left), np.argsort(right)
        left, right = left[left_order], right[right_order]
        # That two keys of one side fall together is a matter of chance: then they are mixed anew.
        if not ((left[1:] == left[:-1]).any() or (right[1:] == right[:-1]).any()):
            break
    else:
        raise WorkbenchError("The keys of a table cannot be told apart by their digests.")
    at = np.searchsorted(left, right)
    there = at < len(left)
    there[there] = left[at[there]] == right[there]
    here, there_at = left_order[at[there]], right_order[there]
    same = (one.a[here] == other.a[there_at]) & (one.b[here] == other.b[there_at])
    return here[same], there_at[same]


def _complete(here: Index, there: Index, count: int) -> Index:
    if len(here) != count:
        raise WorkbenchError("A database returned rows that it was not asked for; compare anew.")
    found = np.empty(count, np.intp)
    found[here] = there
    return found


def _uuids(sent: bytes) -> Uuids:
    halves = np.frombuffer(sent, ">u8").astype(np.uint64).reshape(-1, 2)
    return Uuids(halves[:, 0], halves[:, 1])


def _mixed(numbers: Numbers, factor: int) -> NDArray[np.uint64]:
    return numbers.a ^ (numbers.b * np.uint64(factor))


def _as_uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
