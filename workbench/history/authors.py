"""Who made each change since a snapshot: a run or a person, and how strong the evidence is.

Evidence counts only if it is newer than the snapshot: an audit entry or a record that the snapshot does not have. So
the clocks of two servers need not agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import pandas as pd
from psycopg import sql
from sqlalchemy import Connection

from workbench.database.connection import raw
from workbench.history.differences import Comparison, Kind
from workbench.murmurant.importers import Run, Strength, Trace
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.journal import Entry, entries, image
from workbench.plans.plan import Section
from workbench.plans.rows import in_chunks
from workbench.runs.evidence import ask, sync_states, writers, written_mappings

PERSON, UNKNOWN, WORKBENCH = "a person", "unknown", "the workbench"

_CHUNK = 200_000
_ACTION_OF: dict[Kind, str] = {"added": "created", "changed": "updated", "removed": "deleted"}
_DONE = {"insert": "inserted", "update": "updated", "delete": "deleted"}
_LOGGED_AS: dict[str, Kind] = {"CREATE": "added", "UPDATE": "changed", "DELETE": "removed"}

_NEW = """
    SELECT id::text, run_id, action::text, resource_type, resource_id::text,
        coalesce(metadata ->> 'source', '') LIKE 'workbench%%'
    FROM audit WHERE id::text = ANY (%(keys)s)
"""

_STORY = """
    SELECT created_at AS at, lower(coalesce(metadata ->> 'migrationAction', action::text)) AS what,
        coalesce(run_id, metadata ->> 'operator', 'member ' || member_id::text, 'somebody') AS who, 'audit entry' AS evidence,
        before AS was, after AS now
    FROM audit WHERE resource_id::text = %(key)s AND resource_type = %(entity)s ORDER BY created_at
"""


class Author(NamedTuple):
    """Who made a change, and the strength of the evidence: a name of `Strength`, or ``none``."""

    who: str
    evidence: str


NOBODY_KNOWN = Author(UNKNOWN, "none")
_CERTAIN = Strength.certain.name


class Authors:
    """Finds the author of each difference in the database's own evidence.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To the live database, in a read-only transaction.
    runs : sequence of Run
        Every known run, by start.
    comparison : Comparison
        The differences, with the audit log among the tables.
    taken_at : datetime or None
        When the snapshot was taken (UTC, without zone); used only for runs that left no better evidence.

    Attributes
    ----------
    since : list of Run
        The runs that wrote since the snapshot, by start.
    deleted_by_run : dict of (str, str) to str
        Table and key to the run that deleted the row, by the audit log.
    """

    def __init__(
        self,
        connection: Connection,
        schema: Schema,
        runs: Sequence[Run],
        comparison: Comparison,
        taken_at: datetime | None = None,
    ) -> None:
        self.connection, self.schema, self.comparison = connection, schema, comparison
        self.concepts = {resolved.table: concept for concept, resolved in schema.resolved.items()}
        self.entities = {
            schema.table_of(entity): entity for entity in ENTITIES if schema.has(CONCEPT_OF[entity])
        }
        self.plans = [
            entry
            for entry in entries(raw(connection))
            if taken_at is None or _utc(entry.applied_at) >= taken_at
        ]
        self.deleted_by_run: dict[tuple[str, str], str] = {}
        self._by_people: dict[tuple[str, str], set[Kind]] = defaultdict(set)
        self._logged: dict[str, Author] = {}
        self._read_new_entries()
        self.runs = [run for run in runs if run.mode == "live"]
        self.since = self._runs_since(taken_at)
        self._known: dict[tuple[str, Kind], dict[str, Author]] = {}

    def of(self, table: str, kind: Kind) -> Mapping[str, Author]:
        """Return the known authors of a table's rows of one kind of difference, by key."""
        if (table, kind) not in self._known:
            known = self._known[table, kind] = {}
            for keys in in_chunks(self.comparison.tables[table].rows[kind], _CHUNK):
                known |= self._by_evidence(table, kind, keys)
                for key, entry, _ in changed_by_plans(self.connection, self.plans, table, keys):
                    first = f"{known[key].who}, then " if key in known else ""
                    known[key] = Author(f"{first}{entry.applied_by} by plan {entry.plan}", _CERTAIN)
        return self._known[table, kind]

    def _read_new_entries(self) -> None:
        """Read the audit entries that the snapshot does not have."""
        readable = self.schema.has("audit.id", "audit.metadata", "audit.action")
        log = self.comparison.tables.get(self.schema.resolved["audit"].table) if readable else None
        self._has_log = log is not None
        tables = {entity: table for table, entity in self.entities.items()}
        for keys in in_chunks(log.rows["added"], _CHUNK) if log else ():
            entries = ask(self.connection, self.schema, _NEW, {"keys": list(keys)})
            for id, run, action, type, key, own in entries:
                self._logged[id] = Author(WORKBENCH if own else run or PERSON, _CERTAIN)
                if own or type is None or key is None or action not in _LOGGED_AS:
                    continue
                if not run:
                    self._by_people[tables.get(type, type), key].add(_LOGGED_AS[action])
                elif action == "DELETE":
                    self.deleted_by_run[tables.get(type, type), key] = run

    def _runs_since(self, taken_at: datetime | None) -> list[Run]:
        """Return the runs that logged or created something since the snapshot, or else began after it."""
        names = {author.who for author in self._logged.values()}
        unlogged = [run for run in self.runs if run.run not in names]
        for table, entity in self.entities.items():
            added = self.comparison.tables[table].rows["added"] if table in self.comparison.tables else []
            for keys in in_chunks(added, _CHUNK):
                for writes in writers(self.connection, self.schema, unlogged, (), entity, keys).values():
                    names |= {write.run.run for write in writes if write.action == "created"}
        for run in unlogged:
            # A run that logs its changes and logged nothing new is older; of other runs only the time can tell.
            logs = run.importer != "csv" and self._has_log and Trace.AUDIT in run.traces
            began = run.started or run.last_trace
            if taken_at is not None and began is not None and began >= taken_at and not logs:
                names.add(run.run)
        return [run for run in self.runs if run.run in names]

    def _by_evidence(self, table: str, kind: Kind, keys: Sequence[str]) -> dict[str, Author]:
        concept, known = self.concepts.get(table), dict[str, Author]()
        for key in keys:
            edits = self._by_people.get((table, key), set())
            if edits and (kind in edits or kind != "removed"):
                known[key] = Author(PERSON, _CERTAIN)
            elif kind == "removed" and (table, key) in self.deleted_by_run:
                known[key] = Author(self.deleted_by_run[table, key], _CERTAIN)
            elif kind == "added" and concept == "audit" and key in self._logged:
                known[key] = self._logged[key]
        if kind != "removed" and table in self.entities:
            known |= self._of_runs(self.entities[table], kind, keys)
        elif kind != "removed" and concept in ("mappings", "sync_state"):
            known |= self._of_marks(concept, keys)
        return known

    def _of_runs(self, entity: str, kind: Kind, keys: Sequence[str]) -> dict[str, Author]:
        """Find the runs that wrote some rows, in order; a later author is named after an earlier one."""
        known: dict[str, Author] = {}
        for key, writes in writers(self.connection, self.schema, self.since, self.runs, entity, keys).items():
            for write in writes:
                who, strength = write.run.run, write.strength
                # That the guide's importer changed a record it mapped shows only in the record's own time, which a
                # later change overwrites.
                if write.action == "mapped" and write.run.importer == "guide" and kind == "changed":
                    if not write.touched_since:
                        continue
                    who, strength = f"{who} or {write.touched_since}", Strength.weak
                elif write.action != _ACTION_OF[kind]:
                    continue
                elif write.by_people:
                    who = f"{who}, then {write.touched_since}"
                if key in known:
                    who = f"{known[key].who.split(', then ')[0]}, then {who}"
                known[key] = Author(who, strength.name)
        return known

    def _of_marks(self, concept: str, keys: Sequence[str]) -> dict[str, Author]:
        """Find the run that a mapping or sync state names, or the only one in whose time it was written."""
        by_time, known = defaultdict[str, list[str]](list), dict[str, Author]()
        for run in self.since:
            if concept == "mappings":
                pointers = written_mappings(self.connection, self.schema, run)
                marks = {key: pointer.strength for key, pointer in pointers.items()}
            else:
                states = sync_states(self.connection, self.schema, run)
                marks = {state.key: Strength.weak for state in states}
            for key in marks.keys() & keys:
                if marks[key] is Strength.weak:
                    by_time[key].append(run.run)
                else:
                    known[key] = Author(run.run, marks[key].name)
        # The time alone is weak evidence; together with the difference it is likely.
        likely = Strength.likely.name
        return {key: Author(runs[0], likely) for key, runs in by_time.items() if len(runs) == 1} | known


