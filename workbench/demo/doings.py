"""What people did in the application beside and after the imports: accounts, offices, photos, notes.

All of it hangs on members, events and registrations by foreign keys, some of which forbid deleting
those, some of which follow silently. Undoing a run must leave it alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

from workbench.demo.application import photo
from workbench.demo.people import person
from workbench.demo.rows import Row, Rows
from workbench.demo.shape import ANCHOR, FIRST_RUN, SECOND_RUN, Shape, stamp

_SINCE = stamp(FIRST_RUN + timedelta(days=2))
_LATELY = stamp(SECOND_RUN + timedelta(days=2))
_COMMITTEES = ("Activities", "Communications", "Finance", "Governance", "Membership", "Technology")
_OFFICES = ("Chair", "Vice chair", "Secretary")
_GROUPS = ("Early birds", "Bridge players", "Gardeners", "Book circle")
_PAGES = ("home", "about", "calendar", "newsletter")


def restricted(index: int) -> bool:
    """Whether a member's profile photo is for some people only."""
    return index % 20 == 15


def tables(shape: Shape) -> Iterator[Rows]:
    """Yield the tables that people fill."""
    yield (
        "UserAccount",
        "id memberId email passwordHash isActive createdAt updatedAt",
        _accounts(shape),
    )
    yield (
        "PaymentMethod",
        "id memberId type status displayName provider providerRef isDefault createdAt updatedAt",
        _payment_methods(shape),
    )
    yield (
        "PaymentIntent",
        "id registrationId idempotencyKey provider status amountCents createdAt updatedAt",
        _payments(shape),
    )
    yield "Committee", "id name slug createdAt updatedAt", _committees(shape)
    yield "CommitteeRole", "id committeeId name slug sortOrder createdAt updatedAt", _offices(shape)
    yield "Term", "id name startDate endDate isCurrent createdAt updatedAt", _terms(shape)
    yield (
        "RoleAssignment",
        "id memberId committeeId committeeRoleId termId startDate endDate createdAt updatedAt",
        _assignments(shape),
    )
    yield (
        "MemberServiceHistory",
        "id memberId serviceType roleTitle committeeId committeeName termId termName startAt endAt "
        "createdAt createdById",
        _services(shape),
    )
    yield (
        "ActivityGroup",
        "id name slug category status proposedById proposedAt approvedById approvedAt createdAt updatedAt",
        _groups(shape),
    )
    yield (
        "ActivityGroupMember",
        "id groupId memberId role joinedAt createdAt updatedAt",
        _group_members(shape),
    )
    yield (
        "FileObject",
        "id name mimeType size checksum storageKey isPublic uploadedById createdAt updatedAt",
        _photos(shape),
    )
    yield "FileAccess", "id fileId principalType principalId permission grantedById createdAt", _access(shape)
    yield "EventNote", "id eventId authorId noteType content createdAt updatedAt", _notes(shape)
    yield "TicketTier", "id eventId name priceCents quantity createdAt updatedAt", _tickets(shape)
    yield (
        "EventPostmortem",
        "id eventId status attendanceRating whatWorked createdById createdAt updatedAt",
        _postmortems(shape),
    )
    yield (
        "SupportCase",
        "id caseNumber submitterName submitterId channel description relatedMemberId receivedAt "
        "createdAt updatedAt",
        _cases(shape),
    )
    yield "Page", "id slug title status content createdById createdAt updatedAt", _pages(shape)


def _member(shape: Shape, number: int) -> str:
    """Spread offices and authorship over the members of the first run."""
    return shape.id("Member", (number * 7 + 1) % shape.first_members)


def _accounts(shape: Shape) -> Iterator[Row]:
    for index in range(shape.members):
        if index % 5 < 2:
            one = person(shape, index)
            word = f"$argon2id$v=19$m=65536,t=3,p=4${one.id[:8]}"
            made = _LATELY if shape.origin("Member", index) == "second" else _SINCE
            yield shape.id("UserAccount", index), one.id, one.email, word, True, made, made


def _payment_methods(shape: Shape) -> Iterator[Row]:
    for index in range(0, shape.members, 10):
        made = _LATELY if shape.origin("Member", index) == "second" else _SINCE
        yield (
            shape.id("PaymentMethod", index),
            *(shape.id("Member", index), "CARD", "ACTIVE", f"Visa •••• {4000 + index % 1000}", "fake"),
            *(f"pm_{index}", True, made, made),
        )


def _payments(shape: Shape) -> Iterator[Row]:
    for slot in shape.slots():
        if slot.number % 40 == 0:
            made = _SINCE if slot.origin == "first" else _LATELY
            yield (
                shape.id("PaymentIntent", slot.number),
                *(shape.id("Registration", slot.number), f"registration-{slot.number}", "fake", "SUCCEEDED"),
                *(1500 + 500 * (slot.event % 4), made, made),
            )


def _committees(shape: Shape) -> Iterator[Row]:
    for number, name in enumerate(_COMMITTEES):
        yield shape.id("Committee", number), name, name.lower(), _SINCE, _SINCE


