"""Where registrations belong by what is told of them, and those that are elsewhere, or came through a wrong mapping (guide §1.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from workbench.mappings.queries import NEEDS, Key
from workbench.mappings.traces import Traces
from workbench.murmurant.exports import CONTACT_ID, EVENT_ID
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION
from workbench.plans.journal import merged_records

COLUMN_OF = {MEMBER: "member_id", EVENT: "event_id"}
"""The column of a registration that leads to the entity."""

_BY_REPORT, _BY_EXPORT = "its report brought it for the right one", "Wild Apricot's export says whose it is"
_MIXED = "id {} led there too, and nothing tells whose it is; Wild Apricot's export of registrations would (--export)"
BY_HAND = "somebody moved it by hand since"

_STANDING = """
SELECT wa_id, min(id::text) AS record
FROM registrations
JOIN unnest(%(placed)s::text[], %(members)s::text[], %(events)s::text[]) AS said(wa_id, member, event)
  ON member_id::text = said.member AND event_id::text = said.event
GROUP BY wa_id HAVING count(*) = 1
"""
_ELSEWHERE = """
SELECT id::text AS key, told.wa_id, event_id::text AS event_now, told.event AS event_imported,
       member_id::text AS member_now, told.member AS member_imported
FROM registrations
JOIN unnest(%(records)s::text[], %(placed)s::text[], %(events)s::text[], %(members)s::text[]) AS told(key, wa_id, event, member)
  ON told.key = id::text
WHERE event_id::text <> told.event OR member_id::text <> told.member
"""
_ON_WRONG = """
SELECT id::text AS key, member_id::text AS member, event_id::text AS event, coalesce(run_id, '') AS run
FROM registrations WHERE member_id::text = ANY (%(records)s::text[]) OR event_id::text = ANY (%(records)s::text[])
"""
_BY_HAND = """
SELECT resource_id::text AS key, before FROM audit
WHERE resource_type = 'Registration' AND resource_id::text = ANY (%(keys)s::text[]) AND run_id IS NULL
  AND jsonb_typeof(before) = 'object'
