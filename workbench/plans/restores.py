"""What restores of a snapshot took away: the applies that the restored journal does not know any more.

Table ``workbench.restored`` of the restored database, written before it becomes the live one. Without it a
plan that was applied after the snapshot would look as if nobody had ever applied it, and its approval, which
holds once, would hold again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from workbench.errors import WorkbenchError
from workbench.plans.journal import entries, prepare_journal

_TABLE = """
    CREATE TABLE IF NOT EXISTS workbench.restored (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        request text NOT NULL,
        approval uuid NOT NULL UNIQUE,
        approved_by text NOT NULL,
        restored_by text NOT NULL,
        restored_at timestamptz NOT NULL,
        snapshot text NOT NULL,
        gone jsonb
    )
"""

_MAY_READ = """
    SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'workbench' AND c.relname = 'restored'
"""


@dataclass(frozen=True)
class Gone:
    """An apply that a restore took away.

    Attributes
    ----------
    plan, kind, digest, environment : str
        The plan's id, kind, digest and environment.
    changes : int
        How many rows it had changed.
    approval : str
        The number of the approval that it used.
    approved_by, applied_by, applied_at : str
        Who, and when (ISO, UTC).
    """

    plan: str
    kind: str
    digest: str
    environment: str
    changes: int
    approval: str
    approved_by: str
    applied_by: str
    applied_at: str


@dataclass(frozen=True)
class Restored:
    """One restore, as the restored database knows it.

    Attributes
    ----------
    request : str
        The id of what was approved.
    approval, approved_by, restored_by : str
        The approval's number, and who.
    restored_at : datetime
        When the restored database was ready to become the live one.
    snapshot : str
        The snapshot's name.
    gone : tuple of Gone or None
        The applies that the restored journal does not have; None where the database that was replaced
        could not be asked.
    """

    request: str
    approval: str
    approved_by: str
    restored_by: str
    restored_at: datetime
    snapshot: str
    gone: tuple[Gone, ...] | None


def applied_here(connection: psycopg.Connection[Any]) -> tuple[Gone, ...]:
    """Return every apply that a database knows of, also those that restores took away from it before.

    A restore takes away from these what the snapshot does not know.
    """
    if connection.execute("SELECT to_regclass('workbench.applied')").fetchone() == (None,):
        return ()
    numbers = dict(connection.execute("SELECT id, approval::text FROM workbench.applied").fetchall())
    applied = (
        Gone(
            *(each.plan, each.kind, each.digest, each.environment, each.total, numbers[each.id]),
            *(each.approved_by, each.applied_by, f"{each.applied_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"),
        )
        for each in entries(connection)
    )
    return (*(one for each in restores(connection) for one in each.gone or ()), *applied)


def note_restore(connection: psycopg.Connection[Any], restore: Restored) -> None:
    """Write what a restore took away into the database it made, in the transaction that settles it."""
    prepare_journal(connection)
    connection.execute(_TABLE)
    gone = None if restore.gone is None else json.dumps([asdict(each) for each in restore.gone])
    connection.execute(
        "INSERT INTO workbench.restored (request, approval, approved_by, restored_by, restored_at, snapshot, gone)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [
            *(restore.request, restore.approval, restore.approved_by, restore.restored_by),
            *(restore.restored_at, restore.snapshot, gone),
        ],
    )


def restores(connection: psycopg.Connection[Any]) -> list[Restored]:
    """Return every restore that made this database what it is, oldest first.

    Raises
    ------
    WorkbenchError
        When it may not be read: nobody knows then which plans were taken away.
    """
    allowed = connection.execute(_MAY_READ).fetchone()
    if allowed is None:
        return []
    if not allowed[0]:
        raise WorkbenchError(
            "The database user may not read workbench.restored, so nobody knows which plans a restore took away.",
            "Ask the database's owner for USAGE on the schema workbench, and SELECT on its tables.",
        )
    question = (
        "SELECT request, approval::text, approved_by, restored_by, restored_at, snapshot, gone"
        " FROM workbench.restored ORDER BY id"
    )
    found = []
    for request, approval, approved_by, restored_by, moment, snapshot, gone in connection.execute(question):
        taken = None if gone is None else tuple(Gone(**each) for each in gone)
        found.append(Restored(request, approval, approved_by, restored_by, moment, snapshot, taken))
    return found


def approval_was_used(connection: psycopg.Connection[Any], number: str) -> bool:
    """Tell whether an approval was used by a restore, or by an apply that one took away."""
    return any(
        each.approval == number or any(one.approval == number for one in each.gone or ())
        for each in restores(connection)
    )


def said_of(restore: Restored, gone: Gone) -> str:
    """Say what became of an apply that a restore took away."""
    return (
        f"applied by {gone.applied_by} at {gone.applied_at} UTC, approved by {gone.approved_by}; gone since"
        f" {restore.restored_by} restored {restore.snapshot} at {restore.restored_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    )
