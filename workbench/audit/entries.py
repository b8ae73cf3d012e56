"""The questions of guide §5.2, in either dialect."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import psycopg
from sqlalchemy import Connection

from workbench.database.connection import Session, raw
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

# The guide casts every duration to int and fails on the first that is none; here those count zero.
BY_OPERATOR = rf"""
    SELECT operator, count(*) AS imports,
        sum(coalesce(substring(metadata ->> 'duration' FROM '^(\d+)(?:\.\d+)?$'), '0')::numeric) AS total_seconds
    FROM ({_ENTRIES}) entries WHERE action = 'migration:completed' GROUP BY operator ORDER BY operator"""


def audit_entries(
    connection: Connection,
    schema: Schema,
    *,
    run_id: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    limit: int | None = 200,
) -> pd.DataFrame:
    """List what the audit log says of migrations: "all migration activity for a run" (guide §5.2).

    Parameters
    ----------
    run_id : str, optional
        Only entries of this run.
    action : str, optional
        Only actions that begin with this, such as ``migration:rollback``.
    since : datetime, optional
        Only entries at or after this moment (UTC, without zone).
    limit : int, optional
        The most entries to list, the latest ones.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``at``, ``action``, ``run``, ``operator``, ``metadata``; oldest first.
    """
    return counted(connection, schema, _LATEST, since=since, run=run_id, action=action, limit=limit)


def counted(connection: Connection, schema: Schema, question: str, **given: Any) -> pd.DataFrame:
    """Ask the log one of the questions above."""
    cursor = ask_log(raw(connection), schema, question, **given)
    return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])


def ask_log(connection: Session, schema: Schema, question: str, **given: Any) -> psycopg.Cursor[Any]:
    """Ask in SQL of ``audit``, the log as the canonical schema has it; `SchemaGap` where it lacks what is asked for."""
    canonical = Canonical(schema)
    canonical.require(question)
    words = {"prefix": MIGRATION_PREFIX, "import": IMPORT_SOURCE, "undo": ROLLBACK_ACTION}
    return canonical.execute(connection, question, given | words)


def has_action(schema: Schema, *actions: str) -> str:
    """Return SQL that is true of an entry of ``audit`` whose migration action is one of these.

    Where the action is an enum, the metadata name these actions, of entries of one kind alone: an index finds those.
    """
    named = "migration_action IN ({})".format(", ".join(f"'{action}'" for action in actions))
    return f"spelled = '{ROLLBACK_ACTION}' AND {named}" if schema.audit_action_is_enum else named
