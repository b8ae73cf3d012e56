"""Events that exist more than once: same title and start, a title spelled differently, or another time zone (guide §1.4).

An importer that takes Wild Apricot's local times for those of its own machine writes every event some hours off: by the
offset of a time zone, and an hour more or less where daylight saving time ends. A morning and an evening session of one
title are also some hours apart, but are two events: different people attend them, or one import made both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from workbench.duplicates.candidates import imported_twice
from workbench.duplicates.pairs import PAIR, list_pairs, pairs_in_groups
from workbench.mappings.queries import NEEDS, fetch, mapping_rows
from workbench.mappings.traces import traces_of
from workbench.murmurant.canonical import Canonical, ask
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import EVENT
from workbench.normalise import normalise

_STEP, _FURTHEST, _HOUR = timedelta(minutes=15), timedelta(hours=14), timedelta(hours=1)
"""Time zones differ from UTC by a multiple of a quarter of an hour, and by at most fourteen hours."""

_ALIKE, _SOME = 2 / 3, 1 / 3
"""The share of the smaller event's people who attend both: enough by itself, and enough where a time zone shows."""

_MANY = 3
"""This many pairs the same hours apart, attended by the same people, show a time zone."""

_TITLES = 5
"""Second records without people show a time zone where one day made them for this many titles."""

_TOGETHER = timedelta(minutes=1)
"""One import made both records when they were created within this time."""

_EVENTS = """
    SELECT id::text AS key, title, start, lower(trim(title)) AS plain, created_at AS made, coalesce(run_id, '') AS run
    FROM events WHERE title IS NOT NULL AND start IS NOT NULL
"""
_PEOPLE = """
    SELECT DISTINCT event_id::text AS event, member_id::text AS member FROM registrations
    WHERE event_id = ANY (%(ids)s::ids) AND member_id IS NOT NULL
"""


def duplicate_events(
    connection: Connection, schema: Schema, decisions: pd.DataFrame, runs: Sequence[Run]
) -> pd.DataFrame:
    """List the pairs of events that may be one (guide §1.4).

    Parameters
    ----------
    runs : sequence of Run
        All known runs with their report files: which Wild Apricot id became which event.

    Returns
    -------
    pandas.DataFrame
        See `list_pairs`, without probabilities. ``kind`` is ``exact`` (one title and start, whatever the title's case, as in
        the check ``events-duplicate``), ``normalised`` (the same but for spaces, accents and punctuation of the title),
        ``wa_id`` (made from one Wild Apricot event) or ``shifted`` (one title, the offset of a time zone apart, for the
        same people).

    Raises
    ------
    SchemaGap
        When events have no title or start.
    """
    events = _read_events(connection, schema)
    same = pairs_in_groups(events, ["plain", "start"], "events have one title and start")
    spelling = pairs_in_groups(events, ["name", "start"], "events have one title and start")
    shifted = shifted_events(connection, schema, runs, events)
    by_id = shifted["wa_id"] != ""
    shifted = shifted.assign(
        kind=np.where(by_id, "wa_id", "shifted"),
        against=np.select(
            [~by_id, ~shifted["same"]], ["no Wild Apricot id says so", "the titles differ"], ""
        ),
        joins=shifted["same"],
        offered=by_id & shifted["same"],
    )
    why = "same title but for its spelling, same start"
    candidates = [
        same.assign(kind="exact", why="same title and start", against="", joins=True, offered=True),
        spelling.assign(kind="normalised", why=why, against="", joins=True, offered=False),
        shifted,
    ]
    columns = [*PAIR, "kind", "why", "against", "joins", "offered"]
    pairs = pd.concat([part[columns].astype(object) for part in candidates])
    listed = list_pairs(connection, schema, EVENT, pairs, decisions)
    listed.attrs["notes"] = [*same.attrs["notes"], *listed.attrs["notes"]]
    return listed


def plain_title(title: str) -> str:
    """Return a title normalised for comparison; one of punctuation alone stays as it is."""
    return normalise(title) or title.strip()


