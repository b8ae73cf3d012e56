"""Fingerprints of tables: how many rows, and a digest of them, in one scan on the server.

A table's digest does not depend on the order of its rows, on the server's settings or on object numbers, so
that a restored table has the same as the one it was dumped from. Each row has a hash of 64 bits, and the table
three sums of these, the hash itself and two ways of mixing it: without them the values of one column could
change places between two rows without a trace. The hashes are those that PostgreSQL keeps from version to
version, because hash partitions and ``pg_upgrade`` rest on them. It tells damage and change; against
somebody who wants to deceive, the archive's SHA-256 counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from workbench.checkpoints.manifest import SequenceState
from workbench.errors import SchemaGap, WorkbenchError

Connection = psycopg.Connection[Any]

# What PostgreSQL hashes whole, whatever the database; every type besides goes by its text.
_WHOLE = re.compile(r"uuid|integer|smallint|boolean|bytea|date")
# Of these it would hash both halves folded into one: 1 as 2^32.
_SENT = {
    "bigint": "int8send",
    "timestamp without time zone": "timestamp_send",
    "timestamp with time zone": "timestamptz_send",
    "money": "cash_send",
}
_TEXT = re.compile(r"text|character varying(\(\d+\))?")

_SPELLED = """
SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true),
       set_config('IntervalStyle', 'postgres', true), set_config('extra_float_digits', '1', true),
       set_config('bytea_output', 'hex', true), set_config('array_nulls', 'on', true),
       set_config('xmlbinary', 'base64', true), set_config('row_security', 'off', true),
       set_config('jit', 'off', true)
"""

# Tables with rows of their own: no view, no partitioned parent, none that an extension brings.
_TABLES = """
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = %s AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                  AND d.deptype = 'e')
ORDER BY c.relpages DESC, 1, 2
"""

_COLUMNS = """
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p')
ORDER BY c.relname, a.attnum
"""

_OLDEST = 140000  # hash_record_extended


class Fingerprint(NamedTuple):
    """How many rows a table has, and the digest of them: 64 hexadecimal digits."""

    rows: int
    digest: str


def fingerprints(connection: Connection, schema_name: str, tables: Iterable[str]) -> dict[str, Fingerprint]:
    """Count and digest tables, each in one scan.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction; its settings become, until it ends, those that digests are made under.
    schema_name : str
        The tables' schema.
    tables : iterable of str
        Their names.

    Returns
    -------
    dict of str to Fingerprint
        In the order asked for. The digest covers names and types of the columns too.

    Raises
    ------
    SchemaGap
        For a table that is not there.
    WorkbenchError
        On a server older than PostgreSQL 14, which cannot hash a row.
    """
    wanted = list(tables)
    if connection.info.server_version < _OLDEST:
        raise WorkbenchError(
            f"The server is PostgreSQL {connection.info.server_version // 10000}, which cannot hash a row.",
            "Digests need PostgreSQL 14 or newer.",
        )
    connection.execute(_SPELLED)
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, name, kind in connection.execute(_COLUMNS, [schema_name, wanted]):
        columns.setdefault(table, []).append((name, kind))
    return {table: _fingerprint(connection, schema_name, table, columns.get(table)) for table in wanted}


def row_counts(connection: Connection, schema_name: str, tables: Iterable[str]) -> dict[str, int]:
    """Count the rows of tables; `SchemaGap` is left to the server's own error for one that is not there."""
    connection.execute(_SPELLED)
    query = "SELECT count(*) FROM ONLY {}"
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


def _fingerprint(
    connection: Connection, schema: str, table: str, columns: list[tuple[str, str]] | None
) -> Fingerprint:
    if columns is None:
        raise SchemaGap(f'There is no table "{table}" in the schema "{schema}".', "It may have been renamed.")
    cells = sql.SQL(", ").join(_cell(name, kind) for name, kind in columns)
    # The products are of halves and parts of the hash, and fit into 64 bits. They are there because PostgreSQL
    # adds up the hashes of a row's columns, and a sum of such sums forgets who had what.
    query = sql.SQL(
        "SELECT count(*), sum(h), sum((h & 4294967295) * ((h >> 32) & 2147483647)),"
        " sum(((h >> 16) & 4294967295) * ((h # (h >> 48)) & 2147483647))"
        " FROM (SELECT hash_record_extended(ROW({}), 0) AS h FROM ONLY {} t OFFSET 0) x"
    ).format(cells, sql.Identifier(schema, table))
    row = connection.execute(query).fetchone()
    assert row is not None
    rows, *sums = row
    said = json.dumps([columns, rows, [int(each or 0) % 2**64 for each in sums]])
    return Fingerprint(rows, hashlib.sha256(said.encode()).hexdigest())


def _cell(name: str, kind: str) -> sql.Composable:
    cell = sql.Identifier("t", name)
    if _WHOLE.fullmatch(kind):
        return cell
    if kind in _SENT:
        return sql.SQL("pg_catalog.{}({})").format(sql.Identifier(_SENT[kind]), cell)
    # By its bytes, whatever the collation; that costs nothing, a cast to text does.
    shown = '{} COLLATE "C"' if _TEXT.fullmatch(kind) else '{}::text COLLATE "C"'
    return sql.SQL(shown).format(cell)
