"""Fingerprints of tables: how many rows, and a digest of them as pg_dump writes them.

The digest of a table is the SHA-256 of the names and types of the columns that are copied, in their order, and of
the SHA-256 of its rows: a line each, as COPY and pg_dump write them in UTF-8, in the order in which they lie, with
what pg_dump ends them with. In an uncompressed folder of pg_dump that is, byte for byte, the table's file; so an
archive's own SHA-256 and those of its tables come from one pass over it, and the server need not hash anything. Types
that are written by their names (``regclass``) are written in full, times in UTC, and what the server computes
(generated columns) is not in it.

A restored table has its rows in the archive's order, because it is filled in the transaction that makes or empties
it: PostgreSQL then goes from page to page, and looks for no room in earlier ones. Where that is not so,
`workbench.checkpoints.restored_order` compares the rows whatever their order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from workbench.checkpoints.copying import copied_lines
from workbench.checkpoints.manifest import SequenceState
from workbench.database.encoding import encoding_for
from workbench.errors import SchemaGap

Connection = psycopg.Connection[Any]

END_OF_ROWS = b"\\.\n"
"""The line after the last row."""

END_OF_DATA = END_OF_ROWS + b"\n\n"
"""What pg_dump ends a table's rows with."""

_TOGETHER = 1 << 12  # lines that are hashed at a time: a call for each row would cost more than the hashing

# How values are written as text: by pg_dump's own rules (and as `database.connection.SPELLING` makes it, too).
SPELLED = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "array_nulls": "on",
    "xmlbinary": "base64",
    "row_security": "off",
    "jit": "off",
}
_COPIED = {
    "synchronize_seqscans": "off",
    "search_path": "",
    "quote_all_identifiers": "off",
}

# Tables with rows of their own: no view, no partitioned parent, none that an extension brings.
_TABLES = """
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = %s AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                  AND d.deptype = 'e')
ORDER BY c.relpages DESC, 1, 2
"""

_SHAPES = """
SELECT n.nspname::text, c.relname::text, c.oid::text,
       coalesce(json_agg(json_build_array(a.attname, format_type(a.atttypid, NULL)) ORDER BY a.attnum)
                FILTER (WHERE a.attname IS NOT NULL), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relkind = 'r' AND n.nspname = ANY(%s)
GROUP BY 1, 2, 3
"""


class Fingerprint(NamedTuple):
    """How many rows a table has, and the digest of them: 64 hexadecimal digits."""

    rows: int
    digest: str


class Shape(NamedTuple):
    """A table's number on its server, and the columns that are copied: name and type of each, in order."""

    oid: str
    columns: list[tuple[str, str]]

    def digest(self, sha256: str) -> str:
        """Return the table's digest, given the SHA-256 of its rows and of what ends them."""
        return hashlib.sha256(json.dumps([self.columns, sha256]).encode()).hexdigest()


def fingerprints(connection: Connection, schema_name: str, tables: Iterable[str]) -> dict[str, Fingerprint]:
    """Count and digest tables: every row is read, in the order in which they lie.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction, whose settings stay as they are.
    schema_name : str
        The tables' schema.
    tables : iterable of str
        Their names.

    Returns
    -------
    dict of str to Fingerprint
        In the order asked for.

    Raises
    ------
    SchemaGap
        For a table that is not there.
    """
    found = {}
    with as_copied(connection):
        there = shapes(connection, [schema_name])
        for table in tables:
            shape = there.get((schema_name, table))
            if shape is None:
                raise SchemaGap(
                    f'There is no table "{table}" in the schema "{schema_name}".', "It may have been renamed."
                )
            digest, rows = hashlib.sha256(), 0
            for count, lines in copied(connection, schema_name, table, [name for name, _ in shape.columns]):
                digest.update(lines)
                rows += count
            digest.update(END_OF_DATA)
            found[table] = Fingerprint(rows, shape.digest(digest.hexdigest()))
    return found


@contextmanager
def as_copied(connection: Connection) -> Iterator[None]:
    """Have values written as pg_dump writes them, for as long as the block lasts."""
    with spelled(connection, SPELLED | _COPIED | {"client_encoding": encoding_for(connection)}):
        yield


@contextmanager
def spelled(connection: Connection, settings: dict[str, str]) -> Iterator[None]:
    """Set these for as long as the block lasts, within the transaction; what it writes is taken back."""
    with connection.transaction(force_rollback=True):
        each = sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
            for name, value in settings.items()
        )
        connection.execute(sql.SQL("SELECT {}").format(each))
        yield


def shapes(connection: Connection, schemas: Iterable[str]) -> dict[tuple[str, str], Shape]:
    """Return the shape of every table, by schema and name; within `as_copied`, which spells types in full."""
    return {
        (schema, table): Shape(oid, [(name, kind) for name, kind in columns])
        for schema, table, oid, columns in connection.execute(_SHAPES, [list(schemas)])
    }


def copied(
    connection: Connection, schema_name: str, table: str, columns: list[str]
) -> Iterator[tuple[int, bytes]]:
    """Read a table's rows as pg_dump does: some lines at a time, with their number; within `as_copied`."""
    # Of a table without columns every row is an empty line; of one with only generated ones too.
    chosen = sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Identifier, columns)))
    query = sql.SQL("COPY {} {} TO STDOUT").format(
        sql.Identifier(schema_name, table), chosen if columns else sql.SQL("")
    )
    for lines in copied_lines(connection, query):
        for start in range(0, len(lines), _TOGETHER):
            some = lines[start : start + _TOGETHER]
            yield len(some), b"".join(some)


def row_counts(connection: Connection, schema_name: str, tables: Iterable[str]) -> dict[str, int]:
    """Count the rows of tables; `SchemaGap` is left to the server's own error for one that is not there."""
    query = "SELECT count(*) FROM ONLY {}"
    # By this session alone: it counts beside others that are at work, and has no wish for more.
    with spelled(connection, SPELLED | {"max_parallel_workers_per_gather": "0"}):
        return {
            table: connection.execute(sql.SQL(query).format(sql.Identifier(schema_name, table))).fetchone()[0]  # type: ignore[index]
            for table in tables
        }


def tables_of(connection: Connection) -> dict[str, list[str]]:
    """List the tables with rows of their own, by schema, the largest first."""
    return _by_schema(connection, "r")


def sequences_of(connection: Connection) -> dict[str, dict[str, SequenceState]]:
    """Read the state of every sequence, by schema; no transaction holds it still."""
    found: dict[str, dict[str, SequenceState]] = {}
    for schema, names in _by_schema(connection, "S").items():
        query = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}, last_value, is_called FROM {}").format(
                sql.Literal(name), sql.Identifier(schema, name)
            )
            for name in sorted(names)
        )
        found[schema] = {
            str(name): SequenceState(last, called) for name, last, called in connection.execute(query)
        }
    return found


def _by_schema(connection: Connection, kind: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for schema, name in connection.execute(_TABLES, [kind]):
        found.setdefault(schema, []).append(name)
    return found
