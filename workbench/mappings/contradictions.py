"""Who contradicts a mapping: the traces of its own creation, asked as plain joins (guide §1.2).

Four witnesses, each enough: an audit row, or the importer's report, says that another record, which still exists, was
created for this id; the record's raw Wild Apricot data name another contact, whose id does not lead here; the importer's
report has another name *and* another e-mail for this id (one of the two changes when people marry or move; both at once
is somebody else); of a registration, a report or an export has another member or event, whose registration is there. None
of them counts against a mapping to the very record that was created for this id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from workbench.mappings.places import Place, listed
from workbench.mappings.queries import fetch, read_sql, standing_corrections
from workbench.mappings.traces import latest_told, reported_claims
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import ENTITY_TYPES

_SILENT = """
SELECT EXISTS (SELECT FROM mappings WHERE entity_type = %(entity)s)
   AND NOT EXISTS (
     SELECT FROM audit
     WHERE action = 'CREATE' AND resource_type = %(entity)s AND metadata ? 'waId'
       AND coalesce(run_id, '') <> ALL (%(rolled_back)s::text[])
   )
   AND NOT EXISTS (SELECT FROM members WHERE %(entity)s = 'Member' AND wa_raw ? 'waContactId')
"""


def contradicted(
    connection: Connection,
    schema: Schema,
    entity: str,
    runs: Sequence[Run],
    exports: Sequence[ReportRecord] = (),
    places: Mapping[str, Place] | None = None,
) -> Sequence[Any] | None:
    """List the mappings of `entity` that the traces of its own creation contradict.

    Parameters
    ----------
    places : mapping of str to (member, event), optional
        For registrations, from `told_places`.

    Returns
    -------
    sequence of Row or None
        ``key``, ``mapping`` (its own id), ``wa_id``, ``target``, ``evidence``, and what people know the record by
        (NULL what it has not); None where nothing here tells what an id was imported as.
    """
    told = latest_told(runs, entity, exports)
    born = {
        (one.wa_id, one.record)
        for one in reported_claims(runs)
        if one.entity == entity and one.action == "created"
    }
    called = [_called(one.fields) for one in told.values()]
    about = {"entity": entity, "rolled_back": [run.run for run in runs if run.rolled_back]}
    spelled = list(ENTITY_TYPES[entity])
    rows = fetch(
        connection,
        schema,
        read_sql("contradicted.sql"),
        **about,
        spelled=spelled,
        born=[wa_id for wa_id, _ in born],
        became=[record for _, record in born],
        told=list(told),
        names=[name for name, _ in called],
        others=[other for _, other in called],
        **listed(places or {}),
    )
    if rows:
        meant = {(one.entity, one.wa_id, one.record) for one in standing_corrections(connection, schema)}
        return [row for row in rows if (entity, row.wa_id, row.target) not in meant]
    silent = not told and not born and fetch(connection, schema, _SILENT, **about)[0][0]
    return None if silent else []


def _called(fields: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a contact's name and e-mail, or an event's title and start, as the database has them."""
    name = " ".join(str(fields[each]) for each in ("firstName", "lastName", "title") if fields.get(each))
    start = str(fields.get("startTime") or "")[:16].replace("T", " ")
    return name or None, str(fields.get("email") or "") or start or None
