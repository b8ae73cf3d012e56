"""First names and surnames of two members beside each other, also in each other's place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA, JaroWinkler
from rapidfuzz.process import cpdist

from workbench.duplicates.matching.frequencies import Floats, Frequencies, NameShares
from workbench.duplicates.matching.model import Family, Given, Model
from workbench.duplicates.matching.people import MISSING, Ints, Longs, People
from workbench.duplicates.matching.pet_names import kinship

Levels = npt.NDArray[np.int8]

UNKNOWN, SAME, PET_FORM, PART, INITIAL, TYPO, NEAR, DIFFERENT = range(8)
"""How two names compare; the first for a name that is missing."""

_MOST_BITS = 13.0  # no single name is rarer evidence than one in eight thousand
_LEAST_BITS = -9.0
_NEAR_ENOUGH = 0.92
_CUT_SHORT = 0.05  # of the forms that a name takes, how often simply its beginning


@dataclass(frozen=True)
class Compared:
    """One comparison of many pairs.

    Attributes
    ----------
    bits : array of float
        Evidence for one person against strangers, log2 of a Bayes factor.
    housemates : array of float
        How much more often housemates look like this than strangers do.
    level : array of int8
        How they compare; what the number means is the comparison's.
    """

    bits: Floats
    housemates: Floats
    level: Levels


@dataclass(frozen=True)
class ComparedNames:
    """Both names, in the places that agree best.

    Attributes
    ----------
    order : array of float
        Bits that it costs to take the names for exchanged; 0 where they are taken as they stand.
    """

    given: Compared
    family: Compared
    order: Floats
    exchanged: npt.NDArray[np.bool_]


def compare_names(
    people: People, seen: Frequencies, model: Model, left: Longs, right: Longs
) -> ComparedNames:
    """Compare the names of pairs of members, as they stand and exchanged; the likelier of the two counts."""
    given = (people.given[left], people.given[right])
    family = (people.family[left], people.family[right])
    straight = (
        _compare_given(people, seen, model, *given),
        _compare_family(people, seen, model, *family),
    )
    order, exchanged = np.zeros(len(left)), np.zeros(len(left), dtype=np.bool_)
    # Names that are alike may be in each other's place as well: Marion Martin and Martin Marion.
    # Of two names in each other's place one at least begins as its like does.
    begins = np.array([ord(name[0]) for name in people.names] or [0])
    suspect = np.flatnonzero(
        ((straight[0].level != SAME) | (straight[1].level != SAME))
        & (np.stack([*given, *family]).min(axis=0) != MISSING)
        & ((begins[given[0]] == begins[family[1]]) | (begins[family[0]] == begins[given[1]]))
    )
    if len(suspect):
        crossed, cost = _compare_exchanged(people, seen, model, [each[suspect] for each in (*given, *family)])
        gain = (
            crossed[0].bits + crossed[1].bits + cost - straight[0].bits[suspect] - straight[1].bits[suspect]
        )
        better = gain > 0
        chosen = suspect[better]
        order[chosen], exchanged[chosen] = cost[better], True
        for kept, other in zip(straight, crossed, strict=True):
            kept.bits[chosen] = other.bits[better]
            kept.housemates[chosen] = other.housemates[better]
            kept.level[chosen] = other.level[better]
    return ComparedNames(*straight, order, exchanged)


def _compare_exchanged(
    people: People, seen: Frequencies, model: Model, codes: list[Ints]
) -> tuple[tuple[Compared, Compared], Floats]:
    """Compare with one side's names exchanged: the side whose names are the rarer ones as they stand."""
    given_left, given_right, family_left, family_right = codes
    as_left = seen.given.single[given_left] * seen.family.single[family_left]
    as_right = seen.given.single[given_right] * seen.family.single[family_right]
    ordered = as_left >= as_right
    given = np.where(ordered, given_left, given_right), np.where(ordered, family_right, family_left)
    family = np.where(ordered, family_left, family_right), np.where(ordered, given_right, given_left)
    likely, rare = np.maximum(as_left, as_right), np.minimum(as_left, as_right)
    # Thomas James and James Thomas may both be right: then exchanging explains little.
    cost = np.log2(model.exchanged * likely / (model.exchanged * likely + rare))
    compared = _compare_given(people, seen, model, *given), _compare_family(people, seen, model, *family)
    return compared, cost


