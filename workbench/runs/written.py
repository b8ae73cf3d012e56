"""The mappings and the rows of the sync state that a run wrote: which are its own, and which were there before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from workbench.mappings.queries import NEEDS, corrections_made
from workbench.murmurant.importers import STRENGTH, Run, Strength, Trace
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import SYNC_MOMENTS
from workbench.runs.evidence import ask, window

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
    FROM mappings JOIN unnest(%(entities)s::text[], %(keys)s::text[], %(wa_ids)s::text[]) AS made(entity, key, wa_ids)
         ON entity_type = entity AND target::text = key
    WHERE run_id IS NULL AND wa_id::text = ANY(string_to_array(wa_ids, ', '))
"""

_STATES = f"""
    SELECT id::text, coalesce(created_at BETWEEN %(begun)s AND %(ended)s, false), within, CASE
               WHEN later THEN 'a later sync' WHEN updated_at > %(ended)s THEN 'somebody' ELSE '' END
    FROM sync_state, LATERAL (
        SELECT coalesce(bool_or(moment BETWEEN %(begun)s AND %(ended)s), false), bool_or(moment > %(ended)s)
        FROM unnest(ARRAY[{", ".join(SYNC_MOMENTS)}]) AS moment
    ) AS m(within, later)
    ORDER BY 1
"""


class Pointer(NamedTuple):
    """A mapping that bears a mark of a run.

    Attributes
    ----------
    entity, wa_id, target : str
        What it maps onto which record.
    by : str
        Who wrote to it after the run; empty for nobody.
    strength : Strength
        Of the mark: the run's id, or its time alone.
    """

    entity: str
    wa_id: str
    target: str
    by: str
    strength: Strength


def has_mappings(schema: Schema) -> bool:
    """Whether there is a table of mappings that can be read."""
    return schema.has("mappings.id", *NEEDS)


def written_mappings(connection: Connection, schema: Schema, run: Run) -> dict[str, Pointer]:
    """Return every mapping that bears a mark of the run, its id or its time, by the mapping's own id."""
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
    return {
        key: Pointer(entity, wa_id, target, by, Strength(strength))
        for key, entity, wa_id, target, by, strength in ask(connection, schema, _MAPPINGS, values)
    }


def own_mappings(
    connection: Connection,
    schema: Schema,
    run: Run,
    created: Mapping[str, tuple[list[str], list[str | None]]],
    written: Mapping[str, Pointer],
    by_time: bool,
) -> set[str]:
    """Return the mappings, by id, that lead to a record which the run made and are its own.

    The run's id on the mapping says so; where mappings bear none, the run's own word that this
    record came from this WA id, or that it was written while the run was under way.

    Parameters
    ----------
    created : mapping of str to (list of str, list of str or None)
        The records that it made, by entity: ids, and the WA ids of each as text.
    written : mapping of str to Pointer
        Those that bear a mark of the run.
    by_time : bool
        Whether its time is enough to tie a mapping to the run.
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
    """A row of the sync state.

    Attributes
    ----------
    created, written : bool
        Whether the run made it; whether one of its moments is the run's.
    by : str
        Who wrote to it since; empty for nobody.
    """

    key: str
    created: bool
    written: bool
    by: str


def sync_states(connection: Connection, schema: Schema, run: Run) -> list[SyncRow]:
    """Return the rows of the sync state that the run made or wrote last, by their keys."""
    begun, ended = window(run)
    if run.importer == "csv" or ended is None or not schema.has("sync_state.id"):
        return []
    rows = map(SyncRow._make, ask(connection, schema, _STATES, {"begun": begun, "ended": ended}))
    return [row for row in rows if row.created or row.written]


def is_ahead(connection: Connection, schema: Schema, run: Run) -> bool:
    """Whether the sync state remembers a sync since the run began: the next incremental one relies on what the run brought."""
    if run.importer == "csv" or run.started is None:
        return False
    query = f"SELECT bool_or(greatest({', '.join(SYNC_MOMENTS)}) >= %(started)s) FROM sync_state"
    (ahead,) = ask(connection, schema, query, {"started": run.started}).fetchone() or (None,)
    return bool(ahead)
