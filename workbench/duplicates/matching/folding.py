"""Normalise what is compared: names without case, accents and punctuation, e-mail addresses, phone numbers, dates."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from workbench.normalise import normalise

PARTS = {
    "given": {"": "string"},
    "family": {"": "string"},
    "email": {
        "": "string",  # the mailbox: lower case, without plus tag and dots
        "_plain": "string",  # as it is written
        "_dotted": "string",  # lower case without plus tag; without dots only if the provider ignores them
        "_local": "string",
        "_domain": "string",
        "_called": "bool",  # whether the plus tag is the owner's first name: a family's mailbox
        "_said": "string",  # what it says beyond its owner's surname
        "_own": "string",  # the pattern of what it says beyond both names, as "tennis00"
    },
    "phone": {"": "string"},
    "joined": {"": "string", "_day": "int32"},  # YYYYMMDD; days since 1970, where there is such a day
    "date": {"": "string", "_day": "int32"},
    "identifier": {"": "string"},
    "address": {"": "string", "_numbers": "string"},
    "name": {"": "string"},
}
"""By kind of a field: the suffixes of its normalised columns, with their Arrow types."""

_PORTION = 20_000
_EPOCH = date(1970, 1, 1)

_TITLES = frozenset(["mr", "mrs", "ms", "miss", "mx", "dr", "prof", "rev", "sir"])
_SUFFIXES = {
    "jr": "2", "jnr": "2", "junior": "2", "ii": "2", "2nd": "2",
    "sr": "1", "snr": "1", "senior": "1", "iii": "3", "3rd": "3", "iv": "4", "4th": "4",
}  # fmt: skip
_MAILBOXES = {"googlemail.com": "gmail.com"}
_DOTLESS = frozenset({"gmail.com"})
_SHORTEST_PHONE = 6
_EXTENSION = re.compile(r"(?i)\s*(?:ext|x|#)")
_YEAR_OR_DIGIT = re.compile(r"(?<!\d)(19|20)\d\d(?!\d)|\d")
_NO_DIGITS = re.compile(r"\D")


class Name(NamedTuple):
    """A normalised name: its words separated by blanks, and the generation (``""``, ``"1"``, ...)."""

    words: str
    generation: str


@lru_cache(50_000)
def fold_name(text: str | None) -> Name:
    """Normalise a first name or surname: remove titles, and separate the generation (Jr, III)."""
    words = normalise(text or "").split()
    generation = ""
    while len(words) > 1 and words[-1] in _SUFFIXES:
        generation = _SUFFIXES[words.pop()]
    while len(words) > 1 and words[0] in _TITLES:
        words.pop(0)
    return Name(" ".join(words), generation)


def fold_email(text: str | None, given: str = "", family: str = "") -> dict[str, Any]:
    """Return the `PARTS` of an e-mail address, given its owner's names; empty if there is no text on both sides of an @."""
    plain = unicodedata.normalize("NFKC", text or "").strip()
    local, _, domain = plain.casefold().rpartition("@")
    untagged, _, tag = local.partition("+")
    mailbox = untagged.replace(".", "") or local
    if not mailbox or not domain:
        return {}
    domain = _MAILBOXES.get(domain, domain)
    beyond_surname, own = address_parts(mailbox, given, family)
    return {
        "": f"{mailbox}@{domain}",
        "_plain": plain,
        "_dotted": f"{mailbox if domain in _DOTLESS else untagged}@{domain}",
        "_local": mailbox,
        "_domain": domain,
        "_called": bool(given and tag and normalise(tag).startswith(given)),
        "_said": beyond_surname,
        "_own": own,
    }


def fold_phone(text: str | None) -> str:
    """Return a phone number's digits without trunk zeros or the country code of North America; else ``""``.

    An extension is not part of it. Fewer than six digits are no phone number.
    """
    number = _EXTENSION.split(text or "", maxsplit=1)[0]
    if not number.isascii():
        number = "".join(str(unicodedata.decimal(sign)) for sign in number if sign.isdecimal())
    digits = _NO_DIGITS.sub("", number).lstrip("0")
    if len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    return digits if len(digits) >= _SHORTEST_PHONE and len(set(digits)) > 1 else ""


def address_parts(local: str, given: str, family: str) -> tuple[str, str]:
    """Return what an address says beyond its owner's surname, and the pattern of what it says beyond both names.

    ``"j77", "00"`` of ``jsmith77`` for John Smith: each digit is a zero, a year is two nines. The rarer the pattern and the
    more digits it has, the less likely a namesake has the same.
    """
    rest = local if local.isascii() and local.isalnum() else normalise(local).replace(" ", "")
    parts = []
    for name in (family, given):
        for word in sorted(name.split(), key=len, reverse=True):
            if len(word) > 1:
                rest = rest.replace(word, "", 1)
        parts.append(rest)
    remainder, own = parts
    initials = {word[0] for word in f"{given} {family}".split()}
    letters = own.rstrip("0123456789")
    if letters in initials:
        own = own[len(letters) :]
    return remainder, _YEAR_OR_DIGIT.sub(lambda match: "99" if match[1] else "0", own)


def fold_day(day: date | str | None) -> tuple[str | None, int | None]:
    """Return a date as YYYYMMDD and as days since 1970; the latter is None for an impossible date."""
    if day is None:
        return None, None
    digits = day.strftime("%Y%m%d") if isinstance(day, date) else _NO_DIGITS.sub("", str(day))[:8]
    try:
        return digits, (date.fromisoformat(digits) - _EPOCH).days
    except ValueError:
        return digits or None, None


_LONGEST = 254
"""Maximum length of a value that is compared, that of an e-mail address: an edit distance takes time by the product of both lengths."""


def fold_rows(rows: Iterable[Sequence[Any]], fields: Mapping[str, str]) -> Iterator[list[tuple[Any, ...]]]:
    """Normalise members in batches: the id, the generation, then the `PARTS` of each field in order.

    Parameters
    ----------
    rows : iterable of sequence
        The id and the value of each field.
    fields : mapping of str to str
        Each field to its kind.
    """
    kinds = list(fields.values())
    called, family = 1 + kinds.index("given"), 1 + kinds.index("family")
    members = iter(rows)
    while portion := list(islice(members, _PORTION)):
        folded = []
        for row in portion:
            row = [row[0], *(value[:_LONGEST] if isinstance(value, str) else value for value in row[1:])]
            names = fold_name(row[called]), fold_name(row[family])
            generation = names[1].generation or names[0].generation
            parts = [row[0], int(generation) if generation else None]
            for kind, value in zip(kinds, row[1:], strict=True):
                parts += _fold(kind, value, names[0].words, names[1].words)
            folded.append(tuple(parts))
        yield folded


def _fold(kind: str, value: Any, given: str, family: str) -> Sequence[Any]:
    match kind:
        case "given":
            return (given or None,)
        case "family":
            return (family or None,)
        case "phone":
            return (fold_phone(value) or None,)
        case "name":
            return (fold_name(value).words or None,)
        case "date" | "joined":
            return fold_day(value)
        case "identifier":
            return ("".join(normalise(str(value or "")).split()) or None,)
        case "address":
            words = normalise(str(value or "")).split()
            numbers = " ".join(word for word in words if any(map(str.isdigit, word)))
            return " ".join(words) or None, numbers or None
    address = fold_email(value, given, family)
    return [address.get(part) for part in PARTS["email"]]
