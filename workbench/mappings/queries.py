"""Look up mappings, and query the canonical relations about them (guide §1.2, §7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, func, null, or_, select

from workbench.database.connection import cached_per_connection, raw
from workbench.murmurant.canonical import Canonical
from workbench.murmurant.schema import Schema, as_text, entity_of, is_one_of
from workbench.murmurant.spellings import ENTITY_TYPES
from workbench.plans.journal import not_undone

NEEDS = ("mappings.entity_type", "mappings.wa_id", "mappings.target")
"""Every question about mappings needs these columns."""

Key = tuple[str, str]
"""Entity and Wild Apricot id, or entity and record."""


class MappingRow(NamedTuple):
    """A mapping: its own id, its entity type as spelled in the table, the entity, the WA id and the record it leads to."""

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
    """Return those of some ids that are valid here; a report may name anything."""
    if schema.id_type != "uuid":
        return list(ids)
    return [key for key in ids if _UUID.fullmatch(key)]


def fetch(connection: Connection, schema: Schema, query: str, **parameters: Any) -> Sequence[Any]:
    """Query the canonical relations: see `workbench.murmurant.canonical`.

    A parameter that is written as ``::ids`` is a list of record ids, cast to this database's type; invalid ones are dropped.
    """
    for name in re.findall(r"%\((\w+)\)s::ids\b", query):
        parameters[name] = possible_ids(schema, parameters[name])
    query = re.sub(r"::ids\b", f"::{schema.id_type}[]", query)
    cursor = Canonical(schema).execute(raw(connection), query, parameters)
    cursor.row_factory = namedtuple_row
    return cursor.fetchall()


def read_sql(*path: str) -> str:
    """Return the SQL of a file of this package, without its header."""
    return files("workbench.mappings").joinpath(*path).read_text(encoding="utf-8").partition("\n\n")[2]


@cached_per_connection
def unlinked(connection: Connection, schema: Schema) -> Sequence[Any]:
    """Return the mappings that lead to no record, and the records to which no mapping leads: see ``unlinked.sql``."""
    return fetch(connection, schema, read_sql("unlinked.sql"))


def mapping_to_keep(schema: Schema, rows: Sequence[MappingRow], right: str) -> MappingRow:
    """Return which of several mappings of one id to keep: to the right record, spelled as importers do, the oldest."""
    table = schema.table_of(rows[0].entity)
    return min(
        rows,
        key=lambda row: (row.target != right, row.entity_type != table, str(row.synced or "~"), row.id),
    )


class Correction(NamedTuple):
    """A deliberate correction of a mapping; `entity` is empty where its audit entry names none."""

    entity: str
    wa_id: str
    was: str
    record: str


def corrections_made(connection: Connection, schema: Schema, since: Any = None) -> list[Correction]:
    """List the corrections in the audit log (guide §4.2) that were not undone, oldest first."""
    if not schema.has("audit.metadata"):
        return []
    query = f"""
        SELECT replace(coalesce(metadata ->> 'entityType', ''), 'EventRegistration', 'Registration') AS entity,
               metadata ->> 'waId' AS wa_id, coalesce(metadata ->> 'oldMurmurantId', '') AS was, metadata ->> 'newMurmurantId' AS record
        FROM audit AS entry
        WHERE metadata ->> 'newMurmurantId' IS NOT NULL AND metadata ->> 'waId' IS NOT NULL
          AND (%(since)s::timestamp IS NULL OR created_at > %(since)s) AND {not_undone(schema)}
        ORDER BY created_at"""
    return [Correction(*row) for row in fetch(connection, schema, query, since=since)]
