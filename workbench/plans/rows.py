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
from workbench.plans.plan import escaped

_PLAIN = re.compile(r"[0-9a-f,-]+")  # of ids as they mostly are, nothing needs quotes

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_UNESCAPED = re.compile(r"^(uuid|integer|bigint|smallint|boolean|date|timestamp.*|numeric.*)$")

BLOCK = 5_000
"""Rows written by the database into one text, or read at a time."""

CHUNK = 1_000_000
"""Keys sent to the database at a time."""

_READ_THROUGH = 2
"""A table of at most so many times the keys is read through: a third of the time that looking them up takes."""

Numbers = NDArray[np.int64]


def in_chunks(keys: Sequence[str], size: int = CHUNK) -> Iterator[Sequence[str]]:
    """Cut a sequence into pieces."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def table_of(catalogue: Catalogue, name: str) -> CatalogueTable:
    """Return a table by its real name; one without a primary key cannot be changed by a plan."""
    found = catalogue.tables.get(name)
    if found is None:
        raise SchemaGap(
            f'The table "{name}" is not here.', "The plan was made for another database; plan again."
        )
    if not found.primary_key:
        raise SchemaGap(
            f'The table "{name}" has no primary key, so its rows cannot be told apart.',
            "Ask the owner of the database to give it one.",
        )
    return found


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
    found = connection.execute(
        "SELECT relname::text, CASE WHEN relpages > 0 THEN reltuples / relpages"
        " * (pg_relation_size(oid) / current_setting('block_size')::int) ELSE -1 END"
        " FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))"
        " AND relkind IN ('r', 'p', 'f') AND (relkind <> 'r' OR pg_relation_size(oid) > 0)",
        [catalogue.schema],
    )
    return dict(found.fetchall())


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
    if type != "uuid" or set(map(len, keys)) - {36}:
        return as_array(keys)
    head = np.array([1, 0, psycopg.adapters.types["uuid"].oid, len(keys), 1], ">i4")
    cells = np.empty(len(keys), [("length", ">i4"), ("key", "S16")])
    cells["length"], cells["key"] = 16, _as_bytes(keys)
    return _Uuids(head.tobytes() + cells.tobytes())


def _as_bytes(keys: Sequence[str]) -> NDArray[np.bytes_]:
    """Return UUIDs as bytes of a fixed length: that numpy ignores NUL bytes at their end cannot make two of them equal."""
    return np.frombuffer(bytes.fromhex("".join(keys).replace("-", "")), "S16")


def is_uuid(key: str) -> bool:
    """Whether a text can be compared with a UUID of the database."""
    return _UUID.fullmatch(key) is not None


def blocks(
    connection: psycopg.Connection[Any],
    cells: Sequence[sql.Composable],
    source: sql.Composable,
    key: Sequence[sql.Composable],
    values: Sequence[str] = (),
) -> Iterator[bytes]:
    """Yield rows in COPY's text format, thousands at a time, in the order of their keys.

    The driver hands out what COPY TO sends row by row, which takes five times as long as the query;
    so the database writes the same format into a few large texts.

    Parameters
    ----------
    cells : sequence of Composable
        From `copied`, one for each column.
    source : Composable
        What stands after FROM.
    key : sequence of Composable
        From `in_order`, what to sort by.
    values : sequence of str
        What the placeholders in `source` stand for.
    """
    query = sql.SQL(
        "SELECT string_agg(line, '' ORDER BY number) FROM (SELECT {} || E'\\n' AS line,"
        " row_number() OVER (ORDER BY {}) AS number FROM {}) each GROUP BY number / {} ORDER BY min(number)"
    ).format(sql.SQL(" || E'\\t' || ").join(cells), sql.SQL(", ").join(key), source, sql.Literal(BLOCK))
    with connection.cursor(name="workbench_blocks") as cursor:
        cursor.itersize = 4
        for (block,) in cursor.execute(query, values):
            yield block.encode()


def deleted(
    connection: psycopg.Connection[Any], catalogue: Catalogue, table: str, keys: Sequence[str]
) -> Iterator[bytes]:
    """Yield what a plan says of rows that it deletes, in the order of their keys; those that are gone are left out."""
    described, size = table_of(catalogue, table), sizes(connection, catalogue).get(table, 0)
    written = str if _UNESCAPED.match(described.columns[key_of(described)].type) else escaped
    for chunk in in_chunks(keys):
        places, digests = _digests_of(connection, catalogue, described, chunk, size)
        for start in range(0, len(places), BLOCK):
            part = slice(start, start + BLOCK)
            cells = zip(places[part].tolist(), digests[part].tolist(), strict=True)
            yield "".join([f"{written(chunk[place])}\t{digest}\n" for place, digest in cells]).encode()


def _digests_of(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    described: CatalogueTable,
    keys: Sequence[str],
    size: float,
) -> tuple[Numbers, Numbers]:
    """Return the places of the keys whose rows are there, in order, and the digests of these rows.

    As bytes, and in no order: the server sorts a million rows, and the driver reads them, in many times the time.
    """
    key = key_of(described)
    cells = {
        "digest": digest(described, tuple(described.columns), "t"),
        "key": sql.Identifier("t", key),
        "table": qualified(catalogue, described.name),
        "type": sql.SQL(described.columns[key].type),
    }
    if (
        0 <= size <= _READ_THROUGH * len(keys)
        and described.columns[key].type == "uuid"
        and set(map(len, keys)) == {36}
    ):
        query = sql.SQL("SELECT string_agg(uuid_send({key}) || int8send({digest}), '') FROM {table} t")
        row = connection.execute(query.format(**cells), binary=True).fetchone()
        every = np.frombuffer((row and row[0]) or b"", [("key", "S16"), ("digest", ">i8")])
        every = every[np.argsort(every["key"])]
        wanted = _as_bytes(keys)
        at = np.searchsorted(every["key"], wanted)
        places = np.flatnonzero(at < len(every))
        places = places[every["key"][at[places]] == wanted[places]]
        return places, every["digest"][at[places]].astype(np.int64)
    query = sql.SQL(
        "SELECT string_agg(int8send(k.place) || int8send({digest}), '') FROM {table} t"
        " JOIN unnest(%s::{type}[]) WITH ORDINALITY k(key, place) ON {key} = k.key"
    )
    row = connection.execute(
        query.format(**cells), [sent(keys, described.columns[key].type)], binary=True
    ).fetchone()
    pairs = np.frombuffer((row and row[0]) or b"", ">i8").astype(np.int64).reshape(-1, 2)
    pairs = pairs[np.argsort(pairs[:, 0])]
    return pairs[:, 0] - 1, pairs[:, 1]


class Current(NamedTuple):
    """A row as it is: the digest by which an apply will recognise it, and columns as text (None for NULL)."""

    digest: str
    values: dict[str, str | None]


def current_rows(
    connection: psycopg.Connection[Any], catalogue: Catalogue, table: str, keys: Sequence[str]
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
    """
    described = table_of(catalogue, table)
    seen = digest(described, tuple(described.columns), "t")
    names = [name for name, column in described.columns.items() if not column.generated]
    for chunk in in_chunks(keys, BLOCK):  # whole rows, so fewer at a time than keys
        found = rows_by_key(connection, catalogue.schema, described, chunk, names, seen)
        yield from ((key, found[key]) for key in chunk if key in found)


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
    cells = [sql.SQL("{}::text").format(seen or sql.SQL("''"))]
    cells += [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names]
    query = sql.SQL(
        "SELECT t.{key}::text, {cells} FROM {table} t WHERE t.{key} = ANY({keys}::{type}[])"
    ).format(
        key=sql.Identifier(key),
        cells=sql.SQL(", ").join(cells),
        table=sql.Identifier(schema, described.name),
        keys=sql.Literal(as_array(list(keys))),
        type=sql.SQL(described.columns[key].type),
    )
    return {
        row[0]: Current(row[1], dict(zip(names, row[2:], strict=True))) for row in connection.execute(query)
    }


