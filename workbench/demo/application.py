"""The rows of a club in the application's dialect: what its importers wrote.

What people made themselves is in `doings`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any

from workbench.demo.guide import count, tier_ids, tiers
from workbench.demo.history import STARTS, Run, run_id, when
from workbench.demo.people import (
    LEVELS,
    STATUSES,
    TIERS,
    Change,
    Gathering,
    Person,
    booking,
    dashed,
    gathering,
    hand_moment,
    person,
    renamed,
    resized,
    today,
)
from workbench.demo.rows import Row, Rows
from workbench.demo.shape import FIRST_RUN, Origin, Shape, sibling, stamp

MEMBER_COLUMNS = (
    "id firstName lastName email phone joinedAt membershipStatusId membershipTierId waMembershipLevelRaw "
    "createdAt updatedAt profilePhotoId waRawData"
)
EVENT_COLUMNS = (
    "id title description category location startTime endTime capacity isPublished status requiresRegistration "
    "eventChairId createdAt updatedAt"
)
REGISTRATION_COLUMNS = "id eventId memberId status waitlistPosition registeredAt createdAt updatedAt"
MAPPING_COLUMNS = "id entityType waId clubosId syncedAt updatedAt"
AUDIT_COLUMNS = "id action resourceType resourceId memberId before after metadata createdAt"

ENTITY_TYPES = {"Member": "Member", "Event": "Event", "Registration": "EventRegistration"}

_NO = (False, False, False)
_WA_STATUSES = (
    # code, label, description, active, renewable, board, order: as the API sync seeds them
    ("active", "Active", "Currently active member (WA import)", True, True, True, 10),
    ("lapsed", "Lapsed", "Membership has expired (WA import)", False, True, False, 20),
    (
        "pending_new",
        "Pending New",
        "New member pending approval or payment (WA import)",
        False,
        False,
        False,
        30,
    ),
    (
        "pending_renewal",
        "Pending Renewal",
        "Member with renewal in progress (WA import)",
        True,
        False,
        False,
        40,
    ),
    ("suspended", "Suspended", "Membership suspended (WA import)", *_NO, 50),
    ("not_a_member", "Not a Member", "Guest or non-member contact (WA import)", *_NO, 60),
    ("unknown", "Unknown", "Unmapped WA status (WA import)", *_NO, 99),
)
STATUS_CODES = (*(status[0] for status in _WA_STATUSES), *TIERS)
"""Codes of MembershipStatus: those of the API sync, then those the CSV import adds, named like tiers."""


def tables(shape: Shape, seen: Counter[str]) -> Iterator[Rows]:
    """Yield every table the importers fill; registrations are counted into `seen` as they pass."""
    yield "MembershipTier", "id code name sortOrder createdAt updatedAt", tiers(shape)
    yield (
        "MembershipStatus",
        "id code label description isActive isEligibleForRenewal isBoardEligible sortOrder "
        "createdAt updatedAt",
        _statuses(shape),
    )
    yield "Member", MEMBER_COLUMNS, _members(shape)
    yield "Event", EVENT_COLUMNS, _events(shape)
    yield "EventRegistration", REGISTRATION_COLUMNS, _registrations(shape, seen)
    yield "WaIdMapping", MAPPING_COLUMNS, _mappings(shape)
    yield "AuditLog", AUDIT_COLUMNS, _audit(shape)


def _statuses(shape: Shape) -> Iterator[Row]:
    seeded = stamp(FIRST_RUN - timedelta(days=30))
    named = ((code, code.capitalize(), None, True, False, False, 0) for code in TIERS)
    for number, status in enumerate((*_WA_STATUSES, *named)):
        yield shape.id("MembershipStatus", number), *status, seeded, seeded


def raw_data(one: Person, wa_id: int, imported: str) -> str:
    """Return what the API sync keeps of a contact."""
    return json.dumps(
        {
            "status": one.status,
            "_importedAt": imported.replace(" ", "T") + "Z",
            "displayName": f"{one.family}, {one.given}",
            "fieldValues": {"Phone (Phone)": dashed(one.phone)},
            "memberSince": f"{one.joined:%Y-%m-%d}T00:00:00",
            "waContactId": wa_id,
            "organization": None,
            "membershipLevel": {"id": LEVELS[one.level][0], "name": one.level},
            "isSuspendedMember": False,
            "profileLastUpdated": "2026-04-01T10:00:00",
            "isAccountAdministrator": False,
        },
        ensure_ascii=False,
    )


def member_row(
    shape: Shape, one: Person, created: str, updated: str, wa_id: int | None, raw: str | None = None
) -> Row:
    """Return a member's row; one without a WA id came by CSV, with a status of that importer's kind."""
    code = STATUSES[one.status][0] if wa_id is not None else one.tier
    return (
        *(one.id, one.given, one.family, one.email, one.phone, stamp(one.joined)),
        *(status_ids(shape)[code], tier_ids(shape)[one.level], one.level),
        *(created, updated, None if wa_id is None else photo(shape, one.number), raw),
    )


@lru_cache(maxsize=4)
def status_ids(shape: Shape) -> dict[str, str]:
    """Return each membership status code's id."""
    return {code: shape.id("MembershipStatus", number) for number, code in enumerate(STATUS_CODES)}


