"""Undo: the reverse of what an apply did, planned from the journal, sent through the same door.

The sections are reversed in order and in kind, so each step retraces one that the database has
accepted before: what was deleted is inserted, children last; what was updated gets its old values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from workbench.audit.digest import own_digest
from workbench.errors import Refused, SchemaGap
from workbench.murmurant.importers import REDONE, UNDONE
from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.draft import PlanContext
from workbench.plans.journal import Entry, image
from workbench.plans.plan import Plan, Section, write_plan


def plan_undo(context: PlanContext, entry: Entry) -> Plan:
    """Plan the reverse of an apply.

    Parameters
    ----------
    entry : Entry
        From the journal.

    Returns
    -------
    Plan
        Whose changes, applied, leave every row as it was before the entry.

    Raises
    ------
    Refused
        When it was undone before.
    """
    if entry.undone_by:
        raise Refused(
            f"Plan {entry.plan} was taken back by {entry.undone_by}.",
            f"`workbench undo {entry.undone_by}` would do it over again.",
        )
    about = {"run": entry.parameters["run"]} if entry.parameters.get("run") else {}
    undoing = entry.kind == "undo"
    root = entry.parameters.get("root", entry.parameters["plan"]) if undoing else entry.plan
    redoes = undoing and not entry.parameters.get("redoes", False)
    facts = {"undone_plan": entry.plan, "root_plan": root, "records_affected": entry.total}
    facts |= {"run_id": about["run"]} if about else {}
    plan = Plan(
        kind="undo",
        parameters=about | {"undoes": entry.id, "plan": entry.plan, "root": root, "redoes": redoes},
        reasons=(
            f"Takes back plan {entry.plan}, which {entry.applied_by} applied at"
            f" {entry.applied_at:%Y-%m-%d %H:%M:%S} UTC and {entry.approved_by} had approved.",
        ),
        target=context.target,
        planned_by=context.planned_by,
        evidence=(f"the journal's entry {entry.id}, with every row before and after",),
        audit=({"action": REDONE if redoes else UNDONE, "metadata": facts},),
        log=own_digest(context.raw, context.schema),
    )
    backwards = reversed(list(enumerate(entry.sections, 1)))
    sections = (
        _reverse(context.raw, context.schema, entry, number, section) for number, section in backwards
    )
    return write_plan(context.folder, plan, sections)


def _reverse(
    connection: psycopg.Connection[Any],
    schema: Schema,
    entry: Entry,
    number: int,
    section: Section,
) -> tuple[Section, Iterator[bytes]]:
    described = rows.table_of(schema.catalogue, section.table)
    before, after = image(entry.id, number, "before"), image(entry.id, number, "after")
    key, seen = section.key, section.seen or tuple(described.columns)  # once inserts did not say theirs
    if lost := [name for name in seen if name not in described.columns]:
        raise SchemaGap(
            f'The table "{section.table}" has lost its column {lost[0]!r} since plan {entry.plan} was applied.',
            "Its rows cannot come back as they were. A migration that adds the column again would let them.",
        )
    if section.name != "delete" and (new := [name for name in described.columns if name not in seen]):
        raise SchemaGap(
            f'The table "{section.table}" has a column {new[0]!r} that was not there when plan {entry.plan} was applied.',
            "What is in it by now would be lost. What the plan did can be taken back from a snapshot.",
        )
    if section.name == "delete":  # a column added since has its default
        known = tuple(name for name in seen if not described.columns[name].generated)
        reverse = Section("insert", section.table, key, known, tuple(described.columns))
        cells, source = [rows.copied(described, name, "b") for name in known], sql.SQL("{} b").format(before)
    else:
        reverse = Section("delete", section.table, key, seen=seen)
        cells = [rows.copied(described, name, "b") for name in key]
        cells.append(sql.SQL("{}::text").format(rows.digest(described, seen, "b")))
        source = sql.SQL("{} b").format(after)
    if section.name == "update":
        reverse = replace(section, rows=0)
        cells += [rows.copied(described, name, alias) for alias in ("b", "o") for name in section.changed]
        source = sql.SQL("{} JOIN {} o ON {}").format(source, before, rows.keys_match(key, "b", "o"))
    order = [rows.in_order(described, name, "b") for name in key]
    return reverse, rows.blocks(connection, cells, source, order)
