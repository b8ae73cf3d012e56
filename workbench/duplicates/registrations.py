"""Registrations that are one and the same, split across duplicates of the member or of the event (guide §1.4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd
from sqlalchemy import Connection, or_, select, tuple_

from workbench.duplicates import queries
from workbench.duplicates.decisions import Decision, Pair
from workbench.duplicates.pairs import Candidate, gather, those_there, within
from workbench.mappings.queries import NEEDS
from workbench.mappings.traces import imported_twice
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import REGISTRATION

_WORDS = {
    "exact": "one member registered twice for one event",
    "split_member": "one event, two records of one person",
    "split_event": "one member, two records of one event",
    "split_both": "two records of one person, two records of one event",
}


def split_registrations(
    connection: Connection,
    schema: Schema,
    *,
    members: pd.DataFrame,
    events: pd.DataFrame,
    decisions: Mapping[Pair, Decision],
    runs: Sequence[Run] = (),
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
    people, gatherings = _homes(members), _homes(events)
    groups: dict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    for key, event, member in _concerned(connection, schema, sorted(people), sorted(gatherings)):
        groups[gatherings.get(event, event), people.get(member, member)].append((key, event, member))
    found: dict[Pair, Candidate] = {}
    of: dict[str, tuple[str, str]] = {}
    for group in groups.values():
        of.update({key: (event, member) for key, event, member in group})
        for pair in within([key for key, *_ in group]):
            kind = _kind(of[pair[0]], of[pair[1]])
            found[pair] = Candidate(kind, None, kind == "exact", _WORDS[kind], "", True)
    if schema.has(*NEEDS):
        for again in imported_twice(connection, schema, runs):
            pair = min(again.first, again.record), max(again.first, again.record)
            if again.entity == REGISTRATION and pair not in found:
                why = f"one Wild Apricot registration ({again.wa_id}) led to both"
                against = "they are for two people, or two events"
                found[pair] = Candidate("wa_id", None, False, why, against)
    listed = gather(found, decisions, those_there(connection, schema, "registrations", decisions))
    of = {**_read(connection, schema, set(listed["left"]) - of.keys()), **of}
    listed["event"] = [of[key][0] for key in listed["left"]]
    listed["member"] = [of[key][1] for key in listed["left"]]
    listed["member_cluster"] = [people.get(each, "") for each in listed["member"]]
    listed["event_cluster"] = [gatherings.get(each, "") for each in listed["event"]]
    return listed


def _homes(pairs: pd.DataFrame) -> dict[str, str]:
    """Return the cluster of each record that is in one."""
    inside = pairs[pairs["cluster"] != ""]
    return {
        key: cluster
        for side in ("left", "right")
        for key, cluster in zip(inside[side].tolist(), inside["cluster"].tolist(), strict=True)
    }


def _concerned(
    connection: Connection, schema: Schema, members: list[str], events: list[str]
) -> list[tuple[str, str, str]]:
    """Return the registrations of members and events that are there twice, and those that are there twice themselves."""
    registrations = schema.registrations
    member, event = registrations.c.member_id, registrations.c.event_id
    wanted = [is_one_of(column, ids) for column, ids in ((member, members), (event, events)) if ids]
    if (twice := queries.registered_twice(schema)) is not None:
        pairs = twice.order_by(None).subquery("twice")
        wanted.append(tuple_(as_text(event), as_text(member)).in_(select(pairs.c.event, pairs.c.member)))
    if not wanted:
        return []
    key = as_text(registrations.c.id)
    asked = select(key.label("key"), as_text(event).label("event"), as_text(member).label("member"))
    asked = asked.where(member.is_not(None), event.is_not(None), or_(*wanted)).order_by(key)
    return [(row.key, row.event, row.member) for row in connection.execute(asked)]


def _read(connection: Connection, schema: Schema, ids: set[str]) -> dict[str, tuple[str, str]]:
    """Return event and member of registrations that only a decision brought here."""
    if not ids:
        return {}
    of = schema.registrations.c
    key = as_text(of.id)
    asked = select(key, as_text(of.event_id), as_text(of.member_id)).where(is_one_of(of.id, ids))
    return {str(row[0]): (row[1] or "", row[2] or "") for row in connection.execute(asked)}


def _kind(one: tuple[str, str], other: tuple[str, str]) -> str:
    same_event, same_member = one[0] == other[0], one[1] == other[1]
    if same_event:
        return "exact" if same_member else "split_member"
    return "split_event" if same_member else "split_both"
