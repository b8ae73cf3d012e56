"""The draft of a plan: every planner writes through it; the draft orders the changes and writes the file.

A planner opens a draft and says what changes and what stays; when the block ends, the plan is written::

    with Draft(context, "sync-state", nothing="The sync state names no moment") as draft:
        draft.update("WaSyncState", {key: {"lastFullSync": None}})
        draft.keep("WaSyncState", other, "a later sync wrote it")
        draft.reasons.append("Resets the sync state (guide §7.3).")
        draft.log("migration:sync-state:reset", records_affected=draft.total)
    return draft.plan

Changes may be given in any order, except that a row is inserted before the updates that make others refer to it. The
draft reads each row's digest and old values, drops updates that change nothing, and orders the sections so that no
reference and no unique index is violated. For updates of many rows, a planner calls `update` with some at a time, in the
order of their keys. A draft without a change is refused with `nothing` and the first reason why a row stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import chain, pairwise, permutations, zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import psycopg
from sqlalchemy import Connection

from workbench.audit.digest import own_digest
from workbench.database.connection import raw
from workbench.documents import Target
from workbench.errors import Refused, WorkbenchError
from workbench.murmurant.catalogue import Catalogue
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.plan import NOTES, Plan, Row, Section, format_row, write_plan
from workbench.plans.rows import Current, current_rows

_LOOSE, _NULLABLE, _FIRM = range(1, 4)
"""How firmly one step has to wait for another: the loosest order of a cycle is given up first."""


@dataclass(frozen=True)
class PlanContext:
    """The database a plan is made on, who makes it, and where its file goes.

    Attributes
    ----------
    connection : sqlalchemy.Connection
        In a read-only, repeatable-read transaction.
    planned_by : str
        The operator.
    folder : Path
        The folder of plans.
    """

    connection: Connection
    schema: Schema
    target: Target
    planned_by: str
    folder: Path

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The driver's own connection."""
        return raw(self.connection)

    @cached_property
    def references(self) -> References:
        """The references between tables."""
        return References(self.schema)

    def header(self, kind: str, **facts: Any) -> Plan:
        """Return a plan's header."""
        log = own_digest(self.raw, self.schema)
        return Plan(kind=kind, target=self.target, planned_by=self.planned_by, log=log, **facts)


class Step(NamedTuple):
    """One section of the plan: an operation on one table.

    Attributes
    ----------
    columns : tuple of str
        What an update sets, or an insert fills in.
    leads_to : tuple of str
        For an update, the tables whose rows, inserted by the same plan, the new values refer to.
    """

    operation: str
    table: str
    columns: tuple[str, ...] = ()
    leads_to: tuple[str, ...] = ()


