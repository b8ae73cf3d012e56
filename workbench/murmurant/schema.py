"""Murmurant's tables as one database has them: the dialect, resolved table by table and column by column.

The live catalogue decides which spelling of a concept is in use, and the rest of the package says
``schema.members.c.email``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Column as SqlColumn
from sqlalchemy import (
    ColumnElement,
    FromClause,
    MetaData,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.types import (
    UUID,
    BigInteger,
    Boolean,
    Integer,
    Interval,
    NullType,
    TypeDecorator,
    TypeEngine,
    UserDefinedType,
)

from workbench.errors import NotMurmurant, SchemaGap
from workbench.murmurant.catalogue import Catalogue, Column, read_catalogue
from workbench.murmurant.row_digest import readable_json
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, REGISTRATION, RUN_ID_KEYS

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Resolved:
    """One concept as this database has it.

    Attributes
    ----------
    concept : str
        ``members``, ``mappings``, ...
    table : str
        The table's real name.
    spelling : dict of str to str
        Canonical column name to the real one, for the columns that exist.
    """

    concept: str
    table: str
    spelling: dict[str, str]


class Schema:
    """Murmurant's tables as they are in one database.

    Ask for a concept (``schema.members``) to get something to select from, whose columns have
    canonical names; a concept or column that this database lacks raises `SchemaGap` naming it.

    Attributes
    ----------
    catalogue : Catalogue
        Everything the database says of itself.
    resolved : dict of str to Resolved
        The concepts that were found.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.resolved = {name: found for name in CONCEPTS if (found := _resolve(name, catalogue)) is not None}
        self._sources: dict[str, FromClause] = {}

    def has(self, *needs: str) -> bool:
        """Whether every ``concept`` or ``concept.column`` named is there."""
        return not self.missing(*needs)

    def missing(self, *needs: str) -> list[str]:
        """Return which of the named concepts and columns are not there or may not be read."""
        return [need for need in needs if not self._present(need)]

    def require(self, *needs: str) -> None:
        """Raise `SchemaGap` for the first need that is not met."""
        for need in self.missing(*needs):
            self.refuse_unreadable(need.partition(".")[0])
            raise SchemaGap(*explain_gap(need))

    def refuse_unreadable(self, *concepts: str) -> None:
        """Raise `SchemaGap` where one of the concepts is here and may not be read whole: nobody knows what is hidden."""
        for concept in concepts:
            if told := self.hidden(concept):
                raise SchemaGap(*told)

    def hidden(self, concept: str) -> tuple[str, str] | None:
        """Say what of a concept that is here may not be read, and what to do; None where all may."""
        found = self.resolved.get(concept)
        if found is None:
            return None
        columns = self.catalogue.tables[found.table].columns
        unread = [real for real in found.spelling.values() if not columns[real].readable]
        if not unread:
            return None
        if columns[unread[0]].in_view:
            return (
                f'"{found.table}" is a view or a foreign table, which may leave rows out: what it hides cannot be known.',
                "Connect as a user who may read the tables themselves, with their schema in the URL: ?schema=NAME.",
            )
        some = "" if len(unread) == len(found.spelling) else f" {', '.join(sorted(unread))} of"
        return (
            f'The database user may not read{some} "{found.table}", so what is there cannot be known.',
            f'Ask its owner: GRANT SELECT ON "{found.table}" TO the user. `workbench doctor` lists all that is missing.',
        )

    def source(self, concept: str) -> FromClause:
        """Return what to select from for `concept`, columns under their canonical names."""
        if concept not in self._sources:
            self.refuse_unreadable(concept)
            self.require(concept)
            # Panels ask in threads of their own: the first one made is everybody's, for two would not be one table.
            self._sources.setdefault(concept, self._build(self.resolved[concept]))
        return self._sources[concept]

    members = property(lambda self: self.source("members"))
    events = property(lambda self: self.source("events"))
    registrations = property(lambda self: self.source("registrations"))
    mappings = property(lambda self: self.source("mappings"))
    audit = property(lambda self: self.source("audit"))
    sync_state = property(lambda self: self.source("sync_state"))
    tiers = property(lambda self: self.source("tiers"))
    statuses = property(lambda self: self.source("statuses"))
    files = property(lambda self: self.source("files"))
    file_access = property(lambda self: self.source("file_access"))

    def forbids_twins(self, concept: str, *columns: str) -> bool:
        """Whether a unique index already sees to it that no two rows agree in these columns."""
        found = self.resolved[concept]
        wanted = {found.spelling.get(column) for column in columns}
        return any(set(key) <= wanted for key in self.catalogue.tables[found.table].unique)

    @property
    def audit_run(self) -> ColumnElement[str]:
        """The run that an audit row says it belongs to, or NULL."""
        return func.coalesce(*(self.audit.c.metadata[key].astext for key in RUN_ID_KEYS))

    def entity(self, entity: str) -> FromClause:
        """Return the source of ``Member``, ``Event`` or ``Registration``."""
        return self.source(CONCEPT_OF[entity])

    def table_of(self, entity: str) -> str:
        """Return the real table name of an entity."""
        self.require(CONCEPT_OF[entity])
        return self.resolved[CONCEPT_OF[entity]].table

    @cached_property
    def sync_moments(self) -> list[str]:
        """The real names of the sync state's moments, also of those that only a later version has."""
        if (found := self.resolved.get("sync_state")) is None:
            return []
        own = {found.spelling.get("created_at"), found.spelling.get("updated_at")}
        columns = self.catalogue.tables[found.table].columns.values()
        return [
            each.name
            for each in columns
            if each.type.startswith(("timestamp", "date")) and each.nullable and each.name not in own
        ]

    @cached_property
    def dialect(self) -> str:
        """``guide``, ``application`` or ``mixed``, by what was found."""
        signs: set[str] = set()
        if "registrations" in self.resolved:
            guide = self.resolved["registrations"].table == "Registration"
            signs.add("guide" if guide else "application")
        target = self.resolved["mappings"].spelling.get("target") if "mappings" in self.resolved else None
        if target:
            signs.add("guide" if target == "murmurantId" else "application")
        if self.has("mappings"):
            signs.add("guide" if self.has("mappings.run_id") else "application")
        if self.has("audit.action"):
            signs.add("application" if self.audit_action_is_enum else "guide")
        return signs.pop() if len(signs) == 1 else "mixed"

    @cached_property
    def audit_action_is_enum(self) -> bool:
        """Whether the audit log's action is the application's enum, not free text."""
        found = self.resolved["audit"]
        return self.catalogue.tables[found.table].columns[found.spelling["action"]].is_enum

    def _present(self, need: str) -> bool:
        concept, _, column = need.partition(".")
        found = self.resolved.get(concept)
        if found is None:
            return False
        columns = self.catalogue.tables[found.table].columns
        wanted = [column] if column else ["id"] if "id" in CONCEPTS[concept].columns else []
        return all(each in found.spelling and columns[found.spelling[each]].readable for each in wanted)

    def _build(self, found: Resolved) -> FromClause:
        columns = self.catalogue.tables[found.table].columns
        table = Table(
            found.table,
            MetaData(),
            *(
                SqlColumn(real, _type(columns[real]), key=canonical)
                for canonical, real in found.spelling.items()
                if columns[real].readable
            ),
            schema=None if self.catalogue.schema == "public" else self.catalogue.schema,
        )
        read = {column.key: _readable(column, columns[column.name]) for column in table.c}
        if any(read[column.key] is not column for column in table.c):
            return (
                select(*(each.label(key) for key, each in read.items()))
                .select_from(table)
                .subquery(found.concept)
            )
        spare = next((real for real in CONCEPTS["mappings"].columns["target"][1:] if real in columns), None)
        if found.concept != "mappings" or spare is None or found.spelling.get("target") == spare:
            return table
        # Both spellings are in use, one of them half filled: the newer one wins where it is set.
        older = SqlColumn(spare, _type(columns[spare]), key="older_target")
        table.append_column(older)
        both = func.coalesce(cast(table.c.target, Text), cast(older, Text)).label("target")
        kept = [
            column.label(column.key) for column in table.c if column.key not in {"target", "older_target"}
        ]
        return select(*kept, both).subquery("mappings")


