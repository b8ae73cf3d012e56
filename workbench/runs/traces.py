"""What ties records to a run, one selection for each kind of trace.

Every selection has the same columns: ``entity``, ``action``, ``said`` (how directly the trace tells
what was done), ``record_id``, ``wa_id``, ``at``, ``traces`` (a bit of `BITS`) and ``strength``; and, where it has the record
at hand, ``alive`` and ``changed``: whether it is still there, and when it was last written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from workbench.murmurant.importers import STRENGTH, Run, Strength, Trace
from workbench.murmurant.schema import Schema, as_text, entity_of, values_table
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES, EVENT, MEMBER, REGISTRATION

TOLERANCE = timedelta(seconds=1)
"""How far an application server's clock and its database's may differ on one write."""

BITS = {trace: 1 << number for number, trace in enumerate(sorted(Trace))}
"""Each kind of trace as a bit, so that the kinds of many rows are put together by one operation."""

ALONE = "alone"
"""The option of a selection of records each of which has one trace, where nothing but mappings and tags names them."""

_PROMPT = timedelta(minutes=1)  # a person's registration is made when they register

_SAID, _REPORTED, _INFERRED = 3, 2, 1  # how directly a trace tells what was done with the record


def record_traces(schema: Schema, run: Run, others: Sequence[Run]) -> list[Select[Any]]:
    """Return one selection for each kind of trace that the run may have left in this database."""
    found = []
    if run.mode == "live":
        if schema.has(
            "audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action", "audit.created_at"
        ):
            found.append(_audit_rows(schema, run))
        for entity in ENTITIES:
            if not schema.has(CONCEPT_OF[entity]):
                continue
            if schema.has("mappings.run_id", "mappings.target", "mappings.entity_type", "mappings.wa_id"):
                found.append(_mapping_column(schema, run, entity))
            if schema.has(f"{CONCEPT_OF[entity]}.run_id"):
                found.append(_record_column(schema, run, entity))
            windowed = ("mappings.target", "mappings.entity_type", "mappings.wa_id", "mappings.synced_at")
            if run.importer == "api" and run.started and schema.has(*windowed):
                found.append(_mapping_window(schema, run, others, entity))
            tagged = run.importer == "guide" and schema.has(f"{CONCEPT_OF[entity]}.run_id")
            made = (f"{CONCEPT_OF[entity]}.created_at", "mappings.target", "mappings.entity_type")
            if run.importer != "csv" and not tagged and run.started and schema.has(*made):
                found.append(_unmapped(schema, run, others, entity))
    if any(report.records for report in run.reports):
        found.append(_report_records(run))
    return found


def _row(
    entity: Any,
    action: Any,
    said: Any,
    record_id: Any,
    wa_id: Any,
    at: Any,
    trace: Trace | ColumnElement[int],
    strength: Any,
    source: Any = None,
) -> Select[Any]:
    """Lay out one kind of trace; `source` is the entity's table, where the selection has the record at hand."""
    changed = source.c.updated_at if source is not None and "updated_at" in source.c else null()
    return select(
        cast(null() if source is None else source.c.id.is_not(None), Boolean).label("alive"),
        cast(changed, TIMESTAMP()).label("changed"),
        entity.label("entity"),
        action.label("action"),
        said.label("said"),
        record_id.label("record_id"),
        wa_id.label("wa_id"),
        cast(at, TIMESTAMP()).label("at"),
        (literal(BITS[trace]) if isinstance(trace, Trace) else trace).label("traces"),
        cast(strength, Integer).label("strength"),
    )


def _audit_rows(schema: Schema, run: Run) -> Select[Any]:
    audit = schema.audit
    action = audit.c.action
    return _row(
        entity_of(audit.c.resource_type),
        case((action == "CREATE", "created"), else_="updated"),
        literal(_SAID),
        as_text(audit.c.resource_id),
        audit.c.metadata["waId"].astext,
        audit.c.created_at,
        Trace.AUDIT,
        literal(STRENGTH[Trace.AUDIT]),
    ).where(
        schema.audit_run == run.run,
        action.in_(["CREATE", "UPDATE"]),
        entity_of(audit.c.resource_type).in_(ENTITIES),
        func.coalesce(audit.c.metadata["source"].astext, "").not_like("workbench%"),
    )


