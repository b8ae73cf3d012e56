"""The hash chain: every entry that the workbench writes carries the one before it, and its own seal.

An entry's seal is the SHA-256 of everything it says: its number, the seal before it, its id, action,
resource, images, moment and metadata. It is computed by the server from the row as it stands, when it is
written and when it is verified, by one expression: so it does not matter how ``jsonb`` orders keys and
spells numbers, nor how precise a timestamp is kept.

The last entry's number and seal are kept a second time, in the schema ``workbench`` beside the journal:
without that nobody would notice that the latest entries were cut off.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from workbench.errors import WorkbenchError
from workbench.murmurant.row_digest import readable_json
from workbench.murmurant.schema import Schema

VERSION = 1

LARGEST = 10**12
"""A number that no counter of ours reaches: a place beyond it was not taken by us."""

_LOCK = "murmurant-workbench audit chain"

_SEALED_TEXT = ("id", "action", "resource_type", "resource_id", "member_id", "ip_address", "user_agent")
_SEALED_IMAGES = ("before", "after")

_HEADS = """
    CREATE TABLE workbench.audit_head (
        log text PRIMARY KEY,
        number bigint NOT NULL,
        hash text NOT NULL,
        entry text NOT NULL,
        written_at timestamptz NOT NULL
    )
"""

_KNOWN = """
    SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'workbench' AND c.relname = 'audit_head'
"""


class Head(NamedTuple):
    """The end of a chain: the last entry's number, seal and id."""

    number: int
    hash: str
    entry: str


class Position(NamedTuple):
    """Where the next entry stands: its number, and the seal of the one before it."""

    number: int
    previous: str | None


def take_position(connection: psycopg.Connection[Any], schema: Schema) -> Position:
    """Wait for whoever else is writing an entry, and take the next place in the chain.

    The place is held until the transaction ends; one that is rolled back leaves no gap.

    Raises
    ------
    WorkbenchError
        When the chain's end may not be read.
    """
    log = log_of(schema)
    # The table first, the chain second, everywhere: an apply that prunes entries has the table already.
    connection.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(log))
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK])
    head = kept_head(connection, schema) or _last_in_log(connection, schema)
    return Position(head.number + 1, head.hash) if head else Position(1, None)


def keep_head(connection: psycopg.Connection[Any], schema: Schema, head: Head) -> None:
    """Keep the chain's end beside the journal; where the role may make no schema, it goes without."""
    if not _make_room(connection):
        return
    connection.execute(
        "INSERT INTO workbench.audit_head (log, number, hash, entry, written_at)"
        " VALUES (%s, %s, %s, %s, clock_timestamp()) ON CONFLICT (log) DO UPDATE SET number = excluded.number,"
        " hash = excluded.hash, entry = excluded.entry, written_at = excluded.written_at",
        [_log_name(schema), *head],
    )


def kept_head(connection: psycopg.Connection[Any], schema: Schema) -> Head | None:
    """Return the chain's end as it is kept beside the journal; None where none is.

    Raises
    ------
    WorkbenchError
        When it is there and may not be read.
    """
    known = connection.execute(_KNOWN).fetchone()
    if known is None:
        return None
    if known != (True,):
        raise WorkbenchError(
            "The database user may not read where the audit chain ends.",
            "Ask the database's owner for USAGE on the schema workbench, and SELECT on its tables.",
        )
    row = connection.execute(
        "SELECT number, hash, entry FROM workbench.audit_head WHERE log = %s", [_log_name(schema)]
    ).fetchone()
    return Head(*row) if row else None


