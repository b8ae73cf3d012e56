"""A second club for the matching of members, made by other rules than the demo's, with the truth.

Names come from other tables (``names.tsv``): social security's and the census of 2010, or Chile's. People have one
of a few large providers, numbers in three area codes, and joined one day in five with an import; errors are made
letter by letter at random, several in one record now and then. Nothing here was looked at when the model's weights
were written down.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from importlib.resources import files
from itertools import accumulate, combinations
from random import Random
from typing import NamedTuple

from benchmarks.variants import CALLED

Pair = tuple[str, str]

_PROVIDERS = (
    "gmail.com",
    "gmail.com",
    "gmail.com",
    "yahoo.com",
    "yahoo.com",
    "hotmail.com",
    "aol.com",
    "comcast.net",
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_IMPORTED = date(2021, 3, 1)


class Row(NamedTuple):
    """One member as the database has them."""

    id: str
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    joined_at: date | None = None


class AnotherClub(NamedTuple):
    """Members in no order, and which pairs of their ids are one person."""

    rows: list[Row]
    persons: frozenset[Pair]


class _Names(NamedTuple):
    names: list[str]
    ends: list[int]

    def drawn(self, chance: Random) -> str:
        return chance.choices(self.names, cum_weights=self.ends)[0]


def _read(country: str, kind: str) -> _Names:
    text = files("benchmarks").joinpath("names.tsv").read_text(encoding="utf-8")
    cells = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    table = [
        (name, int(weight))
        for where, what, weight, names in cells
        if (where, what) == (country, kind)
        for name in names.split()
    ]
    return _Names([name for name, _ in table], list(accumulate(weight for _, weight in table)))


def another_club(
    members: int = 2000, seed: int = 1, *, country: str = "us", unique_email: bool = True
) -> AnotherClub:
    """Make a club with a duplicate for each hundred members, and half as many who only look like somebody.

    Parameters
    ----------
    country : {"us", "cl"}
        Whose names its members have.
    unique_email : bool
        As in the application's dialect: no address is spelt twice alike.
    """
    maker = _Maker(Random(f"{seed} {country} {members} {unique_email}"), country, unique_email)
    people = maker.people(members)
    rows, persons = list(people), set()
    chosen = maker.chance.sample(people, members // 100 + members // 200)
    copies: dict[str, list[str]] = {}
    while len(rows) < members + members // 100:
        one = chosen.pop()
        for _ in range(1 if maker.chance.random() < 0.9 else 2):
            rows.append(maker.again(one))
            copies.setdefault(one.id, [one.id]).append(rows[-1].id)
    for ids in copies.values():
        persons |= {(min(pair), max(pair)) for pair in combinations(ids, 2)}
    for one in chosen:
        rows.append(maker.alike(one))
    maker.chance.shuffle(rows)
    return AnotherClub(rows, frozenset(persons))


class _Maker:
    def __init__(self, chance: Random, country: str, unique_email: bool) -> None:
        self.chance = chance
        self._given, self._family = _read(country, "given"), _read(country, "family")
        self._unique = unique_email
        self._emails: set[str] = set()
        self._mailboxes: set[str] = set()
        self._made = 0

    def people(self, members: int) -> list[Row]:
        found: list[Row] = []
        while len(found) < members:
            family, phone = self._family.drawn(self.chance), self._phone()
            # 15% of the members live in households of two to four.
            size = self.chance.randint(2, 4) if self.chance.random() < 0.0555 else 1
            given: list[str] = []
            while len(given) < size:
                name = self._given.drawn(self.chance)
                if name not in given:
                    given.append(name)
            found += [self._row(name, family, phone) for name in given]
        return found[:members]

    def again(self, one: Row) -> Row:
        """Return a second record of somebody, changed in one to four places."""
        changed = one._replace(id=self._id())
        ways: list[Callable[[Row], Row]] = [self._respelt, self._misnamed, self._moved, self._later]
        for way in self.chance.sample(ways, self.chance.randint(1, 4)):
            changed = way(changed)
        # Another address and another number at once leave nothing to know somebody by.
        if self._mailbox(str(changed.email)) != self._mailbox(str(one.email)) and changed.phone != one.phone:
            changed = changed._replace(phone=one.phone)
        return self._unlike(changed)

    def alike(self, one: Row) -> Row:
        """Return somebody else: a namesake, a parent or child of one name, a partner behind one mailbox."""
        way = self.chance.choice(("namesake", "parent", "partner"))
        given, family = str(one.first_name), str(one.last_name)
        if way == "namesake":
            return self._row(given, family, self._phone())
        if way == "parent":
            return self._row(given, f"{family} {self.chance.choice(('Jr', 'Jr.', 'III'))}", str(one.phone))
        partner = given
        while partner == given:
            partner = self._given.drawn(self.chance)
        return self._unlike(one._replace(id=self._id(), first_name=partner, joined_at=self._day()))

    def _row(self, given: str, family: str, phone: str) -> Row:
        return self._unlike(Row(self._id(), given, family, self._email(given, family), phone, self._day()))

    def _id(self) -> str:
        self._made += 1
        return f"{self.chance.getrandbits(48):012x}{self._made:08d}"

    def _phone(self) -> str:
        area = self.chance.choice(("805", "805", "805", "818", "310"))
        return f"{area}{self.chance.randint(2_000_000, 9_999_999)}"

    def _day(self) -> date:
        return (
            _IMPORTED
            if self.chance.random() < 0.2
            else date(2012, 1, 1) + timedelta(self.chance.randrange(5000))
        )

    def _email(self, given: str, family: str) -> str:
        first, last = ("".join(filter(str.isalpha, name.lower())) for name in (given, family))
        email, taken = self._wished(first, last), self._mailboxes
        while self._mailbox(email) in taken:  # nobody gets an address that is somebody else's
            email = f"{first}{self.chance.randrange(10_000)}{email[email.index('@') :]}"
        taken.add(self._mailbox(email))
        return email

    def _wished(self, first: str, last: str) -> str:
        number, word = (
            self.chance.randrange(100),
            self.chance.choice(("tennis", "sea", "rose", "jazz", "mtn")),
        )
        local = self.chance.choice(
            (
                f"{first}.{last}",
                f"{first[0]}{last}",
                f"{first}{number:02d}",
                f"{last}{1930 + number}",
                f"{word}{first}{number}",
            )
        )
        return f"{local}@{self.chance.choice(_PROVIDERS)}"

    def _unlike(self, one: Row) -> Row:
        """Give an address that is taken some digits more, where no address may be there twice."""
        email = str(one.email)
        while self._unique and email in self._emails:
            local, _, domain = email.partition("@")
            email = (
                f"{local}+{self.chance.randrange(10)}@{domain}" if "+" not in local else f"{local}1@{domain}"
            )
        self._emails.add(email)
        return one._replace(email=email)

    def _mailbox(self, email: str) -> str:
        local, _, domain = email.lower().partition("@")
        return f"{local.partition('+')[0].replace('.', '')}@{domain}"

    def _slip(self, word: str) -> str:
        """Return a word with one letter left out, put in, struck wrongly, or changed with the next."""
        at, letter = self.chance.randrange(len(word)), self.chance.choice(_LETTERS)
        before, rest = word[:at], word[at + 1 :]
        kept = word[at]
        return self.chance.choice(
            (
                before + (rest or kept),
                before + letter + kept + rest,
                before + letter + rest,
                before + rest[:1] + kept + rest[1:],
            )
        )

    def _misnamed(self, one: Row) -> Row:
        given, family = str(one.first_name), str(one.last_name)
        way = self.chance.choice(("given", "family", "nickname", "nickname", "exchanged", "case"))
        if way == "nickname" and given in CALLED:
            return one._replace(first_name=self.chance.choice(CALLED[given]))
        if way in ("given", "nickname"):
            return one._replace(first_name=self._slip(given))
        if way == "family":
            return one._replace(last_name=self._slip(family))
        if way == "exchanged":
            return one._replace(first_name=family, last_name=given)
        return one._replace(first_name=given.lower(), last_name=family.upper())

    def _respelt(self, one: Row) -> Row:
        local, _, domain = str(one.email).partition("@")
        way = self.chance.choice(("case", "dots", "tag", "slip", "other"))
        if way == "other":
            return one._replace(email=self._email(str(one.first_name), str(one.last_name)))
        at = self.chance.randrange(1, max(len(local), 2))
        spelt = {
            "case": local.upper(),
            "dots": local.replace(".", "") if "." in local else f"{local[:at]}.{local[at:]}",
            "tag": f"{local}+{self.chance.choice(('wa', 'member', 'spam'))}",
            "slip": self._slip(local),
        }
        return one._replace(email=f"{spelt[way]}@{domain}")

    def _moved(self, one: Row) -> Row:
        digits = str(one.phone)
        if self.chance.random() < 0.5:
            return one._replace(phone=f"({digits[:3]}) {digits[3:6]} {digits[6:]}")
        return one._replace(phone=self._phone())

    def _later(self, one: Row) -> Row:
        return one._replace(joined_at=self._day())
