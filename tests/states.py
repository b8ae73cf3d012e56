"""Every row of a database as text, and what differs between two moments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, LiteralString

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]


def state(connection: Connection, leave_out: Collection[str] = ()) -> dict[str, list[str]]:
    """Return every table's rows as text, to compare two moments exactly."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    found: dict[str, list[str]] = {
        row[0]: [] for row in connection.execute(query).fetchall() if row[0] not in leave_out
    }
    each: LiteralString = "SELECT {}, t::text FROM public.{} t"
    parts = [sql.SQL(each).format(sql.Literal(table), sql.Identifier(table)) for table in found]
    for table, row in connection.execute(sql.SQL(" UNION ALL ").join(parts)):
        found[table].append(row)
    return {table: sorted(rows) for table, rows in found.items()}


def differences(
    before: dict[str, list[str]], after: dict[str, list[str]]
) -> dict[str, tuple[list[str], list[str]]]:
    """Return the rows that are gone and those that are new, for each table where there are any."""
    found = {}
    for table in sorted({*before, *after}):
        was, now = Counter(before.get(table, ())), Counter(after.get(table, ()))
        if was != now:
            found[table] = (sorted((was - now).elements()), sorted((now - was).elements()))
    return found
