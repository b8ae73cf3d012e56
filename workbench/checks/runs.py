"""Checks of runs: records that are missing or were left out (guide §1.1, §2.4), another configuration than reviewed (§1.6)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import PurePath
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from workbench.checks.look import Look, NotRunError, made_up
from workbench.checks.registry import Rows
from workbench.database.address import redact
from workbench.database.connection import cached_per_connection, raw
from workbench.database.environment import kinds_in
from workbench.mappings.queries import fetch
from workbench.murmurant.canonical import Canonical
from workbench.murmurant.importers import Run
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION
from workbench.runs.discovery import rehearsals
from workbench.runs.omissions import (
    lost_of,
    not_refreshed,
    omissions_frame,
    open_omissions,
    reported_omissions,
    warned_of,
)


def members_missing(look: Look) -> Rows:
    return _missing(look, MEMBER)


def records_missing(look: Look) -> Rows:
    return _missing(look, EVENT) + _missing(look, REGISTRATION)


def records_left_out(look: Look) -> pd.DataFrame:
    look.require_runs()
    live = [run for run in look.live if not run.rolled_back]
    left_out = open_omissions(look.connection, look.schema, look.runs)
    unknown = []
    for run in {run.importer: run for run in live if run.sync != "incremental"}.values():
        if not run.reported:
            unknown.append(f"{run.run} has no report here")
        unknown += [
            f"{run.run} skipped {cells['skipped']:,} {CONCEPT_OF[entity]}"
            for entity, cells in run.reported.items()
            if cells.get("skipped")
        ]
        stale = not_refreshed(look.connection, look.schema, run)
        left_out += [row for row in stale if run.short.get(row.entity)]
        if names := [row.name for row in stale if not run.short.get(row.entity)]:
            unknown.append(f"it did not refresh {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}")
    if unknown and not left_out:
        raise NotRunError(
            f"What an import left out is not known: {', '.join(unknown)}. Give its report with --import-report."
        )
    return omissions_frame(left_out).drop(columns="since")


def _missing(look: Look, entity: str) -> Rows:
    """Compare, for each run, the records that it created with those that exist or were removed by a plan."""
    look.require_runs()
    live = [run for run in look.live if not run.rolled_back]
    counts = _gone(look.connection, look.canonical)
    rows: Rows = []
    for run in live:
        reported = run.reported.get(entity, {})
        created = reported.get("created", 0)
        traced = run.traced.get(entity, {}).get("created", 0) + counts.get(("taken", entity, run.run), 0)
        missing, evidence = counts.get(("gone", entity, run.run), 0), ["audit rows"]
        report = max(run.reports, key=lambda report: len(report.records), default=None)
        ids = [
            record.record_id
            for record in (report.records if report else ())
            if record.entity == entity and record.action == "created" and record.record_id
        ]
        if ids:
            missing, evidence = _not_there(look, entity, ids), ["records in its report"]
        elif (
            created > traced
        ):  # the importer counted more than has traces: records are gone with their traces
            missing, evidence = missing + created - traced, ["its own count"]
        unhandled = run.fetched.get(entity, 0) - sum(reported.values()) - run.errors.get(entity, 0)
        if reported and unhandled > 0:
            missing += unhandled
            evidence.append("records fetched but not processed")
        lost, why = 0, ""
        if run.status != "completed" and not made_up(run, look.runs):
            lost, why = _fetched_too_little(run, entity)
        if why:
            evidence = [*evidence, why] if missing else [why]
        if not missing and not why:
            continue
        missing += lost
        rows.append(
            {
                "key": run.run,
                "entity": entity,
                "missing": missing or None,
                "created": max(created, traced),
                "fetched": run.fetched.get(entity),
                "evidence": ", ".join(evidence),
            }
        )
    return rows


def _fetched_too_little(run: Run, entity: str) -> tuple[int, str]:
    """Return how many more records a run should have brought, as far as this is known, and the evidence."""
    if lost := lost_of(run, entity):
        return lost, "records fetched and left out"
    words = " ".join(filter(None, (run.short.get(entity), warned_of(run, entity))))
    named = sum(row.entity == entity and row.wa_id is not None for row in reported_omissions(run))
    if entity == MEMBER and named and not words and (count := lost_of(run, REGISTRATION)):
        words = f"{count:,} of {run.fetched[REGISTRATION]:,} registrations were left out"
    if not words or not named:
        return 0, words
    return named, f"{words.rstrip('.')}; of those that are missing {named:,} are known by their WA id"


# By entity and run: its records that a plan removed, and those with a CREATE audit row that are gone although no person
# and no plan deleted them. Only these few audit rows are read completely.
_GONE = """
WITH gone AS MATERIALIZED (
  SELECT id, 'Member' AS entity, resource_id FROM audit
  WHERE spelled = 'CREATE' AND spelled_type = 'Member'
    AND NOT EXISTS (SELECT FROM members WHERE members.id = resource_id)
  UNION ALL
  SELECT id, 'Event', resource_id FROM audit
  WHERE spelled = 'CREATE' AND spelled_type = 'Event'
    AND NOT EXISTS (SELECT FROM events WHERE events.id = resource_id)
  UNION ALL
  SELECT id, 'Registration', resource_id FROM audit
  WHERE spelled = 'CREATE' AND spelled_type IN ('Registration', 'EventRegistration')
    AND NOT EXISTS (SELECT FROM registrations WHERE registrations.id = resource_id)
)
SELECT 'taken' AS what, entity, run, count(DISTINCT record_id) FROM taken
WHERE run IS NOT NULL
  AND NOT EXISTS (SELECT FROM members WHERE entity = 'Member' AND members.id::text = record_id)
  AND NOT EXISTS (SELECT FROM events WHERE entity = 'Event' AND events.id::text = record_id)
  AND NOT EXISTS (SELECT FROM registrations WHERE entity = 'Registration' AND registrations.id::text = record_id)