def read_schema(connection: psycopg.Connection[Any], schema: str = "public") -> Schema:
    """Reflect the live database and resolve its dialect.

    Raises
    ------
    NotMurmurant
        When it has none of Murmurant's tables.
    """
    found = Schema(read_catalogue(connection, schema))
    if not found.resolved.keys() & {"members", "events", "registrations", "mappings"}:
        tables = sorted(found.catalogue.tables)
        has = f"has {', '.join(tables[:5])}{', ...' if len(tables) > 5 else ''}" if tables else "is empty"
        raise NotMurmurant(
            f"This is not Murmurant's database: the schema {schema!r} {has}, and none of Member, Event,"
            " EventRegistration, Registration or WaIdMapping.",
            "Check the URL's database and its ?schema=, or run `workbench demo` for a club to try.",
        )
    return found


def explain_gap(need: str) -> tuple[str, str]:
    """Say what is missing and what would supply it, as the two parts of an error."""
    concept, _, column = need.partition(".")
    known = CONCEPTS[concept]
    tables = " or ".join(f'"{name}"' for name in known.tables)
    if not column:
        return (
            f"The table {tables} ({known.purpose}) is not here, or may not be read.",
            "A migration of the application that creates it, or SELECT on it, would supply it.",
        )
    spellings = " or ".join(f'"{name}"' for name in known.columns[column])
    return (
        f"The table {tables} has no readable column {spellings}.",
        f"The column {spellings} or SELECT on it would supply what is needed of {known.purpose}.",
    )