"""


class Place(NamedTuple):
    """Where a registration belongs: the records of its member and event, empty where that is not told or in doubt.

    Attributes
    ----------
    record : str
        Its own id, where a report names it.
    exported : bool
        Whether Wild Apricot's export says so, and not a report.
    """

    member: str = ""
    event: str = ""
    record: str = ""
    exported: bool = False


class Wrong(NamedTuple):
    """A mapping of a member or event that led, or leads, to the wrong record: its id, the wrong record and the right one."""

    entity: str
    wa_id: str
    was: str
    right: str

    @property
    def key(self) -> str:
        """As people write it: ``Member/50012``."""
        return f"{self.entity}/{self.wa_id}"


def told_places(
    traces: Traces, doubted: Collection[Key] = (), rights: Mapping[Key, str] | None = None
) -> dict[str, Place]:
    """Return the place of each registration that is told of, by its WA id; an export's word counts before a report's.

    A report names member and event themselves; merges are followed. An export names them by their own ids; these lead
    to their `rights`, else to what was created for them, else by their mapping unless it is `doubted`: a wrong member's
    mapping must not accuse a right registration of hers.
    """
    reports = traces.reported[REGISTRATION]
    exported = {
        wa_id: ((MEMBER, str(record.fields[CONTACT_ID])), (EVENT, str(record.fields.get(EVENT_ID))))
        for wa_id, record in reports.items()
        if CONTACT_ID in record.fields
    }
    keys = {key for pair in exported.values() for key in pair}
    leads = (_sure_records(traces, keys, doubted) if keys else {}) | dict(rights or {})
    into = merged_records(traces.connection) if reports else {}
    places = {}
    for wa_id, record in reports.items():
        if pair := exported.get(wa_id):
            member, event = (leads.get(key, "") for key in pair)
        else:
            reported = [
                (MEMBER, str(record.fields.get("memberId") or "")),
                (EVENT, str(record.fields.get("eventId") or "")),
            ]
            member, event = (into.get(place, (place[1],))[0] for place in reported)
        places[wa_id] = Place(member, event, record.record_id or "", wa_id in exported)
    return places


def _sure_records(traces: Traces, keys: Collection[Key], doubted: Collection[Key]) -> dict[Key, str]:
    """Return the one record that was created for each of some ids, else the one that it leads to."""
    wa_ids = {wa_id for _, wa_id in keys}
    led, created = defaultdict[Key, set[str]](set), defaultdict[Key, set[str]](set)
    for row in traces.mappings(wa_ids=wa_ids):
        if (row.entity, row.wa_id) not in doubted:
            led[row.entity, row.wa_id].add(row.target)
    born = [claim for claim in traces.claims(wa_ids=wa_ids) if claim.born and claim.key in keys]
    there = traces.there({claim.place for claim in born})
    for claim in born:
        if claim.place in there:
            created[claim.key].add(claim.record)
    return {
        key: min(records) for source in (led, created) for key, records in source.items() if len(records) == 1
    }


def listed(places: Mapping[str, Place]) -> dict[str, list[str]]:
    """Return as parameters of a query those places of which both are known."""
    whole = {wa_id: place for wa_id, place in places.items() if place.member and place.event}
    return {
        "placed": [*whole],
        "members": [place.member for place in whole.values()],
        "events": [place.event for place in whole.values()],
    }


def at_places(traces: Traces, places: Mapping[str, Place]) -> dict[str, str]:
    """Return the one registration that stands at each place, by the WA id it was asked for."""
    rows = traces.ask(_STANDING, **listed(places)) if places else ()
    return {row.wa_id: row.record for row in rows}


def brought_elsewhere(traces: Traces) -> list[dict[str, Any]] | None:
    """List the registrations that are on another event or person than their import's report says.

    One that is where a corrected mapping leads through which it was brought (guide §4.2), or on the record that
    the other one was merged into, is where it belongs; as long as nobody took that back.

    Returns
    -------
    list of dict or None
        ``key``, ``wa_id``, ``event_now``, ``event_imported``, ``member_now``, ``member_imported``;
        None where no report lists registrations.
    """
    places_by_id = told_places(traces).items()
    places = {wa_id: place for wa_id, place in places_by_id if place.record and place.member and place.event}
    if not places:
        return None
    records = [place.record for place in places.values()]
    # Sorted here: the server, told not to sort, would walk an index in order and compare each row with all that is told.
    rows = sorted(traces.ask(_ELSEWHERE, records=records, **listed(places)), key=lambda row: row.key)
    # The places that ids lead to on purpose: from the record that an id was imported as, or led to before.
    meant: set[tuple[str, str, str]] = set()
    if rows and traces.schema.has(*NEEDS):
        taken: dict[Key, set[str]] = defaultdict(set)
        for claim in traces.reported_claims:
            taken[claim.key].add(claim.record)
        known = {claim.place for claim in traces.reported_claims}
        for row in traces.corrections:
            meant |= {(row.entity, record, row.record) for record in taken[row.entity, row.wa_id]}
            if (row.entity, row.was) not in known:
                meant.add((row.entity, row.was, row.record))
    return [
        row._asdict()
        for row in rows
        if any(
            now not in (None, stated) and (entity, stated, now) not in meant
            for entity, stated, now in (
                (EVENT, row.event_imported, row.event_now),
                (MEMBER, row.member_imported, row.member_now),
            )
        )
    ]


def came_through(traces: Traces, wrongs: Sequence[Wrong]) -> list[dict[str, str]]:
    """List the registrations that are on a wrong event or person because of a wrong mapping.

    A registration is listed where a report says that it was brought for the right record and it is on
    the wrong one; where Wild Apricot's export says whose it is; or where the run that brought it is known
    to have taken the wrong record for this id, and no other id could have led there. What people entered
    is never among them, and what somebody moved by hand since stays.

    Returns
    -------
    list of dict
        By ``registration`` (its own id): ``wa_id`` (where it is known), ``column`` (``member_id`` or ``event_id``), ``now``
        and ``right`` (the record it is on, and the one it belongs to), ``through`` (the mapping, ``Member/50012``),
        ``evidence``, and ``because``: why it is not to move all the same; empty for one that is.
    """
    wrong_by: dict[Key, list[Wrong]] = defaultdict(list)
    for wrong in wrongs:
        wrong_by[wrong.entity, wrong.was].append(wrong)
    needs = (f"registrations.{name}" for name in ("id", *COLUMN_OF.values()))
    if not wrongs or not traces.schema.has(*needs):
        return []
    records = {was for _, was in wrong_by}
    rows = sorted(traces.ask(_ON_WRONG, records=list(records)), key=lambda row: row.key)
    keys = {row.key for row in rows}
    places = told_places(traces, rights={(wrong.entity, wrong.wa_id): wrong.right for wrong in wrongs})
    ids = {place.record: wa_id for wa_id, place in places.items()}
    leading: dict[Key, set[str]] = defaultdict(set)
    for mapping in traces.mappings(records=keys | records):
        if mapping.entity == REGISTRATION:
            ids[mapping.target] = mapping.wa_id
        else:
            leading[mapping.entity, mapping.target].add(mapping.wa_id)
    asked = {wa_id for some in leading.values() for wa_id in some} | {wrong.wa_id for wrong in wrongs}
    takers, took, makers = defaultdict[Any, set[str]](set), set(), defaultdict[str, set[str]](set)
    for claim in traces.claims(records=keys | records, wa_ids=asked):
        takers[claim.run, claim.place].add(claim.wa_id)
        took.add((claim.run, claim.key))
        if claim.entity == REGISTRATION and claim.born:
            makers[claim.record].add(claim.run)
    by_hand = _moved_by_hand(traces, keys)

    def way(row: Any, place: Key, right: str, exported: bool) -> tuple[Wrong, str, str] | None:
        """Return the mapping through which a registration came to a place, what says so, and what is in doubt."""
        for wrong in wrong_by[place]:
            if wrong.right == right:
                return wrong, _BY_EXPORT if exported else _BY_REPORT, ""
        if right and (right != place[1] or exported):
            return None
        for wrong in wrong_by[place]:
            for run in sorted({*makers[row.key], row.run} - {""}):
                if wrong.wa_id in takers[run, place]:
                    # Whom the run took this record for as well, or who leads there and may have then: nobody can tell.
                    may_have = {wa_id for wa_id in leading[place] if (run, (place[0], wa_id)) not in took}
                    corrected = {other.wa_id for other in wrong_by[place]}
                    others = (may_have - corrected) | (takers[run, place] - {wrong.wa_id})
                    evidence = f"run {run} took the wrong record for this id and brought it"
                    return wrong, evidence, _MIXED.format(min(others)) if others else ""
        return None

    moves = []
    for row in rows:
        wa_id = ids.get(row.key, "")
        place = places.get(wa_id, Place())
        for entity, now, right in ((EVENT, row.event, place.event), (MEMBER, row.member, place.member)):
            if came := way(row, (entity, now), right, place.exported):
                wrong, evidence, doubt = came
                column = COLUMN_OF[entity]
                moves.append(
                    {
                        "registration": row.key,
                        "wa_id": wa_id,
                        "column": column,
                        "now": now,
                        "right": wrong.right,
                        "through": wrong.key,
                        "evidence": evidence,
                        "because": BY_HAND if (row.key, column) in by_hand else doubt,
                    }
                )
    return moves


def _moved_by_hand(traces: Traces, keys: Collection[str]) -> set[Key]:
    """Return the registrations, and which column, that somebody changed outside any run."""
    spelled = traces.schema.resolved["registrations"].spelling
    rows = traces.ask(_BY_HAND, keys=list(keys)) if keys else ()
    return {
        (row.key, column) for row in rows for column in COLUMN_OF.values() if spelled[column] in row.before
    }
