"""Where registrations belong by what is told of them, and those that are elsewhere, or came through a wrong mapping (guide §1.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from workbench.mappings.queries import NEEDS, Key
from workbench.mappings.traces import Traces
from workbench.murmurant.exports import CONTACT_ID, EVENT_ID
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION
from workbench.plans.standing import merged

COLUMN_OF = {MEMBER: "member_id", EVENT: "event_id"}
"""The column of a registration that leads to the entity."""

_BY_REPORT, _BY_EXPORT = "its report brought it for the right one", "Wild Apricot's export says whose it is"
BY_HAND = "somebody moved it by hand since"


class Place(NamedTuple):
    """Where a registration belongs: the records of its member and event, empty where that is not told or in doubt.

    Attributes
    ----------
    record : str
        Its own id, where a report names it.
    exported : bool
        Whether Wild Apricot's export says so, and not a report.
    """

    member: str
    event: str
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


class Misplaced(NamedTuple):
    """A registration on a wrong event or person.

    Attributes
    ----------
    registration, wa_id : str
        Its own id, and Wild Apricot's where it is known.
    column : {"member_id", "event_id"}
        Which of the two is wrong.
    now, right : str
        The record it is on, and the one it belongs to.
    through : str
        The mapping it came through, ``Member/50012``.
    evidence : str
        What says so.
    because : str
        Why it is not to move all the same; empty for one that is.
    """

    registration: str
    wa_id: str
    column: str
    now: str
    right: str
    through: str
    evidence: str
    because: str = ""


def told_places(
    traces: Traces, doubted: Collection[Key] = (), rights: Mapping[Key, str] | None = None
) -> dict[str, Place]:
    """Return the place of each registration that is told of, by its WA id; an export's word counts before a report's.

    A report names member and event themselves; merges are followed. An export names them by their own ids; these lead
    to their `rights`, else to what was created for them, else by their mapping unless it is `doubted`: a wrong member's
    mapping must not accuse a right registration of hers.
    """
    told = traces.told[REGISTRATION]
    named = {
        wa_id: ((MEMBER, str(one.fields[CONTACT_ID])), (EVENT, str(one.fields.get(EVENT_ID))))
        for wa_id, one in told.items()
        if CONTACT_ID in one.fields
    }
    keys = {key for pair in named.values() for key in pair}
    leads = _undoubted(traces, keys, doubted) | dict(rights or {})
    into = merged(traces.connection, traces.schema) if told else {}
    places = {}
    for wa_id, one in told.items():
        pair = [leads.get(key, "") for key in named.get(wa_id, ())]
        for entity, name in ((MEMBER, "memberId"), (EVENT, "eventId")) if not pair else ():
            record = str(one.fields.get(name) or "")
            pair.append(into.get((entity, record), (record, ""))[0])
        places[wa_id] = Place(pair[0], pair[1], one.record_id or "", wa_id in named)
    return places


def _undoubted(traces: Traces, keys: Collection[Key], doubted: Collection[Key]) -> dict[Key, str]:
    """Return the one record that each of some ids leads to, or that was created for it."""
    wa_ids = {wa_id for _, wa_id in keys}
    led, made = defaultdict[Key, set[str]](set), defaultdict[Key, set[str]](set)
    for row in traces.mappings(wa_ids=wa_ids):
        if (row.entity, row.wa_id) not in doubted:
            led[row.entity, row.wa_id].add(row.target)
    born = [one for one in traces.claims(wa_ids=wa_ids) if one.born] if keys else []
    here = traces.there({one.place for one in born if one.key in keys})
    for one in born:
        if one.place in here:
            made[one.key].add(one.record)
    return {key: next(iter(to)) for source in (led, made) for key, to in source.items() if len(to) == 1}


_STANDING = """
SELECT wa_id, min(id::text) AS record
FROM registrations
JOIN unnest(%(placed)s::text[], %(members)s::text[], %(events)s::text[]) AS said(wa_id, member, event)
  ON member_id::text = said.member AND event_id::text = said.event
GROUP BY wa_id HAVING count(*) = 1
"""


def listed(places: Mapping[str, Place]) -> dict[str, list[str]]:
    """Return as parameters of a query those places of which both are known."""
    whole = {wa_id: one for wa_id, one in places.items() if one.member and one.event}
    return {
        "placed": [*whole],
        "members": [one.member for one in whole.values()],
        "events": [one.event for one in whole.values()],
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
    places = {
        one.record: (wa_id, one)
        for wa_id, one in told_places(traces).items()
        if one.record and one.member and one.event
    }
    if not places:
        return None
    rows = traces.ask(_ELSEWHERE, records=[*places], **listed(dict(places.values())))
    if not rows:
        return []
    taken: dict[Key, set[str]] = defaultdict(set)
    for claim in traces.reported_claims:
        taken[claim.place].add(claim.wa_id)
    meant = traces.corrections if traces.schema.has(*NEEDS) else ()

    def wrong(entity: str, now: str | None, said: str) -> bool:
        ids = taken[entity, said]
        return now not in (None, said) and not any(
            (one.entity, one.record) == (entity, now) and (one.wa_id in ids or (not ids and one.was == said))
            for one in meant
        )

    return [
        row._asdict()
        for row in rows
        if wrong(EVENT, row.event_now, row.event_imported)
        or wrong(MEMBER, row.member_now, row.member_imported)
    ]


_ELSEWHERE = """
SELECT id::text AS key, told.wa_id, event_id::text AS event_now, told.event AS event_imported,
       member_id::text AS member_now, told.member AS member_imported
FROM registrations
JOIN unnest(%(records)s::text[], %(placed)s::text[], %(events)s::text[], %(members)s::text[]) AS told(key, wa_id, event, member)
  ON told.key = id::text
