"""One spelling for what is the same: names without case, accents and punctuation, addresses, phone numbers, days."""

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
    "given": {"": "VARCHAR"},
    "family": {"": "VARCHAR"},
    "email": {
        "": "VARCHAR",  # the mailbox: the two sides of the @, without case, plus tag and dots
        "_plain": "VARCHAR",
        "_dotted": "VARCHAR",
        "_local": "VARCHAR",
        "_domain": "VARCHAR",
        "_called": "BOOLEAN",  # whether the plus tag is its owner's first name: the mailbox is another's, or a family's
        "_own": "INTEGER",  # how many signs it has beyond its owner's name
    },
    "phone": {"": "VARCHAR"},
    "joined": {"": "VARCHAR", "_day": "INTEGER"},  # YYYYMMDD; days since 1970, where there is such a day
    "date": {"": "VARCHAR", "_day": "INTEGER"},
    "identifier": {"": "VARCHAR"},
    "address": {"": "VARCHAR", "_numbers": "VARCHAR"},
    "name": {"": "VARCHAR"},
}
"""The columns that a field of each kind is folded to, behind the field's name, and their types."""

_PORTION = 20_000
_MOST_OWN = 6
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
_YEAR, _WORD = re.compile(r"(?<!\d)(19|20)\d\d(?!\d)"), re.compile(r"[^\W\d]{4,}")
_NO_DIGITS = re.compile(r"\D")


class Name(NamedTuple):
    """A name as it is compared: words apart by blanks, and the generation it names (``""``, ``"1"``, ...)."""

    words: str
    generation: str


class Address(NamedTuple):
    """An e-mail address.

    Attributes
    ----------
    plain : str
        As it is written.
    dotted : str
        Without case and plus tag; without dots only where the provider is known to ignore them.
    local, domain : str
        Its mailbox: the two sides of the @, without case, plus tag and dots.
    tag : str
        What stands behind the plus.
    """

    plain: str
    dotted: str
    local: str
    domain: str
    tag: str = ""


@lru_cache(50_000)
def fold_name(text: str | None) -> Name:
    """Fold a first name or surname; titles go, and a generation (Jr, III) is told apart."""
    words = normalise(text or "").split()
    generation = ""
    while len(words) > 1 and words[-1] in _SUFFIXES:
        generation = _SUFFIXES[words.pop()]
    while len(words) > 1 and words[0] in _TITLES:
        words.pop(0)
    return Name(" ".join(words), generation)


def fold_email(text: str | None) -> Address | None:
    """Fold an e-mail address; None for what has no two sides of an @."""
    plain = unicodedata.normalize("NFKC", text or "").strip()
    local, _, domain = plain.casefold().rpartition("@")
    untagged, _, tag = local.partition("+")
    mailbox = untagged.replace(".", "") or local
    if not mailbox or not domain:
        return None
    domain = _MAILBOXES.get(domain, domain)
    dotted = mailbox if domain in _DOTLESS else untagged
    return Address(plain, f"{dotted}@{domain}", mailbox, domain, tag)


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


def own_part(local: str, names: tuple[str, ...]) -> str:
    """Return what an address says beyond its owner's names: ``"77"`` of ``jsmith77`` for John Smith.

    The more of it, the less likely that a namesake has the same.
    """
    rest = local if local.isascii() and local.isalnum() else normalise(local).replace(" ", "")
    words = sorted({word for name in names for word in name.split()}, key=lambda word: (-len(word), word))
    for word in words:
        if len(word) > 1:
            rest = rest.replace(word, "", 1)
    initials = {word[0] for word in words}
    return rest if len(rest) > 1 or rest not in initials else ""


def fold_day(day: date | str | None) -> tuple[str | None, int | None]:
    """Return a day as YYYYMMDD, and as days since 1970; the latter None where a text's day is none."""
    if day is None:
        return None, None
    digits = day.strftime("%Y%m%d") if isinstance(day, date) else _NO_DIGITS.sub("", str(day))[:8]
    try:
        return digits, (date.fromisoformat(digits) - _EPOCH).days
    except ValueError:
        return digits or None, None


_LONGEST = 254
"""Letters of a value that are compared: as many as an e-mail address may have. What two texts differ by takes the product of their lengths."""


def fold_rows(rows: Iterable[Sequence[Any]], fields: Mapping[str, str]) -> Iterator[list[tuple[Any, ...]]]:
    """Fold members in portions: the id, the generation that a name tells, then the `PARTS` of each field in order.

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
    address = fold_email(value)
    if address is None:
        return (None,) * len(PARTS["email"])
    plain, dotted, local, domain, tag = address
    named = bool(given and tag and normalise(tag).startswith(given))
    # A year is one of a hundred, as two digits are, and a word one of some thousand.
    own = min(len(_WORD.sub("www", _YEAR.sub("yy", own_part(local, (given, family))))), _MOST_OWN)
    return f"{local}@{domain}", plain, dotted, local, domain, named, own
