"""How large a club is and where its parts lie: pure arithmetic over a size and a seed.

Members, events and registrations are numbered. Everything about the n-th of them follows from the
seed and n by hashing, so a club of a million members needs no list of them, and a breakage finds
its victims without a query.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from math import gcd
from typing import Literal, NamedTuple

Dialect = Literal["guide", "application"]

ANCHOR = datetime(2026, 6, 1, tzinfo=UTC)
"""The club's present: nothing in it is decided by a clock."""

FIRST_RUN = datetime(2026, 4, 21, 9, 30, tzinfo=UTC)
CSV_RUN = datetime(2026, 5, 6, 13, 15, tzinfo=UTC)
SECOND_RUN = datetime(2026, 5, 20, 9, 30, tzinfo=UTC)

PACE = timedelta(milliseconds=2)
"""What an importer takes per record."""

CAPACITY_LIMIT = 100
"""The organisation's limit on an event's capacity (guide, §1.5)."""

Origin = Literal["first", "csv", "second"]


def draw(seed: int, kind: str, index: int) -> int:
    """Return 64 bits that depend on nothing but the arguments."""
    return int.from_bytes(blake2b(f"{seed}:{kind}:{index}".encode(), digest_size=8).digest(), "little")


def ident(seed: int, kind: str, index: int) -> str:
    """Return the UUID of the `index`-th row of a kind."""
    h = blake2b(f"{seed}:{kind}:{index}".encode(), digest_size=16).hexdigest()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


def sibling(row: str, number: int) -> str:
    """Return the id of a row that belongs to another one: its mapping, its audit entry.

    The ids of `ident` all have ``a`` for their variant; the others that UUIDs allow are free for siblings
    and much cheaper than another hash.

    Parameters
    ----------
    number : int
        0 to 2.
    """
    return f"{row[:19]}{'b89'[number]}{row[20:]}"


def stamp(moment: datetime) -> str:
    """Write a moment as the database's ``timestamp(3)``, in UTC."""
    return moment.isoformat(" ", "milliseconds")[:23]


class Seats(NamedTuple):
    """How one event fills: its capacity and how many register, by where the registration comes from."""

    capacity: int
    first: int
    csv: int
    second: int
    offset: int
    stride: int


class Slot(NamedTuple):
    """One registration's place: its number, its event and member, its origin and its seat there."""

    number: int
    event: int
    member: int
    origin: Origin
    seat: int
    capacity: int


