"""Names as the country bears them: how frequent each is, of which sex, and which are forms of one another.

Shares are the census's (``census.tsv``). English pet forms come from the data set of the package ``nicknames``
(Apache-2.0), hand-curated by Carlton Northern; Spanish ones, which it lacks, are listed here.
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

_NICKNAMES = 0.10  # one person's first names in two files: by nickname
_ONE_SEX = 0.01  # names of one sex, up to slips of the census; Alex and Sam are not

_SPANISH = """
jose:pepe,chepe,pepito ignacio:nacho francisco:paco,pancho,curro,fran,kiko guadalupe:lupe,lupita
jesus:chucho,chuy enrique:quique,kike rafael:rafa manuel:manolo,manny,lolo eduardo:lalo,edu roberto:beto,robert
alberto:beto gilberto:beto,gil guillermo:memo,guille santiago:santi,chago antonio:tono,tony alejandro:alex,ale,jandro
alejandra:alex,ale,sandra maria:mari,maruja,marita concepcion:concha,conchita dolores:lola,lolita
rosario:charo mercedes:merche,meche isabel:chabela,isa,bel consuelo:chelo,consu graciela:chela,gracie
teresa:tere josefina:pepa,fina,josie francisca:paca,paquita,pancha rosa:rosita ana:anita carmen:carmina,menchu
luis:lucho,lusito ramon:moncho vicente:chente sebastian:sebas fernando:nando,fer fernanda:fer,nanda
hernan:nano leonardo:leo armando:mando ricardo:rica,richard,rick miguel:migue,mike pedro:pedrito,perico
juan:juanito,john pablo:pablito,paul carlos:charlie,carlitos joaquin:quino javier:javi gabriela:gabi,gaby
patricia:patri,paty elena:nena,ele beatriz:bea,betty margarita:marga,rita cristina:cris,tina daniel:dani
veronica:vero susana:susi andres:andy,andrew alfonso:poncho,fonso arturo:turo gerardo:gera,jerry
victoria:vicky silvia:chivis adelaida:ade esperanza:espe inmaculada:inma
"""


class Known(NamedTuple):
    """What the census says of a name: its share among first names and surnames, and of men among its bearers."""

    given: float = 0.0
    family: float = 0.0
    men: float = 0.5


@cache
def census() -> dict[str, Known]:
    """Return what the census says of each name that it lists, in lower case without accents."""
    text = files("workbench.duplicates.matching").joinpath("census.tsv").read_text(encoding="utf-8")
    names: dict[str, Known] = {}
    for kind, name, share, men in (line.split("\t") for line in text.splitlines() if line[0] != "#"):
        name, before = normalise(name), names.get(normalise(name), Known())
        if kind == "given":
            names[name] = before._replace(given=int(share) / 1e6, men=int(men) / 1000)
        else:
            names[name] = before._replace(family=int(share) / 1e6)
    return names


@cache
def pet_forms() -> dict[str, frozenset[str]]:
    """Return the short and pet forms of each full name."""
    from nicknames import NickNamer

    forms: dict[str, set[str]] = {name: set(known) for name, known in NickNamer().nickname_lookup.items()}
    for line in _SPANISH.split():
        name, _, known = line.partition(":")
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


def _of_two_sexes(left: str, right: str) -> bool:
    """Whether hardly anybody could bear both: William and Wilma, though the data set has them as forms of one."""
    low, high = sorted(census().get(name, Known()).men for name in (left, right))
    return low <= _ONE_SEX and high >= 1 - _ONE_SEX


def kinship(left: str, right: str) -> float:
    """Return how likely one of two first names stands for the other, among its other forms; 0 for strangers."""
    likely = max(_chances(left).get(right, 0.0), _chances(right).get(left, 0.0))
    if not likely:  # two pet forms of one name, as Bob and Rob, or strangers
        full = _full_names()
        shared = full.get(left, frozenset()) & full.get(right, frozenset())
        likely = max((_chances(name)[left] * _chances(name)[right] for name in shared), default=0.0)
    return 0.0 if likely and _of_two_sexes(left, right) else likely


def kin(names: Iterable[str]) -> Iterator[tuple[str, str, float]]:
    """Yield the forms of these first names, and how much more often one person has both than two strangers have."""
    forms, full = pet_forms(), _full_names()

    def rarity(name: str) -> float:
        return 1 / max(census().get(name, Known()).given, UNLISTED)

    for name in names:
        fulls = full.get(name, frozenset())
        others = forms.get(name, frozenset()).union(fulls, *(forms[form] for form in fulls)) - {name}
        for other in sorted(others):
            if likely := kinship(name, other):
                yield name, other, _NICKNAMES * likely * (rarity(name) + rarity(other)) / 2
