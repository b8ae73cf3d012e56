"""Records and mappings found by what a person types: an id, a Wild Apricot id, or words in any order (guide §4.2, step 1).

The database is asked, never fetched: ids by their indexes; words by one scan that stops when it has found
enough, since no index may be added for it. What is typed is text, whatever it contains.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from workbench.errors import UsageError, unknown
from workbench.mappings.queries import NEEDS, Key, fetch, mapping_rows
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION

BY_ID, BY_WA_ID, BY_WORDS = "id", "WA id", "words"
"""What a record was found by, the surest first."""

ENOUGH = 1_000
"""Records with the words that are looked at; who finds more has to say more."""

_SEARCHED = {MEMBER: "first_name, last_name, email", EVENT: "title, start::text", REGISTRATION: ""}
_SHOWN = {
    MEMBER: ("first_name", "last_name", "email", "tier"),
    EVENT: ("title", "start"),
    REGISTRATION: ("first_name", "last_name", "title", "status"),
}
_LEADS_TO = ("first_name", "last_name", "email", "title", "start")
_IN_WORDS = {
    MEMBER: """
SELECT members.id::text AS key, first_name, last_name, email, coalesce(tiers.code, statuses.code) AS tier
FROM members LEFT JOIN tiers ON tiers.id = tier_id LEFT JOIN statuses ON statuses.id = status_id
WHERE members.id = ANY (%(keys)s::ids)""",
    EVENT: "SELECT id::text AS key, title, start, status FROM events WHERE id = ANY (%(keys)s::ids)",
    REGISTRATION: """
