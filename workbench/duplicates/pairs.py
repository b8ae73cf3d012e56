"""Pairs of records that may be one: what people decided about them, and the clusters they form (guide §4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal, Self, get_args

import pandas as pd
from pydantic import model_validator
from sqlalchemy import Connection, select

from workbench.duplicates.matching import cluster_pairs
from workbench.duplicates.records import choose_canonicals
from workbench.errors import UsageError, unknown
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.statements import Statement, signed

Word = Literal["same", "different", "unsure"]

PAIR = ["left", "right"]
_DECIDED = ["decision", "decided_by", "remark"]
COLUMNS = ["kind", *PAIR, "probability", "offered", "why", "against", "cluster", *_DECIDED]
CLUSTER_COLUMNS = [
    *("cluster", "size", "members", "canonical", "associations", "by"),
    *("probability", "offered", "decision", "decided_by", "kind", "why", "against"),
]

LARGEST_GROUP = 12
"""In a group of up to this many records all are paired; in a larger one each is paired with the first only."""

_LISTED = 3  # reasons of a cluster


class Decision(Statement):
    """A review decision: what one person said about two records.

    Attributes
    ----------
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    left, right : str
        Their ids, the smaller one first.
    decision : {"same", "different", "unsure"}
        ``unsure`` also revokes an earlier decision.
    remark : str
        Why, without personal data.
    """

    noun = "review decisions"
    stem = "decisions"

    entity: str
    left: str
    right: str
    decision: Word
    remark: str

    @model_validator(mode="after")
    def _is_of_two(self) -> Self:
        if self.entity not in ENTITIES or not self.left < self.right:
            raise ValueError("not about two records of one kind")
        return self


def decide(entity: str, left: str, right: str, decision: str, *, by: str, remark: str = "") -> Decision:
    """Return a decision made now.

    Raises
    ------
    UsageError
        For an unknown word, a record paired with itself, no name, or a remark that is too long or contains an address.
    """
    if decision not in get_args(Word):
        raise unknown("decision", decision, get_args(Word))
    if left == right:
        raise UsageError(f"{left} is one record.", "Name two records.")
    by, at, remark = signed(by, remark)
    left, right = sorted((left, right))
    return Decision(entity=entity, left=left, right=right, decision=decision, by=by, at=at, remark=remark)


def decisions_frame(decisions: Sequence[Decision]) -> pd.DataFrame:
    """List decisions, the latest last: a column for each attribute, and ``holds`` (there is no later one on the pair)."""
    columns = ["entity", *PAIR, "decision", "by", "at", "remark"]
    frame = pd.DataFrame([vars(decision) for decision in decisions], columns=columns)
    return frame.assign(holds=~frame.duplicated(["entity", *PAIR], keep="last"))


def pairs_in_groups(rows: pd.DataFrame, by: Sequence[str], what: str = "") -> pd.DataFrame:
    """Pair the keys of rows that agree in some columns; the number of pairs grows linearly with the size of a group.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``key``, and the columns; a row that lacks a value is in no group.
    what : str
        What a large group is, for the note that not all of its pairs are listed.

    Returns
    -------
    pandas.DataFrame
        ``left``, ``right`` (left < right) and the columns. ``attrs["notes"]`` names the large groups.
    """
    rows = rows[[*by, "key"]].dropna().drop_duplicates().sort_values("key")
    groups = rows.groupby([*by])["key"]
    sizes, first = groups.transform("size"), groups.transform("first")
    lefts = rows[(sizes <= LARGEST_GROUP) | (rows["key"] == first)].rename(columns={"key": "left"})
    pairs = lefts.merge(rows.rename(columns={"key": "right"}), on=[*by])
    pairs = pairs[pairs["left"] < pairs["right"]].reset_index(drop=True)[[*PAIR, *by]]
    large = sizes[(sizes > LARGEST_GROUP) & (rows["key"] == first)]
    pairs.attrs["notes"] = [f"{size:,} {what}: each is paired with the first of them only." for size in large]
    return pairs


def list_pairs(
    connection: Connection, schema: Schema, entity: str, candidates: pd.DataFrame, decisions: pd.DataFrame
) -> pd.DataFrame:
    """List candidate pairs, and pairs called the same, with their decisions and clusters.

    Records called different are never joined or offered; records called the same are always joined; a pair that
    somebody was unsure about is not offered.

    Parameters
    ----------
    candidates : pandas.DataFrame
        ``left``, ``right``, ``kind`` (what brought the two together), ``why``, ``against`` (in words, without personal
        data), ``joins`` (whether they are counted as one), ``offered`` (sure enough to be merged without review), and
        optionally ``probability``. Of a pair listed twice the first row counts.
    decisions : pandas.DataFrame
        Those that hold for the entity: see `decisions_frame`.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, the most probable first: ``probability`` is NaN where unknown, ``cluster`` is the smallest id in it
        (empty for a pair in no cluster), ``decision`` is empty where there is none. ``attrs["notes"]`` lists decisions
        that contradict each other.
    """
    decided = _decided(decisions)
    key = schema.entity(entity).c.id
    called = decided[decided["decision"] == "same"]
    existing = connection.scalars(
        select(as_text(key)).where(is_one_of(key, {*called["left"], *called["right"]}))
    ).all()
    pairs = candidates.drop_duplicates(PAIR).merge(decided, "outer", on=PAIR)
    exist = pairs["left"].isin(existing) & pairs["right"].isin(existing)
    pairs = pairs[pairs["kind"].notna() | (exist & (pairs["decision"] == "same"))]
    same = pairs["decision"] == "same"
    defaults = {"kind": "decided", "why": "called the same", **dict.fromkeys(["against", *_DECIDED], "")}
    pairs = pairs.assign(**{name: pairs[name].fillna(value) for name, value in defaults.items()})
    pairs["probability"] = pairs["probability"].astype("float64") if "probability" in pairs else float("nan")
    links = pairs[PAIR].assign(probability=pairs["probability"].fillna(1).mask(same, 2))
    apart = decided[decided["decision"] == "different"][PAIR]
    clusters = cluster_pairs(links[pairs["joins"].eq(True) | same], apart.itertuples(index=False, name=None))
    cluster_of = clusters.set_index("member")["cluster"]
    left, right = pairs["left"].map(cluster_of), pairs["right"].map(cluster_of)
    pairs["cluster"] = left.where(left == right, "")
    pairs["offered"] = pairs["offered"].eq(True) & (pairs["decision"] == "")
    torn = pairs[same & (pairs["cluster"] == "")].sort_values(PAIR)
    order = ["probability", *PAIR]
    pairs = pairs[COLUMNS].sort_values(order, ascending=[False, True, True], kind="stable", ignore_index=True)
    pairs.attrs["notes"] = [
        f"{left} and {right} were called the same, and records that belong to them different: review these again."
        for left, right in zip(torn["left"], torn["right"], strict=True)
    ]
    return pairs


def _decided(decisions: pd.DataFrame) -> pd.DataFrame:
    return decisions.rename(columns={"by": "decided_by"})[[*PAIR, *_DECIDED]]


def list_clusters(connection: Connection, schema: Schema, pairs: pd.DataFrame, entity: str) -> pd.DataFrame:
    """List the clusters of pairs, each with the record that the guide's rule would keep.

    Returns
    -------
    pandas.DataFrame
        `CLUSTER_COLUMNS`, the offered ones first, then the most probable: ``members`` (ids), ``canonical`` and ``by``
        (what decided), ``associations`` (id to count), ``probability`` (the lowest of its pairs), ``offered`` (every two
        of its members are sure enough, or were called the same), ``decision`` (``same`` where all pairs were,
        ``unsure`` where one was), ``decided_by``, ``kind``, ``why``, ``against``.
    """
    inside = pairs[(pairs["cluster"] != "") & (pairs["decision"] != "different")]
    groups = [*inside.groupby("cluster", sort=True)]
    ids = [sorted({*group["left"], *group["right"]}) for _, group in groups]
    rows, choices = [], choose_canonicals(connection, schema, ids, entity)
    for (name, group), members, choice in zip(groups, ids, choices, strict=True):
        sure = group[group["offered"] | (group["decision"] == "same")]
        all_sure = {*combinations(members, 2)} <= {*zip(sure["left"], sure["right"], strict=True)}
        words = {*group["decision"]}
        decision = "unsure" if "unsure" in words else "same" if words == {"same"} else ""
        by, kinds = (", ".join(sorted({*group[column]} - {""})) for column in ("decided_by", "kind"))
        reasons = []
        for column in ("why", "against"):
            several = [*filter(None, group[column].unique())]
            more = [f"and {len(several) - _LISTED} more"] if len(several) > _LISTED else []
            reasons.append(" | ".join(several[:_LISTED] + more))
        facts = group["probability"].min(), all_sure, decision, by, kinds
        rows.append((name, len(members), members, *choice, *facts, *reasons))
    clusters = pd.DataFrame(rows, columns=CLUSTER_COLUMNS).astype(
        {"probability": "float64", "offered": "bool"}
    )
    order = ["offered", "probability", "cluster"]
    return clusters.sort_values(order, ascending=[False, False, True], kind="stable", ignore_index=True)


def list_called_same(
    connection: Connection, schema: Schema, entity: str, decisions: pd.DataFrame
) -> pd.DataFrame:
    """List the clusters of records that people called the same, however alike other records are.

    Returns
    -------
    pandas.DataFrame
        See `list_clusters`. ``attrs["notes"]`` lists what is left out because decisions contradict each other.
    """
    schema.require(CONCEPT_OF[entity])
    candidates = pd.DataFrame(columns=[*PAIR, "kind", "why", "against", "joins", "offered"])
    pairs = list_pairs(connection, schema, entity, candidates, decisions)
    clusters = list_clusters(connection, schema, pairs, entity).sort_values("cluster", ignore_index=True)
    cluster_of = clusters.explode("members").set_index("members")["cluster"]
    unsure = decisions[decisions["decision"] == "unsure"]
    unsure = unsure[unsure["left"].map(cluster_of) == unsure["right"].map(cluster_of)]
    certain = clusters[~clusters["cluster"].isin(unsure["left"].map(cluster_of))].reset_index(drop=True)
    certain.attrs["notes"] = pairs.attrs["notes"] + [
        f"{left} and {right} were both called the same as a third record, but somebody was unsure of these two: review them again."
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
        Every pair, also those called different: see `list_pairs`. Of registrations also ``event`` and ``member`` (of
        the left one), ``event_cluster`` and ``member_cluster`` (what to merge first).
    clusters : pandas.DataFrame
        See `list_clusters`.
    records : pandas.DataFrame
        The records concerned: see `workbench.duplicates.records.describe_records`.
    notes : tuple of str
        What was left out, and decisions that contradict each other.
    uncompared : tuple of str
        The notes that mean that there may be further pairs.
    not_run : str
        Why nothing could be compared; else empty.
    chances : pandas.DataFrame
        Of members, the comparisons: see `workbench.duplicates.matching.match_members`.
    """

    entity: str
    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))
    clusters: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CLUSTER_COLUMNS))
    records: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["id"]))
    notes: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()
    not_run: str = ""
    chances: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PAIR))

    @property
    def open(self) -> pd.DataFrame:
        """The pairs that need attention: all but those called different."""
        return self.pairs[self.pairs["decision"] != "different"]

    @property
    def unclustered(self) -> pd.DataFrame:
        """The open pairs in no cluster, such as two people with one family address."""
        return self.open[self.open["cluster"] == ""]

    @property
    def sure(self) -> pd.DataFrame:
        """The clusters that can be merged without review."""
        return self.clusters[self.clusters["offered"].astype(bool)]

    @property
    def clean(self) -> bool:
        """Whether nothing was found, and everything was compared."""
        return self.open.empty and not self.uncompared and not self.not_run

    def chance(self, left: str, right: str) -> pd.Series[Any] | None:
        """Return the comparison of a pair; None where it was not compared, or is too improbable."""
        rows = self.chances[(self.chances["left"] == left) & (self.chances["right"] == right)]
        return rows.iloc[0] if len(rows) else None

    def decided(self, decisions: pd.DataFrame) -> Matches:
        """Return the same pairs with other decisions; neither pairs nor clusters are computed again."""
        pairs = self.pairs.drop(columns=_DECIDED).merge(_decided(decisions), "left", on=PAIR)
        pairs = pairs.assign(**{name: pairs[name].fillna("") for name in _DECIDED})
        offered = pairs["offered"].astype(bool) & (pairs["decision"] == "")
        return replace(self, pairs=pairs.assign(offered=offered)[self.pairs.columns])
