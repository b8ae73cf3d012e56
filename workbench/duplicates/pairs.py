"""Pairs of records that may be one: listed once, with what people decided, and gathered into clusters (guide §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select

from workbench.duplicates.associations import choose_canonicals
from workbench.duplicates.matching import cluster_pairs
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import CONCEPT_OF

_PAIR = ["left", "right"]
_DECIDED = ["decision", "decided_by", "remark"]
COLUMNS = ["kind", "left", "right", "probability", "offered", "why", "against", "cluster", *_DECIDED]
CLUSTER_COLUMNS = [
    *("cluster", "size", "members", "canonical", "associations", "by"),
    *("probability", "offered", "decision", "decided_by", "kind", "why", "against"),
]

LARGEST_GROUP = 12
"""Up to so many records of one group are listed each beside each; of more, each beside the first."""

_LISTED = 3  # reasons of a cluster


def pairs_within(rows: pd.DataFrame, by: Sequence[str], what: str = "") -> pd.DataFrame:
    """Pair the keys of rows that agree in some columns, so that the size of a group never counts squared.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``key``, and the columns; where one is missing a value the row is in no group.
    what : str
        What a large group is, to say that not all of it were listed beside all others.

    Returns
    -------
    pandas.DataFrame
        ``left``, ``right`` (left < right) and the columns. ``attrs["said"]`` names the large groups.
    """
    rows = rows[[*by, "key"]].dropna().drop_duplicates().sort_values("key")
    groups = rows.groupby([*by])["key"]
    sizes, first = groups.transform("size"), groups.transform("first")
    lefts = rows[(sizes <= LARGEST_GROUP) | (rows["key"] == first)]
    pairs = lefts.merge(rows, on=[*by], suffixes=("_left", "_right"))
    pairs = pairs.rename(columns={"key_left": "left", "key_right": "right"})[["left", "right", *by]]
    pairs = pairs[pairs["left"] < pairs["right"]].reset_index(drop=True)
    large = sizes[(sizes > LARGEST_GROUP) & (rows["key"] == first)]
    pairs.attrs["said"] = [
        f"{size:,} {what}: each is listed beside the first of them only." for size in large
    ]
    return pairs


def gather(
    connection: Connection, schema: Schema, entity: str, candidates: pd.DataFrame, decisions: pd.DataFrame
) -> pd.DataFrame:
    """List pairs with their decisions and clusters; pairs that only a decision brought together where both exist.

    What was called different joins nothing and is offered to nobody; what was called the same is one, whatever
    else is known; what somebody was unsure about is not offered.

    Parameters
    ----------
    candidates : pandas.DataFrame
        ``left``, ``right``, ``kind`` (what brought the two together), ``why``, ``against`` (in words, without personal
        data), ``joins`` (whether this is reason enough to count them as one), ``offered`` (sure enough to be merged
        without review), and perhaps ``probability``. Of a pair that is listed twice the first counts.
    decisions : pandas.DataFrame
        Those that hold for the entity: see `decisions_frame`.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`: ``kind``, ``left``, ``right``, ``probability`` (nothing where it is unknown, or too low to be
        listed), ``offered``, ``why``, ``against``, ``cluster`` (smallest id in it; empty for a pair that is in
        none), ``decision`` (``same``, ``different``, ``unsure`` or empty), ``decided_by``, ``remark``. The most
        probable first. ``attrs["said"]`` lists decisions that contradict each other.
    """
    decided = _words(decisions)
    called = decided[decided["decision"] == "same"]
    key = schema.entity(entity).c.id
    wanted = is_one_of(key, {*called["left"], *called["right"]})
    present = connection.scalars(select(as_text(key)).where(wanted)).all()
    pairs = candidates.drop_duplicates(_PAIR).merge(decided, "outer", on=_PAIR)
    both = pairs["left"].isin(present) & pairs["right"].isin(present)
    pairs = pairs[pairs["kind"].notna() | (both & (pairs["decision"] == "same"))]
    same = pairs["decision"] == "same"
    fill = {"kind": "decided", "why": "called the same", **dict.fromkeys(["against", *_DECIDED], "")}
    pairs = pairs.assign(**{name: pairs[name].fillna(value) for name, value in fill.items()})
    pairs["probability"] = pairs["probability"].astype("float64") if "probability" in pairs else float("nan")
    links = pairs[["left", "right"]].assign(probability=pairs["probability"].fillna(1).mask(same, 2))
    apart = decided[decided["decision"] == "different"][_PAIR]
    clusters = cluster_pairs(links[pairs["joins"].eq(True) | same], apart.itertuples(index=False, name=None))
    homes = clusters.set_index("member")["cluster"]
    left, right = pairs["left"].map(homes), pairs["right"].map(homes)
    pairs["cluster"] = left.where(left == right, "")
    pairs["offered"] = pairs["offered"].eq(True) & (pairs["decision"] == "")
    torn = pairs[same & (pairs["cluster"] == "")].sort_values(["left", "right"])
    pairs = pairs[COLUMNS].sort_values(
        ["probability", "left", "right"], ascending=[False, True, True], kind="stable", ignore_index=True
    )
    pairs.attrs["said"] = [
        f"{left} and {right} were called the same, and others that belong to them different: look at these again."
        for left, right in zip(torn["left"], torn["right"], strict=True)
    ]
    return pairs


def _words(decisions: pd.DataFrame) -> pd.DataFrame:
    return decisions.rename(columns={"by": "decided_by"})[[*_PAIR, *_DECIDED]]


def open_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that somebody has to do something about: all but those called different."""
    return pairs[pairs["decision"] != "different"]


def duplicate_clusters(
    connection: Connection, schema: Schema, pairs: pd.DataFrame, entity: str
) -> pd.DataFrame:
    """Gather pairs into clusters, and choose for each the record that the guide's rule would keep.

    Parameters
    ----------
    pairs : pandas.DataFrame
        See `gather`.
    entity : str
        ``Member``, ``Event`` or ``Registration``.

    Returns
    -------
    pandas.DataFrame
        `CLUSTER_COLUMNS`: ``cluster``, ``size``, ``members`` (ids), ``canonical`` and ``by`` (most associations,
        then the oldest), ``associations`` (id to count), ``probability`` (the least of its pairs), ``offered``
        (everybody in it beside everybody else is sure enough, or was called the same), ``decision`` (``same``
        where all pairs were, ``unsure`` where one was), ``decided_by``, ``kind`` (of its pairs), ``why``, ``against``.
        Offered ones first, then the most probable.
    """
    groups = [*open_pairs(pairs[pairs["cluster"] != ""]).groupby("cluster", sort=True)]
    ids = [sorted({*group["left"], *group["right"]}) for _, group in groups]
    rows = []
    for (name, group), members, choice in zip(
        groups, ids, choose_canonicals(connection, schema, ids, entity), strict=True
    ):
        sure = group[group["offered"] | (group["decision"] == "same")]
        # To merge them is to say of any two that they are one; a chain of likenesses does not say that.
        all_sure = {*combinations(members, 2)} <= {*zip(sure["left"], sure["right"], strict=True)}
        words = {*group["decision"]}
        decision = "unsure" if "unsure" in words else "same" if words == {"same"} else ""
        by, kinds = (", ".join(sorted({*group[column]} - {""})) for column in ("decided_by", "kind"))
        reasons = (_some_of(group[side]) for side in ("why", "against"))
        facts = group["probability"].min(), all_sure, decision, by, kinds
        rows.append((name, len(members), members, *choice, *facts, *reasons))
    clusters = pd.DataFrame(rows, columns=CLUSTER_COLUMNS)
    clusters = clusters.astype({"probability": "float64", "offered": "bool"})
    order = ["offered", "probability", "cluster"]
    return clusters.sort_values(order, ascending=[False, False, True], kind="stable", ignore_index=True)


def _some_of(reasons: Iterable[str]) -> str:
    several = [*filter(None, dict.fromkeys(reasons))]
    more = f" | and {len(several) - _LISTED} more" if len(several) > _LISTED else ""
    return " | ".join(several[:_LISTED]) + more


def called_same(connection: Connection, schema: Schema, entity: str, decisions: pd.DataFrame) -> pd.DataFrame:
    """Gather records that were called the same, by nothing but these words.

    However alike records are, one that nobody said anything of is in none of these clusters. Records that were
    called the same, some of them beside a third, are one; where somebody was unsure of two of them none are.

    Returns
    -------
    pandas.DataFrame
        As of `duplicate_clusters`. ``attrs["said"]`` lists what contradicts itself, and is therefore left out.
    """
    schema.require(CONCEPT_OF[entity])
    nothing = pd.DataFrame(columns=[*_PAIR, "kind", "why", "against", "joins", "offered"])
    pairs = gather(connection, schema, entity, nothing, decisions)
    clusters = duplicate_clusters(connection, schema, pairs, entity).sort_values("cluster", ignore_index=True)
    homes = clusters.explode("members").set_index("members")["cluster"]
    unsure = decisions[decisions["decision"] == "unsure"]
    unsure = unsure[unsure["left"].map(homes) == unsure["right"].map(homes)]
    certain = clusters[~clusters["cluster"].isin(unsure["left"].map(homes))].reset_index(drop=True)
    certain.attrs["said"] = pairs.attrs["said"] + [
        f"{left} and {right} were both called the same as a third, but somebody was unsure of the two: look at them again."
        for left, right in zip(unsure["left"], unsure["right"], strict=True)
    ]
    return certain


@dataclass(frozen=True)
class Matches:
    """The duplicates of one entity.

    Attributes
    ----------
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    pairs : pandas.DataFrame
        Every pair, those called different too: see `gather`.
    clusters : pandas.DataFrame
        See `duplicate_clusters`.
    records : pandas.DataFrame
        The records concerned: ``id``, and what people know them by.
    notes : tuple of str
        What was left out, and which decisions contradict each other.
    uncompared : tuple of str
        What of it means that there may be more.
    not_run : str
        Why nothing was found out; else empty.
    chances : pandas.DataFrame
        Of members: how every comparison weighed, see `workbench.duplicates.matching.match_members`.
    """

    entity: str
    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))
    clusters: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CLUSTER_COLUMNS))
    records: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["id"]))
    notes: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()
    not_run: str = ""
    chances: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["left", "right"]))

    @property
    def open(self) -> pd.DataFrame:
        """The pairs that somebody has to do something about."""
        return open_pairs(self.pairs)

    @property
    def loose(self) -> pd.DataFrame:
        """Those of them that are in no cluster: a family's address."""
        return self.open[self.open["cluster"] == ""]

    @property
    def different(self) -> int:
        """How many pairs were called different."""
        return len(self.pairs) - len(self.open)

    @property
    def sure(self) -> pd.DataFrame:
        """The clusters that may be merged without another look."""
        return self.clusters[self.clusters["offered"].astype(bool)]

    @property
    def clean(self) -> bool:
        """Whether nothing was found, and nothing was left out that might have been."""
        return self.open.empty and not self.uncompared and not self.not_run

    def chance(self, left: str, right: str) -> pd.Series[Any] | None:
        """Return how the comparisons of a pair weighed; None where it was not compared, or is too improbable."""
        rows = self.chances[(self.chances["left"] == left) & (self.chances["right"] == right)]
        return rows.iloc[0] if len(rows) else None

    def about(self, words: str) -> pd.Series[bool]:
        """Tell of each pair whether one of the two is known by all of these words, or has such an id."""
        texts = self.records.astype(object).fillna("").astype(str).agg(" ".join, axis=1).str.casefold()
        matches = [all(word in text for word in words.casefold().split()) for text in texts]
        ids = self.records["id"][matches]
        return self.pairs["left"].isin(ids) | self.pairs["right"].isin(ids)

    def decided(self, decisions: pd.DataFrame) -> Matches:
        """Return the same pairs with what is said of them now; nothing is compared anew, nor gathered anew."""
        pairs = self.pairs.drop(columns=_DECIDED).merge(_words(decisions), "left", on=_PAIR)
        pairs = pairs.assign(**{name: pairs[name].fillna("") for name in _DECIDED})
        offered = pairs["offered"].astype(bool) & (pairs["decision"] == "")
        return replace(self, pairs=pairs.assign(offered=offered)[self.pairs.columns])