def story_of(
    connection: Connection, schema: Schema, runs: Sequence[Run], entity: str, key: str
) -> tuple[bool, pd.DataFrame]:
    """Return whether a record exists, and everything that is known to have happened to it, by time.

    Returns
    -------
    bool, pandas.DataFrame
        ``at`` (UTC, without zone), ``what``, ``who``, ``evidence``, and the values before (``was``) and after (``now``).
    """
    own = f"SELECT created_at, updated_at FROM {CONCEPT_OF[entity]} WHERE id::text = %(key)s"
    moments = ask(connection, schema, own, {"key": key}).fetchone()
    events = ask(connection, schema, _STORY, {"key": key, "entity": entity}).fetchall()
    logged = {who for _, _, who, *_ in events}
    for write in writers(connection, schema, runs, runs, entity, [key]).get(key, ()):
        if write.run.run not in logged:
            at = write.run.started or write.run.last_trace
            events.append((at, write.action, write.run.run, write.strength.name, None, None))
    applied = entries(raw(connection))
    for _, entry, section in changed_by_plans(connection, applied, schema.table_of(entity), [key]):
        who = f"{entry.applied_by} by plan {entry.plan}"
        events.append((_utc(entry.applied_at), _DONE[section.name], who, "journal", None, None))
    for at, what in zip(moments or (), ("created", "updated last"), strict=False):
        if at is not None:
            events.append((at, what, "", "its own time", None, None))
    story = pd.DataFrame(events, columns=["at", "what", "who", "evidence", "was", "now"])
    return moments is not None, story.sort_values("at", kind="stable", ignore_index=True)


def changed_by_plans(
    connection: Connection, applied: Sequence[Entry], table: str, keys: Sequence[str]
) -> Iterator[tuple[str, Entry, Section]]:
    """Yield the rows of a table that plans changed, by key, with the journal entry, in the order of the plans."""
    for entry in applied:
        for number, section in enumerate(entry.sections, 1):
            if section.table != table or len(section.key) != 1:
                continue
            moment = "before" if section.name == "delete" else "after"
            query = sql.SQL("SELECT i.{key}::text FROM {image} i WHERE i.{key}::text = ANY (%s)").format(
                key=sql.Identifier(section.key[0]), image=image(entry.id, number, moment)
            )
            for (key,) in raw(connection).execute(query, [list(keys)]):
                yield key, entry, section


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
