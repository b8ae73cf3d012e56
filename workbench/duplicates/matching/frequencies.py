"""How frequent names and days are, and how many people stand behind one address or number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from workbench.duplicates.matching.model import Model
from workbench.duplicates.matching.people import MISSING, NO_DAY, Ints, Longs, People, says_own
from workbench.normalise import normalise

Floats = npt.NDArray[np.float64]

MONTH = 31
"""Days that two dates of joining may lie apart and still be near."""

_BORNE_BY = 3
_UNLISTED = 3e-6
"""Share of a name that the shipped census lacks.

A seventh of the people have such a first name and a third such a surname, spread over some fifty thousand
first names and a hundred and fifty thousand surnames.
"""


def _census() -> Iterator[list[str]]:
    text = files("workbench.duplicates.matching").joinpath("census.tsv").read_text(encoding="utf-8")
    return (line.split("\t") for line in text.splitlines() if not line.startswith("#"))


@cache
def census(kind: str) -> dict[str, float]:
    """Return the share of people with each ``given`` or ``family`` name; see the head of ``census.tsv``."""
    return {normalise(name): int(share) / 1e6 for known, name, share, _ in _census() if known == kind}


@cache
def men() -> dict[str, float]:
    """Return the share of men among the bearers of each given name."""
    return {normalise(name): int(share) / 1000 for known, name, _, share in _census() if known == "given"}


@dataclass(frozen=True)
class NameShares:
    """How frequent each name of the vocabulary is, as a first name or as a surname.

    Attributes
    ----------
    single : array of float
        Share of a name of which one bearer is looked at: that one is not counted as evidence for others.
    paired : array of float
        The same where two bearers are looked at.
    known : array of bool
        Whether it is a name at all: in the census, or borne by three.
    """

    single: Floats
    paired: Floats
    known: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Frequencies:
    """What is counted once, before pairs are compared."""

    given: NameShares
    family: NameShares
    letters: dict[str, float]
    mailbox_names: Ints
    local_names: Ints
    phone_names: Ints
    day_counts: dict[int, int]
    near_days: float
    named_addresses: float


def count_frequencies(people: People, model: Model) -> Frequencies:
    """Count names, days, and the different names behind each mailbox, address and phone number."""
    given = np.bincount(people.given[people.given != MISSING], minlength=len(people.names))
    family = np.bincount(people.family[people.family != MISSING], minlength=len(people.names))
    known = census("given")
    prior = np.array([known.get(name, 0.0) for name in people.names])
    shares = _name_shares(given, prior, len(people), model.census_weight)
    letters: dict[str, float] = {}
    for name, share in zip(people.names, shares.single.tolist(), strict=True):
        letters[name[0]] = letters.get(name[0], 0.0) + share
    known = census("family")
    prior = np.array([known.get(name, 0.0) for name in people.names])
    days, counts = np.unique(people.joined[people.joined != NO_DAY], return_counts=True)
    return Frequencies(
        shares,
        _name_shares(family, prior, len(people), model.census_weight),
        letters,
        _names_behind(people, people.mailbox),
        _names_behind(people, people.local.astype(np.int64)),
        _names_behind(people, people.phone.astype(np.int64)),
        dict(zip(days.tolist(), counts.tolist(), strict=True)),
        _share_near(days.astype(np.int64), counts),
        sum(says_own(people, at) for at in range(len(people))) / max(len(people), 1),
    )


def _name_shares(counts: npt.NDArray[np.int64], prior: Floats, members: int, weight: float) -> NameShares:
    strange = (prior == 0) & (counts > 0)
    share_strange = float(counts[strange].sum()) / max(int(counts.sum()), 1)
    # A name unknown to the census is a misspelling where most names are known, and as frequent as any other
    # where hardly one is: in a club of another country.
    least = share_strange**2 / max(int(strange.sum()), 1)

    def without(own: int) -> Floats:
        others = np.maximum(counts - own, 0)
        blend = (others + weight * np.maximum(prior, _UNLISTED)) / (members + weight)
        return np.maximum(np.maximum(blend, least), others / max(members, 1))

    return NameShares(without(1), without(2), (prior > 0) | (counts >= _BORNE_BY))


def _names_behind(people: People, values: Longs) -> Ints:
    """Return for each member how many different names share their value; 0 where it is missing."""
    there = np.flatnonzero(values != MISSING)
    name = people.given.astype(np.int64) * (len(people.names) + 1) + people.family
    pairs = np.unique(np.stack([values[there], name[there]], axis=1), axis=0) if len(there) else None
    found = np.zeros(len(people), dtype=np.int32)
    if pairs is not None:
        distinct, behind = np.unique(pairs[:, 0], return_counts=True)
        found[there] = behind[np.searchsorted(distinct, values[there])]
    return found


def _share_near(days: Longs, counts: npt.NDArray[np.int64]) -> float:
    """Return the share of pairs who joined on different days within a month."""
    total = int(counts.sum())
    if total < 2:
        return 0.0
    sums = np.concatenate([[0], np.cumsum(counts)])
    first = np.searchsorted(days, days - MONTH, side="left")
    last = np.searchsorted(days, days + MONTH, side="right")
    near = int((counts * (sums[last] - sums[first] - counts)).sum())
    return near / (total * (total - 1))
