"""Who did what differs: which run, or people, by the evidence, and how strong that is.

Evidence counts only where it is itself newer than the snapshot: an audit row that the snapshot has not, a
record that it has not. So no two clocks need to agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pandas as pd
from psycopg import sql
from sqlalchemy import ColumnElement, Connection, String, cast, func, null, select

from workbench.database.connection import raw
from workbench.history.differences import Comparison, Kind
from workbench.murmurant.importers import STRENGTH, Run, Strength, Trace
from workbench.murmurant.schema import Schema, as_text, entity_of, is_one_of, named
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.journal import Entry, entries, image
from workbench.plans.plan import Section
from workbench.plans.rows import among, in_chunks
from workbench.runs.evidence import writers
from workbench.runs.written import sync_states, written_mappings

PERSON, UNKNOWN, WORKBENCH = "a person", "unknown", "the workbench"

_CHUNK = 200_000
_ACTION_OF: dict[Kind, str] = {"added": "created", "changed": "updated", "removed": "deleted"}
_LOGGED_AS: dict[str, Kind] = {"CREATE": "added", "UPDATE": "changed", "DELETE": "removed"}


class Author(NamedTuple):
    """Who did something, and how strong the evidence for that is: a `Strength` by name, or ``none``."""

    who: str
    evidence: str


NOBODY_KNOWN = Author(UNKNOWN, "none")


class Authors:
    """Asks the database's own evidence who did what differs.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To the live database, in a reading transaction.
    runs : sequence of Run
        Every run that is known, by start.
    comparison : Comparison
        What differs; its audit log is among the tables.
    taken_at : datetime or None
        When the snapshot was taken (UTC, without zone): only where nothing else tells a run from before it.

    Attributes
    ----------
    since : list of Run
        The runs that wrote since the snapshot, by start.
    deleted_by_run : dict of (str, str) to str
        Table and key of what a run's audit entries say that it deleted.
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
            if taken_at is None or entry.applied_at.astimezone(UTC).replace(tzinfo=None) >= taken_at
        ]
        self.deleted_by_run: dict[tuple[str, str], str] = {}
        self._by_people: dict[tuple[str, str], set[Kind]] = defaultdict(set)
        logged = self._read_new_entries()
        self.runs = [run for run in runs if run.mode == "live"]
        self.since = self._those_since(logged, taken_at)
        self._known: dict[tuple[str, Kind], dict[str, Author]] = {}

    def of(self, table: str, kind: Kind) -> Mapping[str, Author]:
        """Return who did it, for those rows of a table that differ in one way of which that is known."""
        if (table, kind) not in self._known:
            known = self._known[table, kind] = {}
            for keys in in_chunks(self.comparison.tables[table].rows[kind], _CHUNK):
                known |= self._by_evidence(table, kind, keys)
                for key, entry, _ in changed_by_plans(self.connection, self.plans, table, keys):
                    who = f"{entry.applied_by} by plan {entry.plan}"
                    said = f"{known[key].who}, then {who}" if key in known else who
                    known[key] = Author(said, Strength.certain.name)
        return self._known[table, kind]

    def _read_new_entries(self) -> set[str]:
        """Read what the audit log says that the snapshot's does not yet; return the runs that wrote entries."""
        schema, runs = self.schema, set[str]()
        readable = schema.has("audit.id", "audit.metadata", "audit.action")
        log = self.comparison.tables.get(schema.resolved["audit"].table) if readable else None
        self._has_log = log is not None
        if log is None:
            return runs
        audit = schema.audit
        subject: list[ColumnElement[Any]] = [cast(null(), String)] * 2
        if schema.has("audit.resource_type", "audit.resource_id"):
            subject = [entity_of(audit.c.resource_type), as_text(audit.c.resource_id)]
        tables = {entity: table for table, entity in self.entities.items()}
        own = func.coalesce(audit.c.metadata["source"].astext, "").like("workbench%")
        columns = [schema.audit_run, cast(audit.c.action, String), *subject]
        for run, action, type, key in self._rows(audit.c.id, log.rows["added"], *columns, where=~own):
            if run:
                runs.add(run)
            if type is None or key is None or action not in _LOGGED_AS:
                continue
            if not run:
                self._by_people[tables.get(type, type), key].add(_LOGGED_AS[action])
            elif action == "DELETE":
                self.deleted_by_run[tables.get(type, type), key] = run
        return runs

    def _those_since(self, logged: set[str], taken_at: datetime | None) -> list[Run]:
        unlogged = [run for run in self.runs if run.run not in logged]
        made = {
            wrote.run.run
            for table, entity in self.entities.items()
            if table in self.comparison.tables
            for keys in in_chunks(self.comparison.tables[table].rows["added"], _CHUNK)
            for of_record in writers(self.connection, self.schema, unlogged, (), entity, keys).values()
            for wrote in of_record
            if wrote.action == "created"
        }

        def ran_since(run: Run) -> bool:
            if run.run in logged | made:
                return True
            # A run that logs what it does, and logged nothing new, ran before; of others only their time can tell.
            if run.importer != "csv" and self._has_log and Trace.AUDIT in run.traces:
                return False
            began = run.started or run.last_trace
            return taken_at is not None and began is not None and began >= taken_at

        return [run for run in self.runs if ran_since(run)]

    def _rows(
        self,
        key: ColumnElement[Any],
        keys: Sequence[str],
        *columns: ColumnElement[Any],
        where: ColumnElement[bool] | None = None,
    ) -> Iterator[Sequence[Any]]:
        """Yield columns of the rows whose key is one of some."""
        for chunk in in_chunks(keys, _CHUNK):
            query = select(*columns).where(as_text(key).in_(among(chunk)))
            yield from self.connection.execute(query if where is None else query.where(where))

    def _by_evidence(self, table: str, kind: Kind, keys: Sequence[str]) -> dict[str, Author]:
        logged = STRENGTH[Trace.AUDIT].name
        known = {}
        for key in keys:
            done = self._by_people.get((table, key))
            if done and (kind in done or kind != "removed"):
                known[key] = Author(PERSON, logged)
            elif kind == "removed" and (table, key) in self.deleted_by_run:
                known[key] = Author(self.deleted_by_run[table, key], logged)
        if kind == "removed":
            return known
        concept = self.concepts.get(table)
        if table in self.entities:
            known |= self._of_runs(self.entities[table], kind, keys)
        elif concept == "audit":
            audit = self.schema.audit
            own = func.coalesce(audit.c.metadata["source"].astext, "").like("workbench%")
            for key, run, ours in self._rows(
                audit.c.id, keys, as_text(audit.c.id), self.schema.audit_run, own
            ):
                known[key] = Author(WORKBENCH if ours else run or PERSON, Strength.certain.name)
        elif concept in ("mappings", "sync_state"):
            known |= self._of_marks(concept, keys)
        return known

    def _of_runs(self, entity: str, kind: Kind, keys: Sequence[str]) -> dict[str, Author]:
        """Ask each run since the snapshot, in order; who wrote later is named after it."""
        known: dict[str, Author] = {}
        for key, wrote in writers(self.connection, self.schema, self.since, self.runs, entity, keys).items():
            for by in wrote:
                who, strength = by.run.run, by.strength
                # Of a record that the guide's importer mapped, its own time alone tells that it was changed too; a
                # later change hides that.
                if by.action == "mapped" and by.run.importer == "guide" and kind == "changed":
                    if not by.touched_since:
                        continue
                    who, strength = f"{who} or {by.touched_since}", Strength.weak
                elif by.action != _ACTION_OF[kind]:
                    continue
                elif by.by_people:
                    who = f"{who}, then {by.touched_since}"
                if key in known:
                    who = f"{known[key].who.split(', then ')[0]}, then {who}"
                known[key] = Author(who, strength.name)
        return known

    def _of_marks(self, concept: str, keys: Sequence[str]) -> dict[str, Author]:
        """Tell of mappings and sync states which run they name; or in the time of which one alone they were written."""
        wanted, by_time, known = set(keys), defaultdict[str, list[str]](list), dict[str, Author]()
        for run in self.since:
            marks = (
                {
                    key: each.strength
                    for key, each in written_mappings(self.connection, self.schema, run).items()
                }
                if concept == "mappings"
                else {each.key: Strength.weak for each in sync_states(self.connection, self.schema, run)}
            )
            for key in wanted & marks.keys():
                if marks[key] is Strength.weak:
                    by_time[key].append(run.run)
                else:
                    known[key] = Author(run.run, marks[key].name)
        # Its time alone is weak; that the snapshot has it otherwise or not at all makes it likely.
        alone = {
            key: Author(runs[0], Strength.likely.name) for key, runs in by_time.items() if len(runs) == 1
        }
        return alone | known


