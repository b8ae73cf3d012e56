"""Events that are there more than once: one title and start, however spelt, or by another clock (guide §1.4).

An importer that takes Wild Apricot's local times for its own machine's writes every event some hours off: by the offset
of a time zone, and by an hour more or less where summer time ends. A morning and an evening session of one title are
as many hours apart, and are two events: there the people differ, or one import made both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import pandas as pd
from sqlalchemy import Connection, null, select

from workbench.duplicates import queries
from workbench.duplicates.decisions import Decision, Pair
from workbench.duplicates.pairs import LARGEST_GROUP, Candidate, gather, those_there, within
from workbench.mappings.queries import NEEDS, mapping_rows
from workbench.mappings.traces import claims, imported_twice, there
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import EVENT
from workbench.normalise import normalise

_STEP, _FURTHEST = timedelta(minutes=15), timedelta(hours=14)
"""Time zones differ by whole, half and quarter hours, and from one end of the world to UTC by fourteen."""

_ALIKE, _SOME = 2 / 3, 1 / 3
"""From which share of the smaller event's people on two are attended by the same; and where a time zone shows."""

_MANY = 3
"""So many pairs that are as many hours apart, and attended by the same people, show a time zone."""

_TITLES = 5
"""Second records without people show a time zone where one day made them under so many titles."""

_TOGETHER = timedelta(minutes=1)
"""What was made within it, one import made."""


def duplicate_events(
    connection: Connection, schema: Schema, *, decisions: Mapping[Pair, Decision], runs: Sequence[Run] = ()
) -> pd.DataFrame:
    """List the pairs of events that may be one (guide §1.4).

    ``exact``: one title and start, whatever the title's case, as the check ``events-duplicate`` asks.
    ``normalised``: the same but for spaces, accents and signs of the title. ``wa_id``: one event of Wild Apricot
    led to both. ``shifted``: the same title, some hours of a time zone apart, for the same people. ``same_day``: the
    same title at another time of one day; these may well be two sittings, so they join no cluster until somebody says so.

    Parameters
    ----------
    runs : sequence of Run
        Every run that is known, with its report files: which Wild Apricot id became which event.

    Returns
    -------
    pandas.DataFrame
        See `workbench.duplicates.pairs.gather`; an event's pair has no probability.

    Raises
    ------
    SchemaGap
        When events have no title or start.
    """
    schema.require("events.title", "events.start")
    twins: dict[tuple[str, datetime], list[str]] = defaultdict(list)
    for row in connection.execute(queries.twin_events(schema)):
        twins[row.title.strip(" ").lower(), row.start].append(row.key)
    said: list[str] = []
    found: dict[Pair, Candidate] = {}
    for group in twins.values():
        said += _large(len(group))
        for pair in within(group):
            found[pair] = Candidate("exact", None, True, "same title and start", "", True)
    events = _events(connection, schema)
    for same in _together((plain_title(each.title), each.start, each) for each in events.values()).values():
        for pair in within([each.key for each in same]):
            words = "same title but for its spelling, same start"
            found.setdefault(pair, Candidate("normalised", None, False, words, "", True))
    for shift in shifted_events(connection, schema, runs, events):
        found.setdefault(shift.pair, shift.candidate)
    for day in _together(
        (plain_title(each.title), each.start.date(), each) for each in events.values()
    ).values():
        # One of each time of the day speaks for the others of that time.
        firsts: dict[datetime, Event] = {}
        for each in sorted(day, key=lambda one: one.key):
            firsts.setdefault(each.start, each)
        for left, right in within([each.key for each in firsts.values()]):
            apart = abs(events[left].start - events[right].start)
            against = f"starts {_lasting(apart)} apart: perhaps two sittings"
            found.setdefault(
                (left, right), Candidate("same_day", None, False, "same title on the same day", against)
            )
    gathered = gather(found, decisions, those_there(connection, schema, "events", decisions))
    gathered.attrs["said"] = [*said, *gathered.attrs["said"]]
    return gathered


def plain_title(title: str) -> str:
    """Return a title as it is compared; one of nothing but signs is itself."""
    return normalise(title) or title.strip()


@dataclass(frozen=True)
class Event:
    """An event, as far as it can be told from another."""

    key: str
    title: str
    start: datetime
    made: datetime | None


