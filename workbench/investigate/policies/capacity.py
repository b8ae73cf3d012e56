"""How full the events are: capacity against confirmed registrations, and the organisation's limit (guide §1.5)."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import case, func, literal, select

from workbench.database.connection import frame
from workbench.investigate.policies.events import CapacityLimit, WithinCapacity, confirmed
from workbench.investigate.policies.ground import Ground, NoAnswerError
from workbench.investigate.policies.rulebook import Rulebook
from workbench.murmurant.schema import same_id

STATES = ("fits", "over the limit", "over-full", "over-full and over the limit")
"""What an event can be."""


def capacity_frame(ground: Ground, book: Rulebook) -> pd.DataFrame:
    """Count the events by how large and how full they are, so that a million fit into one figure.

    Returns
    -------
    pandas.DataFrame
        One row per ``capacity`` and number of seats ``confirmed`` that occur: ``state`` (see `STATES`), how many
        ``events`` there are, the ``title`` of one of them, and the ``limit`` (None where nobody configured one).
    """
    ground.schema.require("events.capacity", "events.title", "registrations.event_id", "registrations.status")
    limits = [each for each in book.rules if isinstance(each, CapacityLimit)]
    fitting = next((each for each in book.rules if isinstance(each, WithinCapacity)), None)
    limit: int | None
    try:
        limit = limits[0].most(ground) if limits else ground.capacity_limit
    except NoAnswerError:
        limit = None
    events = ground.schema.events
    seats = confirmed(ground, fitting.statuses if fitting else CapacityLimit.model_fields["statuses"].default)
    taken = func.coalesce(seats.c.taken, 0)
    full = taken > events.c.capacity
    large = events.c.capacity > limit if limit is not None else literal(False)
    state = case(
        (full & large, STATES[3]),
        (full, STATES[2]),
        (large, STATES[1]),
        else_=STATES[0],
    )
    query = (
        select(
            events.c.capacity.label("capacity"),
            taken.label("confirmed"),
            state.label("state"),
            func.count().label("events"),
            func.min(events.c.title).label("title"),
        )
        .select_from(events.outerjoin(seats, same_id(seats.c.event_id, events.c.id)))
        .where(events.c.capacity.is_not(None))
        .group_by(events.c.capacity, taken, state)
        .order_by(events.c.capacity, taken)
    )
    found = frame(ground.connection, query)
    return found.assign(limit=pd.array([limit] * len(found), dtype="Int64"))
