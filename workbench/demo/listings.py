"""What a run's report lists: its records, in the words of the CSV importer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain, islice

from workbench.demo.history import Mode
from workbench.demo.people import Gathering, Person, booking, gathering, person, resized, today
from workbench.demo.reports import Record, iso
from workbench.demo.shape import Origin, Shape, ident

Name = Callable[[str, int], str]
"""How a source names the n-th record of an entity: ``WA001`` in a CSV export, digits in the guide."""


def csv_name(shape: Shape) -> Name:
    """Return how the CSV export names records: counted from one within the export."""
    known = {"Member": shape.first_members, "Event": shape.first_events}

    def name(entity: str, index: int) -> str:
        if entity == "Registration":
            return f"REG{index:04d}"
        base = known[entity]
        # Records of the export's own come first, those the club had already after them.
        number = index - base + 1 if index >= base else 5001 + index
        return f"{'WA' if entity == 'Member' else 'EVT'}{number:03d}"

    return name


def member_record(one: Person, wa_id: str, action: str, record: str | None) -> Record:
    """Return a member as a report lists it."""
    return {
        "firstName": one.given,
        "lastName": one.family,
        "email": one.email,
        "joinedAt": iso(one.joined),
        "membershipStatusCode": one.tier,
        "phone": one.phone,
        "waMembershipLevel": one.level,
        "_waId": wa_id,
        "_action": action,
        "_murmurantId": record,
    }


def event_record(event: Gathering, wa_id: str, action: str, record: str | None) -> Record:
    """Return an event as a report lists it."""
    return {
        "title": event.title,
        "startTime": iso(event.start),
        "isPublished": event.published,
        "description": "Come along",
        "category": event.category,
        "location": event.location,
        "endTime": iso(event.end),
        "capacity": event.capacity,
        "_waId": wa_id,
        "_action": action,
        "_murmurantId": record,
    }


def registration_record(
    member: str, event: str, status: str, registered: datetime, wa_id: str, action: str, record: str | None
) -> Record:
    """Return a registration as a report lists it."""
    return {
        "memberId": member,
        "eventId": event,
        "status": status,
        "registeredAt": iso(registered),
        "_waId": wa_id,
        "_action": action,
        "_murmurantId": record,
    }


def listing(shape: Shape, origin: Origin, mode: Mode, name: Name) -> dict[str, Iterator[Record]]:
    """Return what a run's report lists: what it created and updated first, then what it left alone."""

    def record(entity: str, index: int, by: Origin) -> str:
        # A dry run makes up an id for what is not there yet.
        unborn = mode == "dry" and by == origin
        return f"dry-{ident(shape.seed, f'dry {entity}', index)}" if unborn else shape.id(entity, index)

    def members(wanted: str) -> Iterator[Record]:
        for index in range(shape.first_members if origin == "first" else shape.members):
            by = shape.origin("Member", index)
            updates = shape.csv_updates if origin == "csv" else shape.second_updates
            if _action(by, origin, updates(index)) == wanted:
                as_is = wanted == "update" or by == "csv"
                one = today(shape, index)[0] if as_is else person(shape, index)
                yield member_record(one, name("Member", index), wanted, record("Member", index, by))

    def events(wanted: str) -> Iterator[Record]:
        for index in range(shape.events):
            by = shape.origin("Event", index)
            if _action(by, origin, origin == "second" and resized(shape, index)) == wanted:
                event = gathering(shape, index)
                yield event_record(event, name("Event", index), wanted, record("Event", index, by))

    def registrations(wanted: str) -> Iterator[Record]:
        for slot in shape.slots():
            if (slot.origin == origin) is not (wanted == "create"):
                continue
            booked = booking(shape, slot)
            if _action(slot.origin, origin, booked.before is not None) != wanted:
                continue
            yield registration_record(
                record("Member", slot.member, shape.origin("Member", slot.member)),
                record("Event", slot.event, shape.origin("Event", slot.event)),
                (origin == "first" and booked.before) or booked.status,
                booked.registered,
                name("Registration", slot.number),
                wanted,
                record("Registration", slot.number, slot.origin),
            )

    def whole(part: Callable[[str], Iterator[Record]], known: bool = True) -> Iterator[Record]:
        return chain.from_iterable(map(part, ("create", "update", "skip") if known else ("create",)))

    # A CSV export lists what somebody chose to export: its new people and those it corrects, two events.
    return {
        "members": chain(members("create"), members("update")) if origin == "csv" else whole(members),
        "events": chain(events("create"), islice(events("skip"), 2)) if origin == "csv" else whole(events),
        "registrations": whole(registrations, known=origin == "second"),
    }


def _action(by: Origin, origin: Origin, updates: bool) -> str:
    """Return what the run of an origin did with a record another, or itself, had brought."""
    if by == origin:
        return "create"
    if by != "first" or origin == "first":
        return ""
    return "update" if updates else "skip"
