"""Who did what differs: which run, or people, by the evidence, and how strong that is.

Evidence counts only where it is itself newer than the snapshot: an audit row that the snapshot has not, a
record that it has not. So no two clocks need to agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from psycopg import sql
from sqlalchemy import Connection, String, and_, cast, func, literal, null, select

from workbench.database.connection import raw
from workbench.investigate.differences.comparing import Comparing
from workbench.investigate.differences.found import KINDS, Kind
from workbench.investigate.records import record_fates, writers
from workbench.investigate.traces import TOLERANCE
from workbench.murmurant.importers import STRENGTH, Run, Strength, Trace
from workbench.murmurant.schema import Schema, as_text, entity_of
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, SYNC_MOMENTS
from workbench.plans.journal import entries, image
from workbench.plans.rows import among

PERSON, UNKNOWN, WORKBENCH = "a person", "unknown", "the workbench"

_CHUNK = 200_000
_ACTION_OF: dict[Kind, str] = {"added": "created", "changed": "updated", "removed": "deleted"}
_LOGGED_AS: dict[str, Kind] = {"CREATE": "added", "UPDATE": "changed", "DELETE": "removed"}


class Author(NamedTuple):
    """Who did something, and how strong the evidence for that is: a `Strength` by name, or ``none``."""

    who: str
    evidence: str


NOBODY_KNOWN = Author(UNKNOWN, "none")
_LOGGED = Author(PERSON, STRENGTH[Trace.AUDIT].name)


@dataclass
class Entries:
    """What the audit log says that the snapshot's does not yet.

    Attributes
    ----------
    runs : set of str
        The runs that wrote entries.
    people : dict of (str, str) to set of str
        Table and key of what entries of no run tell, and what they say was done: added, changed, removed.
    of_runs : dict of (str, str) to str
        The same of deletions by a run: the run.
    known : bool
        Whether there is an audit log to ask.
    """

    runs: set[str] = field(default_factory=set)
    people: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    of_runs: dict[tuple[str, str], str] = field(default_factory=dict)
    known: bool = False


class Authors:
    """Asks the database's own evidence who did what differs.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To the live database, in a reading transaction.
    runs : sequence of Run
        Every run that is known, by start.
    compared : Comparing
        What differs; its audit log is among the tables.
    taken_at : datetime or None
        When the snapshot was taken (UTC, without zone): only where nothing else tells a run from before it.
    """

    def __init__(
        self,
        connection: Connection,
        schema: Schema,
        runs: Sequence[Run],
        compared: Comparing,
        taken_at: datetime | None = None,
    ) -> None:
        self.connection, self.schema, self.compared = connection, schema, compared
        self.plans = [
            each
            for each in entries(raw(connection))
            if taken_at is None or each.applied_at.astimezone(UTC).replace(tzinfo=None) >= taken_at
        ]
        self.entries = _new_entries(connection, schema, compared)
        self.runs = [each for each in runs if each.mode == "live"]
        self.since = [each for each in self.runs if self._ran_since(each, taken_at)]
        self._concepts = {found.table: name for name, found in schema.resolved.items()}

    def tally(self, table: str, kind: Kind) -> Counter[Author]:
        """Count the rows of a table that differ in one way by who did it."""
        found: Counter[Author] = Counter()
        for chunk in self.compared.tables[table].keys(kind).chunks(_CHUNK):
            known = self.of(table, kind, chunk)
            found.update(known.values())
            if missing := len(chunk) - len(known):
                found[NOBODY_KNOWN] += missing
        return found

    def of(self, table: str, kind: Kind, keys: Sequence[str]) -> dict[str, Author]:
        """Return who did it, for those of some rows of which that is known."""
        found = self._by_evidence(table, kind, keys)
        for key, who in self._by_plans(table, keys).items():
            earlier = found.get(key)
            said = f"{earlier.who}, then {who}" if earlier else who
            found[key] = Author(said, Strength.certain.name)
        return found

    def _by_plans(self, table: str, keys: Sequence[str]) -> dict[str, str]:
        """Return, for those of some rows that a plan changed, who applied which; the last one that did."""
        found: dict[str, str] = {}
        for entry in self.plans:
            for number, section in enumerate(entry.sections, 1):
                if section.table != table or len(section.key) != 1:
                    continue
                moment = "before" if section.name == "delete" else "after"
                query = sql.SQL("SELECT i.{key}::text FROM {image} i WHERE i.{key}::text = ANY (%s)").format(
                    key=sql.Identifier(section.key[0]), image=image(entry.id, number, moment)
                )
                who = f"{entry.applied_by} by plan {entry.plan}"
                found.update((row[0], who) for row in raw(self.connection).execute(query, [list(keys)]))
        return found

    def _by_evidence(self, table: str, kind: Kind, keys: Sequence[str]) -> dict[str, Author]:
        concept = self._concepts.get(table)
        found: dict[str, Author] = {}
        for key in keys:
            done = self.entries.people.get((table, key))
            if done and (kind in done or kind != "removed"):
                found[key] = _LOGGED
            elif kind == "removed" and (table, key) in self.entries.of_runs:
                found[key] = Author(self.entries.of_runs[table, key], STRENGTH[Trace.AUDIT].name)
        if kind == "removed":
            return found
        for entity in ENTITIES:
            if CONCEPT_OF[entity] == concept:
                return {**found, **self._of_runs(entity, kind, keys)}
        if concept == "audit":
            return self._of_entries(keys)
        if concept == "mappings":
            return {**found, **self._of_mappings(keys)}
        if concept == "sync_state":
            return {**found, **self._of_states(keys)}
        return found

    def _ran_since(self, run: Run, taken_at: datetime | None) -> bool:
        if run.run in self.entries.runs:
            return True
        made = False
        for entity in ENTITIES:
            if not self.schema.has(CONCEPT_OF[entity]):
                continue
            difference = self.compared.tables.get(self.schema.table_of(entity))
            for chunk in difference.added.chunks(_CHUNK) if difference else ():
                fates = record_fates(self.connection, self.schema, run, (), chunk)
                made = made or any(
                    each.action == "created" and each.entity == entity and set(each.record_ids) & set(chunk)
                    for each in fates
                )
        if made:
            return True
        # A run that logs what it does, and logged nothing new, ran before; of others only their time can tell.
        if run.importer != "csv" and self.entries.known and Trace.AUDIT in run.traces:
            return False
        began = run.started or run.last_trace
        return taken_at is not None and began is not None and began >= taken_at

    def _of_runs(self, entity: str, kind: Kind, keys: Sequence[str]) -> dict[str, Author]:
        """Ask each run since the snapshot, in order; who wrote later is named after it."""
        found: dict[str, Author] = {}
        for key, wrote in writers(self.connection, self.schema, self.since, self.runs, entity, keys).items():
            for each in wrote:
                who, strength = each.run.run, each.strength
                # Of a record that the guide's importer mapped, its own time alone tells that it was changed too; a
                # later change hides that.
                if each.action == "mapped" and each.run.importer == "guide" and kind == "changed":
                    if not each.touched_since:
                        continue
                    who, strength = f"{who} or {each.touched_since}", Strength.weak
                elif each.action != _ACTION_OF[kind]:
                    continue
                elif each.by_people:
                    who = f"{who}, then {each.touched_since}"
                earlier = found.get(key)
                said = f"{earlier.who.split(', then ')[0]}, then {who}" if earlier else who
                found[key] = Author(said, strength.name)
        return found

    def _of_entries(self, keys: Sequence[str]) -> dict[str, Author]:
        audit = self.schema.audit
        workbench = func.coalesce(audit.c.metadata["source"].astext, "").like("workbench%")
        rows = self.connection.execute(
            select(as_text(audit.c.id), self.schema.audit_run, workbench).where(
                as_text(audit.c.id).in_(among(keys))
            )
        )
        return {key: Author(WORKBENCH if own else run or PERSON, "certain") for key, run, own in rows}

    def _of_mappings(self, keys: Sequence[str]) -> dict[str, Author]:
        if not self.schema.has("mappings.id"):
            return {}
        mappings = self.schema.mappings
        owner = mappings.c.run_id if self.schema.has("mappings.run_id") else cast(null(), String)
        moment = mappings.c.synced_at if self.schema.has("mappings.synced_at") else literal(None)
        rows = self.connection.execute(
            select(as_text(mappings.c.id), cast(owner, String), moment).where(
                as_text(mappings.c.id).in_(among(keys))
            )
        )
        since = {each.run for each in self.since}
        found = {}
        for key, run, at in rows:
            if run in since:
                found[key] = Author(run, STRENGTH[Trace.MAPPING].name)
            elif by := self._running(at):
                # Its time alone is weak; that the snapshot has it otherwise or not at all makes it likely.
                found[key] = Author(by.run, Strength.likely.name)
        return found

    def _of_states(self, keys: Sequence[str]) -> dict[str, Author]:
        moments = [each for each in SYNC_MOMENTS if self.schema.has(f"sync_state.{each}")]
        if not moments or not self.schema.has("sync_state.id"):
            return {}
        state = self.schema.sync_state
        last = func.greatest(*(state.c[each] for each in moments))
        rows = self.connection.execute(
            select(as_text(state.c.id), last).where(as_text(state.c.id).in_(among(keys)))
        )
        return {key: Author(by.run, Strength.likely.name) for key, at in rows if (by := self._running(at))}

    def _running(self, at: datetime | None) -> Run | None:
        """Return the one run since the snapshot in whose time something was written; None where two may have."""
        if at is None:
            return None
        found = [
            run
            for run in self.since
            if run.importer != "csv"
            and run.started
            and (end := run.finished or run.last_trace)
            and run.started - TOLERANCE <= at <= end + TOLERANCE
        ]
        return found[0] if len(found) == 1 else None


def authors_rows(authors: Authors, tables: Iterable[str]) -> list[tuple[str, str, str, str, int]]:
    """Tell for tables who did how much: table, change, who, evidence, rows; most rows first."""
    found: list[tuple[str, str, str, str, int]] = []
    for table in tables:
        for kind in KINDS:
            tally = authors.tally(table, kind)
            ordered = sorted(tally.items(), key=lambda each: (-each[1], each[0]))
            found += [(table, kind, author.who, author.evidence, count) for author, count in ordered]
    return found


def _new_entries(connection: Connection, schema: Schema, compared: Comparing) -> Entries:
    needed = ("audit.id", "audit.metadata", "audit.action")
    if not schema.has(*needed):
        return Entries()
    difference = compared.tables.get(schema.resolved["audit"].table)
    if difference is None:
        return Entries()
    found = Entries(known=True)
    audit = schema.audit
    spoken: Any = cast(audit.c.action, String)
    subject = (
        [entity_of(audit.c.resource_type), as_text(audit.c.resource_id)]
        if schema.has("audit.resource_type", "audit.resource_id")
        else [cast(null(), String), cast(null(), String)]
    )
    tables = {entity: schema.table_of(entity) for entity in ENTITIES if schema.has(CONCEPT_OF[entity])}
    for keys in difference.added.chunks(_CHUNK):
        source = func.coalesce(audit.c.metadata["source"].astext, "")
        rows = connection.execute(
            select(schema.audit_run, spoken, *subject, source.like("workbench%")).where(
                and_(as_text(audit.c.id).in_(among(keys)))
            )
        )
        for run, action, kind, key, own in rows:
            if own:
                continue
            if run:
                found.runs.add(run)
            if kind is None or key is None or action not in _LOGGED_AS:
                continue
            where = tables.get(kind, kind), key
            if not run:
                found.people.setdefault(where, set()).add(_LOGGED_AS[action])
            elif action == "DELETE":
                found.of_runs[where] = run
    return found