def named(source: FromClause, *columns: str) -> list[ColumnElement[Any]]:
    """Return those of the named columns that the source has, under their canonical names."""
    return [source.c[name].label(name) for name in columns if name in source.c]


def as_text(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return an id as text, so that a ``uuid`` and a ``text`` id can be shown and compared alike."""
    return column if isinstance(column.type, Text) else cast(column, Text)


def same_id(left: ColumnElement[Any], right: ColumnElement[Any]) -> ColumnElement[bool]:
    """Compare two ids; as they are where the types agree, so that an index can serve, else as text."""
    if left.type.compile() == right.type.compile() and not isinstance(left.type, NullType):
        return left == right
    return as_text(left) == as_text(right)


def is_one_of(column: ColumnElement[Any], ids: Iterable[str]) -> ColumnElement[bool]:
    """Whether an id is one of some, compared as the column has it, so that an index serves."""
    wanted: list[Any] = sorted({each for each in ids if each})
    kind: TypeEngine[Any] = Text()
    if isinstance(column.type, UUID):
        kind, wanted = UUID(as_uuid=False), [each for each in wanted if _UUID.fullmatch(each)]
    elif isinstance(column.type, Integer):
        kind, wanted = BigInteger(), [int(each) for each in wanted if re.fullmatch(r"[0-9]{1,18}", each)]
    else:
        column = as_text(column)
    return column == func.any(bindparam(None, wanted, type_=ARRAY(kind)))


def values_table(name: str, /, **columns: Sequence[str | None]) -> Any:
    """Return lists of texts of one length as a table to join with."""
    arrays = [bindparam(None, list(values), type_=ARRAY(Text())) for values in columns.values()]
    return func.unnest(*arrays).table_valued(*columns, name=name).render_derived()


def entity_of(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return the entity that an ``entityType`` or ``resourceType`` column speaks of."""
    return func.replace(column, "EventRegistration", REGISTRATION)


def _resolve(name: str, catalogue: Catalogue) -> Resolved | None:
    concept = CONCEPTS[name]
    for table in concept.tables:
        if table in catalogue.tables:
            there = catalogue.tables[table].columns
            spelling = {
                canonical: real
                for canonical, spellings in concept.columns.items()
                if (real := next((each for each in spellings if each in there), None)) is not None
            }
            return Resolved(name, table, spelling)
    return None


class EnumLabel(UserDefinedType[str]):
    """An enum of the database: labels are text to us, and bound as the enum, so that its statistics serve."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, spelled: str) -> None:
        self.spelled = spelled

    def get_col_spec(self, **_: Any) -> str:
        """Return the enum's name, as PostgreSQL quotes it."""
        return self.spelled


class PlainTime(TypeDecorator[datetime]):
    """A ``timestamptz`` read, and compared, as what the rest of the database has: UTC without zone."""

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Let a span of time that is added or subtracted be one, and no moment."""
        return Interval() if isinstance(value, timedelta) else self

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Take a moment without zone as UTC."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Give UTC, without zone."""
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None


def _readable(column: SqlColumn[Any], described: Column) -> ColumnElement[Any]:
    """Read a column of type ``json`` as ``jsonb``, and text whose collation is its own byte by byte."""
    cell = sql.Identifier(column.table.name, column.name).as_string()
    if described.type == "json":
        return literal_column(readable_json("json", cell), JSONB())
    return literal_column(f'{cell} COLLATE "C"', column.type) if described.loose else column


def _type(column: Column) -> TypeEngine[Any]:
    spelled = column.type
    if column.is_enum:
        return EnumLabel(spelled)
    if spelled == "uuid":
        return UUID(as_uuid=False)
    if spelled in {"text"} or spelled.startswith("character"):
        return Text()
    if spelled in {"integer", "bigint", "smallint"}:
        return Integer()
    if spelled == "boolean":
        return Boolean()
    if spelled in {"jsonb", "json"}:
        return JSONB()
    if spelled.startswith("timestamp") or spelled == "date":
        return PlainTime() if "with time zone" in spelled else TIMESTAMP()
    return NullType()
