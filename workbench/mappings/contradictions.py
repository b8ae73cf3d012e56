"""Who contradicts a mapping: the traces of its own creation, asked as plain joins (guide §1.2).

Four witnesses, each enough: an audit row, or the importer's report, says that another record, which still exists, was
created for this id; the record's raw Wild Apricot data name another contact, whose id does not lead here; the importer's
report has another name *and* another e-mail for this id (one of the two changes when people marry or move; both at once
is somebody else); of a registration, a report or an export has another member or event, whose registration is there. None
of them counts against a mapping to the very record that was created for this id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from workbench.mappings.queries import Key, fetch, mapping_rows, standing_corrections
from workbench.mappings.traces import LOGGED, claims, latest_told, reported_claims, there
from workbench.murmurant.exports import CONTACT_ID, EVENT_ID
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

BY_AUDIT, BY_REPORT = "its audit row created another record", "its report created another record"

Place = tuple[str, str]
"""Member and event, by Murmurant's ids."""

_PLACED = "unnest(%(placed)s::text[], %(members)s::text[], %(events)s::text[]) AS said(wa_id, member, event)"

# Of each entity what it is compared by, and what its finding shows besides.
_THING = {
    MEMBER: (
        "SELECT id, first_name || ' ' || last_name AS name, email AS other, wa_raw ->> 'waContactId' AS contact,"
        " NULL::text AS member, NULL::text AS event, first_name, last_name, email FROM members",
        "first_name, last_name, email,",
    ),
    EVENT: (
        "SELECT id, title AS name, to_char(start, 'YYYY-MM-DD HH24:MI') AS other, NULL::text AS contact,"
        " NULL::text AS member, NULL::text AS event, title, start FROM events",
        "title, start,",
    ),
    REGISTRATION: (
        "SELECT id, NULL::text AS name, NULL::text AS other, NULL::text AS contact,"
        " member_id::text AS member, event_id::text AS event FROM registrations",
        "",
    ),
}
_KNOWN = f"""WITH
led AS NOT MATERIALIZED (SELECT id::text AS mapping, wa_id, target FROM mappings WHERE entity_type = %(entity)s),
thing AS NOT MATERIALIZED ({{thing}}),
born AS (
  SELECT wa_id, record, '{BY_AUDIT}' AS evidence FROM ({LOGGED}) AS logged
  WHERE entity = %(entity)s AND action = 'created' AND run <> ALL (%(rolled_back)s::text[])
  UNION ALL
  SELECT wa_id, record, '{BY_REPORT}' FROM unnest(%(born)s::text[], %(became)s::text[]) AS made(wa_id, record)
)"""
_CONTRADICTED = f"""{_KNOWN},
against AS (
  SELECT led.*, evidence FROM led JOIN born USING (wa_id) JOIN thing ON thing.id::text = record
  WHERE record <> target::text
  UNION
  SELECT led.*, 'its raw data name another contact' FROM led JOIN thing ON thing.id = target
  WHERE contact <> wa_id AND NOT EXISTS (SELECT FROM led AS own WHERE own.wa_id = contact AND own.target = thing.id)
  UNION
  SELECT led.*, 'its report names another'
  FROM led JOIN unnest(%(told)s::text[], %(names)s::text[], %(others)s::text[]) AS said(wa_id, name, other) USING (wa_id)
  JOIN thing ON thing.id = target
  WHERE lower(trim(said.name)) <> lower(trim(thing.name)) AND lower(trim(said.other)) <> lower(trim(thing.other))
  UNION
  SELECT led.*, 'its report or export has another member or event, whose registration is there'
  FROM led JOIN {_PLACED} USING (wa_id) JOIN thing ON thing.id = target
  JOIN thing AS there ON there.member = said.member AND there.event = said.event
  WHERE (thing.member, thing.event) <> (said.member, said.event)
)
SELECT %(entity)s || '/' || wa_id AS key, mapping, wa_id, target::text AS target, {{shown}} evidence
FROM (
  SELECT mapping, wa_id, target, string_agg(DISTINCT evidence, ', ') AS evidence FROM against GROUP BY 1, 2, 3
) AS accused
JOIN thing ON thing.id = target
WHERE NOT EXISTS (SELECT FROM born WHERE born.wa_id = accused.wa_id AND born.record = target::text)
ORDER BY 1, 2
"""
_SILENT = f"""{_KNOWN}
SELECT EXISTS (SELECT FROM led) AND NOT EXISTS (SELECT FROM born)
   AND NOT EXISTS (SELECT FROM thing WHERE contact IS NOT NULL)
"""
_STANDING = f"""
SELECT wa_id, min(id::text) AS record
FROM registrations JOIN {_PLACED} ON member_id::text = said.member AND event_id::text = said.event
GROUP BY wa_id HAVING count(*) = 1
"""


