"""Pairs of records that may be one: listed once, with what people decided, and gathered into clusters (guide §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection, select

from workbench.duplicates.associations import choose_canonicals
from workbench.duplicates.decisions import Decision, Pair, pairs_called
from workbench.duplicates.matching import cluster_pairs
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import CONCEPT_OF

COLUMNS = [
    *("kind", "left", "right", "probability", "offered", "why", "against", "cluster"),
    *("decision", "decided_by", "remark"),
]
CLUSTER_COLUMNS = [
    *("cluster", "size", "members", "canonical", "associations", "by"),
    *("probability", "offered", "decision", "decided_by", "kind", "why", "against"),
]

LARGEST_GROUP = 12
"""Up to so many records of one group are listed each beside each; of more, each beside the first."""

_TOLD = 3


class Candidate(NamedTuple):
    """Two records that may be one.

    Attributes
    ----------
    kind : str
        What brought them together.
    probability : float or None
        None where it is unknown or below what is told.
    offered : bool
        Sure enough to be merged without review.
    why, against : str
        In words, without personal data.
    joins : bool
        Whether this is reason enough to count the two as one.
    """

    kind: str
    probability: float | None = None
    offered: bool = False
    why: str = ""
    against: str = ""
    joins: bool = False


def within(group: Iterable[str]) -> Iterator[Pair]:
    """Pair the records of a group, so that its size never counts squared."""
    ordered = sorted(set(group))
    if len(ordered) <= LARGEST_GROUP:
        yield from combinations(ordered, 2)
    else:
        yield from ((ordered[0], each) for each in ordered[1:])


def large(size: int, what: str) -> list[str]:
    """Say that not all of a group were listed beside all others."""
    if size <= LARGEST_GROUP:
        return []
    return [f"{size:,} {what}: each is listed beside the first of them only."]


def gather(
    candidates: Mapping[Pair, Candidate],
    decisions: Mapping[Pair, Decision],
    there: Iterable[str] = (),
) -> pd.DataFrame:
    """List pairs with their decisions and clusters.

    What was called different joins nothing and is offered to nobody; what was called the same is one, whatever
    else is known; what somebody was unsure about is not offered.

    Parameters
    ----------
    there : iterable of str
        Records that exist: pairs that only a decision brought together are listed where both do.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`: ``kind``, ``left``, ``right``, ``probability`` (nothing where it is unknown, or too low to be
        told), ``offered``, ``why``, ``against``, ``cluster`` (smallest id in it; empty for a pair that is in
        none), ``decision`` (``same``, ``different``, ``unsure`` or empty), ``decided_by``, ``remark``. The most
        probable first. ``attrs["said"]`` lists decisions that contradict each other.
    """
    known = set(there)
    same = {pair for pair in pairs_called(decisions, "same") if pair in candidates or known.issuperset(pair)}
    listed = {**dict.fromkeys(same, Candidate("decided", why="called the same")), **candidates}
    rows = [(*pair, *one, *_word(decisions.get(pair))) for pair, one in listed.items()]
    pairs = pd.DataFrame(rows, columns=["left", "right", *Candidate._fields, *COLUMNS[-3:]])
    pairs = pairs.astype({"probability": "float64", "offered": "bool"})
    named = pd.Series([pair in same for pair in listed], index=pairs.index, dtype="bool")
    links = pairs[["left", "right"]].assign(probability=pairs["probability"].fillna(1).mask(named, 2))
    links = links[pairs["joins"].astype(bool) | named]
    clusters = cluster_pairs(links, pairs_called(decisions, "different"))
    home = dict(zip(clusters["member"], clusters["cluster"], strict=True))
    ends = zip(pairs["left"].map(home), pairs["right"].map(home), strict=True)
    pairs["cluster"] = [one if one == other else "" for one, other in ends]
    pairs["offered"] &= pairs["decision"] == ""
    pairs = pairs[COLUMNS].sort_values(
        ["probability", "left", "right"], ascending=[False, True, True], kind="stable", ignore_index=True
    )
    pairs.attrs["said"] = [
        f"{left} and {right} were called the same, and others that belong to them different: look at these again."
        for left, right in sorted(same)
        if home.get(left) != home.get(right) or left not in home
    ]
    return pairs


def _word(decision: Decision | None) -> tuple[str, str, str]:
    return (decision.decision, decision.by, decision.remark) if decision else ("", "", "")


def open_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that somebody has to do something about: all but those called different."""
    return pairs[pairs["decision"] != "different"]


def those_there(
    connection: Connection, schema: Schema, concept: str, decisions: Mapping[Pair, Decision]
) -> list[str]:
    """Return which of the records that were decided about still exist."""
    wanted = {key for pair in decisions for key in pair}
    key = schema.source(concept).c.id
    return sorted(connection.scalars(select(as_text(key)).where(is_one_of(key, wanted)))) if wanted else []


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
        where all pairs were, ``unsure`` where one was), ``decided_by``, ``kind`` (of its pairs), ``why``, ``against``. Offered ones first, then the most
        probable.
    """
    inside = open_pairs(pairs[pairs["cluster"] != ""])
    groups = [(str(name), group) for name, group in inside.groupby("cluster", sort=True)]
    ids = [sorted({*group["left"], *group["right"]}) for _, group in groups]
    choices = choose_canonicals(connection, schema, ids, entity)
    rows = []
    for (name, group), members, choice in zip(groups, ids, choices, strict=True):
        sure = group[group["offered"] | (group["decision"] == "same")]
        words = set(group["decision"])
        # To merge them is to say of any two that they are one; a chain of likenesses does not say that.
        all_sure = {*combinations(members, 2)} <= {*zip(sure["left"], sure["right"], strict=True)}
        decision = "unsure" if "unsure" in words else "same" if words == {"same"} else ""
        by, kinds = ", ".join(sorted({*group["decided_by"]} - {""})), ", ".join(sorted({*group["kind"]}))
        told = (_some_of(group[side].tolist()) for side in ("why", "against"))
        facts = group["probability"].min(), all_sure, decision, by, kinds
        rows.append((name, len(members), members, *choice, *facts, *told))
    clusters = pd.DataFrame(rows, columns=CLUSTER_COLUMNS)
    clusters = clusters.astype({"probability": "float64", "offered": "bool"})
    order = ["offered", "probability", "cluster"]
    return clusters.sort_values(order, ascending=[False, False, True], kind="stable", ignore_index=True)


def _some_of(words: Sequence[str]) -> str:
    several = list(filter(None, dict.fromkeys(words)))
    more = f" | and {len(several) - _TOLD} more" if len(several) > _TOLD else ""
    return " | ".join(several[:_TOLD]) + more


def called_same(
    connection: Connection, schema: Schema, entity: str, decisions: Mapping[Pair, Decision]
) -> pd.DataFrame:
    """Gather records that were called the same, by nothing but these words.

    However alike records are, one that nobody said anything of is in none of these clusters. Records that were
    called the same, some of them beside a third, are one; where somebody was unsure of two of them none are.

    Parameters
    ----------
    decisions : mapping
        The decision that holds for each pair of the entity.

    Returns
    -------
    pandas.DataFrame
        As of `duplicate_clusters`. ``attrs["said"]`` lists what contradicts
        itself, and is therefore left out.
    """
    schema.require(CONCEPT_OF[entity])
    pairs = gather({}, decisions, those_there(connection, schema, CONCEPT_OF[entity], decisions))
    clusters = duplicate_clusters(connection, schema, pairs, entity).sort_values("cluster", ignore_index=True)
    doubts = [
        (place, f"{left} and {right} were both called the same as a third, but somebody was unsure of the two:"
                " look at them again.")
        for place, members in enumerate(clusters["members"])
        for left, right in pairs_called(decisions, "unsure")
        if {left, right} <= {*members}
    ]  # fmt: skip
    reviewed = clusters.drop(index=[place for place, _ in doubts]).reset_index(drop=True)
    reviewed.attrs["said"] = [*pairs.attrs["said"], *(said for _, said in doubts)]
    return reviewed


@dataclass(frozen=True)
class Found:
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
    said : tuple of str
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
    said: tuple[str, ...] = ()
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
        rows, wanted = (
            self.records.astype(object).fillna("").itertuples(index=False),
            words.casefold().split(),
        )
        known = (" ".join(map(str, row)).casefold() for row in rows)
        ids = self.records["id"][[all(word in text for word in wanted) for text in known]]
        return self.pairs["left"].isin(ids) | self.pairs["right"].isin(ids)

    def decided(self, decisions: Mapping[Pair, Decision]) -> Found:
        """Return the same pairs with what is said of them now; nothing is compared anew, nor gathered anew.

        Parameters
        ----------
        decisions : mapping
            The decision that holds for each pair of the entity.
        """
        ends = zip(self.pairs["left"], self.pairs["right"], strict=True)
        words = pd.DataFrame([_word(decisions.get(pair)) for pair in ends], columns=COLUMNS[-3:])
        offered = self.pairs["offered"].astype(bool) & (words["decision"] == "")
        return replace(self, pairs=self.pairs.assign(**words, offered=offered))
