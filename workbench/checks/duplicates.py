"""Guide §1.4: the same entity imported twice under different ids."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from workbench.checks.registry import Look, Rows, check
from workbench.murmurant.schema import as_text, named, same_id


def normalised_email(email: ColumnElement[str]) -> ColumnElement[str]:
    """Return an e-mail address without case, dots and plus tag of its local part.

    Two spellings that reach the same mailbox with most providers compare equal.
    """
    plain = func.lower(func.trim(email))
    local = func.regexp_replace(func.split_part(plain, "@", 1), r"\+.*$|\.", "", "g")
    return local + "@" + func.split_part(plain, "@", 2)


@check(
    "members-duplicate-email",
    "Members who share an e-mail address",
    guide="§1.4",
    symptom="Member appears twice in list",
    question="Does each e-mail address, whatever its case, dots and plus tag, belong to one member?",
    remedy="Look at each pair: one person is merged into the record with more associations (§4.4); a family that shares"
    " an address is not one person.",
    needs=("members.email",),
)
def members_duplicate_email(look: Look) -> Select[*tuple[Any, ...]]:
    members = look.schema.members
    groups = _groups(look)
    return (
        select(
            as_text(members.c.id).label("key"),
            *named(members, "first_name", "last_name", "email"),
            groups.c.members,
        )
        .select_from(members.join(groups, groups.c.address == normalised_email(members.c.email)))
        .order_by(groups.c.address, "key")
    )


@check(
    "events-duplicate",
    "Events with the same title and start",
    guide="§1.4",
    symptom="Duplicate events",
    question="Is there one event for each title and start?",
    remedy="Keep the one with more registrations, move the others to it, and point the mapping at it (§4.4).",
    needs=("events.title", "events.start"),
)
def events_duplicate(look: Look) -> Select[*tuple[Any, ...]]:
    events = look.schema.events
    same = (func.lower(func.trim(events.c.title)), events.c.start)
    twins = (
        select(same[0].label("title"), events.c.start, func.count().label("events"))
        .group_by(*same)
        .having(func.count() > 1)
        .subquery("twins")
    )
    return (
        select(as_text(events.c.id).label("key"), *named(events, "title", "start"), twins.c.events)
        .select_from(events.join(twins, and_(twins.c.title == same[0], twins.c.start == events.c.start)))
        .order_by(twins.c.start, twins.c.title, "key")
    )


@check(
    "registrations-split",
    "Registrations split across one person's duplicates",
    guide="§1.4",
    symptom="Split registrations",
    question="Is each person registered once for each event, counting their duplicates as one?",
    remedy="Merge the duplicate members (§4.4); of two registrations for one event one has to go.",
    needs=("members.email", "registrations.member_id", "registrations.event_id"),
)
def registrations_split(look: Look) -> Select[*tuple[Any, ...]]:
    members, registrations = look.schema.members, look.schema.registrations
    groups = _groups(look)
    of_duplicates = (
        select(
            as_text(registrations.c.id).label("key"),
            as_text(registrations.c.event_id).label("event"),
            as_text(registrations.c.member_id).label("member"),
            members.c.email.label("email"),
            func.count()
            .over(partition_by=[registrations.c.event_id, groups.c.address])
            .label("registrations"),
        )
        .select_from(
            registrations.join(members, same_id(members.c.id, registrations.c.member_id)).join(
                groups, groups.c.address == normalised_email(members.c.email)
            )
        )
        .subquery("of_duplicates")
    )
    return select(of_duplicates).where(of_duplicates.c.registrations > 1).order_by("event", "email", "key")


@check(
    "registrations-duplicate",
    "The same member registered twice for one event",
    guide="§1.4",
    symptom="Split registrations",
    question="Is each member registered at most once for each event?",
    remedy="Keep the registration that the mapping leads to, or the one with a payment, and remove the other.",
    needs=("registrations.member_id", "registrations.event_id"),
)
def registrations_duplicate(look: Look) -> Select[*tuple[Any, ...]] | Rows:
    if look.schema.forbids_twins("registrations", "member_id", "event_id"):
        return []
    registrations = look.schema.registrations
    return (
        select(
            func.min(as_text(registrations.c.id)).label("key"),
            as_text(registrations.c.event_id).label("event"),
            as_text(registrations.c.member_id).label("member"),
            func.count().label("registrations"),
        )
        .where(registrations.c.event_id.is_not(None), registrations.c.member_id.is_not(None))
        .group_by(registrations.c.event_id, registrations.c.member_id)
        .having(func.count() > 1)
        .order_by("key")
    )


def _groups(look: Look) -> Any:
    members = look.schema.members
    address = normalised_email(members.c.email)
    return (
        select(address.label("address"), func.count().label("members"))
        .where(members.c.email.is_not(None), members.c.email != "")
        .group_by(address)
        .having(func.count() > 1)
        .subquery("groups")
    )
