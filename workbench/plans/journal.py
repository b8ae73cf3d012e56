"""The journal: what an apply really did, with full images of the rows, kept in the club's own database.

Schema ``workbench``, made on first use. One row in ``workbench.applied`` for each apply, and for each
section of its plan a table with the rows as they were (``j<n>_<section>_before``) and as they became
(``..._after``), with the columns and types of the table they come from: an image then is exact to the
bit, and costs a third less than one in JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from workbench.database.connection import raw as raw
from workbench.documents import Approval
from workbench.errors import WorkbenchError
from workbench.plans.plan import Plan, Section

SCHEMA = "workbench"
VERSION = 1

_TABLE = """
    CREATE TABLE IF NOT EXISTS workbench.applied (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        version integer NOT NULL,
        plan text NOT NULL,
        kind text NOT NULL,
        digest text NOT NULL,
        environment text NOT NULL,
        parameters jsonb NOT NULL,
        sections jsonb NOT NULL,
        planned_by text NOT NULL,
        approved_by text NOT NULL,
        approval uuid NOT NULL UNIQUE,
        approved_at timestamptz NOT NULL,
        applied_by text NOT NULL,
        applied_at timestamptz NOT NULL,
        row_triggers text NOT NULL,
        undoes bigint UNIQUE REFERENCES workbench.applied (id)
    )
"""

_MAY_READ = """
    SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'workbench' AND c.relname = 'applied'
"""

_ENTRIES = """
    SELECT each.*, undo.plan AS undone_by FROM workbench.applied each
    LEFT JOIN workbench.applied undo ON undo.undoes = each.id ORDER BY each.id
"""


@dataclass(frozen=True)
class Entry:
    """One apply, as the journal has it.

    Attributes
    ----------
    id : int
        Its number here.
    plan, kind, digest, environment : str
        The plan's id, kind, digest and environment.
    sections : tuple of Section
        What was changed, in order.
    row_triggers : {"off", "on"}
        Whether the database's row triggers, foreign keys' among them, fired.
    undoes : int or None
        The entry this one took back.
    undone_by : str or None
        The plan that took this one back.
    """

    id: int
    plan: str
    kind: str
    digest: str
    environment: str
    parameters: dict[str, Any]
    sections: tuple[Section, ...]
    planned_by: str
    approved_by: str
    approved_at: datetime
    applied_by: str
    applied_at: datetime
    row_triggers: str
    undoes: int | None
    undone_by: str | None

    @property
    def total(self) -> int:
        """How many rows it changed."""
        return sum(each.rows for each in self.sections)

    @property
    def at(self) -> datetime:
        """When it was applied (UTC, without zone)."""
        return self.applied_at.astimezone(UTC).replace(tzinfo=None)


def image_name(entry: int, section: int, moment: str) -> str:
    """Return the name of the table with a section's rows, ``before`` or ``after``."""
    return f"j{entry}_{section}_{moment}"


def image(entry: int, section: int, moment: str) -> sql.Identifier:
    """Return the name of a section's table of images, ``before`` or ``after``."""
    return sql.Identifier(SCHEMA, image_name(entry, section, moment))


def prepare_journal(connection: psycopg.Connection[Any]) -> None:
    """Make the schema and its table where they are not there yet.

    Raises
    ------
    WorkbenchError
        When the role may not; nothing was changed.
    """
    with connection.cursor() as cursor:
        known = cursor.execute("SELECT to_regclass('workbench.applied')").fetchone()
        if known is not None and known[0] is not None:
            return
        try:
            if cursor.execute("SELECT to_regnamespace('workbench')").fetchone() == (None,):
                cursor.execute("CREATE SCHEMA workbench")
            cursor.execute(_TABLE)
        except psycopg.errors.InsufficientPrivilege:
            raise WorkbenchError(
                "The journal cannot be made: the database user may not create the schema 'workbench', or it is somebody else's.",
                "`workbench doctor` says whose. Ask the database's owner: CREATE SCHEMA workbench AUTHORIZATION <user>."
                " Nothing was changed.",
            ) from None


def entries(connection: psycopg.Connection[Any]) -> list[Entry]:
    """Return every apply that was ever committed here, oldest first.

    Raises
    ------
    WorkbenchError
        When it may not be read, or was written by a later version of the workbench.
    """
    allowed = connection.execute(_MAY_READ).fetchone()
    if allowed is None:
        return []
    if not allowed[0]:
        raise WorkbenchError(
            "The database user may not read the journal, so nobody knows which plans were applied here.",
            "Ask the database's owner for USAGE on the schema workbench, and SELECT on its tables.",
        )
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return [_entry(row) for row in cursor.execute(_ENTRIES)]


def find_entry(connection: psycopg.Connection[Any], digest: str) -> Entry | None:
    """Return the last apply of the plan with this digest, if there was one."""
    return next((each for each in reversed(entries(connection)) if each.digest == digest), None)


def reserve(connection: psycopg.Connection[Any]) -> int:
    """Return the number the next entry will have; a number whose apply fails is never used again."""
    row = connection.execute("SELECT nextval(pg_get_serial_sequence('workbench.applied', 'id'))").fetchone()
    assert row is not None
    return int(row[0])


def record(
    connection: psycopg.Connection[Any],
    number: int,
    plan: Plan,
    approval: Approval,
    *,
    applied_by: str,
    row_triggers: str,
    undoes: int | None,
) -> Entry:
    """Write an apply's entry, in the transaction that changes the rows."""
    header = plan.header
    now = datetime.now(UTC)
    connection.execute(
        "INSERT INTO workbench.applied (id, version, plan, kind, digest, environment, parameters, sections,"
        " planned_by, approved_by, approval, approved_at, applied_by, applied_at, row_triggers, undoes)"
        " OVERRIDING SYSTEM VALUE"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            *(number, VERSION, plan.id, header.kind, plan.digest, header.target.environment),
            *(json.dumps(header.parameters), json.dumps([asdict(each) for each in plan.operations])),
            *(header.planned_by, approval.approver, approval.number, approval.approved_at),
            *(applied_by, now, row_triggers, undoes),
        ],
    )
    return Entry(
        *(number, plan.id, header.kind, plan.digest, header.target.environment, header.parameters),
        *(plan.operations, header.planned_by, approval.approver, approval.approved_at, applied_by, now),
        *(row_triggers, undoes, None),
    )


def _entry(row: Any) -> Entry:
    if row.version > VERSION:
        raise WorkbenchError(
            f"The journal entry {row.id} was written by a later version of the workbench.",
            "Use that version.",
        )
    sections = tuple(
        Section(**{**each, **{name: tuple(each[name]) for name in ("key", "changed", "seen")}})
        for each in row.sections
    )
    known = {each.name: getattr(row, each.name) for each in fields(Entry)}
    return Entry(**{**known, "sections": sections})
