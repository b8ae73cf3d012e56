"""Where registrations belong, and which are elsewhere or were imported through a wrong mapping (guide §1.2)."""

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
"""The column of a registration that refers to the entity."""

MOVED_BY_HAND = "somebody moved it by hand since"

_ELSEWHERE = """
SELECT id::text AS key, place.wa_id, event_id::text AS event_now, place.event AS event_imported,
       member_id::text AS member_now, place.member AS member_imported
FROM registrations
JOIN unnest(%(records)s::text[], %(placed)s::text[], %(events)s::text[], %(members)s::text[]) AS place(key, wa_id, event, member)
  ON place.key = id::text
WHERE event_id::text <> place.event OR member_id::text <> place.member
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
    """Where a registration belongs: its member's and event's ids, empty where unknown or in doubt.

    Attributes
    ----------
    record : str
        Its own id, where a report names it.
    exported : bool
        Whether Wild Apricot's export says so, rather than a report.
    """

    member: str = ""
    event: str = ""
    record: str = ""
    exported: bool = False


class Wrong(NamedTuple):
    """A mapping of a member or event that leads, or led, to the wrong record."""

    entity: str
    wa_id: str
    was: str
    right: str


def imported_places(
    traces: Traces, doubted: Collection[Key] = (), rights: Mapping[Key, str] | None = None
) -> dict[str, Place]:
    """Return the place of each registration in exports and reports, by its WA id; exports take precedence.

    A report names the member's and event's records; merges are followed. An export names WA ids. These lead to their
    `rights`, else to what was created for them, else where their mapping leads unless it is `doubted`: a wrong mapping of
    a member must not accuse that member's registrations.
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
            fields = record.fields
            named = ((MEMBER, str(fields.get("memberId") or "")), (EVENT, str(fields.get("eventId") or "")))
            member, event = (into.get(place, (place[1],))[0] for place in named)
        places[wa_id] = Place(member, event, record.record_id or "", wa_id in exported)
    return places


def _sure_records(traces: Traces, keys: Collection[Key], doubted: Collection[Key]) -> dict[Key, str]:
    """Return the one record that was created for each id, else the one that it leads to."""
    targets, created = defaultdict[Key, set[str]](set), defaultdict[Key, set[str]](set)
    for row in traces.mappings(wa_ids={wa_id for _, wa_id in keys}):
        if (row.entity, row.wa_id) not in doubted:
            targets[row.entity, row.wa_id].add(row.target)
    for claim in traces.births(keys):
        if claim.born:
            created[claim.key].add(claim.record)
    return {
        key: min(records)
        for source in (targets, created)
        for key, records in source.items()
        if len(records) == 1
    }


def as_parameters(places: Mapping[str, Place]) -> dict[str, list[str]]:
    """Return the places whose member and event are both known, as parameters of a query."""
    whole = {wa_id: place for wa_id, place in places.items() if place.member and place.event}
    return {
        "placed": [*whole],
        "members": [place.member for place in whole.values()],
        "events": [place.event for place in whole.values()],
    }


def registrations_elsewhere(traces: Traces) -> list[dict[str, Any]] | None:
    """List the registrations that are on another event or person than their import's report says.

    One that moved along with a correction of the mapping through which it was imported (guide §4.2), or whose member or
    event was merged, is where it belongs.

    Returns
    -------
    list of dict or None
        ``key``, ``wa_id``, ``event_now``, ``event_imported``, ``member_now``, ``member_imported``;
        None where no report lists registrations.
    """
    places = {
        wa_id: place
        for wa_id, place in imported_places(traces).items()
        if place.record and place.member and place.event
    }
    if not places:
        return None
    records = [place.record for place in places.values()]
    # Sorted here: with an ORDER BY the server would walk an index and compare each row with every place.
    rows = sorted(traces.fetch(_ELSEWHERE, records=records, **as_parameters(places)), key=lambda row: row.key)
    # Deliberate moves lead from the record that an id was imported as, or led to before its correction.
    moves: set[tuple[str, str, str]] = set()
    if rows and traces.schema.has(*NEEDS):
        imported = defaultdict[Key, set[str]](set)
        for claim in traces.reported_claims:
            imported[claim.key].add(claim.record)
        known = {claim.place for claim in traces.reported_claims}
        for row in traces.corrections:
            moves |= {(row.entity, record, row.record) for record in imported[row.entity, row.wa_id]}
            if (row.entity, row.was) not in known:
                moves.add((row.entity, row.was, row.record))
    return [
        row._asdict()
        for row in rows
        if any(
            now not in (None, was) and (entity, was, now) not in moves
            for entity, was, now in (
                (EVENT, row.event_imported, row.event_now),
                (MEMBER, row.member_imported, row.member_now),
            )
        )
    ]


