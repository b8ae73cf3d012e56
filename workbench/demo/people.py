"""The n-th member, event and registration of a club, each a pure function of its number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from workbench.demo.names import family_name, given_name, partner_name, plain_name
from workbench.demo.shape import (
    ANCHOR,
    CSV_RUN,
    FIRST_RUN,
    SECOND_RUN,
    Origin,
    Shape,
    Slot,
    draw,
)

LEVELS = {
    # WA level: (WA's id of it, tier code, per cent of the members)
    "Newcomer": (1, "NEWCOMER", 22),
    "2nd Year": (2, "NEWCOMER", 14),
    "Third Year": (3, "EXTENDED", 16),
    "Alumni": (4, "ALUMNI", 20),
    "Prospect": (5, "PROSPECT", 8),
    "Extended Newcomer": (6, "EXTENDED", 12),
    "New Member": (7, "NEWCOMER", 4),
    "Lapsed": (8, "LAPSED", 4),
}
"""The membership levels, and the tier that ``membership.yaml`` maps each to."""

TIERS = ("PROSPECT", "NEWCOMER", "EXTENDED", "ALUMNI", "LAPSED")

SECOND_YEAR, THIRD_YEAR = "2nd Year", "Third Year"

STATUSES = {
    # WA status: (status code, per cent of the members)
    "Active": ("active", 72),
    "Lapsed": ("lapsed", 10),
    "PendingRenewal": ("pending_renewal", 8),
    "NotAMember": ("not_a_member", 10),
}

HOSTILE_MEMBER, HOSTILE_EVENT = 3, 5
HOSTILE_NAME = "<script>alert(1)</script>"
HOSTILE_TITLE = '=HYPERLINK("https://example.org";"Come along")'

# Real area codes: with seven digits after them, a million households have each their own number.
_AREA_CODE_LIST = """
201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 229 231 234 239 240
248 251 252 253 254 256 260 262 267 269 270 272 276 281 301 302 303 304 305 307 308 309 310 312 313
314 315 316 317 318 319 320 321 323 325 330 331 334 336 337 339 347 351 352 360 361 385 386 401 402
404 405 406 407 408 409 410 412 413 414 415 417 419 423 424 425 430 432 434 435 440 443 458 469 470
"""
_AREA_CODES = tuple(_AREA_CODE_LIST.split())

_TOPICS = ("Books", "Wine", "Golf", "Hiking", "Bridge", "Garden", "Museum", "Theatre", "Supper", "Cycling")
_KINDS = ("night", "morning", "outing", "circle", "workshop")
_PLACES = ("Hall", "Library", "Harbour", "Botanic garden", "Mission", "Online")


Change = Literal["csv", "second", "hand"]


class Person(NamedTuple):
    """A member as Wild Apricot knows them."""

    number: int
    id: str
    given: str
    family: str
    email: str
    phone: str
    joined: datetime
    level: str
    status: str
    private: bool

    @property
    def tier(self) -> str:
        """The tier code that the level maps to."""
        return LEVELS[self.level][1]


class Gathering(NamedTuple):
    """An event."""

    number: int
    id: str
    title: str
    category: str
    location: str
    start: datetime
    end: datetime
    capacity: int | None
    published: bool


class Booking(NamedTuple):
    """What a registration says beyond its place: status, what it was before the second run, and when."""

    status: str
    before: str | None
    minute: int

    @property
    def registered(self) -> datetime:
        """When somebody registered."""
        return EPOCH + timedelta(minutes=self.minute)

    @property
    def stamp(self) -> str:
        """The same as the database writes it; asked a million times, so without going by datetime."""
        day, minute = divmod(self.minute, 24 * 60)
        return f"{_day(day)} {_TIMES[minute]}"


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = tuple(f"{hour:02d}:{minute:02d}:00.000" for hour in range(24) for minute in range(60))


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    return f"{EPOCH + timedelta(days=number):%Y-%m-%d}"


def _minutes(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(minutes=1)


def _weighted(table: dict[str, int], number: int) -> str:
    rest = number % 100
    for name, share in table.items():
        if rest < share:
            return name
        rest -= share
    raise AssertionError("The shares add up to a hundred.")


_LEVEL_SHARES = {name: share for name, (_, _, share) in LEVELS.items()}
_STATUS_SHARES = {name: share for name, (_, share) in STATUSES.items()}
_FRESH_LEVELS = ("Newcomer", "New Member", "Prospect")


def person(shape: Shape, index: int) -> Person:
    """Return a member as they were when their import brought them."""
    roll = draw(shape.seed, "person", index)
    # Three members of every twenty are one household, a couple and a child: one surname, one phone, three given names.
    household = index - index % 20 if index % 20 < 3 else index
    home = roll if household == index else draw(shape.seed, "person", household)
    given = _given(shape, index, roll)
    mates = (_given(shape, mate, draw(shape.seed, "person", mate)) for mate in range(household, index))
    if plain_name(given) in map(plain_name, mates):
        given = f"{given}-{given_name(roll >> 7)}"
    family = family_name(home >> 16)
    if index == HOSTILE_MEMBER:
        given = HOSTILE_NAME
    local = "".join(c for c in f"{given}.{family}".lower() if c.isalpha() or c == ".")
    if shape.origin("Member", index) == "second":  # joined between the runs
        level = _FRESH_LEVELS[(roll >> 28) % 3]
        joined = FIRST_RUN + timedelta(days=1 + (roll >> 32) % 9)
    else:  # before the first event in the books
        level = SECOND_YEAR if index % 10 == 6 else _weighted(_LEVEL_SHARES, roll >> 28)
        joined = ANCHOR - timedelta(days=460 + (roll >> 32) % 2600)
    number = household * 7_919 % 1_000_000  # 7919 is prime: every household its own number
    return Person(
        index,
        shape.id("Member", index),
        given,
        family,
        # The number, without digits in any name, keeps it unique under every way of normalising.
        f"{local}{index}@example.{'org' if roll & 1 else 'com'}",
        f"{_AREA_CODES[number // 10_000]}555{number % 10_000:04d}",
        joined.replace(hour=0, minute=0),
        level,
        _weighted(_STATUS_SHARES, roll >> 44),
        private=roll >> 52 & 7 == 0,
    )


def _given(shape: Shape, index: int, roll: int) -> str:
    if index % 20 == 1:
        return partner_name(roll, given_name(draw(shape.seed, "person", index - 1)))
    return given_name(roll)


def renamed(shape: Shape, index: int) -> str | None:
    """Return the surname the second run gave a member, if it did."""
    if not shape.second_updates(index) or index % 40 != 9:
        return None
    return family_name(draw(shape.seed, "person", index) >> 16 ^ 12_345)


def new_phone(shape: Shape, index: int, occasion: str) -> str:
    """Return the phone number somebody has after they, or an import, changed it."""
    return f"805556{draw(shape.seed, occasion, index) % 10_000:04d}"


def dashed(phone: str) -> str:
    """Write a phone number as the CSV export does."""
    return f"{phone[:3]}-{phone[3:6]}-{phone[6:]}"


def today(shape: Shape, index: int) -> tuple[Person, Change | None]:
    """Return a member as they stand now, and who changed them last."""
    one = person(shape, index)
    if changed_by_hand(shape, index):
        return one._replace(phone=new_phone(shape, index, "by hand")), "hand"
    if shape.second_updates(index):
        family = renamed(shape, index)
        if family is not None:
            return one._replace(family=family), "second"
        return one._replace(phone=new_phone(shape, index, "by sync")), "second"
    if shape.csv_updates(index):
        return one._replace(phone=dashed(one.phone)), "csv"
    if shape.origin("Member", index) == "csv":
        return one._replace(phone=dashed(one.phone)), None
    return one, None


def changed_by_hand(shape: Shape, index: int) -> bool:
    """Whether a person changed this member's phone after the last run."""
    return index < min(shape.first_members, 1000) and index % 50 == 13


