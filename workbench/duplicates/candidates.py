"""Pairs of members and of registrations that may be one: by address, Wild Apricot id or likeness (guide §1.4, §4.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from workbench.duplicates.pairs import PAIR, list_pairs, pairs_in_groups
from workbench.mappings.queries import NEEDS, fetch
from workbench.mappings.traces import traces_of
from workbench.murmurant.canonical import Canonical, ask
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, explain_gap
from workbench.murmurant.spellings import MEMBER, REGISTRATION

FLOOR = 0.05
"""The lowest probability that is computed; a pair below it has none."""

_SHARED = """
    SELECT ground, name, key, email FROM (
        SELECT *, count(*) OVER (PARTITION BY ground, name) AS several FROM ({}) AS grounds WHERE name <> ''
    ) AS counted WHERE several > 1
"""
_GROUNDS = {
    "same e-mail address": (("members.email",),
        "SELECT id::text AS key, email, mailbox AS name FROM members WHERE trim(email) <> ''"),
    "made from one Wild Apricot contact": (("members.wa_raw",),
        "SELECT id::text, NULL, wa_raw ->> 'waContactId' FROM members"),
    "one Wild Apricot id is mapped to both": (NEEDS, """
        SELECT DISTINCT members.id::text, NULL, wa_id FROM mappings JOIN members ON members.id = target
        WHERE entity_type = 'Member'"""),
}  # fmt: skip
_NONE = "SELECT '' AS ground, '' AS key, '' AS email, '' AS name WHERE false"
_ADDRESS = next(iter(_GROUNDS))

_REGISTRATIONS = """
    SELECT id::text AS key, event_id::text AS event, member_id::text AS member FROM registrations
    WHERE id = ANY (%(ids)s::ids) OR (event_id IS NOT NULL AND member_id IS NOT NULL AND (
        member_id = ANY (%(members)s::ids) OR event_id = ANY (%(events)s::ids) OR (%(twins)s AND (event_id, member_id)
        IN (SELECT event_id, member_id FROM registrations GROUP BY 1, 2 HAVING count(*) > 1))))
