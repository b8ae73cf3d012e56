"""Which first names are short or pet forms of which.

English ones come from the data set of the package ``nicknames`` (Apache-2.0), hand-curated by Carlton
Northern; Spanish ones, which it lacks, are listed here.
"""

from __future__ import annotations

from functools import cache

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
def kinship(left: str, right: str) -> float:
    """Return how likely one of two first names stands for the other, among its other forms; 0 for strangers."""
    forms, full = pet_forms(), _full_names()
    direct = max(
        1 / len(forms[left]) if right in forms.get(left, ()) else 0.0,
        1 / len(forms[right]) if left in forms.get(right, ()) else 0.0,
    )
    if direct:
        return direct
    # Two pet forms of one name: Bob and Rob.
    shared = full.get(left, frozenset()) & full.get(right, frozenset())
    return max((1 / len(forms[name]) ** 2 for name in shared), default=0.0)
