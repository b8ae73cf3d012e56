"""Which registrations a run brought through a wrong mapping: by what it took a WA id for, and what it made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from workbench.investigate.mappings.statements import listed
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, as_text, entity_of
from workbench.murmurant.spellings import ENTITY_TYPES, EVENT, MEMBER, REGISTRATION

COLUMN_OF = {MEMBER: "member_id", EVENT: "event_id"}
"""The column of a registration that leads to the entity."""

_FIELD = {MEMBER: "memberId", EVENT: "eventId"}


@dataclass(frozen=True)
class Wrong:
    """A mapping that led, or leads, to the wrong record.

    Attributes
    ----------
    entity : {"Member", "Event"}
    wa_id, was, right : str
        The id, the wrong record, and the right one.
    """

    entity: str
    wa_id: str
    was: str
    right: str

    @property
    def key(self) -> str:
        """As people write it: ``Member/50012``."""
        return f"{self.entity}/{self.wa_id}"


Taken = dict[str, dict[str, set[str]]]
"""Run to record to the WA ids that it took for this record."""


def brought_by_runs(
    connection: Connection, schema: Schema, runs: Sequence[Run], wrongs: Sequence[Wrong]
) -> Iterator[tuple[Any, ...]]:
    """Yield the registrations on a wrong record that a run put there for a wrong mapping's id.

    A run's report, or its audit rows, must say that it took the wrong record for this very id. Where it took
    that record for another id too, or where another id leads there whose place in the run is not known, the
    registrations of both cannot be told apart: they are yielded with the reason, and stay.
    """
    for entity in (MEMBER, EVENT):
        concerned = [each for each in wrongs if each.entity == entity]
        if not concerned:
            continue
        taken = _taken(connection, schema, runs, entity, concerned)
        leading = _leading(connection, schema, entity, [each.was for each in concerned])
        going = {each.wa_id for each in concerned}
        for each in concerned:
            for run in sorted(taken):
                others = taken[run].get(each.was, set())
                if each.wa_id not in others:
                    continue
                others = others - {each.wa_id}
                elsewhere = {
                    wa_id for record, ids in taken[run].items() if record != each.was for wa_id in ids
                }
                unknown = leading.get(each.was, set()) - going - elsewhere
                mixed = sorted(others | unknown)
                reason = (
                    f"id {mixed[0]} led there too, and nothing tells whose it is; Wild Apricot's export of"
                    " registrations would (--export)"
                    if mixed
                    else ""
                )
                said = f"run {run} took the wrong record for this id and brought it"
                for key in _made(connection, schema, runs, run, entity, each.was):
                    yield key, "", COLUMN_OF[entity], each.was, each.right, each.key, said, reason


def _taken(
    connection: Connection, schema: Schema, runs: Sequence[Run], entity: str, wrongs: Sequence[Wrong]
) -> Taken:
    found: Taken = {}

    def took(run: str, wa_id: str, record: str) -> None:
        found.setdefault(run, {}).setdefault(record, set()).add(wa_id)

    for run in runs:
        for report in run.reports if run.mode == "live" else ():
            for each in report.records:
                if each.entity == entity and each.wa_id and each.record_id:
                    took(run.run, each.wa_id, each.record_id)
            for kind, wa_id, record in report.identities:
                if kind == entity:
                    took(run.run, wa_id, record)
    if schema.has("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action"):
        audit = schema.audit
        ids = listed("ids", value=sorted({each.wa_id for each in wrongs}))
        records = listed("records", value=sorted({each.was for each in wrongs}))
        wa_id = audit.c.metadata["waId"].astext
        rows = connection.execute(
            select(schema.audit_run, wa_id, as_text(audit.c.resource_id)).where(
                audit.c.action.in_(["CREATE", "UPDATE"]),
                audit.c.resource_type.in_(ENTITY_TYPES[entity]),
                schema.audit_run.is_not(None),
                wa_id.in_(select(ids.c.value)) | as_text(audit.c.resource_id).in_(select(records.c.value)),
            )
        )
        for run_id, each_id, record in rows:
            if each_id:
                took(str(run_id), str(each_id), str(record))
    return found


def _leading(
    connection: Connection, schema: Schema, entity: str, records: Sequence[str]
) -> dict[str, set[str]]:
    """Return the WA ids that lead to some records now."""
    mappings, wanted = schema.mappings, listed("led", value=sorted(set(records)))
    rows = connection.execute(
        select(as_text(mappings.c.target), as_text(mappings.c.wa_id)).where(
            mappings.c.entity_type.in_(ENTITY_TYPES[entity]),
            as_text(mappings.c.target).in_(select(wanted.c.value)),
        )
    )
    found: dict[str, set[str]] = {}
    for record, wa_id in rows:
        found.setdefault(record, set()).add(wa_id)
    return found


def _made(
    connection: Connection, schema: Schema, runs: Sequence[Run], run_id: str, entity: str, record: str
) -> list[str]:
    """Return the registrations that a run created, by its report, its audit rows or its id, and that are on a record."""
    row = schema.registrations
    reported = [
        each.record_id
        for run in runs
        if run.run == run_id
        for report in run.reports
        for each in report.records
        if each.entity == REGISTRATION
        and each.action == "created"
        and each.record_id
        and str(each.fields.get(_FIELD[entity])) == record
    ]
    made = listed("reported", value=sorted(set(filter(None, reported))))
    brought: ColumnElement[bool] = as_text(row.c.id).in_(select(made.c.value))
    if schema.has("registrations.run_id"):
        brought |= row.c.run_id == run_id
    if schema.has("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action"):
        audit = schema.audit
        brought |= as_text(row.c.id).in_(
            select(as_text(audit.c.resource_id)).where(
                audit.c.action == "CREATE",
                entity_of(audit.c.resource_type) == REGISTRATION,
                schema.audit_run == run_id,
            )
        )
    rows = connection.execute(
        select(as_text(row.c.id)).where(as_text(row.c[COLUMN_OF[entity]]) == record, brought)
    )
    return sorted(key for (key,) in rows)


def written_through(
    connection: Connection, schema: Schema, runs: Sequence[Run], wrongs: Sequence[Wrong]
) -> list[tuple[Wrong, str]]:
    """Return the runs that updated a wrong record with what they knew of an id, each with the mapping."""
    found: dict[tuple[str, str], Wrong] = {}
    for run in runs:
        for report in run.reports if run.mode == "live" else ():
            for told in report.records:
                for each in wrongs:
                    if (told.entity, told.action, told.wa_id, told.record_id) == (
                        *(each.entity, "updated", each.wa_id, each.was),
                    ):
                        found[run.run, each.key] = each
    if wrongs and schema.has("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action"):
        audit = schema.audit
        said = listed(
            "said",
            key=[each.key for each in wrongs],
            wa_id=[each.wa_id for each in wrongs],
            record=[each.was for each in wrongs],
            entity=[each.entity for each in wrongs],
        )
        rows = connection.execute(
            select(schema.audit_run.label("run"), said.c.key)
            .select_from(
                audit.join(
                    said,
                    (said.c.record == as_text(audit.c.resource_id))
                    & (said.c.wa_id == audit.c.metadata["waId"].astext)
                    & (said.c.entity == entity_of(audit.c.resource_type)),
                )
            )
            .where(audit.c.action == "UPDATE", schema.audit_run.is_not(None))
            .distinct()
        )
        by_key = {each.key: each for each in wrongs}
        found |= {(run, key): by_key[key] for run, key in rows}
    return [(each, run) for (run, _), each in sorted(found.items())]
