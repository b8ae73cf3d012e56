"""Whose row it is: keys turned into names, titles and Wild Apricot ids, a screenful at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, repeat, zip_longest
from operator import itemgetter
from typing import Any, TypeVar

import pandas as pd
from sqlalchemy import UUID, Connection, Text, select

from workbench.murmurant.schema import Schema, as_text, named
from workbench.murmurant.spellings import CONCEPTS
from workbench.reporting.masking import DOTS, kind_of, mask

Facts = dict[str, Any]
"""Canonical column to value."""

Rows = dict[str, Facts]
"""Key to what is known of the row."""

Pair = tuple[str, str]
"""A row, by its table and key."""

Each = TypeVar("Each")

CONCEPT_OF_TABLE = {table: name for name, concept in CONCEPTS.items() for table in concept.tables}
"""Real table name to concept."""

NOT_KNOWN = "not known"
"""What a plan writes for a value that nobody wrote down."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def fairly(sources: Sequence[Iterable[Each]], limit: int) -> list[Each]:
    """Take from several sources in turn until there are enough, reading no further; in the sources' order."""
    turns = zip_longest(*(zip(repeat(place), source, strict=False) for place, source in enumerate(sources)))
    found = islice((each for turn in turns for each in turn if each is not None), limit)
    return [each for _, each in sorted(found, key=itemgetter(0))]


def members(connection: Connection, schema: Schema, keys: Iterable[str]) -> Rows:
    """Return names and e-mail addresses of members."""
    return _by_key(connection, schema, "members", keys, "first_name", "last_name", "email")


def events(connection: Connection, schema: Schema, keys: Iterable[str]) -> Rows:
    """Return titles and beginnings of events."""
    return _by_key(connection, schema, "events", keys, "title", "start")


def registrations(connection: Connection, schema: Schema, keys: Iterable[str]) -> Rows:
    """Return who comes to which event."""
    found = _by_key(connection, schema, "registrations", keys, "member_id", "event_id", "status")
    return with_names(connection, schema, found)


def with_names(
    connection: Connection, schema: Schema, found: Rows, known: Mapping[str, Rows] | None = None
) -> Rows:
    """Add to registrations the member's name and the event's title.

    Parameters
    ----------
    known : mapping of str to dict, optional
        Members and events that are not in the database, by concept.
    """
    known = known or {}
    who = known.get("members", {}) | members(connection, schema, _each(found, "member_id"))
    what = known.get("events", {}) | events(connection, schema, _each(found, "event_id"))
    return {
        key: {
            "first_name": who.get(str(facts.get("member_id")), {}).get("first_name"),
            "last_name": who.get(str(facts.get("member_id")), {}).get("last_name"),
            "event": what.get(str(facts.get("event_id")), {}).get("title"),
            "status": facts.get("status"),
        }
        for key, facts in found.items()
    }


def in_words(connection: Connection, schema: Schema, pairs: Iterable[Pair], unmask: bool) -> dict[Pair, str]:
    """Say whose rows some are, masked unless `unmask`; a row that is not there is left out."""
    wanted: dict[str, list[str]] = {}
    for table, key in dict.fromkeys(pairs):
        wanted.setdefault(table, []).append(key)
    found: dict[Pair, str] = {}
    for table, keys in wanted.items():
        ask = _ASKED.get(CONCEPT_OF_TABLE.get(table, ""))
        rows = ask(connection, schema, keys) if ask else {}
        shown = mask(pd.DataFrame(list(rows.values()), dtype=object), unmask)
        for key, facts in zip(rows, shown.to_dict("records"), strict=True):
            if words := _words({str(name): value for name, value in facts.items()}):
                found[table, key] = words
    return found


def spoken_values(
    connection: Connection, schema: Schema, values: Iterable[str | None], unmask: bool
) -> dict[str, str]:
    """Say what the ids among some values stand for: a tier or status by its code, a member or event with the id."""
    ids = sorted({each for each in values if each and _ID.fullmatch(each)})
    tables = [schema.resolved[name].table for name in ("members", "events") if name in schema.resolved]
    pairs = [(table, key) for table in tables for key in ids]
    spoken = in_words(connection, schema, pairs, unmask)
    found = {key: f"{words} ({key})" for (_, key), words in spoken.items()}
    for concept in ("tiers", "statuses"):
        if schema.has(f"{concept}.code"):
            codes = _by_key(connection, schema, concept, ids, "code")
            found |= {key: str(facts["code"]) for key, facts in codes.items()}
    return found


def masked_value(column: str, value: str | None, unmask: bool) -> str | None:
    """Mask one value by the name of the column it stands in; of a document nothing is shown."""
    if unmask or value is None or value == NOT_KNOWN:
        return value
    if _is_document(value):
        return DOTS
    if kind_of(column) == "name" and not any(map(str.isalpha, value)):
        return value  # "lastContactSync" holds a moment, and nobody is called by one
    return str(mask(pd.DataFrame({column: [value]})).iloc[0, 0])


def _by_key(connection: Connection, schema: Schema, concept: str, keys: Iterable[str], *columns: str) -> Rows:
    wanted = sorted(set(keys))
    if not wanted or not schema.has(f"{concept}.id"):
        return {}
    source = schema.source(concept)
    # As they are where that goes, so that the index serves.
    key = source.c.id if isinstance(source.c.id.type, UUID | Text) else as_text(source.c.id)
    query = select(as_text(source.c.id).label("key"), *named(source, *columns))
    found = connection.execute(query.where(key.in_(wanted)).order_by("key")).mappings()
    return {row["key"]: {name: value for name, value in row.items() if name != "key"} for row in found}


def _mappings(connection: Connection, schema: Schema, keys: Iterable[str]) -> Rows:
    return _by_key(connection, schema, "mappings", keys, "entity_type", "wa_id")


_ASKED = {"members": members, "events": events, "registrations": registrations, "mappings": _mappings}


def _words(facts: Facts) -> str:
    """Say what a row is about: the person, the event, or the WA id."""
    if "wa_id" in facts:
        return f"{facts.get('entity_type') or 'record'} with WA id {facts['wa_id']}"
    person = " ".join(str(facts[each]) for each in ("first_name", "last_name") if facts.get(each))
    return ", ".join(filter(None, [person, facts.get("title"), facts.get("event")]))


def _each(rows: Rows, column: str) -> set[str]:
    return {str(facts[column]) for facts in rows.values() if facts.get(column) is not None}


def _is_document(value: str) -> bool:
    if value[:1] not in ("{", "["):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True
