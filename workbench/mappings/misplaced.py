"""Registrations that are not where their import brought them, or that it brought there by a wrong mapping (guide §1.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import islice, product
from typing import Any, NamedTuple

from sqlalchemy import Connection

from workbench.mappings.queries import NEEDS, Key, fetch, mapping_rows, possible_ids, standing_corrections
from workbench.mappings.traces import claims, latest_told, reported_claims
from workbench.murmurant.exports import CONTACT_ID, EVENT_ID
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION
from workbench.plans.standing import merged

COLUMN_OF = {MEMBER: "member_id", EVENT: "event_id"}
"""The column of a registration that leads to the entity."""

_FIELD = {MEMBER: "memberId", EVENT: "eventId"}
_EXPORTED = {MEMBER: CONTACT_ID, EVENT: EVENT_ID}

_BY_REPORT, _BY_EXPORT = "its report brought it for the right one", "Wild Apricot's export says whose it is"
BY_HAND = "somebody moved it by hand since"


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

    @property
    def moves(self) -> bool:
        """Whether it is to move."""
        return not self.because


def _reported_places(
    connection: Connection, schema: Schema, runs: Sequence[Run]
) -> dict[str, dict[str, Any]]:
    """Return of each registration of which a report tells it the ``wa_id``, ``Member`` and ``Event``; merges followed."""
    told = [
        one
        for one in latest_told(runs, REGISTRATION).values()
        if one.record_id and all(one.fields.get(name) for name in _FIELD.values())
    ]
    into = merged(connection, schema) if told else {}
    return {
        str(one.record_id): {"wa_id": one.wa_id}
        | {
            entity: into.get((entity, str(one.fields[name])), (str(one.fields[name]), ""))[0]
            for entity, name in _FIELD.items()
        }
        for one in told
    }


def brought_elsewhere(
    connection: Connection, schema: Schema, runs: Sequence[Run]
) -> list[dict[str, Any]] | None:
    """List the registrations that are on another event or person than their import's report says.

    One that is where a corrected mapping leads through which it was brought (guide §4.2), or on the record that
    the other one was merged into, is where it belongs; as long as nobody took that back.

    Returns
    -------
    list of dict or None
        ``key``, ``wa_id``, ``event_now``, ``event_imported``, ``member_now``, ``member_imported``;
        None where no report lists registrations.
    """
    told = _reported_places(connection, schema, runs)
    if not told:
        return None
    ids = possible_ids(schema, told)
    columns = {name: [told[key][name] for key in ids] for name in ("wa_id", EVENT, MEMBER)} | {"ids": ids}
    rows = fetch(connection, schema, _ELSEWHERE, **columns)
    if not rows:
        return []
    taken: dict[Key, set[str]] = defaultdict(set)
    for claim in reported_claims(runs):
        taken[claim.place].add(claim.wa_id)
    meant = standing_corrections(connection, schema) if schema.has(*NEEDS) else ()

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
JOIN unnest(%(ids)s::ids, %(wa_id)s::text[], %(Event)s::text[], %(Member)s::text[]) AS told(key, wa_id, event, member)
  ON told.key = id
WHERE event_id::text <> told.event OR member_id::text <> told.member
ORDER BY 1
"""


_ON_WRONG = """
SELECT id::text AS key, member_id::text AS member, event_id::text AS event, coalesce(run_id, '') AS run
FROM registrations WHERE member_id::text = ANY (%(records)s::text[]) OR event_id::text = ANY (%(records)s::text[])
ORDER BY 1
"""
_MIXED = "id {} led there too, and nothing tells whose it is; Wild Apricot's export of registrations would (--export)"


