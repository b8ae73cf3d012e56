"""Names as they are spread in the United States, drawn by weight.

First names and surnames come from the census (``names.tsv``, its head says which), and beside them those that
it has no letters for: the accents, apostrophes and hyphens that real membership lists have and matching code
stumbles over. The table is longer than the one that the matching of members knows, which has the most frequent
names only: a rare name is here as strange to it as in life.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import NamedTuple

_BESIDE = {
    # in 1,000 men, women, or people
    "male": "José 4 Andrés 2 Jesús 2 Jean-Luc 2 D'Angelo 2 Hiro 2 Yusuf 2 Søren 2",
    "female": "María 4 Sofía 2 Zoë 2 Renée 2 Chloé 2 Inés 2 Mary-Ann 2 Priya 2 Mei 2 Fatima 2 Nguyệt 2 Aoife 2",
    "family": "García 2 López 2 Núñez 1 Muñoz 1 Peña 1 Müller 1 Björk 1 Lefèvre 1 O'Brien 3 O'Connor 2 O'Neill 1"
    " D'Amico 1 Smith-Jones 1 Garcia-Lopez 1 Taylor-Hughes 1",
}


class _Names(NamedTuple):
    """Names in groups of one weight: where each group's draws end, its weight, its names."""

    ends: tuple[int, ...]
    weights: tuple[int, ...]
    groups: tuple[tuple[str, ...], ...]

    @property
    def people(self) -> int:
        return self.ends[-1]

    def drawn(self, rest: int) -> str:
        at = bisect_right(self.ends, rest)
        begin = self.ends[at - 1] if at else 0
        return self.groups[at][(rest - begin) // self.weights[at]]


@cache
def _names(kind: str) -> _Names:
    text = files("workbench.demo").joinpath("names.tsv").read_text(encoding="utf-8")
    cells = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    table = [(int(weight), tuple(names.split())) for known, weight, names in cells if known == kind]
    people = sum(weight * len(names) for weight, names in table)
    words = _BESIDE[kind].split()
    table += [
        (people * int(share) // 1000, (name,)) for name, share in zip(words[::2], words[1::2], strict=True)
    ]
    ends = accumulate(weight * len(names) for weight, names in table)
    return _Names(tuple(ends), tuple(weight for weight, _ in table), tuple(names for _, names in table))


@cache
def _bearers(kind: str) -> dict[str, int]:
    names = _names(kind)
    return {name: weight for weight, group in zip(names.weights, names.groups, strict=True) for name in group}


def plain_name(name: str) -> str:
    """Return a name without accents: nobody calls a child Maria who is called María."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()


def given_name(number: int) -> str:
    """Return the given name that a uniformly drawn number falls on."""
    men, women = _names("male"), _names("female")
    rest = number % (men.people + women.people)
    return men.drawn(rest) if rest < men.people else women.drawn(rest - men.people)


def partner_name(number: int, given: str) -> str:
    """Return the given name that a number falls on, of the sex that rather does not bear another given name."""
    rather = "female" if _bearers("male").get(given, 0) > _bearers("female").get(given, 0) else "male"
    names = _names(rather)
    return names.drawn(number % names.people)


def family_name(number: int) -> str:
    """Return the surname that a uniformly drawn number falls on."""
    names = _names("family")
    return names.drawn(number % names.people)
