"""Search records and mappings by an id, a Wild Apricot id, or words in any order (guide §4.2, step 1).

Ids use their indexes. Words take one scan that stops at `ENOUGH` matches, since no index may be added. The search text is
always literal.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from workbench.errors import UsageError, unknown
from workbench.mappings.queries import NEEDS, fetch, mapping_rows
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION

BY_ID, BY_WA_ID, BY_WORDS = "id", "WA id", "words"
"""What a record was found by, the most certain first."""

ENOUGH = 1_000
"""The most records that a search looks at."""

_RECORDS = {
    MEMBER: """
SELECT record.id::text AS key, first_name, last_name, email, coalesce(tiers.code, statuses.code) AS tier
FROM members AS record LEFT JOIN tiers ON tiers.id = tier_id LEFT JOIN statuses ON statuses.id = status_id""",
    EVENT: "SELECT id::text AS key, title, start, status FROM events AS record",
    REGISTRATION: """
SELECT record.id::text AS key, first_name, last_name, email, title, start, record.status
FROM registrations AS record LEFT JOIN members ON members.id = member_id LEFT JOIN events ON events.id = event_id""",
}
_SEARCHED = {MEMBER: "first_name, last_name, email", EVENT: "title, start::text"}
_SEARCHED[REGISTRATION] = _SEARCHED[MEMBER]
"""Where words are searched: for a registration, in its member."""

_SHOWN = {
    MEMBER: ("first_name", "last_name", "email", "tier"),
    EVENT: ("title", "start"),
    REGISTRATION: ("first_name", "last_name", "title", "status"),
}
_MAPPED = ["mapping_key", "entity", "wa_id", "id", "target"]
_FOUND = [*_MAPPED[:3], "mapping", "target", "first_name", "last_name", "email", "title", "start", "found_by"]
_LITERAL = str.maketrans({sign: f"\\{sign}" for sign in "\\%_"})
_LEAST, _LAST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# The fastest collation that knows the case of every alphabet; the database's own may be C, which knows only English.
_COLLATION = """
SELECT coalesce(min(collname), 'default') FROM pg_collation
WHERE collname IN ('pg_c_utf8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace
  AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
"""


def find_records(
    connection: Connection, schema: Schema, entity: str, typed: str, limit: int = 50
) -> pd.DataFrame:
    """Find people, events or registrations by an id or its beginning, a WA id, or words.

    Parameters
    ----------
    entity : {"Member", "Event", "Registration"}
        Words are searched in names and e-mail address, or title and start; for a registration in its member's.
    typed : str
        The search text: words in any order and case, accents as they are.
    limit : int
        The most to return.

    Returns
    -------
    pandas.DataFrame
        ``key``; of members ``first_name``, ``last_name``, ``email``, ``tier`` (its code, or the status's where they have
        none), of events ``title``, ``start``, of registrations ``first_name``, ``last_name``, ``title``,
        ``status``; ``wa_ids`` (those that lead here), ``found_by`` (``id``, ``WA id`` or ``words``); the most certain
        first, then by name. ``attrs["found"]`` is how many there are, counted up to `ENOUGH`; ``attrs["more"]`` whether there
        may be more.

    Raises
    ------
    UsageError
        When nothing was typed, the limit is below 1, or there is no such entity.
    SchemaGap
        When a table that is searched does not exist or cannot be read.
    """
    if entity not in ENTITIES:
        raise unknown("entity", entity, ENTITIES)
    frame = _matches(connection, schema, entity, _wanted(typed, limit))
    count, frame = len(frame), frame.head(limit)
    wa_ids: dict[str, list[str]] = defaultdict(list)
    if schema.has(*NEEDS):
        for row in mapping_rows(connection, schema, records=frame["key"], entity=entity):
            wa_ids[row.target].append(row.wa_id)
    led = [", ".join(sorted(wa_ids[key], key=lambda wa_id: (len(wa_id), wa_id))) for key in frame["key"]]
    frame = frame.assign(wa_ids=led)[["key", *_SHOWN[entity], "wa_ids", "found_by"]]
    frame.attrs |= {"found": count, "more": count >= ENOUGH}
    return frame


def find_mappings(connection: Connection, schema: Schema, typed: str, limit: int = 50) -> pd.DataFrame:
    """Find mappings by a WA id, or by the person or event that they lead to.

    Parameters
    ----------
    typed : str
        A WA id, or what `find_records` takes.
    limit : int
        The most to return.

    Returns
    -------
    pandas.DataFrame
        ``mapping_key`` (``Member/50012``), ``entity``, ``wa_id``, ``mapping`` (its own id), ``target``; of the
        record it leads to ``first_name``, ``last_name``, ``email``, ``title``, ``start``, with gaps where there
        is no such record; ``found_by``. ``attrs["found"]`` is how many there are, counted up to `ENOUGH`,
        ``attrs["more"]`` whether there may be more.

    Raises
    ------
    UsageError
        When nothing was typed, or the limit is below 1.
    SchemaGap
        When there is no table of mappings, or one that is searched cannot be read.
    """
    schema.require("mappings.id", *NEEDS)
    wanted = _wanted(typed, limit)
    rows = mapping_rows(connection, schema, wa_ids=[wanted])
    schema.refuse_unreadable(*CONCEPT_OF.values())
    matches = [
        _matches(connection, schema, entity, wanted, by_words=not rows).assign(entity=entity)
        for entity, concept in CONCEPT_OF.items()
        if schema.has(concept)
    ]
    several = max(map(len, matches))
    records = pd.concat(matches, ignore_index=True).rename_axis("place").reset_index()
    rows = rows or mapping_rows(connection, schema, records=records["key"])
    mapped = pd.DataFrame(
        [row._asdict() | {"mapping_key": row.key} for row in rows], columns=_MAPPED, dtype=object
    )
    frame = mapped.merge(records, "left", left_on=["entity", "target"], right_on=["entity", "key"])
    frame = frame.sort_values(["place", "mapping_key"], kind="stable").rename(columns={"id": "mapping"})
    frame = frame.assign(found_by=frame["found_by"].fillna(BY_WA_ID)).reindex(columns=_FOUND).head(limit)
    frame.attrs |= {"found": min(len(rows), ENOUGH), "more": max(several, len(rows)) >= ENOUGH}
    return frame.reset_index(drop=True)


def records_in_words(
    connection: Connection, schema: Schema, entity: str, keys: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return what people know some records by, by their keys.

    Of a member names, address and tier; of an event title and start; of a registration both, and its status.
    """
    query = f"{_RECORDS[entity]} WHERE record.id = ANY (%(keys)s::ids)"
    return (
        {row.key: row._asdict() for row in fetch(connection, schema, query, keys=list(keys))} if keys else {}
    )


def _wanted(typed: str, limit: int) -> str:
    """Return the search text; empty for what no database can hold, such as a zero byte or half a character."""
    if not typed.strip():
        raise UsageError(
            "There is nothing to search for.", "Type a name, an e-mail address, an id or a WA id."
        )
    if limit < 1:
        raise UsageError(f"A limit of {limit} is too low.", "Give at least 1.")
    possible = typed.encode("utf-8", "ignore").decode() == typed and "\0" not in typed
    return typed.strip() if possible else ""


def _matches(
    connection: Connection, schema: Schema, entity: str, wanted: str, *, by_words: bool = True
) -> pd.DataFrame:
    """Return at most `ENOUGH` matching records, with ``found_by``.

    Records with this id or WA id; else those with the words, whole words first, then by the columns' values and the key.
    """
    schema.require(CONCEPT_OF[entity], *([CONCEPT_OF[MEMBER]] if entity == REGISTRATION else []))
    columns = list(dict.fromkeys(["key", *_SHOWN[entity], "email", "start", "found_by"]))
    rows: list[dict[str, Any]] = []

    def look(by: str, condition: str, **values: Any) -> None:
        query = f"{_RECORDS[entity]} WHERE {condition} LIMIT {ENOUGH}"
        rows.extend(row._asdict() | {"found_by": by} for row in fetch(connection, schema, query, **values))

    uuids = schema.id_type == "uuid"
    least, last = (wanted.lower() + end[len(wanted) :] if uuids else wanted for end in (_LEAST, _LAST))
    # Fewer than eight characters of an id may as well be a word or a number.
    possible_id = _UUID.fullmatch(least) and len(wanted) >= 8 if uuids else wanted
    if possible_id:
        look(BY_ID, "record.id BETWEEN %(least)s AND %(last)s", least=least, last=last)
    if wanted and schema.has(*NEEDS):
        led = mapping_rows(connection, schema, wa_ids=[wanted], entity=entity)
        if targets := {row.target for row in led} - {row["key"] for row in rows}:
            look(BY_WA_ID, "record.id = ANY (%(targets)s::ids)", targets=sorted(targets))
    if rows or not (wanted and by_words) or (uuids and _UUID.fullmatch(wanted.lower())):
        rows.sort(key=lambda row: str(row["key"]))
        return pd.DataFrame(rows, columns=columns, dtype=object)
    name = connection.exec_driver_sql(_COLLATION).scalar()
    # Lower-case one text of all columns once, instead of each column for each word.
    text = f"lower(concat_ws(E'\\n', {_SEARCHED[entity]}) COLLATE \"{name}\")"
    patterns = f'ARRAY(SELECT lower(word COLLATE "{name}") FROM unnest(%(words)s::text[]) AS given(word))'
    words = sorted(set(wanted.split()), key=lambda word: (-len(word), word))
    look(BY_WORDS, f"{text} LIKE ALL ({patterns})", words=[f"%{word.translate(_LITERAL)}%" for word in words])
    folded = {word.casefold() for word in words}

    def weight(row: dict[str, Any]) -> tuple[Any, ...]:
        facts = [str(row[name] or "").casefold() for name in _SHOWN[entity]]
        whole = folded & {part for fact in facts for part in (fact, *fact.split())}
        return (-len(whole), facts, row["key"])

    rows.sort(key=weight)
    return pd.DataFrame(rows, columns=columns, dtype=object)
