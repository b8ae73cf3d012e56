"""What plans of the workbench did and nobody took back, as its journal has it: deliberate, whoever meets its traces.

The journal's own room writes it (`workbench.plans.journal`); here it is read, by what lies below the plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    String,
    Subquery,
    cast,
    column,
    exists,
    func,
    literal,
    null,
    select,
    table,
    text,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on

from workbench.audit.entries import has_action
from workbench.errors import WorkbenchError
from workbench.murmurant.importers import MERGED, REDONE, UNDONE
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF

MAY_READ = """
    SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'workbench' AND c.relname = 'applied'
"""


@dataclass(frozen=True)
class Deed:
    """A plan that was applied and stands.

    Attributes
    ----------
    id : int
        Its number in the journal.
    plan, kind, applied_by : str
        The plan's id and kind, and who applied it.
    at : datetime
        When (UTC, without zone).
    parameters : dict
        What the plan was for.
    sections : list of dict
        What it changed: ``name``, ``table``, ``key``, ``seen`` and more.
    """

    id: int
    plan: str
    kind: str
    applied_by: str
    at: datetime
    parameters: dict[str, Any]
    sections: list[dict[str, Any]]

    @property
    def merges(self) -> dict[str, str]:
        """Duplicate to the record it went into."""
        merges = self.parameters.get("merges") or () if self.kind == "merge" else ()
        return {str(key): str(each["canonical"]) for each in merges for key in each["duplicates"]}


def image_name(entry: int, section: int, moment: str) -> str:
    """Return the name of the journal's table with a section's rows, ``before`` or ``after``."""
    return f"j{entry}_{section}_{moment}"


def standing_deeds(connection: Connection) -> list[Deed]:
    """Return the plans that were applied here and not taken back, oldest first.

    Raises
    ------
    WorkbenchError
        When the journal may not be read.
    """
    allowed = connection.execute(text(MAY_READ)).scalar()
    if allowed is None:
        return []
    if not allowed:
        raise WorkbenchError(
            "The database user may not read the journal, so nobody knows which plans were applied here.",
            "Ask the database's owner for USAGE on the schema workbench, and SELECT on its tables.",
        )
    rows = connection.execute(text("SELECT * FROM workbench.applied ORDER BY id")).all()
    standing = _standing((row.id, row.undoes) for row in rows)
    return [
        Deed(
            *(row.id, row.plan, row.kind, row.applied_by),
            *(row.applied_at.astimezone(UTC).replace(tzinfo=None), row.parameters, row.sections),
        )
        for row in rows
        if row.id in standing
    ]


def _standing(entries: Iterable[tuple[int, int | None]]) -> set[int]:
    """Return which entries of a journal stand: an undoing that was itself undone takes nothing back."""
    standing: set[int] = set()
    taken_back: set[int] = set()
    for number, undoes in sorted(entries, reverse=True):
        if number not in taken_back:
            standing.add(number)
            taken_back |= {undoes} if undoes is not None else set()
    return standing


def removed(schema: Schema, entity: str, deeds: Sequence[Deed], rolled_back: str = "") -> Subquery | None:
    """Select an entity's records that these deleted: ``record_id``, ``run`` (which it bears), ``entry``, ``plan``, ``kind``.

    With the id of a run in `rolled_back`, also those that its rollback changed.
    """
    found = schema.resolved.get(CONCEPT_OF[entity])
    parts = []
    for deed in deeds if found else ():
        assert found is not None
        bears = found.spelling.get("run_id")
        for number, each in enumerate(deed.sections, 1):
            undoes = each["name"] == "update" and deed.kind == "rollback"
            wanted = each["name"] == "delete" or (undoes and deed.parameters.get("run") == rolled_back)
            if each["table"] != found.table or not wanted:
                continue
            key = each["key"][0]
            rows = table(
                image_name(deed.id, number, "before"),
                *(column(name) for name in {key, bears} if name),
                schema="workbench",
            )
            run = rows.c[bears] if bears and bears in each["seen"] else null()
            parts.append(
                select(
                    cast(rows.c[key], String).label("record_id"),
                    cast(run, String).label("run"),
                    literal(deed.id).label("entry"),
                    literal(deed.plan).label("plan"),
                    literal(deed.kind).label("kind"),
                )
            )
    return union_all(*parts).subquery(f"removed_{CONCEPT_OF[entity]}") if parts else None


def merged(connection: Connection, schema: Schema) -> dict[tuple[str, str], tuple[str, str]]:
    """Tell into what each duplicate was merged that a plan took, and how that is known.

    The audit log says so too, where the journal was lost or may not be read.

    Returns
    -------
    dict of (entity, id) to (str, str)
        To the record it is part of now, merges of merges followed; and by which plan or entry.
    """
    into: dict[tuple[str, str], tuple[str, str]] = {}
    if schema.has("audit.action", "audit.metadata", "audit.created_at"):
        audit = schema.audit
        rows = connection.execute(
            select(audit.c.metadata, audit.c.created_at)
            .where(has_action(schema, MERGED), stands(schema, audit))
            .order_by(audit.c.created_at)
        )
        for facts, at in rows:
            duplicates, canonical = facts.get("duplicates"), facts.get("canonical")
            if isinstance(duplicates, list) and isinstance(canonical, str):
                how = f"audit entry of {at:%Y-%m-%d %H:%M}"
                into |= {(str(facts.get("entity")), str(each)): (canonical, how) for each in duplicates}
    with suppress(WorkbenchError):
        for deed in standing_deeds(connection):
            how = f"plan {deed.plan}, applied {deed.at:%Y-%m-%d %H:%M} UTC"
            entity = str(deed.parameters.get("entity"))
            into |= {(entity, key): (canonical, how) for key, canonical in deed.merges.items()}
    found = {}
    for entity, each in into:
        seen, (end, how) = {each}, into[entity, each]
        while (entity, end) in into and end not in seen:
            seen.add(end)
            end = into[entity, end][0]
        found[entity, each] = (end, how)
    return found


def stands(schema: Schema, audit: FromClause) -> ColumnElement[bool]:
    """Whether no plan was taken back, since, that wrote an entry of the log: what was counts for nothing."""
    if not schema.has("audit.action", "audit.metadata", "audit.created_at"):
        return true()
    log = schema.audit
    about = func.coalesce(log.c.metadata["root_plan"].astext, log.c.metadata["undone_plan"].astext)
    last = (
        select(about.label("plan"), has_action(schema, UNDONE).label("undone"), log.c.created_at.label("at"))
        .where(has_action(schema, UNDONE, REDONE))
        .ext(distinct_on(about))
        .order_by(about, log.c.created_at.desc())
        .subquery("last_undone")
    )
    return ~exists().where(
        last.c.undone, last.c.plan == audit.c.metadata["plan"].astext, last.c.at >= audit.c.created_at
    )
