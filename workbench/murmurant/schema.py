"""Murmurant's tables as one database has them: the dialect, resolved table by table and column by column.

The live catalogue decides which spelling of a concept is in use. Everything that is asked of a concept is asked of its
`Relation`, whose columns have canonical names and types: by `workbench.murmurant.canonical` as SQL, here as a source
of SQLAlchemy's, ``schema.members.c.email``.
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
"""What an audit row says besides, in its metadata: the run it belongs to, and its action as the guide calls it."""

# An address without case, dots and plus tag of its local part, in one form of Unicode: such spellings reach the same mailbox
# with most providers. A server normalises in UTF-8 alone; elsewhere, and in ASCII, an address has one form anyway.
_ONE_FORM = "octet_length(email) = length(email) OR getdatabaseencoding() <> 'UTF8'"
_PLAIN = f"lower(trim(CASE WHEN {_ONE_FORM} THEN email ELSE normalize(email, NFKC) END))"
_MAILBOX = f"""replace(split_part(split_part({_PLAIN}, '@', 1), '+', 1), '.', '') || '@' || split_part({_PLAIN}, '@', 2)"""
LOGGED = ("CREATE", "UPDATE", "DELETE", "UNDO")
"""The actions that ``audit.spelled`` may be compared with."""

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


@dataclass(frozen=True)
class Relation:
    """Something to select from.

    Attributes
    ----------
    select : str
        Its rows, as SQL with the driver's placeholders.
    lacking : dict of str to Exception
        The columns that this database does not have, each with what to raise where it is asked for; under ``""``
        for the relation as a whole.
    parameters : dict
        What its placeholders stand for.
    """

    select: str
    lacking: Mapping[str, Exception] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Schema:
    """Murmurant's tables as they are in one database.

    Ask for a concept (``schema.members``) to get something to select from, whose columns have
    canonical names; a concept or column that this database lacks raises `SchemaGap` naming it.

    Attributes
    ----------
    catalogue : Catalogue
        Everything the database says of itself.
    resolved : dict of str to Resolved
        The concepts that it has.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.resolved = {name: table for name in CONCEPTS if (table := _resolve(name, catalogue))}
        self._relations: dict[str, Relation] = {}
        self._sources: dict[str, FromClause] = {}

    def columns(self, concept: str) -> dict[str, Column]:
        """Return the columns that a concept has here, by their canonical names; none of one that is not here."""
        table = self.resolved.get(concept)
        if table is None:
            return {}
        columns = self.catalogue.tables[table.table].columns
        return {name: columns[real] for name, real in table.spelling.items()}

    def has(self, *needs: str) -> bool:
        """Whether every ``concept`` or ``concept.column`` named is there."""
        return not self.missing(*needs)

    def missing(self, *needs: str) -> list[str]:
        """Return which of the named concepts and columns are not there or may not be read."""
        missing = []
        for need in needs:
            concept, _, column = need.partition(".")
            known = self.columns(concept)
            wanted = column or ("id" if "id" in CONCEPTS[concept].columns else next(iter(known), ""))
            if wanted not in known or not known[wanted].readable:
                missing.append(need)
        return missing

    def require(self, *needs: str) -> None:
        """Raise `SchemaGap` for the first need that is not met."""
        for need in self.missing(*needs):
            self.refuse_unreadable(need.partition(".")[0])
            raise SchemaGap(*explain_gap(need))

    def refuse_unreadable(self, *concepts: str) -> None:
        """Raise `SchemaGap` where one of the concepts is here and may not be read whole: nobody knows what is hidden."""
        for concept in concepts:
            if reason := self.hidden(concept):
                raise SchemaGap(*reason)

    def hidden(self, concept: str) -> tuple[str, str] | None:
        """Say what of a concept that is here may not be read, and what to do; None where all may."""
        columns = self.columns(concept).values()
        unread = sorted(column.name for column in columns if not column.readable)
        if not unread:
            return None
        table = self.resolved[concept].table
        if any(column.in_view for column in columns):
            return (
                f'"{table}" is a view or a foreign table, which may leave rows out: what it hides cannot be known.',
                "Connect as a user who may read the tables themselves, with their schema in the URL: ?schema=NAME.",
            )
        part = "" if len(unread) == len(columns) else f" {', '.join(unread)} of"
        return (
            f'The database user may not read{part} "{table}", so what is there cannot be known.',
            f'Ask its owner: GRANT SELECT ON "{table}" TO the user. `workbench doctor` lists all that is missing.',
        )

    def source(self, concept: str) -> FromClause:
        """Return what to select from for `concept`, under canonical names; numbers and kinds of entity as they are spelled."""
        if concept not in self._sources:
            self.refuse_unreadable(concept)
            self.require(concept)
            rows = self._relation(concept, as_spelled=True).select
            columns: Iterator[ColumnClause[Any]] = (
                column_of(name, _SQL_TYPES["integer" if column.type in _INTEGERS else self.type_of(name)])
                for name, column in self.columns(concept).items()
            )
            typed = text(rows.replace("%%", "%").replace(":", "\\:")).columns(*columns)
            # Panels ask in threads of their own: the first one made is everybody's, for two would not be one table.
            self._sources.setdefault(concept, typed.subquery(concept))
        return self._sources[concept]

    members = property(lambda self: self.source("members"))
    registrations = property(lambda self: self.source("registrations"))
    mappings = property(lambda self: self.source("mappings"))
    audit = property(lambda self: self.source("audit"))
    sync_state = property(lambda self: self.source("sync_state"))

    def forbids_twins(self, concept: str, *columns: str) -> bool:
        """Whether a unique index already sees to it that no two rows agree in these columns."""
        table = self.resolved[concept]
        wanted = {table.spelling.get(column) for column in columns}
        return any(set(key) <= wanted for key in self.catalogue.tables[table.table].unique)

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
        """``guide``, ``application`` or ``mixed``, by what is here."""
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
        """What an id is here: a ``uuid`` where every one is, else text."""
        types = {
            column.type
            for concept in self.resolved
            for name, column in self.columns(concept).items()
            if TYPES.get(name) == "id"
        }
        return "uuid" if types == {"uuid"} and not self._older_target else "text"

    @cached_property
    def _older_target(self) -> str | None:
        """The older spelling of a mapping's target, where both are in use."""
        older = CONCEPTS["mappings"].columns["target"][1]
        target = self.columns("mappings").get("target")
        if target is None or target.name == older:
            return None
        return older if older in self.catalogue.tables[self.resolved["mappings"].table].columns else None

    def type_of(self, column: str) -> str:
        """Return the type that a column has here, by its canonical name."""
        kind = TYPES.get(column, "text")
        return self.id_type if kind == "id" else kind

    def relation(self, concept: str) -> Relation:
        """Return a concept's rows, under canonical names; absent columns NULL, of an absent table none."""
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
        if concept == "mappings":  # the kind as the table has it: by it an index serves, and its statistics
            kind = here.get("entity_type")
            cells["spelled"] = f"{quote(kind.name) if kind else 'NULL'}::text"
        if concept == "audit":  # the action likewise, an enum where that has every action which is asked for
            action = here.get("action")
            as_enum = action and {*LOGGED} <= {*(action.labels or ())}
            cells["spelled"] = quote(action.name) if action and as_enum else cells["action"]
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
        if concept == "members":  # by the tier's code, as people say it
            tiers = self.relation("tiers")
            code = f"(SELECT code FROM ({tiers.select}) AS tiers WHERE tiers.id = people.tier_id)"
            rows = f"SELECT *, {code} AS tier, {_MAILBOX} AS mailbox FROM ({rows}) AS people"
            if "email" in lacking:
                lacking["mailbox"] = lacking["email"]
            if gap := lacking.get("tier_id") or next(iter(tiers.lacking.values()), None):
                lacking["tier"] = gap
        return Relation(rows, lacking)

    def _cell(self, relation: str, column: str, described: Column, as_spelled: bool) -> str:
        """Read a column as the canonical schema has it; as it is where it is that already."""
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
    """Reflect the live database and resolve its dialect.

    Raises
    ------
    NotMurmurant
        When it has none of Murmurant's tables.
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


def is_one_of(column: ColumnElement[Any], ids: Iterable[str]) -> ColumnElement[bool]:
    """Whether an id is one of some, compared as the column has it, so that an index serves."""
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
    """Return the entity that an ``entityType`` or ``resourceType`` column speaks of."""
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
