"""Whose registration a Wild Apricot id is, and for which event: by the importers' reports, or by an export.

A report names the records themselves. An export names the contact and the event by their own ids; these lead to
records by what was created for them, or by their mapping where nothing speaks against that. Where one of the two
is in doubt, nothing is said of the registration: a wrong member's mapping must not accuse a right one of hers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, func, select

from workbench.investigate.mappings.statements import latest_told, listed
from workbench.investigate.mappings.witnesses import contradicted, created_for
from workbench.murmurant.exports import CONTACT_ID, EVENT_ID
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema, as_text
from workbench.murmurant.spellings import ENTITY_TYPES, EVENT, MEMBER, REGISTRATION

Place = tuple[str, str]
"""Member and event, by Murmurant's ids."""


def told_places(
    connection: Connection, schema: Schema, runs: Sequence[Run], exports: Sequence[ReportRecord] = ()
) -> dict[str, Place]:
    """Return the place of each registration that is told of, by its WA id; an export's word counts before a report's."""
    if not schema.has("registrations.id", "registrations.member_id", "registrations.event_id"):
        return {}
    told = latest_told(runs, REGISTRATION, exports)
    asked = {
        entity: {str(each.fields[name]) for each in told.values() if each.fields.get(name)}
        for entity, name in ((MEMBER, CONTACT_ID), (EVENT, EVENT_ID))
    }
    leads = {
        entity: _leads(connection, schema, entity, ids, runs, exports) if ids else {}
        for entity, ids in asked.items()
    }
    found: dict[str, Place] = {}
    for wa_id, each in told.items():
        said = each.fields
        if CONTACT_ID in said:
            member = leads[MEMBER].get(str(said[CONTACT_ID]), "")
            event = leads[EVENT].get(str(said.get(EVENT_ID)), "")
        else:
            member, event = str(said.get("memberId") or ""), str(said.get("eventId") or "")
        if member and event:
            found[wa_id] = member, event
    return found


def _leads(
    connection: Connection,
    schema: Schema,
    entity: str,
    ids: Iterable[str],
    runs: Sequence[Run],
    exports: Sequence[ReportRecord],
) -> dict[str, str]:
    """Return the record of each id of which nothing is in doubt."""
    wanted = listed("named", value=sorted(ids))
    mappings = schema.mappings
    wa_id, target = as_text(mappings.c.wa_id), as_text(mappings.c.target)
    rows = connection.execute(
        select(wa_id, func.min(target))
        .where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]), wa_id.in_(select(wanted.c.value)))
        .group_by(wa_id)
        .having(func.count() == 1)
    )
    found = {str(each): str(record) for each, record in rows}
    against = contradicted(schema, entity, runs, exports)
    doubted = {str(row.wa_id) for row in connection.execute(against)} if against is not None else set()
    found = {each: record for each, record in found.items() if each not in doubted}
    births = created_for(schema, entity, runs)
    if births is not None:
        made: dict[str, set[str]] = {}
        there = as_text(schema.entity(entity).c.id)
        rows = connection.execute(
            select(births.c.wa_id, births.c.record_id)
            .join(schema.entity(entity), there == births.c.record_id)
            .where(births.c.wa_id.in_(select(wanted.c.value)))
        )
        for each, record in rows:
            made.setdefault(str(each), set()).add(str(record))
        found |= {each: next(iter(records)) for each, records in made.items() if len(records) == 1}
    return found


def at_places(connection: Connection, schema: Schema, places: Mapping[str, Place]) -> dict[str, str]:
    """Return the one registration that stands at each place, by the WA id it was asked for."""
    if not places:
        return {}
    row = schema.registrations
    asked = listed(
        "places",
        wa_id=list(places),
        member=[member for member, _ in places.values()],
        event=[event for _, event in places.values()],
    )
    rows = connection.execute(
        select(asked.c.wa_id, func.min(as_text(row.c.id)))
        .join(row, (as_text(row.c.member_id) == asked.c.member) & (as_text(row.c.event_id) == asked.c.event))
        .group_by(asked.c.wa_id)
        .having(func.count() == 1)
    )
    return {str(wa_id): str(record) for wa_id, record in rows}
