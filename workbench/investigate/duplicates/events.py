"""Events that are there more than once: one title and start, however spelt (guide §1.4)."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

import pandas as pd
from sqlalchemy import Connection, select

from workbench.investigate.decisions import Decision, Pair
from workbench.investigate.duplicates import statements
from workbench.investigate.duplicates.pairs import LARGEST_GROUP, Candidate, gather, those_there, within
from workbench.murmurant.schema import Schema, as_text


def duplicate_events(
    connection: Connection, schema: Schema, *, decisions: Mapping[Pair, Decision]
) -> pd.DataFrame:
    """List the pairs of events that may be one (guide §1.4).

    ``exact``: one title and start, whatever the title's case, as the check ``events-duplicate`` asks.
    ``normalised``: the same but for spaces, accents and signs of the title. ``same_day``: the same title at
    another time of one day; these may well be two sittings, so they join no cluster until somebody says so.

    Returns
    -------
    pandas.DataFrame
        See `workbench.investigate.duplicates.pairs.gather`; an event's pair has no probability.

    Raises
    ------
    SchemaGap
        When events have no title or start.
    """
    schema.require("events.title", "events.start")
    twins: dict[tuple[str, datetime], list[str]] = defaultdict(list)
    for row in connection.execute(statements.twin_events(schema)):
        twins[row.title.strip(" ").lower(), row.start].append(row.key)
    said: list[str] = []
    found: dict[Pair, Candidate] = {}
    for group in twins.values():
        said += _large(len(group))
        for pair in within(group):
            found[pair] = Candidate("exact", None, True, "same title and start", "", True)
    starts = _by_title_and_day(connection, schema)
    for same_day in starts.values():
        for group in same_day.values():
            for pair in within(group):
                words = "same title but for its spelling, same start"
                found.setdefault(pair, Candidate("normalised", None, False, words, "", True))
        # One of each time of the day speaks for the others of that time.
        firsts = {min(group): start for start, group in same_day.items()}
        for left, right in within(list(firsts)):
            apart = abs((firsts[left] - firsts[right]).total_seconds())
            against = f"starts {_lasting(apart)} apart: perhaps two sittings"
            found.setdefault(
                (left, right), Candidate("same_day", None, False, "same title on the same day", against)
            )
    listed = gather(found, decisions, those_there(connection, schema, "events", decisions))
    listed.attrs["said"] = [*said, *listed.attrs["said"]]
    return listed


def folded(title: str) -> str:
    """Return a title without case, accents, signs and more than one space in a row."""
    apart = unicodedata.normalize("NFKD", title.casefold())
    plain = "".join(each if each.isalnum() else " " for each in apart if not unicodedata.combining(each))
    # A title of nothing but signs is itself.
    return " ".join(plain.split()) or title.strip()


def _by_title_and_day(
    connection: Connection, schema: Schema
) -> dict[tuple[str, object], dict[datetime, list[str]]]:
    """Return the events of each title and day, by their start; days with one event only are left out."""
    events = schema.events
    asked = select(as_text(events.c.id).label("key"), events.c.title, events.c.start).where(
        events.c.title.is_not(None), events.c.start.is_not(None)
    )
    found: dict[tuple[str, object], dict[datetime, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in connection.execute(asked.order_by("key")):
        found[folded(row.title), row.start.date()][row.start].append(row.key)
    return {day: starts for day, starts in found.items() if sum(map(len, starts.values())) > 1}


def _large(size: int) -> list[str]:
    if size <= LARGEST_GROUP:
        return []
    return [f"{size:,} events have one title and start: each is listed beside the first of them only."]


def _lasting(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes // 60} h {minutes % 60} min"
