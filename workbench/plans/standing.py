"""What plans did here and nobody took back: deliberate, whoever meets its traces."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from psycopg import sql
from sqlalchemy import ColumnElement, Connection, exists, func, select, true
from sqlalchemy.dialects.postgresql import distinct_on

from workbench.audit.entries import has_action
from workbench.database.connection import raw
from workbench.errors import WorkbenchError
from workbench.murmurant.importers import MERGED, REDONE, UNDONE
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF
from workbench.plans.journal import Entry, entries, image


def standing(connection: Connection) -> list[Entry]:
    """Return the plans that were applied here and not taken back, oldest first.

    Raises
    ------
    WorkbenchError
        When the journal may not be read.
    """
    found: list[Entry] = []
    taken_back: set[int | None] = set()
    for entry in reversed(entries(raw(connection))):
        if entry.id not in taken_back:  # an undoing that was itself undone takes nothing back
            found.append(entry)
            taken_back.add(entry.undoes)
    return found[::-1]


def merges_of(entry: Entry) -> dict[str, str]:
    """Return what a plan merged: duplicate to the record it went into."""
    merges = entry.parameters.get("merges") or () if entry.kind == "merge" else ()
    return {str(key): str(each["canonical"]) for each in merges for key in each["duplicates"]}


def removed(schema: Schema, entity: str, plans: Sequence[Entry], rolled_back: str = "") -> str:
    """Return as SQL an entity's records that plans deleted: ``record_id``, ``run`` (which it bears), ``entry``, ``plan``, ``kind``.

    With the id of a run in `rolled_back`, also those that its rollback changed.
    """
    found = schema.resolved.get(CONCEPT_OF[entity])
    parts = [
        "SELECT NULL::text AS record_id, NULL::text AS run, NULL::bigint AS entry,"
        " NULL::text AS plan, NULL::text AS kind WHERE false"
    ]
    for plan in plans if found else ():
        assert found is not None
        bears = found.spelling.get("run_id", "")
        undoes = plan.kind == "rollback" and plan.parameters.get("run") == rolled_back
        for number, section in enumerate(plan.sections, 1):
            if section.table == found.table and (
                section.name == "delete" or (undoes and section.name == "update")
            ):
                part = sql.SQL("SELECT {}::text, {}::text, {}, {}, {} FROM {}").format(
                    sql.Identifier(section.key[0]),
                    sql.Identifier(bears) if bears in section.seen else sql.NULL,
                    *(plan.id, plan.plan, plan.kind, image(plan.id, number, "before")),
                )
                parts.append(part.as_string().replace("%", "%%"))
    return " UNION ALL ".join(parts)


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
            .where(has_action(schema, MERGED), not_taken_back(schema))
            .order_by(audit.c.created_at)
        )
        for facts, at in rows:
            duplicates, canonical = facts.get("duplicates"), facts.get("canonical")
            if isinstance(duplicates, list) and isinstance(canonical, str):
                how = f"audit entry of {at:%Y-%m-%d %H:%M}"
                into |= {(str(facts.get("entity")), str(each)): (canonical, how) for each in duplicates}
    with suppress(WorkbenchError):
        for entry in standing(connection):
            how = f"plan {entry.plan}, applied {entry.at:%Y-%m-%d %H:%M} UTC"
            entity = str(entry.parameters.get("entity"))
            into |= {(entity, key): (canonical, how) for key, canonical in merges_of(entry).items()}
    found = {}
    for entity, each in into:
        seen, (end, how) = {each}, into[entity, each]
        while (entity, end) in into and end not in seen:
            seen.add(end)
            end = into[entity, end][0]
        found[entity, each] = (end, how)
    return found


def not_taken_back(schema: Schema) -> ColumnElement[bool]:
    """Whether no plan that wrote an entry of the log was taken back since: what was, counts for nothing."""
    if not schema.has("audit.action", "audit.metadata", "audit.created_at"):
        return true()
    audit = schema.audit
    about = func.coalesce(audit.c.metadata["root_plan"].astext, audit.c.metadata["undone_plan"].astext)
    last = (
        select(
            about.label("plan"), has_action(schema, UNDONE).label("undone"), audit.c.created_at.label("at")
        )
        .where(has_action(schema, UNDONE, REDONE))
        .ext(distinct_on(about))
        .order_by(about, audit.c.created_at.desc())
        .subquery("last_undone")
    )
    return ~exists().where(
        last.c.undone, last.c.plan == audit.c.metadata["plan"].astext, last.c.at >= audit.c.created_at
    )