@dataclass(frozen=True)
class Shift:
    """Two records of one event, by its Wild Apricot id, or by its title, its people and the hours between them.

    Attributes
    ----------
    earlier, later : Event
        By their start.
    people, shared : int
        How many people are on the smaller of the two, and how many of them on the other, too.
    alike : int
        How many pairs are as many hours apart, or an hour more or less.
    wa_id : str
        The id that led to both; empty where nothing tells.
    """

    earlier: Event
    later: Event
    people: int
    shared: int
    alike: int = 0
    wa_id: str = ""

    @property
    def apart(self) -> timedelta:
        """The time between the two starts."""
        return self.later.start - self.earlier.start

    @property
    def pair(self) -> Pair:
        """The two, as every pair is spelt."""
        return _keys((self.earlier, self.later))

    @property
    def likely(self) -> bool:
        """Whether the people, and how many pairs are as far apart, show one event by two clocks."""
        zone = self.alike >= _MANY
        if not self.people:
            return zone
        return self.shared >= (_SOME if zone else _ALIKE) * self.people and (zone or self.people > 1)

    @property
    def by_the_clock(self) -> bool:
        """Whether it is the offset of a time zone that parts them."""
        return _is_offset(self.apart)

    @property
    def made_later(self) -> Event:
        """The one that was made after the other."""
        return max(self.earlier, self.later, key=lambda each: (str(each.made or "~"), each.key))

    @property
    def words(self) -> str:
        """What speaks for their being one, without personal data."""
        hours = f"{_lasting(self.apart)} later"
        told = [
            f"one Wild Apricot event ({self.wa_id}) led to both" if self.wa_id else "",
            f"same title, {hours}"
            if plain_title(self.earlier.title) == plain_title(self.later.title)
            else hours,
            f"{self.shared} of {self.people} people are on both" if self.people else "",
            f"{self.alike} pairs are as far apart, or an hour more or less: another time zone"
            if self.alike >= _MANY and self.by_the_clock
            else "",
        ]
        return "; ".join(filter(None, told))

    @property
    def candidate(self) -> Candidate:
        """The pair, to be reviewed; offered where Wild Apricot's own id says it, and the titles agree."""
        same = plain_title(self.earlier.title) == plain_title(self.later.title)
        if self.wa_id:
            return Candidate("wa_id", None, same, self.words, "" if same else "the titles differ", same)
        return Candidate("shifted", None, False, self.words, "no Wild Apricot id says so", True)


def shifted_events(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run] = (),
    events: Mapping[str, Event] | None = None,
) -> list[Shift]:
    """Return the events that stand twice under one title, by another clock or with one Wild Apricot id.

    Two are one where an id led to both. Without ids they are, where they are the offset of a time zone apart and the
    same people are on both; and where nobody is on one of them yet, when enough of such pairs are as many hours apart.
    Two that one import made, or that have an id each, are two events, however much they are alike.
    """
    events = events if events is not None else _events(connection, schema)
    groups = _together((plain_title(each.title), "", each) for each in events.values())
    close = [pair for same in groups.values() for pair in _within_a_zone(same)]
    twice: dict[Pair, str] = {}
    if schema.has(*NEEDS):
        for again in imported_twice(connection, schema, runs):
            if again.entity == EVENT and {again.first, again.record} <= events.keys():
                twice[_pair(again.first, again.record)] = again.wa_id
        apart = _surely_apart(connection, schema, runs, close)
        close = [pair for pair in close if _keys(pair) not in twice and _keys(pair) not in apart]
    sure = [_in_order(events[left], events[right]) for left, right in sorted(twice)]
    people = _people(connection, schema, {each.key for pair in (*close, *sure) for each in pair})
    found = []
    for earlier, later in (*sure, *close):
        here, there_ = people.get(earlier.key, set()), people.get(later.key, set())
        wa_id = twice.get(_keys((earlier, later)), "")
        found.append(Shift(earlier, later, min(len(here), len(there_)), len(here & there_), 0, wa_id))
    hours = Counter(
        each.apart
        for each in found
        if _is_offset(each.apart)
        and (each.wa_id or (each.people > 1 and each.shared >= _ALIKE * each.people))
    )
    hours += _empty_twins(found, people)
    told = [replace(each, alike=_as_far(each.apart, hours)) for each in found]
    taken: set[str] = set()
    kept = []
    # What is known by its id, or has more people in common, has its twin first: no event has two.
    for each in sorted(told, key=lambda one: (not one.wa_id, -one.shared, one.earlier.start, one.pair)):
        if each.wa_id or (each.likely and not taken & set(each.pair)):
            taken.update(each.pair)
            kept.append(each)
    return sorted(kept, key=lambda each: (each.earlier.start, each.pair))


def _events(connection: Connection, schema: Schema) -> dict[str, Event]:
    events = schema.events
    made = events.c.created_at if schema.has("events.created_at") else null()
    title = as_text(events.c.title)
    asked = select(as_text(events.c.id).label("key"), title, events.c.start, made).where(
        events.c.title.is_not(None), events.c.start.is_not(None)
    )
    return {row[0]: Event(*row) for row in connection.execute(asked.order_by("key"))}


