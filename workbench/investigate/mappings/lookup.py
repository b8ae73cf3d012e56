"""Mappings looked up by their WA id, or by their own (guide §4.2, step 1), and which of several is to be kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from sqlalchemy import Connection, literal, or_, select

from workbench.investigate.mappings.statements import NEEDS, listed, mapping_key
from workbench.murmurant.schema import Schema, as_text, entity_of
from workbench.murmurant.spellings import ENTITIES


@dataclass(frozen=True)
class MappingRow:
    """A mapping as it is.

    Attributes
    ----------
    id : str
        Its own id.
    entity_type, entity : str
        As it is spelled, and what that means.
    wa_id, target : str
        What it maps onto which record.
    """

    id: str
    entity_type: str
    entity: str
    wa_id: str
    target: str
    synced: datetime | None

    @property
    def key(self) -> str:
        """As people write it: ``Member/50012``."""
        return f"{self.entity}/{self.wa_id}"


def mapping_rows(
    connection: Connection, schema: Schema, *, keys: Iterable[str] = (), ids: Iterable[str] = ()
) -> list[MappingRow]:
    """Return mappings by their keys (``Member/50012``) or their own ids, sorted by key."""
    mappings = schema.mappings
    synced = mappings.c.synced_at if "synced_at" in mappings.c else literal(None)
    by_id = listed("by_id", value=sorted(set(ids)))
    by_key = listed("by_key", value=sorted(set(keys)))
    rows = connection.execute(
        select(
            as_text(mappings.c.id),
            mappings.c.entity_type,
            entity_of(mappings.c.entity_type),
            as_text(mappings.c.wa_id),
            as_text(mappings.c.target),
            synced,
        ).where(
            or_(
                as_text(mappings.c.id).in_(select(by_id.c.value)),
                mapping_key(schema).element.in_(select(by_key.c.value)),
            )
        )
    )
    return sorted((MappingRow(*row) for row in rows), key=lambda each: (each.key, each.id))


def mapped(connection: Connection, schema: Schema, wa_id: str) -> pd.DataFrame:
    """List the mappings of a WA id, of whatever entity; of one that is not mapped, those that begin like it.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``wa_id``, ``mapping``, ``target``, ``synced_at``.
    """
    schema.require("mappings.id", *NEEDS)
    wanted = [wa_id]
    rows = mapping_rows(connection, schema, keys=_every_key(wanted))
    if not rows:
        wanted = ids_like(connection, schema, wa_id)[:20]
        rows = mapping_rows(connection, schema, keys=_every_key(wanted))
    found = [(row.entity, row.wa_id, row.id, row.target, row.synced) for row in rows]
    return pd.DataFrame(found, columns=["entity", "wa_id", "mapping", "target", "synced_at"])


def _every_key(wa_ids: Iterable[str]) -> list[str]:
    return [f"{entity}/{wa_id}" for wa_id in wa_ids for entity in ENTITIES]


def ids_like(connection: Connection, schema: Schema, wa_id: str) -> list[str]:
    """Return WA ids that begin like one that is not mapped, for somebody who mistyped it."""
    text = as_text(schema.mappings.c.wa_id)
    found: list[str] = []
    for length in range(max(len(wa_id) - 1, 1), 0, -1):
        rows = connection.execute(
            select(text)
            .where(text.startswith(wa_id[:length], autoescape=True))
            .distinct()
            .order_by(text)
            .limit(100)
        )
        found = [str(row[0]) for row in rows]
        if found:
            break
    return found


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
