"""The journal: what each apply did, with full images of the rows, in the club's own database.

Schema ``workbench``, created on first use. ``workbench.applied`` has one row for each apply. For each section of its plan
there are tables with the rows as they were (``j<n>_<section>_before``) and as they became (``..._after``), with the
columns and types of the original table: such images are exact to the bit, and a third smaller than JSON.

``workbench.restored`` has one row for each restore that made the database what it is, with the applies that it removed;
it is written before the restored database goes live. Without it, a plan applied after the snapshot would look as if it
had never been applied, and its approval, which is valid once, would be valid again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from workbench.audit.entries import has_action
from workbench.database.connection import Session, raw
from workbench.documents import Approval
from workbench.errors import WorkbenchError
from workbench.murmurant.importers import REDONE, UNDONE
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF
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
    """One apply in the journal.

    Attributes
    ----------
    id : int
        Its number in this journal.
    plan, kind, digest, environment : str
        The plan's id, kind, digest and environment.
    sections : tuple of Section
        What was changed, in order.
    approval : str
        The number of the approval that it used.
    row_triggers : {"off", "on"}
        Whether the database's row triggers, including foreign keys, fired.
    undoes : int or None
        The entry that this one undid.
    undone_by : str or None
        The plan that undid this one.
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
        """The number of rows it changed."""
        return sum(section.rows for section in self.sections)

    @property
    def at(self) -> datetime:
        """When it was applied (UTC, without zone)."""
        return self.applied_at.astimezone(UTC).replace(tzinfo=None)


class Restored(BaseModel):
    """One restore in the journal of the restored database.

    Attributes
    ----------
    request : str
        The id of the approved request.
    approval : str
        The number of its approval.
    restored_at : datetime
        When the restored database was ready to go live.
    snapshot : str
        The snapshot's name.
    gone : tuple of Entry or None
        The applies that the restored journal lacks; None if the replaced database could not be read.
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


def prepare_journal(connection: Session) -> None:
    """Create the schema and its tables if they do not exist; `WorkbenchError` when the role may not."""
    query = "SELECT to_regnamespace('workbench'), to_regclass('workbench.applied'), to_regclass('workbench.restored')"
    ((schema, *tables),) = connection.execute(query).fetchall()
    if None in (schema, *tables):
        try:
            connection.execute(_TABLES if schema else f"CREATE SCHEMA workbench; {_TABLES}")
        except psycopg.errors.InsufficientPrivilege:
            raise WorkbenchError(
                "The journal cannot be created: the database user may not create the schema 'workbench', or does not own it.",
                "Ask the database's owner: CREATE SCHEMA workbench AUTHORIZATION <user>. `workbench doctor` shows the"
                " owner. Nothing was changed.",
            ) from None


def _read(connection: Session, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table of the journal, oldest first; none where there is no journal."""
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
            f"The database user may not read the journal (workbench.{table}), so it is not known which plans were applied.",
            "Ask the database's owner for USAGE on the schema workbench, and SELECT on its tables.",
        )
    query = sql.SQL("SELECT facts FROM {} ORDER BY id").format(sql.Identifier(SCHEMA, table))
    known = [facts for (facts,) in connection.execute(query)] if rights[1] else []
    if not rights[1] or any(facts["version"] > VERSION for facts in known):
        problem = "The journal (schema workbench) was written by another version of the workbench."
        raise WorkbenchError(problem, "Use that version: it can undo what it applied.")
    return known


def entries(connection: Session) -> list[Entry]:
    """Return every apply that was committed here, oldest first.

    Raises
    ------
    WorkbenchError
        When the journal may not be read, or was written by another version of the workbench.
    """
    known = _read(connection, "applied")
    undone_by = {facts["undoes"]: facts["plan"] for facts in known}
    return [Entry.model_validate({**facts, "undone_by": undone_by.get(facts["id"])}) for facts in known]


def restores(connection: Session) -> list[Restored]:
    """Return every restore that made this database what it is, oldest first; raises the errors of `entries`."""
    return [Restored.model_validate(facts) for facts in _read(connection, "restored")]


def taken_away(restored: Sequence[Restored]) -> Iterator[tuple[Restored, Entry]]:
    """Yield the applies that restores removed, each with its restore."""
    return ((restore, gone) for restore in restored for gone in restore.gone or ())


def applied_here(connection: Session) -> tuple[Entry, ...]:
    """Return every apply that a database knows of, including those that earlier restores removed."""
    return (*(gone for _, gone in taken_away(restores(connection))), *entries(connection))


def note_restore(connection: Session, restore: Restored) -> None:
    """Record a restore in the database it made."""
    prepare_journal(connection)
    facts = Jsonb({**restore.model_dump(mode="json"), "version": VERSION})
    query = "INSERT INTO workbench.restored (approval, facts) VALUES (%s, %s)"
    connection.execute(query, [restore.approval, facts])