_DONE = {"insert": "inserted", "update": "updated", "delete": "deleted"}


def story_of(
    connection: Connection, schema: Schema, runs: Sequence[Run], entity: str, key: str
) -> tuple[bool, pd.DataFrame]:
    """Tell whether a record is there, and all that is known to have happened to it, by time.

    Returns
    -------
    bool, pandas.DataFrame
        ``at`` (UTC, without zone), ``what``, ``who``, ``evidence``, and what the entry says that it ``was`` and became ``now``.
    """
    table = schema.entity(entity)
    moments = named(table, "created_at", "updated_at")
    own = (
        connection.execute(select(table.c.id, *moments).where(is_one_of(table.c.id, [key])))
        .mappings()
        .first()
    )
    told = list(_logged(connection, schema, entity, key))
    logged = {who for _, _, who, *_ in told}
    for wrote in writers(connection, schema, runs, runs, entity, [key]).get(key, ()):
        if wrote.run.run not in logged:
            at = wrote.run.started or wrote.run.last_trace
            told.append((at, wrote.action, wrote.run.run, wrote.strength.name, None, None))
    for _, entry, section in changed_by_plans(
        connection, entries(raw(connection)), schema.table_of(entity), [key]
    ):
        at, who = (
            entry.applied_at.astimezone(UTC).replace(tzinfo=None),
            f"{entry.applied_by} by plan {entry.plan}",
        )
        told.append((at, _DONE[section.name], who, "journal", None, None))
    for name, what in (("created_at", "created"), ("updated_at", "updated last")):
        if own and own.get(name) is not None:
            told.append((own[name], what, "", "its own time", None, None))
    frame = pd.DataFrame(told, columns=["at", "what", "who", "evidence", "was", "now"])
    return own is not None, frame.sort_values("at", kind="stable", ignore_index=True)


