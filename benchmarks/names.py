"""Names as they are spread in the United States, drawn by weight from the demo's list."""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import NamedTuple


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
    ends = accumulate(weight * len(names) for weight, names in table)
    return _Names(tuple(ends), tuple(weight for weight, _ in table), tuple(names for _, names in table))


@cache
def _bearers(kind: str) -> dict[str, int]:
    names = _names(kind)
    return {name: weight for weight, group in zip(names.weights, names.groups, strict=True) for name in group}


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
