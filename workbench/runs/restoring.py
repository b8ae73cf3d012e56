"""With a snapshot from before a run: what the run updated goes back to what it was, column by column (guide §3).

A column is compared three ways: as the snapshot has it, as the run left it, and as it is now. The audit log and the run's
reports tell what the run left, and what people changed after it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal

import psycopg
from sqlalchemy import Connection

from workbench.errors import Refused, unknown
from workbench.murmurant.catalogue import CatalogueTable, read_catalogue
from workbench.murmurant.importers import Run, Strength
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, REGISTRATION
from workbench.plans import rows
from workbench.plans.rows import rows_by_key
from workbench.runs.evidence import TOLERANCE, ask
from workbench.runs.rollback import Rollback
from workbench.snapshots.compare import Snapshot

OnConflict = Literal["keep", "restore"]
"""What becomes of a column that both a run and somebody after it changed."""

UNKNOWN: Any = object()
"""Stands for a value that is not recorded anywhere; None is the database's NULL."""

Side = tuple[psycopg.Connection[Any], str]
"""A session that reads one of the two databases, and the schema of its tables."""

_CHUNK = 5_000  # whole rows of two databases, so fewer at a time than keys

_LABELS = "SELECT format_type(enumtypid, NULL), array_agg(enumlabel::text) FROM pg_enum GROUP BY 1"
_LOGGED = """
    SELECT resource_id::text, run_id, metadata, created_at, before FROM audit
    WHERE resource_type = %(entity)s AND resource_id::text = ANY(%(keys)s)
      AND (run_id = %(run)s OR (run_id IS NULL AND created_at > %(started)s::timestamp))
    ORDER BY created_at
"""
_ISO = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00:00)?$")


class Outcome(Enum):
    """What becomes of a column when the run is undone."""

    SAME = "as before"
    RESTORE = "goes back"
    KEPT = "a later change, kept"
    CONFLICT = "changed by the run and after it"


def decide(
    before: str | None, run: Any, now: str | None, *, changed_since: bool, run_lists_all: bool = False
) -> Outcome:
    """Decide what becomes of one column of a row that a run updated.

    Parameters
    ----------
    before, run, now : str or None
        The column's text in the snapshot, as the run left it (`UNKNOWN` if not recorded), and now.
    changed_since : bool
        Whether the row itself shows that somebody wrote to it after the run.
    run_lists_all : bool
        Whether the run listed every column that it changed, so that it did not change any other.
    """
    if now == before:
        return Outcome.SAME
    if run is UNKNOWN:
        if run_lists_all:  # then somebody else did, before the run or after it
            return Outcome.KEPT
        return Outcome.CONFLICT if changed_since else Outcome.RESTORE
    if now == run:
        return Outcome.RESTORE
    return Outcome.KEPT if run == before else Outcome.CONFLICT


def way_with_conflicts(word: str) -> OnConflict:
    """Return what was asked for; `UsageError` for another word."""
    ways: dict[str, OnConflict] = {"keep": "keep", "restore": "restore"}
    if word not in ways:
        raise unknown("way with conflicts", word, ways)
    return ways[word]


@dataclass
class Testimony:
    """What audit log and reports tell about one row.

    Attributes
    ----------
    written : dict of str to value
        Column to what the run wrote.
    complete : bool
        Whether the run listed every column that it changed.
    before_edits : dict of str to value
        Column that a person changed after the run to what it held before that.
    last_edit : datetime or None
        When the last change by a person was logged.
    edits_in_full : bool
        Whether every such entry says what was changed.
    updated_at : str or None
        When the row itself says that it was last written.
    """

    written: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    before_edits: dict[str, Any] = field(default_factory=dict)
    last_edit: datetime | None = None
    edits_in_full: bool = True
    updated_at: str | None = None

    def left(self, column: str, now: str | None) -> Any:
        """Return a column's value as the run left it, or `UNKNOWN`."""
        if self.written.get(column, UNKNOWN) is not UNKNOWN:
            return self.written[column]
        explained = False  # the log has all changes: nobody wrote to the row after the last logged edit
        if self.edits_in_full and self.last_edit and self.updated_at:
            explained = datetime.fromisoformat(self.updated_at) <= self.last_edit + TOLERANCE
        return self.before_edits.get(column, now if explained else UNKNOWN)


