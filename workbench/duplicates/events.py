"""Events that are there more than once: one title and start, however spelt, or by another clock (guide §1.4).

An importer that takes Wild Apricot's local times for its own machine's writes every event some hours off: by the offset
of a time zone, and by an hour more or less where summer time ends. A morning and an evening session of one title are
as many hours apart, and are two events: there the people differ, or one import made both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from workbench.duplicates.candidates import imported_twice
from workbench.duplicates.pairs import gather, pairs_within
from workbench.mappings.queries import NEEDS, fetch, mapping_rows
from workbench.mappings.traces import traces_of
from workbench.murmurant.canonical import Canonical, ask
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import EVENT
from workbench.normalise import normalise

_STEP, _FURTHEST, _HOUR = timedelta(minutes=15), timedelta(hours=14), timedelta(hours=1)
"""Time zones differ by whole, half and quarter hours, and from one end of the world to UTC by fourteen."""

_ALIKE, _SOME = 2 / 3, 1 / 3
"""From which share of the smaller event's people on two are attended by the same; and where a time zone shows."""

_MANY = 3
"""So many pairs that are as many hours apart, and attended by the same people, show a time zone."""

_TITLES = 5
"""Second records without people show a time zone where one day made them under so many titles."""

_TOGETHER = timedelta(minutes=1)
"""What was made within it, one import made."""

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

    ``exact``: one title and start, whatever the title's case, as the check ``events-duplicate`` asks.
    ``normalised``: the same but for spaces, accents and signs of the title. ``wa_id``: one event of Wild Apricot
    led to both. ``shifted``: the same title, some hours of a time zone apart, for the same people.

    Parameters
    ----------
    runs : sequence of Run
        Every run that is known, with its report files: which Wild Apricot id became which event.

    Returns
    -------
    pandas.DataFrame
        See `workbench.duplicates.pairs.gather`; an event's pair has no probability.

    Raises
    ------
    SchemaGap
        When events have no title or start.
    """
    events = read_events(connection, schema)
    same = pairs_within(events, ["plain", "start"], "events have one title and start")
    spelt = pairs_within(events, ["name", "start"], "events have one title and start")
    shifted = shifted_events(connection, schema, runs, events)
    by_id = shifted["wa_id"] != ""
    doubt = np.where(by_id, np.where(shifted["same"], "", "the titles differ"), "no Wild Apricot id says so")
    kind, sure = np.where(by_id, "wa_id", "shifted"), by_id & shifted["same"]
    spelling = "same title but for its spelling, same start"
    candidates = [
        same.assign(kind="exact", why="same title and start", against="", joins=True, offered=True),
        spelt.assign(kind="normalised", why=spelling, against="", joins=True, offered=False),
        shifted.assign(kind=kind, offered=sure, against=doubt, joins=shifted["same"]),
    ]
    columns = ["left", "right", "kind", "why", "against", "joins", "offered"]
    pairs = pd.concat([part[columns].astype(object) for part in candidates])
    listed = gather(connection, schema, EVENT, pairs, decisions)
    listed.attrs["said"] = [*same.attrs["said"], *listed.attrs["said"]]
    return listed


def plain_title(title: str) -> str:
    """Return a title as it is compared; one of nothing but signs is itself."""
    return normalise(title) or title.strip()


def read_events(connection: Connection, schema: Schema) -> pd.DataFrame:
    """Return the events, as far as one can be told from another: by key, with the ``name`` they are compared by."""
    schema.require("events.title", "events.start")
    _, events, _ = ask(connection, Canonical(schema), _EVENTS)
    moments = {moment: pd.to_datetime(events[moment]) for moment in ("start", "made")}
    events = pd.concat([events.drop(columns=[*moments]), pd.DataFrame(moments)], axis=1)
    events["name"] = [plain_title(title) for title in events["title"]]
    return events.sort_values("key").set_index("key", drop=False).rename_axis(None)


def shifted_events(
    connection: Connection, schema: Schema, runs: Sequence[Run] = (), events: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the events that stand twice under one title, by another clock or with one Wild Apricot id.

    Two are one where an id led to both. Without ids they are, where they are the offset of a time zone apart and the
    same people are on both; and where nobody is on one of them yet, when enough of such pairs are as many hours apart.
    Two that one import made, or that have an id each, are two events, however much they are alike.

    Returns
    -------
    pandas.DataFrame
        By the earlier start: ``left`` and ``right`` (ids, in order), ``second`` and ``first`` (which was made later,
        which before), ``title`` (of the one that starts later), ``start`` (of the second), ``same`` (whether the titles
        agree), ``by_the_clock`` (whether the offset of a time zone parts them), ``wa_id`` (which led to both, or empty),
        ``why``.
    """
    events = read_events(connection, schema) if events is None else events
    pairs = _near(events).assign(wa_id="")
    if schema.has(*NEEDS):
        pairs = pairs[~_surely_apart(connection, schema, runs, pairs, events)]
        twice = imported_twice(connection, schema, runs, EVENT)
        twice = twice[twice["left"].isin(events.index) & twice["right"].isin(events.index)]
        pairs = pd.concat([twice, pairs]).drop_duplicates(["left", "right"], ignore_index=True)
    left, right = (events.loc[pairs[side]].reset_index(drop=True) for side in ("left", "right"))
    later_is_right = right["start"] >= left["start"]
    second_is_left = (left["made"] > right["made"]) | (left["made"].isna() & right["made"].notna())
    second = events.loc[pairs["right"].mask(second_is_left, pairs["left"])].reset_index(drop=True)
    people, shared, of_second = _people(connection, schema, pairs, second["key"])
    pairs = pairs.assign(
        first=pairs["left"].mask(second_is_left, pairs["right"]),
        second=second["key"],
        earlier=left["start"].where(later_is_right, right["start"]),
        apart=(right["start"] - left["start"]).abs(),
        title=right["title"].where(later_is_right, left["title"]),
        start=second["start"],
        same=left["name"] == right["name"],
        people=people,
        shared=shared,
    )
    clock = pairs["by_the_clock"] = _is_offset(pairs["apart"])
    known = pairs["known"] = pairs["wa_id"] != ""
    shown = (people > 1) & (shared >= _ALIKE * people) | known
    hours = pairs[clock & shown].groupby("apart").size()
    # Somebody who adds an evening session does so for a title or two; an import by another clock does for all.
    empty = pairs.assign(name=second["name"], day=second["made"].dt.date)[clock & (of_second == 0)].dropna(
        subset="day"
    )
    titles = empty.groupby(["apart", "day"])["name"].nunique()
    hours = hours.add(titles[titles >= _TITLES].groupby("apart").sum(), fill_value=0)
    # An hour more or less: summer time ends in between.
    alike = sum(pairs["apart"].add(more * _HOUR).map(hours).fillna(0) for more in (-1, 0, 1))
    pairs["alike"] = np.where(clock, alike, 0).astype(int)
    zone = pairs["alike"] >= _MANY
    enough = (shared >= np.where(zone, _SOME, _ALIKE) * people) & (zone | (people > 1))
    pairs["why"] = [_why(pair) for pair in pairs.itertuples(index=False)]
    # What is known by its id, or has more people in common, has its twin first: no event has two.
    order = pairs[np.where(people == 0, zone, enough) | known].sort_values(
        ["known", "shared", "earlier", "left", "right"], ascending=[False, False, True, True, True]
    )
    taken, kept = set[str](), []
    pair: Any
    for pair in order.itertuples():
        if pair.known or not taken & {pair.left, pair.right}:
            taken |= {pair.left, pair.right}
            kept.append(pair.Index)
    return pairs.loc[kept].sort_values(["earlier", "left", "right"], ignore_index=True)


