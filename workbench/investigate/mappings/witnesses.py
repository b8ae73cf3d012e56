"""Who contradicts a mapping: the traces of its own creation, asked as plain joins (guide §1.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Subquery,
    exists,
    func,
    literal,
    select,
    union_all,
)

from workbench.investigate.mappings.statements import corrected, latest_told, listed, mapping_key
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema, as_text, named, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITY_TYPES, EVENT, MEMBER, REGISTRATION

BY_AUDIT, BY_RAW_DATA = "its audit row created another record", "its raw data name another contact"
BY_REPORT, BY_BIRTH = "its report names another", "its report created another record"
BY_PLACE = "its report or export has another member or event, whose registration is there"

_SHOWN = {MEMBER: ("first_name", "last_name", "email"), EVENT: ("title", "start")}
_AUDIT = ("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action")


def contradicted(
    schema: Schema,
    entity: str,
    runs: Sequence[Run],
    exports: Sequence[ReportRecord] = (),
    places: Mapping[str, tuple[str, str]] | None = None,
) -> Select[Any] | None:
    """Select the mappings of `entity` that the traces of its own creation contradict.

    Four witnesses, each enough: an audit row, or the importer's report, says that another record, which
    still exists, was created for this id; the record's raw Wild Apricot data name another contact, whose
    id does not lead here; or the importer's report has another name *and* another e-mail for this id. One
    of the two changes when people marry or move; both at once is somebody else. For registrations: the
    report or an export has another member or event for this id, whose registration is there. None of them
    counts against a mapping to the very record that was created for this id.

    Parameters
    ----------
    places : mapping of str to (member, event), optional
        For registrations, from `workbench.investigate.mappings.places.told_places`.

    Returns
    -------
    Select or None
        ``key``, ``mapping`` (its own id), ``wa_id``, ``target``, some of the record's columns and
        ``evidence``; None where nothing here tells what an id was imported as.
    """
    births = created_for(schema, entity, runs)
    witnesses = [
        said
        for said in (
            _by_birth(schema, entity, births),
            _by_raw_data(schema, entity),
            _by_name(schema, entity, latest_told(runs, entity, exports)),
            _by_place(schema, places) if entity == REGISTRATION and places else None,
        )
        if said is not None
    ]
    if not witnesses:
        return None
    mappings, record = schema.mappings, schema.entity(entity)
    # Each witness is a plain join; asked as alternatives of one condition they would be subplans, run row by row.
    every = union_all(*witnesses).subquery("every")
    said = (
        select(every.c.mapping, func.string_agg(every.c.evidence.distinct(), literal(", ")).label("evidence"))
        .group_by(every.c.mapping)
        .subquery("said")
    )
    query = (
        select(
            mapping_key(schema),
            as_text(mappings.c.id).label("mapping"),
            as_text(mappings.c.wa_id).label("wa_id"),
            as_text(mappings.c.target).label("target"),
            *named(record, *_SHOWN.get(entity, ())),
            said.c.evidence,
        )
        .select_from(
            said.join(mappings, mappings.c.id == said.c.mapping).join(
                record, same_id(record.c.id, mappings.c.target)
            )
        )
        .where(~corrected(schema, ENTITY_TYPES[entity], wa_id=mappings.c.wa_id, target=mappings.c.target))
        .order_by("key", "mapping")
    )
    if births is not None:
        query = query.where(~_born_here(schema, births))
    return query


def anything_told(
    connection: Connection,
    schema: Schema,
    entity: str,
    runs: Sequence[Run],
    exports: Sequence[ReportRecord] = (),
) -> bool:
    """Whether any of the witnesses has a word on this entity's ids: tables for it may be there, and empty.

    Where no id of the entity is mapped there is nothing to be told.
    """
    mappings = schema.mappings
    asked = [select(mappings.c.id).where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]))]
    births = created_for(schema, entity, runs)
    said: list[Select[Any]] = (
        [] if births is None else [select(births.c.wa_id).where(births.c.wa_id.is_not(None))]
    )
    if entity == MEMBER and schema.has("members.wa_raw"):
        contact = schema.members.c.wa_raw["waContactId"].astext
        said.append(select(schema.members.c.id).where(contact.is_not(None)))
    told = bool(latest_told(runs, entity, exports))
    return told or not _any(connection, asked) or _any(connection, said)


def _any(connection: Connection, queries: Sequence[Select[Any]]) -> bool:
    return any(connection.execute(each.limit(1)).first() is not None for each in queries)


def created_for(schema: Schema, entity: str, runs: Sequence[Run]) -> Subquery | None:
    """Return which record was created for which WA id: ``wa_id``, ``record_id``, ``witness``, as text."""
    parts: list[Select[Any]] = []
    if schema.has(*_AUDIT):
        audit = schema.audit
        parts.append(
            select(
                audit.c.metadata["waId"].astext.label("wa_id"),
                as_text(audit.c.resource_id).label("record_id"),
                literal(BY_AUDIT).label("witness"),
            ).where(audit.c.action == "CREATE", audit.c.resource_type.in_(ENTITY_TYPES[entity]))
        )
    told = sorted(
        {
            (each.wa_id, each.record_id)
            for run in runs
            if run.mode == "live"
            for report in run.reports
            for each in report.records
            if each.entity == entity and each.action == "created" and each.wa_id and each.record_id
        }
    )
    if told:
        made = listed(
            f"made_{entity.lower()}", wa_id=[each for each, _ in told], record_id=[each for _, each in told]
        )
        parts.append(select(made.c.wa_id, made.c.record_id, literal(BY_BIRTH).label("witness")))
    return union_all(*parts).subquery(f"created_{CONCEPT_OF[entity]}") if parts else None


def _witness(schema: Schema, entity: str, words: Any, source: FromClause, *conditions: Any) -> Select[Any]:
    mappings = schema.mappings
    return (
        select(mappings.c.id.label("mapping"), words.label("evidence"))
        .select_from(source)
        .where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]), *conditions)
    )


def _born_here(schema: Schema, births: Subquery) -> ColumnElement[bool]:
    mappings, same = schema.mappings, births.alias("same")
    return exists().where(
        same.c.wa_id == as_text(mappings.c.wa_id), same.c.record_id == as_text(mappings.c.target)
    )


def _by_birth(schema: Schema, entity: str, births: Subquery | None) -> Select[Any] | None:
    if births is None:
        return None
    mappings, other = schema.mappings, schema.entity(entity).alias("made_for_it")
    return _witness(
        schema,
        entity,
        births.c.witness,
        mappings.join(births, births.c.wa_id == as_text(mappings.c.wa_id)).join(
            other, as_text(other.c.id) == births.c.record_id
        ),
        births.c.record_id != as_text(mappings.c.target),
    )


def _by_raw_data(schema: Schema, entity: str) -> Select[Any] | None:
    if entity != MEMBER or not schema.has("members.wa_raw"):
        return None
    mappings, members, own = schema.mappings, schema.members, schema.mappings.alias("own")
    contact = members.c.wa_raw["waContactId"].astext
    leads_here = exists().where(
        own.c.entity_type.in_(ENTITY_TYPES[MEMBER]),
        as_text(own.c.wa_id) == contact,
        same_id(own.c.target, members.c.id),
    )
    return _witness(
        schema,
        entity,
        literal(BY_RAW_DATA),
        mappings.join(members, same_id(members.c.id, mappings.c.target)),
        contact != as_text(mappings.c.wa_id),
        ~leads_here,
    )


def _by_place(schema: Schema, places: Mapping[str, tuple[str, str]]) -> Select[Any]:
    """Ask whose mapped registration is not the one that stands where it was told to be."""
    mappings, row, there = schema.mappings, schema.registrations, schema.registrations.alias("there")
    said = listed(
        "told_places",
        wa_id=list(places),
        member=[member for member, _ in places.values()],
        event=[event for _, event in places.values()],
    )
    stands = (as_text(there.c.member_id) == said.c.member) & (as_text(there.c.event_id) == said.c.event)
    return _witness(
        schema,
        REGISTRATION,
        literal(BY_PLACE),
        mappings.join(said, said.c.wa_id == as_text(mappings.c.wa_id))
        .join(row, same_id(row.c.id, mappings.c.target))
        .join(there, stands),
        (as_text(row.c.member_id) != said.c.member) | (as_text(row.c.event_id) != said.c.event),
    )


def _by_name(schema: Schema, entity: str, told: dict[str, ReportRecord]) -> Select[Any] | None:
    columns = {MEMBER: ("first_name", "last_name", "email"), EVENT: ("title", "start")}.get(entity, ())
    if not told or not columns or not schema.has(*(f"{CONCEPT_OF[entity]}.{name}" for name in columns)):
        return None
    mappings, record = schema.mappings, schema.entity(entity)
    records = list(told.values())

    def field(name: str) -> list[str]:
        return [str(each.fields.get(name) or "") for each in records]

    name: ColumnElement[Any]
    other: ColumnElement[Any]
    if entity == MEMBER:
        names = [f"{first} {last}" for first, last in zip(field("firstName"), field("lastName"), strict=True)]
        others = field("email")
        name, other = record.c.first_name + " " + record.c.last_name, record.c.email
    else:
        names = field("title")
        others = [start[:16].replace("T", " ") for start in field("startTime")]
        name, other = record.c.title, func.to_char(record.c.start, "YYYY-MM-DD HH24:MI")
    said = listed(f"told_{entity.lower()}", wa_id=list(told), name=names, other=others)
    return _witness(
        schema,
        entity,
        literal(BY_REPORT),
        mappings.join(said, said.c.wa_id == as_text(mappings.c.wa_id)).join(
            record, same_id(record.c.id, mappings.c.target)
        ),
        func.lower(func.trim(said.c.name)) != func.lower(func.trim(name)),
        func.lower(func.trim(said.c.other)) != func.lower(func.trim(other)),
    )
