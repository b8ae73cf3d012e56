"""What a comparison with an export reads of the database, a frame for each thing, whatever its size."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import psycopg
from sqlalchemy import Connection

from workbench.murmurant.canonical import Canonical, ask
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION

BY_MAPPING, BY_RAW_DATA, BY_REPORT = "mapping", "raw data", "import report"

_COLUMNS = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined_at", "level", "updated_at"),
    EVENT: ("title", "start", "end", "capacity", "updated_at"),
    REGISTRATION: ("member_id", "event_id", "status", "updated_at"),
}
_MAPPED = "SELECT entity_type AS entity, wa_id, target AS record_id FROM mappings ORDER BY wa_id, target"
_RAW = "SELECT wa_raw ->> 'waContactId' AS wa_id, id AS record_id FROM members ORDER BY 1, 2"
_IDS = ["entity", "wa_id", "record_id", "by"]


def records(connection: Connection, schema: Schema, entity: str) -> pd.DataFrame | None:
    """Return every record of an entity by ``record_id``, with what can be compared of it; None without its table."""
    relation, canonical = CONCEPT_OF[entity], Canonical(schema)
    if not schema.has(relation):
        return None
    columns = [f'thing."{name}"' for name in _COLUMNS[entity] if schema.has(f"{relation}.{name}")]
    source = f"{relation} AS thing"
    if entity == MEMBER and schema.has("members.status_id", "statuses.code"):
        columns.append("statuses.code AS status")
        source += " LEFT JOIN statuses ON statuses.id = thing.status_id"
    query = f"SELECT {', '.join(['thing.id AS record_id', *columns])} FROM {source} ORDER BY record_id"
    table = ask(connection, canonical, query)[1].astype(object).rename(columns={"joined_at": "joined"})
    for name in {"joined", "start", "end", "updated_at"} & set(table):
        table[name] = pd.to_datetime(table[name], errors="coerce").astype("datetime64[us]")
    return table


def known_ids(
    connection: Connection, schema: Schema, reports: Iterable[ImportReport]
) -> tuple[pd.DataFrame, list[str]]:
    """Return which record each WA id became, by all that tells it, and what could not be read.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``wa_id``, ``record_id``, ``by``; mappings first, then what a member's own raw data name, then
        import reports and id maps, the last one's word first. The record need not exist any more.
    list of str
        In words.
    """
    parts, unread, canonical = [pd.DataFrame(columns=_IDS, dtype=object)], [], Canonical(schema)
    if schema.has("mappings.entity_type", "mappings.wa_id", "mappings.target"):
        parts.append(ask(connection, canonical, _MAPPED)[1].assign(by=BY_MAPPING))
    if schema.has("members.id", "members.wa_raw"):
        try:
            parts.append(ask(connection, canonical, _RAW)[1].assign(entity=MEMBER, by=BY_RAW_DATA))
        except (psycopg.DataError, psycopg.ProgrammingError):
            unread.append("Members' raw Wild Apricot data cannot be read, and were not used.")
    rows = []
    for report in sorted(reports, key=lambda report: str(report.started or ""), reverse=True):
        if report.mode == "live":
            rows += [(record.entity, record.wa_id, record.record_id, BY_REPORT) for record in report.records]
            rows += [(*identity, BY_REPORT) for identity in report.identities]
    parts.append(pd.DataFrame(rows, columns=_IDS, dtype=object))
    return pd.concat(parts, ignore_index=True)[_IDS].astype(object).dropna(), unread