def testimonies(
    connection: Connection, schema: Schema, run: Run, entity: str, keys: Sequence[str]
) -> dict[str, Testimony]:
    """Return what audit log and the run's reports tell about rows of one entity, by their ids."""
    known = {key: Testimony() for key in keys}
    columns = schema.catalogue.tables[schema.table_of(entity)].columns
    statuses: dict[str, str] = {}
    if run.reports and schema.has("members.status_id", "statuses.code"):
        statuses = dict(ask(connection, schema, "SELECT code, id::text FROM statuses").fetchall())

    def stored(values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: as_stored(value, columns[name].type) for name, value in values.items() if name in columns
        }

    for report in run.reports:
        for record in report.records:
            if record.entity != entity or record.record_id not in known:
                continue
            fields = dict(record.fields)
            if "waMembershipLevel" in fields:  # what the CSV importer calls the column
                fields["waMembershipLevelRaw"] = fields.pop("waMembershipLevel")
            written = stored(fields)
            if statuses and (code := fields.get("membershipStatusCode")) is not None:
                written[schema.resolved["members"].spelling["status_id"]] = statuses.get(str(code), UNKNOWN)
            known[record.record_id].written |= written
    values = {"entity": entity, "keys": list(keys), "run": run.run, "started": run.started}
    for key, by, metadata, at, before in ask(connection, schema, _LOGGED, values):
        row, facts = known[key], metadata if isinstance(metadata, dict) else {}
        if by is None and isinstance(before, dict):
            row.last_edit = at
            row.before_edits = stored(before) | row.before_edits  # the first edit has what the run left
        elif by is None:
            row.edits_in_full = False
        elif isinstance(facts.get("changes"), dict):
            row.complete = True
            row.written |= stored(facts["changes"])
        if by is not None and entity == REGISTRATION and "newStatus" in facts:
            # Of a registration the sync logs only the status, though it may change the waiting list too.
            status = schema.resolved["registrations"].spelling.get("status", "status")
            row.written[status] = as_stored(facts["newStatus"], "text")
    return known