@dataclass
class Draft:
    """The changes that a planner has collected; a plan file when its block ends.

    Attributes
    ----------
    kind : str
        ``rollback``, ``merge``, ...
    parameters : dict
        What was asked for: no path of this machine, no time of day.
    reasons, evidence, notes, audit
        The rest of the header; all of it may change until the block ends.
    nothing : str
        The message when there is nothing to change, without a full stop.
    hint : str
        The next step then, unless a row that stays gives a reason.
    connection, catalogue : optional
        The database whose rows the plan will meet, if not the context's: a replay changes those of a snapshot.
    listed : dict of str to list of tuple
        What `keep`, `conflict`, `unresolved` and `because` listed, by kind of note.
    plan : Plan
        The plan, once the block has ended.
    """

    context: PlanContext
    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    audit: list[dict[str, Any]] = field(default_factory=list)
    nothing: str = "There is nothing to change"
    hint: str = ""
    connection: psycopg.Connection[Any] | None = None
    catalogue: Catalogue | None = None
    plan: Plan = field(init=False)
    listed: dict[str, list[Row]] = field(init=False)

    def __post_init__(self) -> None:
        self._session = self.connection or self.context.raw
        self._catalogue = self.catalogue or self.context.schema.catalogue
        self.listed = {name: [] for name in NOTES}
        self._deleted: dict[str, Sequence[str]] = {}
        self._inserted: dict[str, set[str | None]] = defaultdict(set)
        self._lines: dict[Step, bytearray] = defaultdict(bytearray)
        self._counted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.plan = self._finish()

    @property
    def total(self) -> int:
        """The number of changes so far."""
        return self._counted + sum(map(len, self._deleted.values()))

    def delete(self, table: str, keys: Iterable[str]) -> None:
        """Delete rows of a table with a key of one column; missing rows are skipped."""
        going = sorted(chain(self._deleted.get(table, ()), keys))
        if going:
            self._deleted[table] = [key for key, after in zip_longest(going, going[1:]) if key != after]

    def update(
        self, table: str, wanted: Mapping[str, Mapping[str, str | None]], *, together: Collection[str] = ()
    ) -> None:
        """Set columns of rows to new values; values that stay the same are dropped.

        Parameters
        ----------
        wanted : mapping of str to mapping of str to str or None
            Key to column to new value, as the database writes it as text.
        together : collection of str
            Columns that are written even if they stay the same: a section is the updates of the same columns, and rows
            that exchange places must be in one section.
        """
        ways = [way for way in self.context.references.all if way.declared and way.child == table]
        gone = set(wanted)
        for key, row in current_rows(self._session, self._catalogue, table, sorted(wanted)):
            gone.discard(key)
            values = wanted[key]
            names = sorted(name for name in values if values[name] != row.values[name] or name in together)
            if names:
                written = [way for way in ways if way.column in names]
                leads_to = {way.parent for way in written if values[way.column] in self._inserted[way.parent]}
                cells = [image[name] for image in (row.values, values) for name in names]
                step = Step("update", table, tuple(names), tuple(sorted(leads_to)))
                self._put(step, (key, row.digest, *cells))
        if gone:
            raise _bug(f"The plan changes {table} {min(gone)}, which does not exist")

    def insert(self, table: str, values: Mapping[str, str | None]) -> None:
        """Insert a row, its values as text; to be called before the updates that refer to it."""
        key = self._catalogue.tables[table].primary_key
        if len(key) == 1:
            self._inserted[table].add(values[key[0]])
        names = tuple(sorted(values))
        self._put(Step("insert", table, names), [values[name] for name in names])

    def rewrite(self, table: str, row: Current, changes: Mapping[str, str | None]) -> None:
        """Delete a row and insert it again with a changed key; without changes it is only deleted."""
        key = rows.table_of(self._catalogue, table).primary_key
        self._put(Step("delete", table), (*(row.values[name] for name in key), row.digest))
        if changes:
            self.insert(table, {**row.values, **changes})

    def keep(self, table: str, key: str, reason: str) -> None:
        """List a row that stays as it is."""
        self.listed["kept"].append((table, key, reason))

    def conflict(self, table: str, key: str, column: str, *values: str | None) -> None:
        """List a column that a run and somebody after it changed: its value before, after the run and now, and the reason."""
        self.listed["conflict"].append((table, key, column, *values))

    def unresolved(self, table: str, key: str, reason: str, resolved_by: str) -> None:
        """List a row, or a part of it, that cannot be decided, and what would decide it."""
        self.listed["unresolved"].append((table, key, reason, resolved_by))

    def because(self, table: str, key: str, reason: str) -> None:
        """List the reason for a single change."""
        self.listed["reason"].append((table, key, reason))

    def log(self, action: str, **metadata: Any) -> None:
        """Add an audit entry that the apply will write (guide §5.1)."""
        self.audit.append({"action": action, "metadata": metadata})

    def note(self, text: str) -> None:
        """Add a note for the person who approves the plan."""
        self.notes.append(text)

    def _put(self, step: Step, cells: Sequence[str | None]) -> None:
        self._lines[step] += format_row(cells)
        self._counted += 1

    def _finish(self) -> Plan:
        if not self.total:
            raise self._refusal()
        self._refuse_contradictions()
        facts = {
            name: getattr(self, name) for name in ("parameters", "reasons", "evidence", "notes", "audit")
        }
        header = self.context.header(self.kind, **facts)
        return write_plan(self.context.folder, header, self._sections())

    def _sections(self) -> Iterator[tuple[Section, Iterable[bytes]]]:
        for step in self._steps():
            key = rows.table_of(self._catalogue, step.table).primary_key
            seen = tuple(self._catalogue.tables[step.table].columns)
            yield Section(step.operation, step.table, key, step.columns, seen), self._blocks(step)
        for name, listed in self.listed.items():
            notes = sorted(set(listed), key=lambda row: [cell or "" for cell in row])
            yield Section(name), map(format_row, notes)

    def _blocks(self, step: Step) -> Iterator[bytes]:
        if step.operation == "delete" and (keys := self._deleted.get(step.table)):
            yield from rows.deleted(self._session, self._catalogue, step.table, keys)
        if written := self._lines.get(step):
            yield bytes(written)

    def _steps(self) -> list[Step]:
        """Order the sections: children are deleted before parents, inserted after them, and moved before a deletion."""
        steps = sorted({*self._lines, *(Step("delete", table) for table in self._deleted)})
        waits = {
            (step, earlier): firmness
            for step, earlier in permutations(steps, 2)
            if (firmness := _waits(step, earlier, self.context.references))
        }
        while True:
            sorter = TopologicalSorter({step: [] for step in steps})
            for step, earlier in waits:
                sorter.add(step, earlier)
            try:
                sorter.prepare()
            except CycleError as error:
                del waits[_loosest(waits, error.args[1])]
                continue
            order: list[Step] = []
            while ready := sorted(sorter.get_ready()):
                order += ready
                sorter.done(*ready)
            return order

    def _refuse_contradictions(self) -> None:
        """Refuse to delete a row that is listed as staying."""
        listed = {row[:2] for name in ("kept", "conflict", "unresolved") for row in self.listed[name]}
        for table, keys in self._deleted.items():
            if both := {key for name, key in listed if name == table}.intersection(keys):
                raise _bug(f"The plan would delete {table} {min(map(str, both))} and lists it as staying")

    def _refusal(self) -> Refused:
        why = self.hint or " ".join(self.notes)
        if listed := self.listed["unresolved"]:
            why = "{} {}: {}. What would decide it: {}.".format(*listed[0])
        elif listed := self.listed["conflict"]:
            why = "{0} {1} {2}: {6}.".format(*listed[0])
        elif listed := self.listed["kept"]:
            why = "{} {}: {}.".format(*listed[0])
        return Refused(f"{self.nothing}.", why)


