"""Did anybody write while a dry run ran? Asked of the database, which no importer's own word can be better than."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, text

from workbench.murmurant.schema import Schema

WATCHED = ("members", "events", "registrations", "mappings")


def mark(connection: Connection) -> str:
    """Return the transaction id from which on everything is new."""
    return str(connection.scalar(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")))


def written_since(connection: Connection, schema: Schema, since: str) -> dict[str, int]:
    """Count the rows that were written since a mark, in one scan of each table.

    Returns
    -------
    dict of str to int
        Real table name to rows inserted or updated since and still there; a deletion leaves no row to count.
    """
    found = {}
    for concept in WATCHED:
        if not schema.has(concept):
            continue
        newer = text("age(xmin) <= age(CAST(CAST(:since AS text) AS xid))").bindparams(
            since=str(int(since) % 2**32)
        )
        rows = connection.scalar(select(func.count()).select_from(schema.source(concept)).where(newer))
        if rows:
            found[schema.resolved[concept].table] = int(rows)
    return found
