"""Digests of rows (64 bits) and tables, computed by PostgreSQL: equal digests mean equal data, also in a copy.

PostgreSQL's hashes do not change between versions, because hash partitions and ``pg_upgrade`` depend on them. They detect
damage and change, not deliberate forgery.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from workbench.errors import SchemaGap, WorkbenchError
from workbench.murmurant.catalogue import CatalogueTable

# What is hashed whole, in a third of the time that its text takes. Of wider numbers PostgreSQL would fold both halves into
# one, 1 as 2^32, so their bytes are hashed; and every other type goes by its text. Floating point hashes its zero as NULL;
# enums hash by a number that a restored database gives anew, and a plan made before a restore must know its rows after it.
_WHOLE = re.compile(r"^(uuid|integer|smallint|boolean|bytea|date)$")
_SENT = {
    "bigint": "int8send",
    "timestamp without time zone": "timestamp_send",
    "timestamp with time zone": "timestamptz_send",
    "money": "cash_send",
}
_HASHES = {"uuid": "uuid_hash_extended", "integer": "hashint4extended", "smallint": "hashint2extended"}
_TEXT = re.compile(r"^(text|character varying(\(\d+\))?)$")

# In JSON's text: what PostgreSQL cannot make a letter of, whatever follows an even number of backslashes. The first
# for a database in UTF-8: the letter nought and half a surrogate pair; in another encoding all beyond ASCII.
_HALF = r"u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\)u[dD][c-fC-F].."
_ESCAPES = r"(?<!\\)((?:\\\\)*)\\(u0000|{})"
_BROKEN = "CASE getdatabaseencoding() WHEN 'UTF8' THEN '{utf8}' ELSE '{other}' END".format(
    utf8=_ESCAPES.format(_HALF), other=_ESCAPES.format("u(?!00[0-7])....")
)


def odd_value(type: str, cell: str) -> str | None:
    """Return SQL that is true for a value that Python or ``jsonb`` cannot represent; None for types without such values."""
    if type == "json":
        return f"{cell}::text ~ {_BROKEN}"
    if type.startswith(("timestamp", "date")):
        return f"{cell} NOT BETWEEN '0001-01-01' AND '{'9999-12-31' if type == 'date' else '9999-12-31 23:59:59.999999'}'"
    return None


def readable_json(type: str, cell: str = "{cell}") -> str:
    """Return SQL that reads a JSON cell as ``jsonb``; escapes that ``jsonb`` cannot represent stay as they are written."""
    shown = rf"regexp_replace({cell}::text, {_BROKEN}, '\1\\\\\2', 'g')" if type == "json" else cell
    return f"{shown}::jsonb"


def digest(table: CatalogueTable, seen: tuple[str, ...], alias: str) -> sql.Composed:
    """Return the SQL expression of a row's 64-bit digest over the given columns.

    It detects changes, not deliberate forgery: that is what the SHA-256 of the whole plan in the approval is for.
    """
    for name in seen:
        if name not in table.columns:
            raise SchemaGap(
                f'The table "{table.name}" has lost its column {name!r} since.',
                "Its rows can be neither compared with their earlier state nor restored.",
            )
    return hashed([portable(table.columns[name].type, sql.Identifier(alias, name)) for name in seen])


def hashed(cells: list[sql.Composable]) -> sql.Composed:
    """Return the 64-bit hash of values in this order."""
    return sql.SQL("hash_record_extended(ROW({}), 0)").format(sql.SQL(", ").join(cells))


def portable(type: str, cell: sql.Composable, *, recoded: bool = False) -> sql.Composable:
    """Return a value in a form that all databases hash alike, and that differs whenever the value differs.

    Between databases with different encodings, text is comparable only if both recode it to UTF-8.
    """
    if _WHOLE.match(type):
        return cell
    if sent := _SENT.get(re.sub(r"\(\d\)", "", type)):
        return sql.SQL("pg_catalog.{}({})").format(sql.Identifier(sent), cell)
    shown = sql.SQL("{}" if _TEXT.match(type) else "{}::text").format(cell)
    # By its bytes, whatever the collation; bytes alone hash as the text of "C" does.
    return sql.SQL("convert_to({}, 'UTF8')" if recoded else '{} COLLATE "C"').format(shown)


def hash_of(type: str, cell: sql.Composable) -> sql.Composed:
    """Return the 64-bit hash of one value, without building a row for most types, which is slow."""
    if whole := _HASHES.get(type):
        return sql.SQL("coalesce(pg_catalog.{}({}, 0), 0)").format(sql.Identifier(whole), cell)
    if type == "bytea" or re.sub(r"\(\d\)", "", type) in _SENT:
        return hashed([portable(type, cell)])
    shown = '{} COLLATE "C"' if _TEXT.match(type) else '{}::text COLLATE "C"'
    return sql.SQL("coalesce(pg_catalog.hashtextextended({}, 0), 0)").format(sql.SQL(shown).format(cell))


class TableDigest(NamedTuple):
    """The number of rows and their digest: 64 hexadecimal digits."""

    rows: int
    digest: str


# How values are written as text; names are written in full, rows that a policy hides are an error.
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "array_nulls": "on",
    "xmlbinary": "base64",
    "row_security": "off",
    "search_path": "",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}

# By name: a restored table has the columns that it inherits before its own. What the server computes is not among them.
_COLUMNS = """
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)
FROM pg_class c LEFT JOIN pg_attribute a
  ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p')
