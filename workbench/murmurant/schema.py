"""Murmurant's tables in one database: the dialect, resolved table by table and column by column.

The live catalogue decides which names are in use. Queries use a concept's `Relation`, whose columns have canonical names
and types: as SQL through `workbench.murmurant.canonical`, or here as a source for SQLAlchemy, ``schema.members.c.email``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from sqlalchemy import ColumnClause, ColumnElement, FromClause, Text, bindparam, cast, func, text
from sqlalchemy import column as column_of
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.types import UUID, BigInteger, Boolean, TypeEngine

from workbench.errors import NotMurmurant, SchemaGap
from workbench.murmurant.catalogue import Catalogue, Column, read_catalogue
from workbench.murmurant.row_digest import readable_json
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, REGISTRATION, RUN_ID_KEYS, TYPES

FROM_METADATA = {
    "run_id": "coalesce({})".format(", ".join(f"metadata ->> '{key}'" for key in RUN_ID_KEYS)),
    "migration_action": "coalesce(metadata ->> 'migrationAction', action)",
}
"""Columns from an audit row's metadata: its run, and its action under the guide's name."""

# An e-mail address without case, and without dots and plus tag in its local part: with most providers, these spellings
# reach the same mailbox. PostgreSQL normalises Unicode only in UTF-8; elsewhere, and in ASCII, there is one form anyway.
_ONE_FORM = "octet_length(email) = length(email) OR getdatabaseencoding() <> 'UTF8'"
_PLAIN = f"lower(trim(CASE WHEN {_ONE_FORM} THEN email ELSE normalize(email, NFKC) END))"
_MAILBOX = f"""replace(split_part(split_part({_PLAIN}, '@', 1), '+', 1), '.', '') || '@' || split_part({_PLAIN}, '@', 2)"""
LOGGED = ("CREATE", "UPDATE", "DELETE", "UNDO")
"""The actions that ``audit.spelled`` may be compared with."""

_STORED = {
    "mappings": {"spelled": "entity_type"},
    "audit": {"spelled": "action", "spelled_type": "resource_type"},
}
_ENTITY = {"entity_type", "resource_type"}
_INTEGERS = {"integer", "bigint", "smallint"}
_SQL_TYPES: dict[str, TypeEngine[Any]] = {
    "uuid": UUID(as_uuid=False),
    "text": Text(),
    "timestamp": TIMESTAMP(),
    "boolean": Boolean(),
    "jsonb": JSONB(),
    "integer": BigInteger(),
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Resolved:
    """A concept's table in this database.

    Attributes
    ----------
    concept : str
        ``members``, ``mappings``, ...
    table : str
        The table's real name.
    spelling : dict of str to str
        Canonical column name to real name, for the columns that exist.
    """

    concept: str
    table: str
    spelling: dict[str, str]


@dataclass(frozen=True)
class Relation:
    """Something to select from.

    Attributes
    ----------
    select : str
        Its rows, as SQL with the driver's placeholders.
    lacking : dict of str to Exception
        The error to raise for each column that this database lacks; under ``""`` for the whole relation.
    parameters : dict
        The values of its placeholders.
    """

    select: str
    lacking: Mapping[str, Exception] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Schema:
    """Murmurant's tables in one database.

    Attributes
    ----------
    catalogue : Catalogue
        All tables, columns and keys.
    resolved : dict of str to Resolved
        The concepts that the database has.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.resolved = {name: table for name in CONCEPTS if (table := _resolve(name, catalogue))}
        self._relations: dict[str, Relation] = {}
        self._sources: dict[str, FromClause] = {}

    def columns(self, concept: str) -> dict[str, Column]:
        """Return the existing columns of a concept by canonical name; none if the concept is missing."""
        table = self.resolved.get(concept)
        if table is None:
            return {}
        columns = self.catalogue.tables[table.table].columns
        return {name: columns[real] for name, real in table.spelling.items()}

    def has(self, *needs: str) -> bool:
        """Whether every named ``concept`` or ``concept.column`` exists and may be read."""
        return not self.missing(*needs)

    def missing(self, *needs: str) -> list[str]:
        """Return the named concepts and columns that do not exist or may not be read."""
        missing = []
        for need in needs:
            concept, _, column = need.partition(".")
            known = self.columns(concept)
            wanted = column or ("id" if "id" in CONCEPTS[concept].columns else next(iter(known), ""))
            if wanted not in known or not known[wanted].readable:
                missing.append(need)
        return missing

    def require(self, *needs: str) -> None:
        """Raise `SchemaGap` for the first need that is missing."""
        for need in self.missing(*needs):
            self.refuse_unreadable(need.partition(".")[0])
            raise SchemaGap(*explain_gap(need))

    def refuse_unreadable(self, *concepts: str) -> None:
        """Raise `SchemaGap` for a concept that exists and may not be read completely."""
        for concept in concepts:
            if reason := self.hidden(concept):
                raise SchemaGap(*reason)

    def hidden(self, concept: str) -> tuple[str, str] | None:
        """Return what may not be read of an existing concept, and what to do; None if all may be read."""
        columns = self.columns(concept).values()
        unread = sorted(column.name for column in columns if not column.readable)
        if not unread:
            return None
        table = self.resolved[concept].table
        if any(column.in_view for column in columns):
            return (
                f'"{table}" is a view or a foreign table, which may hide rows.',
                "Connect as a user who may read the tables themselves, with their schema in the URL: ?schema=NAME.",
            )
        part = "" if len(unread) == len(columns) else f" {', '.join(unread)} of"
        return (
            f'The database user may not read{part} "{table}".',
            f'Ask its owner: GRANT SELECT ON "{table}" TO the user. `workbench doctor` lists all that is missing.',
        )

    def source(self, concept: str) -> FromClause:
        """Return a concept as a source for SQLAlchemy: canonical names, numbers and entity types as they are stored."""
        if concept not in self._sources:
            self.refuse_unreadable(concept)
            self.require(concept)
            rows = self._relation(concept, as_spelled=True).select
            columns: Iterator[ColumnClause[Any]] = (
                column_of(name, _SQL_TYPES["integer" if column.type in _INTEGERS else self.type_of(name)])
                for name, column in self.columns(concept).items()
            )
            typed = text(rows.replace("%%", "%").replace(":", "\\:")).columns(*columns)
            # Panels use threads, and two equal sources are two tables to SQLAlchemy: keep the first one.
            self._sources.setdefault(concept, typed.subquery(concept))
        return self._sources[concept]

    members = property(lambda self: self.source("members"))
    mappings = property(lambda self: self.source("mappings"))

    def forbids_twins(self, concept: str, *columns: str) -> bool:
        """Whether a unique index prevents two rows with the same values in these columns."""
        table = self.resolved[concept]
        wanted = {table.spelling.get(column) for column in columns}
        return any(set(key) <= wanted for key in self.catalogue.tables[table.table].unique)

    def entity(self, entity: str) -> FromClause:
        """Return the source of ``Member``, ``Event`` or ``Registration``."""
        return self.source(CONCEPT_OF[entity])

    def table_of(self, entity: str) -> str:
        """Return the real table name of an entity."""
        self.require(CONCEPT_OF[entity])
        return self.resolved[CONCEPT_OF[entity]].table

    @cached_property
    def sync_moments(self) -> list[str]:
        """The real names of the sync state's times, including those of later versions."""
        if "sync_state" not in self.resolved:
            return []
        table = self.resolved["sync_state"]
        own = {table.spelling.get("created_at"), table.spelling.get("updated_at")}
        return [
            column.name
            for column in self.catalogue.tables[table.table].columns.values()
            if column.type.startswith(("timestamp", "date")) and column.nullable and column.name not in own
        ]

    @cached_property
    def dialect(self) -> str:
        """``guide``, ``application`` or ``mixed``."""
        signs = set()
        if "registrations" in self.resolved:
            signs.add(self.resolved["registrations"].table == "Registration")
        if target := self.columns("mappings").get("target"):
            signs.add(target.name == "murmurantId")
        if self.has("mappings"):
            signs.add(self.has("mappings.run_id"))
        if self.has("audit.action"):
            signs.add(not self.audit_action_is_enum)
        if len(signs) != 1:
            return "mixed"
        return "guide" if signs.pop() else "application"

    @property
    def audit_action_is_enum(self) -> bool:
        """Whether the audit log's action is the application's enum, not free text."""
        return (action := self.columns("audit").get("action")) is not None and action.is_enum

    @cached_property
    def id_type(self) -> str:
        """The type of ids: ``uuid`` where all ids have it, else ``text``."""
        types = {
            column.type
            for concept in self.resolved
            for name, column in self.columns(concept).items()
            if TYPES.get(name) == "id"
        }
        return "uuid" if types == {"uuid"} and not self._older_target else "text"

    @cached_property
    def _older_target(self) -> str | None:
        """The older name of a mapping's target, where both columns exist."""
        older = CONCEPTS["mappings"].columns["target"][1]
        target = self.columns("mappings").get("target")
        if target is None or target.name == older:
            return None
        return older if older in self.catalogue.tables[self.resolved["mappings"].table].columns else None

    def type_of(self, column: str) -> str:
        """Return the canonical type of a column."""
        kind = TYPES.get(column, "text")
        return self.id_type if kind == "id" else kind

    def relation(self, concept: str) -> Relation:
        """Return a concept's rows under canonical names; missing columns are NULL, a missing table is empty."""
        if concept not in self._relations:
            self._relations[concept] = self._relation(concept)
        return self._relations[concept]

    def _relation(self, concept: str, as_spelled: bool = False) -> Relation:
        here = self.columns(concept)
        absent = [column for column in CONCEPTS[concept].columns if column not in here]
        lacking: dict[str, Exception] = {
            column: SchemaGap(*explain_gap(f"{concept}.{column}")) for column in absent
        }
        cells = {
            column: self._cell(concept, column, here[column], as_spelled)
            if column in here
            else f"NULL::{self.type_of(column)}"
            for column in CONCEPTS[concept].columns
        }
        # Entity types and actions as they are stored, so that indexes and statistics are used.
        for name, column in _STORED.get(concept, {}).items():
            cells[name] = f"{quote(here[column].name) if column in here else 'NULL'}::text"
        if action := here.get("action"):  # an enum only if it has all actions that we compare it with
            as_enum = {*LOGGED} <= {*(action.labels or ())}
            cells["spelled"] = quote(action.name) if as_enum else cells["action"]
        columns = ", ".join(f"{cell} AS {quote(column)}" for column, cell in cells.items())
        if concept in self.resolved:
            table = f"{quote(self.catalogue.schema)}.{quote(self.resolved[concept].table)}"
            rows = f"SELECT {columns} FROM {table}"
        else:
            lacking = {"": SchemaGap(*explain_gap(concept))}
            rows = f"SELECT {columns} WHERE false"
        if concept == "audit":
            facts = ", ".join(f"{value} AS {column}" for column, value in FROM_METADATA.items())
            rows = f"SELECT *, {facts} FROM ({rows}) AS entries"
            if "metadata" in lacking:
                lacking |= dict.fromkeys(FROM_METADATA, lacking["metadata"])
        if concept == "members":  # with the tier's code
            tiers = self.relation("tiers")
            code = f"(SELECT code FROM ({tiers.select}) AS tiers WHERE tiers.id = people.tier_id)"
            rows = f"SELECT *, {code} AS tier, {_MAILBOX} AS mailbox FROM ({rows}) AS people"
            if "email" in lacking:
                lacking["mailbox"] = lacking["email"]
            if gap := lacking.get("tier_id") or next(iter(tiers.lacking.values()), None):
                lacking["tier"] = gap
        return Relation(rows, lacking)

    def _cell(self, relation: str, column: str, described: Column, as_spelled: bool) -> str:
        """Return SQL that casts a column to its canonical type, only where the types differ."""
        cell, kind, stored = quote(described.name), TYPES.get(column, "text"), described.type
        if column == "target" and relation == "mappings" and self._older_target:
            return f"coalesce({cell}::text, {quote(self._older_target)}::text)"
        if kind == "id" or kind == "text":
            cell = f'{cell} COLLATE "C"' if described.loose else cell
            to_text = described.is_enum or stored == "uuid" or (stored in _INTEGERS and not as_spelled)
            cell = f"{cell}::text" if (stored != self.id_type if kind == "id" else to_text) else cell
            one_kind = f"CASE {cell} WHEN 'EventRegistration' THEN 'Registration' ELSE {cell} END"
            return one_kind if column in _ENTITY and not as_spelled else cell
        if kind == "jsonb" and stored == "json":
            return readable_json("json", cell).replace("%", "%%")
        if kind == "timestamp" and "with time zone" in stored:
            return f"({cell} AT TIME ZONE 'UTC')"
        return f"{cell}::timestamp" if kind == "timestamp" and stored == "date" else cell


