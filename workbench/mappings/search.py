"""Records and mappings found by what a person types: an id, a Wild Apricot id, or words in any order (guide §4.2, step 1).

The database is asked, never fetched: ids by their indexes; words by one scan that stops when it has found
enough, since no index may be added for it. What is typed is text, whatever it contains.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
from sqlalchemy import UUID, ColumnElement, Connection, Text, and_, bindparam, func, null, select, text

from workbench.errors import UsageError, unknown
from workbench.mappings.queries import NEEDS, Key, mapping_rows
from workbench.murmurant.schema import Schema, as_text, is_one_of, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES, EVENT, MEMBER, REGISTRATION

BY_ID, BY_WA_ID, BY_WORDS = "id", "WA id", "words"
"""What a record was found by, the surest first."""

ENOUGH = 1_000
"""Records with the words that are looked at; who finds more has to say more."""

_SEARCHED = {MEMBER: ("first_name", "last_name", "email"), EVENT: ("title", "start"), REGISTRATION: ()}
_SHOWN = {
    MEMBER: ("first_name", "last_name", "email", "tier"),
    EVENT: ("title", "start"),
    REGISTRATION: ("first_name", "last_name", "title", "status"),
}
_LEADS_TO = ("first_name", "last_name", "email", "title", "start")

_LEAST_PREFIX = 8  # characters of an id: less is as likely a word or a number
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAUGHT, _LAST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"


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
    wanted = _sought(typed, limit)
    hits = _hits(connection, schema, entity, wanted)
    if entity == REGISTRATION and not hits and schema.has("registrations.member_id", "members"):
        people = [key for key, by in _hits(connection, schema, MEMBER, wanted).items() if by != BY_ID]
        rows = schema.registrations
        theirs = select(as_text(rows.c.id)).where(is_one_of(rows.c.member_id, people)).order_by(rows.c.id)
        hits = dict.fromkeys(connection.scalars(theirs), BY_WORDS)
    records = records_in_words(connection, schema, entity, list(hits)[:limit])
    led: dict[str, list[str]] = defaultdict(list)
    for row in mapping_rows(connection, schema, records=records, entity=entity) if schema.has(*NEEDS) else ():
        led[row.target].append(row.wa_id)
    cells = [
        {
            **facts,
            "key": key,
            "wa_ids": ", ".join(sorted(led[key], key=lambda wa_id: (len(wa_id), wa_id))),
            "found_by": hits[key],
        }
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
    wanted = _sought(typed, limit)
    rows = mapping_rows(connection, schema, wa_ids=[wanted]) if _can_be_there(wanted) else []
    ways: dict[Key, str] = {}
    for entity in ENTITIES if not rows else ():
        hits = _hits(connection, schema, entity, wanted) if schema.has(CONCEPT_OF[entity]) else {}
        ways |= {(entity, key): by for key, by in hits.items()}
        rows += mapping_rows(connection, schema, records=hits, entity=entity)
    order = {place: number for number, place in enumerate(ways)}
    rows.sort(key=lambda row: order.get((row.entity, row.target), 0))
    words = {
        (entity, key): facts
        for entity in ENTITIES
        for key, facts in records_in_words(
            connection, schema, entity, [row.target for row in rows[:limit] if row.entity == entity]
        ).items()
    }
    cells = [
        {
            **row._asdict(),
            **words.get((row.entity, row.target), {}),
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
    if not keys or not schema.has(CONCEPT_OF[entity]):
        return {}
    record = source = schema.entity(entity)
    columns: dict[str, Any] = {
        name: record.c[name] for name in (*_SEARCHED[entity], "status") if name in record.c
    }
    if entity == MEMBER:
        held: list[Any] = [null()]
        for of, name in (("statuses", "status_id"), ("tiers", "tier_id")):
            if schema.has(f"{of}.code", f"members.{name}"):
                codes = schema.source(of)
                source = source.outerjoin(codes, same_id(codes.c.id, record.c[name]))
                held.insert(0, codes.c.code)
        columns["tier"] = func.coalesce(*held)
    for parent, name in ((MEMBER, "member_id"), (EVENT, "event_id")) if entity == REGISTRATION else ():
        if name in record.c and schema.has(CONCEPT_OF[parent]):
            other = schema.entity(parent)
            source = source.outerjoin(other, same_id(other.c.id, record.c[name]))
            columns |= {each: other.c[each] for each in _SEARCHED[parent] if each in other.c}
    cells = (column.label(name) for name, column in columns.items())
    query = select(as_text(record.c.id).label("key"), *cells).select_from(source)
    rows = connection.execute(query.where(is_one_of(record.c.id, keys))).mappings()
    facts = {row["key"]: {name: row[name] for name in columns} for row in rows}
    return {key: facts[key] for key in keys if key in facts}


def _sought(typed: str, limit: int) -> str:
    if not typed.strip():
        raise UsageError(
            "There is nothing to search for.", "Type a name, an e-mail address, an id or a WA id."
        )
    if limit < 1:
        raise UsageError(f"Nothing can be found within a limit of {limit}.", "Give at least 1.")
    return typed.strip()


def _can_be_there(wanted: str) -> bool:
    """Whether a database can hold such text at all: a zero byte or half a character is in none."""
    return "\0" not in wanted and not any("\ud800" <= sign <= "\udfff" for sign in wanted)


def _hits(connection: Connection, schema: Schema, entity: str, wanted: str) -> dict[str, str]:
    """Return the ids of the records that are meant, each with what it was found by.

    Those that are exactly what was typed, else those with the words: those with whole words first, then by the
    columns' values and the key; at most `ENOUGH`.
    """
    if not _can_be_there(wanted):
        return {}
    record = schema.entity(entity)
    key = as_text(record.c.id)
    ways = ((_by_id(record.c.id, wanted), BY_ID), (_by_wa_id(schema, entity, wanted), BY_WA_ID))
    exact: dict[str, str] = {}
    for condition, by in ways:
        if condition is not None:
            for one in sorted(connection.scalars(select(key).where(condition).limit(ENOUGH))):
                exact.setdefault(one, by)
    columns = [name for name in _SEARCHED[entity] if name in record.c]
    is_whole_id = isinstance(record.c.id.type, UUID) and _UUID.fullmatch(wanted.lower())
    if exact or is_whole_id or not columns:
        return exact
    with_words = _with_words(connection, record, columns, wanted)
    query = select(key, *(record.c[name] for name in columns)).where(with_words).limit(ENOUGH)
    words = set(wanted.casefold().split())

    def weight(row: Sequence[Any]) -> tuple[Any, ...]:
        facts = [str(value or "").casefold() for value in row[1:]]
        whole = words & {part for fact in facts for part in (fact, *fact.split())}
        return (-len(whole), facts, row[0])

    return {row[0]: BY_WORDS for row in sorted(connection.execute(query), key=weight)}


def _by_id(column: ColumnElement[Any], wanted: str) -> ColumnElement[bool] | None:
    if not isinstance(column.type, UUID):
        return as_text(column) == wanted
    spelled = wanted.lower()
    if len(spelled) < _LEAST_PREFIX or not _UUID.fullmatch(spelled + _NAUGHT[len(spelled) :]):
        return None
    return column.between(spelled + _NAUGHT[len(spelled) :], spelled + _LAST[len(spelled) :])


def _by_wa_id(schema: Schema, entity: str, wanted: str) -> ColumnElement[bool] | None:
    if not schema.has(*NEEDS):
        return None
    record, mappings = schema.entity(entity), schema.mappings
    leads_here = (
        mappings.c.entity_type.in_(ENTITY_TYPES[entity]),
        is_one_of(mappings.c.wa_id, [wanted]),
        same_id(mappings.c.target, record.c.id),
    )
    return select(mappings.c.id).where(*leads_here).correlate(record).exists()


def _with_words(
    connection: Connection, record: Any, columns: Sequence[str], wanted: str
) -> ColumnElement[bool]:
    """Say that every word occurs in one of the columns, case aside; one with an ``@``, in the e-mail address."""
    collation = _case_blind(connection)
    words = sorted(set(wanted.split()), key=lambda word: (-len(word), word))

    def alike(value: ColumnElement[Any], word: str) -> ColumnElement[bool]:
        literal = re.sub(r"([\\%_])", r"\\\1", word)
        pattern = bindparam(None, f"%{literal}%", type_=Text)
        low, small = (func.lower(one.collate(collation) if collation else one) for one in (value, pattern))
        return low.like(small, escape="\\")

    conditions = []
    addressed = [word for word in words if "@" in word] if "email" in columns else []
    if addressed:
        # The index of the addresses is a tenth of the table, and answers this alone.
        address = record.c.email
        query = select(address).where(*(alike(address, word) for word in addressed)).limit(ENOUGH)
        conditions.append(address.in_(sorted(set(connection.scalars(query)))))
    # One text of all columns is made small once, instead of each of them for each word.
    every = func.concat_ws("\n", *(as_text(record.c[name]) for name in columns))
    return and_(*conditions, *(alike(every, word) for word in words if word not in addressed))


def _case_blind(connection: Connection) -> str | None:
    """Return the quickest collation here that knows the case of every alphabet; None where there is none.

    The database's own may be ``C``, to which only English has two cases.
    """
    query = text(
        "SELECT collname FROM pg_collation WHERE collname IN ('pg_c_utf8', 'und-x-icu')"
        " AND collnamespace = 'pg_catalog'::regnamespace"
        " AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding())) ORDER BY collname LIMIT 1"
    )
    name: str | None = connection.scalar(query)
    return name
