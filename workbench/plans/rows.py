"""Rows in SQL: keys, the digest that shows whether a row has changed, and the values of rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.string import BytesBinaryDumper

from workbench.errors import Refused, SchemaGap
from workbench.murmurant.catalogue import Catalogue, CatalogueTable
from workbench.murmurant.row_digest import digest as digest
from workbench.plans.plan import format_row

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

BLOCK = 5_000
"""Whole rows read or written at a time."""

CHUNK = 1_000_000
"""Keys sent to the database at a time."""

_SCAN = 2
"""A table with at most this many rows per key is scanned whole: that takes a third of the time of looking up keys."""


def in_chunks(keys: Sequence[str], size: int = CHUNK) -> Iterator[Sequence[str]]:
    """Cut a sequence into pieces."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def table_of(catalogue: Catalogue, name: str) -> CatalogueTable:
    """Return a table by its real name; `SchemaGap` when it does not exist or has no primary key."""
    table = catalogue.tables.get(name)
    if table is None or not table.primary_key:
        lacks = "does not exist" if table is None else "has no primary key, so its rows cannot be identified"
        raise SchemaGap(
            f'The table "{name}" {lacks}.', "Plans can only change existing tables with a primary key."
        )
    return table


def key_of(described: CatalogueTable) -> str:
    """Return the primary key's column; planners only change tables with a key of one column."""
    if len(described.primary_key) != 1:
        names = ", ".join(described.primary_key) or "no column"
        raise Refused(
            f'The primary key of "{described.name}" is {names}; plans need a key of one column.',
            "Partition the table by its key (PARTITION BY HASH) to give it such a key. Nothing was planned.",
        )
    return described.primary_key[0]


def sizes(connection: psycopg.Connection[Any], catalogue: Catalogue) -> dict[str, float]:
    """Return the tables that may hold rows, with an estimate of how many; -1 for a table that was never analysed.

    Most of the sixty tables that refer to members are empty. The estimate scales the last count to the table's present
    number of pages, since a table may have grown.
    """
    cursor = connection.execute(
        "SELECT relname::text, CASE WHEN relpages > 0 THEN reltuples / relpages"
        " * (pg_relation_size(oid) / current_setting('block_size')::int) ELSE -1 END"
        " FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))"
        " AND relkind IN ('r', 'p', 'f') AND (relkind <> 'r' OR pg_relation_size(oid) > 0)",
        [catalogue.schema],
    )
    return dict(cursor.fetchall())


def qualified(catalogue: Catalogue, name: str) -> sql.Identifier:
    """Return a table's name with its schema."""
    return sql.Identifier(catalogue.schema, name)


def columns(names: Sequence[str], alias: str | None = None) -> sql.Composed:
    """Return column names, separated by commas."""
    return sql.SQL(", ").join(sql.Identifier(*filter(None, (alias, name))) for name in names)


def keys_match(key: Sequence[str], left: str, right: str) -> sql.Composed:
    """Return the condition that two aliases name the same row; true for a key without columns."""
    pairs = [
        sql.SQL("{} = {}").format(sql.Identifier(left, name), sql.Identifier(right, name)) for name in key
    ]
    return sql.SQL(" AND ").join(pairs) if pairs else sql.Composed([sql.SQL("true")])


def key_text(key: Sequence[str], alias: str) -> sql.Composed:
    """Return a row's key as one text, as plans and messages show it."""
    cells = (sql.SQL("{}::text").format(sql.Identifier(alias, name)) for name in key)
    return sql.SQL(" || '/' || ").join(cells)


def as_array(keys: Sequence[str]) -> str:
    """Write keys as one array literal, which is faster than passing them as a list."""
    escaped = (key.replace("\\", "\\\\").replace('"', '\\"') for key in keys)
    return "{" + ",".join(f'"{key}"' for key in escaped) + "}"


class _Uuids(bytes):
    """A binary array of UUIDs."""


class _UuidsDumper(BytesBinaryDumper):
    oid = psycopg.adapters.types["uuid"].array_oid


psycopg.adapters.register_dumper(_Uuids, _UuidsDumper)


def sent(keys: Sequence[str], type: str) -> str | bytes:
    """Return keys as the value of a placeholder that is cast to an array of their type; UUIDs as bytes, half the size."""
    if not _are_uuids(keys, type):
        return as_array(keys)
    head = np.array([1, 0, psycopg.adapters.types["uuid"].oid, len(keys), 1], ">i4")
    cells = np.empty(len(keys), [("length", ">i4"), ("key", "S16")])
    cells["length"], cells["key"] = 16, _as_bytes(keys)
    return _Uuids(head.tobytes() + cells.tobytes())


