"""What ties records, mappings and sync state to a run, and what became of each since.

``evidence.sql`` holds the query for records. A million records come back as a few groups of similar ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from operator import itemgetter
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection, text

from workbench.database.connection import raw
from workbench.mappings.queries import NEEDS, corrections_made
from workbench.murmurant.canonical import Canonical
from workbench.murmurant.importers import ACTIONS, STRENGTH, Run, Strength, Trace
from workbench.murmurant.schema import Relation, Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, SYNC_MOMENTS
from workbench.plans.journal import Entry, removed_records

TOLERANCE = timedelta(seconds=1)
"""How far the clocks of an application server and its database may differ."""

_BITS = {trace: 1 << number for number, trace in enumerate(sorted(Trace))}
_NO_PLANS = "SELECT NULL::text AS entity, NULL::text AS record_id, NULL::bigint AS entry, NULL::text AS fate WHERE false"

_MAPPINGS = """
    SELECT id::text, entity_type, wa_id::text, target::text,
           CASE WHEN wa_id::text = ANY(%(corrected)s) THEN 'a person'
                WHEN updated_at > %(ended)s THEN 'somebody' ELSE '' END,
           CASE WHEN run_id IS NULL THEN %(by_time)s ELSE %(by_name)s END
    FROM mappings
    WHERE run_id = %(run)s OR (%(timed)s AND run_id IS NULL AND synced_at BETWEEN %(begun)s AND %(ended)s)
"""
_OF_RECORDS = """
    SELECT id::text
    FROM mappings JOIN unnest(%(entities)s::text[], %(keys)s::text[], %(wa_ids)s::text[]) AS created(entity, key, wa_ids)
         ON entity_type = entity AND target::text = key
    WHERE run_id IS NULL AND wa_id::text = ANY(string_to_array(wa_ids, ', '))
"""
_STATES = f"""
    SELECT * FROM (
        SELECT id::text, coalesce(created_at BETWEEN %(begun)s AND %(ended)s, false) AS created, within,
               CASE WHEN later THEN 'a later sync' WHEN updated_at > %(ended)s THEN 'somebody' ELSE '' END
        FROM sync_state, LATERAL (
            SELECT coalesce(bool_or(moment BETWEEN %(begun)s AND %(ended)s), false), bool_or(moment > %(ended)s)
            FROM unnest(ARRAY[{", ".join(SYNC_MOMENTS)}]) AS moment
        ) AS moments(within, later)
    ) AS states
    WHERE created OR within ORDER BY 1
