"""The draft of a plan: every planner writes through it, and none orders changes or writes a file of its own.

A planner opens a draft, says what changes and what stays, and has a plan when the block ends::

    with Draft(context, "sync-state", nothing="The sync state names no moment.") as draft:
        draft.update("WaSyncState", {key: {"lastFullSync": None}})
        draft.keep("WaSyncState", other, "a later sync wrote it")
        draft.reasons.append("Resets the sync state (guide §7.3).")
        draft.log("migration:sync-state:reset", records_affected=draft.total)
    return draft.plan

Deletes, inserts and updates may be given in any order, but what an update leads to is inserted before. The draft
reads the digest and the old values of each row, a few thousand at a time, drops what does not change, and orders the
sections so that no reference and no unique index minds. A planner that has many updates gives them some at a time, in the
order of their keys. Reasons, evidence, notes and audit entries can be added until the block ends. A draft without a change becomes no plan: it is refused with `nothing`, and the first
reason why a row stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import chain, pairwise, zip_longest
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

_NOT, _EASILY, _IF_NEED_BE, _NEVER = range(4)
"""How firmly one step waits for another: how readily that is given up where all of them together run in a circle."""


@dataclass(frozen=True)
class PlanContext:
    """On which database a plan is made, by whom, and where its file goes.

    Attributes
    ----------
    connection : sqlalchemy.Connection
        In a reading, repeatable-read transaction; a planner needs nothing else.
    planned_by : str
        The operator.
    folder : Path
        Where plans lie.
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
        """Which rows refer to which."""
        return References(self.schema)

    def header(self, kind: str, **facts: Any) -> Plan:
        """Return a plan's header, made here and now."""
        log = own_digest(self.raw, self.schema)
        return Plan(kind=kind, target=self.target, planned_by=self.planned_by, log=log, **facts)


class Step(NamedTuple):
    """One section of the plan: an operation on one table.

    Attributes
    ----------
    columns : tuple of str
        What an update sets, or an insert fills in.
    leads_to : tuple of str
        For an update, the tables of which a row that the plan inserts is referred to by a new value.
    """

    operation: str
    table: str
    columns: tuple[str, ...] = ()
    leads_to: tuple[str, ...] = ()