def _moment(schema: Schema, entity: str, column: str) -> Any:
    concept = CONCEPT_OF[entity]
    return (
        schema.source(concept).c[column] if schema.has(f"{concept}.{column}") else cast(null(), TIMESTAMP())
    )


def within(moment: Any, run: Run) -> Any:
    """Whether a moment lies in the run's window; an unknown end is its last trace."""
    end = run.finished or run.last_trace
    if run.started is None or end is None:
        return literal(False)
    return moment.between(run.started - TOLERANCE, end + TOLERANCE)


def overlaps(run: Run, others: Sequence[Run]) -> bool:
    """Whether another live run was under way at the same time: then a time tells of neither for sure."""
    start, end = run.started, run.finished or run.last_trace
    if start is None or end is None:
        return False
    return any(
        each.mode == "live"
        and each.started is not None
        and each.started <= end
        and (each.finished or each.last_trace or each.started) >= start
        for each in others
    )


def _mapping_column(schema: Schema, run: Run, entity: str) -> Select[Any]:
    mappings, source = schema.mappings, schema.entity(entity)
    created = within(_moment(schema, entity, "created_at"), run)
    if schema.has(f"{CONCEPT_OF[entity]}.run_id"):
        created = source.c.run_id == run.run
    updated = within(_moment(schema, entity, "updated_at"), run)
    return (
        _row(
            literal(entity),
            case((created, "created"), (updated, "updated"), else_="mapped"),
            case((created, _SAID), else_=_INFERRED),
            as_text(mappings.c.target),
            as_text(mappings.c.wa_id),
            mappings.c.synced_at if schema.has("mappings.synced_at") else null(),
            Trace.MAPPING,
            literal(STRENGTH[Trace.MAPPING]),
            source,
        )
        .select_from(mappings.outerjoin(source, as_text(source.c.id) == as_text(mappings.c.target)))
        .where(mappings.c.run_id == run.run, mappings.c.entity_type.in_(ENTITY_TYPES[entity]))
    )


def _record_column(schema: Schema, run: Run, entity: str) -> Select[Any]:
    source = schema.entity(entity)
    mapped: ColumnElement[bool] = literal(False)
    if schema.has("mappings.run_id", "mappings.target", "mappings.entity_type"):
        mappings = schema.mappings
        mapped = exists().where(
            mappings.c.run_id == run.run,
            mappings.c.entity_type.in_(ENTITY_TYPES[entity]),
            as_text(mappings.c.target) == as_text(source.c.id),
        )
    return (
        _row(
            literal(entity),
            literal("created"),
            literal(_SAID),
            as_text(source.c.id),
            cast(null(), String),
            _moment(schema, entity, "created_at"),
            Trace.RECORD,
            literal(STRENGTH[Trace.RECORD]),
            source,
        )
        .where(source.c.run_id == run.run, ~mapped)
        .execution_options(**{ALONE: True})
    )


def _mapping_window(schema: Schema, run: Run, others: Sequence[Run], entity: str) -> Select[Any]:
    """Select mappings written while the run ran: all that tells of records it left as they were.

    A record known to an earlier run under the same WA id was there before; one known under
    another WA id, or to nobody, was only mapped.
    """
    mappings, source = schema.mappings, schema.entity(entity)
    known_as: ColumnElement[bool] = literal(False)
    known: ColumnElement[bool] = literal(False)
    if schema.has("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action"):
        audit = schema.audit
        seen = (
            select(
                as_text(audit.c.resource_id).label("record_id"),
                audit.c.metadata["waId"].astext.label("wa_id"),
            )
            .where(
                entity_of(audit.c.resource_type) == entity,
                audit.c.action.in_(["CREATE", "UPDATE"]),
                schema.audit_run.is_not(None),
            )
            .subquery()
        )
        same_target = seen.c.record_id == as_text(mappings.c.target)
        known_as = exists().where(same_target, seen.c.wa_id == as_text(mappings.c.wa_id))
        known = exists().where(same_target)
    new = within(_moment(schema, entity, "created_at"), run)
    likely = Strength.weak if overlaps(run, others) else STRENGTH[Trace.WINDOW]
    failed = and_(new, ~known, as_text(mappings.c.wa_id).in_(_errors(run, entity)))  # its audit row, not it
    query = (
        _row(
            literal(entity),
            case((known_as, "existing"), (and_(new, ~known), "created"), else_="mapped"),
            literal(_INFERRED),
            as_text(mappings.c.target),
            as_text(mappings.c.wa_id),
            mappings.c.synced_at,
            case((failed, BITS[Trace.WINDOW] | BITS[Trace.ERROR]), else_=BITS[Trace.WINDOW]),
            case((or_(known_as, known, failed), int(likely)), else_=int(Strength.weak)),
        )
        .select_from(mappings.outerjoin(source, as_text(source.c.id) == as_text(mappings.c.target)))
        .where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]), within(mappings.c.synced_at, run))
    )
    return query.where(mappings.c.run_id.is_(None)) if schema.has("mappings.run_id") else query