"""


def ask(
    connection: Connection,
    schema: Schema,
    query: str,
    values: dict[str, Any] | None = None,
    extra: dict[str, str] | None = None,
) -> psycopg.Cursor[Any]:
    """Query the canonical relations, and `extra` ones that are given as SQL."""
    more = {name: (lambda select=select: Relation(select)) for name, select in (extra or {}).items()}
    return Canonical(schema, more).execute(raw(connection), query, values)


def window(run: Run) -> tuple[datetime | None, datetime | None]:
    """Return the period in which a run may have written; its last trace stands for an unknown end."""
    end = run.finished or run.last_trace
    return (run.started - TOLERANCE, end + TOLERANCE) if run.started and end else (None, None)


def overlaps(run: Run, others: Sequence[Run]) -> bool:
    """Whether another live run was under way at the same time: then a timestamp is weak evidence for both."""
    start, end = run.started, run.finished or run.last_trace
    if start is None or end is None:
        return False
    return any(
        other.started <= end and (other.finished or other.last_trace or other.started) >= start
        for other in others
        if other.mode == "live" and other.started is not None
    )


def words_of(traces: int) -> str:
    """Name the kinds of trace in a set of bits."""
    return ", ".join(str(trace) for trace, bit in _BITS.items() if traces & bit)


@cache
def _evidence() -> str:
    return files("workbench.runs").joinpath("evidence.sql").read_text(encoding="utf-8")


def ask_of_records(
    connection: Connection,
    schema: Schema,
    question: str,
    run: Run,
    others: Sequence[Run],
    *,
    only: Sequence[str] | None = None,
    plans: Sequence[Entry] = (),
    limit: int | None = None,
) -> psycopg.Cursor[Any]:
    """Query ``fates``: a run's records, each with its evidence and what became of it.

    Parameters
    ----------
    others : sequence of Run
        The other runs of the same database; a time window shared with one of them is weak evidence.
    only : sequence of str, optional
        The ids of the records that matter; else all.
    plans : sequence of Entry
        Those that may have deleted records.
    limit : int, optional
        ``%(limit)s`` in the question.
    """
    live = run.mode == "live"
    begun, ended = window(run) if live else (None, None)
    report = max(run.reports, key=lambda report: len(report.records), default=None)
    records = report.records if report else ()
    errors = sorted({(problem.entity, problem.wa_id) for problem in run.problems if problem.wa_id})
    tagged = [entity for entity in ENTITIES if schema.has(f"{CONCEPT_OF[entity]}.run_id")]
    # A run that tags its records did not create untagged ones; without mappings, "no mapping" means nothing.
    timed = run.importer != "csv" and schema.has("mappings.target", "mappings.entity_type")
    untagged = [entity for entity in ENTITIES if timed and not (run.importer == "guide" and entity in tagged)]
    likely = Strength.weak if overlaps(run, others) else STRENGTH[Trace.WINDOW]
    values = {
        **{trace.name.lower(): bit for trace, bit in _BITS.items()},
        **{strength.name: int(strength) for strength in Strength},
        "likely": int(likely),
        "actions": list(ACTIONS),
        # With these traces only, no record has two: one that a mapping names is not listed by its own tag as well.
        "apart": run.traces.keys() - {Trace.MIGRATION, Trace.SYNC_STATE} <= {Trace.MAPPING, Trace.RECORD},
        "only": only,
        "limit": limit,
        "run": run.run if live else None,
        "begun": begun,
        "ended": ended,
        "started": run.started,
        "windowed": run.importer == "api",
        "undone": [other.run for other in others if other.rolled_back],
        "entities": [entity for entity in ENTITIES if schema.has(CONCEPT_OF[entity])],
        "tagged": tagged,
        "untagged": untagged,
        "error_entities": [entity for entity, _ in errors],
        "error_ids": [wa_id for _, wa_id in errors],
        "reported_at": run.finished or run.started,
        "report_entities": [record.entity for record in records],
        "report_actions": [record.action for record in records],
        "report_records": [record.record_id for record in records],
        "report_ids": [record.wa_id for record in records],
    }
    taken = [_NO_PLANS]
    for entity in ENTITIES if live else ():
        taken.append(
            f"""SELECT '{entity}', record_id, entry, CASE kind WHEN 'rollback' THEN 'rolled back'
                       WHEN 'merge' THEN 'merged into another' ELSE 'removed' END || ' by plan ' || plan
                FROM ({removed_records(schema, entity, plans, run.run)}) AS {CONCEPT_OF[entity]}_taken"""
        )
    fates = f"WITH fates AS (SELECT *, touched_since <> '' AS touched FROM (\n{_evidence()}) AS records)"
    return ask(connection, schema, f"{fates}\n{question}", values, {"taken": " UNION ALL ".join(taken)})


class Fates(NamedTuple):
    """Records that a run treated alike and that fared alike; the words are those of `workbench.runs.records`.

    Attributes
    ----------
    record_ids, wa_ids : list of str or None
        In the same, arbitrary order. A record may have several WA ids: those the run mapped, or knows it by.
    """

    entity: str
    action: str
    strength: Strength
    exists: bool
    touched_since: str
    record_ids: list[str | None]
    wa_ids: list[str | None]


def record_fates(
    connection: Connection,
    schema: Schema,
    run: Run,
    others: Sequence[Run] = (),
    only: Sequence[str] | None = None,
) -> list[Fates]:
    """Return every record that a live run dealt with: a million of them in a few groups.

    Parameters
    ----------
    only : sequence of str, optional
        The ids of the records that matter, to ask who wrote them: a record's own time alone names nobody. Else all.
    """
    # Hash a million records in memory; the planner expects as many groups as records and would sort them all.
    connection.execute(text("SET LOCAL work_mem = '64MB'"))
    connection.execute(text("SET LOCAL enable_sort = off"))
    rows = ask_of_records(
        connection,
        schema,
        """SELECT entity, action, strength, "exists", touched_since, array_agg(record_id), array_agg(own_wa_ids)
           FROM fates WHERE %(only)s::text[] IS NULL OR traces <> %(time)s GROUP BY 1, 2, 3, 4, 5""",
        run,
        others,
        only=only,
    ).fetchall()
    connection.execute(text("SET LOCAL enable_sort = on"))
    groups = []
    for entity, action, strength, exists, touched, ids, wa_ids in rows:
        wa_ids = [
            ", ".join(sorted(set(cell.split(", ")))) if cell and ", " in cell else cell for cell in wa_ids
        ]
        groups.append(Fates(entity, action, Strength(strength), bool(exists), touched or "", ids, wa_ids))
    return sorted(groups, key=itemgetter(slice(0, 5)))


class Wrote(NamedTuple):
    """What a run did to one record, and who wrote to it since: ``a person``, ``somebody``, another run's id, or empty."""

    run: Run
    action: str
    strength: Strength
    touched_since: str

    @property
    def by_people(self) -> bool:
        """Whether people have changed the record since."""
        return self.touched_since in {"a person", "somebody"}


