"""Undo: the reverse of what an apply did, planned from the journal, sent through the same door.

The sections are reversed in order and in kind, so each step retraces one that the database has
accepted before: what was deleted is inserted, children last; what was updated gets its old values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
    run = {"run": entry.parameters["run"]} if entry.parameters.get("run") else {}
    undoing = entry.kind == "undo"
    root = entry.parameters.get("root", entry.parameters["plan"]) if undoing else entry.plan
    redoes = undoing and not entry.parameters.get("redoes", False)
    facts = {"undone_plan": entry.plan, "root_plan": root, "records_affected": entry.total}
    facts |= {"run_id": run["run"]} if run else {}
    plan = context.header(
        "undo",
        parameters=run | {"undoes": entry.id, "plan": entry.plan, "root": root, "redoes": redoes},
        reasons=(
            f"Takes back plan {entry.plan}, which {entry.applied_by} applied at"
            f" {entry.applied_at:%Y-%m-%d %H:%M:%S} UTC and {entry.approved_by} had approved.",
        ),
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
        cells, source = rows.columns(known, "b"), sql.SQL("{} b").format(before)
    else:
        reverse = Section("delete", section.table, key, seen=seen)
        cells, source = rows.columns(key, "b"), sql.SQL("{} b").format(after)
        cells += sql.SQL(", {}").format(rows.digest(described, seen, "b"))
    if section.name == "update":
        reverse = replace(section, rows=0)
        cells += sql.SQL(", {}, {}").format(*(rows.columns(section.changed, alias) for alias in ("b", "o")))
        source += sql.SQL(" JOIN {} o ON {}").format(before, rows.keys_match(key, "b", "o"))
    # Byte by byte, whatever the database's collation.
    order = (sql.SQL('b.{}::text COLLATE "C"').format(sql.Identifier(name)) for name in key)
    query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT").format(
        cells, source, sql.SQL(", ").join(order)
    )
    return reverse, _copied(context.raw, query)


def _copied(connection: psycopg.Connection[Any], query: sql.Composed) -> Iterator[bytes]:
    """Yield rows as COPY writes them and a plan has them, many at a time."""
    with connection.cursor().copy(query) as stream:
        while block := b"".join(islice(stream, rows.BLOCK)):
            yield from_client_encoding(block, connection)