def read_schema(connection: psycopg.Connection[Any], schema: str = "public") -> Schema:
    """Read the catalogue of a database and resolve its dialect.

    Raises
    ------
    NotMurmurant
        For a database without Murmurant's tables.
    """
    known = Schema(read_catalogue(connection, schema))
    if not known.resolved.keys() & {"members", "events", "registrations", "mappings"}:
        tables = sorted(known.catalogue.tables)
        has = f"has {', '.join(tables[:5])}{', ...' if len(tables) > 5 else ''}" if tables else "is empty"
        raise NotMurmurant(
            f"This is not Murmurant's database: the schema {schema!r} {has}, and none of Member, Event,"
            " EventRegistration, Registration or WaIdMapping.",
            "Check the URL's database and its ?schema=, or run `workbench demo` for a club to try.",
        )
    return known


def explain_gap(need: str) -> tuple[str, str]:
    """Return what is missing and what would supply it, as the two parts of an error."""
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


def as_text(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return an id as text."""
    return column if isinstance(column.type, Text) else cast(column, Text)


def is_one_of(column: ColumnElement[Any], ids: Iterable[str]) -> ColumnElement[bool]:
    """Whether an id is among some ids, compared in the column's own type, so that an index is used."""
    wanted: list[Any] = sorted({key for key in ids if key})
    kind: TypeEngine[Any] = Text()
    if isinstance(column.type, UUID):
        kind, wanted = UUID(as_uuid=False), [key for key in wanted if _UUID.fullmatch(key)]
    elif isinstance(column.type, BigInteger):
        kind, wanted = BigInteger(), [int(key) for key in wanted if re.fullmatch(r"[0-9]{1,18}", key)]
    else:
        column = as_text(column)
    return column == func.any(bindparam(None, wanted, type_=ARRAY(kind)))


def quote(name: str) -> str:
    """Quote a name for the driver."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def entity_of(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return the entity of an ``entityType`` or ``resourceType`` column."""
    return func.replace(column, "EventRegistration", REGISTRATION)


def _resolve(concept: str, catalogue: Catalogue) -> Resolved | None:
    known = CONCEPTS[concept]
    table = next((name for name in known.tables if name in catalogue.tables), None)
    if table is None:
        return None
    columns, spelling = catalogue.tables[table].columns, {}
    for name, spellings in known.columns.items():
        if here := [real for real in spellings if real in columns]:
            spelling[name] = here[0]
    return Resolved(concept, table, spelling)
