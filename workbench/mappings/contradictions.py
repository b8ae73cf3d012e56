"""Who contradicts a mapping: the traces of its own creation, asked as plain joins (guide §1.2).

A registration is contradicted by where it was told to be. A report names its member and event themselves. An export names
the contact and the event by their own ids; these lead to records by what was created for them, or by their mapping where
nothing speaks against that. Where one of the two is in doubt, nothing is said of the registration: a wrong member's
mapping must not accuse a right one of hers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Subquery, exists, func, literal, select, union_all

from workbench.mappings.queries import corrected, mapping_key, mapping_rows
from workbench.mappings.traces import created_for, latest_told
from workbench.murmurant.exports import CONTACT_ID, EVENT_ID
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema, as_text, is_one_of, named, same_id, values_table
from workbench.murmurant.spellings import CONCEPT_OF, ENTITY_TYPES, EVENT, MEMBER, REGISTRATION

BY_RAW_DATA, BY_NAME = "its raw data name another contact", "its report names another"
BY_PLACE = "its report or export has another member or event, whose registration is there"

_SHOWN = {MEMBER: ("first_name", "last_name", "email"), EVENT: ("title", "start")}

Place = tuple[str, str]
"""Member and event, by Murmurant's ids."""


def contradicted(
    connection: Connection,
    schema: Schema,
    entity: str,
    runs: Sequence[Run],
    exports: Sequence[ReportRecord] = (),
    places: Mapping[str, Place] | None = None,
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
        For registrations, from `told_places`.

    Returns
    -------
    Select or None
        ``key``, ``mapping`` (its own id), ``wa_id``, ``target``, some of the record's columns and
        ``evidence``; None where nothing here tells what an id was imported as.
    """
    births, told = created_for(schema, entity, runs), latest_told(runs, entity, exports)
    raw = entity == MEMBER and schema.has("members.wa_raw")
    mappings, record = schema.mappings, schema.entity(entity)
    of_it = mappings.c.entity_type.in_(ENTITY_TYPES[entity])
    anything = [] if births is None else [select(births.c.wa_id).where(births.c.wa_id.is_not(None))]
    if raw:
        contact = schema.members.c.wa_raw["waContactId"].astext
        anything.append(select(schema.members.c.id).where(contact.is_not(None)))
    if not told and not _any(connection, *anything) and _any(connection, select(mappings.c.id).where(of_it)):
        return None
    # Each witness is a plain join; asked as alternatives of one condition they would be subplans, run row by row.
    witnesses = [] if births is None else [_by_birth(schema, entity, births)]
    witnesses += [_by_raw_data(schema)] if raw else []
    witnesses += _by_name(schema, entity, told)
    witnesses += [_by_place(schema, places)] if entity == REGISTRATION and places else []
    if not witnesses:
        return None
    every = union_all(*(one.where(of_it) for one in witnesses)).subquery("every")
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
        .select_from(said)
        .join(mappings, mappings.c.id == said.c.mapping)
        .join(record, same_id(record.c.id, mappings.c.target))
        .where(~corrected(schema, ENTITY_TYPES[entity], wa_id=mappings.c.wa_id, target=mappings.c.target))
        .order_by("key", "mapping")
    )
    if births is None:
        return query
    same = births.alias("same")
    born_here = exists().where(
        same.c.wa_id == as_text(mappings.c.wa_id), same.c.record_id == as_text(mappings.c.target)
    )
    return query.where(~born_here)


def _any(connection: Connection, *queries: Select[Any]) -> bool:
    return any(connection.execute(query.limit(1)).first() is not None for query in queries)


def _witness(schema: Schema, evidence: Any) -> Select[Any]:
    return select(schema.mappings.c.id.label("mapping"), evidence.label("evidence")).select_from(
        schema.mappings
    )


def _by_birth(schema: Schema, entity: str, births: Subquery) -> Select[Any]:
    mappings, other = schema.mappings, schema.entity(entity).alias("made_for_it")
    return (
        _witness(schema, births.c.witness)
        .join(births, births.c.wa_id == as_text(mappings.c.wa_id))
        .join(other, as_text(other.c.id) == births.c.record_id)
        .where(births.c.record_id != as_text(mappings.c.target))
    )


def _by_raw_data(schema: Schema) -> Select[Any]:
    mappings, members, own = schema.mappings, schema.members, schema.mappings.alias("own")
    contact = members.c.wa_raw["waContactId"].astext
    leads_here = exists().where(
        own.c.entity_type.in_(ENTITY_TYPES[MEMBER]),
        as_text(own.c.wa_id) == contact,
        same_id(own.c.target, members.c.id),
    )
    return (
        _witness(schema, literal(BY_RAW_DATA))
        .join(members, same_id(members.c.id, mappings.c.target))
        .where(contact != as_text(mappings.c.wa_id), ~leads_here)
    )


def _by_name(schema: Schema, entity: str, told: Mapping[str, ReportRecord]) -> Iterator[Select[Any]]:
    columns = _SHOWN.get(entity, ())
    if not told or not columns or not schema.has(*(f"{CONCEPT_OF[entity]}.{name}" for name in columns)):
        return
    mappings, record = schema.mappings, schema.entity(entity)

    def field(name: str) -> list[str]:
        return [str(one.fields.get(name) or "") for one in told.values()]

    name: Any
    other: Any
    if entity == MEMBER:
        names = [" ".join(both) for both in zip(field("firstName"), field("lastName"), strict=True)]
        others = field("email")
        name, other = record.c.first_name + " " + record.c.last_name, record.c.email
    else:
        names, others = field("title"), [start[:16].replace("T", " ") for start in field("startTime")]
        name, other = record.c.title, func.to_char(record.c.start, "YYYY-MM-DD HH24:MI")
    said = values_table(f"told_{entity.lower()}", wa_id=list(told), name=names, other=others)
    yield (
        _witness(schema, literal(BY_NAME))
        .join(said, said.c.wa_id == as_text(mappings.c.wa_id))
        .join(record, same_id(record.c.id, mappings.c.target))
        .where(
            func.lower(func.trim(said.c.name)) != func.lower(func.trim(name)),
            func.lower(func.trim(said.c.other)) != func.lower(func.trim(other)),
        )
    )


def _by_place(schema: Schema, places: Mapping[str, Place]) -> Select[Any]:
    """Ask whose mapped registration is not the one that stands where it was told to be."""
    mappings, row, there = schema.mappings, schema.registrations, schema.registrations.alias("there")
    said = _places_table(places)
    return (
        _witness(schema, literal(BY_PLACE))
        .join(said, said.c.wa_id == as_text(mappings.c.wa_id))
        .join(row, same_id(row.c.id, mappings.c.target))
        .join(there, _stands(there, said))
        .where(~_stands(row, said))
    )


def _places_table(places: Mapping[str, Place]) -> Any:
    members, events = zip(*places.values(), strict=True)
    return values_table("places", wa_id=list(places), member=members, event=events)


def _stands(row: Any, said: Any) -> Any:
    return (as_text(row.c.member_id) == said.c.member) & (as_text(row.c.event_id) == said.c.event)


def told_places(
    connection: Connection, schema: Schema, runs: Sequence[Run], exports: Sequence[ReportRecord] = ()
) -> dict[str, Place]:
    """Return the place of each registration that is told of, by its WA id; an export's word counts before a report's."""
    if not schema.has("registrations.id", "registrations.member_id", "registrations.event_id"):
        return {}
    told = {wa_id: one.fields for wa_id, one in latest_told(runs, REGISTRATION, exports).items()}
    leads = {}
    for entity, name in ((MEMBER, CONTACT_ID), (EVENT, EVENT_ID)):
        ids = {str(fields[name]) for fields in told.values() if fields.get(name)}
        leads[entity] = _leads(connection, schema, entity, ids, runs, exports) if ids else {}
    places: dict[str, Place] = {}
    for wa_id, fields in told.items():
        if CONTACT_ID in fields:
            member = leads[MEMBER].get(str(fields[CONTACT_ID]), "")
            event = leads[EVENT].get(str(fields.get(EVENT_ID)), "")
        else:
            member, event = str(fields.get("memberId") or ""), str(fields.get("eventId") or "")
        if member and event:
            places[wa_id] = member, event
    return places


def _leads(
    connection: Connection,
    schema: Schema,
    entity: str,
    ids: Iterable[str],
    runs: Sequence[Run],
    exports: Sequence[ReportRecord],
) -> dict[str, str]:
    """Return the record of each id of which nothing is in doubt."""
    against = contradicted(connection, schema, entity, runs, exports)
    doubted = {str(row.wa_id) for row in connection.execute(against)} if against is not None else set()
    led: dict[str, list[str]] = {}
    for row in mapping_rows(connection, schema, wa_ids=ids, entity=entity):
        led.setdefault(row.wa_id, []).append(row.target)
    leads = {wa_id: to[0] for wa_id, to in led.items() if len(to) == 1 and wa_id not in doubted}
    births = created_for(schema, entity, runs)
    if births is not None:
        made: dict[str, set[str]] = {}
        record = schema.entity(entity)
        rows = connection.execute(
            select(births.c.wa_id, births.c.record_id)
            .join(record, as_text(record.c.id) == births.c.record_id)
            .where(is_one_of(births.c.wa_id, ids))
        )
        for wa_id, key in rows:
            made.setdefault(str(wa_id), set()).add(str(key))
        leads |= {wa_id: next(iter(records)) for wa_id, records in made.items() if len(records) == 1}
    return leads


def at_places(connection: Connection, schema: Schema, places: Mapping[str, Place]) -> dict[str, str]:
    """Return the one registration that stands at each place, by the WA id it was asked for."""
    if not places:
        return {}
    row, said = schema.registrations, _places_table(places)
    rows = connection.execute(
        select(said.c.wa_id, func.min(as_text(row.c.id)))
        .select_from(said)
        .join(row, _stands(row, said))
        .group_by(said.c.wa_id)
        .having(func.count() == 1)
    )
    return {str(wa_id): str(record) for wa_id, record in rows}
