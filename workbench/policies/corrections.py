"""The corrections a rule may ask for, each for the records it finds: clamp, swap, hide.

A correction is obvious only where nothing speaks against it. What does is left unresolved, with what would
decide it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, select

from workbench.investigate.policies import Ground, Rule, Rulebook
from workbench.investigate.policies.events import (
    CapacityLimit,
    EndAfterStart,
    EventLength,
    RegisteredInTime,
    confirmed,
)
from workbench.investigate.policies.fields import DateRange
from workbench.investigate.policies.members import Visibility
from workbench.murmurant.schema import as_text, same_id
from workbench.murmurant.spellings import EVENT

Values = dict[str, str | None]
Change = Callable[[Mapping[str, str | None]], Values]
"""From a row's columns as text to those that change."""


@dataclass
class Wanted:
    """What a rule wants of one table.

    Attributes
    ----------
    concept : str
        The table, as the schema calls it.
    keys : list of str
        The rows to change, sorted.
    change : callable
        What becomes of each.
    doubts : dict of str to (reason, what would decide it)
        Rows at fault that no obvious correction helps.
    """

    concept: str
    keys: list[str]
    change: Change
    doubts: dict[str, tuple[str, str]] = field(default_factory=dict)


def wanted_by(rule: Rule, book: Rulebook, ground: Ground) -> Wanted:
    """Tell what a rule's own correction would change.

    Raises
    ------
    NoAnswerError
        When the rule cannot be asked here.
    """
    if isinstance(rule, CapacityLimit):
        return _clamp(rule, ground)
    if isinstance(rule, EndAfterStart):
        return _swap(rule, book, ground)
    assert isinstance(rule, Visibility)
    return _hide(rule, ground)


def _keys(rule: Rule, ground: Ground, column: str = "key") -> list[str]:
    found = rule.culprits(ground).order_by(None).subquery("culprits")
    return sorted(str(row[0]) for row in ground.connection.execute(select(found.c[column]).distinct()))


def _clamp(rule: CapacityLimit, ground: Ground) -> Wanted:
    limit = rule.most(ground)
    name = ground.schema.resolved["events"].spelling["capacity"]
    # The taken seats decide: where they cannot be counted, no capacity is lowered.
    ground.schema.require("registrations.event_id", "registrations.status")
    events, seats = ground.schema.events, confirmed(ground, rule.statuses)
    full = (
        select(as_text(events.c.id), seats.c.taken)
        .select_from(events.join(seats, same_id(seats.c.event_id, events.c.id)))
        .where(events.c.capacity > limit, seats.c.taken > limit)
    )
    too_full = {str(key): int(taken) for key, taken in ground.connection.execute(full)}
    keys = _keys(rule, ground)
    doubts = {
        key: (
            f"{too_full[key]:,} confirmed registrations do not fit the limit of {limit:,}",
            "some of them belong on the waiting list, or the event is an exception to be waived",
        )
        for key in keys
        if key in too_full
    }

    def change(row: Mapping[str, str | None]) -> Values:
        return {name: str(min(limit, int(row[name] or limit)))}

    return Wanted("events", [key for key in keys if key not in doubts], change, doubts)


def _swap(rule: EndAfterStart, book: Rulebook, ground: Ground) -> Wanted:
    spelling = ground.schema.resolved["events"].spelling
    start, end = spelling["start"], spelling["end"]
    keys = _keys(rule, ground)
    doubts: dict[str, tuple[str, str]] = {}
    for other in book.rules:
        query = _broken_by_a_swap(other, ground)
        if query is None or not keys:
            continue
        for (key,) in ground.connection.execute(
            query.where(ground.schema.events.c.end < ground.schema.events.c.start)
        ):
            reason = f"with start and end swapped it would still break a rule: {other.title} ({other.id})"
            doubts.setdefault(str(key), (reason, "look the times up in the source and correct them by hand"))
    doubts = {key: doubt for key, doubt in doubts.items() if key in set(keys)}

    def change(row: Mapping[str, str | None]) -> Values:
        return {start: row[end], end: row[start]}

    return Wanted("events", [key for key in keys if key not in doubts], change, doubts)


def _broken_by_a_swap(rule: Rule, ground: Ground) -> Select[Any] | None:
    """Select the events that would break another rule if their start were the end, and the end the start."""
    schema = ground.schema
    if schema.missing(*rule.needs):
        return None
    events = schema.events
    broken: ColumnElement[bool]
    among = rule.among(ground)
    if isinstance(rule, EventLength):
        broken = rule.too_long(events.c.end, events.c.start)
    elif isinstance(rule, DateRange) and rule.scope == EVENT and rule.column in ("start", "end"):
        broken = rule.outside(ground, events.c["end" if rule.column == "start" else "start"])
    elif isinstance(rule, RegisteredInTime) and rule.until == "end":
        own = schema.registrations
        late = rule.late(own.c.registered_at, events.c.end, events.c.start)
        broken, among = exists().where(same_id(own.c.event_id, events.c.id), late), []
    else:
        return None
    return select(as_text(events.c.id)).where(broken, *among)


def _hide(rule: Visibility, ground: Ground) -> Wanted:
    schema = ground.schema
    keys = _keys(rule, ground)  # raises where nobody can be seen or hidden here
    if schema.has("members.is_private", "members.visibility"):
        name = schema.resolved["members"].spelling["visibility"]

        def set_private(row: Mapping[str, str | None]) -> Values:
            return {name: "private" if (row[name] or "").islower() else "PRIVATE"}

        return Wanted("members", keys, set_private)
    public = schema.resolved["files"].spelling["is_public"]
    return Wanted("files", _keys(rule, ground, "photo"), lambda row: {public: "false"})