def _offices(shape: Shape) -> Iterator[Row]:
    for number in range(len(_COMMITTEES) * len(_OFFICES)):
        committee, order = divmod(number, len(_OFFICES))
        name = _OFFICES[order]
        slug = name.lower().replace(" ", "-")
        yield (
            shape.id("CommitteeRole", number),
            *(shape.id("Committee", committee), name, slug, order, _SINCE, _SINCE),
        )


def _terms(shape: Shape) -> Iterator[Row]:
    for number, year in enumerate((2024, 2025)):
        first = ANCHOR.replace(year=year)
        last = ANCHOR.replace(year=year + 1) - timedelta(days=1)
        yield (
            shape.id("Term", number),
            *(f"{year}-{year + 1}", stamp(first), stamp(last), year == 2025, _SINCE, _SINCE),
        )


def _assignments(shape: Shape) -> Iterator[Row]:
    for number in range(len(_COMMITTEES) * len(_OFFICES)):
        yield (
            shape.id("RoleAssignment", number),
            *(_member(shape, number), shape.id("Committee", number // len(_OFFICES))),
            *(shape.id("CommitteeRole", number), shape.id("Term", 1)),
            *(stamp(ANCHOR.replace(year=2025)), None, _SINCE, _SINCE),
        )


def _services(shape: Shape) -> Iterator[Row]:
    for number, name in enumerate(_COMMITTEES):
        first = ANCHOR.replace(year=2024)
        yield (
            shape.id("MemberServiceHistory", number),
            *(_member(shape, number + 20), "COMMITTEE_CHAIR", f"{name} chair", shape.id("Committee", number)),
            *(name, shape.id("Term", 0), "2024-2025", stamp(first), stamp(first + timedelta(days=364))),
            *(_SINCE, _member(shape, 0)),
        )


def _groups(shape: Shape) -> Iterator[Row]:
    for number, name in enumerate(_GROUPS):
        yield (
            shape.id("ActivityGroup", number),
            *(name, name.lower().replace(" ", "-"), "Social", "APPROVED", _member(shape, number)),
            *(_SINCE, _member(shape, number + 1), _SINCE, _SINCE, _SINCE),
        )


def _group_members(shape: Shape) -> Iterator[Row]:
    for index in range(0, min(shape.members, 4000), 8):
        made = _LATELY if shape.origin("Member", index) == "second" else _SINCE
        role = "COORDINATOR" if index < 8 * len(_GROUPS) else "MEMBER"
        group = shape.id("ActivityGroup", index // 8 % len(_GROUPS))
        yield shape.id("ActivityGroupMember", index), group, shape.id("Member", index), role, made, made, made


def _photos(shape: Shape) -> Iterator[Row]:
    for index in range(5, shape.members, 10):
        checksum = shape.id("checksum", index).replace("-", "")
        made = _LATELY if shape.origin("Member", index) == "second" else _SINCE
        yield (
            photo(shape, index),
            *(
                f"portrait-{index}.jpg",
                "image/jpeg",
                40_000 + index % 999,
                checksum,
                f"portraits/{index}.jpg",
            ),
            *(not restricted(index), shape.id("Member", index), made, made),
        )


def _access(shape: Shape) -> Iterator[Row]:
    for index in filter(restricted, range(5, shape.members, 10)):
        yield (
            shape.id("FileAccess", index),
            *(photo(shape, index), "ROLE", "board", "READ", _member(shape, 0), _LATELY),
        )


def _notes(shape: Shape) -> Iterator[Row]:
    for event in range(0, min(shape.events, 1000), 4):
        made = _SINCE if shape.origin("Event", event) == "first" else _LATELY
        yield (
            shape.id("EventNote", event),
            *(
                shape.id("Event", event),
                _member(shape, event),
                "PLANNING",
                "Ask for the projector.",
                made,
                made,
            ),
        )


def _tickets(shape: Shape) -> Iterator[Row]:
    for event in range(0, shape.events, 4):
        made = _SINCE if shape.origin("Event", event) == "first" else _LATELY
        yield (
            shape.id("TicketTier", event),
            *(shape.id("Event", event), "Standard", 1500, shape.seats(event).capacity, made, made),
        )


def _postmortems(shape: Shape) -> Iterator[Row]:
    for event in range(1, min(shape.open_events, 600), 6):
        yield (
            shape.id("EventPostmortem", event),
            *(shape.id("Event", event), "APPROVED", 4, "The venue.", _member(shape, event), _SINCE, _SINCE),
        )


def _cases(shape: Shape) -> Iterator[Row]:
    for number in range(1, 11):
        one = person(shape, number * 3 % shape.first_members)
        yield (
            shape.id("SupportCase", number),
            *(number, f"{one.given} {one.family}", one.id, "EMAIL", "I cannot see my registration.", one.id),
            *(_LATELY, _LATELY, _LATELY),
        )


def _pages(shape: Shape) -> Iterator[Row]:
    for number, slug in enumerate(_PAGES):
        content = json.dumps({"blocks": [{"type": "text", "text": slug.capitalize()}]})
        yield (
            shape.id("Page", number),
            *(slug, slug.capitalize(), "PUBLISHED", content, _member(shape, number), _SINCE, _SINCE),
        )
