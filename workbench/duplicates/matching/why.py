"""A pair in words: what speaks for one person, and what against; no personal value in it."""

from __future__ import annotations

from workbench.duplicates.matching import contacts, names
from workbench.duplicates.matching.scoring import Scores

_GIVEN = {
    names.SAME: "same first name",
    names.PET_FORM: "nickname of the first name",
    names.PART: "part of the first name",
    names.INITIAL: "initial of the first name",
    names.TYPO: "first name but for a typing error",
    names.NEAR: "similar first name",
}
_FAMILY = {
    names.SAME: "same surname",
    names.PART: "part of the surname",
    names.TYPO: "surname but for a typing error",
    names.NEAR: "similar surname",
}
_REST = {
    "email": {
        contacts.SAME: "same e-mail",
        contacts.RESPELLED: "same e-mail but for case or tag",
        contacts.DOTTED: "same e-mail but for its dots",
        contacts.SIMILAR: "similar e-mail",
    },
    "phone": {
        contacts.SAME: "same phone",
        contacts.RESPELLED: "same phone but for its area code",
        contacts.SIMILAR: "phone but for one digit",
    },
    "joined": {
        contacts.SAME: "joined on the same day",
        contacts.SIMILAR: "joined about the same time",
    },
}
_AGAINST = {
    "given": "different first name",
    "family": "different surname",
    "email": "different e-mail",
    "phone": "different phone",
    "joined": "joined on another day",
    "generation": "different generation",
}
_WORTH_TELLING = 0.05  # bits


def explain(scores: Scores) -> tuple[list[str], list[str]]:
    """Return for each pair what speaks for it and what against, strongest first."""
    why, against = [], []
    for at in range(len(scores.left)):
        told = _told(scores, at)
        why.append("; ".join(words for bits, words in told if bits > 0))
        against.append("; ".join(words for bits, words in reversed(told) if bits <= 0))
    return why, against


def _told(scores: Scores, at: int) -> list[tuple[float, str]]:
    """Return every comparison that found something, with its bits, the most telling first."""
    found = []
    for name, agreements in {"given": _GIVEN, "family": _FAMILY, **_REST}.items():
        level, bits = int(scores.levels[name][at]), float(scores.bits[name][at])
        if level in agreements:
            # What agrees is told as agreeing, even where it is so common that it proves nothing.
            found.append((max(bits, 1e-9), agreements[level]))
        elif level != names.UNKNOWN:
            found.append((min(bits, 0.0), _AGAINST[name]))
    if int(scores.levels["generation"][at]) in (contacts.DIFFERENT, contacts.SIMILAR):
        found.append((float(scores.bits["generation"][at]), _AGAINST["generation"]))
    if scores.exchanged[at]:
        found.append((1e-9, "first name and surname exchanged"))
    household = float(scores.bits["household"][at])
    if household < -1:
        found.append((household, "could be two people of one household"))
    return sorted(found, key=lambda each: (-each[0], each[1]))
