"""Guide §1.5: imported data that violate the organisation's own rules."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, String, cast, exists, func, select

from workbench.checks.registry import Look, NotConfiguredError, NotRunError, check
from workbench.murmurant.schema import as_text, named, same_id

TAKING_A_SEAT = ("CONFIRMED",)
"""Registration statuses that hold a seat."""


@check(
    "events-over-capacity-limit",
    "Events larger than the organisation allows",
    guide="§1.5",
    symptom="Events exceed capacity limits",
    question="Is every event's capacity within the organisation's limit?",
    remedy="Set the capacity to the limit, unless the event has an exception; then say so with a waiver.",
    needs=("events.capacity", "events.title"),
)
def events_over_capacity_limit(look: Look) -> Select[Any]:
    limit = look.settings.event_capacity_limit
    if limit is None:
        raise NotConfiguredError("No limit is configured. Set event_capacity_limit for this environment.")
    events = look.schema.events
    return (
        select(as_text(events.c.id).label("key"), *named(events, "title", "capacity"))
        .where(events.c.capacity > limit)
        .order_by(events.c.capacity.desc(), "key")
    )


@check(
    "events-overbooked",
    "Events with more confirmed registrations than seats",
    guide="§1.5",
    symptom="Events exceed capacity limits",
    question="Do the confirmed registrations of every event fit its capacity?",
    remedy="Check the capacity in the source; if it is right, some registrations belong on the waiting list.",
    needs=("events.capacity", "events.title", "registrations.event_id", "registrations.status"),
)
def events_overbooked(look: Look) -> Select[Any]:
    events, registrations = look.schema.events, look.schema.registrations
    seats = (
        select(registrations.c.event_id, func.count().label("taken"))
        .where(registrations.c.status.in_(TAKING_A_SEAT))
        .group_by(registrations.c.event_id)
        .subquery("seats")
    )
    return (
        select(as_text(events.c.id).label("key"), *named(events, "title", "capacity"), seats.c.taken)
        .select_from(events.join(seats, same_id(seats.c.event_id, events.c.id)))
        .where(seats.c.taken > events.c.capacity)
        .order_by("key")
    )


@check(
    "events-invalid-dates",
    "Events that end before they start",
    guide="§1.5",
    symptom="Invalid date ranges",
    question="Does every event end after it starts?",
    remedy="Look the times up in the source; when the two were swapped, swap them back.",
    needs=("events.start", "events.end", "events.title"),
)
def events_invalid_dates(look: Look) -> Select[Any]:
    events = look.schema.events
    return (
        select(as_text(events.c.id).label("key"), *named(events, "title", "start", "end"))
        .where(events.c.end < events.c.start)
        .order_by("key")
    )


@check(
    "members-visibility",
    "Private members who can be seen by everybody",
    guide="§1.5",
    symptom="Members in wrong visibility groups",
    question="Is nobody public who asked to be private, nor a photo that only some may see?",
    remedy="Take them out of public view first, then find the setting that the importer did not carry over.",
    needs=("members",),
    risk="critical",
)
def members_visibility(look: Look) -> Select[Any]:
    schema = look.schema
    members = schema.members
    if schema.has("members.is_private", "members.visibility"):
        return (
            select(
                as_text(members.c.id).label("key"),
                *named(members, "first_name", "last_name"),
                members.c.visibility.label("seen_by"),
            )
            .where(members.c.is_private, func.upper(cast(members.c.visibility, String)) == "PUBLIC")
            .order_by("key")
        )
    if schema.has("members.photo_id", "files.is_public", "file_access.file_id"):
        files, access = schema.files, schema.file_access
        return (
            select(
                as_text(members.c.id).label("key"),
                *named(members, "first_name", "last_name"),
                as_text(files.c.id).label("photo"),
            )
            .select_from(members.join(files, same_id(files.c.id, members.c.photo_id)))
            .where(files.c.is_public, exists().where(same_id(access.c.file_id, files.c.id)))
            .order_by("key")
        )
    raise NotRunError(
        'Members have no visibility here: neither "isPrivate" and "visibility" columns nor photos with access rules.'
    )
