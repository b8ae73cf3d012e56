"""What ties records to a run, and what became of each since: asked in SQL of the canonical relations, in one place.

``evidence.sql`` holds the question. A million records come back as a few groups of alike ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from operator import itemgetter
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection, text

from workbench.database.connection import raw
from workbench.murmurant.canonical import Canonical
from workbench.murmurant.importers import ACTIONS, STRENGTH, Run, Strength, Trace
from workbench.murmurant.schema import Relation, Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.journal import Entry, removed_records

TOLERANCE = timedelta(seconds=1)
"""How far an application server's clock and its database's may differ on one write."""

_BITS = {trace: 1 << number for number, trace in enumerate(sorted(Trace))}
_FATES = {"rollback": "rolled back", "merge": "merged into another"}
"""What a plan of some kind did with a record that it took away."""


def ask(
    connection: Connection,
    schema: Schema,
    query: str,
    values: dict[str, Any] | None = None,
    besides: dict[str, str] | None = None,
) -> psycopg.Cursor[Any]:
    """Ask in SQL of the canonical relations.

    Parameters
    ----------
    besides : dict of str to str
        Further relations that the query mentions, as SQL.
    """
    more = {name: (lambda select=select: Relation(select)) for name, select in (besides or {}).items()}
    return Canonical(schema, more).execute(raw(connection), query, values)


def window(run: Run) -> tuple[datetime | None, datetime | None]:
    """Return from when to when a run may have written; an unknown end is its last trace. None where that is not known."""
    end = run.finished or run.last_trace
    return (run.started - TOLERANCE, end + TOLERANCE) if run.started and end else (None, None)


def overlaps(run: Run, others: Sequence[Run]) -> bool:
    """Whether another live run was under way at the same time: then a time tells of neither for sure."""
    start, end = run.started, run.finished or run.last_trace
    if start is None or end is None:
        return False
    return any(
        other.started <= end and (other.finished or other.last_trace or other.started) >= start
        for other in others
        if other.mode == "live" and other.started is not None
    )


def words_of(traces: int) -> str:
    """Say which kinds of trace there are, as ``evidence`` of a record."""
    return ", ".join(str(trace) for trace, bit in _BITS.items() if traces & bit)


def sorted_once(ids: str | None) -> str | None:
    """Sort WA ids that are listed in one text."""
    return ", ".join(sorted(set(ids.split(", ")))) if ids and ", " in ids else ids


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
    """Ask something of ``fates``: a run's records, each with its evidence and what became of it.

    Parameters
    ----------
    others : sequence of Run
        The other runs of the same database; a time window shared with one of them is weak evidence.
    only : sequence of str, optional
        The records that matter, by id; else all.
    plans : sequence of Entry
        Those that may have taken records away.
    limit : int, optional
        What the question calls ``%(limit)s``.
    """
    live = run.mode == "live"
    begun, ended = window(run) if live else (None, None)
    report = max(run.reports, key=lambda report: len(report.records), default=None)
    records = report.records if report else ()
    errors = sorted({(problem.entity, problem.wa_id) for problem in run.problems if problem.wa_id})
    tagged = [entity for entity in ENTITIES if schema.has(f"{CONCEPT_OF[entity]}.run_id")]
    # Of a run that tags its records what bears no tag is somebody else's; without mappings, none of them leads anywhere.
    timed = run.importer != "csv" and schema.has("mappings.target", "mappings.entity_type")
    others_too = [
        entity for entity in ENTITIES if timed and not (run.importer == "guide" and entity in tagged)
    ]
    likely = Strength.weak if overlaps(run, others) else STRENGTH[Trace.WINDOW]
    values = {
        **{trace.name.lower(): bit for trace, bit in _BITS.items()},
        **{strength.name: int(strength) for strength in Strength},
        "likely": int(likely),
        "actions": list(ACTIONS),
        # A record that a mapping of the run names is not named by its own tag as well: where there is nothing else, one
        # with a tag is alone.
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
        "untagged": others_too,
        "error_entities": [entity for entity, _ in errors],
        "error_ids": [wa_id for _, wa_id in errors],
        "reported_at": run.finished or run.started,
        "report_entities": [record.entity for record in records],
        "report_actions": [record.action for record in records],
        "report_records": [record.record_id for record in records],
        "report_ids": [record.wa_id for record in records],
    }
    taken = _taken(schema, plans, run.run if live else "")
    fates = f"WITH fates AS (SELECT *, touched_since <> '' AS touched FROM (\n{_evidence()}) AS records)"
    return ask(connection, schema, f"{fates}\n{question}", values, {"taken": taken})


def _taken(schema: Schema, plans: Sequence[Entry], run: str) -> str:
    """Select what plans took away: ``entity``, ``record_id``, ``entry``, ``fate``."""
    parts = [
        "SELECT NULL::text AS entity, NULL::text AS record_id, NULL::bigint AS entry, NULL::text AS fate WHERE false"
    ]
    words = " ".join(f"WHEN '{kind}' THEN '{fate}'" for kind, fate in _FATES.items())
    for entity in ENTITIES if run else ():
        parts.append(
            f"SELECT '{entity}', record_id, entry, CASE kind {words} ELSE 'removed' END || ' by plan ' || plan"
            f" FROM ({removed_records(schema, entity, plans, run)}) AS {CONCEPT_OF[entity]}_taken"
        )
    return " UNION ALL ".join(parts)


class Fates(NamedTuple):
    """Records that a run dealt with alike, and that fared alike; the words are those of `workbench.runs.records`.

    Attributes
    ----------
    record_ids, wa_ids : list of str or None
        Side by side, in no order. Of a record several WA ids: those the run mapped, or knows it by.
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
        The records that matter, by id, to ask whose they are: their own time alone names nobody. Else all.
    """
    # A million records in memory; the planner expects as many groups as records and would sort them all.
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
    groups = [
        Fates(
            entity, action, Strength(strength), bool(exists), touched or "", ids, [*map(sorted_once, wa_ids)]
        )
        for entity, action, strength, exists, touched, ids, wa_ids in rows
    ]
    return sorted(groups, key=itemgetter(slice(0, 5)))


class Wrote(NamedTuple):
    """What a run did to one record, and who wrote to it since: ``a person``, ``somebody``, another run's id, or empty."""

    run: Run
    action: str
    strength: Strength
    touched_since: str

    @property
    def by_people(self) -> bool:
        """Whether the record bears people's work since."""
        return self.touched_since in {"a person", "somebody"}


def writers(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    known: Sequence[Run],
    entity: str,
    keys: Collection[str],
) -> dict[str, list[Wrote]]:
    """Tell who wrote some records, run by run; one that none of the runs dealt with is left out.

    Parameters
    ----------
    runs : sequence of Run
        The runs that are asked about, by start.
    known : sequence of Run
        Every run: what happened while two of them ran is weak evidence.
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    """
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