def seal(
    schema: Schema, given: Collection[str], *, row: str, number: sql.Composable, previous: sql.Composable
) -> sql.Composed:
    """Return the expression that seals a row of the log.

    Parameters
    ----------
    given : collection of str
        The columns that the row has, by their canonical names; the others are taken for NULL.
    row : str
        What the row is called.
    number, previous : sql.Composable
        The place in the chain: a number, or a JSON one; text, or a JSON string.
    """
    found = schema.resolved["audit"]
    described = schema.catalogue.tables[found.table]

    def column(name: str) -> sql.Composable:
        there = name in given and name in found.spelling
        return sql.Identifier(row, found.spelling[name]) if there else sql.SQL("NULL")

    def zoned(name: str) -> bool:
        return name in found.spelling and "with time zone" in described.columns[found.spelling[name]].type

    moment = sql.SQL("{} AT TIME ZONE 'UTC'" if zoned("created_at") else "{}::timestamp")
    parts = [
        sql.Literal(VERSION),
        number,
        previous,
        *(sql.SQL("{}::text").format(column(name)) for name in _SEALED_TEXT),
        *(json_of(schema, name, column(name)) for name in _SEALED_IMAGES),
        sql.SQL("to_char({}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')").format(moment.format(column("created_at"))),
        sql.SQL("CASE jsonb_typeof({0}) WHEN 'object' THEN {0} - 'chain' ELSE {0} END").format(
            json_of(schema, "metadata", column("metadata"))
        ),
    ]
    return sql.SQL("encode(sha256(convert_to(jsonb_build_array({})::text, 'UTF8')), 'hex')").format(
        sql.SQL(", ").join(parts)
    )


def stored_seal(schema: Schema, row: str) -> sql.Composed:
    """Return the expression that seals a row of the log as it is stored, by the place that it says it has."""
    found = schema.resolved["audit"]
    cell = sql.Identifier(row, found.spelling["metadata"])
    chain = sql.SQL("({} -> 'chain')").format(json_of(schema, "metadata", cell))
    return seal(
        schema,
        found.spelling,
        row=row,
        number=sql.SQL("{} -> 'number'").format(chain),
        previous=sql.SQL("{} -> 'previous'").format(chain),
    )


def json_of(schema: Schema, name: str, cell: sql.Composable) -> sql.Composed:
    """Return a JSON cell of the log as ``jsonb``, whatever somebody wrote into it."""
    found = schema.resolved["audit"]
    described = schema.catalogue.tables[found.table].columns.get(found.spelling.get(name, ""))
    return sql.SQL(readable_json(described.type if described else "")).format(cell=cell)


def log_of(schema: Schema) -> sql.Identifier:
    """Return the audit log's qualified name."""
    schema.require("audit.id", "audit.action", "audit.metadata")
    return sql.Identifier(schema.catalogue.schema, schema.resolved["audit"].table)


def _log_name(schema: Schema) -> str:
    return f"{schema.catalogue.schema}.{schema.resolved['audit'].table}"


def _last_in_log(connection: psycopg.Connection[Any], schema: Schema) -> Head | None:
    """Find the chain's end in the log itself: one look through all of it."""
    spelling = schema.resolved["audit"].spelling
    row = connection.execute(
        sql.SQL(
            "SELECT n::bigint, chain ->> 'hash', id FROM (SELECT {id}::text AS id, {metadata} -> 'chain' AS chain"
            " FROM {log} WHERE {metadata} ? 'chain') t, LATERAL (SELECT CASE jsonb_typeof(chain -> 'number')"
            " WHEN 'number' THEN (chain ->> 'number')::numeric END AS n) m"
            " WHERE n BETWEEN 1 AND {largest} AND n = trunc(n) AND chain ->> 'hash' IS NOT NULL"
            " ORDER BY n DESC, id LIMIT 1"
        ).format(
            id=sql.Identifier(spelling["id"]),
            metadata=json_of(schema, "metadata", sql.Identifier(spelling["metadata"])),
            log=log_of(schema),
            largest=sql.Literal(LARGEST),
        )
    ).fetchone()
    return Head(*row) if row else None


def _make_room(connection: psycopg.Connection[Any]) -> bool:
    """Make the table of chains' ends where there is none; whether there is one now."""
    if connection.execute(_KNOWN).fetchone() is not None:
        return True
    try:
        with connection.transaction():
            if connection.execute("SELECT to_regnamespace('workbench')").fetchone() == (None,):
                connection.execute("CREATE SCHEMA workbench")
            connection.execute(_HEADS)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UniqueViolation):
        # The second: somebody's first apply is making the schema at this moment. The next entry will find it.
        return False
    return True