def came_through(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    wrongs: Sequence[Wrong],
    exports: Sequence[ReportRecord] = (),
) -> list[Misplaced]:
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
    if not wrongs or not schema.has(*(f"registrations.{name}" for name in ("id", *COLUMN_OF.values()))):
        return []
    wrong_by: dict[Key, list[Wrong]] = defaultdict(list)
    for wrong in wrongs:
        wrong_by[wrong.entity, wrong.was].append(wrong)
    records = {was for _, was in wrong_by}
    rows = fetch(connection, schema, _ON_WRONG, records=list(records))
    keys = {row.key for row in rows}
    told = _reported_places(connection, schema, runs)
    ids = {key: told[key]["wa_id"] for key in keys & told.keys()}
    rivals: dict[Key, set[str]] = defaultdict(set)
    for row in mapping_rows(connection, schema, records=keys | records):
        if row.entity == REGISTRATION:
            ids[row.target] = row.wa_id
        elif all(row.wa_id != wrong.wa_id for wrong in wrong_by[row.entity, row.target]):
            rivals[row.entity, row.target].add(row.wa_id)
    owned = {one.wa_id: one.fields for one in exports if one.entity == REGISTRATION}
    asked = {wa_id for some in rivals.values() for wa_id in some} | {wrong.wa_id for wrong in wrongs}
    takers, took, makers = defaultdict[Any, set[str]](set), set(), defaultdict[str, set[str]](set)
    for claim in claims(connection, schema, runs, records=keys | records, wa_ids=asked):
        takers[claim.run, claim.place].add(claim.wa_id)
        took.add((claim.run, claim.key))
        if claim.entity == REGISTRATION and claim.born:
            makers[claim.record].add(claim.run)
    by_hand = _moved_by_hand(connection, schema, keys)

    def ways(row: Any, place: Key) -> Iterator[tuple[Wrong, str, str]]:
        """Yield through which mappings a registration may have come to a place, the surest first."""
        said = told.get(row.key, {}).get(place[0], place[1])
        owner = str(owned.get(ids.get(row.key), {}).get(_EXPORTED[place[0]]))
        yield from ((wrong, _BY_REPORT, "") for wrong in wrong_by[place] if wrong.right == said)
        yield from ((wrong, _BY_EXPORT, "") for wrong in wrong_by[place] if wrong.wa_id == owner)
        runs_of_it = {*makers[row.key], row.run} - {""} if said == place[1] else ()
        for wrong, run in product(wrong_by[place], sorted(runs_of_it)):
            if wrong.wa_id in takers[run, place]:
                # Whom the run took this record for as well, or who leads there and may have then: nobody can tell.
                others = {wa_id for wa_id in rivals[place] if (run, (place[0], wa_id)) not in took}
                others |= takers[run, place] - {wrong.wa_id}
                yield (
                    wrong,
                    f"run {run} took the wrong record for this id and brought it",
                    _MIXED.format(min(others)) if others else "",
                )

    found = []
    for row in rows:
        for place in ((EVENT, row.event), (MEMBER, row.member)):
            for wrong, evidence, because in islice(ways(row, place), 1):
                column = COLUMN_OF[wrong.entity]
                because = BY_HAND if (row.key, column) in by_hand else because
                where = (row.key, ids.get(row.key, ""), column, wrong.was, wrong.right, wrong.key)
                found.append(Misplaced(*where, evidence, because))
    return found


def _moved_by_hand(connection: Connection, schema: Schema, keys: Collection[str]) -> set[Key]:
    """Return the registrations, and which column, that somebody changed outside any run."""
    spelled = schema.resolved["registrations"].spelling
    rows = fetch(connection, schema, _BY_HAND, keys=list(keys)) if keys else ()
    return {
        (row.key, column) for row in rows for column in COLUMN_OF.values() if spelled[column] in row.before
    }


_BY_HAND = """
SELECT resource_id::text AS key, before FROM audit
WHERE resource_type = 'Registration' AND resource_id::text = ANY (%(keys)s::text[]) AND run_id IS NULL
  AND jsonb_typeof(before) = 'object'
"""


def written_through(
    connection: Connection, schema: Schema, runs: Sequence[Run], wrongs: Sequence[Wrong]
) -> list[tuple[Wrong, str]]:
    """Return the runs that updated a wrong record with what they knew of an id, each with the mapping."""
    expected = {(wrong.entity, wrong.wa_id, wrong.was): wrong for wrong in wrongs}
    said = claims(connection, schema, runs, records={wrong.was for wrong in wrongs}) if wrongs else []
    found = {
        (one.run, wrong.key): wrong
        for one in said
        if one.action == "updated" and one.run and (wrong := expected.get(one[:3]))
    }
    return [(wrong, run) for (run, _), wrong in sorted(found.items())]