def _compare_given(people: People, seen: Frequencies, model: Model, one: Ints, other: Ints) -> Compared:
    pairs, back = _distinct(one, other, len(people.names))
    level, likeness = _levels(people, pairs, pet_forms=True)
    return _pick(_weigh(level, likeness, pairs, seen.given, model.given, _letters(people, seen, pairs)), back)


def _compare_family(people: People, seen: Frequencies, model: Model, one: Ints, other: Ints) -> Compared:
    pairs, back = _distinct(one, other, len(people.names))
    level, likeness = _levels(people, pairs, pet_forms=False)
    return _pick(_weigh(level, likeness, pairs, seen.family, model.family, None), back)


def _distinct(one: Ints, other: Ints, size: int) -> tuple[tuple[Ints, Ints], npt.NDArray[np.intp]]:
    """Return the distinct pairs of codes, smaller first, and where each pair went."""
    low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other).astype(np.int64)
    keys, back = np.unique((low + 1) * (size + 1) + high + 1, return_inverse=True)
    return (
        (keys // (size + 1) - 1).astype(np.int32),
        (keys % (size + 1) - 1).astype(np.int32),
    ), back


def _pick(compared: Compared, back: npt.NDArray[np.intp]) -> Compared:
    return Compared(compared.bits[back], compared.housemates[back], compared.level[back])


def _levels(people: People, pairs: tuple[Ints, Ints], *, pet_forms: bool) -> tuple[Levels, Floats]:
    """Return how the names of each pair compare, and for pet forms how likely one is of the other."""
    one, other = pairs
    level = np.full(len(one), DIFFERENT, dtype=np.int8)
    likeness = np.zeros(len(one))
    level[(one == other)] = SAME
    level[(one == MISSING) | (other == MISSING)] = UNKNOWN
    open_ = np.flatnonzero(level == DIFFERENT)
    left = [people.names[code] for code in one[open_].tolist()]
    right = [people.names[code] for code in other[open_].tolist()]
    if not left:
        return level, likeness
    edits = cpdist(left, right, scorer=OSA.distance, score_cutoff=2, workers=1)
    alike = cpdist(left, right, scorer=JaroWinkler.similarity, score_cutoff=_NEAR_ENOUGH, workers=1)
    for at, name, second, distance, closeness in zip(
        open_.tolist(), left, right, edits.tolist(), alike.tolist(), strict=True
    ):
        level[at], likeness[at] = _level(name, second, distance, closeness, pet_forms)
    return level, likeness


def _level(one: str, other: str, edits: int, closeness: float, pet_forms: bool) -> tuple[int, float]:
    if pet_forms and (kin := kinship(one, other)):
        return PET_FORM, kin
    shorter = min(len(one), len(other))
    if pet_forms and shorter == 1 and one[0] == other[0]:
        return INITIAL, 0.0
    single = " " not in one and " " not in other
    if not single:
        if one.replace(" ", "") == other.replace(" ", ""):
            return SAME, 0.0
        words, others = set(one.split()), set(other.split())
        if len(words) != len(others) and (words < others or others < words):
            return PART, 0.0
    # Two single words of which one is cut short begin alike.
    if (
        pet_forms
        and (not single or one[:3] == other[:3])
        and (in_part := _kin_in_part(one.split(), other.split()))
    ):
        return in_part
    if edits == 1 and shorter > 1:
        return TYPO, 0.0
    if single and shorter > 3 and ((edits == 2 and shorter > 5) or closeness > 0):
        return NEAR, 0.0
    return DIFFERENT, 0.0


def _kin_in_part(words: list[str], others: list[str]) -> tuple[int, float] | None:
    """Compare first names of which one is cut short (Barb), or of several words (Bill and William Henry)."""
    short, long = sorted((words, others), key=lambda each: (len(each), len(each[0]), each))
    if len(short) == len(long) > 1:
        unlike = [pair for pair in zip(short, long, strict=True) if pair[0] != pair[1]]
        likeness = kinship(*unlike[0]) if len(unlike) == 1 else 0.0
        return (PET_FORM, likeness) if likeness else None
    if len(long) == 1 and len(short[0]) > 2 and len(long[0]) > len(short[0]) + 1:
        return (PET_FORM, _CUT_SHORT) if long[0].startswith(short[0]) else None
    return (PART, 0.0) if len(short) == 1 < len(long) and kinship(short[0], long[0]) else None


def _weigh(
    level: Levels,
    likeness: Floats,
    pairs: tuple[Ints, Ints],
    shares: NameShares,
    model: Given | Family,
    letters: Floats | None,
) -> Compared:
    """Return bits: how often one person's records look like this, over how often strangers' do."""
    one, other = pairs
    single = np.maximum(shares.single[one], shares.single[other])
    # Of the two, either may be the right one: a share of the pairs for each direction.
    either = 0.5 * (1 / shares.single[one] + 1 / shares.single[other])
    factor = np.ones(len(level))
    housemates = np.ones(len(level))
    is_same = level == SAME
    # What a rare name proves has a bound; of housemates with one name as well.
    both = np.maximum(np.maximum(shares.paired[one], shares.paired[other]), model.same / 2**_MOST_BITS)
    factor[is_same] = model.same / both[is_same]
    by_chance_too = 1 - model.household_same if isinstance(model, Family) else 0.0
    housemates[is_same] = model.household_same / both[is_same] + by_chance_too
    altered = [
        (PART, model.part, 1.0 / model.part / 8 / single),
        (TYPO, model.typo, either / model.typo_targets),
        (NEAR, model.near, either / model.near_targets),
    ]
    # Jon and Joan may be twins, Jhon is nobody's name.
    both_known = shares.known[one] & shares.known[other]
    if isinstance(model, Given):
        a_name = np.where(both_known, 1.0, model.typo_names)
        altered = [
            (known, share, by_chance / (1 if known == PART else a_name))
            for known, share, by_chance in altered
        ]
        altered.append((PET_FORM, model.nickname, likeness * either))
        if letters is not None:
            altered.append((INITIAL, model.initial, 100.0 / letters))
    for known, share, by_chance in altered:
        here = level == known
        # A stranger's name may be misspelt as well: never more than the same name would be worth.
        bounded = np.minimum(share * by_chance, 1 / single)
        factor[here] = bounded[here]
        if isinstance(model, Given):
            # Housemates seldom have one name: not by chance, not in another form, not misspelt.
            chance = np.where(both_known, 0.5 if known == PET_FORM else 1.0, 0.1)
            if known in (TYPO, NEAR):
                chance = bounded / (share * by_chance)
            twins = model.household_like / share * (both_known & (known != PET_FORM) | (known == PART))
            housemates[here] = (chance + (model.household_same + twins) * factor)[here]
        else:
            housemates[here] = 1 + 0.1 * factor[here]
    is_other = level == DIFFERENT
    factor[is_other] = model.different
    if isinstance(model, Family):
        housemates[is_other] = 1 - model.household_same
    return Compared(np.clip(np.log2(factor), _LEAST_BITS, _MOST_BITS), housemates, level)


def _letters(people: People, seen: Frequencies, pairs: tuple[Ints, Ints]) -> Floats:
    """Return how many first names begin as the pair's first one does."""
    firsts = np.array([seen.letters[name[0]] for name in people.names] or [1.0])
    return firsts[pairs[0]]
