"""Registrations that are one and the same, split across duplicates of the member or of the event (guide §1.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Connection, func, or_, select, tuple_

from workbench.duplicates.decisions import Decision, Pair
from workbench.duplicates.pairs import Candidate, gather, those_there, within
from workbench.mappings.queries import NEEDS
from workbench.mappings.traces import traces_of
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import REGISTRATION

_WORDS = {
    "exact": "one member registered twice for one event",
    "split_member": "one event, two records of one person",
    "split_event": "one member, two records of one event",
    "split_both": "two records of one person, two records of one event",
}
_KINDS = {(True, True): "exact", (True, False): "split_member", (False, True): "split_event"}
"""Whether the event is the same, and the member."""


def split_registrations(
    connection: Connection,
    schema: Schema,
    decisions: Mapping[Pair, Decision],
    runs: Sequence[Run],
    *,
    members: pd.DataFrame,
    events: pd.DataFrame,
) -> pd.DataFrame:
    """List the pairs of registrations that are one, counting the records of a cluster as one (guide §1.4).

    Parameters
    ----------
    members, events : pandas.DataFrame
        Pairs with their clusters: see `duplicate_members` and `duplicate_events`.
    runs : sequence of Run
        Every run that is known, with its report files: which Wild Apricot id became which registration.

    Returns
    -------
    pandas.DataFrame
        See `workbench.duplicates.pairs.gather`, with ``event`` and ``member`` (of the left one) and
        ``member_cluster``, ``event_cluster``: what to merge first. ``kind`` is ``exact`` (one event, one
        member), ``split_member``, ``split_event`` or ``split_both``; or ``wa_id``, in no cluster: one registration of Wild
        Apricot led to two, for people or events that are not one.

    Raises
    ------
    SchemaGap
        When registrations do not say whose, or for what, they are.
    """
    schema.require("registrations.member_id", "registrations.event_id")
    of = schema.registrations.c
    people, gatherings = _homes(members), _homes(events)
    concerned = [is_one_of(of.member_id, people), is_one_of(of.event_id, gatherings)]
    if not schema.forbids_twins("registrations", "member_id", "event_id"):
        pair = of.event_id, of.member_id
        twins = select(*pair).group_by(*pair).having(func.count() > 1)
        concerned.append(tuple_(*pair).in_(twins))
    asked = _read(connection, schema, or_(*concerned))
    known = {key: (event, member) for key, event, member in asked if event and member}
    groups: dict[tuple[str, str], list[str]] = {}
    for key, (event, member) in known.items():
        groups.setdefault((gatherings.get(event, event), people.get(member, member)), []).append(key)
    found: dict[Pair, Candidate] = {}
    for group in groups.values():
        for left, right in within(group):
            same = [one == other for one, other in zip(known[left], known[right], strict=True)]
            kind = _KINDS.get((same[0], same[1]), "split_both")
            found[left, right] = Candidate(kind, None, kind == "exact", _WORDS[kind], "", True)
    for again in traces_of(connection, schema, runs).imported_twice if schema.has(*NEEDS) else ():
        if again.entity == REGISTRATION:
            why = f"one Wild Apricot registration ({again.wa_id}) led to both"
            twice = Candidate("wa_id", None, False, why, "they are for two people, or two events")
            found.setdefault((min(again.first, again.record), max(again.first, again.record)), twice)
    listed = gather(found, decisions, those_there(connection, schema, "registrations", decisions))
    more = _read(connection, schema, is_one_of(of.id, {*listed["left"]} - known.keys()))
    known |= {key: (event or "", member or "") for key, event, member in more}
    listed["event"], listed["member"] = ([known[key][place] for key in listed["left"]] for place in (0, 1))
    listed["member_cluster"] = [people.get(each, "") for each in listed["member"]]
    listed["event_cluster"] = [gatherings.get(each, "") for each in listed["event"]]
    return listed


def _homes(pairs: pd.DataFrame) -> dict[str, str]:
    """Return the cluster of each record that is in one."""
    inside = pairs[pairs["cluster"] != ""]
    return {
        key: home
        for side in ("left", "right")
        for key, home in zip(inside[side], inside["cluster"], strict=True)
    }


def _read(connection: Connection, schema: Schema, which: ColumnElement[bool]) -> Sequence[Any]:
    """Return some registrations: id, event and member."""
    of = schema.registrations.c
    key = as_text(of.id)
    return connection.execute(
        select(key, as_text(of.event_id), as_text(of.member_id)).where(which).order_by(key)
    ).all()
