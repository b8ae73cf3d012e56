"""How one person comes out differently in two records, and how two people come out alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import md5
from typing import NamedTuple, TypeVar

from benchmarks.names import family_name, given_name, partner_name

T = TypeVar("T")


class Person(NamedTuple):
    """A member's record."""

    number: int
    id: str
    given: str
    family: str
    email: str
    phone: str
    joined: datetime


# The common ones, and not the engine's own table: what is looked for is not made from what looks for it.
_CALLED = """
James:Jim,Jimmy Robert:Bob,Rob,Bobby Patricia:Pat,Patty,Tricia John:Jack,Johnny Jennifer:Jen,Jenny Michael:Mike,Mick
Linda:Lindy David:Dave Elizabeth:Liz,Beth,Betty William:Bill,Will,Billy Barbara:Barb Richard:Rick,Dick,Rich
Susan:Sue,Susie Joseph:Joe Jessica:Jess Thomas:Tom,Tommy Christopher:Chris Charles:Charlie,Chuck Daniel:Dan,Danny
Matthew:Matt Sandra:Sandy Anthony:Tony Emily:Em Steven:Steve Kimberly:Kim Donald:Don Andrew:Andy,Drew
Margaret:Peggy,Maggie,Meg Joshua:Josh Kenneth:Ken Michelle:Shelly Kevin:Kev Amanda:Mandy Deborah:Deb,Debbie
Timothy:Tim Ronald:Ron Stephanie:Steph Rebecca:Becky Edward:Ed,Ted,Eddie Cynthia:Cindy Jeffrey:Jeff Jacob:Jake
Kathleen:Kathy Nicholas:Nick Angela:Angie Dorothy:Dot Jonathan:Jon Stephen:Steve Pamela:Pam Samantha:Sam
Benjamin:Ben Katherine:Kate,Kathy,Katie Samuel:Sam Gregory:Greg Alexander:Alex Rachel:Rach Patrick:Pat Raymond:Ray
Catherine:Cathy,Kate Victoria:Vicky Nathan:Nate Zachary:Zach Douglas:Doug Peter:Pete Judith:Judy Lawrence:Larry
Theresa:Terry,Tess Philip:Phil José:Pepe Jose:Pepe María:Mari Jesús:Chuy
"""
CALLED = {
    name: tuple(forms.split(",")) for name, _, forms in (line.partition(":") for line in _CALLED.split())
}
"""First names and what their bearers are called."""

ALIKE = {
    name: other
    for pair in [
        "John Joan",
        "Jean Joan",
        "Daniel Danielle",
        "Maria Marie",
        "Alice Alicia",
        "Erin Erica",
        "Carol Carolyn",
        "Anna Anne",
        "Christina Christine",
        "Michael Michelle",
        "Paul Paula",
        "Denis Denise",
        "Ronald Donald",
        "Larry Barry",
        "Eric Erica",
    ]
    for name, other in (pair.split(" "),)
}
"""Names that twins, or mother and daughter, have."""

_PROVIDERS = ("gmail.com", "yahoo.com", "outlook.com", "aol.com", "icloud.com", "example.net")
_BESIDE = {
    near: row[at - 1] + row[at + 1]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for at, near in enumerate(row[1:-1], start=1)
}


def dashed(phone: str) -> str:
    """Write a phone number as the CSV export does."""
    return f"{phone[:3]}-{phone[3:6]}-{phone[6:]}"


class Dice:
    """Draws that depend on nothing but seed, purpose and number."""

    def __init__(self, seed: int, purpose: str, number: int) -> None:
        self._seed, self._purpose, self._number = seed, purpose, number
        self._thrown = 0

    def roll(self, sides: int) -> int:
        """Return a number from 0 to below `sides`."""
        self._thrown += 1
        words = f"{self._seed}:{self._purpose} {self._thrown}:{self._number}"
        return int(md5(words.encode(), usedforsecurity=False).hexdigest()[:15], 16) % sides

    def pick(self, among: Sequence[T]) -> T:
        """Return one of several."""
        return among[self.roll(len(among))]

    def often(self, shares: dict[str, int]) -> str:
        """Return a key by its weight."""
        rest = self.roll(sum(shares.values()))
        for name, share in shares.items():
            if rest < share:
                return name
            rest -= share
        raise AssertionError("The shares add up to their sum.")


def mistyped(word: str, dice: Dice) -> str:
    """Return a word with one typing error: two letters exchanged, one dropped, doubled or its neighbour hit."""
    if len(word) < 3:
        return word + word[-1:]
    at = 1 + dice.roll(len(word) - 1)
    way = dice.often({"exchanged": 30, "dropped": 30, "doubled": 15, "beside": 25})
    if way == "exchanged":
        at = min(at, len(word) - 2)
        changed = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if changed != word:
            return changed
    if way == "dropped":
        return word[:at] + word[at + 1 :]
    if way == "beside" and word[at].lower() in _BESIDE:
        return word[:at] + dice.pick(_BESIDE[word[at].lower()]) + word[at + 1 :]
    return word[:at] + word[at] + word[at:]


