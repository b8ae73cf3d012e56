"""Guide §1.2: Wild Apricot ids that lead to the wrong record."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    String,
    bindparam,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.checks.registry import Look, NotRunError, check
from workbench.murmurant.schema import as_text, entity_of, named, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITY_TYPES, EVENT, MEMBER, REGISTRATION

_NEEDS = ("mappings.entity_type", "mappings.wa_id", "mappings.target")

_NO_EVIDENCE = (
    "Nothing here says {what}: no audit rows of creations, no raw Wild Apricot"
    " data, no report that lists records. Give the importer's full report with --import-report."
)


def mapping_key(look: Look) -> ColumnElement[str]:
    """Return the key of a mapping as people write it: ``Member/50012``."""
    mappings = look.schema.mappings
    return (entity_of(mappings.c.entity_type) + "/" + as_text(mappings.c.wa_id)).label("key")


@check(
    "members-wrong-person",
    "Members linked to the wrong person",
    guide="§1.2",
    symptom="Member linked to wrong person",
    question="Does every contact's Wild Apricot id lead to the record that was made for that contact?",
    remedy="Find out who each one is, then correct the mapping (§4.2); a swap is corrected as one.",
    needs=(*_NEEDS, "members"),
)
def members_wrong_person(look: Look) -> Select[Any]:
    return _contradicted(look, MEMBER)


@check(
    "events-wrong-record",
    "Events linked to the wrong record",
    guide="§1.2",
    symptom="Event registrations on wrong event",
    question="Does every event's Wild Apricot id lead to the record that was made for it?",
    remedy="Correct the mapping (§4.2), and move the registrations that came through it.",
    needs=(*_NEEDS, "events"),
)
def events_wrong_record(look: Look) -> Select[Any]:
    return _contradicted(look, EVENT)


@check(
    "registrations-wrong-event",
    "Registrations on the wrong event or person",
    guide="§1.2",
    symptom="Event registrations on wrong event",
    question="Is every registration still on the event and the person that its import brought it for?",
    remedy="Correct the event's or the member's mapping first (§4.2), then move the registration back.",
    needs=("registrations.event_id", "registrations.member_id"),
)
def registrations_wrong_event(look: Look) -> Select[Any]:
    records = [
        each
        for each in _latest_records(look, REGISTRATION)
        if each.record_id and each.fields.get("eventId") and each.fields.get("memberId")
    ]
    if not records:
        raise NotRunError(_NO_EVIDENCE.format(what="which event a registration was imported for"))
    told = _table(
        "told",
        id=[each.record_id for each in records],
        wa_id=[each.wa_id for each in records],
        event=[str(each.fields["eventId"]) for each in records],
        member=[str(each.fields["memberId"]) for each in records],
    )
    row = look.schema.registrations
    return (
        select(
            as_text(row.c.id).label("key"),
            told.c.wa_id,
            as_text(row.c.event_id).label("event_now"),
            told.c.event.label("event_imported"),
            as_text(row.c.member_id).label("member_now"),
            told.c.member.label("member_imported"),
        )
        .select_from(row.join(told, told.c.id == as_text(row.c.id)))
        .where(or_(told.c.event != as_text(row.c.event_id), told.c.member != as_text(row.c.member_id)))
        .order_by("key")
    )


@check(
    "mappings-duplicate",
    "Wild Apricot ids that are mapped twice",
    guide="§1.2",
    symptom="Duplicate mappings",
    question="Is each Wild Apricot id of each kind mapped once?",
    remedy="Keep the mapping that leads to the right record and remove the other (§4.2).",
    needs=_NEEDS,
)
def mappings_duplicate(look: Look) -> Select[Any]:
    mappings = look.schema.mappings
    # Ids of different kinds may agree; so first those that occur twice at all, which an index can tell.
    one, other = mappings.alias("one"), mappings.alias("other")
    twice = select(one.c.wa_id).group_by(one.c.wa_id).having(func.count() > 1)
    if look.schema.forbids_twins("mappings", "entity_type", "wa_id"):
        # Only under two spellings of one kind can an id occur twice here.
        first, second = ENTITY_TYPES[REGISTRATION]
        twice = select(one.c.wa_id).where(
            one.c.entity_type == first, other.c.entity_type == second, other.c.wa_id == one.c.wa_id
        )
    targets = func.string_agg(as_text(mappings.c.target), literal(", "))
    return (
        select(mapping_key(look), func.count().label("mappings"), targets.label("targets"))
        .where(mappings.c.wa_id.in_(twice))
        .group_by("key")
        .having(func.count() > 1)
        .order_by("key")
    )


@check(
    "mappings-shared-target",
    "Records that two Wild Apricot ids lead to",
    guide="§1.2",
    symptom="Duplicate mappings",
    severity="warn",
    question="Is each record the target of one Wild Apricot id only?",
    remedy="Usually one contact who was twice in Wild Apricot, found by e-mail: harmless if it is one person, and never"
    " to be rolled back by deleting the member. If they are two people, one of them has no record: correct it (§4.2).",
    needs=_NEEDS,
)
def mappings_shared_target(look: Look) -> Select[Any]:
    mappings = look.schema.mappings
    several = (
        select(mappings.c.entity_type, mappings.c.target)
        .group_by(mappings.c.entity_type, mappings.c.target)
        .having(func.count() > 1)
        .cte("several")
    )
    together = [mappings.c.entity_type, mappings.c.target]
    found = (
        select(
            mapping_key(look),
            as_text(mappings.c.target).label("target"),
            func.count().over(partition_by=together).label("wa_ids"),
            func.min(mappings.c.wa_id).over(partition_by=together).label("least"),
            func.max(mappings.c.wa_id).over(partition_by=together).label("greatest"),
        )
        .select_from(
            mappings.join(
                several,
                (several.c.target == mappings.c.target) & (several.c.entity_type == mappings.c.entity_type),
            )
        )
        .subquery("found")
    )
    # The same id mapped twice to one record is another check's finding.
    different = found.c.least != found.c.greatest
    return select(found.c.key, found.c.target, found.c.wa_ids).where(different).order_by("target", "key")


def _contradicted(look: Look, entity: str) -> Select[Any]:
    """Select the mappings of `entity` that the traces of its own creation contradict.

    Three witnesses, each enough: an audit row says that another record, which still exists, was
    created for this id; the record's raw Wild Apricot data name another contact, whose id does
    not lead here; or the importer's report has another name *and* another e-mail for this id. One of
    the two changes when people marry or move; both at once is somebody else.
    """
    witnesses = [
        said
        for said in (_by_audit(look, entity), _by_raw_data(look, entity), _by_report(look, entity))
        if said is not None
    ]
    if not witnesses:
        raise NotRunError(
            _NO_EVIDENCE.format(what=f"which {entity.lower()} a Wild Apricot id was imported as")
        )
    mappings, record = look.schema.mappings, look.schema.entity(entity)
    # Each witness is a plain join; asked as alternatives of one condition they would be subplans, run row by row.
    every = union_all(*witnesses).subquery("every")
    said = (
        select(every.c.mapping, func.string_agg(every.c.evidence.distinct(), literal(", ")).label("evidence"))
        .group_by(every.c.mapping)
        .subquery("said")
    )
    return (
        select(
            mapping_key(look),
            as_text(mappings.c.wa_id).label("wa_id"),
            as_text(mappings.c.target).label("target"),
            *named(record, *_SHOWN[entity]),
            said.c.evidence,
        )
        .select_from(
            said.join(mappings, mappings.c.id == said.c.mapping).join(
                record, same_id(record.c.id, mappings.c.target)
            )
        )
        .where(~_corrected(look))
        .order_by("key")
    )


_SHOWN = {MEMBER: ("first_name", "last_name", "email"), EVENT: ("title", "start")}


def _witness(
    look: Look, entity: str, words: str, source: FromClause, *conditions: ColumnElement[bool]
) -> Select[Any]:
    mappings = look.schema.mappings
    return (
        select(mappings.c.id.label("mapping"), literal(words).label("evidence"))
        .select_from(source)
        .where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]), *conditions)
    )


def _by_audit(look: Look, entity: str) -> Select[Any] | None:
    schema = look.schema
    if not schema.has("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action"):
        return None
    audit, mappings, other = schema.audit, schema.mappings, schema.entity(entity).alias("made_for_it")
    created = (
        select(audit.c.metadata["waId"].astext.label("wa_id"), audit.c.resource_id.label("record_id"))
        .where(audit.c.action == "CREATE", audit.c.resource_type.in_(ENTITY_TYPES[entity]))
        .cte(f"created_{CONCEPT_OF[entity]}")
    )
    same = created.alias("same")
    return _witness(
        look,
        entity,
        "its audit row created another record",
        mappings.join(created, created.c.wa_id == as_text(mappings.c.wa_id)).join(
            other, same_id(other.c.id, created.c.record_id)
        ),
        ~same_id(created.c.record_id, mappings.c.target),
        ~exists().where(
            same.c.wa_id == as_text(mappings.c.wa_id), same_id(same.c.record_id, mappings.c.target)
        ),
    )


def _by_raw_data(look: Look, entity: str) -> Select[Any] | None:
    schema = look.schema
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
        look,
        entity,
        "its raw data name another contact",
        mappings.join(members, same_id(members.c.id, mappings.c.target)),
        contact != as_text(mappings.c.wa_id),
        ~leads_here,
    )


def _by_report(look: Look, entity: str) -> Select[Any] | None:
    schema = look.schema
    records = _latest_records(look, entity)
    columns = ("first_name", "last_name", "email") if entity == MEMBER else ("title", "start")
    if not records or not schema.has(*(f"{CONCEPT_OF[entity]}.{name}" for name in columns)):
        return None
    mappings, record = schema.mappings, schema.entity(entity)

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
    told = _table(f"told_{entity.lower()}", wa_id=[each.wa_id for each in records], name=names, other=others)
    return _witness(
        look,
        entity,
        "its report names another",
        mappings.join(told, told.c.wa_id == as_text(mappings.c.wa_id)).join(
            record, same_id(record.c.id, mappings.c.target)
        ),
        func.lower(func.trim(told.c.name)) != func.lower(func.trim(name)),
        func.lower(func.trim(told.c.other)) != func.lower(func.trim(other)),
    )


def _corrected(look: Look) -> ColumnElement[bool]:
    """Whether somebody put this mapping right on purpose (guide §4.2's audit entry)."""
    schema = look.schema
    if not schema.has("audit.metadata"):
        return false()
    mappings, note = schema.mappings, schema.audit.alias("correction")
    return exists().where(
        note.c.metadata["newMurmurantId"].astext.is_not(None),
        note.c.metadata["waId"].astext == as_text(mappings.c.wa_id),
        note.c.metadata["newMurmurantId"].astext == as_text(mappings.c.target),
    )


def _latest_records(look: Look, entity: str) -> list[Any]:
    """Return what the reports of live runs say of each WA id, the latest run's word for each."""
    found = {}
    for run in look.runs:
        if run.mode == "live":
            for report in sorted(run.reports, key=lambda each: each.path.name):
                for each in report.records:
                    if each.entity == entity:
                        found[each.wa_id] = each
    return list(found.values())


def _table(name: str, /, **columns: list[str]) -> Any:
    """Return lists of equal length as a table to join with."""
    arrays = [bindparam(f"{name}_{key}", values, type_=ARRAY(String())) for key, values in columns.items()]
    return func.unnest(*arrays).table_valued(*columns, name=name).render_derived()
