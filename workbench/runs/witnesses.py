"""Who knows of single values: the audit log and the run's own report say what it wrote, and what people changed after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import REGISTRATION
from workbench.runs.evidence import ask
from workbench.runs.three_way import UNKNOWN, Testimony, as_stored

# What the CSV importer's report calls a column, where that is not the column's own name.
_REPORTED = {"waMembershipLevel": "waMembershipLevelRaw"}
_STATUS_CODE = "membershipStatusCode"

_LOGGED = """
    SELECT resource_id::text, run_id, metadata, created_at, before FROM audit
    WHERE resource_type = %(entity)s AND resource_id::text = ANY(%(keys)s)
      AND (run_id = %(run)s OR (run_id IS NULL AND created_at > %(started)s::timestamp))
    ORDER BY created_at
"""


def testimonies(
    connection: Connection, schema: Schema, run: Run, entity: str, keys: Sequence[str]
) -> dict[str, Testimony]:
    """Ask the audit log and a run's report files about rows of one entity; return what is known of each, by its id."""
    known = {key: Testimony() for key in keys}
    resolved = schema.resolved
    columns = schema.catalogue.tables[schema.table_of(entity)].columns
    types = {name: column.type for name, column in columns.items()}
    statuses: dict[str, str] = {}
    if run.reports and schema.has("members.status_id", "statuses.code"):
        statuses = dict(ask(connection, schema, "SELECT code, id::text FROM statuses").fetchall())
    for report in run.reports:
        for record in report.records:
            if record.entity == entity and record.record_id in known:
                written = _named(record.fields, types)
                if _STATUS_CODE in record.fields and statuses:
                    status = statuses.get(str(record.fields[_STATUS_CODE]), UNKNOWN)
                    written[resolved["members"].spelling["status_id"]] = status
                known[record.record_id].written.update(written)
    values = {"entity": entity, "keys": list(keys), "run": run.run, "started": run.started}
    for key, by, metadata, at, before in ask(connection, schema, _LOGGED, values):
        each = known[key]
        facts = metadata if isinstance(metadata, dict) else {}
        if by is None and isinstance(before, dict):
            each.documented_until = at
            # The first change after the run tells what the run had left.
            each.before_edits = _named(before, types) | each.before_edits
        elif by is None:
            each.told_in_full = False  # somebody did something, and the log does not say to which column
        elif isinstance(facts.get("changes"), dict):
            each.complete = True
            each.written.update(_named(facts["changes"], types))
        if by is not None and entity == REGISTRATION and "newStatus" in facts:
            # Of a registration the sync logs the status alone, and may move its place on the waiting list too.
            status = resolved["registrations"].spelling.get("status", "status")
            each.written[status] = as_stored(facts["newStatus"], "text")
    return known


def _named(values: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """Return those values whose name, or an importer's word for it, is a column's, as the database has them."""
    named = {_REPORTED.get(name, name): value for name, value in values.items()}
    return {name: as_stored(value, types[name]) for name, value in named.items() if name in types}
