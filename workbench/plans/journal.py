"""The journal: what an apply really did, with full images of the rows, kept in the club's own database.

Schema ``workbench``, made on first use. One row in ``workbench.applied`` for each apply, and for each section of its
plan a table with the rows as they were (``j<n>_<section>_before``) and as they became (``..._after``), with the columns
and types of the table they come from: an image then is exact to the bit, and costs a third less than one in JSON.

One row in ``workbench.restored`` for each restore that made the database what it is, with the applies that it took
away: written before the restored database becomes the live one. Without it a plan that was applied after the snapshot
would look as if nobody had ever applied it, and its approval, which holds once, would hold again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from workbench.documents import Approval
from workbench.errors import WorkbenchError
from workbench.plans.plan import Plan, Section

SCHEMA = "workbench"
VERSION = 1

_TABLES = """
    CREATE TABLE IF NOT EXISTS workbench.applied (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        plan text NOT NULL,
        approval uuid NOT NULL UNIQUE,
        undoes bigint UNIQUE REFERENCES workbench.applied (id),
        facts jsonb NOT NULL
    );
    CREATE TABLE IF NOT EXISTS workbench.restored (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        approval uuid NOT NULL UNIQUE,
        facts jsonb NOT NULL
    )
"""


class Entry(BaseModel):
    """One apply, as the journal has it.

    Attributes
    ----------
    id : int
        Its number here.
    plan, kind, digest, environment : str
        The plan's id, kind, digest and environment.
    sections : tuple of Section
        What was changed, in order.
    approval : str
        The number of the approval that it used.
    row_triggers : {"off", "on"}
        Whether the database's row triggers, foreign keys' among them, fired.
    undoes : int or None
        The entry this one took back.
    undone_by : str or None
        The plan that took this one back.
    """

    model_config = ConfigDict(frozen=True)

    id: int
    plan: str
    kind: str
    digest: str
    environment: str
    parameters: dict[str, Any]
    sections: tuple[Section, ...]
    planned_by: str
    approved_by: str
    approval: str
    approved_at: datetime
    applied_by: str
    applied_at: datetime
    row_triggers: str
    undoes: int | None
    undone_by: str | None = None

    @property
    def total(self) -> int:
        """How many rows it changed."""
        return sum(section.rows for section in self.sections)

    @property
    def at(self) -> datetime:
        """When it was applied (UTC, without zone)."""
        return self.applied_at.astimezone(UTC).replace(tzinfo=None)


class Restored(BaseModel):
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
    gone : tuple of Entry or None
        The applies that the restored journal does not have; None where the database that was replaced
        could not be asked.
    """

    model_config = ConfigDict(frozen=True)

    request: str
    approval: str
    approved_by: str
    restored_by: str
    restored_at: datetime
    snapshot: str
    gone: tuple[Entry, ...] | None


def image(entry: int, section: int, moment: str) -> sql.Identifier:
    """Return the name of the table with a section's rows, ``before`` or ``after``."""
    return sql.Identifier(SCHEMA, f"j{entry}_{section}_{moment}")


def prepare_journal(connection: psycopg.Connection[Any]) -> None:
    """Make the schema and its tables where they are not there yet.

    Raises
    ------
    WorkbenchError
        When the role may not; nothing was changed.
    """
    there = connection.execute(
        "SELECT to_regnamespace('workbench'), to_regclass('workbench.applied'), to_regclass('workbench.restored')"
    ).fetchone() or (None,)
    if None not in there:
        return
    try:
        connection.execute(_TABLES if there[0] else f"CREATE SCHEMA workbench; {_TABLES}")
    except psycopg.errors.InsufficientPrivilege:
        raise WorkbenchError(
            "The journal cannot be made: the database user may not create the schema 'workbench', or it is somebody else's.",
            "`workbench doctor` says whose. Ask the database's owner: CREATE SCHEMA workbench AUTHORIZATION <user>."
            " Nothing was changed.",
        ) from None