"""
_SPLIT = {
    "exact": "one member registered twice for one event",
    "split_member": "one event, two records of one person",
    "split_event": "one member, two records of one event",
    "split_both": "two records of one person, two records of one event",
}


def duplicate_members(
    connection: Connection,
    schema: Schema,
    decisions: pd.DataFrame,
    *,
    threshold: float,
    chances: pd.DataFrame,
) -> pd.DataFrame:
    """List the pairs of members who may be one person (guide §1.4, §4.4).

    Members with one address, or one Wild Apricot id, are listed, but joined only where everything else makes it
    probable: two people with one family address are not one person.

    Parameters
    ----------
    decisions : pandas.DataFrame
        Those that hold.
    threshold : float
        The lowest probability at which a pair is listed for likeness alone.
    chances : pandas.DataFrame
        See `workbench.duplicates.matching.match_members`.

    Returns
    -------
    pandas.DataFrame
        See `list_pairs`; ``kind`` is ``exact`` (the guide's query), ``normalised``, ``wa_id``, ``probable`` or
        ``decided``. ``attrs["notes"]`` lists what was left out, ``attrs["harmless"]`` the notes that hide no pair.
    """
    grounds = _grounds(connection, schema)
    by_id = grounds[grounds["kind"] == "wa_id"].groupby(PAIR)["words"].agg("; ".join).rename("by_id")
    grounded = grounds.groupby(PAIR).agg(kind=("kind", "first"), words=("words", "; ".join)).join(by_id)
    likely = chances[[*PAIR, "probability", "offered", "why", "against"]]
    pairs = grounded.reset_index().merge(likely, "outer", on=PAIR)
    enough, unknown = pairs["probability"] >= threshold, pairs["probability"].isna()
    why = (pairs["by_id"].fillna("") + "; " + pairs["why"].fillna("")).str.strip("; ")
    pairs = pairs.assign(
        kind=pairs["kind"].fillna("probable"),
        why=pairs["words"].where(unknown, why),
        against=pairs["against"].where(~unknown, f"less than {FLOOR:.0%} probable by everything else"),
        offered=pairs["offered"].eq(True) & enough,
        joins=enough,
    )[pairs["kind"].notna() | enough]
    listed = list_pairs(connection, schema, MEMBER, pairs, decisions)
    lacking = [" ".join(explain_gap(need)) for need in schema.missing("members.email")]
    notes = [*grounds.attrs["notes"], *chances.attrs.get("said", []), *listed.attrs["notes"]]
    listed.attrs |= {"notes": [*lacking, *notes], "harmless": [*lacking, *chances.attrs.get("noted", [])]}
    return listed


def _grounds(connection: Connection, schema: Schema) -> pd.DataFrame:
    """Return who shares an address or a Wild Apricot id: ``left``, ``right``, ``kind``, ``words``; the surest first."""
    queries = [
        f"SELECT '{ground}' AS ground, * FROM ({query}) AS shared(key, email, name)"
        for ground, (needs, query) in _GROUNDS.items()
        if schema.has(*needs)
    ] or [_NONE]
    _, rows, _ = ask(connection, Canonical(schema), _SHARED.format(" UNION ALL ".join(queries)))
    pairs = pairs_in_groups(rows, ["ground", "name"], "members have one e-mail address or Wild Apricot id")
    emails = rows[rows["ground"] == _ADDRESS].set_index("key")["email"]
    by_address, same = pairs["ground"] == _ADDRESS, pairs["left"].map(emails) == pairs["right"].map(emails)
    spelling = by_address & ~same
    pairs["kind"] = np.where(by_address, np.where(spelling, "normalised", "exact"), "wa_id")
    pairs["words"] = pairs["ground"].mask(spelling, f"{_ADDRESS} but for its spelling")
    return pairs.sort_values(["kind", "ground"], ascending=[True, False]).drop_duplicates([*PAIR, "words"])


def imported_twice(connection: Connection, schema: Schema, runs: Sequence[Run], entity: str) -> pd.DataFrame:
    """Return the records made from one Wild Apricot id: ``left``, ``right``, ``wa_id``."""
    twice = traces_of(connection, schema, runs).imported_twice if schema.has(*NEEDS) else ()
    rows = [(*sorted((row["first"], row["key"])), row["wa_id"]) for row in twice if row["entity"] == entity]
    return pd.DataFrame(sorted(rows), columns=[*PAIR, "wa_id"]).drop_duplicates(PAIR)


def duplicate_registrations(
    connection: Connection,
    schema: Schema,
    decisions: pd.DataFrame,
    runs: Sequence[Run],
    *,
    members: pd.DataFrame,
    events: pd.DataFrame,
) -> pd.DataFrame:
    """List the pairs of registrations that are one, counting the records of a cluster as one (guide §1.4).

    Parameters
    ----------
    runs : sequence of Run
        All known runs with their report files: which Wild Apricot id became which registration.
    members, events : pandas.DataFrame
        Pairs with their clusters: see `duplicate_members` and `duplicate_events`.

    Returns
    -------
    pandas.DataFrame
        See `list_pairs`, with ``event``, ``member``, ``event_cluster`` and ``member_cluster`` of the left one. ``kind``
        is ``exact`` (one event, one member), ``split_member``, ``split_event`` or ``split_both``; or ``wa_id``, in no
        cluster: made from one Wild Apricot registration, but for members or events that are not one.

    Raises
    ------
    SchemaGap
        When registrations have no member or event.
    """
    schema.require("registrations.member_id", "registrations.event_id")
    cluster_of = {}
    for column, pairs in (("event", events), ("member", members)):
        inside = pairs[pairs["cluster"] != ""]
        cluster_of[column] = dict(
            zip([*inside["left"], *inside["right"]], [*inside["cluster"]] * 2, strict=True)
        )
    twice = imported_twice(connection, schema, runs, REGISTRATION)
    rows = pd.DataFrame(
        fetch(
            connection,
            schema,
            _REGISTRATIONS,
            ids=[*twice["left"], *twice["right"], *decisions["left"], *decisions["right"]],
            members=[*cluster_of["member"]],
            events=[*cluster_of["event"]],
            twins=not schema.forbids_twins("registrations", "member_id", "event_id"),
        ),
        columns=["key", "event", "member"],
    )
    merged = {
        column: [clusters.get(key, key) for key in rows[column]] for column, clusters in cluster_of.items()
    }
    split = pairs_in_groups(rows.assign(**merged), ["member", "event"])
    by_key = rows.set_index("key")
    left, right = (by_key.loc[split[side]].reset_index(drop=True) for side in PAIR)
    event, member = left["event"] == right["event"], left["member"] == right["member"]
    kind = np.select([event & member, event, member], [*_SPLIT][:3], "split_both")
    split = split.assign(kind=kind, against="", joins=True, offered=kind == "exact")
    split["why"] = split["kind"].map(_SPLIT)
    why = "one Wild Apricot registration (" + twice["wa_id"] + ") led to both"
    against = "they are for two people, or two events"
    twice = twice.assign(kind="wa_id", why=why, against=against, joins=False, offered=False)
    listed = list_pairs(connection, schema, REGISTRATION, pd.concat([split, twice]), decisions)
    for column, clusters in cluster_of.items():
        listed[column] = listed["left"].map(by_key[column])
        listed[f"{column}_cluster"] = [clusters.get(key, "") for key in listed[column]]
    return listed