def photo(shape: Shape, index: int) -> str | None:
    """Return the id of a member's profile photo: a tenth of them have one."""
    return shape.id("FileObject", index) if index < shape.members and index % 10 == 5 else None


def _members(shape: Shape) -> Iterator[Row]:
    for index in range(shape.members):
        one, change = today(shape, index)
        origin = shape.origin("Member", index)
        created = when(shape, origin, "Member", index)
        wa_id = None if origin == "csv" else shape.wa_id("Member", index)
        # What the sync keeps raw is the contact as it first came.
        came = one if change is None else person(shape, index)
        raw = raw_data(came, wa_id, created) if wa_id is not None else None
        yield member_row(shape, one, created, _changed(shape, index, change) or created, wa_id, raw)


def _changed(shape: Shape, index: int, change: Change | None) -> str | None:
    if change is None:
        return None
    return stamp(hand_moment(index)) if change == "hand" else when(shape, change, "Member", index)


def _events(shape: Shape) -> Iterator[Row]:
    for index in range(shape.events):
        event = gathering(shape, index)
        origin = shape.origin("Event", index)
        created = when(shape, origin, "Event", index)
        updated = when(shape, "second", "Event", index) if resized(shape, index) else created
        # The API knows who organises an event; the CSV does not say.
        chair = (
            shape.id("Member", index * 7 % shape.first_members)
            if origin != "csv" and index % 3 == 0
            else None
        )
        yield event_row(event, not shape.is_open_house(index), chair, created, updated)


def event_row(event: Gathering, registration: bool, chair: str | None, created: str, updated: str) -> Row:
    """Return an event's row; the importers leave the status of a draft, and somebody published it since."""
    return (
        *(event.id, event.title, "Come along", event.category, event.location, stamp(event.start)),
        *(stamp(event.end), event.capacity, event.published, "PUBLISHED" if event.published else "DRAFT"),
        *(registration, chair, created, updated),
    )


def _registrations(shape: Shape, seen: Counter[str]) -> Iterator[Row]:
    for slot in shape.slots():
        booked = booking(shape, slot)
        count(shape, seen, slot, booked.before)
        created = when(shape, slot.origin, "Registration", slot.number)
        updated = when(shape, "second", "Registration", slot.number) if booked.before else created
        yield (
            shape.id("Registration", slot.number),
            gathering(shape, slot.event).id,
            shape.id("Member", slot.member),
            booked.status,
            999 if booked.status == "WAITLISTED" else None,
            booked.stamp,
            created,
            updated,
        )


