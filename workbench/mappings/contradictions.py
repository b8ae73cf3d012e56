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

from workbench.mappings.queries import Key, fetch, mapping_rows, read_sql, standing_corrections
from workbench.mappings.traces import claims, latest_told, reported_claims, there
from workbench.murmurant.exports import CONTACT_ID, EVENT_ID
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

Place = tuple[str, str]
"""Member and event, by Murmurant's ids."""

_SILENT = """
SELECT EXISTS (SELECT FROM mappings WHERE entity_type = %(entity)s)
   AND NOT EXISTS (
     SELECT FROM audit
     WHERE action = 'CREATE' AND resource_type = %(entity)s AND metadata ? 'waId'
       AND coalesce(run_id, '') <> ALL (%(rolled_back)s::text[])
   )
   AND NOT EXISTS (SELECT FROM members WHERE %(entity)s = 'Member' AND wa_raw ? 'waContactId')
"""
_STANDING = """
SELECT wa_id, min(id::text) AS record
FROM registrations
JOIN unnest(%(placed)s::text[], %(members)s::text[], %(events)s::text[]) AS said(wa_id, member, event)
  ON member_id::text = said.member AND event_id::text = said.event
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
        ``key``, ``mapping`` (its own id), ``wa_id``, ``target``, ``evidence``, and what people know the record by
        (NULL what it has not); None where nothing here tells what an id was imported as.
    """
    told = latest_told(runs, entity, exports)
    born = {
        (one.wa_id, one.record)
        for one in reported_claims(runs)
        if one.entity == entity and one.action == "created"
    }
    called = [_called(one.fields) for one in told.values()]
    about = {"entity": entity, "rolled_back": [run.run for run in runs if run.rolled_back]}
    rows = fetch(
        connection,
        schema,
        read_sql("contradicted.sql"),
        **about,
        born=[wa_id for wa_id, _ in born],
        became=[record for _, record in born],
        told=list(told),
        names=[name for name, _ in called],
        others=[other for _, other in called],
        **_placed(places or {}),
    )
    if rows:
        meant = {(one.entity, one.wa_id, one.record) for one in standing_corrections(connection, schema)}
        return [row for row in rows if (entity, row.wa_id, row.target) not in meant]
    silent = not told and not born and fetch(connection, schema, _SILENT, **about)[0][0]
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
