"""Registrations that are not where their import brought them, or that it brought there by a wrong mapping (guide §1.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from workbench.investigate.mappings.by_run import COLUMN_OF, Wrong, brought_by_runs
from workbench.investigate.mappings.statements import corrected, latest_told, listed
from workbench.murmurant.exports import CONTACT_ID, EVENT_ID
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema, as_text
from workbench.murmurant.spellings import ENTITY_TYPES, EVENT, MEMBER, REGISTRATION
from workbench.plans.standing import merged


def brought_elsewhere(connection: Connection, schema: Schema, runs: Sequence[Run]) -> Select[Any] | None:
    """Select the registrations that are on another event or person than their import's report says.

    One that is where a corrected mapping leads through which it was brought (guide §4.2), or on the record that
    the other one was merged into, is where it belongs; as long as nobody took that back.

    Returns
    -------
    Select or None
        ``key``, ``wa_id``, ``event_now``, ``event_imported``, ``member_now``, ``member_imported``;
        None where no report lists registrations.
    """
    records = [
        each
        for each in latest_told(runs, REGISTRATION).values()
        if each.record_id and each.fields.get("eventId") and each.fields.get("memberId")
    ]
    if not records:
        return None
    merges, taken = merged(connection, schema), _taken_for(runs)

    def on(entity: str, field: str) -> dict[str, list[str | None]]:
        said = [(entity, str(each.fields[field])) for each in records]
        return {
            entity.lower(): [merges.get(each, (each[1], ""))[0] for each in said],
            f"{entity.lower()}_ids": ["\x1f".join(sorted(taken.get(each, ()))) for each in said],
        }

    told = listed(
        "told",
        id=[each.record_id for each in records],
        wa_id=[each.wa_id for each in records],
        **on(EVENT, "eventId"),
        **on(MEMBER, "memberId"),
    )
    row = schema.registrations

    def differs(entity: str, said: Any, ids: Any, now: Any) -> ColumnElement[bool]:
        if not schema.has("mappings.entity_type", "mappings.wa_id", "mappings.target"):
            return said != as_text(now)  # type: ignore[no-any-return]
        through = func.string_to_array(ids, "\x1f")
        return and_(
            said != as_text(now),
            ~corrected(schema, ENTITY_TYPES[entity], target=now, was=said, taken=through),
        )

    event_differs = differs(EVENT, told.c.event, told.c.event_ids, row.c.event_id)
    member_differs = differs(MEMBER, told.c.member, told.c.member_ids, row.c.member_id)
    return (
        select(
            as_text(row.c.id).label("key"),
            told.c.wa_id,
            as_text(row.c.event_id).label("event_now"),
            told.c.event.label("event_imported"),
            as_text(row.c.member_id).label("member_now"),
            told.c.member.label("member_imported"),
        )
        .select_from(row.join(told, told.c.id == as_text(row.c.id)))
        .where(or_(event_differs, member_differs))
        .order_by("key")
    )


def _taken_for(runs: Sequence[Run]) -> dict[tuple[str, str], set[str]]:
    """Return the WA ids that the reports of live runs took for each record."""
    found: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        for report in run.reports if run.mode == "live" else ():
            named = [(each.entity, each.wa_id, each.record_id) for each in report.records]
            for entity, wa_id, record in (*named, *report.identities):
                if wa_id and record and entity != REGISTRATION:
                    found.setdefault((entity, record), set()).add(wa_id)
    return found


class Misplaced(NamedTuple):
    """A registration on a wrong event or person.

    Attributes
    ----------
    registration, wa_id : str
        Its own id, and Wild Apricot's where it is known.
    column : {"member_id", "event_id"}
        Which of the two is wrong.
    now, right : str
        The record it is on, and the one it belongs to.
    through : str
        The mapping it came through, ``Member/50012``.
    evidence : str
        What says so.
    because : str
        Why it is not to move all the same; empty for one that is.
    """

    registration: str
    wa_id: str
    column: str
    now: str
    right: str
    through: str
    evidence: str
    because: str = ""

    @property
    def moves(self) -> bool:
        """Whether it is to move."""
        return not self.because


BY_HAND = "somebody moved it by hand since"


def misplaced_frame(found: Sequence[Misplaced]) -> pd.DataFrame:
    """Lay misplaced registrations out as a table: the attributes of `Misplaced`, and ``moves``."""
    frame = pd.DataFrame(found, columns=list(Misplaced._fields))
    return frame.assign(moves=[each.moves for each in found])


def came_through(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    wrongs: Sequence[Wrong],
    exports: Sequence[ReportRecord] = (),
) -> list[Misplaced]:
    """List the registrations that are on a wrong event or person because of a wrong mapping.

    A registration is listed where a report says that it was brought for the right record and it is on
    the wrong one; where Wild Apricot's export says whose it is; or where the run that brought it is known
    to have taken the wrong record for this id, and no other id could have led there. What people entered
    is never among them, and what somebody moved by hand since stays.

    Returns
    -------
    list of Misplaced
        By their ids; those that are not to move with the reason.
    """
    found: dict[tuple[str, str], Misplaced] = {}
    wrongs = [each for each in wrongs if each.entity in COLUMN_OF]
    if wrongs and schema.has("registrations.id", "registrations.event_id", "registrations.member_id"):
        for each in (
            *_told_otherwise(connection, schema, runs, wrongs),
            *_exported(connection, schema, runs, wrongs, exports),
            *(Misplaced(*one) for one in brought_by_runs(connection, schema, runs, wrongs)),
        ):
            found.setdefault((each.registration, each.column), each)
    by_hand = _moved_by_hand(connection, schema, sorted({key for key, _ in found}))
    return [
        each._replace(because=BY_HAND) if place in by_hand else each for place, each in sorted(found.items())
    ]


def _told_otherwise(
    connection: Connection, schema: Schema, runs: Sequence[Run], wrongs: Sequence[Wrong]
) -> Iterator[Misplaced]:
    asked = brought_elsewhere(connection, schema, runs)
    if asked is None:
        return
    expected = {(each.entity, each.was, each.right): each for each in wrongs}
    for row in connection.execute(asked):
        for entity, now, imported in (
            (EVENT, row.event_now, row.event_imported),
            (MEMBER, row.member_now, row.member_imported),
        ):
            if each := expected.get((entity, now, imported)):
                yield Misplaced(
                    row.key,
                    row.wa_id,
                    COLUMN_OF[entity],
                    now,
                    imported,
                    each.key,
                    "its report brought it for the right one",
                )


def _exported(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    wrongs: Sequence[Wrong],
    exports: Sequence[ReportRecord],
) -> Iterator[Misplaced]:
    """Go by Wild Apricot's own export of registrations, which names the contact and the event of each."""
    expected = {(each.entity, each.wa_id): each for each in wrongs}
    owned = [
        (line.wa_id, each)
        for line in exports
        if line.entity == REGISTRATION and line.wa_id
        for entity, name in ((MEMBER, CONTACT_ID), (EVENT, EVENT_ID))
        if (each := expected.get((entity, str(line.fields.get(name) or ""))))
    ]
    records = _registrations_of(connection, schema, runs, sorted({wa_id for wa_id, _ in owned}))
    row, there = schema.registrations, listed("there", value=sorted(set(records.values())))
    now = {
        key: {MEMBER: member, EVENT: event}
        for key, member, event in connection.execute(
            select(as_text(row.c.id), as_text(row.c.member_id), as_text(row.c.event_id)).where(
                as_text(row.c.id).in_(select(there.c.value))
            )
        )
    }
    for wa_id, each in owned:
        record = records.get(wa_id, "")
        if record in now and now[record][each.entity] == each.was:
            yield Misplaced(
                record,
                wa_id,
                COLUMN_OF[each.entity],
                each.was,
                each.right,
                each.key,
                "Wild Apricot's export says whose it is",
            )