ORDER BY c.relname, a.attname COLLATE "C"
"""

_OLDEST = 140000  # hash_record_extended


def table_digests(
    connection: psycopg.Connection[Any], schema: str, tables: Iterable[str]
) -> dict[str, TableDigest]:
    """Count and digest tables, each in one scan on the server, whatever the order of the rows.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction, whose settings stay as they are.
    schema : str
        The tables' schema.
    tables : iterable of str
        Their names.

    Returns
    -------
    dict of str to TableDigest
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
    columns: dict[str, list[tuple[str, str]]] = {}
    settings = sql.SQL(", ").join(
        sql.SQL("set_config({}, {}, true)").format(name, value) for name, value in _SETTINGS.items()
    )
    with connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("SELECT {}").format(settings))
        for table, name, kind in connection.execute(_COLUMNS, [schema, wanted]):
            columns.setdefault(table, []).extend([(name, kind)] if name is not None else [])
        return {table: _table_digest(connection, schema, table, columns.get(table)) for table in wanted}


def _table_digest(
    connection: psycopg.Connection[Any], schema: str, table: str, columns: list[tuple[str, str]] | None
) -> TableDigest:
    if columns is None:
        raise SchemaGap(f'There is no table "{table}" in the schema "{schema}".', "It may have been renamed.")
    # Text in the bytes of UTF-8, which a restored database may have instead of another encoding.
    recoded = connection.info.parameter_status("server_encoding") not in ("UTF8", "SQL_ASCII")
    cells = [portable(kind, sql.Identifier("t", name), recoded=recoded) for name, kind in columns]
    # Besides the sum of the rows' hashes two of ways to mix them: PostgreSQL adds up the hashes of a row's columns, and
    # a sum of such sums forgets who had what. The products are of halves and parts, and fit into 64 bits.
    query = sql.SQL(
        "SELECT count(*), sum(h), sum((h & 4294967295) * ((h >> 32) & 2147483647)),"
        " sum(((h >> 16) & 4294967295) * ((h # (h >> 48)) & 2147483647))"
        " FROM (SELECT {} AS h FROM ONLY {} t OFFSET 0) x"
    ).format(hashed(cells), sql.Identifier(schema, table))
    row = connection.execute(query).fetchone()
    assert row is not None
    rows, *sums = row
    content = json.dumps([columns, rows, [int(number or 0) % 2**64 for number in sums]])
    return TableDigest(rows, hashlib.sha256(content.encode()).hexdigest())