class Draft:
    """What a planner has found so far; a plan file when its block ends.

    Parameters
    ----------
    context : PlanContext
        The database, the operator and the folder.
    kind : str
        ``rollback``, ``merge``, ...
    parameters : mapping, optional
        What was asked for: no path of this machine, no clock.
    reasons, evidence : iterable of str
        Why, and resting on what.
    nothing : str
        What is said when there is nothing to change, without a full stop.
    hint : str
        What to do then, where no row that stays tells why.
    connection, catalogue : optional
        The database whose rows the plan will meet, where that is not the one it is made on: a replay's rows are those
        of a snapshot.

    Attributes
    ----------
    parameters, reasons, evidence, notes, audit
        The header's, open to change until the block ends.
    listed : dict of str to list of tuple
        What `keep`, `conflict`, `unresolved` and `because` noted, by the kind of note.
    plan : Plan
        Once the block has ended.
    """

    plan: Plan

    def __init__(
        self,
        context: PlanContext,
        kind: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        reasons: Iterable[str] = (),
        evidence: Iterable[str] = (),
        nothing: str = "There is nothing to change",
        hint: str = "",
        connection: psycopg.Connection[Any] | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.context, self.kind = context, kind
        self.parameters = dict(parameters or {})
        self.reasons, self.evidence = list(reasons), list(evidence)
        self.notes: list[str] = []
        self.audit: list[dict[str, Any]] = []
        self.nothing, self.hint = nothing, hint
        self.connection = connection if connection is not None else context.raw
        self.catalogue = catalogue or context.schema.catalogue
        self.listed: dict[str, list[Row]] = {name: [] for name in NOTES}
        self._in_part: set[Row] = set()
        self._doomed: dict[str, Sequence[str]] = {}
        self._inserted: dict[str, set[str | None]] = defaultdict(set)
        self._written: dict[Step, bytearray] = defaultdict(bytearray)
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
        """How many rows change so far."""
        return self._counted + sum(map(len, self._doomed.values()))

    def delete(self, table: str, keys: Iterable[str]) -> None:
        """Delete rows of a table with a key of one column; one that is gone already is left out."""
        going = sorted(chain(self._doomed.get(table, ()), keys))
        if going:
            self._doomed[table] = [key for key, after in zip_longest(going, going[1:]) if key != after]

    def update(
        self, table: str, wanted: Mapping[str, Mapping[str, str | None]], *, together: Collection[str] = ()
    ) -> None:
        """Set columns of rows to new values; what does not change is dropped.

        Parameters
        ----------
        wanted : mapping of str to mapping of str to str or None
            Key to column to the new value, as the database's text.
        together : collection of str
            Columns that are written even where they stay: rows that change places must be in one section, and sections
            are told apart by their columns.
        """
        parents = [
            reference
            for reference in self.context.references.all
            if reference.declared and reference.child == table
        ]
        gone = set(wanted)
        for key, row in current_rows(self.connection, self.catalogue, table, sorted(wanted)):
            gone.discard(key)
            values = wanted[key]
            names = sorted(name for name in values if values[name] != row.values[name] or name in together)
            if names:
                leads_to = {
                    reference.parent
                    for reference in parents
                    if reference.column in names
                    and values[reference.column] in self._inserted[reference.parent]
                }
                cells = [image[name] for image in (row.values, values) for name in names]
                step = Step("update", table, tuple(names), tuple(sorted(leads_to)))
                self._put(step, (key, row.digest, *cells))
        if gone:
            raise _fault(f"The plan changes {table} {min(gone)}, which is not there")

    def insert(self, table: str, values: Mapping[str, str | None]) -> None:
        """Insert a row, its columns as the database's text; before the updates that lead to it."""
        key = self.catalogue.tables[table].primary_key
        if len(key) == 1:
            self._inserted[table].add(values[key[0]])
        names = tuple(sorted(values))
        self._put(Step("insert", table, names), [values[name] for name in names])

    def rewrite(self, table: str, row: Current, changes: Mapping[str, str | None]) -> None:
        """Delete a row and insert it anew, where its very key changes; without changes it is only deleted."""
        key = rows.table_of(self.catalogue, table).primary_key
        self._put(Step("delete", table), (*(row.values[name] for name in key), row.digest))
        if changes:
            names = tuple(row.values)
            values = {**row.values, **changes}
            self._put(Step("insert", table, names), [values[name] for name in names])

    def keep(self, table: str, key: str, reason: str) -> None:
        """List a row that is left alone."""
        self.listed["kept"].append((table, key, reason))

    def conflict(self, table: str, key: str, column: str, *values: str | None) -> None:
        """List a column that both a run and somebody after it wrote: what was before, of the run and is now; the reason."""
        self.listed["conflict"].append((table, key, column, *values))

    def unresolved(
        self, table: str, key: str, reason: str, resolved_by: str, *, in_part: bool = False
    ) -> None:
        """List what cannot be decided, and what would decide it.

        Parameters
        ----------
        in_part : bool
            Whether only a column of the row is open: what became of the rest is listed elsewhere.
        """
        if in_part:
            self._in_part.add((table, key))
        self.listed["unresolved"].append((table, key, reason, resolved_by))

    def because(self, table: str, key: str, reason: str) -> None:
        """List what a single change rests on, where that is not one thing for all."""
        self.listed["reason"].append((table, key, reason))

    def log(self, action: str, **metadata: Any) -> None:
        """Have the apply write an audit entry (guide §5.1)."""
        self.audit.append({"action": action, "metadata": metadata})

    def note(self, text: str) -> None:
        """Tell whoever approves the plan what they should know besides."""
        self.notes.append(text)

    def _put(self, step: Step, cells: Sequence[str | None]) -> None:
        self._written[step] += format_row(cells)
        self._counted += 1

    def _finish(self) -> Plan:
        if not self.total:
            raise self._refusal()
        self._refuse_contradictions()
        header = self.context.header(
            self.kind,
            parameters=self.parameters,
            reasons=tuple(self.reasons),
            evidence=tuple(self.evidence),
            notes=tuple(self.notes),
            audit=tuple(self.audit),
        )
        return write_plan(self.context.folder, header, self._sections())

    def _sections(self) -> Iterator[tuple[Section, Iterable[bytes]]]:
        for step in self._steps():
            key = rows.table_of(self.catalogue, step.table).primary_key
            seen = tuple(self.catalogue.tables[step.table].columns)
            yield Section(step.operation, step.table, key, step.columns, seen), self._blocks(step)
        for name, listed in self.listed.items():
            notes = sorted(set(listed), key=lambda row: [cell or "" for cell in row])
            yield Section(name), map(format_row, notes)

    def _blocks(self, step: Step) -> Iterator[bytes]:
        if step.operation == "delete" and (keys := self._doomed.get(step.table)):
            yield from rows.deleted(self.connection, self.catalogue, step.table, keys)
        if written := self._written.get(step):
            yield bytes(written)

    def _steps(self) -> list[Step]:
        """Order the sections: nothing goes before what refers to it was led away, nor comes after what refers to it."""
        steps = sorted({*self._written, *(Step("delete", table) for table in self._doomed)})
        graph = self.context.references
        waits = {
            step: {other: firm for other in steps if other != step and (firm := _waits(step, other, graph))}
            for step in steps
        }
        while True:
            sorter = TopologicalSorter(waits)
            try:
                sorter.prepare()
            except CycleError as error:
                _open_circle(waits, error.args[1])
                continue
            order: list[Step] = []
            while ready := sorted(sorter.get_ready()):
                order += ready
                sorter.done(*ready)
            return order

    def _refuse_contradictions(self) -> None:
        """Refuse to say two things of one row: that it goes and stays, or that it is kept and open."""
        kept, conflicts, unresolved = (
            {row[:2] for row in self.listed[name]} for name in ("kept", "conflict", "unresolved")
        )
        unresolved -= self._in_part
        twice = kept & unresolved
        for table, keys in self._doomed.items():
            noted = {key for named, key in kept | conflicts | unresolved if named == table}
            twice |= {(table, key) for key in noted.intersection(keys)}
        if twice:
            named, key = min(twice, key=str)
            raise _fault(f"The plan contradicts itself: it says two things of {named} {key}")

    def _refusal(self) -> Refused:
        lists = {"kept": "kept", "in conflict": "conflict", "unresolved": "unresolved"}
        counts = ", ".join(
            f"{len(self.listed[name]):,} {state}" for state, name in lists.items() if self.listed[name]
        )
        why = self.hint or " ".join(self.notes)
        if listed := self.listed["unresolved"]:
            why = "{} {}: {}. What would decide it: {}.".format(*listed[0])
        elif listed := self.listed["conflict"]:
            why = "{0} {1} {2}: {6}.".format(*listed[0])
        elif listed := self.listed["kept"]:
            why = "{} {}: {}.".format(*listed[0])
        return Refused(f"{self.nothing}{f' ({counts})' if counts else ''}.", why)


def _fault(what: str) -> WorkbenchError:
    return WorkbenchError(
        f"{what}. No plan was written.", "This is a fault of the workbench; please report it."
    )


def _waits(step: Step, other: Step, graph: References) -> int:
    """Return how firmly a step has to wait for another one."""
    same = step.table == other.table
    match step.operation, other.operation:
        case "delete", "update":  # what refers to the row is led away first
            columns = {way.column for way in graph.binding(step.table) if way.child == other.table}
            return _NEVER if columns.intersection(other.columns) else _NOT
        case (("update" | "insert"), "delete"):  # what collides goes before what takes its place
            return _EASILY if same and not _waits(other, step, graph) else _NOT
        case "insert", "update":
            return _EASILY if same and not other.leads_to else _NOT
        case "update", "insert":
            return _NEVER if other.table in step.leads_to else _NOT
        case "delete", "delete":
            between = [way for way in graph.binding(step.table) if way.child == other.table]
        case "insert", "insert" if not same:
            between = [way for way in graph.all if (way.child, way.parent) == (step.table, other.table)]
        case _:
            return _NOT
    firm = (_IF_NEED_BE if reference.nullable or not reference.declared else _NEVER for reference in between)
    return max(firm, default=_NOT)


def _open_circle(waits: dict[Step, dict[Step, int]], circle: Sequence[Step]) -> None:
    """Give up the order in a circle of steps that is given up most readily."""
    around = [*pairwise(circle), *((after, before) for before, after in pairwise(circle))]
    loose = sorted((waits[step][other], step, other) for step, other in around if other in waits[step])
    if not loose or loose[0][0] == _NEVER:
        raise Refused(
            f"Rows of {' -> '.join(dict.fromkeys(step.table for step in circle))} refer to one another in a circle, so"
            " none can change first.",
            "Plan fewer records at a time.",
        )
    _, step, other = loose[0]
    del waits[step][other]