def reserve(connection: Session) -> int:
    """Return the number of the next entry; the number of a failed apply is not used again."""
    query = "SELECT nextval(pg_get_serial_sequence('workbench.applied', 'id'))"
    return int(connection.execute(query).fetchall()[0][0])


def record(
    connection: Session, number: int, plan: Plan, approval: Approval, applied_by: str, row_triggers: str
) -> Entry:
    """Write the entry of an apply, with its number from `reserve`, in the transaction that changes the rows."""
    consent = {
        "approval": approval.number,
        "approved_by": approval.approver,
        "approved_at": approval.approved_at,
    }
    act = {"applied_by": applied_by, "applied_at": datetime.now(UTC), "row_triggers": row_triggers}
    planned = {
        "plan": plan.id,
        "digest": plan.digest,
        "environment": plan.target.environment,
        "undoes": plan.undoes,
    }
    header = plan.model_dump(include={"kind", "parameters", "planned_by"})
    entry = Entry.model_validate(
        {"id": number, "sections": plan.operations, **planned, **header, **consent, **act}
    )
    facts = Jsonb({**entry.model_dump(mode="json", exclude={"undone_by"}), "version": VERSION})
    query = "INSERT INTO workbench.applied OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s)"
    connection.execute(query, [number, plan.id, approval.number, plan.undoes, facts])
    return entry


def applied_plans(connection: Connection) -> list[Entry]:
    """Return the plans that were applied here and not undone, oldest first.

    Raises
    ------
    WorkbenchError
        When the journal may not be read.
    """
    plans: list[Entry] = []
    undone: set[int | None] = set()
    for entry in reversed(entries(raw(connection))):
        if entry.id not in undone:  # an undo that was itself undone has no effect
            plans.append(entry)
            undone.add(entry.undoes)
    return plans[::-1]


def merges_of(entry: Entry) -> dict[str, str]:
    """Return what a plan merged: duplicate to canonical record."""
    merges = entry.parameters.get("merges") or () if entry.kind == "merge" else ()
    return {str(key): str(merge["canonical"]) for merge in merges for key in merge["duplicates"]}


def removed_records(schema: Schema, entity: str, plans: Sequence[Entry], rolled_back: str = "") -> str:
    """Return SQL that selects an entity's records that plans deleted.

    Its columns are ``record_id``, ``run`` (the run id on the record), ``entry``, ``plan`` and ``kind``. Given a run id as
    `rolled_back`, it includes the records that the rollback of this run changed.
    """
    parts = [
        "SELECT NULL::text AS record_id, NULL::text AS run, NULL::int AS entry, NULL::text AS plan, NULL::text AS kind WHERE false"
    ]
    if relation := schema.resolved.get(CONCEPT_OF[entity]):
        run_id = relation.spelling.get("run_id", "")
        for plan in plans:
            undoes = plan.kind == "rollback" and plan.parameters.get("run") == rolled_back
            for number, section in enumerate(plan.sections, 1):
                if section.table == relation.table and section.name in ("delete", "update" if undoes else ""):
                    part = sql.SQL("SELECT {}::text, {}::text, {}, {}, {} FROM {}").format(
                        sql.Identifier(section.key[0]),
                        sql.Identifier(run_id) if run_id in section.seen else sql.NULL,
                        *(plan.id, plan.plan, plan.kind, image(plan.id, number, "before")),
                    )
                    parts.append(part.as_string().replace("%", "%%"))
    return " UNION ALL ".join(parts)


def merged_records(connection: Connection) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the duplicates that plans merged; empty if the journal may not be read.

    Returns
    -------
    dict of (entity, id) to (str, str)
        The record it is part of now, through later merges too; and the plan that merged it.
    """
    into: dict[tuple[str, str], tuple[str, str]] = {}
    with suppress(WorkbenchError):
        for entry in applied_plans(connection):
            plan = f"plan {entry.plan}, applied {entry.at:%Y-%m-%d %H:%M} UTC"
            entity, merges = str(entry.parameters.get("entity")), merges_of(entry)
            into |= {(entity, key): (canonical, plan) for key, canonical in merges.items()}
            for record, (end, by) in into.items():
                if record[0] == entity and end in merges:
                    into[record] = merges[end], by
    return into


def not_undone(schema: Schema) -> str:
    """Return SQL that is true of ``audit AS entry`` unless the plan that wrote the entry was undone since."""
    return f"""NOT EXISTS (
        SELECT FROM (
            SELECT DISTINCT ON (plan) coalesce(metadata ->> 'root_plan', metadata ->> 'undone_plan') AS plan,
                   migration_action = '{UNDONE}' AS undone, created_at AS at
            FROM audit WHERE {has_action(schema, UNDONE, REDONE)} ORDER BY plan, created_at DESC
        ) AS last
        WHERE last.undone AND last.plan = entry.metadata ->> 'plan' AND last.at >= entry.created_at
    )"""
