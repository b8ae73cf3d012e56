"""The questions of guide §5.2, in either dialect."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
from sqlalchemy import ColumnElement, Connection, String, and_, cast, func, or_, select

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
    schema.require("audit.action", "audit.metadata", "audit.created_at")
    audit = schema.audit
    metadata = audit.c.metadata
    spoken = migration_action(schema)
    query = select(
        as_text(audit.c.id).label("id"),
        audit.c.created_at.label("at"),
        spoken.label("action"),
        schema.audit_run.label("run"),
        metadata["operator"].astext.label("operator"),
        metadata.label("metadata"),
    ).where(is_of_migration(schema))
    if run_id is not None:
        query = query.where(schema.audit_run == run_id)
    if action is not None:
        query = query.where(spoken.startswith(action, autoescape=True))
    if since is not None:
        query = query.where(audit.c.created_at >= since)
    found = frame(connection, query.order_by(audit.c.created_at.desc(), audit.c.id.desc()).limit(limit))
    return found.iloc[::-1].reset_index(drop=True)


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
    schema.require("audit.action", "audit.metadata", "audit.created_at")
    audit = schema.audit
    action = migration_action(schema)
    run = schema.audit_run
    query = select(
        run.label("run"),
        action.label("action"),
        func.count().label("entries"),
        func.min(audit.c.created_at).label("first"),
        func.max(audit.c.created_at).label("last"),
    ).where(or_(action.like(f"{MIGRATION_PREFIX}%"), run.is_not(None)))
    if since is not None:
        query = query.where(audit.c.created_at >= since)
    return frame(connection, query.group_by("run", action).order_by(func.min(audit.c.created_at), action))


def imports_by_operator(
    connection: Connection, schema: Schema, since: datetime | None = None
) -> pd.DataFrame:
    """Tell who ran imports, how many and for how long: the last question of guide §5.2.

    Returns
    -------
    pandas.DataFrame
        ``operator``, ``imports``, ``total_seconds``.
    """
    schema.require("audit.action", "audit.metadata", "audit.created_at")
    audit = schema.audit
    # The guide casts every duration to int and fails on the first that is none; here those count zero.
    duration = func.coalesce(func.substring(audit.c.metadata["duration"].astext, r"^(\d+)(?:\.\d+)?$"), "0")
    query = select(
        audit.c.metadata["operator"].astext.label("operator"),
        func.count().label("imports"),
        func.sum(func.to_number(duration, "9999999999")).label("total_seconds"),
    ).where(has_action(schema, "migration:completed"))
    if since is not None:
        query = query.where(audit.c.created_at >= since)
    return frame(connection, query.group_by("operator").order_by("operator"))
