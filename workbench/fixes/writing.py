"""From what a planner found to a plan file, in an order that no reference of the database minds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import Connection

from workbench.audit import own_digest
from workbench.errors import WorkbenchError
from workbench.fixes.ledger import Ledger
from workbench.murmurant.references import References
from workbench.plans.drafting import Updates, write_deletes
from workbench.plans.journal import raw
from workbench.plans.plan import Header, Plan
from workbench.plans.writing import PlanWriter


def write_plan(
    connection: Connection,
    graph: References,
    header: Header,
    ledger: Ledger,
    updates: Updates,
    folder: Path,
) -> Plan:
    """Write what a planner found as a plan file: updates that free references, deletes children first, other updates.

    Parameters
    ----------
    ledger : Ledger
        What goes, what stays and why.
    updates : Updates
        What changes.
    folder : Path
        Where plans lie.

    Raises
    ------
    WorkbenchError
        When it says two things of one row: that it goes and stays, or that it is kept and open.
    """
    _refuse_contradictions(ledger)
    header = header.model_copy(update={"log": own_digest(raw(connection), graph.schema)})
    catalogue = graph.schema.catalogue
    order = graph.delete_order(ledger.doomed)
    going = frozenset((each.child, each.column) for table in ledger.doomed for each in graph.binding(table))
    with PlanWriter(folder, header) as writer:
        # What refers to a row that goes is turned away from it first; the rest may need what it leaves free.
        updates.write(writer, catalogue, going, among=True)
        for table in order.tables:
            write_deletes(writer, raw(connection), catalogue, table, ledger.doomed[table])
        updates.write(writer, catalogue, going, among=False)
        writer.notes("kept", sorted(ledger.kept))
        writer.notes("conflict", sorted(ledger.conflicts, key=lambda each: each[:3]))
        writer.notes("unresolved", sorted(ledger.unresolved + ledger.columns))
        return writer.finish()


def _refuse_contradictions(ledger: Ledger) -> None:
    told: dict[str, dict[str, str]] = {}
    lists: tuple[tuple[str, Iterable[Sequence[str | None]]], ...] = (
        ("kept", ledger.kept),
        ("in conflict", ledger.conflicts),
        ("unresolved", ledger.unresolved),
    )
    for name, notes in lists:
        for table, key, *_ in notes:
            before = told.setdefault(str(table), {}).setdefault(str(key), name)
            if name == "unresolved" and before == "kept":
                raise _contradiction(str(table), str(key), before, name)
    for table, keys in ledger.doomed.items():
        noted = told.get(table, {})
        for key in noted and keys:
            if key in noted:
                raise _contradiction(table, key, "deleted", noted[key])


def _contradiction(table: str, key: str, *lists: str) -> WorkbenchError:
    return WorkbenchError(
        f"The plan contradicts itself: {table} {key} is both {' and '.join(lists)}. No plan was written.",
        "This is a fault of the workbench; please report it.",
    )
