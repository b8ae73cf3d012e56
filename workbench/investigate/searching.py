"""Records found by what a person types: an id, a Wild Apricot id, or words in any order.

The database is asked, never fetched: ids by their indexes; words by one scan that stops when it has found
enough, since no index may be added for it. What is typed is text, whatever it contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    UUID,
    ColumnElement,
    Connection,
    Integer,
    Text,
    and_,
    bindparam,
    func,
    literal,
    select,
    text,
)

from workbench.errors import UsageError
from workbench.murmurant.schema import Schema, as_text, named, same_id
from workbench.murmurant.spellings import ENTITY_TYPES

BY_ID, BY_WA_ID, BY_WORDS = "id", "WA id", "words"
"""What a record was found by, the surest first."""

ENOUGH = 1_000
"""Records with the words that are looked at; who finds more has to say more."""

_LEAST_PREFIX = 8  # characters of an id: less is as likely a word or a number
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAUGHT, _LAST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
_GREATEST = 2**31 - 1


@dataclass(frozen=True)
class Hit:
    """A record that was found.

    Attributes
    ----------
    key : str
        Its id.
    by : {"id", "WA id", "words"}
        What it was found by.
    facts : tuple of str
        What it was asked for, as text.
    """

    key: str
    by: str
    facts: tuple[str, ...] = ()


def sought(typed: str, limit: int) -> str:
    """Take what was typed; `UsageError` where there is nothing to look for."""
    if not typed.strip():
        raise UsageError(
            "There is nothing to search for.", "Type a name, an e-mail address, an id or a WA id."
        )
    if limit < 1:
        raise UsageError(f"Nothing can be found within a limit of {limit}.", "Give at least 1.")
    return typed.strip()


def can_be_there(wanted: str) -> bool:
    """Whether a database can hold such text at all: a zero byte or half a character is in none."""
    return "\0" not in wanted and not any("\ud800" <= each <= "\udfff" for each in wanted)


def hits(
    connection: Connection, schema: Schema, entity: str, wanted: str, columns: Sequence[str]
) -> list[Hit]:
    """Find the records of an entity by what was typed.

    Parameters
    ----------
    wanted : str
        An id or the beginning of one, a Wild Apricot id, or words that all occur in the columns, in any order
        and case, accents as they are; a word with an ``@`` is looked for in the e-mail address alone.
    columns : sequence of str
        Canonical names of the columns to look in.

    Returns
    -------
    list of Hit
        Those that are exactly what was typed first, then those with the whole words, then by the columns'
        values and the key; of records with the words at most `ENOUGH`.
    """
    if not can_be_there(wanted):
        return []
    record = schema.entity(entity)
    there = [each for each in columns if each in record.c]
    exact = _found(connection, schema, entity, _by_id(record.c.id, wanted), BY_ID, there)
    exact += _found(connection, schema, entity, _by_wa_id(schema, entity, wanted), BY_WA_ID, there)
    if _is_whole_id(record.c.id, wanted) or exact or not there:
        once: dict[str, Hit] = {}
        for each in exact:
            once.setdefault(each.key, each)
        return sorted(once.values(), key=lambda each: (each.by != BY_ID, each.key))
    found = _found(
        connection, schema, entity, _with_words(connection, record, there, wanted), BY_WORDS, there
    )
    words = set(wanted.casefold().split())
    return sorted(
        found, key=lambda each: (-_whole(words, each.facts), [*map(str.casefold, each.facts)], each.key)
    )


def wa_ids_of(
    connection: Connection, schema: Schema, entity: str, keys: Sequence[str]
) -> dict[str, list[str]]:
    """Return the WA ids that lead to some records, sorted."""
    if not schema.has("mappings.entity_type", "mappings.wa_id", "mappings.target"):
        return {}
    mappings = schema.mappings
    rows = connection.execute(
        select(as_text(mappings.c.target), as_text(mappings.c.wa_id)).where(
            mappings.c.entity_type.in_(ENTITY_TYPES[entity]), is_one_of(mappings.c.target, keys)
        )
    )
    found: dict[str, list[str]] = {}
    for key, wa_id in sorted(rows.all(), key=lambda row: (len(row[1]), row[1])):
        found.setdefault(key, []).append(wa_id)
    return found


def is_one_of(column: ColumnElement[Any], keys: Iterable[str]) -> ColumnElement[bool]:
    """Whether an id is one of some, compared as the column has it, so that an index serves."""
    if isinstance(column.type, UUID):
        return column.in_(sorted(each for each in set(keys) if _UUID.fullmatch(each)))
    if isinstance(column.type, Integer):
        numbers = {int(each) for each in keys if re.fullmatch(r"[0-9]{1,10}", each)}
        return column.in_(sorted(each for each in numbers if each <= _GREATEST))
    return as_text(column).in_(sorted(set(keys)))


def _found(
    connection: Connection,
    schema: Schema,
    entity: str,
    condition: ColumnElement[bool] | None,
    by: str,
    columns: Sequence[str],
) -> list[Hit]:
    if condition is None:
        return []
    record = schema.entity(entity)
    rows = connection.execute(
        select(as_text(record.c.id), *named(record, *columns)).where(condition).limit(ENOUGH)
    )
    return [Hit(key, by, tuple(str(each or "") for each in facts)) for key, *facts in rows]


def _by_id(column: ColumnElement[Any], wanted: str) -> ColumnElement[bool] | None:
    if not isinstance(column.type, UUID):
        return as_text(column) == wanted
    spelled = wanted.lower()
    if len(spelled) < _LEAST_PREFIX or not _UUID.fullmatch(spelled + _NAUGHT[len(spelled) :]):
        return None
    return column.between(spelled + _NAUGHT[len(spelled) :], spelled + _LAST[len(spelled) :])


def _is_whole_id(column: ColumnElement[Any], wanted: str) -> bool:
    return isinstance(column.type, UUID) and _UUID.fullmatch(wanted.lower()) is not None


def _by_wa_id(schema: Schema, entity: str, wanted: str) -> ColumnElement[bool] | None:
    if not schema.has("mappings.entity_type", "mappings.wa_id", "mappings.target"):
        return None
    record, mappings = schema.entity(entity), schema.mappings
    leads_here = select(mappings.c.target).where(
        mappings.c.entity_type.in_(ENTITY_TYPES[entity]), is_one_of(mappings.c.wa_id, [wanted])
    )
    targets = leads_here.subquery("targets")
    return select(literal(1)).where(same_id(targets.c.target, record.c.id)).exists()


def _with_words(
    connection: Connection, record: Any, columns: Sequence[str], wanted: str
) -> ColumnElement[bool]:
    """Say that every word occurs in one of the columns, case aside; one with an ``@``, in the e-mail address."""
    name = _case_blind(connection)
    words = sorted(set(wanted.split()), key=lambda each: (-len(each), each))

    def alike(value: ColumnElement[Any], word: str) -> ColumnElement[bool]:
        pattern = bindparam(None, f"%{_literal(word)}%", type_=Text)
        low, wanted = (func.lower(each.collate(name) if name else each) for each in (value, pattern))
        return low.like(wanted, escape="\\")

    found = []
    addressed = [each for each in words if "@" in each] if "email" in columns else []
    if addressed:
        # The index of the addresses is a tenth of the table, and answers this alone.
        address = record.c.email
        asked = select(address).where(*(alike(address, each) for each in addressed)).limit(ENOUGH)
        found.append(address.in_(sorted(set(connection.scalars(asked)))))
    # One text of all columns is made small once, instead of each of them for each word.
    parts = [func.coalesce(as_text(record.c[each]), "") for each in columns]
    every: ColumnElement[str] = parts[0]
    for each in parts[1:]:
        every = every.concat("\n").concat(each)
    return and_(*found, *(alike(every, each) for each in words if each not in addressed))


def _literal(word: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", word)


def _case_blind(connection: Connection) -> str | None:
    """Return the quickest collation here that knows the case of every alphabet; None where there is none.

    The database's own may be ``C``, to which only English has two cases.
    """
    found = connection.execute(
        text(
            "SELECT collname FROM pg_collation WHERE collname IN ('pg_c_utf8', 'und-x-icu')"
            " AND collnamespace = 'pg_catalog'::regnamespace"
            " AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding())) ORDER BY collname LIMIT 1"
        )
    ).scalar()
    return None if found is None else str(found)


def _whole(words: set[str], facts: Iterable[str]) -> int:
    """Count the words that are whole values or whole words of one."""
    return len(words & {part for each in facts for part in (each.casefold(), *each.casefold().split())})
