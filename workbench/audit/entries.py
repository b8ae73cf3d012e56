"""Audit entries: read for the questions of guide §5.2, written as §5.1 demands, in either dialect."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import uuid4

import pandas as pd
import psycopg
from psycopg import sql
from sqlalchemy import Connection

from workbench.database.connection import Database, Session, raw
from workbench.database.exclusion import lock_for_writing
from workbench.errors import NotLogged, SchemaGap, WorkbenchError
from workbench.murmurant.canonical import Canonical
from workbench.murmurant.importers import IMPORT_SOURCE, MIGRATION_PREFIX, ROLLBACK_ACTION
from workbench.murmurant.schema import Schema

# An entry belongs to a migration by its action, because a sync wrote it, or because it names a run.
_ENTRIES = """
    SELECT id::text AS id, created_at AS at, migration_action AS action, run_id AS run,
        metadata ->> 'operator' AS operator, metadata
    FROM audit
    WHERE (starts_with(migration_action, %(prefix)s) OR metadata ->> 'source' = %(import)s OR run_id IS NOT NULL)
        AND (%(since)s::timestamp IS NULL OR created_at >= %(since)s)"""

_LATEST = f"""
    SELECT * FROM (
        SELECT * FROM ({_ENTRIES}) entries
        WHERE (%(run)s::text IS NULL OR run = %(run)s) AND (%(action)s::text IS NULL OR starts_with(action, %(action)s))
        ORDER BY at DESC, id DESC LIMIT %(limit)s
    ) latest ORDER BY at, id"""

BY_RUN = f"""
    SELECT run, action, count(*) AS entries, min(at) AS first, max(at) AS last
    FROM ({_ENTRIES}) entries GROUP BY run, action ORDER BY min(at), action"""

# The guide casts every duration to int and fails on the first other value; here those count as zero.
BY_OPERATOR = rf"""
    SELECT operator, count(*) AS imports,
        sum(coalesce(substring(metadata ->> 'duration' FROM '^(\d+)(?:\.\d+)?$'), '0')::numeric) AS total_seconds
    FROM ({_ENTRIES}) entries WHERE action = 'migration:completed' GROUP BY operator ORDER BY operator"""

# Waits for other writers of entries, then reads the time.
_TURN = "SELECT clock_timestamp() FROM pg_advisory_xact_lock(hashtextextended('murmurant-workbench audit log', 0))"


def audit_entries(
    connection: Connection,
    schema: Schema,
    *,
    run_id: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    limit: int | None = 200,
) -> pd.DataFrame:
    """List the audit entries of migrations: "all migration activity for a run" (guide §5.2).

    Parameters
    ----------
    run_id : str, optional
        Only entries of this run.
    action : str, optional
        Only actions that begin with this, such as ``migration:rollback``.
    since : datetime, optional
        Only entries at or after this time (UTC, without time zone).
    limit : int, optional
        Only this many entries, the latest ones.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``at``, ``action``, ``run``, ``operator``, ``metadata``; oldest first.
    """
    return query_log(connection, schema, _LATEST, since=since, run=run_id, action=action, limit=limit)


def query_log(connection: Connection, schema: Schema, query: str, **values: Any) -> pd.DataFrame:
    """Return the answer to one of the queries above."""
    cursor = ask_log(raw(connection), schema, query, **values)
    return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])


def ask_log(connection: Session, schema: Schema, query: str, **values: Any) -> psycopg.Cursor[Any]:
    """Run a query of ``audit``, the log in the canonical schema; `SchemaGap` if the log lacks what it needs."""
    canonical = Canonical(schema)
    canonical.require(query)
    names = {"prefix": MIGRATION_PREFIX, "import": IMPORT_SOURCE, "undo": ROLLBACK_ACTION}
    return canonical.execute(connection, query, values | names)


def has_action(schema: Schema, *actions: str) -> str:
    """Return SQL that is true of a row of ``audit`` whose migration action is one of these.

    Where the action is an enum, migration actions are in the metadata of entries of one kind, which an index finds.
    """
    named = "migration_action IN ({})".format(", ".join(f"'{action}'" for action in actions))
    return f"spelled = '{ROLLBACK_ACTION}' AND {named}" if schema.audit_action_is_enum else named


def record(database: Database, schema: Schema, action: str, metadata: dict[str, Any], *, about: str) -> str:
    """Write one entry in a transaction of its own, for an act other than an apply; return the entry's id.

    Parameters
    ----------
    database : Database
        The target, which passed the environment guard.
    action, metadata, about
        See `write_entry`.

    Raises
    ------
    NotLogged
        When nothing was written, whatever the reason. The act itself stands; its caller goes on and says so.
    """
    try:
        with database.writing() as connection:
            lock_for_writing(connection, database.address.database, logging=True)
            return write_entry(connection, schema, action, metadata, about=about)
    except WorkbenchError as error:
        raise NotLogged(
            f"{action} was not logged: {error.what}",
            "What was done stands; the audit log does not say so. " + error.next_step,
        ) from None


def write_entry(
    connection: Session, schema: Schema, action: str, metadata: dict[str, Any], *, about: str
) -> str:
    """Write one entry in the dialect's shape, in the current transaction; return its id.

    Where ``action`` is the application's enum, which has no migration actions, the entry is an ``UNDO`` whose metadata
    have the action as ``migrationAction``. Other writers of entries wait until the transaction ends, so that entries
    become visible in the order of their times.

    Parameters
    ----------
    action : str
        As in guide §5.1, or in its style: ``migration:snapshot:created``.
    metadata : dict
        What §5.1 requires for it, with ``operator``.
    about : str
        A UUID: the resource that the application's log requires.

    Raises
    ------
    SchemaGap
        When there is no audit log to write to: a change that cannot be logged is not made.
    """
    schema.require("audit.id", "audit.action", "audit.metadata")
    audit = schema.resolved["audit"]
    log = sql.Identifier(schema.catalogue.schema, audit.table)
    # The table is locked before the turn, in the order of an apply that changes the log itself.
    connection.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(log))
    ((now,),) = connection.execute(_TURN).fetchall()
    number, facts = str(uuid4()), {**metadata, "source": "workbench"}
    if schema.audit_action_is_enum:
        facts["migrationAction"], action = action, ROLLBACK_ACTION
    values = {
        "id": number,
        "action": action,
        "resource_type": "MigrationRun",
        "resource_id": about,
        "metadata": json.dumps(facts, sort_keys=True),
        "created_at": now,
    }
    row = {audit.spelling[name]: value for name, value in values.items() if name in audit.spelling}
    for name, column in schema.catalogue.tables[audit.table].columns.items():
        if not column.nullable and not column.has_default and name not in row:
            raise SchemaGap(
                f'The table "{audit.table}" requires a column {name!r} that the workbench does not know.',
                "Give it a default. Nothing was changed.",
            )
    names, cells = map(sql.Identifier, row), map(sql.Literal, row.values())
    insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})")
    connection.execute(insert.format(log, sql.SQL(", ").join(names), sql.SQL(", ").join(cells)))
    return number