def contradicted(
    connection: Connection,
    schema: Schema,
    entity: str,
    runs: Sequence[Run],
    exports: Sequence[ReportRecord] = (),
    places: Mapping[str, Place] | None = None,
) -> Sequence[Any] | None:
    """List the mappings of `entity` that the traces of its own creation contradict.

    Parameters
    ----------
    places : mapping of str to (member, event), optional
        For registrations, from `told_places`.

    Returns
    -------
    sequence of Row or None
        ``key``, ``mapping`` (its own id), ``wa_id``, ``target``, some of the record's columns and
        ``evidence``; None where nothing here tells what an id was imported as.
    """
    told = latest_told(runs, entity, exports)
    made = {
        (one.wa_id, one.record)
        for one in reported_claims(runs)
        if one.entity == entity and one.action == "created"
    }
    thing, shown = _THING[entity]
    facts = {
        "entity": entity,
        "rolled_back": [run.run for run in runs if run.rolled_back],
        "born": [wa_id for wa_id, _ in made],
        "became": [record for _, record in made],
    }
    names, others = zip(*(_called(one.fields) for one in told.values()), strict=True) if told else ((), ())
    said = {"told": list(told), "names": list(names), "others": list(others), **_placed(places or {})}
    rows = fetch(connection, schema, _CONTRADICTED.format(thing=thing, shown=shown), **facts, **said)
    if rows:
        meant = {(one.entity, one.wa_id, one.record) for one in standing_corrections(connection, schema)}
        return [row for row in rows if (entity, row.wa_id, row.target) not in meant]
    silent = not told and fetch(connection, schema, _SILENT.format(thing=thing), **facts)[0][0]
    return None if silent else []


def _called(fields: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a contact's name and e-mail, or an event's title and start, as the database has them."""
    name = " ".join(str(fields[each]) for each in ("firstName", "lastName", "title") if fields.get(each))
    start = str(fields.get("startTime") or "")[:16].replace("T", " ")
    return name or None, str(fields.get("email") or "") or start or None


def _placed(places: Mapping[str, Place]) -> dict[str, list[str]]:
    members, events = zip(*places.values(), strict=True) if places else ((), ())
    return {"placed": list(places), "members": list(members), "events": list(events)}


def told_places(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    exports: Sequence[ReportRecord] = (),
    doubted: Collection[Key] = (),
) -> dict[str, Place]:
    """Return the place of each registration that is told of, by its WA id; an export's word counts before a report's.

    A report names member and event themselves. An export names them by their own ids; these lead to records by what was
    created for them, or by their mapping unless it is `doubted`. Where one of the two is in doubt, nothing is said of the
    registration: a wrong member's mapping must not accuse a right one of hers.
    """
    told = {wa_id: one.fields for wa_id, one in latest_told(runs, REGISTRATION, exports).items()}
    named = {
        wa_id: ((MEMBER, str(fields[CONTACT_ID])), (EVENT, str(fields.get(EVENT_ID))))
        for wa_id, fields in told.items()
        if CONTACT_ID in fields
    }
    leads = _undoubted(connection, schema, runs, {key for pair in named.values() for key in pair}, doubted)
    places = {
        wa_id: tuple(leads.get(key, "") for key in named[wa_id])
        if wa_id in named
        else (str(fields.get("memberId") or ""), str(fields.get("eventId") or ""))
        for wa_id, fields in told.items()
    }
    return {wa_id: (place[0], place[1]) for wa_id, place in places.items() if all(place)}


def _undoubted(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    keys: Collection[Key],
    doubted: Collection[Key],
) -> dict[Key, str]:
    wa_ids = {wa_id for _, wa_id in keys}
    led, made = defaultdict[Key, set[str]](set), defaultdict[Key, set[str]](set)
    for row in mapping_rows(connection, schema, wa_ids=wa_ids):
        if (row.entity, row.wa_id) not in doubted:
            led[row.entity, row.wa_id].add(row.target)
    born = [one for one in claims(connection, schema, runs, wa_ids=wa_ids) if one.born] if keys else []
    here = there(connection, schema, {one.place for one in born if one.key in keys})
    for one in born:
        if one.place in here:
            made[one.key].add(one.record)
    return {key: next(iter(to)) for source in (led, made) for key, to in source.items() if len(to) == 1}


def at_places(connection: Connection, schema: Schema, places: Mapping[str, Place]) -> dict[str, str]:
    """Return the one registration that stands at each place, by the WA id it was asked for."""
    rows = fetch(connection, schema, _STANDING, **_placed(places)) if places else ()
    return {row.wa_id: row.record for row in rows}
