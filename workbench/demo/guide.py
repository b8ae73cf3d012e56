"""The rows of a club in the guide's dialect."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache

from workbench.demo.history import STARTS, Run, run_id, when
from workbench.demo.people import (
    LEVELS,
    TIERS,
    Gathering,
    Person,
    booking,
    gathering,
    hand_moment,
    resized,
    today,
)
from workbench.demo.reports import GUIDE_CONFIG
from workbench.demo.rows import Row, Rows
from workbench.demo.shape import FIRST_RUN, Origin, Shape, Slot, sibling, stamp

OPERATOR, ENVIRONMENT = "dana", "demo"

MEMBER_COLUMNS = (
    "id firstName lastName email phone joinedAt membershipTierId waMembershipLevelRaw isPrivate visibility "
    "importRunId createdAt updatedAt"
)
EVENT_COLUMNS = (
    "id title description category location startTime endTime capacity isPublished status importRunId "
    "createdAt updatedAt"
)
REGISTRATION_COLUMNS = "id eventId memberId status registeredAt importRunId createdAt updatedAt"
MAPPING_COLUMNS = "id entityType waId murmurantId syncRunId syncedAt updatedAt"


def tables(shape: Shape, seen: Counter[str]) -> Iterator[Rows]:
    """Yield every table with its rows; registrations are counted into `seen` as they pass."""
    runs = {origin: run_id(shape, "guide", STARTS[origin]) for origin in STARTS}
    yield "MembershipTier", "id code name sortOrder createdAt updatedAt", tiers(shape)
    yield "Member", MEMBER_COLUMNS, _members(shape, runs)
    yield "Event", EVENT_COLUMNS, _events(shape, runs)
    yield "Registration", REGISTRATION_COLUMNS, _registrations(shape, runs, seen)
    yield "WaIdMapping", MAPPING_COLUMNS, _mappings(shape, runs)


def tiers(shape: Shape) -> Iterator[Row]:
    """Yield the membership tiers, seeded before any import; alike in both dialects."""
    seeded = stamp(FIRST_RUN - timedelta(days=30))
    for order, code in enumerate(TIERS):
        yield shape.id("MembershipTier", order), code, code.capitalize(), order, seeded, seeded


@lru_cache(maxsize=4)
def tier_ids(shape: Shape) -> dict[str, str]:
    """Return each WA level's tier id."""
    return {level: shape.id("MembershipTier", TIERS.index(code)) for level, (_, code, _) in LEVELS.items()}


def _members(shape: Shape, runs: dict[Origin, str]) -> Iterator[Row]:
    tier = tier_ids(shape)
    for index in range(shape.members):
        one, change = today(shape, index)
        origin = shape.origin("Member", index)
        created = when(shape, origin, "Member", index)
        updated = created
        if change == "hand":
            updated = stamp(hand_moment(index))
        elif change == "second":
            updated = when(shape, "second", "Member", index)
        yield member_row(tier[one.level], one, runs[origin], created, updated)


def member_row(tier: str, one: Person, run: str | None, created: str, updated: str) -> Row:
    """Return a member's row."""
    visibility = "PRIVATE" if one.private else ("MEMBERS", "PUBLIC")[one.number % 2]
    return (
        *(one.id, one.given, one.family, one.email, one.phone, stamp(one.joined), tier),
        *(one.level, one.private, visibility, run, created, updated),
    )


def _events(shape: Shape, runs: dict[Origin, str]) -> Iterator[Row]:
    for index in range(shape.events):
        event = gathering(shape, index)
        origin = shape.origin("Event", index)
        created = when(shape, origin, "Event", index)
        updated = when(shape, "second", "Event", index) if resized(shape, index) else created
        yield event_row(event, runs[origin], created, updated)


def event_row(event: Gathering, run: str | None, created: str, updated: str) -> Row:
    """Return an event's row."""
    return (
        *(event.id, event.title, "Come along", event.category, event.location, stamp(event.start)),
        *(stamp(event.end), event.capacity, event.published, "PUBLISHED" if event.published else "DRAFT"),
        *(run, created, updated),
    )


def _registrations(shape: Shape, runs: dict[Origin, str], seen: Counter[str]) -> Iterator[Row]:
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
            booked.stamp,
            runs[slot.origin],
            created,
            updated,
        )


def count(shape: Shape, seen: Counter[str], slot: Slot, before: str | None) -> None:
    """Note a registration that goes by, for the reports of the runs that brought it."""
    seen[slot.origin] += 1
    if before:
        seen["updated"] += 1
    if slot.origin == "second" and slot.event < shape.first_events:
        seen["late"] += 1


def _mappings(shape: Shape, runs: dict[Origin, str]) -> Iterator[Row]:
    for entity, total in (("Member", shape.members), ("Event", shape.events)):
        for index in range(total):
            yield _mapping(shape, runs, entity, index, shape.origin(entity, index))
    for slot in shape.slots():
        yield _mapping(shape, runs, "Registration", slot.number, slot.origin)


def _mapping(shape: Shape, runs: dict[Origin, str], entity: str, index: int, origin: Origin) -> Row:
    record, synced = shape.id(entity, index), when(shape, origin, entity, index)
    wa_id = str(shape.wa_id(entity, index))
    return sibling(record, 0), entity, wa_id, record, runs[origin], synced, synced


def run_entries(
    run: Run, *, config: dict[str, str] = GUIDE_CONFIG, environment: str = ENVIRONMENT, end: str = "completed"
) -> Iterator[tuple[str, str, str]]:
    """Yield the audit entries of one run (guide, §5.1) as action, metadata and time."""
    start = {
        "run_id": run.run,
        "mode": run.mode,
        "operator": OPERATOR,
        "config": config,
        "environment": environment,
    }
    yield "migration:started", json.dumps(start), stamp(run.started)
    if end == "completed":
        done = {
            "run_id": run.run,
            "mode": run.mode,
            "counts": {
                section: {action: run.counts[entity][action] for action in ("created", "updated")}
                for section, entity in (
                    ("members", "Member"),
                    ("events", "Event"),
                    ("registrations", "Registration"),
                )
            },
            "duration": round((run.finished - run.started).total_seconds()),
            "operator": OPERATOR,
        }
        yield "migration:completed", json.dumps(done), stamp(run.finished)
    elif end == "failed":
        lost = {"run_id": run.run, "error": "Connection terminated unexpectedly", "last_batch": 2}
        yield "migration:failed", json.dumps(lost), stamp(run.finished)


def closing(shape: Shape, runs: tuple[Run, ...]) -> Iterator[Rows]:
    """Yield the tables that tell of the runs as a whole, known once their records are counted."""
    entries = [entry for run in runs for entry in run_entries(run)]
    # What people did since.
    for index in range(min(shape.first_members, 1000)):
        one, change = today(shape, index)
        if change == "hand":
            metadata = {"memberId": one.id, "field": "phone", "by": one.id}
            entries.append(("member:updated", json.dumps(metadata), stamp(hand_moment(index))))
    yield (
        "AuditLog",
        "id action metadata createdAt",
        ((shape.id("AuditLog", number), *entry) for number, entry in enumerate(entries)),
    )
    live = [run for run in runs if run.mode == "live"]
    yield (
        "WaSyncState",
        "id lastFullSync lastIncSync createdAt updatedAt",
        [
            (
                shape.id("WaSyncState", 0),
                *(stamp(live[-1].finished), None, stamp(live[0].finished), stamp(live[-1].finished)),
            )
        ],
    )
