"""Kinds of rules about events and who comes to them."""

from __future__ import annotations

import datetime as dates
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Select, func, or_, select

from workbench.investigate.policies.ground import Ground, NoAnswerError
from workbench.investigate.policies.rule import Rule, Words
from workbench.murmurant.schema import as_text, named, same_id

TAKING_A_SEAT = ("CONFIRMED",)
"""Registration statuses that hold a seat, unless a rule says otherwise."""


def confirmed(ground: Ground, statuses: tuple[str, ...]) -> Any:
    """Count the registrations of each event that hold a seat: ``event_id``, ``taken``."""
    registrations = ground.schema.registrations
    return (
        select(registrations.c.event_id, func.count().label("taken"))
        .where(registrations.c.status.in_(statuses))
        .group_by(registrations.c.event_id)
        .subquery("seats")
    )


class CapacityLimit(Rule):
    """No event may be larger than the organisation allows."""

    ask: Literal["capacity-limit"]
    scope: Literal["Event"] = "Event"
    limit: Annotated[int, Field(strict=True, ge=0)] | None = None
    statuses: tuple[str, ...] = TAKING_A_SEAT
    fix: Literal["clamp"] | None = None
    question: Words = "Is every event's capacity within the organisation's limit?"
    remedy: Words = (
        "Set the capacity to the limit, unless the event has an exception; then say so with a waiver."
    )
    symptom: ClassVar[str] = "Events exceed capacity limits"

    @property
    def needs(self) -> tuple[str, ...]:
        """A capacity."""
        return (*super().needs, "events.capacity", "events.title")

    def most(self, ground: Ground) -> int:
        """Return the limit: the rule's own, else the environment's."""
        limit = self.limit if self.limit is not None else ground.capacity_limit
        if limit is None:
            raise NoAnswerError(
                "No limit is configured. Set event_capacity_limit for this environment, or limit in the rule.",
                configured=False,
            )
        return limit

    def culprits(self, ground: Ground) -> Select[Any]:
        """Select events with more seats than the limit, the largest first."""
        events = ground.schema.events
        return (
            select(as_text(events.c.id).label("key"), *named(events, "title", "capacity"))
            .where(events.c.capacity > self.most(ground), *self.among(ground))
            .order_by(events.c.capacity.desc(), "key")
        )


class WithinCapacity(Rule):
    """The confirmed registrations of every event must fit its capacity."""

    ask: Literal["confirmed-within-capacity"]
    scope: Literal["Event"] = "Event"
    statuses: tuple[str, ...] = TAKING_A_SEAT
    fix: None = None
    question: Words = "Do the confirmed registrations of every event fit its capacity?"
    remedy: Words = (
        "Check the capacity in the source; if it is right, some registrations belong on the waiting list."
    )
    symptom: ClassVar[str] = "Events exceed capacity limits"

    @property
    def needs(self) -> tuple[str, ...]:
        """Capacities and registrations."""
        events = ("events.capacity", "events.title", "registrations.event_id", "registrations.status")
        return (*super().needs, *events)

    def culprits(self, ground: Ground) -> Select[Any]:
        """Select events with more guests than seats."""
        events, seats = ground.schema.events, confirmed(ground, self.statuses)
        return (
            select(as_text(events.c.id).label("key"), *named(events, "title", "capacity"), seats.c.taken)
            .select_from(events.join(seats, same_id(seats.c.event_id, events.c.id)))
            .where(seats.c.taken > events.c.capacity, *self.among(ground))
            .order_by("key")
        )


class EndAfterStart(Rule):
    """No event may end before it starts."""

    ask: Literal["end-after-start"]
    scope: Literal["Event"] = "Event"
    fix: Literal["swap"] | None = None
    question: Words = "Does every event end after it starts?"
    remedy: Words = "Look the times up in the source; when the two were swapped, swap them back."
    symptom: ClassVar[str] = "Invalid date ranges"

    @property
    def needs(self) -> tuple[str, ...]:
        """A start and an end."""
        return (*super().needs, "events.start", "events.end", "events.title")

    def culprits(self, ground: Ground) -> Select[Any]:
        """Select events that end before they start."""
        events = ground.schema.events
        return (
            select(as_text(events.c.id).label("key"), *named(events, "title", "start", "end"))
            .where(events.c.end < events.c.start, *self.among(ground))
            .order_by("key")
        )


class EventLength(Rule):
    """No event may last longer than is plausible."""

    ask: Literal["event-length"]
    scope: Literal["Event"] = "Event"
    longest_days: Annotated[int, Field(strict=True, ge=1)]
    fix: None = None
    question: Words = "Does every event last no longer than is plausible?"
    remedy: Words = "Look the times up in the source: a wrong year or month is the usual reason."
    symptom: ClassVar[str] = "Invalid date ranges"

    @property
    def needs(self) -> tuple[str, ...]:
        """A start and an end."""
        return (*super().needs, "events.start", "events.end", "events.title")

    def too_long(self, start: Any, end: Any) -> ColumnElement[bool]:
        """Whether so much time lies between two moments."""
        wrong: ColumnElement[bool] = end - start > dates.timedelta(days=self.longest_days)
        return wrong

    def culprits(self, ground: Ground) -> Select[Any]:
        """Select events that last too long."""
        events = ground.schema.events
        return (
            select(as_text(events.c.id).label("key"), *named(events, "title", "start", "end"))
            .where(self.too_long(events.c.start, events.c.end), *self.among(ground))
            .order_by("key")
        )


class RegisteredInTime(Rule):
    """Nobody may have registered after the event's end, nor outside the time it took registrations."""

    ask: Literal["registered-in-time"]
    scope: Literal["Registration"] = "Registration"
    until: Literal["end", "deadline"] = "end"
    fix: None = None
    question: Words = "Was every registration made while the event took registrations?"
    remedy: Words = "Check the registration's event in the source: it may hang on the wrong one (§1.2)."
    symptom: ClassVar[str] = "Invalid date ranges"

    @property
    def needs(self) -> tuple[str, ...]:
        """Moments of both."""
        last = ("events.start",) if self.until == "end" else ("events.opens", "events.deadline")
        return (*super().needs, "registrations.event_id", "registrations.registered_at", *last)

    def late(self, registered: Any, start: Any, end: Any) -> ColumnElement[bool]:
        """Whether somebody registered after an event's end; its start, where no end is known."""
        wrong: ColumnElement[bool] = registered > func.greatest(start, func.coalesce(end, start))
        return wrong

    def culprits(self, ground: Ground) -> Select[Any]:
        """Select registrations made too late, or too early."""
        events, own = ground.schema.events, ground.schema.registrations
        registered = own.c.registered_at
        if self.until == "end":
            end = events.c.end if "end" in events.c else events.c.start
            wrong = self.late(registered, events.c.start, end)
            shown = named(events, "title", "start", "end")
        else:
            wrong = or_(registered > events.c.deadline, registered < events.c.opens)
            shown = named(events, "title", "opens", "deadline")
        return (
            select(
                as_text(own.c.id).label("key"),
                *named(own, "registered_at"),
                as_text(own.c.event_id).label("event_id"),
                *shown,
            )
            .select_from(own.join(events, same_id(events.c.id, own.c.event_id)))
            .where(wrong, *self.among(ground))
            .order_by("key")
        )
