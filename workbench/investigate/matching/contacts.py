"""E-mail addresses, phone numbers, days of joining and generations of two members beside each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA
from rapidfuzz.process import cpdist

from workbench.investigate.matching.frequencies import MONTH, Floats, Frequencies
from workbench.investigate.matching.model import Model
from workbench.investigate.matching.names import Compared
from workbench.investigate.matching.people import MISSING, NO_DAY, Ints, Longs, People

UNKNOWN, SAME, RESPELLED, SIMILAR, DIFFERENT = range(5)
"""How two addresses, numbers, days compare; the first for one that is missing."""

_FAMILY = 3  # up to so many names behind one address or number are a family, more an office
_SHORTEST_LOCAL = 5


def compare_emails(people: People, seen: Frequencies, model: Model, left: Longs, right: Longs) -> Compared:
    """Compare addresses: the same mailbox, a similar address, or another.

    What an address says is counted once: where it is made of nothing but its owner's name, a similar one is
    hardly evidence beyond the name.
    """
    weights = model.email
    strangers = max(len(people), 2)
    level = np.full(len(left), DIFFERENT, dtype=np.int8)
    same = people.mailbox[left] == people.mailbox[right]
    level[same & (people.plain[left] == people.plain[right])] = SAME
    level[same & (people.plain[left] != people.plain[right])] = RESPELLED
    level[(people.local[left] == MISSING) | (people.local[right] == MISSING)] = UNKNOWN
    open_ = np.flatnonzero(level == DIFFERENT)
    level[open_[_similar(people, left[open_], right[open_])]] = SIMILAR
    factor, housemates = np.ones(len(left)), np.ones(len(left))
    shared = np.maximum(seen.mailbox_names[left] - _FAMILY, 0)
    chance = np.minimum((weights.stranger_same + shared) / strangers, 0.5)
    here = (level == SAME) | (level == RESPELLED)
    factor[here] = (weights.same / chance)[here]
    housemates[here] = (weights.household_same / chance)[here]
    alike = people.local[left] == people.local[right]
    popular = np.where(alike, np.maximum(seen.local_names[left] - _FAMILY, 0), 0)
    own = np.minimum(np.minimum(people.own[left], people.own[right]), 6)
    chance = np.maximum(
        np.minimum((weights.stranger_similar + popular) / strangers, 0.5),
        weights.namesake_similar * 10.0 ** -own.astype(np.float64),
    )
    here = level == SIMILAR
    factor[here] = (weights.similar / chance)[here]
    housemates[here] = (1 + weights.household_similar / chance)[here]
    here = level == DIFFERENT
    factor[here] = weights.different
    housemates[here] = weights.household_different
    return Compared(np.log2(factor), housemates, level)


def _similar(people: People, left: Longs, right: Longs) -> npt.NDArray[np.bool_]:
    """Whether two addresses have one local part, or differ by a typing error that changes no digit."""
    ones, others = people.local[left], people.local[right]
    similar: npt.NDArray[np.bool_] = ones == others
    open_ = np.flatnonzero(~similar)
    one = [people.locals[code] for code in ones[open_].tolist()]
    other = [people.locals[code] for code in others[open_].tolist()]
    if not one:
        return similar
    edits = cpdist(one, other, scorer=OSA.distance, score_cutoff=2, workers=1).tolist()
    for at, first, second, distance in zip(open_.tolist(), one, other, edits, strict=True):
        shortest = min(len(first), len(second))
        near = distance == 1 and shortest >= _SHORTEST_LOCAL
        near = near or (distance == 2 and shortest >= 2 * _SHORTEST_LOCAL)
        similar[at] = near and _digits(first) == _digits(second)
    return similar


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


def compare_phones(people: People, seen: Frequencies, model: Model, left: Longs, right: Longs) -> Compared:
    """Compare phone numbers: the same, one digit off, or another."""
    weights = model.phone
    ones, others = people.phone[left], people.phone[right]
    level = np.full(len(left), DIFFERENT, dtype=np.int8)
    level[ones == others] = SAME
    level[(ones == MISSING) | (others == MISSING)] = UNKNOWN
    open_ = np.flatnonzero(level == DIFFERENT)
    one = [people.phones[code] for code in ones[open_].tolist()]
    other = [people.phones[code] for code in others[open_].tolist()]
    if one:
        edits = cpdist(one, other, scorer=OSA.distance, score_cutoff=1, workers=1)
        level[open_[edits == 1]] = SIMILAR
        ends = [_ends_alike(*numbers) for numbers in zip(one, other, strict=True)]
        level[open_[np.array(ends, dtype=np.bool_)]] = RESPELLED
    factor, housemates = np.ones(len(left)), np.ones(len(left))
    shared = np.maximum(np.maximum(seen.phone_names[left], seen.phone_names[right]) - _FAMILY - 1, 0)
    chance = np.minimum((weights.stranger_same + shared) / max(len(people), 2), 0.5)
    here = (level == SAME) | (level == RESPELLED)
    factor[here] = (weights.same / chance)[here]
    housemates[here] = (weights.household_same / chance)[here]
    factor[level == SIMILAR] = weights.typo / weights.stranger_typo
    here = level == DIFFERENT
    factor[here] = weights.different
    housemates[here] = weights.household_different
    return Compared(np.log2(factor), housemates, level)


def _ends_alike(one: str, other: str) -> bool:
    """Whether one number is the other without its country or area code."""
    short, long = sorted((one, other), key=len)
    return len(short) >= 7 and len(short) < len(long) and long.endswith(short)


def compare_days(people: People, seen: Frequencies, model: Model, left: Longs, right: Longs) -> Compared:
    """Compare the days of joining: the same, within a month or with day and month exchanged, or another."""
    weights = model.joined
    ones, others = people.joined[left], people.joined[right]
    level = np.full(len(left), DIFFERENT, dtype=np.int8)
    near = (np.abs(ones.astype(np.int64) - others) <= MONTH) | _exchanged(ones, others)
    level[near] = SIMILAR
    level[ones == others] = SAME
    level[(ones == NO_DAY) | (others == NO_DAY)] = UNKNOWN
    known = max(sum(seen.day_counts.values()), 1)
    counts = np.array([seen.day_counts.get(day, 0) for day in ones.tolist()], dtype=np.float64)
    chance = np.maximum((counts - 2) / known, weights.least)
    factor, housemates = np.ones(len(left)), np.ones(len(left))
    here = level == SAME
    factor[here] = (weights.same / chance)[here]
    housemates[here] = (weights.household_same / chance + 1 - weights.household_same)[here]
    often = max(seen.near_days, weights.least)
    factor[level == SIMILAR] = max(weights.near / often, weights.different)
    here = level == DIFFERENT
    factor[here] = weights.different / max(1 - often, weights.different)
    housemates[here] = 1 - weights.household_same
    return Compared(np.log2(factor), housemates, level)


def _exchanged(ones: Ints, others: Ints) -> npt.NDArray[np.bool_]:
    """Whether two days are one with day and month in each other's place: 3 April and 4 March."""
    found = []
    for days in (ones, others):
        dates = days.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        years = dates.astype("datetime64[Y]")
        found.append((years, (months - years).astype(int) + 1, (dates - months).astype(int) + 1))
    (year, month, day), (year2, month2, day2) = found
    return np.asarray((year == year2) & (month == day2) & (day == month2))


def compare_generations(people: People, model: Model, left: Longs, right: Longs) -> Compared:
    """Compare the generations that names tell of: only two different ones say anything."""
    weights = model.suffix
    ones, others = people.generation[left], people.generation[right]
    clash = (ones != others) & (ones != 0) & (others != 0)
    half = (ones != others) & ~clash
    level = np.where(clash, DIFFERENT, np.where(half, SIMILAR, UNKNOWN)).astype(np.int8)
    factor = np.where(clash, weights.clash / weights.stranger_clash, 1.0)
    housemates: Floats = np.where(clash, weights.household_clash / weights.stranger_clash, 1.0)
    return Compared(np.log2(factor), housemates, level)