def writers(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    known: Sequence[Run],
    entity: str,
    keys: Collection[str],
) -> dict[str, list[Wrote]]:
    """Tell which of some runs wrote which records, by start; `known` are all runs that may overlap."""
    writes: dict[str, list[Wrote]] = {}
    wanted = set(keys)
    for run in runs if wanted else ():
        others = [other for other in known if other is not run]
        for group in record_fates(connection, schema, run, others, sorted(wanted)):
            write = Wrote(run, group.action, group.strength, group.touched_since)
            for key in group.record_ids if group.entity == entity else ():
                if key in wanted:
                    writes.setdefault(key, []).append(write)
    return writes


def last_writers(
    connection: Connection, schema: Schema, runs: Sequence[Run], entity: str, keys: Collection[str]
) -> dict[str, Wrote]:
    """Tell which import created or updated some records last, on at least likely evidence."""
    live = [run for run in runs if run.mode != "dry" and not run.rolled_back]
    return {
        key: write
        for key, writes in writers(connection, schema, live, runs, entity, keys).items()
        for write in writes
        if write.action in ("created", "updated") and write.strength >= Strength.likely
    }


# ---------------------------------------------------------------------------------------- mappings and sync state


class WrittenMapping(NamedTuple):
    """A mapping that bears a run's id, or was written while the run was under way.

    Attributes
    ----------
    by : str
        Who wrote to it after the run; empty for nobody.
    strength : Strength
        Of the evidence: the run's id, or the time alone.
    """

    entity: str
    wa_id: str
    target: str
    by: str
    strength: Strength


def has_mappings(schema: Schema) -> bool:
    """Whether there is a readable table of mappings."""
    return schema.has("mappings.id", *NEEDS)


def written_mappings(connection: Connection, schema: Schema, run: Run) -> dict[str, WrittenMapping]:
    """Return every mapping that a run wrote, or may have, by the mapping's own id."""
    if not has_mappings(schema):
        return {}
    begun, ended = window(run)
    corrections = corrections_made(connection, schema, since=run.started) if run.started else []
    values = {
        "run": run.run,
        "timed": run.importer == "api",
        "begun": begun,
        "ended": ended,
        "corrected": [correction.wa_id for correction in corrections],
        "by_time": int(Strength.weak),
        "by_name": int(STRENGTH[Trace.MAPPING]),
    }
    rows = ask(connection, schema, _MAPPINGS, values)
    return {
        key: WrittenMapping(entity, wa_id, target, by, Strength(strength))
        for key, entity, wa_id, target, by, strength in rows
    }


def own_mappings(
    connection: Connection,
    schema: Schema,
    run: Run,
    created: Mapping[str, tuple[list[str], list[str | None]]],
    written: Mapping[str, WrittenMapping],
    by_time: bool,
) -> set[str]:
    """Return the ids of the mappings that a run made to the records that it created.

    The run's id on the mapping says so; where mappings bear none, the audit row that created the record for this WA id,
    or, with `by_time`, that it was written while the run was under way.
    """
    records = {entity: set(keys) for entity, (keys, _) in created.items()} if written else {}
    own = {
        key
        for key, mapping in written.items()
        if mapping.target in records.get(mapping.entity, ())
        and (mapping.strength is STRENGTH[Trace.MAPPING] or (by_time and not mapping.by))
    }
    if run.importer == "api" and has_mappings(schema):
        values = {
            "entities": [entity for entity, (keys, _) in created.items() for _ in keys],
            "keys": [key for keys, _ in created.values() for key in keys],
            "wa_ids": [wa_id for _, wa_ids in created.values() for wa_id in wa_ids],
        }
        own |= {key for (key,) in ask(connection, schema, _OF_RECORDS, values)}
    return own


class SyncRow(NamedTuple):
    """A row of the sync state that a run created, or wrote last; `by` is who wrote to it since, or empty."""

    key: str
    created: bool
    written: bool
    by: str


def sync_states(connection: Connection, schema: Schema, run: Run) -> list[SyncRow]:
    """Return the rows of the sync state that a run created or wrote last, by their keys."""
    begun, ended = window(run)
    if run.importer == "csv" or ended is None or not schema.has("sync_state.id"):
        return []
    return [SyncRow._make(row) for row in ask(connection, schema, _STATES, {"begun": begun, "ended": ended})]
