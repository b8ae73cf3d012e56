"""First names and surnames: how common they are, the sex of first names, and their nicknames.

Shares are the census's (``names.tsv``). English pet forms come from the data set of the package ``nicknames``
(Apache-2.0), hand-curated by Carlton Northern; Spanish ones, which it lacks, are in ``names.tsv`` too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from workbench.normalise import normalise

UNLISTED = 3e-6
"""Share of a name that the shipped census lacks.

A seventh of the people have such a first name and a third such a surname, spread over some fifty thousand
first names and a hundred and fifty thousand surnames.
"""

_NICKNAMES = 0.10  # how often one person has a nickname in one of two records
_ONE_SEX = 0.01  # at most so many bearers of the other sex are errors of the census; Alex and Sam have more


class Known(NamedTuple):
    """A name's share among first names and among surnames, and the share of men with that first name."""

    given: float = 0.0
    family: float = 0.0
    men: float = 0.5


def _read(kind: str) -> Iterator[list[str]]:
    """Yield the cells of the lines of one kind."""
    text = files("workbench.duplicates.matching").joinpath("names.tsv").read_text(encoding="utf-8")
    return (line.split("\t")[1:] for line in text.splitlines() if line.startswith(f"{kind}\t"))


@cache
def census() -> dict[str, Known]:
    """Return the names of the census, normalised."""
    names: dict[str, Known] = {}
    for name, share, men in _read("given"):
        names[normalise(name)] = Known(given=int(share) / 1e6, men=int(men) / 1000)
    for name, share, _ in _read("family"):
        names[normalise(name)] = names.get(normalise(name), Known())._replace(family=int(share) / 1e6)
    return names


@cache
def pet_forms() -> dict[str, frozenset[str]]:
    """Return the short and pet forms of each full name."""
    from nicknames import NickNamer

    forms: dict[str, set[str]] = {name: set(known) for name, known in NickNamer().nickname_lookup.items()}
    for name, known, _ in _read("pet"):
        forms.setdefault(name, set()).update(known.split(","))
    return {name: frozenset(known - {name}) for name, known in forms.items()}


@cache
def _full_names() -> dict[str, frozenset[str]]:
    full: dict[str, set[str]] = {}
    for name, known in pet_forms().items():
        for form in known:
            full.setdefault(form, set()).add(name)
    return {form: frozenset(names) for form, names in full.items()}


@cache
def _chances(name: str) -> dict[str, float]:
    """Return how likely each form of a full name is, where it has another one.

    Half of it goes by how many people the census knows by that form (a John is Jack more often than Jock), the
    other half to all forms alike, since pet forms are seldom what people tell the census.
    """
    forms = sorted(pet_forms().get(name, ()))
    shares = [census().get(form, Known()).given for form in forms]
    total = sum(shares)
    return {
        form: (0.5 / len(forms) + 0.5 * share / total) if total else 1 / len(forms)
        for form, share in zip(forms, shares, strict=True)
    }


def _share(name: str) -> float:
    return max(census().get(name, Known()).given, UNLISTED)


def _of_two_sexes(left: str, right: str) -> bool:
    """Return whether one name is male and the other female, as William and Wilma, which the data set lists as one."""
    low, high = sorted(census().get(name, Known()).men for name in (left, right))
    return low <= _ONE_SEX and high >= 1 - _ONE_SEX


def kinship(left: str, right: str) -> float:
    """Return how likely one of two first names stands for the other, among its other forms; 0 for strangers."""
    likely = max(_chances(left).get(right, 0.0), _chances(right).get(left, 0.0))
    if (
        not likely
    ):  # two pet forms of one name, as Bob and Rob, or strangers: Amy and Emily are seldom short for Amelia
        full = _full_names()
        shared = full.get(left, frozenset()) & full.get(right, frozenset())
        both = (_share(left) + _share(right)) / 2
        likely = max(
            (_chances(name)[left] * _chances(name)[right] * min(1.0, _share(name) / both) for name in shared),
            default=0.0,
        )
    return 0.0 if likely and _of_two_sexes(left, right) else likely


def kin(names: Iterable[str]) -> Iterator[tuple[str, str, float]]:
    """Yield each name's other forms, and how much more often one person has both than two strangers do."""
    forms, full = pet_forms(), _full_names()

    for name in names:
        fulls = full.get(name, frozenset())
        others = forms.get(name, frozenset()).union(fulls, *(forms[form] for form in fulls)) - {name}
        for other in sorted(others):
            if likely := kinship(name, other):
                yield name, other, _NICKNAMES * likely * (1 / _share(name) + 1 / _share(other)) / 2