def _read_events(connection: Connection, schema: Schema) -> pd.DataFrame:
    """Return the events that have a title and a start, by key, with the ``name`` by which titles are compared."""
    schema.require("events.title", "events.start")
    _, events, _ = ask(connection, Canonical(schema), _EVENTS)
    moments = {name: pd.to_datetime(events[name]) for name in ("start", "made")}
    events = pd.concat([events.drop(columns=[*moments]), pd.DataFrame(moments)], axis=1)
    events["name"] = [plain_title(title) for title in events["title"]]
    return events.sort_values("key").set_index("key", drop=False).rename_axis(None)


def shifted_events(
    connection: Connection, schema: Schema, runs: Sequence[Run] = (), events: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the events that exist twice under one title in two time zones, or were made from one Wild Apricot id.

    Two are one when an id led to both. Without ids they are one when they are the offset of a time zone apart and the
    same people attend both; or when nobody attends one of them yet, and enough such pairs are the same hours apart.
    Two that one import made, or that have an id each, are two events, however alike they are.

    Returns
    -------
    pandas.DataFrame
        By the earlier start: ``left`` and ``right`` (ids, in order), ``first`` and ``second`` (by creation), ``title`` (of
        the later start), ``start`` (of the second), ``same`` (whether the titles agree), ``by_the_clock`` (whether the
        offset of a time zone separates them), ``wa_id`` (which led to both, or empty), ``why``.
    """
    events = _read_events(connection, schema) if events is None else events
    pairs = _hours_apart(events).assign(wa_id="")
    if schema.has(*NEEDS):
        pairs = pairs[~_surely_two(connection, schema, runs, pairs, events)]
        twice = imported_twice(connection, schema, runs, EVENT)
        twice = twice[twice["left"].isin(events.index) & twice["right"].isin(events.index)]
        pairs = pd.concat([twice, pairs]).drop_duplicates(PAIR, ignore_index=True)
    left, right = (events.loc[pairs[side]].reset_index(drop=True) for side in PAIR)
    right_is_later = right["start"] >= left["start"]
    left_is_second = (left["made"] > right["made"]) | (left["made"].isna() & right["made"].notna())
    second = events.loc[pairs["right"].mask(left_is_second, pairs["left"])].reset_index(drop=True)
    people = _people(connection, schema, pairs)
    size, nobody = people.groupby("event").size(), pd.Series(0, index=pairs.index)
    both = pairs.reset_index().merge(people, left_on="left", right_on="event")
    both = both.merge(people, left_on=["right", "member"], right_on=["event", "member"])
    sizes = pd.DataFrame({side: pairs[side].map(size).fillna(0).astype(int) for side in PAIR})
    pairs = pairs.assign(
        first=pairs["left"].mask(left_is_second, pairs["right"]),
        second=second["key"],
        earlier=left["start"].where(right_is_later, right["start"]),
        apart=(right["start"] - left["start"]).abs(),
        title=right["title"].where(right_is_later, left["title"]),
        start=second["start"],
        same=left["name"] == right["name"],
        people=sizes.min(axis=1),
        shared=nobody.add(both.groupby("index").size(), fill_value=0).astype(int),
        known=pairs["wa_id"] != "",
    )
    clock = pairs["by_the_clock"] = _is_offset(pairs["apart"])
    shown = pairs["known"] | ((pairs["people"] > 1) & (pairs["shared"] >= _ALIKE * pairs["people"]))
    count = pairs[clock & shown].groupby("apart").size()
    # Somebody who adds an evening session does so for a title or two; an import in another time zone does for all.
    empty = clock & (pairs["second"].map(size).fillna(0) == 0) & second["made"].notna()
    titles = pairs.assign(name=second["name"], day=second["made"].dt.date)[empty]
    titles_of = titles.groupby(["apart", "day"])["name"].nunique()
    count = count.add(titles_of[titles_of >= _TITLES].groupby("apart").sum(), fill_value=0)
    # An hour more or less: daylight saving time ends in between.
    alike = sum(pairs["apart"].add(hours * _HOUR).map(count).fillna(0) for hours in (-1, 0, 1))
    pairs["alike"] = np.where(clock, alike, 0).astype(int)
    zone = pairs["alike"] >= _MANY
    enough = (pairs["shared"] >= np.where(zone, _SOME, _ALIKE) * pairs["people"]) & (
        zone | (pairs["people"] > 1)
    )
    pairs["why"] = [_why(pair) for pair in pairs.itertuples(index=False)]
    # Each event has at most one twin: first the pairs known by an id, then those with more people in common.
    order = pairs[np.where(pairs["people"] == 0, zone, enough) | pairs["known"]].sort_values(
        ["known", "shared", "earlier", *PAIR], ascending=[False, False, True, True, True]
    )
    taken, kept = set[str](), []
    pair: Any
    for pair in order.itertuples():
        if pair.known or not taken & {pair.left, pair.right}:
            taken |= {pair.left, pair.right}
            kept.append(pair.Index)
    return pairs.loc[kept].sort_values(["earlier", *PAIR], ignore_index=True)


def _why(pair: Any) -> str:
    """Say why the two may be one, without personal data."""
    hours = f"{pair.apart / _HOUR:g} h later"
    zone = f"{pair.alike} pairs are as far apart, or an hour more or less: another time zone"
    reasons = [
        f"one Wild Apricot event ({pair.wa_id}) led to both" if pair.wa_id else "",
        f"same title, {hours}" if pair.same else hours,
        f"{pair.shared} of {pair.people} people are on both" if pair.people else "",
        zone if pair.alike >= _MANY else "",
    ]
    return "; ".join(filter(None, reasons))


def _hours_apart(events: pd.DataFrame) -> pd.DataFrame:
    """Pair the events of one name that are the offset of a time zone apart."""
    events = events[["key", "name", "start"]].assign(period=events["start"].dt.floor(_FURTHEST))
    # What starts up to fourteen hours later starts in the same period or the next one.
    later = pd.concat([events, events.assign(period=events["period"] - _FURTHEST)])
    pairs = events.merge(later, on=["name", "period"], suffixes=("_left", "_right"))
    pairs = pairs[_is_offset(pairs["start_right"] - pairs["start_left"])]
    both = np.sort(pairs[["key_left", "key_right"]].to_numpy(dtype=str), axis=1)
    return pd.DataFrame(both.astype(object), columns=PAIR)


def _is_offset(apart: pd.Series[Any]) -> pd.Series[bool]:
    seconds: pd.Series[float] = apart.dt.total_seconds()
    whole: pd.Series[bool] = seconds % _STEP.total_seconds() == 0
    return whole & (seconds > 0) & (apart <= _FURTHEST)


def _surely_two(
    connection: Connection, schema: Schema, runs: Sequence[Run], pairs: pd.DataFrame, events: pd.DataFrame
) -> pd.Series[bool]:
    """Return which pairs are two events: each has a Wild Apricot id of its own, or one import made both."""
    keys = {*pairs["left"], *pairs["right"]}
    ids: dict[str, set[str]] = defaultdict(set)
    makers, created = events["run"].to_dict(), events["made"].to_dict()
    for claim in traces_of(connection, schema, runs).claims(records=keys) if keys else ():
        if claim.entity == EVENT and (claim.independent or claim.maps):
            ids[claim.record].add(claim.wa_id)
            if claim.action == "created" and claim.run:
                makers[claim.record] = claim.run
    for row in mapping_rows(connection, schema, records=keys, entity=EVENT):
        ids[row.target].add(row.wa_id)
    two = [
        bool(ids[left] and ids[right] and not ids[left] & ids[right])
        or bool(makers[left] and makers[left] == makers[right])
        or abs(created[left] - created[right]) < _TOGETHER
        for left, right in zip(pairs["left"], pairs["right"], strict=True)
    ]
    return pd.Series(two, index=pairs.index, dtype=bool)


def _people(connection: Connection, schema: Schema, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return who attends the events of some pairs: ``event``, ``member``."""
    rows: Sequence[Any] = ()
    if len(pairs) and schema.has("registrations.event_id", "registrations.member_id"):
        rows = fetch(connection, schema, _PEOPLE, ids=sorted({*pairs["left"], *pairs["right"]}))
    return pd.DataFrame(rows, columns=["event", "member"], dtype=object)
