"""Rows in SQL: how a key is compared, the digest by which a row is recognised as unchanged, and rows as they are."""

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

_PLAIN = re.compile(r"[0-9a-f,-]+")  # of ids as they mostly are, nothing needs quotes
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

BLOCK = 5_000
"""Whole rows read or written at a time."""

CHUNK = 1_000_000
"""Keys sent to the database at a time."""

_READ_THROUGH = 2
"""A table of at most so many times the keys is read through: a third of the time that looking them up takes."""


def in_chunks(keys: Sequence[str], size: int = CHUNK) -> Iterator[Sequence[str]]:
    """Cut a sequence into pieces."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def table_of(catalogue: Catalogue, name: str) -> CatalogueTable:
    """Return a table by its real name; one without a primary key cannot be changed by a plan."""
    table = catalogue.tables.get(name)
    if table is None:
        raise SchemaGap(
            f'The table "{name}" is not here.', "The plan was made for another database; plan again."
        )
    if not table.primary_key:
        raise SchemaGap(
            f'The table "{name}" has no primary key, so its rows cannot be told apart.',
            "Ask the owner of the database to give it one.",
        )
    return table


def key_of(described: CatalogueTable) -> str:
    """Return the column that names a table's rows; what is planned, is planned by it."""
    if len(described.primary_key) != 1:
        names = ", ".join(described.primary_key) or "no column at all"
        raise Refused(
            f'The rows of "{described.name}" are named by {names}, and the workbench plans changes to tables with a key of'
            " one column.",
            "A partitioned table has such a key when it is partitioned by it (PARTITION BY HASH). Nothing was planned.",
        )
    return described.primary_key[0]


def sizes(connection: psycopg.Connection[Any], catalogue: Catalogue) -> dict[str, float]:
    """Return the tables that may hold a row, and about how many each has: -1 where nobody has counted.

    Of the sixty that refer to members most hold none. Rows are as they were counted last, for as many pages as
    there are now: a table may have grown since.
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
    """Return the condition that two aliases mean the same row; of no column at all, it is true."""
    pairs = [
        sql.SQL("{} = {}").format(sql.Identifier(left, name), sql.Identifier(right, name)) for name in key
    ]
    return sql.SQL(" AND ").join(pairs) if pairs else sql.Composed([sql.SQL("true")])


def key_text(key: Sequence[str], alias: str) -> sql.Composed:
    """Return a row's key as one text, as plans and messages show it."""
    cells = (sql.SQL("{}::text").format(sql.Identifier(alias, name)) for name in key)
    return sql.SQL(" || '/' || ").join(cells)


def as_array(keys: Sequence[str]) -> str:
    """Write keys as one array literal: ten times as fast as handing them to the driver one by one."""
    plain = ",".join(keys)
    if _PLAIN.fullmatch(plain) and plain.count(",") == len(keys) - 1 and "" not in keys:
        return "{" + plain + "}"
    quoted = (key.replace("\\", "\\\\").replace('"', '\\"') for key in keys)
    return "{" + ",".join(f'"{key}"' for key in quoted) + "}"


class _Uuids(bytes):
    """An array of UUIDs as the server's binary protocol has it."""


class _UuidsDumper(BytesBinaryDumper):
    oid = psycopg.adapters.types["uuid"].array_oid


psycopg.adapters.register_dumper(_Uuids, _UuidsDumper)


def sent(keys: Sequence[str], type: str) -> str | bytes:
    """Return keys as the value of a placeholder that is cast to an array of their type; UUIDs take half the room as bytes."""
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
    """Return UUIDs as bytes of a fixed length: that numpy ignores NUL bytes at their end cannot make two of them equal."""
    parts = (bytes.fromhex("".join(chunk).replace("-", "")) for chunk in in_chunks(keys, BLOCK))
    return np.frombuffer(b"".join(parts), "S16")


def deleted(
    connection: psycopg.Connection[Any], catalogue: Catalogue, table: str, keys: Sequence[str]
) -> Iterator[bytes]:
    """Yield what a plan says of rows that it deletes, by sorted keys; those that are gone are left out."""
    described, size = table_of(catalogue, table), sizes(connection, catalogue).get(table, 0)
    key = key_of(described)
    if not (0 <= size <= _READ_THROUGH * len(keys) and _are_uuids(keys, described.columns[key].type)):
        for name, row in current_rows(connection, catalogue, table, keys, ()):
            yield format_row((name, row.digest))
        return
    # As bytes, and in no order: the server sorts a million rows, and the driver reads them, in many times the time.
    query = sql.SQL("SELECT string_agg(uuid_send({}) || int8send({}), '') FROM {} t").format(
        sql.Identifier("t", key),
        digest(described, tuple(described.columns), "t"),
        qualified(catalogue, table),
    )
    answer = connection.execute(query, binary=True).fetchone()
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
    """A row as it is: the digest by which an apply will recognise it, and columns as text (None for NULL)."""

    digest: str
    values: dict[str, str | None]


def current_rows(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    table: str,
    keys: Sequence[str],
    names: Sequence[str] | None = None,
) -> Iterator[tuple[str, Current]]:
    """Yield the rows of a table that some keys name, in the order of the keys; one that is gone is left out.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction, with times in UTC.
    table : str
        Real name of a table with a key of one column.
    keys : sequence of str
        Sorted, where the plan's bytes depend on their order.
    names : sequence of str, optional
        The columns that are read; else all that the server does not compute.
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
    """Return rows by their key, with the named columns; the digest is empty where none was asked for."""
    key = key_of(described)
    cells = (sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names)
    query = sql.SQL(
        "SELECT t.{key}::text, {cells} FROM {table} t WHERE t.{key} = ANY({keys}::{type}[])"
    ).format(
        key=sql.Identifier(key),
        cells=sql.SQL(", ").join([sql.SQL("{}::text").format(seen or sql.SQL("''")), *cells]),
        table=sql.Identifier(schema, described.name),
        keys=sql.Literal(as_array(list(keys))),
        type=sql.SQL(described.columns[key].type),
    )
    return {
        row[0]: Current(row[1], dict(zip(names, row[2:], strict=True))) for row in connection.execute(query)
    }
