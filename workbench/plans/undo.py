"""Undo: a plan that reverses an apply, made from the journal and applied like any other.

Sections are reversed in order and in kind, so that each step goes back to a state that the database has accepted before:
deleted rows are inserted, children last; updated rows get their old values.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import psycopg
from psycopg import sql

from workbench.database.encoding import from_client_encoding
from workbench.errors import Refused, SchemaGap
from workbench.murmurant.importers import REDONE, UNDONE
from workbench.plans import rows
from workbench.plans.draft import PlanContext
from workbench.plans.journal import Entry, image
from workbench.plans.plan import Plan, Section, write_plan


def plan_undo(context: PlanContext, entry: Entry) -> Plan:
    """Plan to undo an apply; `Refused` if it was undone before."""
    if entry.undone_by:
        raise Refused(
            f"Plan {entry.plan} was undone by {entry.undone_by}.",
            f"`workbench undo {entry.undone_by}` would apply it again.",
        )
    run = {"run": entry.parameters["run"]} if entry.parameters.get("run") else {}
    undoing = entry.kind == "undo"
    root = entry.parameters.get("root", entry.parameters["plan"]) if undoing else entry.plan
    redoes = undoing and not entry.parameters.get("redoes", False)
    facts = {"undone_plan": entry.plan, "root_plan": root, "records_affected": entry.total}
    facts |= {"run_id": run["run"]} if run else {}
    applied = (
        f"applied by {entry.applied_by} at {entry.at:%Y-%m-%d %H:%M:%S} UTC, approved by {entry.approved_by}"
    )
    plan = context.header(
        "undo",
        parameters=run | {"undoes": entry.id, "plan": entry.plan, "root": root, "redoes": redoes},
        reasons=(f"Undoes plan {entry.plan}, {applied}.",),
        evidence=(f"the journal's entry {entry.id}, with every row before and after",),
        audit=({"action": REDONE if redoes else UNDONE, "metadata": facts},),
    )
    backwards = reversed(list(enumerate(entry.sections, 1)))
    sections = (_reverse(context, entry, number, section) for number, section in backwards)
    return write_plan(context.folder, plan, sections)


def _reverse(
    context: PlanContext, entry: Entry, number: int, section: Section
) -> tuple[Section, Iterator[bytes]]:
    described = rows.table_of(context.schema.catalogue, section.table)
    before, after = image(entry.id, number, "before"), image(entry.id, number, "after")
    key, seen = section.key, section.seen
    if lost := [name for name in seen if name not in described.columns]:
        raise SchemaGap(
            f'The table "{section.table}" has lost its column {lost[0]!r} since plan {entry.plan} was applied.',
            "Add the column again, so that the rows can be restored as they were.",
        )
    if section.name != "delete" and (new := [name for name in described.columns if name not in seen]):
        raise SchemaGap(
            f'The table "{section.table}" has a new column {new[0]!r} since plan {entry.plan} was applied.',
            "An undo would lose its values. Undo what the plan did from a snapshot.",
        )
    if section.name == "delete":  # a column added since gets its default
        known = tuple(name for name in seen if not described.columns[name].generated)
        reverse = Section("insert", section.table, key, known, tuple(described.columns))
        cells, source = rows.columns(known, "b"), sql.SQL("{} b").format(before)
    else:
        changed = section.changed if section.name == "update" else ()
        reverse = Section("update" if changed else "delete", section.table, key, changed, seen)
        cells, source = rows.columns(key, "b"), sql.SQL("{} b").format(after)
        cells += sql.SQL(", {}").format(rows.digest(described, seen, "b"))
        if changed:
            cells += sql.SQL(", {}, {}").format(rows.columns(changed, "b"), rows.columns(changed, "o"))
            source += sql.SQL(" JOIN {} o ON {}").format(before, rows.keys_match(key, "b", "o"))
    # In byte order, whatever the database's collation.
    order = sql.SQL(", ").join(sql.SQL('b.{}::text COLLATE "C"').format(sql.Identifier(name)) for name in key)
    query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT").format(cells, source, order)
    return reverse, _copied(context.raw, query)


def _copied(connection: psycopg.Connection[Any], query: sql.Composed) -> Iterator[bytes]:
    """Yield rows in COPY's format, as a plan has them, many at a time."""
    with connection.cursor().copy(query) as stream:
        while block := b"".join(islice(stream, rows.BLOCK)):
            yield from_client_encoding(block, connection)
