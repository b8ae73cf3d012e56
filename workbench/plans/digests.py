"""The digests of many rows: what a plan says of each row it deletes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from workbench.murmurant.catalogue import Catalogue, CatalogueTable
from workbench.plans import rows
from workbench.plans.arrays import UuidArray, key_array, uuids_in

_MOST = 2  # a table of at most so many times the keys is read through

Digests = NDArray[np.int64]


def digests_of(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    table: str,
    seen: tuple[str, ...],
    keys: Sequence[str],
) -> tuple[list[str], Digests]:
    """Return the digests of rows, and the keys they belong to: those that are gone are left out.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction.
    table : str
        Real name of a table with a key of one column.
    seen : tuple of str
        The columns that a digest covers.
    keys : sequence of str
        Their order is kept.
    """
    described = rows.table_of(catalogue, table)
    key = rows.key_of(described)
    sent = key_array(keys, described.columns[key].type)
    place = rows.qualified(catalogue, table)
    if isinstance(sent, UuidArray) and _size(connection, place) <= _MOST * len(keys):
        found, digests = _of_all(connection, place, described, seen, sent)
    else:
        found, digests = _joined(connection, place, described, seen, sent)
    there = np.zeros(len(keys), bool)
    there[found] = True
    in_order = np.empty(len(keys), np.int64)
    in_order[found] = digests
    return list(compress(keys, there.tolist())), in_order[there]


def _joined(
    connection: psycopg.Connection[Any],
    place: sql.Identifier,
    described: CatalogueTable,
    seen: tuple[str, ...],
    sent: str | UuidArray,
) -> tuple[NDArray[np.int64], Digests]:
    """Send the keys; back comes for each row the number of its key, and its digest."""
    key = rows.key_of(described)
    # Joined, since "= ANY" looks up a million keys in three times the time; as bytes, since nobody has to parse them.
    query = sql.SQL(
        "SELECT string_agg(int8send(k.place) || int8send({}), '') FROM {} t"
        " JOIN unnest(%s::{}[]) WITH ORDINALITY k(key, place) ON {} = k.key"
    ).format(
        rows.digest(described, seen, "t"),
        place,
        sql.SQL(described.columns[key].type),
        sql.Identifier("t", key),
    )
    row = connection.execute(query, [sent], binary=True).fetchone()
    found = np.frombuffer((row and row[0]) or b"", ">i8").reshape(-1, 2)
    return found[:, 0] - 1, found[:, 1]


def _of_all(
    connection: psycopg.Connection[Any],
    place: sql.Identifier,
    described: CatalogueTable,
    seen: tuple[str, ...],
    sent: UuidArray,
) -> tuple[NDArray[np.int64], Digests]:
    """Read the table through and pick the rows here: half the time, where most of it is asked for."""
    key = rows.key_of(described)
    query = sql.SQL("SELECT string_agg(uuid_send({}) || int8send({}), '') FROM {} t").format(
        sql.Identifier("t", key), rows.digest(described, seen, "t"), place
    )
    row = connection.execute(query, binary=True).fetchone()
    # Bytes of a fixed length: that numpy ignores NUL bytes at their end cannot make two of them equal.
    every = np.frombuffer((row and row[0]) or b"", [("key", "S16"), ("digest", ">i8")])
    order = np.argsort(every["key"])
    every = every[order]
    wanted = uuids_in(sent)
    at = np.searchsorted(every["key"], wanted)
    found = np.flatnonzero(at < len(every))
    found = found[every["key"][at[found]] == wanted[found]]
    return found, every["digest"][at[found]]


def _size(connection: psycopg.Connection[Any], place: sql.Identifier) -> float:
    """Return how many rows a table has, as far as the server has counted; infinitely many where it has not."""
    row = connection.execute(
        "SELECT reltuples FROM pg_class WHERE oid = %s::regclass AND reltuples >= 0",
        [place.as_string(connection)],
    ).fetchone()
    return float(row[0]) if row else float("inf")
