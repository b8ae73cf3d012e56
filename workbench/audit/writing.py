"""The entries that guide §5.1 demands, written as the dialect wants them."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from workbench.audit.chain import (
    VERSION,
    Head,
    Position,
    keep_head,
    log_of,
    seal,
    stored_seal,
    take_position,
)
from workbench.database.connection import Database
from workbench.database.exclusion import begin_to_write
from workbench.errors import NotLogged, SchemaGap, WorkbenchError
from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.importers import ROLLBACK_ACTION
from workbench.murmurant.schema import Schema


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
    ``UNDO`` whose metadata name the action as ``migrationAction``. It takes the next place in the
    hash chain (`workbench.audit.chain`), and others who write one wait until the transaction ends.

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
    WorkbenchError
        When the database stores something else than was written, or hides where the chain ends.
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
    place = take_position(connection, schema)
    cells = {
        name: sql.SQL("{}::{}").format(
            sql.SQL("clock_timestamp()") if name == "created_at" else sql.Literal(values[name]),
            sql.SQL(described.columns[found.spelling[name]].type),
        )
        for name in known
    }
    row = connection.execute(_sealed_insert(schema, cells, place)).fetchone()
    assert row is not None
    if row[0] != row[1]:
        raise WorkbenchError(
            f'The database stores an entry of "{found.table}" otherwise than it was written: it cannot be chained.',
            "A default or a trigger of that table does this; ask its owner. Nothing was changed.",
        )
    keep_head(connection, schema, Head(place.number, row[0], number))
    return number


def _sealed_insert(schema: Schema, cells: dict[str, sql.Composed], place: Position) -> sql.Composed:
    """Build the statement that writes an entry, and returns its seal as written and as it is stored."""
    found = schema.resolved["audit"]
    names = [sql.Identifier(found.spelling[name]) for name in cells]
    number, previous = sql.Literal(place.number), sql.SQL("{}::text").format(sql.Literal(place.previous))
    chained = sql.SQL(
        "jsonb_set(t.{metadata}::jsonb, '{{chain}}', jsonb_build_object('version', {version}, 'number', {number},"
        " 'previous', {previous}, 'hash', {hash}))::{type}"
    ).format(
        metadata=sql.Identifier(found.spelling["metadata"]),
        version=sql.Literal(VERSION),
        number=number,
        previous=previous,
        hash=seal(schema, cells, row="t", number=number, previous=previous),
        type=sql.SQL(schema.catalogue.tables[found.table].columns[found.spelling["metadata"]].type),
    )
    return sql.SQL(
        "INSERT INTO {log} AS s ({names}) SELECT {values} FROM (SELECT {cells}) t"
        " RETURNING s.{metadata}::jsonb -> 'chain' ->> 'hash', {stored}"
    ).format(
        log=log_of(schema),
        names=sql.SQL(", ").join(names),
        values=sql.SQL(", ").join(
            chained if name == "metadata" else sql.SQL("t.{}").format(real)
            for name, real in zip(cells, names, strict=True)
        ),
        cells=sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(cell, real) for cell, real in zip(cells.values(), names, strict=True)
        ),
        metadata=sql.Identifier(found.spelling["metadata"]),
        stored=stored_seal(schema, "s"),
    )


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