def _errors(run: Run, entity: str) -> list[str]:
    """Return the WA ids of the records that the run gave up on by its own word."""
    return sorted({each.wa_id for each in run.problems if each.entity == entity and each.wa_id})


def _unmapped(schema: Schema, run: Run, others: Sequence[Run], entity: str) -> Select[Any]:
    """Select records made while the run was under way, to which no mapping leads and of which no audit row tells.

    The importer may have failed between making one and mapping it, and counts an error. A member's raw data bear the
    WA id that the error names. A registration bears none: it is the error's if it was booked earlier than it was made
    here, as an imported one is and a person's is not, by a member for an event which are both mapped, and there are
    not more of these than errors without a record. Of anything else only its time speaks.
    """
    source, mappings = schema.entity(entity), schema.mappings
    errors = _errors(run, entity)

    def leads_to(target: Any, of: str) -> ColumnElement[bool]:
        return exists().where(
            mappings.c.entity_type.in_(ENTITY_TYPES[of]), as_text(mappings.c.target) == as_text(target)
        )

    wa_id: Any = cast(null(), String)
    named: Any = literal(False)
    if entity == MEMBER and schema.has("members.wa_raw"):
        wa_id = source.c.wa_raw["waContactId"].astext
        named = wa_id.in_(errors)
    columns = ("member_id", "event_id", "registered_at")
    if entity == REGISTRATION and errors and schema.has(*(f"registrations.{each}" for each in columns)):
        imported = and_(
            source.c.registered_at < source.c.created_at - _PROMPT,
            leads_to(source.c.member_id, MEMBER),
            leads_to(source.c.event_id, EVENT),
        )
        known = select(func.count(mappings.c.wa_id.distinct())).where(
            mappings.c.entity_type.in_(ENTITY_TYPES[entity]), as_text(mappings.c.wa_id).in_(errors)
        )
        lost = len(errors) - known.scalar_subquery()
        named = and_(imported, func.count().filter(imported).over() <= lost)
    where = [within(source.c.created_at, run), ~leads_to(source.c.id, entity)]
    if schema.has("audit.resource_type", "audit.resource_id", "audit.action"):
        audit = schema.audit
        where.append(
            ~exists().where(
                entity_of(audit.c.resource_type) == entity,
                audit.c.action == "CREATE",
                as_text(audit.c.resource_id) == as_text(source.c.id),
            )
        )
    if schema.has(f"{CONCEPT_OF[entity]}.run_id"):
        where.append(source.c.run_id.is_(None))
    likely = Strength.weak if overlaps(run, others) else STRENGTH[Trace.ERROR]
    return (
        _row(
            literal(entity),
            literal("created"),
            literal(_INFERRED),
            as_text(source.c.id),
            wa_id,
            source.c.created_at,
            case((named, BITS[Trace.ERROR]), else_=BITS[Trace.TIME]),
            case((named, int(likely)), else_=int(STRENGTH[Trace.TIME])),
            source,
        )
        .where(*where)
        .execution_options(**{ALONE: True})
    )


def _report_records(run: Run) -> Select[Any]:
    report = max(run.reports, key=lambda each: len(each.records))
    columns = ("entity", "action", "record_id", "wa_id")
    named = values_table(
        "reported", **{name: [getattr(row, name) for row in report.records] for name in columns}
    )
    return _row(
        named.c.entity,
        named.c.action,
        literal(_REPORTED),
        named.c.record_id,
        named.c.wa_id,
        literal(run.finished or run.started),
        Trace.REPORT,
        literal(STRENGTH[Trace.REPORT]),
    )