def is_uuid(key: str) -> bool:
    """Whether a text can be compared with a UUID of the database."""
    return _UUID.fullmatch(key) is not None


def _are_uuids(keys: Sequence[str], type: str) -> bool:
    return type == "uuid" and set(map(len, keys)) == {36}


def _as_bytes(keys: Sequence[str]) -> NDArray[np.bytes_]:
    """Return UUIDs as bytes; numpy ignores trailing NULs, which is harmless as all have the same length."""
    parts = (bytes.fromhex("".join(chunk).replace("-", "")) for chunk in in_chunks(keys, BLOCK))
    return np.frombuffer(b"".join(parts), "S16")


def deleted(
    connection: psycopg.Connection[Any], catalogue: Catalogue, table: str, keys: Sequence[str]
) -> Iterator[bytes]:
    """Yield a plan's lines (key and digest) for rows to delete, in the order of their sorted keys; missing rows are skipped."""
    described = table_of(catalogue, table)
    key, type = key_of(described), described.columns[key_of(described)].type
    if not _are_uuids(keys, type):
        for name, row in current_rows(connection, catalogue, table, keys, ()):
            yield format_row((name, row.digest))
        return
    # As bytes and unsorted: sorting a million rows and reading them as text takes many times longer.
    query = sql.SQL("SELECT string_agg(uuid_send({}) || int8send({}), '') FROM {} t").format(
        sql.Identifier("t", key),
        digest(described, tuple(described.columns), "t"),
        qualified(catalogue, table),
    )
    scanned = 0 <= sizes(connection, catalogue).get(table, 0) <= _SCAN * len(keys)
    if not scanned:
        query += sql.SQL(" JOIN unnest(%s::uuid[]) AS k(id) ON {} = k.id").format(sql.Identifier("t", key))
    answer = connection.execute(query, None if scanned else [sent(keys, type)], binary=True).fetchone()
    every = np.frombuffer((answer and answer[0]) or b"", [("key", "S16"), ("digest", ">i8")])
    every = every[np.argsort(every["key"])]
    wanted = _as_bytes(keys)
    at = np.searchsorted(every["key"], wanted)
    places = np.flatnonzero(at < len(every))
    places = places[every["key"][at[places]] == wanted[places]]
    digests = every["digest"][at[places]]
    for start in range(0, len(places), BLOCK):
        block = slice(start, start + BLOCK)
        pairs = zip(places[block].tolist(), digests[block].tolist(), strict=True)
        yield "".join([f"{keys[place]}\t{number}\n" for place, number in pairs]).encode()


class Current(NamedTuple):
    """A row as it is now: its digest, and columns as text (None for NULL)."""

    digest: str
    values: dict[str, str | None]


def current_rows(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    table: str,
    keys: Sequence[str],
    names: Sequence[str] | None = None,
) -> Iterator[tuple[str, Current]]:
    """Yield rows by key, in the order of the keys; missing rows are skipped.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction, with times in UTC.
    table : str
        Real name of a table with a key of one column.
    keys : sequence of str
        Sorted, where the plan's bytes depend on their order.
    names : sequence of str, optional
        The columns to read; by default all that the database does not compute.
    """
    described = table_of(catalogue, table)
    seen = digest(described, tuple(described.columns), "t")
    if names is None:
        names = [name for name, column in described.columns.items() if not column.generated]
    for chunk in in_chunks(keys, BLOCK):
        rows = rows_by_key(connection, catalogue.schema, described, chunk, names, seen)
        yield from ((key, rows[key]) for key in chunk if key in rows)


def rows_by_key(
    connection: psycopg.Connection[Any],
    schema: str,
    described: CatalogueTable,
    keys: Iterable[str],
    names: Sequence[str],
    seen: sql.Composable | None = None,
) -> dict[str, Current]:
    """Return rows by key, with the named columns; `seen` is the expression of their digest."""
    key = key_of(described)
    cells = [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in (key, *names)]
    query = sql.SQL("SELECT {seen}::text, {cells} FROM {table} t WHERE t.{key} = ANY({keys}::{type}[])")
    rows = connection.execute(
        query.format(
            seen=seen or sql.SQL("''"),
            cells=sql.SQL(", ").join(cells),
            table=sql.Identifier(schema, described.name),
            key=sql.Identifier(key),
            keys=sql.Literal(as_array(list(keys))),
            type=sql.SQL(described.columns[key].type),
        )
    )
    return {key: Current(seen, dict(zip(names, values, strict=True))) for seen, key, *values in rows}
