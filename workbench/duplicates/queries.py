"""What is exactly, or but for its spelling, there twice: the questions of guide §1.4 and §4.4 in SQL.

The checks ask them, and so do the investigations; each is spelled here once.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, case, func, literal_column, select

from workbench.murmurant.schema import Schema, as_text, named, same_id
from workbench.murmurant.spellings import ENTITY_TYPES, MEMBER


def normalised_email(email: ColumnElement[str]) -> ColumnElement[str]:
    """Return an e-mail address without case, dots and plus tag of its local part, in one form of Unicode.

    Two spellings that reach the same mailbox with most providers compare equal.
    """
    # A server normalises in UTF-8 alone; in most other encodings an address has one form anyway.
    one_form = case(
        (func.getdatabaseencoding() == "UTF8", func.normalize(email, literal_column("NFKC"))), else_=email
    )
    plain = func.lower(func.trim(one_form))
    local = func.regexp_replace(func.split_part(plain, "@", 1), r"\+.*$|\.", "", "g")
    return local + "@" + func.split_part(plain, "@", 2)


def mailboxes(schema: Schema) -> Subquery:
    """Return the mailboxes that several members have: ``address``, ``members``."""
    members = schema.members
    address = normalised_email(members.c.email)
    return (
        select(address.label("address"), func.count().label("members"))
        .where(members.c.email.is_not(None), func.trim(members.c.email) != "")
        .group_by(address)
        .having(func.count() > 1)
        .subquery("groups")
    )


def in_mailboxes(schema: Schema) -> Select[*tuple[Any, ...]]:
    """Return the members who share a mailbox, with it: ``address``, ``key``, ``email``."""
    members, groups = schema.members, mailboxes(schema)
    return (
        select(groups.c.address, as_text(members.c.id).label("key"), members.c.email)
        .select_from(members.join(groups, groups.c.address == normalised_email(members.c.email)))
        .order_by(groups.c.address, "key")
    )


def twin_events(schema: Schema) -> Select[*tuple[Any, ...]]:
    """Return the events of which there are several with one title and start."""
    events = schema.events
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


def registered_twice(schema: Schema) -> Select[*tuple[Any, ...]] | None:
    """Return who is registered more than once for one event; None where the database forbids it."""
    if schema.forbids_twins("registrations", "member_id", "event_id"):
        return None
    registrations = schema.registrations
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


def contacts_twice(schema: Schema) -> Select[*tuple[Any, ...]]:
    """Return the members whose raw Wild Apricot data are one contact's: ``contact``, ``key``."""
    members = schema.members
    contact = members.c.wa_raw["waContactId"].astext
    named_here = contact.is_not(None) & (contact != "")
    return _of_several(select(contact.label("contact"), as_text(members.c.id).label("key")).where(named_here))


def mapped_twice(schema: Schema) -> Select[*tuple[Any, ...]]:
    """Return the members to whom one Wild Apricot id was mapped, where there are several: ``contact``, ``key``."""
    mappings, members = schema.mappings, schema.members
    return _of_several(
        select(as_text(mappings.c.wa_id).label("contact"), as_text(members.c.id).label("key"))
        .select_from(mappings.join(members, same_id(members.c.id, mappings.c.target)))
        .where(mappings.c.entity_type.in_(ENTITY_TYPES[MEMBER]))
        .distinct()
    )


def _of_several(pairs: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Return the pairs of contact and member whose contact has more than one."""
    pair = pairs.subquery("pair")
    count = func.count().over(partition_by=pair.c.contact)
    counted = select(pair.c.contact, pair.c.key, count.label("members")).subquery("counted")
    several = select(counted.c.contact, counted.c.key).where(counted.c.members > 1)
    return several.order_by("contact", "key")