def copied(described: CatalogueTable, name: str, alias: str) -> sql.Composed:
    """Return a column's value as COPY writes it."""
    # In no collation of the column's own: some of them cannot replace.
    text: sql.Composable = sql.SQL('({}::text COLLATE "C")').format(sql.Identifier(alias, name))
    if not _UNESCAPED.match(described.columns[name].type):
        for raw, written in ((r"\\", r"\\\\"), (r"\t", r"\\t"), (r"\n", r"\\n"), (r"\r", r"\\r")):
            text = sql.SQL("replace({}, E'" + raw + "', E'" + written + "')").format(text)
    return sql.SQL(r"coalesce({}, E'\\N')").format(text)


def in_order(described: CatalogueTable, name: str, alias: str) -> sql.Composed:
    """Return what to sort by so that a column's text comes byte by byte, whatever the database's collation."""
    cell = sql.Identifier(alias, name)
    plain = described.columns[name].type == "uuid"  # its bytes are in the order of its text
    return sql.SQL("{}" if plain else '{}::text COLLATE "C"').format(cell)


def key_text(key: tuple[str, ...], alias: str) -> sql.Composed:
    """Return a row's key as one text, as plans and messages show it."""
    return sql.SQL(" || '/' || ").join(
        sql.SQL("{}::text").format(sql.Identifier(alias, name)) for name in key
    )
