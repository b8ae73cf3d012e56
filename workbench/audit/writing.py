"""The entries that guide §5.1 demands, written as the dialect wants them."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from psycopg import sql

from workbench.database.connection import Database, Session
from workbench.database.exclusion import lock_for_writing
from workbench.errors import NotLogged, SchemaGap, WorkbenchError
from workbench.murmurant.importers import ROLLBACK_ACTION
from workbench.murmurant.schema import Schema

_LOCK = "murmurant-workbench audit log"

_TURN = "SELECT clock_timestamp() FROM pg_advisory_xact_lock(hashtextextended(%s, 0))"
"""Waits for whoever else is writing an entry, and asks for the time then."""


def record(database: Database, schema: Schema, action: str, metadata: dict[str, Any], *, about: str) -> str:
    """Write one entry in a transaction of its own: for an act that is no apply.

    Parameters
    ----------
    database : Database
        The target, which passed the environment guard.
    action : str
        As guide §5.1 names it, or in its manner: ``migration:snapshot:created``.
    metadata : dict
        What it must say; ``operator`` among it.
    about : str
        A UUID: the resource that the application's log must name.

    Returns
    -------
    str
        The entry's id.

    Raises
    ------
    NotLogged
        When nothing was written, whatever the reason. The act itself is not undone by that: its
        caller goes on, and says so.
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
    """Write one entry in the shape the dialect wants, in the transaction it belongs to: an apply's.

    Where ``action`` is the application's enum, which has no migration actions, the entry is an
    ``UNDO`` whose metadata name the action as ``migrationAction``. Others who write one wait until the
    transaction ends: an entry that is seen later is of a later moment.

    Parameters
    ----------
    action : str
        As guide §5.1 names it, such as ``migration:rollback:level1``.
    metadata : dict
        What §5.1 requires of it.
    about : str
        A UUID: the resource that the application's log must name.

    Returns
    -------
    str
        The entry's id.

    Raises
    ------
    SchemaGap
        When there is no audit log to write to: a change that cannot be logged is not made.
    """
    schema.require("audit.id", "audit.action", "audit.metadata")
    audit = schema.resolved["audit"]
    columns = schema.catalogue.tables[audit.table].columns
    log = sql.Identifier(schema.catalogue.schema, audit.table)
    # The table first, as everywhere: an apply that changes the log itself has it already.
    connection.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(log))
    ((moment,),) = connection.execute(_TURN, [_LOCK]).fetchall()
    number, facts = str(uuid4()), {**metadata, "source": "workbench"}
    if schema.audit_action_is_enum:
        facts["migrationAction"], action = action, ROLLBACK_ACTION
    values = {
        "id": number,
        "action": action,
        "resource_type": "MigrationRun",
        "resource_id": about,
        "metadata": json.dumps(facts, sort_keys=True),
        "created_at": moment,
    }
    row = {audit.spelling[name]: value for name, value in values.items() if name in audit.spelling}
    for name, column in columns.items():
        if not column.nullable and not column.has_default and name not in row:
            raise SchemaGap(
                f'The table "{audit.table}" requires a column {name!r} that the workbench does not know.',
                "Nothing was changed. A default for it would let the entry be written.",
            )
    names, cells = (
        sql.SQL(", ").join(part) for part in (map(sql.Identifier, row), map(sql.Literal, row.values()))
    )
    connection.execute(sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(log, names, cells))
    return number