def _together(named: Iterable[tuple[str, object, Event]]) -> dict[tuple[str, object], list[Event]]:
    """Gather the events of one name; those that are alone under theirs are left out."""
    found: dict[tuple[str, object], list[Event]] = defaultdict(list)
    for title, when, event in named:
        found[title, when].append(event)
    return {name: same for name, same in found.items() if len(same) > 1}


def _within_a_zone(same: Sequence[Event]) -> Iterable[tuple[Event, Event]]:
    """Yield the events that are the offset of a time zone apart, the earlier one first."""
    ordered = sorted(same, key=lambda each: (each.start, each.key))
    for place, earlier in enumerate(ordered):
        for later in ordered[place + 1 :]:
            if later.start - earlier.start > _FURTHEST:
                break
            if _is_offset(later.start - earlier.start):
                yield earlier, later


def _is_offset(apart: timedelta) -> bool:
    return timedelta(0) < apart <= _FURTHEST and not apart % _STEP


def _empty_twins(shifts: Sequence[Shift], people: Mapping[str, set[str]]) -> Counter[timedelta]:
    """Count, by their hours, the second records on which nobody is, where one day made them under many titles.

    Somebody who adds an evening session does so for a title or two; an import by another clock does for all.
    """
    titles: dict[tuple[timedelta, date], set[str]] = defaultdict(set)
    for shift in shifts:
        second = shift.made_later
        if second.made and shift.by_the_clock and not people.get(second.key):
            titles[shift.apart, second.made.date()].add(plain_title(second.title))
    counts: Counter[timedelta] = Counter()
    for (apart, _), names in titles.items():
        if len(names) >= _TITLES:
            counts[apart] += len(names)
    return counts


def _as_far(apart: timedelta, hours: Mapping[timedelta, int]) -> int:
    """Count the pairs that are as far apart, or an hour more or less: summer time ends in between."""
    if not _is_offset(apart):
        return 0
    return sum(hours.get(apart + timedelta(hours=more), 0) for more in (-1, 0, 1))


def _surely_apart(
    connection: Connection, schema: Schema, runs: Sequence[Run], pairs: Sequence[tuple[Event, Event]]
) -> set[Pair]:
    """Return the pairs that are two events: each has a Wild Apricot id of its own, or one import made both."""
    keys = {each.key for pair in pairs for each in pair}
    if not keys:
        return set()
    ids: dict[str, set[str]] = defaultdict(set)
    makers: dict[str, str] = {}
    for claim in claims(connection, schema, runs, records=keys):
        if claim.entity == EVENT and (claim.independent or claim.maps):
            ids[claim.record].add(claim.wa_id)
            if claim.action == "created" and claim.run:
                makers[claim.record] = claim.run
    for row in mapping_rows(connection, schema, records=keys, entity=EVENT):
        ids[row.target].add(row.wa_id)
    for (_, record), made in there(connection, schema, {(EVENT, key) for key in keys}).items():
        if made.run:
            makers.setdefault(record, made.run)
    found = set()
    for one, other in pairs:
        own, others = ids.get(one.key, set()), ids.get(other.key, set())
        together = one.made and other.made and abs(one.made - other.made) < _TOGETHER
        same_maker = one.key in makers and makers[one.key] == makers.get(other.key)
        if (own and others and not own & others) or same_maker or together:
            found.add(_keys((one, other)))
    return found


def _people(connection: Connection, schema: Schema, events: Collection[str]) -> dict[str, set[str]]:
    """Return who is on each of some events."""
    found: dict[str, set[str]] = defaultdict(set)
    if events and schema.has("registrations.event_id", "registrations.member_id"):
        on = schema.registrations
        rows = connection.execute(
            select(as_text(on.c.event_id), as_text(on.c.member_id)).where(
                is_one_of(on.c.event_id, events), on.c.member_id.is_not(None)
            )
        )
        for event, member in rows:
            found[event].add(member)
    return found


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def _keys(pair: tuple[Event, Event]) -> Pair:
    return _pair(pair[0].key, pair[1].key)


def _in_order(one: Event, other: Event) -> tuple[Event, Event]:
    return (one, other) if (one.start, one.key) <= (other.start, other.key) else (other, one)


def _large(size: int) -> list[str]:
    if size <= LARGEST_GROUP:
        return []
    return [f"{size:,} events have one title and start: each is listed beside the first of them only."]


def _lasting(time: timedelta) -> str:
    hours, minutes = divmod(round(time.total_seconds() / 60), 60)
    days, hours = divmod(hours, 24) if hours >= 48 else (0, hours)
    parts = (
        f"{days} days" if days else "",
        f"{hours} h" if hours or not days else "",
        f"{minutes} min" if minutes else "",
    )
    return " ".join(filter(None, parts))
