"""Mappings looked up, and what can be wrong with one by its own form (guide §1.2, §7.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    null,
    or_,
    select,
)

from workbench.murmurant.canonical import Canonical, ask
from workbench.murmurant.schema import Schema, as_text, entity_of, is_one_of
from workbench.murmurant.spellings import ENTITY_TYPES
from workbench.plans.standing import not_taken_back

NEEDS = ("mappings.entity_type", "mappings.wa_id", "mappings.target")
"""Without these nothing can be said of mappings."""

NO_RECORD, OF_ANOTHER = "no such record", "the id of another entity: "
"""Why a mapping leads nowhere, as the check ``mappings-orphaned`` says it; the latter names the entity."""

KINDS = tuple(spelling for spellings in ENTITY_TYPES.values() for spelling in spellings)
"""Every way in which a mapping may spell its entity."""

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
    keys: Iterable[str] = (),
    ids: Iterable[str] = (),
    wa_ids: Iterable[str] = (),
    records: Iterable[str] = (),
    entity: str = "",
) -> list[MappingRow]:
    """Return the mappings with some keys (``Member/50012``), ids of their own, WA ids or records, sorted by key."""
    mappings = schema.mappings
    own: Any = mappings.c.id if "id" in mappings.c else null()
    columns = [own, mappings.c.entity_type, _entity(schema), mappings.c.wa_id, mappings.c.target]
    synced = mappings.c.synced_at if "synced_at" in mappings.c else null()
    sought = (
        (mapping_key(schema).element, keys),
        (own, ids),
        (mappings.c.wa_id, wa_ids),
        (mappings.c.target, records),
    )
    ways = [is_one_of(column, wanted) for column, values in sought if (wanted := set(values))]
    if not ways:
        return []
    query = select(*(as_text(column) for column in columns), synced).where(or_(*ways))
    if entity:
        query = query.where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]))
    rows = [MappingRow._make(row) for row in connection.execute(query)]
    return sorted(rows, key=lambda row: (row.key, row.id))


def _entity(schema: Schema) -> ColumnElement[str]:
    return entity_of(func.coalesce(schema.mappings.c.entity_type, ""))


def mapping_key(schema: Schema) -> Any:
    """Return the key of a mapping as people write it: ``Member/50012``."""
    return (_entity(schema) + "/" + as_text(schema.mappings.c.wa_id)).label("key")


def mapped(connection: Connection, schema: Schema, wa_id: str) -> pd.DataFrame:
    """List the mappings of a WA id, of whatever entity; of one that is not mapped, those that begin like it.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``wa_id``, ``mapping``, ``target``, ``synced_at``.
    """
    schema.require("mappings.id", *NEEDS)
    rows = mapping_rows(connection, schema, wa_ids=[wa_id])
    rows = rows or mapping_rows(connection, schema, wa_ids=ids_like(connection, schema, wa_id)[:20])
    cells = [(row.entity, row.wa_id, row.id, row.target, row.synced) for row in rows]
    return pd.DataFrame(cells, columns=["entity", "wa_id", "mapping", "target", "synced_at"])


def ids_like(connection: Connection, schema: Schema, wa_id: str) -> list[str]:
    """Return WA ids that begin like one that is not mapped, for somebody who mistyped it."""
    text = as_text(schema.mappings.c.wa_id)
    for length in range(max(len(wa_id) - 1, 1), 0, -1):
        alike = text.startswith(wa_id[:length], autoescape=True)
        query = select(text).where(alike).distinct().order_by(text).limit(100)
        if ids := [str(one) for one in connection.scalars(query)]:
            return ids
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


def rows_of_check(connection: Connection, schema: Schema, check: str) -> pd.DataFrame:
    """Return what one of this room's checks that are SQL finds, all of it."""
    file = files("workbench.mappings").joinpath("checks", f"{check}.sql")
    _, _, query = file.read_text(encoding="utf-8").partition("\n\n")
    return ask(connection, Canonical(schema), query)[1]


def shared_targets(schema: Schema) -> Select[Any]:
    """Select the mappings of two WA ids that lead to one record: ``key``, ``target``, ``wa_ids`` (how many).

    Ids that a merge or a correction led there on purpose make no record shared, as long as that stands.
    """
    mappings = schema.mappings
    together = [mappings.c.entity_type, mappings.c.target]
    several = select(*together).group_by(*together).having(func.count() > 1).cte("several")
    meant = corrected(schema, KINDS, wa_id=mappings.c.wa_id, target=mappings.c.target)
    rows = (
        select(
            mapping_key(schema),
            as_text(mappings.c.target).label("target"),
            func.count().over(partition_by=together).label("wa_ids"),
            func.min(mappings.c.wa_id).over(partition_by=together).label("least"),
            func.max(mappings.c.wa_id).over(partition_by=together).label("greatest"),
            func.count().over(partition_by=[*together, meant]).label("alike"),
            meant.label("meant"),
        )
        .select_from(mappings)
        .join(
            several,
            (several.c.target == mappings.c.target) & (several.c.entity_type == mappings.c.entity_type),
        )
        .subquery("found")
    )
    # The same id mapped twice to one record is another check's finding.
    different = rows.c.least != rows.c.greatest
    by_chance = case((rows.c.meant, rows.c.wa_ids - rows.c.alike), else_=rows.c.alike) > 1
    return (
        select(rows.c.key, rows.c.target, rows.c.wa_ids).where(different, by_chance).order_by("target", "key")
    )


def corrected(
    schema: Schema,
    kinds: Sequence[str],
    *,
    wa_id: Any = None,
    target: Any,
    was: Any = None,
    taken: Any = None,
) -> ColumnElement[bool]:
    """Whether somebody put a mapping right on purpose (guide §4.2's audit entry), and nobody took that back.

    The mapping must lead there now, and the plan that wrote the entry, if one did, must stand: what was taken
    back counts for nothing, whatever the log says.

    Parameters
    ----------
    kinds : sequence of str
        How the mapping may spell its entity.
    target : column
        The record it leads to.
    wa_id : column, optional
        The WA id; else any.
    was, taken : column, optional
        Instead of one id an array of them, of which it must be one; where that is empty, the record that the
        mapping had led to before.
    """
    if not schema.has("audit.metadata", "audit.action"):
        return false()
    entry, led = schema.audit.alias("correction"), schema.mappings.alias("led")
    facts = entry.c.metadata
    corrected_id, entity = facts["waId"].astext, facts["entityType"].astext
    # An entry made by hand, as the guide's own SQL makes it, names no entity.
    conditions = [facts["newMurmurantId"].astext == as_text(target), or_(entity.is_(None), entity.in_(kinds))]
    if wa_id is not None:
        conditions.append(corrected_id == as_text(wa_id))
    else:
        conditions += [
            as_text(led.c.wa_id) == corrected_id,
            led.c.entity_type.in_(kinds),
            as_text(led.c.target) == as_text(target),
        ]
    if taken is not None:
        unknown = and_(func.cardinality(taken) == 0, facts["oldMurmurantId"].astext == as_text(was))
        conditions.append(or_(unknown, corrected_id == func.any(taken)))
    return exists().where(*conditions, not_taken_back(schema, entry))
