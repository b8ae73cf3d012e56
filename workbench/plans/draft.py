"""The draft of a plan: every planner writes through it, and none orders changes or writes a file of its own.

A planner opens a draft, says what changes and what stays, and has a plan when the block ends::

    with Draft(context, "sync-state", nothing="The sync state names no moment.") as draft:
        draft.update("WaSyncState", key, {"lastFullSync": None})
        draft.keep("WaSyncState", other, "a later sync wrote it")
        draft.reasons.append("Resets the sync state (guide §7.3).")
        draft.log("migration:sync-state:reset", records_affected=draft.total)
    return draft.plan

Changes may be given in any order: the draft reads the digest and the old values of each row, a few thousand at a
time, drops what does not change, and orders the sections so that no reference and no unique index minds. Many rows
stream through temporary files, so a planner that reads its rows itself hands them on with ``row=``, in the order of
their keys. Reasons, evidence, notes and audit entries can be added until the block ends. A draft without a change
becomes no plan: it is refused with `nothing`, and the first reason why a row stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import chain, groupby, pairwise
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

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
from workbench.plans.plan import NOTES, Plan, Section, format_row, write_plan
from workbench.plans.rows import Current, current_rows

_IN_MEMORY = 1 << 20  # bytes of one section that are held before they go to a temporary file

_EASILY, _IF_NEED_BE, _NEVER = range(3)
"""How readily an order between two steps is given up where all of them together run in a circle."""


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
        self.listed: dict[str, list[tuple[str | None, ...]]] = {name: [] for name in NOTES}
        self._in_part: set[tuple[str, str]] = set()
        self._doomed: dict[str, Sequence[str]] = {}
        self._pending: dict[str, dict[str, dict[str, str | None]]] = defaultdict(dict)
        self._inserted: dict[str, set[str]] = defaultdict(set)
        self._written: dict[Step, IO[bytes]] = {}
        self._counted = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if error is None:
                self.plan = self._finish()

    @property
    def total(self) -> int:
        """How many rows change so far."""
        self._read_pending()
        return self._counted + sum(map(len, self._doomed.values()))

    @property
    def doomed(self) -> Mapping[str, Sequence[str]]:
        """Table to the keys of the rows that are deleted, sorted."""
        return self._doomed

    def delete(self, table: str, keys: Iterable[str]) -> None:
        """Delete rows of a table with a key of one column; one that is gone already is left out."""
        given = [key for key, _ in groupby(sorted(chain(self._doomed.get(table, ()), keys)))]
        if given:
            self._doomed[table] = given

    def update(
        self,
        table: str,
        key: str,
        changes: Mapping[str, str | None],
        *,
        row: Current | None = None,
        together: Collection[str] = (),
    ) -> None:
        """Set columns of a row to new values, given as the database's text; what does not change is dropped.

        Parameters
        ----------
        row : Current, optional
            The row as it is, where the planner has read it. Then its changes are given once and whole, rows in the
            order of their keys; else by and by, in any order.
        together : collection of str
            Columns that are written even where they stay: rows that change places must be in one section, and sections
            are told apart by their columns.
        """
        if row is None:
            self._pending[table].setdefault(key, {}).update(changes)
            return
        names = sorted(name for name, new in changes.items() if new != row.values[name] or name in together)
        if names:
            cells = [*(row.values[name] for name in names), *(changes[name] for name in names)]
            step = Step("update", table, tuple(names), self._leads_to(table, changes, names))
            self._put(step, (key, row.digest, *cells))

    def insert(self, table: str, values: Mapping[str, str | None]) -> None:
        """Insert a row, its columns as the database's text; before the updates that lead to it."""
        key = self.catalogue.tables[table].primary_key
        if len(key) == 1:
            self._inserted[table].add(values[key[0]] or "")
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

    def conflict(
        self,
        table: str,
        key: str,
        column: str,
        before: str | None,
        run: str | None,
        now: str | None,
        reason: str,
    ) -> None:
        """List a column that both a run and somebody after it wrote."""
        self.listed["conflict"].append((table, key, column, before, run, now, reason))

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

    def _leads_to(
        self, table: str, changes: Mapping[str, str | None], names: Collection[str]
    ) -> tuple[str, ...]:
        if not self._inserted:
            return ()
        declared = (each for each in self.context.references.all if each.declared and each.child == table)
        return tuple(
            sorted(
                each.parent
                for each in declared
                if each.column in names and changes[each.column] in self._inserted.get(each.parent, ())
            )
        )

    def _read_pending(self) -> None:
        """Read the rows that are to be updated, and note what changes in each."""
        pending, self._pending = self._pending, defaultdict(dict)
        for table, wanted in sorted(pending.items()):
            gone = set(wanted)
            for key, row in current_rows(self.connection, self.catalogue, table, sorted(wanted)):
                gone.discard(key)
                self.update(table, key, wanted[key], row=row)
            if gone:
                raise WorkbenchError(
                    f"The plan changes {table} {min(gone)}, which is not there. No plan was written.",
                    "This is a fault of the workbench; please report it.",
                )

    def _put(self, step: Step, cells: Sequence[str | None]) -> None:
        file = self._written.get(step)
        if file is None:
            file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the draft
            self._open.callback(file.close)
            self._written[step] = file
        try:
            file.write(format_row(cells))
        except OSError as error:
            raise WorkbenchError(
                f"The changes of the plan could not be kept for the moment: {error.strerror}.",
                "Make room for temporary files (TMPDIR). Nothing was changed.",
            ) from None
        self._counted += 1

    def _finish(self) -> Plan:
        if not self.total:
            raise self._refusal()
        self._refuse_contradictions()
        header = Plan(
            kind=self.kind,
            parameters=self.parameters,
            reasons=tuple(self.reasons),
            target=self.context.target,
            planned_by=self.context.planned_by,
            evidence=tuple(self.evidence),
            notes=tuple(self.notes),
            audit=tuple(self.audit),
            log=own_digest(self.context.raw, self.context.schema),
        )
        return write_plan(self.context.folder, header, self._sections())

    def _sections(self) -> Iterator[tuple[Section, Iterable[bytes]]]:
        for step in self._steps():
            key = rows.table_of(self.catalogue, step.table).primary_key
            seen = () if step.operation == "insert" else tuple(self.catalogue.tables[step.table].columns)
            yield Section(step.operation, step.table, key, step.columns, seen), self._blocks(step)
        for name, listed in self.listed.items():
            notes = sorted(dict.fromkeys(listed), key=lambda row: [each or "" for each in row])
            yield Section(name), map(format_row, notes)

    def _blocks(self, step: Step) -> Iterator[bytes]:
        if step.operation == "delete" and (keys := self._doomed.get(step.table)):
            yield from rows.deleted(self.connection, self.catalogue, step.table, keys)
        if file := self._written.get(step):
            file.seek(0)
            while block := file.read(1 << 20):
                yield block + (b"" if block.endswith(b"\n") else file.readline())

    def _steps(self) -> list[Step]:
        """Order the sections: nothing goes before what refers to it was led away, nor comes after what refers to it."""
        needs = self._needs()
        while True:
            sorter = TopologicalSorter({step: sorted(before) for step, before in sorted(needs.items())})
            try:
                sorter.prepare()
            except CycleError as error:
                _open_circle(needs, error.args[1])
                continue
            found: list[Step] = []
            while sorter.is_active():
                ready = sorted(sorter.get_ready())
                found += ready
                sorter.done(*ready)
            return found

    def _needs(self) -> dict[Step, dict[Step, int]]:
        """Return what each step comes after, and how readily that is given up."""
        steps = {*self._written, *(Step("delete", table) for table in self._doomed)}
        needs: dict[Step, dict[Step, int]] = {step: {} for step in steps}
        deletes, updates, inserts = (
            [step for step in steps if step.operation == name] for name in ("delete", "update", "insert")
        )
        # What collides goes before what takes its place.
        for step in (*updates, *inserts):
            for other in (*deletes, *(updates if step.operation == "insert" else ())):
                if other.table == step.table and not other.leads_to:
                    needs[step][other] = _EASILY
        graph = self.context.references
        for step in deletes:
            for each in graph.binding(step.table):
                for other in updates:
                    if other.table == each.child and each.column in other.columns:
                        needs[step][other] = _NEVER
                        needs[other].pop(step, None)
                children = Step("delete", each.child)
                if children in needs and children != step:
                    loose = each.nullable or not each.declared
                    needs[step][children] = max(
                        needs[step].get(children, 0), _IF_NEED_BE if loose else _NEVER
                    )
        for each in graph.all:
            for child in inserts:
                for parent in inserts:
                    if (child.table, parent.table) == (each.child, each.parent) and each.child != each.parent:
                        loose = each.nullable or not each.declared
                        needs[child][parent] = max(
                            needs[child].get(parent, 0), _IF_NEED_BE if loose else _NEVER
                        )
        for step in updates:
            needs[step] |= {other: _NEVER for other in inserts if other.table in step.leads_to}
        return needs

    def _refuse_contradictions(self) -> None:
        """Refuse to say two things of one row: that it goes and stays, or that it is kept and open."""
        kept = {row[:2] for row in self.listed["kept"]}
        open_ = {row[:2] for row in self.listed["unresolved"]}
        noted = {"kept": kept, "in conflict": {row[:2] for row in self.listed["conflict"]}}
        noted["unresolved"] = open_ - self._in_part
        for table, key in sorted(kept & noted["unresolved"], key=str):
            raise _contradiction(table, key, "kept", "unresolved")
        by_table: dict[str | None, dict[str | None, str]] = defaultdict(dict)
        for name, names in ((name, names) for name, rows_ in noted.items() for names in rows_):
            by_table[names[0]].setdefault(names[1], name)
        for table, keys in self._doomed.items():
            of_table = by_table.get(table, {})
            for key in keys if of_table else ():
                if key in of_table:
                    raise _contradiction(table, key, "deleted", of_table[key])

    def _refusal(self) -> Refused:
        kept, conflicts, unresolved = (self.listed[each] for each in ("kept", "conflict", "unresolved"))
        counts = ", ".join(
            f"{len(listed):,} {what}"
            for listed, what in ((kept, "kept"), (conflicts, "in conflict"), (unresolved, "unresolved"))
            if listed
        )
        why = self.hint
        if unresolved:
            why = "{} {}: {}. What would decide it: {}.".format(*unresolved[0])
        elif conflicts:
            why = "{0} {1} {2}: {6}.".format(*conflicts[0])
        elif kept:
            why = "{} {}: {}.".format(*kept[0])
        return Refused(f"{self.nothing}{f' ({counts})' if counts else ''}.", why or " ".join(self.notes))


def _open_circle(needs: dict[Step, dict[Step, int]], circle: Sequence[Step]) -> None:
    """Give up the order in a circle of steps that is given up most readily."""
    around = [*pairwise(circle), *((after, before) for before, after in pairwise(circle))]
    loose = sorted((needs[step][other], step, other) for step, other in around if other in needs[step])
    if not loose or loose[0][0] == _NEVER:
        raise Refused(
            f"Rows of {' -> '.join(dict.fromkeys(step.table for step in circle))} refer to one another in a circle, so"
            " none can change first.",
            "Plan fewer records at a time.",
        )
    _, step, other = loose[0]
    del needs[step][other]


def _contradiction(table: str | None, key: str | None, *lists: str) -> WorkbenchError:
    return WorkbenchError(
        f"The plan contradicts itself: {table} {key} is both {' and '.join(lists)}. No plan was written.",
        "This is a fault of the workbench; please report it.",
    )