def _mappings(shape: Shape) -> Iterator[Row]:
    # Each sync refreshes the mappings of all members and events it meets, changed or not.
    for entity, total in (("Member", shape.members), ("Event", shape.events)):
        for index in range(total):
            if shape.mapped(entity, index):
                yield _mapping(shape, entity, index, "second")
    for slot in shape.slots():
        if slot.origin != "csv":
            yield _mapping(shape, "Registration", slot.number, slot.origin)


def _mapping(shape: Shape, entity: str, index: int, origin: Origin) -> Row:
    record, synced = shape.id(entity, index), when(shape, origin, entity, index)
    return sibling(record, 0), ENTITY_TYPES[entity], shape.wa_id(entity, index), record, synced, synced


def import_metadata(run: str, wa_id: int, **more: Any) -> str:
    """Return the metadata of an audit row that the API sync writes."""
    if not more:  # a million times; run ids are letters, digits and underscores
        return f'{{"mode": "full", "waId": {wa_id}, "source": "wa_import", "syncRunId": "{run}"}}'
    return json.dumps({"mode": "full", "waId": wa_id, "source": "wa_import", **more, "syncRunId": run})


def _audit(shape: Shape) -> Iterator[Row]:
    runs = {origin: run_id(shape, "api", STARTS[origin]) for origin in STARTS}

    def entry(action: str, entity: str, index: int, origin: Origin, **more: Any) -> Row:
        record = shape.id(entity, index)
        return (
            sibling(record, 1 if action == "CREATE" else 2),
            action,
            ENTITY_TYPES[entity],
            record,
            None,
            None,
            None,
            import_metadata(runs[origin], shape.wa_id(entity, index), **more),
            when(shape, origin, entity, index),
        )

    for entity, total in (("Member", shape.members), ("Event", shape.events)):
        for index in range(total):
            if (origin := shape.origin(entity, index)) != "csv":
                yield entry("CREATE", entity, index, origin)
    for index in filter(shape.second_updates, range(shape.first_members)):
        # A later change by hand never falls on a member that the sync had changed.
        one = today(shape, index)[0]
        name = {"lastName": one.family, "firstName": one.given}
        changes = {"phone": one.phone} if renamed(shape, index) is None else name
        yield entry("UPDATE", "Member", index, "second", changes=changes)
    for index in range(shape.open_events):
        if resized(shape, index):
            changed = {"capacity": gathering(shape, index).capacity}
            yield entry("UPDATE", "Event", index, "second", changes=changed)
    for slot in shape.slots():
        if slot.origin == "csv":
            continue
        yield entry("CREATE", "Registration", slot.number, slot.origin)
        if slot.origin == "first":
            booked = booking(shape, slot)
            if booked.before:
                statuses = {"newStatus": booked.status, "oldStatus": booked.before}
                yield entry("UPDATE", "Registration", slot.number, "second", **statuses)
    for index in range(min(shape.first_members, 1000)):
        one, change = today(shape, index)
        if change == "hand":
            was, now = json.dumps({"phone": person(shape, index).phone}), json.dumps({"phone": one.phone})
            yield (
                shape.id("audit by hand", index),
                *("UPDATE", "Member", one.id, one.id, was, now, None, stamp(hand_moment(index))),
            )


def closing(shape: Shape, runs: tuple[Run, ...]) -> Iterator[Rows]:
    """Yield the sync state: one row, of the last live sync's end."""
    synced = [run for run in runs if run.importer == "api" and run.mode == "live"]
    last = stamp(synced[-1].finished)
    yield (
        "WaSyncState",
        "id lastFullSync lastIncSync lastContactSync lastEventSync lastRegSync metadata createdAt updatedAt",
        [
            (
                shape.id("WaSyncState", 0),
                *(last, None, last, last, last, None, stamp(synced[0].finished), last),
            )
        ],
    )
