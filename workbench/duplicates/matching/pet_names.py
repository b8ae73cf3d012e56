"""Which first names are short or pet forms of which.

English ones come from the data set of the package ``nicknames`` (Apache-2.0), hand-curated by Carlton
Northern; Spanish ones, which it lacks, are listed here.
"""

from __future__ import annotations

from functools import cache

from workbench.duplicates.matching.frequencies import census, men

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


@cache
def pet_forms() -> dict[str, frozenset[str]]:
    """Return the short and pet forms of each full name, in lower case without accents."""
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
    shares = [census("given").get(form, 0.0) for form in forms]
    total = sum(shares)
    return {
        form: (0.5 / len(forms) + 0.5 * share / total) if total else 1 / len(forms)
        for form, share in zip(forms, shares, strict=True)
    }


def _of_two_sexes(left: str, right: str) -> bool:
    """Whether hardly anybody could bear both: William and Wilma, though the data set has them as forms of one."""
    known = men()
    low, high = sorted((known.get(left, 0.5), known.get(right, 0.5)))
    return low <= _ONE_SEX and high >= 1 - _ONE_SEX


@cache
def kinship(left: str, right: str) -> float:
    """Return how likely one of two first names stands for the other, among its other forms; 0 for strangers."""
    likely = max(_chances(left).get(right, 0.0), _chances(right).get(left, 0.0))
    if not likely:  # two pet forms of one name, as Bob and Rob, or strangers
        full = _full_names()
        shared = full.get(left, frozenset()) & full.get(right, frozenset())
        likely = max((_chances(name)[left] * _chances(name)[right] for name in shared), default=0.0)
    return 0.0 if likely and _of_two_sexes(left, right) else likely