def _read(connection: psycopg.Connection[Any], table: str) -> list[dict[str, Any]]:
    """Return what a table of the journal says, oldest first, nothing where there is none; `WorkbenchError` when it may not be read."""
    rights = connection.execute(
        "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),"
        " EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'facts')"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'workbench' AND c.relname = %s",
        [table],
    ).fetchone()
    if rights is None:
        return []
    if not rights[0]:
        raise WorkbenchError(
            f"The database user may not read the journal (workbench.{table}), so nobody knows which plans were applied here.",
            "Ask the database's owner for USAGE on the schema workbench, and SELECT on its tables.",
        )
    query = sql.SQL("SELECT facts FROM {} ORDER BY id").format(sql.Identifier(SCHEMA, table))
    known = [facts for (facts,) in connection.execute(query)] if rights[1] else []
    if not rights[1] or any(facts["version"] > VERSION for facts in known):
        problem = "The journal (schema workbench) was written by another version of the workbench."
        raise WorkbenchError(problem, "Use that version: it can take back what it applied.")
    return known


def entries(connection: psycopg.Connection[Any]) -> list[Entry]:
    """Return every apply that was ever committed here, oldest first.

    Raises
    ------
    WorkbenchError
        When it may not be read, or was written by another version of the workbench.
    """
    known = _read(connection, "applied")
    undone_by = {facts["undoes"]: facts["plan"] for facts in known}
    return [Entry.model_validate({**facts, "undone_by": undone_by.get(facts["id"])}) for facts in known]


def restores(connection: psycopg.Connection[Any]) -> list[Restored]:
    """Return every restore that made this database what it is, oldest first; raises as `entries` does."""
    return [Restored.model_validate(facts) for facts in _read(connection, "restored")]


def taken_away(restored: Sequence[Restored]) -> Iterator[tuple[Restored, Entry]]:
    """Yield the applies that some restores took away, each with its restore."""
    return ((restore, gone) for restore in restored for gone in restore.gone or ())


def applied_here(connection: psycopg.Connection[Any]) -> tuple[Entry, ...]:
    """Return every apply that a database knows of, also those that restores took away from it before.

    A restore takes away from these what the snapshot does not know.
    """
    return (*(gone for _, gone in taken_away(restores(connection))), *entries(connection))


def note_restore(connection: psycopg.Connection[Any], restore: Restored) -> None:
    """Write what a restore took away into the database it made, in the transaction that settles it."""
    prepare_journal(connection)
    facts = Jsonb({**restore.model_dump(mode="json"), "version": VERSION})
    query = "INSERT INTO workbench.restored (approval, facts) VALUES (%s, %s)"
    connection.execute(query, [restore.approval, facts])


def reserve(connection: psycopg.Connection[Any]) -> int:
    """Return the number the next entry will have; a number whose apply fails is never used again."""
    query = "SELECT nextval(pg_get_serial_sequence('workbench.applied', 'id'))"
    return int(connection.execute(query).fetchall()[0][0])


def record(
    connection: psycopg.Connection[Any],
    number: int,
    plan: Plan,
    approval: Approval,
    applied_by: str,
    row_triggers: str,
) -> Entry:
    """Write an apply's entry, numbered by `reserve`, in the transaction that changes the rows."""
    entry = Entry(
        id=number,
        plan=plan.id,
        kind=plan.kind,
        digest=plan.digest,
        environment=plan.target.environment,
        parameters=plan.parameters,
        sections=plan.operations,
        planned_by=plan.planned_by,
        approved_by=approval.approver,
        approval=approval.number,
        approved_at=approval.approved_at,
        applied_by=applied_by,
        applied_at=datetime.now(UTC),
        row_triggers=row_triggers,
        undoes=plan.undoes,
    )
    facts = Jsonb({**entry.model_dump(mode="json", exclude={"undone_by"}), "version": VERSION})
    query = "INSERT INTO workbench.applied OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s)"
    connection.execute(query, [number, plan.id, approval.number, plan.undoes, facts])
    return entry
