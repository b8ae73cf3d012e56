"""Mappings looked up, and the canonical relations asked about them (guide §1.2, §7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, func, null, or_, select

from workbench.database.connection import raw
from workbench.murmurant.canonical import Canonical
from workbench.murmurant.schema import Schema, as_text, entity_of, is_one_of
from workbench.murmurant.spellings import ENTITY_TYPES
from workbench.plans.journal import not_undone

NEEDS = ("mappings.entity_type", "mappings.wa_id", "mappings.target")
"""Without these nothing can be said of mappings."""

Key = tuple[str, str]
"""Entity and Wild Apricot id, or entity and record."""


class MappingRow(NamedTuple):
    """A mapping as it is: its own id, its entity as it is spelled and what that means, and what it maps onto which record."""

    id: str
    entity_type: str
    entity: str
    wa_id: str
    target: str
    synced: datetime | None = None

    @property
    def key(self) -> str:
        """As people write it: ``Member/50012``."""
        return f"{self.entity}/{self.wa_id}"


def mapping_rows(
    connection: Connection,
    schema: Schema,
    *,
    wa_ids: Iterable[str] = (),
    records: Iterable[str] = (),
    entity: str = "",
) -> list[MappingRow]:
    """Return the mappings of some WA ids, or to some records, sorted by key."""
    mappings = schema.mappings
    own: Any = mappings.c.id if "id" in mappings.c else null()
    meaning = entity_of(func.coalesce(mappings.c.entity_type, ""))
    columns = [own, mappings.c.entity_type, meaning, mappings.c.wa_id, mappings.c.target]
    synced = mappings.c.synced_at if "synced_at" in mappings.c else null()
    sought = ((mappings.c.wa_id, wa_ids), (mappings.c.target, records))
    ways = [is_one_of(column, wanted) for column, values in sought if (wanted := set(values))]
    if not ways:
        return []
    query = select(*map(as_text, columns), synced).where(or_(*ways))
    if entity:
        query = query.where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]))
    return sorted(
        (MappingRow._make(row) for row in connection.execute(query)), key=lambda row: (row.key, row.id)
    )


_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def possible_ids(schema: Schema, ids: Iterable[str]) -> list[str]:
    """Return those of some ids that can be one here, as a report may name anything."""
    if schema.id_type != "uuid":
        return list(ids)
    return [key for key in ids if _UUID.fullmatch(key)]


def fetch(connection: Connection, schema: Schema, query: str, **parameters: Any) -> Sequence[Any]:
    """Ask the canonical relations, in the driver's form of SQL, ids as text: see `workbench.murmurant.canonical`.

    A parameter that is given as ``::ids`` is a list of ids, compared as they are here; what can be none is left out.
    """
    for name in re.findall(r"%\((\w+)\)s::ids\b", query):
        parameters[name] = possible_ids(schema, parameters[name])
    query = re.sub(r"::ids\b", f"::{schema.id_type}[]", query)
    cursor = Canonical(schema).execute(raw(connection), query, parameters)
    cursor.row_factory = namedtuple_row
    return cursor.fetchall()


def read_sql(*path: str) -> str:
    """Return a question of this room that is a file, without its header."""
    return files("workbench.mappings").joinpath(*path).read_text(encoding="utf-8").partition("\n\n")[2]


def ids_like(connection: Connection, schema: Schema, wa_id: str) -> list[str]:
    """Return WA ids that begin like one that is not mapped, for somebody who mistyped it."""
    text = as_text(schema.mappings.c.wa_id)
    for length in range(max(len(wa_id) - 1, 1), 0, -1):
        alike = text.startswith(wa_id[:length], autoescape=True)
        if ids := connection.scalars(select(text).where(alike).distinct().order_by(text).limit(100)).all():
            return list(ids)
    return []


def mapping_to_keep(schema: Schema, rows: Sequence[MappingRow], right: str) -> MappingRow:
    """Return the one of several mappings of one id that is to stay.

    The one that leads to the right record; of several such the one spelled as the importers spell it,
    then the oldest.
    """
    table = schema.table_of(rows[0].entity)
    return min(
        rows,
        key=lambda row: (row.target != right, row.entity_type != table, str(row.synced or "~"), row.id),
    )


class Corrected(NamedTuple):
    """An id that somebody led to another record on purpose; `entity` is empty where the entry names none."""

    entity: str
    wa_id: str
    was: str
    record: str


def corrections_made(connection: Connection, schema: Schema, since: Any = None) -> list[Corrected]:
    """List the corrections by guide §4.2's audit entries, oldest first; none that was taken back."""
    if not schema.has("audit.metadata"):
        return []
    query = f"""
        SELECT replace(coalesce(metadata ->> 'entityType', ''), 'EventRegistration', 'Registration') AS entity,
               metadata ->> 'waId' AS wa_id, coalesce(metadata ->> 'oldMurmurantId', '') AS was, metadata ->> 'newMurmurantId' AS record
        FROM audit AS entry
        WHERE metadata ->> 'newMurmurantId' IS NOT NULL AND metadata ->> 'waId' IS NOT NULL
          AND (%(since)s::timestamp IS NULL OR created_at > %(since)s) AND {not_undone(schema)}
        ORDER BY created_at"""
    return [Corrected(*row) for row in fetch(connection, schema, query, since=since)]