@dataclass(frozen=True, eq=False)  # hashed by identity: caches are asked per registration
class Shape:
    """The sizes of a club.

    Members and events come in three stretches: brought by the first run, by the CSV import (in the
    application dialect only), and by the second run.
    """

    dialect: Dialect
    members: int
    seed: int

    def __post_init__(self) -> None:
        if not 50 <= self.members <= 1_000_000:
            raise ValueError(f"A club has 50 to 1,000,000 members, not {self.members}.")

    @cached_property
    def first_members(self) -> int:
        """Members the first run brought: numbers below this."""
        return self.members * 7 // 10

    @cached_property
    def csv_members(self) -> int:
        """Where the stretch of members from the CSV import ends."""
        brought = min(500, max(3, self.members // 20)) if self.dialect == "application" else 0
        return self.first_members + brought

    @cached_property
    def events(self) -> int:
        """Events at all. A fifth of the members, so that ten registrations each fit the capacity limit."""
        return max(18, self.members // 5)

    @cached_property
    def first_events(self) -> int:
        """Events the first run brought."""
        return self.events * 3 // 4

    @cached_property
    def csv_events(self) -> int:
        """Where the stretch of events from the CSV import ends."""
        return self.first_events + (min(8, max(2, self.events // 20)) if self.dialect == "application" else 0)

    @cached_property
    def open_events(self) -> int:
        """From here on, the first run's events lay ahead of it and went on taking registrations."""
        return self.first_events - max(2, self.first_events // 8)

    @cached_property
    def registrations(self) -> int:
        """Registrations at all."""
        return sum(seats.first + seats.csv + seats.second for seats in map(self.seats, range(self.events)))

    def wa_id(self, entity: str, index: int) -> int:
        """Return the Wild Apricot id of a record; ranges of the three entities never meet."""
        return self._wa_bases[entity] + index

    @cached_property
    def _wa_bases(self) -> dict[str, int]:
        wide = 100 if self.members > 200_000 else 1
        return {"Member": 50_000 * wide, "Event": 9_000 * wide, "Registration": 700_000 * wide}

    def id(self, entity: str, index: int) -> str:
        """Return Murmurant's id of a record."""
        return ident(self.seed, entity, index)

    def origin(self, entity: str, index: int) -> Origin:
        """Return which import brought a member or event."""
        first, csv = (
            (self.first_members, self.csv_members)
            if entity == "Member"
            else (self.first_events, self.csv_events)
        )
        return "first" if index < first else "csv" if index < csv else "second"

    def csv_updates(self, member: int) -> bool:
        """Whether the CSV import changed a member of the first run."""
        return self.dialect == "application" and member < min(self.first_members, 4000) and member % 20 == 4

    def second_updates(self, member: int) -> bool:
        """Whether the second run changed a member of the first run."""
        return member < self.first_members and member % 20 == 9

    def adopts(self, member: int) -> bool:
        """Whether the second run met a member of the CSV import and only mapped it."""
        return self.origin("Member", member) == "csv" and (member - self.first_members) % 2 == 0

    def mapped(self, entity: str, index: int) -> bool:
        """Whether a member or event has a mapping: the CSV import leaves none."""
        return self.origin(entity, index) != "csv" or (entity == "Member" and self.adopts(index))

    def is_draft(self, event: int) -> bool:
        """Whether an event is not published yet."""
        return event < self.open_events and event % 15 == 14

    def is_open_house(self, event: int) -> bool:
        """Whether people just walk in; only the application knows events without registration."""
        return self.dialect == "application" and event < self.open_events and event % 15 == 13

    @cached_property
    def _csv_pool(self) -> int:
        created = self.csv_members - self.first_members
        return created + sum(map(self.csv_updates, range(min(self.first_members, 4000))))

    def _pool(self, origin: Origin) -> int:
        if origin == "first":
            return self.first_members
        if origin == "csv":
            return self._csv_pool
        return self.members - (self.csv_members - self.first_members)

    def seats(self, event: int) -> Seats:
        """Return how an event fills. Past its capacity come only waiting list places."""
        roll = draw(self.seed, "seats", event)
        capacity = 40 + 4 * (roll % 16)
        origin = self.origin("Event", event)
        created = self.csv_members - self.first_members
        pool = self._pool(origin)
        stride = 1 + (roll >> 20) % pool
        while gcd(stride, pool) > 1:
            stride += 1
        wanted = capacity + 3 if event % 6 == 5 else capacity * (50 + (roll >> 8) % 31) // 100
        own = (
            min(wanted if origin != "csv" else 20, pool * 4 // 5)
            if not (self.is_draft(event) or self.is_open_house(event))
            else 0
        )
        late = 0
        if origin == "first" and event >= self.open_events:
            late = min(8, self.members - self.csv_members)
        counts = {"first": 0, "csv": 0, "second": late}
        counts[origin] = own
        if event in (0, 1) and created:  # the CSV lists two known events; their guests differ, see `slots`
            counts["csv"] = min(6, (created + 1 - event) // 2)
        return Seats(capacity, counts["first"], counts["csv"], counts["second"], (roll >> 40) % pool, stride)

    def _csv_guest(self, position: int) -> int:
        created = self.csv_members - self.first_members
        return self.first_members + position if position < created else 4 + 20 * (position - created)

    def slots(self, events: range | None = None) -> Iterator[Slot]:
        """Yield every registration's place in order, or those of a stretch of events from number 0 on."""
        index = 0
        created = self.csv_members - self.first_members
        for event in range(self.events) if events is None else events:
            seats = self.seats(event)
            origin = self.origin("Event", event)
            pool = self._pool(origin)
            seat = 0
            for _ in range(getattr(seats, origin)):
                member = (seats.offset + seat * seats.stride) % pool
                if origin == "csv":
                    member = self._csv_guest(member)
                elif member >= self.first_members:
                    member += created
                yield Slot(index, event, member, origin, seat, seats.capacity)
                index += 1
                seat += 1
            if origin != "first":
                continue
            for position in range(seats.csv):
                member = self.first_members + 2 * position + event
                yield Slot(index, event, member, "csv", seat, seats.capacity)
                index += 1
                seat += 1
            newcomers = self.members - self.csv_members
            for position in range(seats.second):
                member = self.csv_members + (seats.offset + position) % newcomers
                yield Slot(index, event, member, "second", seat, seats.capacity)
                index += 1
                seat += 1