def _bug(what: str) -> WorkbenchError:
    return WorkbenchError(
        f"{what}. No plan was written.", "This is a bug of the workbench; please report it."
    )


def _waits(step: Step, earlier: Step, graph: References) -> int:
    """Return how firmly a step has to wait for another one; 0 if it does not."""
    same = step.table == earlier.table
    match step.operation, earlier.operation:
        case "delete", "update":  # rows that refer to it are updated first
            columns = {way.column for way in graph.binding(step.table) if way.child == earlier.table}
            return _FIRM if columns.intersection(earlier.columns) else 0
        case (("update" | "insert"), "delete"):  # a deleted row may have the same unique values
            return _LOOSE if same and not _waits(earlier, step, graph) else 0
        case "insert", "update":
            return _LOOSE if same and not earlier.leads_to else 0
        case "update", "insert":
            return _FIRM if earlier.table in step.leads_to else 0
        case "delete", "delete":
            between = [way for way in graph.binding(step.table) if way.child == earlier.table]
        case "insert", "insert" if not same:
            between = [way for way in graph.all if (way.child, way.parent) == (step.table, earlier.table)]
        case _:
            return 0
    return max((_NULLABLE if way.nullable or not way.declared else _FIRM for way in between), default=0)


def _loosest(waits: Mapping[tuple[Step, Step], int], cycle: Sequence[Step]) -> tuple[Step, Step]:
    """Return the loosest wait of a cycle; `Refused` if all are firm."""
    around = {*pairwise(cycle), *pairwise(cycle[::-1])} & waits.keys()
    loosest = min(around, key=lambda pair: (waits[pair], pair))
    if waits[loosest] == _FIRM:
        raise Refused(
            f"Rows of {' -> '.join(dict.fromkeys(step.table for step in cycle))} refer to one another in a cycle, so none"
            " can change first.",
            "Plan fewer records at a time.",
        )
    return loosest
