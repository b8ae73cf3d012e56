"""A row three ways, column by column: as a snapshot had it, as a run left it, and as it is now.

What the run left in a column, and what people changed after it, the audit log and the run's own reports tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal

from sqlalchemy import Connection

from workbench.errors import unknown
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import REGISTRATION
from workbench.runs.evidence import TOLERANCE, ask

OnConflict = Literal["keep", "restore"]
"""What becomes of a column that both a run and somebody after it changed."""


UNKNOWN: Any = object()
"""What stands for a value that nobody wrote down; None is a value, the database's NULL."""

# What the CSV importer's report calls a column, where that is not the column's own name.
_REPORTED = {"waMembershipLevel": "waMembershipLevelRaw"}
_STATUS_CODE = "membershipStatusCode"

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


@dataclass
class Testimony:
    """What is known of one row's values.

    Attributes
    ----------
    written : dict of str to value
        Column to what the run wrote into it.
    complete : bool
        Whether the run listed every column that it changed.
    before_edits : dict of str to value
        Column that a person changed after the run to what it held before that.
    last_edit : datetime or None
        When the last change by a person was logged.
    edits_in_full : bool
        Whether each such entry says what it changed.
    """

    written: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    before_edits: dict[str, Any] = field(default_factory=dict)
    last_edit: datetime | None = None
    edits_in_full: bool = True

    def left(self, column: str, now: str | None, updated_at: datetime | None) -> Any:
        """Return a column's value as the run left it, or `UNKNOWN`."""
        written = self.written.get(column, UNKNOWN)
        if written is not UNKNOWN:
            return written
        explained = (
            False  # nobody wrote to the row after the last logged edit: the log tells all that changed
        )
        if self.edits_in_full and self.last_edit and updated_at:
            explained = updated_at <= self.last_edit + TOLERANCE
        return self.before_edits.get(column, now if explained else UNKNOWN)


def judge(
    before: Mapping[str, str | None],
    now: Mapping[str, str | None],
    testimony: Testimony,
    by: str,
    bookkeeping: str,
) -> Iterator[tuple[str, Outcome, Any]]:
    """Yield, in order of their names, the columns in which a row differs, what becomes of each, and what the run left in it.

    Parameters
    ----------
    before, now : mapping of str to str or None
        The row's columns as text; those that both have are compared.
    testimony : Testimony
        What is known of what the run wrote.
    by : str
        Who wrote to the row after the run; empty for nobody.
    bookkeeping : str
        The column that says when the row was last written, which is not compared; empty where there is none.
    """
    written = now.get(bookkeeping)
    updated_at = datetime.fromisoformat(written) if written else None
    for column in sorted(before.keys() & now.keys() - {bookkeeping}):
        was, value = before[column], now[column]
        if was != value:
            left = testimony.left(column, value, updated_at)
            complete = testimony.complete
            yield column, decide(was, left, value, touched=bool(by), run_wrote_all_it_says=complete), left


def decide(
    before: str | None, run: Any, now: str | None, *, touched: bool, run_wrote_all_it_says: bool = False
) -> Outcome:
    """Decide what becomes of one column of a row that a run updated.

    Parameters
    ----------
    before, run, now : str or None
        The column's text as the snapshot had it, as the run left it (`UNKNOWN` where no evidence
        says so) and as it is.
    touched : bool
        Whether the row itself says that somebody wrote to it after the run. A value that the run is
        known to have left otherwise says so too.
    run_wrote_all_it_says : bool
        Whether the run listed every column that it changed, so that one it does not list is not its.
    """
    if now == before:
        return Outcome.SAME
    if run is UNKNOWN:
        if run_wrote_all_it_says:  # then somebody else did, before the run or after it
            return Outcome.KEPT
        return Outcome.CONFLICT if touched else Outcome.RESTORE
    if now == run:
        return Outcome.RESTORE
    return Outcome.KEPT if run == before else Outcome.CONFLICT


def way_with_conflicts(word: str) -> OnConflict:
    """Take what was asked for; `UsageError` for a word that means nothing here."""
    ways: dict[str, OnConflict] = {"keep": "keep", "restore": "restore"}
    if word not in ways:
        raise unknown("way with conflicts", word, ways)
    return ways[word]


def testimonies(
    connection: Connection, schema: Schema, run: Run, entity: str, keys: Sequence[str]
) -> dict[str, Testimony]:
    """Ask the audit log and a run's report files about rows of one entity; return what is known of each, by its id."""
    known = {key: Testimony() for key in keys}
    columns = schema.catalogue.tables[schema.table_of(entity)].columns
    statuses: dict[str, str] = {}
    if run.reports and schema.has("members.status_id", "statuses.code"):
        statuses = dict(ask(connection, schema, "SELECT code, id::text FROM statuses").fetchall())

    def stored(values: Mapping[str, Any]) -> dict[str, Any]:
        named = {_REPORTED.get(name, name): value for name, value in values.items()}
        return {
            name: as_stored(value, columns[name].type) for name, value in named.items() if name in columns
        }

    for report in run.reports:
        for record in report.records:
            if record.entity != entity or record.record_id not in known:
                continue
            written = stored(record.fields)
            if statuses and (code := record.fields.get(_STATUS_CODE)) is not None:
                written[schema.resolved["members"].spelling["status_id"]] = statuses.get(str(code), UNKNOWN)
            known[record.record_id].written |= written
    values = {"entity": entity, "keys": list(keys), "run": run.run, "started": run.started}
    for key, by, metadata, at, before in ask(connection, schema, _LOGGED, values):
        row, facts = known[key], metadata if isinstance(metadata, dict) else {}
        if by is None and isinstance(before, dict):
            row.last_edit = at
            # The first change after the run tells what the run had left.
            row.before_edits = stored(before) | row.before_edits
        elif by is None:
            row.edits_in_full = False  # somebody did something, and the log does not say to which column
        elif isinstance(facts.get("changes"), dict):
            row.complete = True
            row.written |= stored(facts["changes"])
        if by is not None and entity == REGISTRATION and "newStatus" in facts:
            # Of a registration the sync logs the status alone, and may move its place on the waiting list too.
            status = schema.resolved["registrations"].spelling.get("status", "status")
            row.written[status] = as_stored(facts["newStatus"], "text")
    return known


def as_stored(value: Any, column_type: str) -> Any:
    """Return a value from an importer's or the application's JSON as the database writes it.

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
