"""Who knows of single values: the audit log and the run's own report say what it wrote, and what people changed after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, null, or_, select
from sqlalchemy.dialects.postgresql import TIMESTAMP

from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, as_text, entity_of, is_one_of
from workbench.murmurant.spellings import CONCEPT_OF, REGISTRATION
from workbench.runs.three_way import UNKNOWN, Testimony, Value, as_stored

# What the CSV importer's report calls a column, where that is not the column's own name.
_REPORTED = {"waMembershipLevel": "waMembershipLevelRaw"}
_STATUS_CODE = "membershipStatusCode"


class Witnesses:
    """Asks the audit log and the run's report files about rows of one entity."""

    def __init__(self, connection: Connection, schema: Schema, run: Run, entity: str) -> None:
        self.connection = connection
        self.schema = schema
        self.run = run
        self.entity = entity
        found = schema.catalogue.tables[schema.table_of(entity)]
        self.types = {name: column.type for name, column in found.columns.items()}
        self._reported: dict[str, dict[str, Any]] = {
            each.record_id: each.fields
            for report in run.reports
            for each in report.records
            if each.entity == entity and each.record_id is not None
        }
        self._statuses: dict[str, str] | None = None

    def ask(self, keys: Sequence[str]) -> dict[str, Testimony]:
        """Return what is known of some rows, by their ids."""
        found = {key: Testimony() for key in keys}
        for key in keys:
            if key in self._reported:
                found[key].written.update(self._from_report(self._reported[key]))
        needed = ("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.created_at")
        if self.schema.has(*needed):
            self._from_audit(found)
        return found

    def _from_audit(self, found: dict[str, Testimony]) -> None:
        audit = self.schema.audit
        before: Any = audit.c.before if self.schema.has("audit.before") else null()
        owner = self.schema.audit_run
        rows = self.connection.execute(
            select(
                as_text(audit.c.resource_id).label("key"),
                owner.label("run"),
                audit.c.metadata,
                audit.c.created_at,
                before.label("before"),
            )
            .where(
                is_one_of(audit.c.resource_id, found),
                entity_of(audit.c.resource_type) == self.entity,
                or_(
                    owner == self.run.run,
                    owner.is_(None)
                    & (audit.c.created_at > bindparam("since", self.run.started, type_=TIMESTAMP())),
                ),
            )
            .order_by(audit.c.created_at)
        )
        for row in rows:
            each = found[row.key]
            if row.run is None:
                if not isinstance(row.before, dict):
                    each.told_in_full = (
                        False  # somebody did something, and the log does not say to which column
                    )
                    continue
                each.documented_until = row.created_at
                for name, value in row.before.items():
                    if name in self.types:  # the first change after the run tells what the run had left
                        each.before_edits.setdefault(name, as_stored(value, self.types[name]))
                continue
            facts = row.metadata if isinstance(row.metadata, dict) else {}
            changes = facts.get("changes")
            if isinstance(changes, dict):
                each.complete = True
                each.written.update(
                    {
                        name: as_stored(value, self.types[name])
                        for name, value in changes.items()
                        if name in self.types
                    }
                )
            if self.entity == REGISTRATION and "newStatus" in facts:
                # Of a registration the sync logs the status alone, and may move its place on the waiting list too.
                status = self.schema.resolved[CONCEPT_OF[REGISTRATION]].spelling.get("status", "status")
                each.written[status] = as_stored(facts["newStatus"], "text")

    def _from_report(self, fields: dict[str, Any]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name, value in fields.items():
            column = _REPORTED.get(name, name)
            if column in self.types:
                found[column] = as_stored(value, self.types[column])
            elif name == _STATUS_CODE and self.schema.has("members.status_id", "statuses.code"):
                status = self.schema.resolved["members"].spelling["status_id"]
                found[status] = self._status_ids().get(str(value), UNKNOWN)
        return found

    def _status_ids(self) -> dict[str, str]:
        if self._statuses is None:
            statuses = self.schema.statuses
            rows = self.connection.execute(select(statuses.c.code, as_text(statuses.c.id)))
            self._statuses = {str(code): str(key) for code, key in rows}
        return self._statuses
