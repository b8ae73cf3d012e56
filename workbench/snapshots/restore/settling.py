"""What a restored database must say of itself, written before it becomes the live one.

Written before the swap, so that no moment exists at which the live database was restored and does not say so: the
sync state reset (guide §7.3), the audit entry (§5.1), and which plans are not applied any more.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from psycopg import sql

from workbench.audit.writing import write_entry
from workbench.database.connection import Database, Session
from workbench.errors import NotMurmurant, SchemaGap, WorkbenchError
from workbench.murmurant.importers import RESTORED, SYNC_STATE_WAS
from workbench.murmurant.schema import Schema, read_schema
from workbench.plans.journal import Entry, Restored, applied_here, note_restore, restores
from workbench.snapshots.restore.request import Record, Request

_RESTORES = UUID("7f0c1c1e-6f2b-4b53-9a42-3a1f6e0b6a11")  # so that a request's id names a resource

Settled = dict[str, Any]
"""What was written: ``restore_time``, the moment (UTC, ISO) as the audit entry has it; ``gone``, how many applied plans
are not applied any more, None where nobody can know; ``sync_state``, how many rows of it were emptied, None where a
killed restore did it and did not say; ``not_logged``, why there is no audit entry, or nothing."""


def settle(
    connection: Session, request: Request, record: Record, before: tuple[Entry, ...] | None
) -> Settled:
    """Write it once, in a transaction that is open on the restored database; `before` is the replaced one's journal."""
    if (done := settled_before(connection, record)) is not None:
        return done
    schema: Schema | None = None
    with suppress(NotMurmurant):
        schema = read_schema(connection, request.target.schema)
    now = datetime.now(UTC).replace(microsecond=0)
    known = {entry.approval for entry in applied_here(connection)}
    was = {} if request.keep_sync_state or schema is None else moments_of(connection, schema)
    restored = Restored(
        request=request.id,
        approval=record.approval,
        approved_by=record.approved_by,
        restored_by=record.operator,
        restored_at=now,
        snapshot=request.snapshot,
        gone=None if before is None else tuple(entry for entry in before if entry.approval not in known),
    )
    emptied = _empty(connection, schema, was) if was and schema else 0
    note_restore(connection, restored)
    file = Path(request.file).name
    facts = {
        "backup_file": file,
        "restored_from": file,
        "restore_time": now.isoformat(),
        "backup_sha256": request.sha256,
        "backup_created_at": request.created_at,
        "safety_backup": Path(record.facts.get("safety", "")).name,
        "operator": record.operator,
        "approved_by": record.approved_by,
        "environment": record.environment,
        "request": request.id,
        "digest": request.digest,
    } | ({SYNC_STATE_WAS: was} if was else {})
    not_logged = "" if schema else "The restored database is not Murmurant's, and has no audit log."
    try:
        if schema:
            write_entry(connection, schema, RESTORED, facts, about=str(uuid5(_RESTORES, request.digest)))
    except SchemaGap as error:
        not_logged = str(error)
    return _settled(restored, emptied, not_logged)


def settled_before(connection: Session, record: Record) -> Settled | None:
    """Return what was written already by a restore that was killed right after it; None when nothing was."""
    done = (restore for restore in restores(connection) if restore.approval == record.approval)
    return next((_settled(restore, None, "") for restore in done), None)


def _settled(restored: Restored, emptied: int | None, not_logged: str) -> Settled:
    lost = None if restored.gone is None else len(restored.gone)
    at = restored.restored_at.isoformat()
    return {"restore_time": at, "gone": lost, "sync_state": emptied, "not_logged": not_logged}


def journal_of(live: Database) -> tuple[Entry, ...] | None:
    """Return every apply that the database knows that is replaced; None where it cannot tell."""
    try:
        with live.writing() as connection:
            return applied_here(connection)
    except WorkbenchError:
        return None  # it may be broken in any way: that is why it is replaced


def moments_of(connection: Session, schema: Schema) -> dict[str, str]:
    """Return the latest of each moment of the sync state, by its real name; nothing of those that are empty."""
    concept, names = schema.resolved.get("sync_state"), schema.sync_moments
    if concept is None or not names:
        return {}
    statement = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(sql.SQL("max({})::text").format(sql.Identifier(name)) for name in names),
        sql.Identifier(schema.catalogue.schema, concept.table),
    )
    latest = connection.execute(statement).fetchone() or ()
    return {name: value for name, value in zip(names, latest, strict=True) if value}


def _empty(connection: Session, schema: Schema, moments: dict[str, str]) -> int:
    """Empty the sync state; return how many rows of it."""
    columns = [sql.Identifier(name) for name in moments]
    statement = sql.SQL("UPDATE {} SET {} WHERE {}").format(
        sql.Identifier(schema.catalogue.schema, schema.resolved["sync_state"].table),
        sql.SQL(", ").join(sql.SQL("{} = NULL").format(column) for column in columns),
        sql.SQL(" OR ").join(sql.SQL("{} IS NOT NULL").format(column) for column in columns),
    )
    return connection.execute(statement).rowcount
