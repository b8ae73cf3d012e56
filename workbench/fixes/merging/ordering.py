"""In which order a merge's changes stand in its plan, so that no rule of the database is broken on the way.

What collides goes before what takes its place; nothing goes before what refers to it has moved; and the
record that stays changes last, since it may take what was a duplicate's and unique.
"""

from __future__ import annotations

from contextlib import ExitStack
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from sqlalchemy import Connection

from workbench.errors import Refused
from workbench.fixes.ledger import Ledger
from workbench.fixes.merging.moving import Child
from workbench.fixes.merging.working import Work
from workbench.murmurant.references import References
from workbench.plans.drafting import Updates, write_deletes
from workbench.plans.journal import raw
from workbench.plans.plan import Header, Plan, Section
from workbench.plans.writing import PlanWriter

Values = dict[str, tuple[str | None, str | None]]
"""Columns that change: old and new value."""

Survivors = dict[str, tuple[str, Values]]
"""Records that stay and change: their digest, and the columns."""

_Step = tuple[str, str]  # operation, table


def write_merge(
    connection: Connection,
    graph: References,
    header: Header,
    ledger: Ledger,
    work: Work,
    survivors: Survivors,
    folder: Path,
) -> Plan:
    """Write what some merges move, delete and change as a plan file.

    Parameters
    ----------
    ledger : Ledger
        Its `unresolved` and `kept`; what goes is in `work`.
    survivors : dict
        What changes in the records that stay.

    Raises
    ------
    Refused
        When rows refer to one another in a circle, so that none can go first.
    """
    catalogue = graph.schema.catalogue
    entity = next(iter(work.moves))
    none: frozenset[tuple[str, str]] = frozenset()
    with ExitStack() as stack:
        moved = {name: stack.enter_context(Updates()) for name in sorted(work.children)}
        for name, updates in moved.items():
            _note_moves(work, name, updates)
        last = stack.enter_context(Updates())
        for key in sorted(survivors):
            digest, values = survivors[key]
            last.add(entity, key, digest, values)
        writer = stack.enter_context(PlanWriter(folder, header))
        rewritten = {name for name, each in work.children.items() if each.rewritten and each.rows}
        updated = {name for name, each in moved.items() if each.total} | rewritten
        for operation, table in _steps(graph, work, updated):
            if operation == "update" and table in rewritten:
                _rewrite(writer, work.children[table], work)
            elif operation == "delete":
                write_deletes(writer, raw(connection), catalogue, table, sorted(work.moves[table]))
            else:
                moved[table].write(writer, catalogue, none, among=False)
        last.write(writer, catalogue, none, among=False)
        writer.notes("kept", sorted(ledger.kept))
        writer.notes("unresolved", sorted(ledger.unresolved))
        return writer.finish()


def _note_moves(work: Work, table: str, updates: Updates) -> None:
    child = work.children[table]
    if child.rewritten:
        return
    for key, row in child.rows.items():
        if not work.goes(table, key):
            after = child.after(row.values, work.moves)
            updates.add(
                table, key, row.digest, {name: (row.values[name], new) for name, new in after.items()}
            )


def _rewrite(writer: PlanWriter, child: Child, work: Work) -> None:
    """Delete rows and write them anew, where what moves is part of their key."""
    key = child.described.primary_key
    names = tuple(next(iter(child.rows.values())).values)
    with writer.section(Section("delete", child.table, key, seen=tuple(child.described.columns))):
        for row in child.rows.values():
            writer.row([*(row.values[name] for name in key), row.digest])
    with writer.section(Section("insert", child.table, key, changed=names)):
        for each, row in child.rows.items():
            if each not in child.dropped:
                values = {**row.values, **child.after(row.values, work.moves)}
                writer.row([values[name] for name in names])


def _steps(graph: References, work: Work, updated: set[str]) -> list[_Step]:
    """Order the deletes and updates: each after what it needs."""
    entity = next(iter(work.moves))
    needs: dict[_Step, set[_Step]] = {("delete", table): set() for table in sorted(work.moves)}
    needs |= {("update", table): set() for table in sorted(updated)}
    for table in work.moves:
        if table != entity and table in updated:
            needs["update", table].add(("delete", table))
        for each in graph.binding(table):
            if each.child in updated and (each.child != table or table == entity):
                needs["delete", table].add(("update", each.child))
            if each.child in work.moves and each.child != table:
                needs["delete", table].add(("delete", each.child))
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(dict.fromkeys(table for _, table in error.args[1]))
        raise Refused(
            f"Rows of {circle} that would go refer to one another in a circle, so none can go first.",
            "Merge fewer records at a time.",
        ) from None
    found: list[_Step] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        found += ready
        sorter.done(*ready)
    return found
