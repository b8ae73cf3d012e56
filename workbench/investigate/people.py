"""People, events and registrations, found by what somebody types, each with the WA ids that lead to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select

from workbench.errors import SchemaGap, unknown
from workbench.investigate.searching import BY_ID, BY_WORDS, ENOUGH, Hit, hits, is_one_of, sought, wa_ids_of
from workbench.murmurant.schema import Schema, as_text, named, same_id
from workbench.murmurant.spellings import ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.tiers.queries import in_use

PERSON = ("first_name", "last_name", "email")
HAPPENING = ("title", "start")


def find_people(connection: Connection, schema: Schema, text: str, limit: int = 50) -> pd.DataFrame:
    """Find people by an id or its beginning, a WA id, or words of their names and e-mail address.

    Parameters
    ----------
    text : str
        What was typed; words in any order and case, accents as they are, each literally.
    limit : int
        The most to return.

    Returns
    -------
    pandas.DataFrame
        ``key``, ``first_name``, ``last_name``, ``email``, ``tier`` (its code, or the status's where no tier was
        ever made), ``wa_ids`` (those that lead here), ``found_by`` (``id``, ``WA id`` or ``words``); the surest
        first, then by name. ``attrs["found"]`` is how many there are, counted up to `ENOUGH`;
        ``attrs["more"]`` whether there may be more.

    Raises
    ------
    UsageError
        When nothing was typed, or the limit is below 1.
    """
    found = hits(connection, schema, MEMBER, sought(text, limit), PERSON)
    rows = _rows(connection, schema, MEMBER, [each.key for each in found[:limit]], PERSON)
    tiers = _tiers(connection, schema, list(rows))
    for key, facts in rows.items():
        facts["tier"] = tiers.get(key)
    return _laid_out(connection, schema, MEMBER, found, rows, (*PERSON, "tier"))


def find_events(connection: Connection, schema: Schema, text: str, limit: int = 50) -> pd.DataFrame:
    """Find events by an id or its beginning, a WA id, or words of their title and day.

    Returns
    -------
    pandas.DataFrame
        ``key``, ``title``, ``start``, ``wa_ids``, ``found_by``; see `find_people`.
    """
    found = hits(connection, schema, EVENT, sought(text, limit), HAPPENING)
    rows = _rows(connection, schema, EVENT, [each.key for each in found[:limit]], HAPPENING)
    return _laid_out(connection, schema, EVENT, found, rows, HAPPENING)


def find_registrations(connection: Connection, schema: Schema, text: str, limit: int = 50) -> pd.DataFrame:
    """Find registrations by their id or WA id, or by the words of who comes to them.

    Returns
    -------
    pandas.DataFrame
        ``key``, ``first_name``, ``last_name``, ``title``, ``status``, ``wa_ids``, ``found_by``; see `find_people`.
    """
    wanted = sought(text, limit)
    found = hits(connection, schema, REGISTRATION, wanted, ())
    if not found and schema.has("registrations.member_id", "members"):
        people = [each.key for each in hits(connection, schema, MEMBER, wanted, PERSON) if each.by != BY_ID]
        rows = schema.registrations
        keys = connection.scalars(
            select(as_text(rows.c.id)).where(is_one_of(rows.c.member_id, people)).order_by(rows.c.id)
        )
        found = [Hit(key, BY_WORDS) for key in keys]
    keys_shown = [each.key for each in found[:limit]]
    return _laid_out(
        connection,
        schema,
        REGISTRATION,
        found,
        registrations_in_words(connection, schema, keys_shown),
        ("first_name", "last_name", "title", "status"),
    )


def find_records(
    connection: Connection, schema: Schema, entity: str, text: str, limit: int = 50
) -> pd.DataFrame:
    """Find records of an entity: `find_people`, `find_events` or `find_registrations`."""
    ways = {MEMBER: find_people, EVENT: find_events, REGISTRATION: find_registrations}
    if entity not in ways:
        raise unknown("entity", entity, ENTITIES)
    return ways[entity](connection, schema, text, limit)


def records_in_words(
    connection: Connection, schema: Schema, entity: str, keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return what tells some records apart for people: names and address, title and start, or both."""
    if entity == REGISTRATION:
        return registrations_in_words(connection, schema, keys)
    return _rows(connection, schema, entity, keys, PERSON if entity == MEMBER else HAPPENING)


def registrations_in_words(
    connection: Connection, schema: Schema, keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return who comes to which event, and how that stands."""
    rows = _rows(connection, schema, REGISTRATION, keys, ("member_id", "event_id", "status"))
    who = [str(facts["member_id"]) for facts in rows.values() if facts.get("member_id")]
    what = [str(facts["event_id"]) for facts in rows.values() if facts.get("event_id")]
    people, events = (
        _rows(connection, schema, MEMBER, who, PERSON),
        _rows(connection, schema, EVENT, what, HAPPENING),
    )
    return {
        key: {
            **people.get(str(facts.get("member_id")), {}),
            **events.get(str(facts.get("event_id")), {}),
            "status": facts.get("status"),
        }
        for key, facts in rows.items()
    }


def _rows(
    connection: Connection, schema: Schema, entity: str, keys: Sequence[str], columns: Sequence[str]
) -> dict[str, dict[str, Any]]:
    try:
        record = schema.entity(entity)
    except SchemaGap:
        return {}
    if not keys:
        return {}
    query = select(as_text(record.c.id).label("key"), *named(record, *columns)).where(
        is_one_of(record.c.id, keys)
    )
    found = {row["key"]: dict(row) for row in connection.execute(query).mappings()}
    return {key: found[key] for key in keys if key in found}


def _tiers(connection: Connection, schema: Schema, keys: Sequence[str]) -> dict[str, str]:
    try:
        used = in_use(connection, schema)
    except SchemaGap:
        return {}
    members = schema.members
    rows = connection.execute(
        select(as_text(members.c.id), used.codes.c.code)
        .select_from(members.join(used.codes, same_id(used.codes.c.id, members.c[used.column])))
        .where(is_one_of(members.c.id, keys))
    )
    return {str(key): str(code) for key, code in rows}


def _laid_out(
    connection: Connection,
    schema: Schema,
    entity: str,
    found: Sequence[Hit],
    rows: dict[str, dict[str, Any]],
    columns: Sequence[str],
) -> pd.DataFrame:
    led = wa_ids_of(connection, schema, entity, list(rows)) if rows else {}
    by = {each.key: each.by for each in found}
    laid = [
        (key, *(facts.get(name) for name in columns), ", ".join(led.get(key, ())), by[key])
        for key, facts in rows.items()
    ]
    frame = pd.DataFrame(laid, columns=["key", *columns, "wa_ids", "found_by"], dtype=object)
    frame.attrs |= {"found": len(found), "more": len(found) >= ENOUGH}
    return frame
