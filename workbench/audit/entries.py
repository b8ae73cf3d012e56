"""The questions of guide §5.2, in either dialect."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Connection, Select, String, and_, cast, func, or_, select

from workbench.database.connection import frame
from workbench.murmurant.importers import IMPORT_SOURCE, MIGRATION_PREFIX, ROLLBACK_ACTION
from workbench.murmurant.schema import Schema, as_text


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
    entries = _since(schema, since).where(is_of_migration(schema)).subquery("entries")
    query = select(*entries.c["id", "at", "action", "run", "operator", "metadata"])
    if run_id is not None:
        query = query.where(entries.c.run == run_id)
    if action is not None:
        query = query.where(entries.c.action.startswith(action, autoescape=True))
    latest = frame(connection, query.order_by(entries.c.at.desc(), entries.c.id.desc()).limit(limit))
    return latest.iloc[::-1].reset_index(drop=True)


MIGRATION_ACTION = "coalesce({metadata} ->> 'migrationAction', {action}::text)"
"""An entry's action as guide §5.1 names it, as SQL: the application's enum has no such actions; there the metadata name them."""


def migration_action(schema: Schema) -> ColumnElement[str]:
    """Return the same for the audit log of a schema."""
    audit = schema.audit
    return func.coalesce(audit.c.metadata["migrationAction"].astext, cast(audit.c.action, String))


def has_action(schema: Schema, *actions: str) -> ColumnElement[bool]:
    """Whether an entry's migration action is one of these; where it is an enum, without reading a million metadata."""
    told = migration_action(schema).in_(actions)
    if schema.audit_action_is_enum:
        return and_(cast(schema.audit.c.action, String) == ROLLBACK_ACTION, told)
    return told


def is_of_migration(schema: Schema) -> ColumnElement[bool]:
    """Return whether an entry belongs to a migration.

    It does when its action begins with ``migration:``, when its metadata name such a one, where the
    application's enum leaves no room for that, when a sync wrote it, or when it names a run.
    """
    metadata = schema.audit.c.metadata
    return or_(
        migration_action(schema).like(f"{MIGRATION_PREFIX}%"),
        metadata["source"].astext == IMPORT_SOURCE,
        schema.audit_run.is_not(None),
    )


def audit_summary(connection: Connection, schema: Schema, since: datetime | None = None) -> pd.DataFrame:
    """Count migration entries by run and action.

    Returns
    -------
    pandas.DataFrame
        ``run``, ``action``, ``entries``, ``first``, ``last``.
    """
    entries = _since(schema, since).subquery("entries")
    action, run, at = entries.c["action", "run", "at"]
    counted = func.count().label("entries"), func.min(at).label("first"), func.max(at).label("last")
    query = select(run, action, *counted).where(or_(action.startswith(MIGRATION_PREFIX), run.is_not(None)))
    return frame(connection, query.group_by(run, action).order_by(func.min(at), action))


def imports_by_operator(
    connection: Connection, schema: Schema, since: datetime | None = None
) -> pd.DataFrame:
    """Tell who ran imports, how many and for how long: the last question of guide §5.2.

    Returns
    -------
    pandas.DataFrame
        ``operator``, ``imports``, ``total_seconds``.
    """
    entries = _since(schema, since).where(has_action(schema, "migration:completed")).subquery("entries")
    # The guide casts every duration to int and fails on the first that is none; here those count zero.
    duration = func.coalesce(func.substring(entries.c.duration, r"^(\d+)(?:\.\d+)?$"), "0")
    total = func.sum(func.to_number(duration, "9999999999")).label("total_seconds")
    query = select(entries.c.operator, func.count().label("imports"), total)
    return frame(connection, query.group_by(entries.c.operator).order_by(entries.c.operator))


def _since(schema: Schema, since: datetime | None) -> Select[Any]:
    """Select the log's entries from a moment on."""
    schema.require("audit.action", "audit.metadata", "audit.created_at")
    audit, metadata = schema.audit, schema.audit.c.metadata
    query = select(
        as_text(audit.c.id).label("id"),
        audit.c.created_at.label("at"),
        migration_action(schema).label("action"),
        schema.audit_run.label("run"),
        metadata["operator"].astext.label("operator"),
        metadata["duration"].astext.label("duration"),
        metadata.label("metadata"),
    )
    return query if since is None else query.where(audit.c.created_at >= since)
