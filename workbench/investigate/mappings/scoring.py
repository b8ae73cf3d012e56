"""How surely a mapping leads to the wrong record: bits of evidence, added up; and the same in words.

Pure: facts in, judgement out. A score is the probability that the record is not the contact's: the
logistic of the bits below. It is never 1, and a mapping is called *sure* to be wrong only where the right
record is known and nothing hints at one person known twice: people marry, move and change their address.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from workbench.normalise import normalise

SURE = 0.95
"""From this score on, with the right record known, a correction may be planned without asking anybody else."""

_DOUBTFUL, _MOST = 0.9, 0.999
_ALIKE = 0.84  # two spellings of one name: Jon and John, Meyer and Meier

PRIOR = -3.0
"""Bits before anything is known: of the mappings that some trace speaks against, most are right all the same."""

BORN_HERE, BORN_ELSEWHERE, BORN_FOR_ANOTHER = -14.0, 9.0, 3.0
"""The record was created for this WA id; another record, which exists, was; this record was created for another id."""

WEIGHTS: dict[str, tuple[float, float]] = {
    # field: bits when it agrees, bits when it differs. A surname and a phone number are a household's,
    # surnames and addresses change; given names and the day of joining hardly do.
    "given": (-3.0, 3.0),
    "family": (-1.5, 2.0),
    "email": (-5.0, 2.5),
    "phone": (-2.0, 1.5),
    "joined": (-2.0, 2.0),
    "title": (-4.0, 4.0),
    "start": (-4.0, 4.0),
    # Of a registration; either alone may be somebody's correction, both at once are another registration.
    "member": (-4.0, 4.0),
    "event": (-4.0, 4.0),
}

_NAMES = {
    "given": "given name",
    "family": "family name",
    "email": "e-mail",
    "phone": "phone",
    "joined": "joining date",
    "title": "title",
    "start": "start",
    "member": "member",
    "event": "event",
}

Birth = Literal["here", "elsewhere", ""]


@dataclass(frozen=True)
class Facts:
    """What is known of a contact or a record; empty where nothing is.

    Attributes
    ----------
    joined : str
        A day, ``2024-05-01``.
    start : str
        A moment, ``2024-05-01 18:00``.
    member, event : str
        Of a registration, by Murmurant's ids.
    """

    given: str = ""
    family: str = ""
    email: str = ""
    phone: str = ""
    joined: str = ""
    title: str = ""
    start: str = ""
    member: str = ""
    event: str = ""

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.given} {self.family}".strip()

    def filled_from(self, other: Facts) -> Facts:
        """Return these facts, and another's where there is a gap."""
        return Facts(**{name: getattr(self, name) or getattr(other, name) for name in WEIGHTS})


@dataclass(frozen=True)
class Judgement:
    """How surely a mapping leads to the wrong record.

    Attributes
    ----------
    score : float or None
        0 to 1, rounded to 3 digits; None when nothing at all is known.
    agrees, differs : str
        What does, by name: ``given name, phone``.
    one_person_twice : bool
        Whether the two may be one person known under two records.
    """

    score: float | None
    agrees: str
    differs: str
    one_person_twice: bool = False


def judge(
    contact: Facts, record: Facts, *, birth: Birth = "", for_another: bool = False, known: bool = False
) -> Judgement:
    """Judge whether a record is a contact's.

    Parameters
    ----------
    contact, record : Facts
        What the import says of the contact, and the record that its id leads to.
    birth : {"here", "elsewhere", ""}
        Whether this record was created for this id, or another one that exists; empty when nothing tells.
    for_another : bool
        Whether the record was created for another id.
    known : bool
        Whether it is known which record it should be.
    """
    same = {
        name: alike(name, getattr(contact, name), getattr(record, name))
        for name in WEIGHTS
        if getattr(contact, name) and getattr(record, name)
    }
    agrees = ", ".join(_NAMES[name] for name, yes in same.items() if yes)
    differs = ", ".join(_NAMES[name] for name, yes in same.items() if not yes)
    if not same and not birth:
        return Judgement(None, "", "")
    bits = PRIOR + sum(WEIGHTS[name][0 if yes else 1] for name, yes in same.items())
    bits += {"here": BORN_HERE, "elsewhere": BORN_ELSEWHERE, "": 0.0}[birth]
    bits += BORN_FOR_ANOTHER if for_another and birth != "here" else 0.0
    score = 1 / (1 + 2.0**-bits)
    twice = bool(same.get("given")) and any(same.get(name) for name in ("family", "email", "phone", "joined"))
    most = _MOST if known and not twice and birth != "here" else _DOUBTFUL
    return Judgement(round(min(score, most), 3), agrees, differs, twice)


def alike(name: str, one: str, other: str) -> bool:
    """Whether two values of a field mean the same thing."""
    if name == "phone":
        return _digits(one)[-7:] == _digits(other)[-7:]
    if name == "email":
        return _address(one) == _address(other)
    if name in {"joined", "start", "member", "event"}:
        return one == other
    left, right = normalise(one), normalise(other)
    return left == right or SequenceMatcher(None, left, right).ratio() >= _ALIKE


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _address(text: str) -> str:
    """Write an address without case, dots and tags, which most providers pass over."""
    local, at, domain = unicodedata.normalize("NFKC", text).strip().casefold().rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}{at}{domain}"