def as_stored(value: Any, column_type: str) -> Any:
    """Return a value from an importer's or the application's JSON as the database writes it as text.

    Parameters
    ----------
    column_type : str
        As PostgreSQL spells it. What cannot be compared safely is `UNKNOWN`.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str) or column_type.startswith(("json", "numeric", "double", "real")):
        return UNKNOWN
    if column_type.startswith("timestamp"):
        match = _ISO.match(value)
        if match is None:
            return UNKNOWN
        fraction = (match[3] or "").rstrip("0")
        return f"{match[1]} {match[2]}" + (f".{fraction}" if fraction else "")
    return value


class Restoration:
    """One run's updates, restored from one snapshot.

    Parameters
    ----------
    name : str
        What the snapshot is called.
    before : Side or None
        Where its rows are read, with times in UTC. A table that it lacks is as it is now; None stands for one without any.
    on_conflict : {"keep", "restore"}
        What becomes of a column that both the run and somebody after it changed.
    """

    def __init__(self, rollback: Rollback, name: str, before: Side | None, on_conflict: OnConflict) -> None:
        self.rollback, self.run, self.draft = rollback, rollback.run, rollback.draft
        self.schema, self.on_conflict, self.name, self.before = rollback.schema, on_conflict, name, before
        self.now: Side = self.draft.context.raw, self.schema.catalogue.schema
        self.then = read_catalogue(*before).tables if before else {}
        self.labels = dict(self.now[0].execute(_LABELS).fetchall())

    def bring_back(self, *, sync_state: bool) -> None:
        """Draft what goes back, the sync state too if asked for, and which mappings go; refuse a snapshot from after the run."""
        rollback = self.rollback
        for entity, (keys, _) in rollback.created.items():
            if present := self._present(self.schema.table_of(entity), keys):
                raise Refused(
                    f"{self.name} is not from before run {self.run.run}: it has {len(present):,} of the {entity} records that the"
                    f" run created, {min(present)} for one.",
                    "Give one that was taken before it began.",
                )
        updated = {entity: dict(changed) for entity, changed in rollback.updated.items()}
        for entity, key, _, changed_by in rollback.mapped:
            # Where a row's own time was the only evidence that the run changed it, a later change hides it.
            if changed_by and self.run.importer == "guide":
                updated.setdefault(entity, {})[key] = changed_by
        for entity, changed in sorted(updated.items()):
            self._restore(CONCEPT_OF[entity], changed, entity)
        self._restore_mappings()
        states = {state.key: state.by for state in rollback.states if state.written and not state.created}
        if sync_state and states:
            self._restore("sync_state", states)

    def _restore(self, concept: str, changed: Mapping[str, str], entity: str = "") -> None:
        """Decide which columns of rows that the run updated go back; `changed` names who wrote to each after it."""
        resolved, connection = self.schema.resolved[concept], self.rollback.connection
        table, bookkeeping = resolved.table, resolved.spelling.get("updated_at", "")
        described = rows.table_of(self.schema.catalogue, table)
        if self.before is None or table not in self.then:
            return
        names = self._columns_of_both(described)
        for chunk in rows.in_chunks(sorted(changed), _CHUNK):
            now = rows_by_key(*self.now, described, chunk, names)
            before = rows_by_key(*self.before, described, chunk, names)
            known = testimonies(connection, self.schema, self.run, entity, chunk) if entity else {}
            for key in now.keys() - before.keys():
                what = "updated by the run, and not in the snapshot"
                self.draft.unresolved(table, key, what, "an older snapshot, or the run that created it")
            going: dict[str, dict[str, str | None]] = {}
            for key in now.keys() & before.keys():
                was, values, by = before[key].values, now[key].values, changed[key]
                testimony = known.get(key, Testimony())
                testimony.updated_at = values.get(bookkeeping)
                going[key] = {
                    name: was[name]
                    for name in sorted(was.keys() & values.keys() - {bookkeeping})
                    if self._goes_back(described, key, name, was[name], values, testimony, by)
                }
                if bookkeeping in was and not by:
                    going[key][bookkeeping] = was[bookkeeping]
            self.draft.update(table, going)

    def _goes_back(
        self,
        described: CatalogueTable,
        key: str,
        name: str,
        was: Any,
        values: Any,
        testimony: Testimony,
        by: str,
    ) -> bool:
        """Whether a column goes back to what it was; list it where it does not, or somebody else wrote it too."""
        table, now = described.name, values[name]
        if was == now:
            return False
        left = testimony.left(name, now)
        outcome = decide(was, left, now, changed_since=bool(by), run_lists_all=testimony.complete)
        if outcome is Outcome.KEPT:
            self.draft.keep(table, key, f"{name} was changed by {by or 'somebody'}, not by the run")
            return False
        if outcome is Outcome.CONFLICT:
            why = f"{by or 'somebody'} changed it after the run"
            if left is UNKNOWN:
                left, why = "not known", f"the run or {by} changed it: which is not known"
            self.draft.conflict(table, key, name, was, left, now, f"{why}; {self.on_conflict}")
            if self.on_conflict == "keep":
                return False
        column = described.columns[name]
        valid = column.nullable if was is None else was in self.labels.get(column.type, (was,))
        if not valid:
            what = f"{name} was {was or 'empty'} before the run, which the column does not accept any more"
            how = "a migration that allows it, or a value by hand"
            self.draft.unresolved(table, key, what, how)
        return valid

    def _columns_of_both(self, described: CatalogueTable) -> list[str]:
        """Return the columns that are the same in the snapshot, and note those that are not."""
        then = self.then[described.name].columns
        now = {name: column for name, column in described.columns.items() if not column.generated}
        alike = [name for name, column in now.items() if name in then and then[name].type == column.type]
        gone = [name for name in then if name not in described.columns or (name in now and name not in alike)]
        if gone:
            self.draft.note(
                f"{described.name} had the columns {', '.join(map(repr, gone))} in the snapshot, which were dropped, renamed or"
                " given another type since. What the run did to them is not undone."
            )
        return alike

    def _restore_mappings(self) -> None:
        """Restore the mappings that existed; those that did not go with the run, whatever record they lead to."""
        rollback, written = self.rollback, self.rollback.written
        if not written:
            return
        table = self.schema.resolved["mappings"].table
        present = self._present(table, rollback.own.union(written))
        self._restore("mappings", {key: row.by for key, row in written.items() if key in present})
        rollback.redirected = {
            key for key in rollback.own & present if key in written and not written[key].by
        }
        new = written.keys() - present - rollback.own
        rollback.own -= present
        mapped = defaultdict[tuple[str, str], set[str]](set)
        for key in new:
            row = written[key]
            # The time alone is weak; that it did not exist before the run makes it likely.
            strength = max(row.strength, Strength.likely)
            if row.by:
                self.draft.keep(table, key, f"created by the run, but {row.by} changed it since")
            elif rollback.leads_to_kept(key):
                continue
            elif strength < rollback.min_evidence:
                what = f"mapping of {row.entity} {row.wa_id}, new since the snapshot; only its time ties it to the run"
                rollback.leave_weak(table, key, what, f"--min-evidence {strength.name}")
            else:
                rollback.own.add(key)
                mapped[row.entity, row.target].add(row.wa_id)
        own = {(entity, key) for entity, (keys, _) in rollback.created.items() for key in keys if mapped}
        own |= {(entity, key) for entity, changed in rollback.updated.items() for key in changed}
        for entity, key in mapped.keys() - own:
            rollback.keep_mapped(entity, key, ", ".join(sorted(mapped[entity, key])))

    def refuse_another_database(self, snapshot: Snapshot) -> None:
        """Refuse a snapshot that has none of the records that existed before the run, unless this database logged it."""
        rollback, manifest = self.rollback, snapshot.manifest
        before = defaultdict[str, set[str]](set)
        for entity, changed in rollback.updated.items():
            before[entity] |= changed.keys()
        for entity, key, *_ in rollback.mapped:
            before[entity].add(key)
        created = {entity: set(keys) for entity, (keys, _) in rollback.created.items()}
        for row in rollback.written.values():
            if row.entity in ENTITIES and row.target not in created.get(row.entity, ()):
                before[row.entity].add(row.target)
        known = any(
            self._present(self.schema.table_of(entity), keys)
            for entity, keys in before.items()
            if self.schema.has(CONCEPT_OF[entity])
        )
        if not known and snapshot.sha256:
            logged = "SELECT 1 FROM audit WHERE metadata ->> 'sha256' = %(sha256)s LIMIT 1"
            known = bool(
                ask(rollback.connection, self.schema, logged, {"sha256": snapshot.sha256}).fetchone()
            )
        server = self.draft.context.target.system_identifier
        elsewhere = manifest is not None and manifest.target.system_identifier != server
        if not known and (
            any(before.values()) or elsewhere
        ):  # the club may have moved to another server since
            raise Refused(
                f"{self.name} (of database {snapshot.taken_from!r}) is of another database: it has none of the records"
                " that existed before the run.",
                "Give one of this database, from just before the run.",
            )

    def _present(self, table: str, keys: Collection[str]) -> set[str]:
        """Return which rows the snapshot has."""
        if self.before is None or table not in self.then:
            return set(keys)
        described = rows.table_of(self.schema.catalogue, table)
        chunks = rows.in_chunks(sorted(keys))
        return {key for chunk in chunks for key in rows_by_key(*self.before, described, chunk, ())}
