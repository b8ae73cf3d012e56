"""Events that are there more than once: one title and start, however spelt, or by another clock (guide §1.4).

An importer that takes Wild Apricot's local times for its own machine's writes every event some hours off: by the offset
of a time zone, and by an hour more or less where summer time ends. A morning and an evening session of one title are
as many hours apart, and are two events: there the people differ, or one import made both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, select

from workbench.duplicates.decisions import Decision, Pair
from workbench.duplicates.pairs import Candidate, gather, large, those_there, within
from workbench.mappings.queries import NEEDS, mapping_rows
from workbench.mappings.traces import traces_of
from workbench.murmurant.canonical import Canonical, ask
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, as_text, is_one_of
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
    SELECT id AS key, title, start, lower(trim(title)) AS plain, created_at AS made, coalesce(run_id, '') AS run
    FROM events WHERE title IS NOT NULL AND start IS NOT NULL ORDER BY id::text COLLATE "C"
"""


_COLUMNS = (
    *("left", "right", "first", "second", "earlier", "apart", "title", "start", "made", "name"),
    *("people", "shared", "on_second", "same", "wa_id"),
)


def duplicate_events(
    connection: Connection, schema: Schema, decisions: Mapping[Pair, Decision], runs: Sequence[Run]
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
    events, said = read_events(connection, schema), list[str]()
    found: dict[Pair, Candidate] = {}
    for group in _together(events, "plain", "start"):
        said += large(len(group), "events have one title and start")
        for pair in within(group["key"]):
            found[pair] = Candidate("exact", None, True, "same title and start", "", True)
    for group in _together(events, "name", "start"):
        for pair in within(group["key"]):
            words = "same title but for its spelling, same start"
            found.setdefault(pair, Candidate("normalised", None, False, words, "", True))
    shift: Any
    for shift in shifted_events(connection, schema, runs, events).itertuples(index=False):
        sure = Candidate(
            "wa_id", None, shift.same, shift.why, "" if shift.same else "the titles differ", shift.same
        )
        likely = Candidate("shifted", None, False, shift.why, "no Wild Apricot id says so", True)
        found.setdefault((shift.left, shift.right), sure if shift.wa_id else likely)
    gathered = gather(found, decisions, those_there(connection, schema, "events", decisions))
    gathered.attrs["said"] = [*said, *gathered.attrs["said"]]
    return gathered


def plain_title(title: str) -> str:
    """Return a title as it is compared; one of nothing but signs is itself."""
    return normalise(title) or title.strip()


def read_events(connection: Connection, schema: Schema) -> pd.DataFrame:
    """Return the events, as far as one can be told from another: by key, with the ``name`` they are compared by."""
    schema.require("events.title", "events.start")
    _, events, _ = ask(connection, Canonical(schema), _EVENTS)
    moments = {moment: pd.to_datetime(events[moment]) for moment in ("start", "made")}
    return events.assign(name=[plain_title(title) for title in events["title"]], **moments)


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
        which before), ``title`` (of the later one), ``start`` (of the second), ``same`` (whether the titles agree),
        ``by_the_clock`` (whether the offset of a time zone parts them), ``wa_id`` (which led to both, or empty), ``why``.
    """
    events = read_events(connection, schema) if events is None else events
    of: dict[str, Any] = {str(each.key): each for each in events.itertuples(index=False)}
    close, twice = [*_within_a_zone(events)], dict[Pair, str]()
    if schema.has(*NEEDS):
        for again in traces_of(connection, schema, runs).imported_twice:
            if again.entity == EVENT and {again.first, again.record} <= of.keys():
                twice[_pair(again.first, again.record)] = again.wa_id
        apart = _surely_apart(connection, schema, runs, close, of)
        close = [pair for pair in close if pair not in twice and pair not in apart]
    people = _people(connection, schema, {key for pair in (*close, *twice) for key in pair})
    rows = []
    for pair in (*close, *sorted(twice)):
        earlier, later = sorted((of[key] for key in pair), key=lambda each: (each.start, each.key))
        first, second = sorted((earlier, later), key=lambda each: (pd.isna(each.made), each.made, each.key))
        here, there = people[earlier.key], people[later.key]
        rows.append(
            {
                "left": pair[0],
                "right": pair[1],
                "first": first.key,
                "second": second.key,
                "earlier": earlier.start,
                "apart": later.start - earlier.start,
                "title": later.title,
                "start": second.start,
                "made": second.made,
                "name": second.name,
                "people": min(len(here), len(there)),
                "shared": len(here & there),
                "on_second": len(people[second.key]),
                "same": earlier.name == later.name,
                "wa_id": twice.get(pair, ""),
            }
        )
    found = pd.DataFrame(rows, columns=_COLUMNS).astype({"apart": "timedelta64[us]"})
    found["by_the_clock"] = _is_offset(found["apart"])
    shown = (found["people"] > 1) & (found["shared"] >= _ALIKE * found["people"]) | (found["wa_id"] != "")
    hours = found[found["by_the_clock"] & shown].groupby("apart").size()
    # Somebody who adds an evening session does so for a title or two; an import by another clock does for all.
    empty = found[found["by_the_clock"] & (found["on_second"] == 0) & found["made"].notna()]
    titles = empty.groupby(["apart", pd.to_datetime(empty["made"]).dt.date])["name"].nunique()
    hours = hours.add(titles[titles >= _TITLES].groupby("apart").sum(), fill_value=0)
    # An hour more or less: summer time ends in between.
    alike = sum(found["apart"].add(more * _HOUR).map(hours).fillna(0) for more in (-1, 0, 1))
    found["alike"] = np.where(found["by_the_clock"], alike, 0).astype(int)
    zone = found["alike"] >= _MANY
    enough = found["shared"] >= np.where(zone, _SOME, _ALIKE) * found["people"]
    likely = np.where(found["people"] == 0, zone, enough & (zone | (found["people"] > 1)))
    found["why"] = [_why(each) for each in found.itertuples(index=False)]
    found["known"] = found["wa_id"] != ""
    # What is known by its id, or has more people in common, has its twin first: no event has two.
    taken, kept = set[str](), []
    order = found[likely | found["known"]].sort_values(
        ["known", "shared", "earlier", "left", "right"], ascending=[False, False, True, True, True]
    )
    each: Any
    for each in order.itertuples():
        if each.known or not taken & {each.left, each.right}:
            taken |= {each.left, each.right}
            kept.append(each.Index)
    return found.loc[kept].sort_values(["earlier", "left", "right"], ignore_index=True)


def _why(shift: Any) -> str:
    """Say what speaks for their being one, without personal data."""
    hours = f"{shift.apart / _HOUR:g} h later"
    told = [
        f"one Wild Apricot event ({shift.wa_id}) led to both" if shift.wa_id else "",
        f"same title, {hours}" if shift.same else hours,
        f"{shift.shared} of {shift.people} people are on both" if shift.people else "",
        f"{shift.alike} pairs are as far apart, or an hour more or less: another time zone"
        if shift.alike >= _MANY and shift.by_the_clock
        else "",
    ]
    return "; ".join(filter(None, told))


def _together(events: pd.DataFrame, *same: str) -> Iterator[pd.DataFrame]:
    """Yield the events that are the same in these columns, where there are several."""
    several = events[events.duplicated([*same], keep=False)]
    yield from (group for _, group in several.groupby([*same], sort=False))


def _within_a_zone(events: pd.DataFrame) -> Iterator[Pair]:
    """Yield the events of one name that are the offset of a time zone apart."""
    for same in _together(events.sort_values(["start", "key"]), "name"):
        keys, starts = same["key"].tolist(), same["start"].tolist()
        for place, start in enumerate(starts):
            for further in range(place + 1, len(starts)):
                if starts[further] - start > _FURTHEST:
                    break
                if _is_offset(starts[further] - start):
                    yield _pair(keys[place], keys[further])


def _is_offset(apart: Any) -> Any:
    return (apart > timedelta(0)) & (apart <= _FURTHEST) & (apart % _STEP == timedelta(0))


def _surely_apart(
    connection: Connection, schema: Schema, runs: Sequence[Run], pairs: Sequence[Pair], of: Mapping[str, Any]
) -> set[Pair]:
    """Return the pairs that are two events: each has a Wild Apricot id of its own, or one import made both."""
    keys = {key for pair in pairs for key in pair}
    ids: dict[str, set[str]] = defaultdict(set)
    makers = {key: of[key].run for key in keys if of[key].run}
    for claim in traces_of(connection, schema, runs).claims(records=keys) if keys else ():
        if claim.entity == EVENT and (claim.independent or claim.maps):
            ids[claim.record].add(claim.wa_id)
            if claim.action == "created" and claim.run:
                makers[claim.record] = claim.run
    for row in mapping_rows(connection, schema, records=keys, entity=EVENT):
        ids[row.target].add(row.wa_id)
    return {
        (one, other)
        for one, other in pairs
        if (ids[one] and ids[other] and not ids[one] & ids[other])
        or (one in makers and makers[one] == makers.get(other))
        or abs(of[one].made - of[other].made) < _TOGETHER
    }


def _people(connection: Connection, schema: Schema, events: Collection[str]) -> dict[str, set[str]]:
    """Return who is on each of some events."""
    found: dict[str, set[str]] = defaultdict(set)
    if events and schema.has("registrations.event_id", "registrations.member_id"):
        on = schema.registrations
        rows = connection.execute(
            select(as_text(on.c.event_id), as_text(on.c.member_id)).where(
                is_one_of(on.c.event_id, events), on.c.member_id.is_not(None)
            )
        )
        for event, member in rows:
            found[event].add(member)
    return found


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)
