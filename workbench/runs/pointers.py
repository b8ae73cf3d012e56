"""The mappings that a run wrote: which are its own, and which were there before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, false, null, select

from workbench.audit import has_action
from workbench.mappings.queries import NEEDS
from workbench.murmurant.importers import MAPPING_CORRECTED, STRENGTH, Run, Strength, Trace
from workbench.murmurant.schema import Schema, as_text, entity_of, is_one_of
from workbench.murmurant.spellings import ENTITY_TYPES
from workbench.plans.rows import CHUNK
from workbench.plans.standing import not_taken_back
from workbench.runs.traces import TOLERANCE, within


def has_mappings(schema: Schema) -> bool:
    """Whether there is a table of mappings that can be read."""
    return schema.has("mappings.id", *NEEDS)


def own_mappings(
    connection: Connection,
    schema: Schema,
    run: Run,
    created: Mapping[str, tuple[list[str], list[str | None]]],
    written: Mapping[str, Pointer],
    by_time: bool,
) -> list[str]:
    """Return the mappings, by id and sorted, that lead to a record which the run made and are its own.

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
    made = {entity: set(keys) for entity, (keys, _) in created.items()} if written else {}
    found = {
        key
        for key, each in written.items()
        if each.target in made.get(each.entity, ())
        and (each.strength is STRENGTH[Trace.MAPPING] or (by_time and not each.by))
    }
    if run.importer != "api" or not has_mappings(schema):
        return sorted(found)
    mappings = schema.mappings
    owner = mappings.c.run_id if schema.has("mappings.run_id") else null()
    for entity, (keys, wa_ids) in created.items():
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            said = dict(zip(chunk, wa_ids[start : start + CHUNK], strict=True))
            rows = connection.execute(
                select(as_text(mappings.c.id), as_text(mappings.c.target), as_text(mappings.c.wa_id)).where(
                    owner.is_(None),
                    mappings.c.entity_type.in_(ENTITY_TYPES[entity]),
                    is_one_of(mappings.c.target, chunk),
                )
            )
            found |= {key for key, target, wa_id in rows if wa_id in (said[target] or "").split(", ")}
    return sorted(found)


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


def written_mappings(connection: Connection, schema: Schema, run: Run) -> dict[str, Pointer]:
    """Return every mapping that bears a mark of the run, its id or its time, by the mapping's own id."""
    if not has_mappings(schema):
        return {}
    mappings = schema.mappings
    owner: ColumnElement[Any] = mappings.c.run_id if schema.has("mappings.run_id") else null()
    marked: ColumnElement[bool] = owner == run.run
    if run.importer == "api" and schema.has("mappings.synced_at"):
        marked = marked | (owner.is_(None) & within(mappings.c.synced_at, run))
    elif not schema.has("mappings.run_id"):
        return {}
    corrected = _corrected(connection, schema, run)
    later: Any = false()
    if schema.has("mappings.updated_at") and (end := run.finished or run.last_trace):
        later = mappings.c.updated_at > end + TOLERANCE
    rows = connection.execute(
        select(
            as_text(mappings.c.id).label("key"),
            entity_of(mappings.c.entity_type).label("entity"),
            as_text(mappings.c.wa_id).label("wa_id"),
            as_text(mappings.c.target).label("target"),
            later.label("later"),
            owner.is_not(None).label("named"),
        ).where(marked)
    )
    found = {}
    for key, entity, wa_id, target, touched, named in rows:
        by = "a person" if wa_id in corrected else "somebody" if touched else ""
        strength = STRENGTH[Trace.MAPPING] if named else Strength.weak
        found[key] = Pointer(entity, wa_id, target, by, strength)
    return found


def _corrected(connection: Connection, schema: Schema, run: Run) -> set[str]:
    """Return the WA ids whose mapping was corrected after the run, as guide §4.2 logs it, and is so still."""
    if run.started is None or not schema.has("audit.action", "audit.metadata", "audit.created_at"):
        return set()
    audit = schema.audit
    rows = connection.execute(
        select(audit.c.metadata["waId"].astext).where(
            has_action(schema, MAPPING_CORRECTED), audit.c.created_at > run.started, not_taken_back(schema)
        )
    )
    return {row[0] for row in rows}