SELECT registrations.id::text AS key, first_name, last_name, email, title, start, registrations.status
FROM registrations LEFT JOIN members ON members.id = member_id LEFT JOIN events ON events.id = event_id
WHERE registrations.id = ANY (%(keys)s::ids)""",
}
_OF_PEOPLE = """
SELECT id::text FROM registrations WHERE member_id = ANY (%(people)s::ids) ORDER BY id LIMIT %(enough)s
"""

_LITERAL = str.maketrans({sign: f"\\{sign}" for sign in "\\%_"})
_LEAST_PREFIX = 8  # characters of an id: less is as likely a word or a number
_NAUGHT, _LAST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# The quickest collation that knows the case of every alphabet: the database's own may be C, to which only English has two.
_COLLATION = """
SELECT collname FROM pg_collation
WHERE collname IN ('pg_c_utf8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace
  AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
ORDER BY collname LIMIT 1
"""


def find_records(
    connection: Connection, schema: Schema, entity: str, typed: str, limit: int = 50
) -> pd.DataFrame:
    """Find people, events or registrations by an id or its beginning, a WA id, or words.

    Parameters
    ----------
    entity : {"Member", "Event", "Registration"}
        Words are looked for in names and e-mail address, or title and start; a registration's are those of who comes to it.
    typed : str
        What was typed; words in any order and case, accents as they are, each literally. One with an ``@`` is
        looked for in the e-mail address alone.
    limit : int
        The most to return.

    Returns
    -------
    pandas.DataFrame
        ``key``; of members ``first_name``, ``last_name``, ``email``, ``tier`` (its code, or the status's where they have
        none), of events ``title``, ``start``, of registrations ``first_name``, ``last_name``, ``title``,
        ``status``; ``wa_ids`` (those that lead here), ``found_by`` (``id``, ``WA id`` or ``words``); the surest first,
        then by name. ``attrs["found"]`` is how many there are, counted up to `ENOUGH`; ``attrs["more"]`` whether there
        may be more.

    Raises
    ------
    UsageError
        When nothing was typed, the limit is below 1, or there is no such entity.
    """
    if entity not in ENTITIES:
        raise unknown("entity", entity, ENTITIES)
    schema.require(CONCEPT_OF[entity])
    wanted = _wanted(typed, limit)
    hits = _hits(connection, schema, entity, wanted)
    if entity == REGISTRATION and not hits:
        people = [key for key, by in _hits(connection, schema, MEMBER, wanted).items() if by != BY_ID]
        theirs = fetch(connection, schema, _OF_PEOPLE, people=people, enough=ENOUGH) if people else ()
        hits = {key: BY_WORDS for (key,) in theirs}
    records = records_in_words(connection, schema, entity, list(hits)[:limit])
    led: dict[str, list[str]] = defaultdict(list)
    for row in mapping_rows(connection, schema, records=records, entity=entity) if schema.has(*NEEDS) else ():
        led[row.target].append(row.wa_id)
    cells = [
        {**facts, "key": key, "wa_ids": ", ".join(sorted(led[key], key=_by_number)), "found_by": hits[key]}
        for key, facts in records.items()
    ]
    frame = pd.DataFrame(cells, columns=["key", *_SHOWN[entity], "wa_ids", "found_by"], dtype=object)
    frame.attrs |= {"found": len(hits), "more": len(hits) >= ENOUGH}
    return frame


def find_mappings(connection: Connection, schema: Schema, typed: str, limit: int = 50) -> pd.DataFrame:
    """Find mappings by a WA id, or by the person or event they lead to.

    Parameters
    ----------
    typed : str
        A WA id; or what `find_records` takes.
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
        When there is no table of mappings to be read.
    """
    schema.require("mappings.id", *NEEDS)
    wanted = _wanted(typed, limit)
    rows = mapping_rows(connection, schema, wa_ids=[wanted])
    ways: dict[Key, str] = {}
    for entity in ENTITIES if not rows else ():
        hits = _hits(connection, schema, entity, wanted)
        ways |= {(entity, key): by for key, by in hits.items()}
        rows += mapping_rows(connection, schema, records=hits, entity=entity)
    order = {place: number for number, place in enumerate(ways)}
    rows.sort(key=lambda row: order.get((row.entity, row.target), 0))
    targets: dict[str, list[str]] = defaultdict(list)
    for row in rows[:limit]:
        targets[row.entity].append(row.target)
    words = {entity: records_in_words(connection, schema, entity, targets[entity]) for entity in ENTITIES}
    cells = [
        {
            **row._asdict(),
            **words.get(row.entity, {}).get(row.target, {}),
            "mapping_key": row.key,
            "mapping": row.id,
            "found_by": ways.get((row.entity, row.target), BY_WA_ID),
        }
        for row in rows[:limit]
    ]
    columns = ["mapping_key", "entity", "wa_id", "mapping", "target", *_LEADS_TO, "found_by"]
    frame = pd.DataFrame(cells, columns=columns, dtype=object)
    several = max([len(rows), *Counter(entity for entity, _ in ways).values()])
    frame.attrs |= {"found": min(len(rows), ENOUGH), "more": several >= ENOUGH}
    return frame


def records_in_words(
    connection: Connection, schema: Schema, entity: str, keys: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return what tells some records apart for people, in the order of their keys.

    Of a member names, address and tier; of an event title and start; of a registration both, and its status.
    """
    rows = fetch(connection, schema, _IN_WORDS[entity], keys=list(keys)) if keys else ()
    facts = {row.key: row._asdict() for row in rows}
    return {key: {**facts[key], "key": key} for key in keys if key in facts}


def _wanted(typed: str, limit: int) -> str:
    """Return what is searched for; nothing for what no database can hold, such as a zero byte or half a character."""
    if not typed.strip():
        raise UsageError(
            "There is nothing to search for.", "Type a name, an e-mail address, an id or a WA id."
        )
    if limit < 1:
        raise UsageError(f"Nothing can be found within a limit of {limit}.", "Give at least 1.")
    possible = typed.encode("utf-8", "ignore").decode() == typed and "\0" not in typed
    return typed.strip() if possible else ""


def _by_number(wa_id: str) -> tuple[int, str]:
    return len(wa_id), wa_id


def _hits(connection: Connection, schema: Schema, entity: str, wanted: str) -> dict[str, str]:
    """Return the ids of the records that are meant, each with what it was found by.

    Those that are exactly what was typed, else those with the words: those with whole words first, then by the
    columns' values and the key; at most `ENOUGH`.
    """
    relation, spelled = CONCEPT_OF[entity], wanted.lower()
    least, last = spelled + _NAUGHT[len(spelled) :], spelled + _LAST[len(spelled) :]
    by_uuid = schema.id_type == "uuid"
    possible = not by_uuid or (len(spelled) >= _LEAST_PREFIX and _UUID.fullmatch(least))
    if not wanted or not schema.has(relation):
        return {}
    hits: dict[str, str] = {}
    if possible:
        within = {"least": least, "last": last} if by_uuid else {"least": wanted, "last": wanted}
        query = f"SELECT id::text FROM {relation} WHERE id BETWEEN %(least)s AND %(last)s ORDER BY 1 LIMIT {ENOUGH}"
        hits = {key: BY_ID for (key,) in fetch(connection, schema, query, **within)}
    if schema.has(*NEEDS):
        targets = {row.target for row in mapping_rows(connection, schema, wa_ids=[wanted], entity=entity)}
        query = f"SELECT id::text FROM {relation} WHERE id = ANY (%(targets)s::ids) ORDER BY 1"
        led = fetch(connection, schema, query, targets=sorted(targets)) if targets else ()
        hits |= {key: BY_WA_ID for (key,) in led if key not in hits}
    if hits or not _SEARCHED[entity] or (by_uuid and _UUID.fullmatch(spelled)):
        return hits
    rows = _with_words(connection, schema, entity, spelled)
    words = set(wanted.casefold().split())

    def weight(row: Any) -> tuple[Any, ...]:
        facts = [str(value or "").casefold() for value in row[1:]]
        whole = words & {part for fact in facts for part in (fact, *fact.split())}
        return (-len(whole), facts, row[0])

    return {row[0]: BY_WORDS for row in sorted(rows, key=weight)}


def _with_words(connection: Connection, schema: Schema, entity: str, wanted: str) -> Any:
    """Return the records in which every word occurs, case aside; one with an ``@``, in the e-mail address."""
    name = connection.exec_driver_sql(_COLLATION).scalar()
    small = f'lower({{}} COLLATE "{name}")' if name else "lower({})"

    def alike(words: Collection[str]) -> list[str]:
        patterns = [f"%{word.translate(_LITERAL)}%" for word in sorted(words, key=len, reverse=True)]
        query = f"SELECT {small.format('word')} FROM unnest(%(words)s::text[]) AS given(word)"
        return list(connection.exec_driver_sql(query, {"words": patterns}).scalars())

    addressed = {word for word in wanted.split() if "@" in word} if entity == MEMBER else set()
    # One text of all columns is made small once, instead of each of them for each word.
    every = small.format(f"concat_ws(E'\\n', {_SEARCHED[entity]})")
    conditions = f"{every} LIKE ALL (%(words)s::text[])"
    known: dict[str, Any] = {"words": alike({*wanted.split()} - addressed)}
    if addressed:
        # The index of the addresses is a tenth of the table, and answers this alone.
        query = f"SELECT email FROM members WHERE {small.format('email')} LIKE ALL (%(words)s::text[]) LIMIT {ENOUGH}"
        known["addresses"] = [each for (each,) in fetch(connection, schema, query, words=alike(addressed))]
        conditions += " AND email = ANY (%(addresses)s::text[])"
    query = (
        f"SELECT id::text, {_SEARCHED[entity]} FROM {CONCEPT_OF[entity]} WHERE {conditions} LIMIT {ENOUGH}"
    )
    return fetch(connection, schema, query, **known)
