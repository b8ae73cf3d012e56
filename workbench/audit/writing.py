"""The entries that guide §5.1 demands, written as the dialect wants them."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from workbench.database.connection import Database
from workbench.database.exclusion import begin_to_write
from workbench.errors import NotLogged, SchemaGap, WorkbenchError
from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.importers import ROLLBACK_ACTION
from workbench.murmurant.schema import Schema

_LOCK = "murmurant-workbench audit log"


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
            begin_to_write(connection, database.address.database, logging=True)
            return write_entry(connection, schema, action, metadata, about=about)
    except WorkbenchError as error:
        raise NotLogged(
            f"{action} was not logged: {error.what}",
            "What was done stands; the audit log does not say so. " + error.next_step,
        ) from None


def write_entry(
    connection: psycopg.Connection[Any],
    schema: Schema,
    action: str,
    metadata: dict[str, Any],
    *,
    about: str,
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
    found = schema.resolved["audit"]
    described = schema.catalogue.tables[found.table]
    number = str(uuid4())
    facts = {**metadata, "source": "workbench"}
    values: dict[str, Any] = {"id": number, "action": action}
    if schema.audit_action_is_enum:
        values["action"] = ROLLBACK_ACTION
        facts["migrationAction"] = action
    values |= {"resource_type": "MigrationRun", "resource_id": about}
    values["metadata"] = json.dumps(facts, sort_keys=True)
    known = [name for name in (*values, "created_at") if name in found.spelling]
    _refuse_unknown_columns(described, {found.spelling[name] for name in known})
    log = sql.Identifier(schema.catalogue.schema, found.table)
    # The table first, as everywhere: an apply that changes the log itself has it already.
    connection.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(log))
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK])
    cells = [
        sql.SQL("{}::{}").format(
            sql.SQL("clock_timestamp()") if name == "created_at" else sql.Literal(values[name]),
            sql.SQL(described.columns[found.spelling[name]].type),
        )
        for name in known
    ]
    names = [sql.Identifier(found.spelling[name]) for name in known]
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            log, sql.SQL(", ").join(names), sql.SQL(", ").join(cells)
        )
    )
    return number


def _refuse_unknown_columns(described: CatalogueTable, known: set[str]) -> None:
    needed = [
        name
        for name, column in described.columns.items()
        if not column.nullable and not column.has_default and name not in known
    ]
    if needed:
        raise SchemaGap(
            f'The table "{described.name}" requires a column {needed[0]!r} that the workbench does not know.',
            "Nothing was changed. A default for it would let the entry be written.",
        )
