"""Tables hashed on the server, row by row in any order: for a database and itself at another moment.

Whether a database is still what it was, and what a clone on the same server holds, is told without a row leaving
the server, and a table that was rewritten in another order is still the same. (What an archive holds is told by
`workbench.checkpoints.fingerprints`; manifests of version 1 had these digests for archives too.) Each row has a hash
of 64 bits, and the table three sums of these, the hash itself and two ways of mixing it: without them the values of
one column could change places between two rows without a trace. The hashes are those that PostgreSQL keeps from
version to version, because hash partitions and ``pg_upgrade`` rest on them. It tells damage and change, and would
not stop somebody who wants to deceive.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from psycopg import sql

from workbench.checkpoints.fingerprints import SPELLED, Connection, Fingerprint, spelled
from workbench.errors import SchemaGap, WorkbenchError

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

_COLUMNS = """
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p')
ORDER BY c.relname, a.attnum
"""

_OLDEST = 140000  # hash_record_extended


def row_hashes(connection: Connection, schema_name: str, tables: Iterable[str]) -> dict[str, Fingerprint]:
    """Count and hash tables, each in one scan on the server.

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
        In the order asked for. The digest covers names and types of the columns too, not the rows' order.

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
    with spelled(connection, SPELLED):
        for table, name, kind in connection.execute(_COLUMNS, [schema_name, wanted]):
            columns.setdefault(table, []).append((name, kind))
        return {table: _hashed(connection, schema_name, table, columns.get(table)) for table in wanted}


def _hashed(
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