def imported_through(traces: Traces, wrongs: Sequence[Wrong]) -> list[dict[str, str]]:
    """List the registrations that are on a wrong event or person because of a wrong mapping.

    A report or Wild Apricot's export says that the registration belongs to the right record and it is on the wrong one;
    or the run that imported it took the wrong record for this id, and no other id could have led there. What people
    entered is never listed, and what somebody moved by hand since stays.

    Returns
    -------
    list of dict
        ``registration`` (its own id), its ``event`` and ``member``, ``wa_id`` (where known), ``column`` (``member_id`` or ``event_id``), ``now`` and
        ``right`` (the record it is on, and the one it belongs to), ``through`` (the mapping, ``Member/50012``),
        ``evidence``, and ``because``: why it must not move; empty where it may.
    """
    wrong_by: dict[Key, list[Wrong]] = defaultdict(list)
    for wrong in wrongs:
        wrong_by[wrong.entity, wrong.was].append(wrong)
    needs = (f"registrations.{name}" for name in ("id", *COLUMN_OF.values()))
    if not wrongs or not traces.schema.has(*needs):
        return []
    records = {was for _, was in wrong_by}
    rows = sorted(traces.fetch(_ON_WRONG, records=list(records)), key=lambda row: row.key)
    keys = {row.key for row in rows}
    places = imported_places(traces, rights={(wrong.entity, wrong.wa_id): wrong.right for wrong in wrongs})
    wa_ids = {place.record: wa_id for wa_id, place in places.items()}
    leading: dict[Key, set[str]] = defaultdict(set)
    for mapping in traces.mappings(records=keys | records):
        if mapping.entity == REGISTRATION:
            wa_ids[mapping.target] = mapping.wa_id
        else:
            leading[mapping.entity, mapping.target].add(mapping.wa_id)
    asked = {wa_id for ids in leading.values() for wa_id in ids} | {wrong.wa_id for wrong in wrongs}
    # Which ids each run took a record for, which ids it took at all, and which runs created a registration.
    taken_for, took, makers = defaultdict[Any, set[str]](set), set(), defaultdict[str, set[str]](set)
    for claim in traces.claims(records=keys | records, wa_ids=asked):
        taken_for[claim.run, claim.place].add(claim.wa_id)
        took.add((claim.run, claim.key))
        if claim.entity == REGISTRATION and claim.born:
            makers[claim.record].add(claim.run)
    by_hand = _moved_by_hand(traces, keys)

    def way(row: Any, place: Key, right: str, exported: bool) -> tuple[Wrong, str, str] | None:
        """Return the mapping through which a registration got to a place, the evidence, and any doubt."""
        for wrong in wrong_by[place]:
            if wrong.right == right:
                source = "Wild Apricot's export" if exported else "its report"
                return wrong, f"{source} names the right record", ""
        if right and (right != place[1] or exported):
            return None
        for wrong in wrong_by[place]:
            for run in sorted({*makers[row.key], row.run} - {""}):
                if wrong.wa_id in taken_for[run, place]:
                    # Other ids that the run took this record for, or whose mapping may have led here at the time.
                    silent = {wa_id for wa_id in leading[place] if (run, (place[0], wa_id)) not in took}
                    corrected = {other.wa_id for other in wrong_by[place]}
                    others = (silent - corrected) | (taken_for[run, place] - {wrong.wa_id})
                    evidence = f"run {run} took the wrong record for this id and imported it"
                    doubt = "Wild Apricot's export of registrations (--export) would decide it"
                    return wrong, evidence, f"id {min(others)} led there too; {doubt}" if others else ""
        return None

    moves = []
    for row in rows:
        wa_id = wa_ids.get(row.key, "")
        place = places.get(wa_id, Place())
        for entity, now, right in ((EVENT, row.event, place.event), (MEMBER, row.member, place.member)):
            if came := way(row, (entity, now), right, place.exported):
                wrong, evidence, doubt = came
                column = COLUMN_OF[entity]
                moves.append(
                    {
                        "registration": row.key,
                        "event": row.event,
                        "member": row.member,
                        "wa_id": wa_id,
                        "column": column,
                        "now": now,
                        "right": wrong.right,
                        "through": f"{wrong.entity}/{wrong.wa_id}",
                        "evidence": evidence,
                        "because": MOVED_BY_HAND if (row.key, column) in by_hand else doubt,
                    }
                )
    return moves


def _moved_by_hand(traces: Traces, keys: Collection[str]) -> set[Key]:
    """Return the registrations, and the column, that somebody changed outside any run."""
    spelling = traces.schema.resolved["registrations"].spelling
    rows = traces.fetch(_BY_HAND, keys=list(keys)) if keys else ()
    return {
        (row.key, column) for row in rows for column in COLUMN_OF.values() if spelling[column] in row.before
    }
