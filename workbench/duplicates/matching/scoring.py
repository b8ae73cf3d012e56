"""What a pair's comparisons add up to: bits of evidence, the probability, and what is worth telling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.duplicates.matching.contacts import (
    compare_days,
    compare_emails,
    compare_generations,
    compare_phones,
)
from workbench.duplicates.matching.frequencies import Floats, Frequencies
from workbench.duplicates.matching.model import Model
from workbench.duplicates.matching.names import (
    INITIAL,
    NEAR,
    PART,
    PET_FORM,
    SAME,
    TYPO,
    Levels,
    compare_names,
)
from workbench.duplicates.matching.people import Longs, People

COMPARISONS = ("prior", "given", "family", "order", "generation", "email", "phone", "joined", "household")
"""What has a weight, in the order of the columns."""


@dataclass(frozen=True)
class Scores:
    """Pairs with all that was found of them; arrays of one length.

    Attributes
    ----------
    bits : dict of str to array
        By comparison, see `COMPARISONS`; their sum is the log2 odds.
    levels : dict of str to array
        How the names, addresses, ... compare, for telling why.
    """

    left: Longs
    right: Longs
    bits: dict[str, Floats]
    levels: dict[str, Levels]
    exchanged: npt.NDArray[np.bool_]

    @property
    def odds(self) -> Floats:
        """Log2 of the odds that the two are one person."""
        total = np.zeros(len(self.left))
        for name in COMPARISONS:
            total = total + self.bits[name]
        return total

    def only(self, chosen: npt.NDArray[np.bool_]) -> Scores:
        """Return those of the pairs."""
        return Scores(
            self.left[chosen],
            self.right[chosen],
            {name: bits[chosen] for name, bits in self.bits.items()},
            {name: level[chosen] for name, level in self.levels.items()},
            self.exchanged[chosen],
        )


def score_pairs(people: People, seen: Frequencies, model: Model, left: Longs, right: Longs) -> Scores:
    """Compare pairs of members; each pair by itself, so that portions and their order do not matter.

    The odds of one person against two strangers are the product of what each comparison found. Those of two
    housemates against two strangers are reckoned beside it, and taken off as a weight of their own: what
    housemates share as well proves little.
    """
    names = compare_names(people, seen, model, left, right)
    namesakes = np.isin(names.given.level, (SAME, PET_FORM, INITIAL))
    aliases = np.isin(names.given.level, (PET_FORM, PART, INITIAL, TYPO, NEAR)) & ~names.exchanged
    compared = {
        "given": names.given,
        "family": names.family,
        "generation": compare_generations(people, model, left, right, namesakes),
        "email": compare_emails(people, seen, model, left, right, aliases),
        "phone": compare_phones(people, seen, model, left, right),
        "joined": compare_days(people, seen, model, left, right),
    }
    others = max(len(people) - 1, 1)
    # Names in each other's place are as rare with housemates as with one person.
    housemates = model.housemates_each / others * np.exp2(names.order)
    for each in compared.values():
        housemates = housemates * each.housemates
    bits = {name: each.bits for name, each in compared.items()}
    bits["prior"] = np.full(len(left), np.log2(model.duplicates_each / others))
    bits["order"] = names.order
    bits["household"] = 0.0 - np.log2(1 + housemates)
    levels = {name: each.level for name, each in compared.items()}
    return Scores(left, right, bits, levels, names.exchanged)


def probability(odds: Floats) -> Floats:
    """Return the probability that log2 odds stand for."""
    share: Floats = 1 / (1 + np.exp2(-odds))
    return share
