"""What plans did here and nobody took back: deliberate, whoever meets its traces."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from psycopg import sql
from sqlalchemy import Connection

from workbench.audit.entries import has_action
from workbench.database.connection import raw
from workbench.errors import WorkbenchError
from workbench.murmurant.importers import REDONE, UNDONE
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
    plans: list[Entry] = []
    taken_back: set[int | None] = set()
    for entry in reversed(entries(raw(connection))):
        if entry.id not in taken_back:  # an undoing that was itself undone takes nothing back
            plans.append(entry)
            taken_back.add(entry.undoes)
    return plans[::-1]


def merges_of(entry: Entry) -> dict[str, str]:
    """Return what a plan merged: duplicate to the record it went into."""
    merges = entry.parameters.get("merges") or () if entry.kind == "merge" else ()
    return {str(key): str(merge["canonical"]) for merge in merges for key in merge["duplicates"]}


def removed(schema: Schema, entity: str, plans: Sequence[Entry], rolled_back: str = "") -> str:
    """Return as SQL an entity's records that plans deleted: ``record_id``, ``run`` (which it bears), ``entry``, ``plan``, ``kind``.

    With the id of a run in `rolled_back`, also those that its rollback changed.
    """
    parts = [
        "SELECT NULL::text AS record_id, NULL::text AS run, NULL::int AS entry, NULL::text AS plan, NULL::text AS kind WHERE false"
    ]
    relation = schema.resolved.get(CONCEPT_OF[entity])
    for plan in plans if relation else ():
        assert relation is not None
        bears = relation.spelling.get("run_id", "")
        undoes = plan.kind == "rollback" and plan.parameters.get("run") == rolled_back
        for number, section in enumerate(plan.sections, 1):
            if section.table == relation.table and section.name in ("delete", "update" if undoes else ""):
                part = sql.SQL("SELECT {}::text, {}::text, {}, {}, {} FROM {}").format(
                    sql.Identifier(section.key[0]),
                    sql.Identifier(bears) if bears in section.seen else sql.NULL,
                    *(plan.id, plan.plan, plan.kind, image(plan.id, number, "before")),
                )
                parts.append(part.as_string().replace("%", "%%"))
    return " UNION ALL ".join(parts)


def merged(connection: Connection) -> dict[tuple[str, str], tuple[str, str]]:
    """Tell into what each duplicate was merged that a plan took, and by which; nothing where the journal may not be read.

    Returns
    -------
    dict of (entity, id) to (str, str)
        To the record it is part of now, merges of merges followed; and the plan.
    """
    into: dict[tuple[str, str], tuple[str, str]] = {}
    with suppress(WorkbenchError):
        for entry in standing(connection):
            plan = f"plan {entry.plan}, applied {entry.at:%Y-%m-%d %H:%M} UTC"
            entity = str(entry.parameters.get("entity"))
            into |= {(entity, key): (canonical, plan) for key, canonical in merges_of(entry).items()}
    ends = {}
    for entity, key in into:
        passed, (end, plan) = {key}, into[entity, key]
        while (entity, end) in into and end not in passed:
            passed.add(end)
            end = into[entity, end][0]
        ends[entity, key] = (end, plan)
    return ends


def not_taken_back(schema: Schema) -> str:
    """Return SQL that is true of ``audit AS entry`` unless the plan that wrote it was taken back since: then it counts for nothing."""
    return f"""NOT EXISTS (
        SELECT FROM (
            SELECT DISTINCT ON (plan) coalesce(metadata ->> 'root_plan', metadata ->> 'undone_plan') AS plan,
                   migration_action = '{UNDONE}' AS undone, created_at AS at
            FROM audit WHERE {has_action(schema, UNDONE, REDONE)} ORDER BY plan, created_at DESC
        ) AS last
        WHERE last.undone AND last.plan = entry.metadata ->> 'plan' AND last.at >= entry.created_at
    )"""
