"""One schema for both dialects: each thing that the guide speaks of as a relation, written before a question.

``SELECT id, email FROM members`` is asked of either dialect. The relations are common table expressions, for looking
creates nothing; a column is cast only where its type differs from the canonical one, so that indexes serve. What a
database lacks is there as well, NULL or empty, and known to be lacking: a question that mentions it is not asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import UUID

import pandas as pd
import psycopg
from sqlalchemy import Connection

from workbench.database.connection import raw
from workbench.errors import SchemaGap, UsageError
from workbench.murmurant.schema import FROM_METADATA, Relation, Schema
from workbench.murmurant.spellings import CONCEPTS

_SETTINGS = "set_config('work_mem', '64MB', true)"
"""A million ids in memory, not spilled to disk batch by batch."""

_RESERVED = {"end"}
_TEXTS = {psycopg.adapters.types[name].oid for name in ("text", "varchar", "bpchar", "json", "jsonb", "xml")}


class Canonical:
    """The relations of one database.

    Parameters
    ----------
    schema : Schema
        The tables as they are here.
    besides : dict of str to callable
        Further relations, made when a question mentions them: what is known from elsewhere.
    """

    def __init__(self, schema: Schema, besides: Mapping[str, Callable[[], Relation]] | None = None) -> None:
        self.schema = schema
        self._made: dict[str, Relation] = {}
        self._besides = dict(besides or {})

    def relation(self, name: str) -> Relation:
        """Return one of them by its name."""
        if name not in self._besides:
            return self.schema.relation(name)
        if name not in self._made:
            self._made[name] = self._besides[name]()
        return self._made[name]

    def mentioned(self, query: str) -> list[str]:
        """Return the relations that a query names, by its words alone."""
        words = words_of(query)
        return [name for name in (*CONCEPTS, *self._besides) if name in words]

    def require(self, query: str, without: Collection[str] = ()) -> None:
        """Raise what is known of the first relation or column that a query mentions and this database lacks.

        Parameters
        ----------
        without : collection of str
            What it can do without: a relation (``mappings``) or a column (``events.status``).
        """
        words = words_of(query)
        for name in self.mentioned(query):
            if name in CONCEPTS:
                self.schema.refuse_unreadable(name)
            for column, gap in self.relation(name).lacking.items():
                word = f'"{column}"' if column in _RESERVED else column
                need = f"{name}.{column}" if column else name
                if (not column or word in words) and not {name, need} & {*without}:
                    raise gap

    def gap(self, *needs: str) -> Exception | None:
        """Return what is known of the first relation (``mappings``) or column (``events.status``) that is not here."""
        for need in needs:
            name, _, column = need.partition(".")
            if name in CONCEPTS and (hidden := self.schema.hidden(name)):
                return SchemaGap(*hidden)
            lacking = self.relation(name).lacking
            if gap := lacking.get("") or lacking.get(column):
                return gap
        return None

    def around(self, query: str, instead: Mapping[str, Relation] | None = None) -> tuple[str, dict[str, Any]]:
        """Return the relations that a query mentions as its beginning, ``WITH ...``, and their parameters.

        Parameters
        ----------
        instead : mapping of str to Relation, optional
            What stands in for some of them.
        """
        chosen = {name: (instead or {}).get(name) or self.relation(name) for name in self.mentioned(query)}
        parts = (f"{name} AS NOT MATERIALIZED ({relation.select})" for name, relation in chosen.items())
        parameters = {
            key: value for relation in chosen.values() for key, value in relation.parameters.items()
        }
        return ("WITH " + ",\n".join(parts) + "\n" if chosen else ""), parameters

    def execute(
        self, connection: psycopg.Connection[Any], query: str, values: Mapping[str, Any] | None = None
    ) -> psycopg.Cursor[Any]:
        """Send a query of ours with what its placeholders stand for; a relation that may not be read whole is refused."""
        self.schema.refuse_unreadable(*(name for name in self.mentioned(query) if name in CONCEPTS))
        before, parameters = self.around(query)
        question = f"{before}SELECT * FROM (\n{query}\n) AS answer"
        # A million rows are hashed in memory: the planner takes them for a few thousand, and would sort them on disk.
        # What asks for an order is sorted all the same: to get it from an index costs far more.
        sort = "on" if "ORDER BY" in query else "off"
        connection.execute(f"SELECT {_SETTINGS}, set_config('enable_sort', '{sort}', true)")
        cursor = connection.execute(question.encode(), {**parameters, **(values or {})})
        connection.execute("SET LOCAL enable_sort = on")
        return cursor


def ask(
    connection: Connection,
    canonical: Canonical,
    query: str,
    *,
    limit: int | None = None,
    keyed: bool = False,
    instead: Mapping[str, Relation] | None = None,
    harmless: Collection[str] | None = None,
) -> tuple[int, pd.DataFrame, str]:
    """Ask one question of the canonical relations, whatever it sets or locks ends with it.

    It goes by the extended protocol, in which a text is one statement, and stands inside a SELECT, so it can be
    nothing but a question; the transaction it is asked in is read-only and limited in time.

    Parameters
    ----------
    query : str
        A SELECT; with `keyed` one column of it must be called ``key``, and the rows come by it.
    limit : int, optional
        The most rows to return.
    instead : mapping of str to Relation, optional
        What stands in for a relation.
    harmless : collection of str, optional
        Where it is given, a column is named by what it is of, and made-up text is called content unless its name is
        among these, or a relation's: masking judges by names. Those of the query are ``attrs["names"]``.

    Returns
    -------
    tuple
        How many rows there are, the first of them (ids as text, ``key`` first), and the SQL that was asked.

    Raises
    ------
    psycopg.Error
        What the server refuses.
    UsageError
        For rows without a ``key``, or with two columns of one name.
    """
    if re.search(r"\$\d", re.sub("'[^']*'", "", query)):
        raise UsageError("The SELECT has a parameter, such as $1, and nothing to put in its place.")
    before, parameters = canonical.around(query, instead)
    body = query.strip().rstrip(";").replace("%", "%%")
    head, tail = "*", ""
    if keyed:
        head = 'key::text COLLATE "C" AS "key", count(*) OVER () AS "of all", answer.*'
        tail = ' ORDER BY key::text COLLATE "C", answer::text COLLATE "C"'
    asked = f"{before}SELECT {head} FROM (\n{body}\n) AS answer{tail} LIMIT %(most)s"
    session = raw(connection)
    with session.transaction(force_rollback=True), session.cursor() as cursor:
        cursor.execute(f"SELECT {_SETTINGS}")
        try:
            cursor.execute(asked.encode(), {**parameters, "most": limit})
        except (psycopg.errors.UndefinedColumn, psycopg.errors.AmbiguousColumn) as error:
            if keyed and re.search(r'"key"', error.diag.message_primary or ""):
                raise UsageError(
                    f"The SELECT needs one column called key: {error.diag.message_primary}."
                ) from None
            raise
        names = [column.name for column in cursor.description or ()]
        if twins := sorted({name for name in names[2 * keyed :] if names[2 * keyed :].count(name) > 1}):
            raise UsageError(f"The SELECT has more than one column called {', '.join(twins)}.")
        rows = [tuple(map(_plain, row)) for row in cursor]
        shown = (
            names
            if harmless is None
            else _with_origins(cursor, names, {*harmless, "key"} if keyed else harmless)
        )
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock_all()")
    count = len(rows)
    if keyed:
        at = [0, *(place for place, name in enumerate(names) if place > 1 and name != "key")]
        count = rows[0][1] if rows else 0
        names, shown = [names[place] for place in at], [shown[place] for place in at]
        rows = [tuple(row[place] for place in at) for row in rows]
    frame = pd.DataFrame.from_records(rows, columns=shown)
    frame.attrs |= {"names": names, "harmless": tuple(harmless or ())}
    return count, frame, f"{before}{body}".replace("%%", "%")


def _with_origins(cursor: psycopg.Cursor[Any], names: list[str], harmless: Collection[str]) -> list[str]:
    """Name each column by the one that it is of, where that is another, and made-up text content."""
    result, description = cursor.pgresult, cursor.description or ()
    assert result is not None
    origins = [(result.ftable(place), result.ftablecol(place)) for place in range(len(names))]
    attributes = cursor.execute(
        "SELECT attrelid::int8, attnum::int, attname::text FROM pg_attribute"
        " WHERE (attrelid::int8, attnum::int) IN (SELECT * FROM unnest(%s::int8[], %s::int[]))",
        [[table for table, _ in origins], [column for _, column in origins]],
    )
    real = {(table, column): name for table, column, name in attributes}
    canonical = {name for concept in CONCEPTS.values() for name in concept.columns} | {*FROM_METADATA, "tier"}
    spelled = {
        (spelling, name)
        for concept in CONCEPTS.values()
        for name, spellings in concept.columns.items()
        for spelling in spellings
    }
    shown: list[str] = []
    for name, origin, column in zip(names, origins, description, strict=True):
        own = real.get(origin) or ("content" if column.type_code in _TEXTS else name)
        known = name in harmless or (own == "content" and name in canonical)
        own = name if known or own.lower() == name.lower() or (own, name) in spelled else own
        shown.append(own if own not in shown else f"{own} {len(shown) + 1}")
    return shown


def listed(
    relation: str,
    columns: Mapping[str, tuple[str, list[Any]]],
    lacking: Mapping[str, Exception] | None = None,
) -> Relation:
    """Return lists of equal length as a relation, each with its type."""
    arrays = ", ".join(f"%({relation}_{name})s::{kind}[]" for name, (kind, _) in columns.items())
    return Relation(
        f"SELECT * FROM unnest({arrays}) AS listed({', '.join(columns)})",
        lacking or {},
        {f"{relation}_{name}": values for name, (_, values) in columns.items()},
    )


def words_of(query: str) -> set[str]:
    """Return the words of a query in small letters, those in quotes also with them."""
    return set(re.findall(r'"\w+"|\w+', query.lower())) | set(re.findall(r"\w+", query.lower()))


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value