def _registrations_of(
    connection: Connection, schema: Schema, runs: Sequence[Run], wa_ids: Sequence[str]
) -> dict[str, str]:
    """Return the registration that each of some WA ids became: by its mapping, else by a report."""
    told = latest_told(runs, REGISTRATION)
    found = {wa_id: told[wa_id].record_id or "" for wa_id in wa_ids if wa_id in told}
    mappings, wanted = schema.mappings, listed("exported", value=wa_ids)
    rows = connection.execute(
        select(as_text(mappings.c.wa_id), as_text(mappings.c.target)).where(
            mappings.c.entity_type.in_(ENTITY_TYPES[REGISTRATION]),
            as_text(mappings.c.wa_id).in_(select(wanted.c.value)),
        )
    )
    return found | {str(wa_id): str(target) for wa_id, target in rows}


def _moved_by_hand(connection: Connection, schema: Schema, keys: Sequence[str]) -> set[tuple[str, str]]:
    """Return the registrations, and which column, that somebody changed outside any run."""
    needed = ("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.before")
    if not keys or not schema.has(*needed):
        return set()
    audit, wanted = schema.audit, listed("moved", value=keys)
    spelled = schema.resolved["registrations"].spelling
    rows = connection.execute(
        select(as_text(audit.c.resource_id), audit.c.before).where(
            audit.c.resource_type.in_(ENTITY_TYPES[REGISTRATION]),
            as_text(audit.c.resource_id).in_(select(wanted.c.value)),
            schema.audit_run.is_(None),
        )
    )
    return {
        (key, column)
        for key, before in rows
        for column in COLUMN_OF.values()
        if isinstance(before, dict) and spelled[column] in before
    }


__all__ = ["BY_HAND", "Misplaced", "Wrong", "brought_elsewhere", "came_through", "misplaced_frame"]
