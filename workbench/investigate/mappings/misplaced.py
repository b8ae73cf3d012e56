"""Registrations that are not where their import brought them, or that it brought there by a wrong mapping (guide §1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, or_, select

from workbench.investigate.mappings.statements import corrected, latest_told, listed
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, as_text
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION


def brought_elsewhere(schema: Schema, runs: Sequence[Run]) -> Select[Any] | None:
    """Select the registrations that are on another event or person than their import's report says.

    One that moved as the correction of a mapping says (guide §4.2) is where it belongs.

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
    told = listed(
        "told",
        id=[each.record_id for each in records],
        wa_id=[each.wa_id for each in records],
        event=[str(each.fields["eventId"]) for each in records],
        member=[str(each.fields["memberId"]) for each in records],
    )
    row = schema.registrations
    event_differs = and_(
        told.c.event != as_text(row.c.event_id),
        ~corrected(schema, EVENT, target=row.c.event_id, was=told.c.event),
    )
    member_differs = and_(
        told.c.member != as_text(row.c.member_id),
        ~corrected(schema, MEMBER, target=row.c.member_id, was=told.c.member),
    )
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