def hand_moment(index: int) -> datetime:
    """Return when a person changed a member's phone: on the last day before the club's present."""
    return ANCHOR - timedelta(hours=12) + timedelta(minutes=index)


# Rows of an event's registrations follow one another, so few events are ever asked for at once.
@lru_cache(maxsize=256)
def event_start(shape: Shape, index: int) -> datetime:
    """Return when an event begins.

    The first run brought a year of past events and some that lay ahead; the CSV import and the
    second run brought newer ones. An event still open after the first run begins two weeks after it
    or later, so that members who joined in between had time to register.
    """
    if index < shape.open_events:
        days = -400 + 350 * index // shape.open_events
    elif index < shape.first_events:
        days = -26 + 56 * (index - shape.open_events) // (shape.first_events - shape.open_events)
    elif index < shape.csv_events:
        days = -18 + 5 * (index - shape.first_events)
    else:
        days = -26 + 100 * (index - shape.csv_events) // max(1, shape.events - shape.csv_events)
    return ANCHOR + timedelta(days=days, hours=18, minutes=30 * (index % 5))


@lru_cache(maxsize=256)
def gathering(shape: Shape, index: int) -> Gathering:
    """Return an event as it stands."""
    topic, kind = _TOPICS[index % 10], _KINDS[index // 10 % 5]
    start = event_start(shape, index)
    return Gathering(
        index,
        shape.id("Event", index),
        HOSTILE_TITLE if index == HOSTILE_EVENT else f"{topic} {kind} {index + 1}",
        topic,
        _PLACES[index % 6],
        start,
        start + timedelta(hours=2 + index % 2),
        None if shape.is_open_house(index) else shape.seats(index).capacity,
        not shape.is_draft(index),
    )


def resized(shape: Shape, event: int) -> bool:
    """Whether the second run changed an event's capacity."""
    return event < shape.open_events and event % 12 == 8


@lru_cache(maxsize=256)
def _doors(shape: Shape, event: int) -> tuple[bool, dict[Origin, tuple[int, int]]]:
    """Tell whether an event was over at the first run, and when it took registrations of each origin."""
    start = event_start(shape, event)
    doors: dict[Origin, tuple[int, int]] = {
        # Who registered after the first run saw nothing of it; ten days later the newcomers had joined.
        "second": (_minutes(FIRST_RUN + timedelta(days=10)), _minutes(min(start, SECOND_RUN))),
    }
    imports: dict[Origin, datetime] = {"first": FIRST_RUN, "csv": CSV_RUN}
    for origin, seen in imports.items():
        last = _minutes(min(start, seen)) - 24 * 60
        doors[origin] = last - 44 * 24 * 60, last
    return start < FIRST_RUN, doors


def booking(shape: Shape, slot: Slot) -> Booking:
    """Return what a registration says."""
    number, event, _, origin, seat, capacity = slot
    roll = draw(shape.seed, "booking", number)
    over, doors = _doors(shape, event)
    first, last = doors[origin]
    minute = first + (roll >> 16) % (last - first)
    chance = roll % 100
    if seat >= capacity:
        return Booking("WAITLISTED", None, minute)
    if chance < 12:
        # The second run brought a quarter of the cancellations; the first knew those as confirmed.
        return Booking("CANCELLED", "CONFIRMED" if origin == "first" and roll >> 8 & 3 == 0 else None, minute)
    return Booking("NO_SHOW" if chance < 19 and over else "CONFIRMED", None, minute)