def _why(pair: Any) -> str:
    """Say what speaks for their being one, without personal data."""
    hours = f"{pair.apart / _HOUR:g} h later"
    reasons = [
        f"one Wild Apricot event ({pair.wa_id}) led to both" if pair.wa_id else "",
        f"same title, {hours}" if pair.same else hours,
        f"{pair.shared} of {pair.people} people are on both" if pair.people else "",
        f"{pair.alike} pairs are as far apart, or an hour more or less: another time zone"
        if pair.alike >= _MANY
        else "",
    ]
    return "; ".join(filter(None, reasons))


def _near(events: pd.DataFrame) -> pd.DataFrame:
    """Pair the events of one name that are the offset of a time zone apart."""
    ordered = events.sort_values(["name", "start", "key"])
    columns = ["left", "right"]
    pairs = [pd.DataFrame(columns=columns)]
    for step in count(1):
        later = ordered.groupby("name", sort=False)[["key", "start"]].shift(-step)
        apart = later["start"] - ordered["start"]
        if not (apart <= _FURTHEST).any():
            return pd.concat(pairs, ignore_index=True)
        both = np.sort(np.column_stack([ordered["key"], later["key"]])[_is_offset(apart)].astype(str), axis=1)
        pairs.append(pd.DataFrame(both.astype(object), columns=columns))
    raise AssertionError


