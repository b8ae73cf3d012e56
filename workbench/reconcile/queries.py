"""What a comparison with an export reads of the database, a frame for each thing, whatever its size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from workbench.database.connection import frame
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.schema import Schema, as_text, entity_of, named, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITY_TYPES, EVENT, MEMBER, REGISTRATION

BY_MAPPING, BY_RAW_DATA, BY_REPORT = "mapping", "raw data", "import report"

_COLUMNS = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined_at", "level", "updated_at"),
    EVENT: ("title", "start", "end", "capacity", "updated_at"),
    REGISTRATION: ("updated_at",),
}
_IDS = ["entity", "wa_id", "record_id", "by"]


def records(connection: Connection, schema: Schema, entity: str) -> pd.DataFrame | None:
    """Return every record of an entity by ``record_id``, with what can be compared of it; None without its table."""
    if not schema.has(CONCEPT_OF[entity]):
        return None
    source = table = schema.entity(entity)
    columns = [as_text(table.c.id).label("record_id"), *named(table, *_COLUMNS[entity])]
    if entity == REGISTRATION:
        texts = ("member_id", "event_id", "status")
        columns += [as_text(table.c[name]).label(name) for name in texts if name in table.c]
    if entity == MEMBER and schema.has("members.status_id", "statuses.code"):
        source = table.outerjoin(schema.statuses, same_id(schema.statuses.c.id, table.c.status_id))
        columns.append(schema.statuses.c.code.label("status"))
    found = frame(connection, select(*columns).select_from(source).order_by("record_id"))
    found = found.astype(object).rename(columns={"joined_at": "joined"})
    for name in {"joined", "start", "end", "updated_at"} & set(found):
        found[name] = pd.to_datetime(found[name], errors="coerce").astype("datetime64[us]")
    return found


def known_ids(
    connection: Connection, schema: Schema, reports: Iterable[ImportReport], entities: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return which record each WA id of some entities became, by all that tells it, and what could not be read.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``wa_id``, ``record_id``, ``by``; mappings first, then what a member's own raw data name, then
        import reports and id maps, the last one's word first. The record need not exist any more.
    list of str
        In words.
    """
    parts, unread = [pd.DataFrame(columns=_IDS, dtype=object)], []
    if schema.has("mappings.entity_type", "mappings.wa_id", "mappings.target"):
        table = schema.mappings
        entity, wa_id, target = (
            entity_of(table.c.entity_type),
            as_text(table.c.wa_id),
            as_text(table.c.target),
        )
        spellings = [each for name in entities for each in ENTITY_TYPES[name]]
        asked = select(entity.label("entity"), wa_id.label("wa_id"), target.label("record_id")).where(
            table.c.entity_type.in_(spellings)
        )
        parts.append(frame(connection, asked.order_by("wa_id", "record_id")).assign(by=BY_MAPPING))
    if MEMBER in entities and schema.has("members.id", "members.wa_raw"):
        contact, key = schema.members.c.wa_raw["waContactId"].astext, as_text(schema.members.c.id)
        asked = select(contact.label("wa_id"), key.label("record_id")).where(contact.is_not(None))
        try:
            with connection.begin_nested():
                rows = frame(connection, asked.order_by("wa_id", "record_id"))
            parts.append(rows.assign(entity=MEMBER, by=BY_RAW_DATA))
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            unread.append("Members' raw Wild Apricot data cannot be read, and were not used.")
    told = [
        (entity, wa_id, record_id, BY_REPORT)
        for report in sorted(reports, key=lambda each: str(each.started or ""), reverse=True)
        if report.mode == "live"
        for entity, wa_id, record_id in (
            *((each.entity, each.wa_id, each.record_id) for each in report.records),
            *report.identities,
        )
    ]
    parts.append(pd.DataFrame(told, columns=_IDS, dtype=object))
    return pd.concat(parts, ignore_index=True)[_IDS].astype(object).dropna(), unread