def changed_by_plans(
    connection: Connection, applied: Sequence[Entry], table: str, keys: Sequence[str]
) -> Iterator[tuple[str, Entry, Section]]:
    """Yield the rows of a table that plans changed, by key, each with the entry of the journal, in the order of the plans."""
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


def _logged(connection: Connection, schema: Schema, entity: str, key: str) -> Iterator[tuple[Any, ...]]:
    """Yield what the audit log says of a record: by a run, else by whoever the entry names."""
    if not schema.has("audit.resource_type", "audit.resource_id", "audit.metadata", "audit.created_at"):
        return
    audit = schema.audit
    action, run = cast(audit.c.action, String).label("action"), schema.audit_run.label("run")
    columns = [action, run, *named(audit, "created_at", "member_id", "before", "after", "metadata")]
    about = is_one_of(audit.c.resource_id, [key]), entity_of(audit.c.resource_type) == entity
    query = select(*columns).where(*about).order_by(audit.c.created_at)
    for row in connection.execute(query).mappings():
        metadata = row["metadata"] if isinstance(row["metadata"], dict) else {}
        what = str(metadata.get("migrationAction") or row["action"]).lower()
        member = f"member {row['member_id']}" if row.get("member_id") else ""
        who = str(row["run"] or metadata.get("operator") or member or "somebody")
        yield row["created_at"], what, who, "audit entry", row.get("before"), row.get("after")
