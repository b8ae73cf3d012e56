"""The same person, event or registration under several ids (guide, §1.4)."""

from __future__ import annotations

from datetime import timedelta

from workbench.demo.breakages.ground import all_victims, events_of, members_of, run
from workbench.demo.breakages.intruder import Cargo, entry, new_number, plant_run, start_of
from workbench.demo.breakages.truth import Connection, Harm, breakage
from workbench.demo.club import Club
from workbench.demo.people import Person, gathering, person


def _variant(club: Club, email: str, way: int) -> str:
    """Spell an e-mail address differently, where the application forbids the same one twice."""
    if club.dialect == "guide":
        return email
    local, domain = email.split("@")
    return (email.title(), f"{local.replace('.', '')}@{domain}", f"{local}+club@{domain}")[way % 3]


def _copy(club: Club, one: Person, breakage: str, position: int, way: int) -> Person:
    number = new_number(club, breakage, "Member", position)
    return one._replace(
        number=number, id=club.shape.id("Member", number), email=_variant(club, one.email, way)
    )


@breakage("§1.4", "Member appears twice in list", "members-duplicate-email")
def duplicate_members(connection: Connection, club: Club) -> Harm:
    """Let a later run create members whom the club has already."""
    name = "duplicate-members"
    originals = [person(club.shape, number) for number in members_of(club, name)]
    copies = tuple(_copy(club, one, name, place, place) for place, one in enumerate(originals))
    planted = plant_run(connection, club, name, Cargo(copies))
    pairs = {one.id: twin.id for one, twin in zip(originals, copies, strict=True)}
    return {*pairs, *pairs.values()}, {"pairs": pairs, "run": planted.run}


@breakage("§1.4", "Duplicate events", "events-duplicate")
def duplicate_events(connection: Connection, club: Club) -> Harm:
    """Let a later run create events that the club has already, with guests of their own."""
    name = "duplicate-events"
    shape = club.shape
    originals = [gathering(shape, number) for number in events_of(club, name)]
    copies = []
    guests = []
    for place, event in enumerate(originals):
        number = new_number(club, name, "Event", place)
        twin = event._replace(number=number, id=shape.id("Event", number))
        copies.append(twin)
        for guest in (0, 1):  # a household, which no breakage harms
            registered = event.start - timedelta(days=5)
            guests.append(
                entry(club, name, 2 * place + guest, twin.id, shape.id("Member", guest), registered)
            )
    planted = plant_run(connection, club, name, Cargo((), tuple(copies), tuple(guests)))
    pairs = {one.id: twin.id for one, twin in zip(originals, copies, strict=True)}
    return {*pairs, *pairs.values()}, {"pairs": pairs, "run": planted.run}


@breakage("§1.4", "Split registrations", "registrations-split", "members-duplicate-email")
def split_registrations(connection: Connection, club: Club) -> Harm:
    """Let a later run create a guest of some event anew, and register the copy for the same event."""
    name = "split-registrations"
    shape = club.shape
    event = gathering(shape, events_of(club, name)[0])
    # Somebody the first run brought, confirmed for the event, and no other breakage's.
    held, wa_id = run(
        connection,
        club,
        """
        SELECT r.id::text, m."waId"
        FROM {registrations} r
        JOIN "WaIdMapping" m ON m.{target} = r."memberId" AND m."entityType" = 'Member'
        WHERE r."eventId" = %s AND r.status::text = 'CONFIRMED'
          AND r."memberId" <> ALL(%s::{ids}) AND m."waId"::int >= %s
        ORDER BY m."waId"::int LIMIT 1
        """,
        *(event.id, all_victims(club), shape.wa_id("Member", 5)),
    )[0]
    original = person(shape, int(wa_id) - shape.wa_id("Member", 0))
    twin = _copy(club, original, name, 0, 2)
    registered = min(event.start, start_of(name)) - timedelta(days=4)
    second = entry(club, name, 0, event.id, twin.id, registered)
    planted = plant_run(connection, club, name, Cargo((twin,), (), (second,)))
    return {held, second.id}, {"pairs": {original.id: twin.id}, "event": event.id, "run": planted.run}
