"""One schema for both dialects: ``SELECT id, email FROM members`` works in either.

The relations are common table expressions before a query, so nothing is created. A column is cast only where its type
differs, so that indexes are used. What a database lacks is NULL or empty and known to be missing: queries that need it are
refused.
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
"""Enough memory to hash a million ids without spilling to disk."""

_RESERVED = {"end"}
_TEXTS = {psycopg.adapters.types[name].oid for name in ("text", "varchar", "bpchar", "json", "jsonb", "xml")}


class Canonical:
    """The relations of one database.

    Parameters
    ----------
    schema : Schema
        The tables of the database.
    besides : dict of str to callable
        Further relations, created when a query mentions them.
    """

    def __init__(self, schema: Schema, besides: Mapping[str, Callable[[], Relation]] | None = None) -> None:
        self.schema = schema
        self._made: dict[str, Relation] = {}
        self._besides = dict(besides or {})

    def relation(self, name: str) -> Relation:
        """Return a relation by name."""
        if name not in self._besides:
            return self.schema.relation(name)
        if name not in self._made:
            self._made[name] = self._besides[name]()
        return self._made[name]

    def mentioned(self, query: str) -> list[str]:
        """Return the relations whose names occur in a query."""
        words = words_of(query)
        return [name for name in (*CONCEPTS, *self._besides) if name in words]

    def require(self, query: str, without: Collection[str] = ()) -> None:
        """Raise the error for the first relation or column that a query mentions and the database lacks.

        Parameters
        ----------
        without : collection of str
            Relations (``mappings``) and columns (``events.status``) that it does not need.
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
        """Return the error for the first missing relation (``mappings``) or column (``events.status``)."""
        for need in needs:
            name, _, column = need.partition(".")
            if name in CONCEPTS and (hidden := self.schema.hidden(name)):
                return SchemaGap(*hidden)
            lacking = self.relation(name).lacking
            if gap := lacking.get("") or lacking.get(column):
                return gap
        return None

    def around(self, query: str, instead: Mapping[str, Relation] | None = None) -> tuple[str, dict[str, Any]]:
        """Return the ``WITH`` clause of the relations that a query mentions, and its parameters.

        Parameters
        ----------
        instead : mapping of str to Relation, optional
            Replacements for some of them.
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
        """Run one of our own queries; `SchemaGap` for a relation that may not be read completely."""
        self.schema.refuse_unreadable(*(name for name in self.mentioned(query) if name in CONCEPTS))
        before, parameters = self.around(query)
        question = f"{before}SELECT * FROM (\n{query}\n) AS answer"
        # The planner expects a few thousand rows where there are a million, and would sort them on disk instead of hashing.
        # A query with ORDER BY is sorted: reading an index in order costs far more.
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
    """Run a SELECT from anybody on the canonical relations; its settings and locks end with it.

    The extended protocol permits one statement, and the query is wrapped in a SELECT, so it can only read. The transaction
    is read-only and limited in time.

    Parameters
    ----------
    query : str
        A SELECT; with `keyed`, one of its columns must be called ``key``, and the rows are sorted by it.
    limit : int, optional
        The largest number of rows to return.
    instead : mapping of str to Relation, optional
        Replacements for some relations.
    harmless : collection of str, optional
        Masking goes by column names. If this is given, each column is named after its source column, and computed text is
        called ``content``, unless its name is among these or is canonical. ``attrs["names"]`` has the query's own names.

    Returns
    -------
    tuple
        The number of all rows, the first rows (ids as text, ``key`` first), and the SQL.

    Raises
    ------
    psycopg.Error
        Any error of the server.
    UsageError
        For rows without a ``key``, and for two columns of one name.
    """
    if re.search(r"\$\d", re.sub("'[^']*'", "", query)):
        raise UsageError("The SELECT has a parameter, such as $1, without a value.")
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
    """Name each column after its source column, and computed text ``content``."""
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
    """Return lists of equal length as a relation: type and values by column."""
    arrays = ", ".join(f"%({relation}_{name})s::{kind}[]" for name, (kind, _) in columns.items())
    return Relation(
        f"SELECT * FROM unnest({arrays}) AS listed({', '.join(columns)})",
        lacking or {},
        {f"{relation}_{name}": values for name, (_, values) in columns.items()},
    )


def words_of(query: str) -> set[str]:
    """Return the words of a query in lower case; quoted words with and without quotes."""
    return set(re.findall(r'"\w+"|\w+', query.lower())) | set(re.findall(r"\w+", query.lower()))


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value