def _is_offset(apart: pd.Series[Any]) -> pd.Series[bool]:
    seconds: pd.Series[float] = apart.dt.total_seconds()
    whole: pd.Series[bool] = seconds % _STEP.total_seconds() == 0
    return whole & (seconds > 0) & (apart <= _FURTHEST)


def _surely_apart(
    connection: Connection, schema: Schema, runs: Sequence[Run], pairs: pd.DataFrame, events: pd.DataFrame
) -> pd.Series[bool]:
    """Tell which pairs are two events: each has a Wild Apricot id of its own, or one import made both."""
    keys = {*pairs["left"], *pairs["right"]}
    ids: dict[str, set[str]] = defaultdict(set)
    makers, moments = dict(events["run"]), dict(events["made"])
    for claim in traces_of(connection, schema, runs).claims(records=keys) if keys else ():
        if claim.entity == EVENT and (claim.independent or claim.maps):
            ids[claim.record].add(claim.wa_id)
            if claim.action == "created" and claim.run:
                makers[claim.record] = claim.run
    for row in mapping_rows(connection, schema, records=keys, entity=EVENT):
        ids[row.target].add(row.wa_id)
    apart = [
        bool(ids[left] and ids[right] and not ids[left] & ids[right])
        or bool(makers[left] and makers[left] == makers[right])
        or abs(moments[left] - moments[right]) < _TOGETHER
        for left, right in zip(pairs["left"], pairs["right"], strict=True)
    ]
    return pd.Series(apart, index=pairs.index, dtype=bool)


def _people(
    connection: Connection, schema: Schema, pairs: pd.DataFrame, second: Collection[str]
) -> tuple[pd.Series[int], pd.Series[int], pd.Series[int]]:
    """Return how many people are on the smaller of each pair, how many on both, and how many on the second."""
    rows: Sequence[Any] = ()
    if len(pairs) and schema.has("registrations.event_id", "registrations.member_id"):
        rows = fetch(connection, schema, _PEOPLE, ids=sorted({*pairs["left"], *pairs["right"]}))
    people: dict[str, set[str]] = defaultdict(set)
    for event, member in rows:
        people[event].add(member)
    counts = [
        (min(len(people[left]), len(people[right])), len(people[left] & people[right]), len(people[later]))
        for left, right, later in zip(pairs["left"], pairs["right"], second, strict=True)
    ]
    frame = pd.DataFrame(counts, columns=["smaller", "both", "second"], index=pairs.index, dtype="int64")
    return frame["smaller"], frame["both"], frame["second"]
