"""E-mail addresses, phone numbers, days of joining and generations of two members beside each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA
from rapidfuzz.process import cpdist

from workbench.duplicates.matching.frequencies import MONTH, Floats, Frequencies
from workbench.duplicates.matching.model import Model
from workbench.duplicates.matching.names import Compared, Levels
from workbench.duplicates.matching.people import MISSING, NO_DAY, Ints, Longs, People, says_own

UNKNOWN, SAME, RESPELLED, DOTTED, SIMILAR, TELLING, OWN, DIFFERENT = range(8)
"""How two addresses, numbers, days compare; the first for one that is missing."""

_FAMILY = 3  # up to so many names behind one address or number are a family, more an office
_SHORTEST_LOCAL = 5
_MOST_OWN = 6


def compare_emails(
    people: People, seen: Frequencies, model: Model, left: Longs, right: Longs, aliases: npt.NDArray[np.bool_]
) -> Compared:
    """Compare addresses: the same mailbox, a similar address, or another.

    What an address says is counted once: where it is made of nothing but its owner's name, a similar one is
    hardly evidence beyond the name.

    Parameters
    ----------
    aliases : array of bool
        Pairs whose first names are a nickname or misspelling of each other, so that it is worth a look
        whether the address of one tells the name of the other.
    """
    weights = model.email
    members = max(len(people), 2)
    level = _email_levels(people, left, right, aliases)
    own = np.minimum(np.minimum(people.own[left], people.own[right]), _MOST_OWN)
    rarely = 10.0 ** -own.astype(np.float64)
    factor, housemates = np.ones(len(left)), np.ones(len(left))

    def chance(
        share: float, popular: npt.NDArray[np.int32], least: npt.NDArray[np.float64] | float
    ) -> Floats:
        strange = np.minimum((share + np.maximum(popular - _FAMILY, 0)) / members, 0.5)
        return np.maximum(strange, least)

    by_chance = chance(
        weights.stranger_same,
        seen.mailbox_names[left],
        np.where(level == DOTTED, weights.namesake_dots * rarely, 0.0),
    )
    here = np.isin(level, (SAME, RESPELLED, DOTTED))
    factor[here] = (weights.same / by_chance)[here]
    shared = np.where(level == DOTTED, weights.household_dots, weights.household_same)
    housemates[here] = (shared / by_chance)[here]
    here &= (people.called[left] != people.called[right]) & (level == RESPELLED)
    factor[here] *= weights.called
    housemates[here] *= weights.household_called
    alike = people.local[left] == people.local[right]
    # Where their names do not explain how two addresses differ, one is mistyped.
    mistyped = np.where(people.own[left] == people.own[right], 1.0, weights.mistyped)
    by_chance = chance(
        weights.stranger_similar,
        np.where(alike, seen.local_names[left], 0),
        weights.namesake_similar * rarely * np.where(alike, 1.0, weights.same_provider * mistyped),
    )
    here = level == SIMILAR
    factor[here] = (weights.similar / by_chance)[here]
    housemates[here] = (1 + weights.household_similar / by_chance)[here]
    here = np.isin(level, (DIFFERENT, TELLING, OWN))
    factor[here] = weights.different
    housemates[here] = weights.household_different
    factor[level == TELLING] *= weights.tells_name / weights.stranger_tells_name
    factor[level == OWN] *= min(1.0, weights.own_names / max(seen.named_addresses**2, weights.own_names))
    return Compared(np.log2(factor), housemates, level)


def _email_levels(people: People, left: Longs, right: Longs, aliases: npt.NDArray[np.bool_]) -> Levels:
    level = np.full(len(left), DIFFERENT, dtype=np.int8)
    level[people.mailbox[left] == people.mailbox[right]] = DOTTED
    level[(level == DOTTED) & (people.dotted[left] == people.dotted[right])] = RESPELLED
    level[(level == RESPELLED) & (people.plain[left] == people.plain[right])] = SAME
    level[(people.local[left] == MISSING) | (people.local[right] == MISSING)] = UNKNOWN
    open_ = np.flatnonzero(level == DIFFERENT)
    level[open_[_similar(people, left[open_], right[open_])]] = SIMILAR
    for at in np.flatnonzero((level == DIFFERENT) & aliases).tolist():
        if _tells(people, int(left[at]), int(right[at])) or _tells(people, int(right[at]), int(left[at])):
            level[at] = TELLING
        elif all(says_own(people, int(each[at])) for each in (left, right)):
            level[at] = OWN
    return level


def _tells(people: People, one: int, other: int) -> bool:
    """Whether the address of one says the first name of the other, and not because theirs does."""
    name, own, family = (
        people.names[code].replace(" ", "")
        for code in (people.given[other], people.given[one], people.family[one])
    )
    # The address of Gracie Lancaster does not say graciela, though gracielancaster begins like that.
    said = people.locals[people.local[one]].replace(own + family, " ", 1).replace(family + own, " ", 1)
    return len(name) > 2 and name not in own and name in said


def _similar(people: People, left: Longs, right: Longs) -> npt.NDArray[np.bool_]:
    """Whether two addresses have one local part, or one provider and a typing error that changes no digit."""
    ones, others = people.local[left], people.local[right]
    similar: npt.NDArray[np.bool_] = ones == others
    digits = people.local_digits
    open_ = np.flatnonzero(~similar & (digits[ones] == digits[others]))
    one = [people.locals[code] for code in ones[open_].tolist()]
    other = [people.locals[code] for code in others[open_].tolist()]
    if not one:
        return similar
    edits = cpdist(one, other, scorer=OSA.distance, score_cutoff=2, workers=1)
    for at in np.flatnonzero(edits <= 2).tolist():
        first, second, place = one[at], other[at], int(open_[at])
        domains = (people.domains[people.domain[each[place]]] for each in (left, right))
        shortest = min(len(first), len(second))
        near = shortest >= _SHORTEST_LOCAL * int(edits[at])
        similar[place] = near and OSA.distance(*domains, score_cutoff=2) <= 2
    return similar


def compare_phones(people: People, seen: Frequencies, model: Model, left: Longs, right: Longs) -> Compared:
    """Compare phone numbers: the same, one digit off, or another."""
    weights = model.phone
    ones, others = people.phone[left], people.phone[right]
    level = np.full(len(left), DIFFERENT, dtype=np.int8)
    level[ones == others] = SAME
    level[(ones == MISSING) | (others == MISSING)] = UNKNOWN
    lengths, starts, ends = people.phone_ends
    # One wrong digit leaves the beginning or the end as it is.
    worth = (starts[ones] == starts[others]) | (ends[ones] == ends[others])
    open_ = np.flatnonzero((level == DIFFERENT) & worth)
    one = [people.phones[code] for code in ones[open_].tolist()]
    other = [people.phones[code] for code in others[open_].tolist()]
    if one:
        edits = cpdist(one, other, scorer=OSA.distance, score_cutoff=1, workers=1)
        level[open_[edits == 1]] = SIMILAR
    for at in np.flatnonzero((level == DIFFERENT) & worth & (lengths[ones] != lengths[others])).tolist():
        if _ends_alike(people.phones[ones[at]], people.phones[others[at]]):
            level[at] = RESPELLED
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


def compare_generations(
    people: People, model: Model, left: Longs, right: Longs, namesakes: npt.NDArray[np.bool_]
) -> Compared:
    """Compare the generations that names tell of: two different ones, or one that only one record tells.

    Parameters
    ----------
    namesakes : array of bool
        Pairs with one first name: as housemates they are father and son, and rarely without a mark.
    """
    weights = model.suffix
    ones, others = people.generation[left], people.generation[right]
    clash = (ones != others) & (ones != 0) & (others != 0)
    half = (ones != others) & ~clash
    level = np.where(clash, DIFFERENT, np.where(half, SIMILAR, UNKNOWN)).astype(np.int8)
    factor, housemates = np.ones(len(left)), np.ones(len(left))
    factor[clash] = weights.clash / weights.stranger_clash
    factor[half] = weights.half / weights.stranger_half
    housemates[clash & namesakes] = weights.namesake_clash / weights.stranger_clash
    housemates[half & namesakes] = weights.namesake_half / weights.stranger_half
    return Compared(np.log2(factor), housemates, level)
