"""The traces of one record put together, and what became of the record since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Select,
    String,
    Subquery,
    and_,
    bindparam,
    case,
    cast,
    distinct,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from workbench.investigate.traces import TOLERANCE
from workbench.murmurant.importers import Run, Trace
from workbench.murmurant.schema import Schema, as_text, entity_of
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES


def about(trace: Select[Any], ids: Sequence[str]) -> Select[Any]:
    """Restrict a trace to some records, and to what names a WA id only: another trace knows whose that is."""
    seen = trace.subquery()
    wanted = select(func.unnest(bindparam("only", list(ids), type_=ARRAY(String()))))
    return select(seen).where(or_(seen.c.record_id.is_(None), seen.c.record_id.in_(wanted)))


def merge_traces(traces: Sequence[Select[Any]], run: Run) -> Subquery:
    """Put the traces of one record together: the most direct one says what was done with it."""
    seen = union_all(*traces).subquery("traces")
    if run.traces.keys() - {Trace.MIGRATION, Trace.SYNC_STATE} <= {Trace.MAPPING, Trace.RECORD}:
        # A record that a mapping of the run names is not named by its own tag as well: nothing to put together.
        return select(seen, seen.c.trace.label("evidence")).subquery("merged")
    # One trace may know the WA id only, another the record only; a third, or the same one, knows both.
    wa_id = func.coalesce(
        seen.c.wa_id, func.max(seen.c.wa_id).over(partition_by=[seen.c.entity, seen.c.record_id])
    )
    record_id = func.coalesce(
        seen.c.record_id, func.max(seen.c.record_id).over(partition_by=[seen.c.entity, seen.c.wa_id])
    )
    rest = [seen.c[name] for name in ("entity", "action", "said", "at", "trace", "strength")]
    every = select(
        *rest,
        case((seen.c.record_id.is_(None), seen.c.wa_id), else_=wa_id).label("wa_id"),
        case((seen.c.wa_id.is_(None), seen.c.record_id), else_=record_id).label("record_id"),
    ).subquery("every")

    def best(column: Any) -> Any:
        # A report file may know a WA id and not the record, or the other way round.
        order = (column.is_(None), every.c.said.desc(), every.c.strength.desc(), column)
        return func.array_agg(aggregate_order_by(column, *order), type_=ARRAY(String()))[1]

    return (
        select(
            every.c.entity,
            best(every.c.action).label("action"),
            every.c.record_id,
            every.c.wa_id,
            func.string_agg(distinct(every.c.trace), literal(", ")).label("evidence"),
            func.max(every.c.strength).label("strength"),
            func.max(every.c.at).label("at"),
        )
        .group_by(every.c.entity, every.c.wa_id, every.c.record_id)
        .subquery("merged")
    )


def with_fate(schema: Schema, run: Run, merged: Subquery) -> Subquery:
    """Add whether each record still exists and who touched it since."""
    source: Any = merged
    alive: list[Any] = []
    changed: list[Any] = []
    at_hand = "alive" in merged.c
    if at_hand:
        alive, changed = [merged.c.alive], [merged.c.changed]
    for entity in ENTITIES:
        if at_hand or not schema.has(CONCEPT_OF[entity]):
            continue
        table = schema.entity(entity).alias(f"now_{CONCEPT_OF[entity]}")
        source = source.outerjoin(
            table, and_(merged.c.entity == entity, as_text(table.c.id) == merged.c.record_id)
        )
        alive.append(as_text(table.c.id))
        if schema.has(f"{CONCEPT_OF[entity]}.updated_at"):
            changed.append(table.c.updated_at)
    later: Any = literal(None)
    by: Any = cast(null(), String)
    if run.mode == "live" and schema.has(
        "audit.metadata", "audit.resource_type", "audit.resource_id", "audit.created_at"
    ):
        audit = schema.audit
        owner = schema.audit_run
        touched = (
            select(
                entity_of(audit.c.resource_type).label("entity"),
                as_text(audit.c.resource_id).label("record_id"),
                func.max(audit.c.created_at).label("at"),
                func.array_agg(
                    aggregate_order_by(func.coalesce(owner, "a person"), audit.c.created_at.desc()),
                    type_=ARRAY(String()),
                )[1].label("by"),
            )
            .where(owner.is_distinct_from(run.run), audit.c.created_at > (run.started or literal(None)))
            .group_by("entity", "record_id")
            .subquery("touched")
        )
        source = source.outerjoin(
            touched, and_(touched.c.entity == merged.c.entity, touched.c.record_id == merged.c.record_id)
        )
        later, by = touched.c.at, touched.c.by
    moment = merged.c.at
    since: Any = case(
        (later > moment, by),
        *([(func.coalesce(*changed) > moment + TOLERANCE, "somebody")] if changed else []),
        else_="",
    )
    if run.mode == "dry":
        since = literal("")
    gone = null() if run.mode == "dry" else _exists(alive, at_hand)
    return (
        select(
            *merged.c,
            cast(gone, Boolean).label("exists"),
            since.label("touched_since"),
            (since != "").label("touched"),
        )
        .select_from(source)
        .subquery("fate")
    )


def _exists(alive: Sequence[Any], at_hand: bool) -> Any:
    if at_hand:
        return alive[0]
    return func.coalesce(*alive).is_not(None) if alive else null()
