"""One spelling for what is the same: names without case, accents and punctuation, addresses, phone numbers."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from workbench.normalise import normalise

_TITLES = frozenset(["mr", "mrs", "ms", "miss", "mx", "dr", "prof", "rev", "sir"])
_SUFFIXES = {
    "jr": "2", "jnr": "2", "junior": "2", "ii": "2", "2nd": "2",
    "sr": "1", "snr": "1", "senior": "1", "iii": "3", "3rd": "3", "iv": "4", "4th": "4",
}  # fmt: skip
_MAILBOXES = {"googlemail.com": "gmail.com"}
_DOTLESS = frozenset({"gmail.com"})
_SHORTEST_PHONE = 6
_EXTENSION = re.compile(r"(?i)\s*(?:ext|x|#)")
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
