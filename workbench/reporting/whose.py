"""Whose row it is: keys turned into names, titles and Wild Apricot ids, a screenful at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, repeat, zip_longest
from operator import itemgetter
from typing import Any, TypeVar

import pandas as pd
from sqlalchemy import Connection, select

from workbench.mappings.search import records_in_words
from workbench.murmurant.schema import Schema, as_text, is_one_of, named
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITIES
from workbench.reporting.masking import DOTS, kind_of, mask

Rows = dict[str, dict[str, Any]]
"""Key to what is known of the row: canonical column to value."""

Pair = tuple[str, str]
"""A row, by its table and key."""

Each = TypeVar("Each")

ENTITY_OF_TABLE = {table: entity for entity in ENTITIES for table in CONCEPTS[CONCEPT_OF[entity]].tables}
"""Real table name to entity."""

NOT_KNOWN = "not known"
"""What a plan writes for a value that nobody wrote down."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def fairly(sources: Sequence[Iterable[Each]], limit: int) -> list[Each]:
    """Take from several sources in turn until there are enough, reading no further; in the sources' order."""
    turns = zip_longest(*(zip(repeat(place), source, strict=False) for place, source in enumerate(sources)))
    found = islice((each for turn in turns for each in turn if each is not None), limit)
    return [each for _, each in sorted(found, key=itemgetter(0))]


def in_words(connection: Connection, schema: Schema, pairs: Iterable[Pair], unmask: bool) -> dict[Pair, str]:
    """Say whose rows some are, masked unless `unmask`; a row that is not there is left out."""
    wanted: dict[str, list[str]] = {}
    for table, key in dict.fromkeys(pairs):
        wanted.setdefault(table, []).append(key)
    found: dict[Pair, str] = {}
    for table, keys in wanted.items():
        rows: Rows = {}
        if table in ENTITY_OF_TABLE:
            rows = records_in_words(connection, schema, ENTITY_OF_TABLE[table], keys)
        elif table in CONCEPTS["mappings"].tables:
            rows = _by_key(connection, schema, "mappings", keys, "entity_type", "wa_id")
        shown = mask(pd.DataFrame(list(rows.values()), dtype=object), unmask)
        for key, facts in zip(rows, shown.to_dict("records"), strict=True):
            if words := _words(facts):
                found[table, key] = words
    return found


def spoken_values(
    connection: Connection, schema: Schema, values: Iterable[str | None], unmask: bool
) -> dict[str, str]:
    """Say what the ids among some values stand for: a tier or status by its code, a member or event with the id."""
    ids = sorted({each for each in values if each and _ID.fullmatch(each)})
    tables = [schema.resolved[name].table for name in ("members", "events") if name in schema.resolved]
    spoken = in_words(connection, schema, [(table, key) for table in tables for key in ids], unmask)
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
    if not schema.has(f"{concept}.id"):
        return {}
    source = schema.source(concept)
    query = select(as_text(source.c.id).label("key"), *named(source, *columns))
    found = connection.execute(query.where(is_one_of(source.c.id, keys)).order_by("key")).mappings()
    return {row["key"]: dict(row) for row in found}


def _words(facts: Mapping[Any, Any]) -> str:
    """Say what a row is about: the person, the event, or the WA id."""
    if "wa_id" in facts:
        return f"{facts.get('entity_type') or 'record'} with WA id {facts['wa_id']}"
    known = {name: value for name, value in facts.items() if not pd.isna(value)}
    person = " ".join(str(known[each]) for each in ("first_name", "last_name") if known.get(each))
    return ", ".join(filter(None, [person, known.get("title")]))


def _is_document(value: str) -> bool:
    if value[:1] not in ("{", "["):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True
