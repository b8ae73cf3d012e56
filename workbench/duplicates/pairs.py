"""Pairs of records that may be one: listed once, with what people decided, and gathered into clusters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
from sqlalchemy import Connection, select

from workbench.duplicates.decisions import Decision, Pair, pairs_called
from workbench.investigate.matching import cluster_pairs
from workbench.murmurant.schema import Schema, as_text

COLUMNS = [
    *("kind", "left", "right", "probability", "offered", "why", "against", "cluster"),
    *("decision", "decided_by", "remark"),
]
LARGEST_GROUP = 12
"""Up to so many records of one group are listed each beside each; of more, each beside the first."""


@dataclass(frozen=True)
class Candidate:
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


def within(group: Sequence[str]) -> Iterator[Pair]:
    """Pair the records of a group, so that its size never counts squared."""
    ordered = sorted(set(group))
    if len(ordered) <= LARGEST_GROUP:
        yield from combinations(ordered, 2)
    else:
        yield from ((ordered[0], each) for each in ordered[1:])


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
    apart = pairs_called(decisions, "different")
    listed = {**{pair: Candidate("decided", why="called the same") for pair in same}, **candidates}
    links = [
        (*pair, 2.0 if pair in same else _strength(each))
        for pair, each in listed.items()
        if pair in same or each.joins
    ]
    clusters = cluster_pairs(pd.DataFrame(links, columns=["left", "right", "probability"]), apart)
    home = dict(zip(clusters["member"].tolist(), clusters["cluster"].tolist(), strict=True))
    rows = []
    for pair, each in listed.items():
        said = decisions.get(pair)
        word = said.decision if said else ""
        together = home.get(pair[0], "") if home.get(pair[0]) == home.get(pair[1]) else ""
        rows.append(
            (
                *(each.kind, *pair, each.probability, each.offered and not word, each.why, each.against),
                *(together, word, said.by if said else "", said.remark if said else ""),
            )
        )
    found = pd.DataFrame(rows, columns=COLUMNS).astype({"probability": "float64", "offered": "bool"})
    found = found.sort_values(
        ["probability", "left", "right"], ascending=[False, True, True], kind="stable", ignore_index=True
    )
    found.attrs["said"] = [
        f"{left} and {right} were called the same, and others that belong to them different: look at these again."
        for left, right in sorted(same)
        if home.get(left) != home.get(right) or left not in home
    ]
    return found


def open_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that somebody has to do something about: all but those called different."""
    return pairs[pairs["decision"] != "different"]


def those_there(
    connection: Connection, schema: Schema, concept: str, decisions: Mapping[Pair, Decision]
) -> list[str]:
    """Return which of the records that were decided about still exist."""
    wanted = sorted({each for pair in decisions for each in pair})
    if not wanted:
        return []
    key = as_text(schema.source(concept).c.id)
    return sorted(connection.scalars(select(key).where(key.in_(wanted))))


def _strength(each: Candidate) -> float:
    return each.probability if each.probability is not None else 1.0