WHERE event_id::text <> told.event OR member_id::text <> told.member
ORDER BY 1
"""


_ON_WRONG = """
SELECT id::text AS key, member_id::text AS member, event_id::text AS event, coalesce(run_id, '') AS run
FROM registrations WHERE member_id::text = ANY (%(records)s::text[]) OR event_id::text = ANY (%(records)s::text[])
ORDER BY 1
"""
_MIXED = "id {} led there too, and nothing tells whose it is; Wild Apricot's export of registrations would (--export)"


def came_through(traces: Traces, wrongs: Sequence[Wrong]) -> list[Misplaced]:
    """List the registrations that are on a wrong event or person because of a wrong mapping.

    A registration is listed where a report says that it was brought for the right record and it is on
    the wrong one; where Wild Apricot's export says whose it is; or where the run that brought it is known
    to have taken the wrong record for this id, and no other id could have led there. What people entered
    is never among them, and what somebody moved by hand since stays.

    Returns
    -------
    list of Misplaced
        By their ids; those that are not to move with the reason.
    """
    wrongs = [wrong for wrong in wrongs if wrong.entity in COLUMN_OF]
    if not wrongs or not traces.schema.has(
        *(f"registrations.{name}" for name in ("id", *COLUMN_OF.values()))
    ):
        return []
    wrong_by: dict[Key, list[Wrong]] = defaultdict(list)
    for wrong in wrongs:
        wrong_by[wrong.entity, wrong.was].append(wrong)
    records = {was for _, was in wrong_by}
    rows = traces.ask(_ON_WRONG, records=list(records))
    keys = {row.key for row in rows}
    rights = {(wrong.entity, wrong.wa_id): wrong.right for wrong in wrongs}
    told = told_places(traces, rights=rights)
    ids = {one.record: wa_id for wa_id, one in told.items()}
    rivals: dict[Key, set[str]] = defaultdict(set)
    for row in traces.mappings(records=keys | records):
        if row.entity == REGISTRATION:
            ids[row.target] = row.wa_id
        elif all(row.wa_id != wrong.wa_id for wrong in wrong_by[row.entity, row.target]):
            rivals[row.entity, row.target].add(row.wa_id)
    asked = {wa_id for some in rivals.values() for wa_id in some} | {wrong.wa_id for wrong in wrongs}
    takers, took, makers = defaultdict[Any, set[str]](set), set(), defaultdict[str, set[str]](set)
    for claim in traces.claims(records=keys | records, wa_ids=asked):
        takers[claim.run, claim.place].add(claim.wa_id)
        took.add((claim.run, claim.key))
        if claim.entity == REGISTRATION and claim.born:
            makers[claim.record].add(claim.run)
    by_hand = _moved_by_hand(traces, keys)

    def ways(row: Any, place: Key, said: str, exported: bool) -> Iterator[tuple[Wrong, str, str]]:
        """Yield through which mappings a registration may have come to a place, the surest first."""
        yield from (
            (wrong, _BY_EXPORT if exported else _BY_REPORT, "")
            for wrong in wrong_by[place]
            if wrong.right == said
        )
        runs_of_it = (
            {*makers[row.key], row.run} - {""} if not said or (said == place[1] and not exported) else ()
        )
        for wrong, run in product(wrong_by[place], sorted(runs_of_it)):
            if wrong.wa_id in takers[run, place]:
                # Whom the run took this record for as well, or who leads there and may have then: nobody can tell.
                others = {wa_id for wa_id in rivals[place] if (run, (place[0], wa_id)) not in took}
                others |= takers[run, place] - {wrong.wa_id}
                because = _MIXED.format(min(others)) if others else ""
                yield wrong, f"run {run} took the wrong record for this id and brought it", because

    found = []
    for row in rows:
        wa_id = ids.get(row.key, "")
        said = told.get(wa_id, Place("", ""))
        for place, right in (((EVENT, row.event), said.event), ((MEMBER, row.member), said.member)):
            way = next(ways(row, place, right, said.exported), None)
            if way is not None:
                wrong, evidence, because = way
                column = COLUMN_OF[wrong.entity]
                because = BY_HAND if (row.key, column) in by_hand else because
                where = (row.key, wa_id, column, wrong.was, wrong.right, wrong.key)
                found.append(Misplaced(*where, evidence, because))
    return found


def _moved_by_hand(traces: Traces, keys: Collection[str]) -> set[Key]:
    """Return the registrations, and which column, that somebody changed outside any run."""
    spelled = traces.schema.resolved["registrations"].spelling
    rows = traces.ask(_BY_HAND, keys=list(keys)) if keys else ()
    return {
        (row.key, column) for row in rows for column in COLUMN_OF.values() if spelled[column] in row.before
    }


_BY_HAND = """
SELECT resource_id::text AS key, before FROM audit
WHERE resource_type = 'Registration' AND resource_id::text = ANY (%(keys)s::text[]) AND run_id IS NULL
  AND jsonb_typeof(before) = 'object'
"""


def written_through(traces: Traces, wrongs: Sequence[Wrong]) -> list[tuple[Wrong, str]]:
    """Return the runs that updated a wrong record with what they knew of an id, each with the mapping."""
    expected = {(wrong.entity, wrong.wa_id, wrong.was): wrong for wrong in wrongs}
    said = traces.claims(records={wrong.was for wrong in wrongs}) if wrongs else []
    found = {
        (one.run, wrong.key): wrong
        for one in said
        if one.action == "updated" and one.run and (wrong := expected.get(one[:3]))
    }
    return [(wrong, run) for (run, _), wrong in sorted(found.items())]