def other_name(one: Person, dice: Dice, way: str) -> Person:
    """Return a person with their name written otherwise: typo, nickname, exchanged, ..."""
    if way == "nickname" and one.given in CALLED:
        return one._replace(given=dice.pick(CALLED[one.given]))
    if way in ("typo", "nickname"):
        if dice.roll(2):
            return one._replace(given=mistyped(one.given, dice))
        return one._replace(family=mistyped(one.family, dice))
    if way == "exchanged":
        return one._replace(given=one.family, family=one.given)
    if way == "hyphen":
        return one._replace(family=f"{one.family}-{family_name(dice.roll(2**40))}")
    if way == "case":
        return one._replace(given=one.given.upper(), family=one.family.upper())
    return one


def new_address(one: Person, dice: Dice) -> str:
    """Return an address that the same person might take elsewhere."""
    given, family = (
        "".join(sign for sign in part.lower() if sign.isalpha()) for part in (one.given, one.family)
    )
    local = dice.pick(
        (
            f"{given}.{family}",
            f"{given[:1]}{family}",
            f"{given}{family}{dice.roll(90) + 10}",
            f"{family}{given[:1]}{1940 + dice.roll(60)}",
            f"{given}{dice.roll(9000) + 1000}",
            f"{dice.pick(('golf', 'garden', 'sunny', 'coast', 'book'))}{given}{dice.roll(900)}",
        )
    )
    return f"{local}@{dice.pick(_PROVIDERS)}"


def other_email(one: Person, dice: Dice, way: str) -> Person:
    """Return a person with their address written otherwise, or another one."""
    local, domain = one.email.split("@")
    if way == "case":
        spelt = f"{local.title()}@{domain}" if dice.roll(2) else one.email.upper()
    elif way == "dots":
        spelt = f"{local.replace('.', '')}@{domain}" if dice.roll(2) else f"{local[0]}.{local[1:]}@{domain}"
    elif way == "plus":
        spelt = f"{local}+{dice.pick(('club', 'wa', 'news', 'golf'))}@{domain}"
    elif way == "typo":
        letters = local.rstrip("0123456789")
        spelt = f"{mistyped(letters, dice)}{local[len(letters) :]}@{domain}"
    elif way == "other":
        spelt = new_address(one, dice)
    else:
        spelt = one.email
    return one._replace(email=spelt)


def other_phone(one: Person, dice: Dice, way: str) -> Person:
    """Return a person with another number, or the same written otherwise."""
    if way == "changed":
        return one._replace(phone=f"805{dice.roll(8_000_000) + 2_000_000:07d}")
    digits = "".join(sign for sign in one.phone if sign.isdigit())
    if way == "written":
        forms = (dashed(digits), f"+1 {dashed(digits)}", f"({digits[:3]}) {digits[3:6]}-{digits[6:]}")
        return one._replace(phone=dice.pick(forms))
    if way == "digit":
        return one._replace(phone=digits[:-1] + str((int(digits[-1]) + 1 + dice.roll(8)) % 10))
    return one


def other_day(one: Person, dice: Dice, way: str) -> Person:
    """Return a person who joined, by this record, a few days or some years later."""
    days = {"near": 1 + dice.roll(20), "other": 40 + dice.roll(900)}.get(way, 0)
    return one._replace(joined=one.joined + timedelta(days=days))


def stranger(one: Person, dice: Dice) -> Person:
    """Return another person of the same name: nothing else is shared."""
    apart = other_day(other_phone(one, dice, "changed"), dice, "other")
    return apart._replace(email=new_address(one, dice))


def housemate(one: Person, dice: Dice, way: str) -> Person:
    """Return another person at the same address and number.

    ``father`` has the same name but for his generation, and an address of his own; ``twin`` a similar name and the same day of
    joining; ``spouse`` and ``child`` a name of their own and, more or less, the family's address.
    """
    if way == "father":
        elder = one._replace(family=one.family + dice.pick((" Sr", ", Sr.", " Sr.")))
        elder = elder._replace(joined=one.joined - timedelta(days=200 + dice.roll(3000)))
        return elder._replace(email=new_address(one, dice))
    given = ALIKE.get(one.given) if way == "twin" else None
    if given is None:
        number = dice.roll(2**40)
        given = partner_name(number, one.given) if way == "spouse" else given_name(number)
        given = given if given != one.given else "Rosalind"
    other = one._replace(given=given)
    local, domain = one.email.split("@")
    if way == "spouse":  # one mailbox for two
        return other._replace(email=f"{local}+{given.lower()}@{domain}")
    other = other._replace(email=new_address(other, dice))
    return other if way == "twin" else other_day(other, dice, "other")