GROUP BY entity, run
UNION ALL
SELECT 'gone', entity, run_id, count(DISTINCT gone.resource_id) FROM audit JOIN gone USING (id)
WHERE run_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM taken WHERE taken.entity = gone.entity AND record_id = gone.resource_id::text)
  AND NOT EXISTS (SELECT FROM audit AS del WHERE del.resource_id = gone.resource_id AND del.spelled = 'DELETE')
GROUP BY entity, run_id
"""

_NOT_THERE = """
SELECT count(*) FROM unnest(%(ids)s::text[]) AS named(id)
WHERE NOT EXISTS (SELECT FROM {relation} AS record WHERE record.id::text = named.id)
  AND NOT EXISTS (SELECT FROM taken WHERE entity = %(entity)s AND record_id = named.id)
  AND NOT EXISTS (SELECT FROM audit WHERE resource_id::text = named.id AND spelled = 'DELETE')
"""


@cached_per_connection
def _gone(connection: Connection, canonical: Canonical) -> dict[tuple[str, str, str], int]:
    """Count the records that are gone, by whether a plan took them (``taken``, ``gone``), entity and run."""
    session = raw(connection)
    # The planner expects a few records and would look up a million one by one.
    session.execute("SET LOCAL enable_nestloop = off")
    rows = canonical.execute(session, _GONE).fetchall()
    session.execute("SET LOCAL enable_nestloop = on")
    return {(what, entity, run): count for what, entity, run, count in rows}


def _not_there(look: Look, entity: str, ids: Sequence[str]) -> int:
    """Count the records that are gone and were deleted by neither a person nor a plan."""
    relation = CONCEPT_OF[entity]
    query = f"SELECT count(*) FROM {relation} WHERE id = ANY (%(ids)s::ids)"
    if fetch(look.connection, look.schema, query, ids=ids)[0][0] == len(set(ids)):
        return 0  # the usual case, without looking at each
    ((count,),) = look.rows(_NOT_THERE.format(relation=relation), entity=entity, ids=list(ids))
    return int(count)


_OTHER_SOURCE, _FEW = 0.1, 5
"""A source that changed by more than this share, and by more than a few records, counts as another source."""

_IN_SOURCE = " in the source"


def config_differs(look: Look) -> Rows:
    rows: Rows = []
    for run, dry, *_ in rehearsals(look.runs, look.settings.dry_run_hours):
        live, rehearsed = _recorded(run), _recorded(dry) if dry else {}
        keys = {key for key in live.keys() & rehearsed.keys() if _differs(key, live[key], rehearsed[key])}
        if dry and run.config and dry.config:
            keys |= run.config.keys() ^ dry.config.keys()
        why, shown = "", _values(rehearsed, sorted(keys))
        if not keys:  # both may use the configuration of another environment, such as staging.yaml
            kind = look.environment.kind
            why, shown = f", from this {kind} environment", "none"
            keys = {key for key, value in run.config.items() if _of_another_kind(value, kind)}
        if keys:
            rows.append(
                {
                    "key": run.run,
                    "dry_run": dry and dry.run,
                    "differs": ", ".join(sorted(keys)) + why,
                    "live": _values(live, sorted(keys)),
                    "dry": shown,
                }
            )
    if not rows and not any(run.config or run.files for run in look.runs):
        raise NotRunError(
            "No run recorded its configuration. Give the importer's report files with --import-report."
        )
    return rows


def _recorded(run: Run) -> dict[str, Any]:
    """Return a run's configuration, files and source counts; registrations are left out because dry runs do not fetch them."""
    files = {f"{CONCEPT_OF[entity]} file": name for entity, name in run.files.items()}
    fetched = {
        f"{CONCEPT_OF[entity]}{_IN_SOURCE}": count
        for entity, count in run.fetched.items()
        if entity != REGISTRATION
    }
    return {**run.config, **files, **fetched}


def _differs(key: str, live: Any, dry: Any) -> bool:
    if key.endswith(_IN_SOURCE):
        return bool(abs(live - dry) > max(_FEW, _OTHER_SOURCE * dry))
    return bool(live != dry)


def _of_another_kind(value: Any, kind: str) -> bool:
    kinds = kinds_in(PurePath(value).name) if isinstance(value, str) else ()
    return bool(kinds) and kind not in kinds


def _values(facts: dict[str, Any], keys: list[str]) -> str:
    """Format the values that differ; unknown keys may be secrets, so only a fingerprint of them is shown."""
    shown = []
    for key in keys:
        value = facts.get(key)
        if value is None:
            shown.append("none")
        elif key in {"source", "target", "version", "file"} or key.endswith((" file", _IN_SOURCE)):
            shown.append(redact(str(value)))
        else:
            shown.append(f"#{sha256(repr(value).encode()).hexdigest()[:8]}")
    return ", ".join(shown)
