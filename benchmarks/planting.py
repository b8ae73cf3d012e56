"""Duplicate members planted for the probabilistic match, with the truth: who is one person, and who only looks it.

Harder than the breakage ``duplicate-members``, whose copies share an address: here records differ in several
ways at once, and beside them live namesakes, fathers and sons, twins, and couples with one mailbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.variants import (
    Dice,
    Person,
    housemate,
    other_day,
    other_email,
    other_name,
    other_phone,
    stranger,
)
from workbench.demo.breakages import victims
from workbench.demo.club import Club

_HOSTILE = 3
_BEYOND = 10_000_000  # numbers that no import and no breakage gives
_LOOKALIKES = ("stranger", "father", "twin", "spouse", "child")

_NAMES = {"same": 38, "typo": 20, "nickname": 20, "exchanged": 10, "hyphen": 4, "case": 8}
_EMAILS = {"same": 14, "case": 14, "dots": 18, "plus": 18, "typo": 10, "other": 26}
_PHONES = {"same": 30, "written": 28, "digit": 4, "changed": 38}
_DAYS = {"same": 60, "near": 15, "other": 25}


@dataclass(frozen=True)
class PlantedPeople:
    """The truth of what was planted.

    Attributes
    ----------
    clusters : tuple of tuple of str
        Member ids that are one person, the record that was there before first.
    lookalikes : tuple of (str, str, str)
        Two members who are not one person, and why they look it.
    """

    clusters: tuple[tuple[str, ...], ...]
    lookalikes: tuple[tuple[str, str, str], ...]

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """Every duplicate with the record that was there before, the smaller id first."""
        return frozenset(
            (min(first, other), max(first, other)) for first, *others in self.clusters for other in others
        )

    @property
    def persons(self) -> frozenset[tuple[str, str]]:
        """Every pair of records that are one person; two duplicates may have nothing in common but the first."""
        return frozenset(
            (min(pair), max(pair)) for cluster in self.clusters for pair in combinations(cluster, 2)
        )


def plant_duplicates(
    connection: psycopg.Connection[Any], club: Club, *, share: float = 0.01, seed: int | None = None
) -> PlantedPeople:
    """Plant duplicates of a share of the members, and half as many look-alikes.

    Every duplicate can be known: where the e-mail address is another one, either the phone number is the
    same, or names and day of joining are. A tenth of the people come a third time. In the application's
    dialect no address comes twice, so that it differs at least in case.

    Parameters
    ----------
    share : float
        Duplicates, as a share of the members.
    seed : int, optional
        Else the club's.
    """
    seed = club.seed if seed is None else seed
    rows: list[tuple[Person, str]] = []  # each with the id of the member it looks like
    taken: set[str] = set()
    clusters: dict[str, list[str]] = {}
    lookalikes: list[tuple[str, str, str]] = []
    wanted = max(1, round(club.members * share))
    people = _people(connection, club, seed)
    while len(rows) < wanted:
        one = next(people)
        copies = 2 if Dice(seed, "copies", one.number).roll(10) == 0 else 1
        for _ in range(min(copies, wanted - len(rows))):
            again = _add(club, rows, taken, one, _again(club, one, Dice(seed, "again", _BEYOND + len(rows))))
            clusters.setdefault(one.id, [one.id]).append(again.id)
    with connection.transaction():
        for place in range(max(1, wanted // 2)):
            one, way = next(people), _LOOKALIKES[place % len(_LOOKALIKES)]
            dice = Dice(seed, way, one.number)
            other = stranger(one, dice) if way == "stranger" else housemate(one, dice, way)
            if way == "father" and dice.roll(2):
                query = 'UPDATE "Member" SET "lastName" = %s WHERE id = %s'
                connection.execute(query, (f"{one.family} Jr", one.id))
            lookalikes.append((one.id, _add(club, rows, taken, one, other).id, way))
        for row, original in rows:
            connection.execute(
                """INSERT INTO "Member" SELECT (jsonb_populate_record(m, %s)).* FROM "Member" m WHERE id = %s""",
                (Jsonb(_columns(row)), original),
            )
        connection.execute('ANALYZE "Member"')
    return PlantedPeople(tuple(map(tuple, clusters.values())), tuple(lookalikes))


def _people(connection: psycopg.Connection[Any], club: Club, seed: int) -> Iterator[Person]:
    """Yield members in an order of the seed's own; none that a breakage harms, nobody twice."""
    query = 'SELECT id::text, "firstName", "lastName", email, phone, "joinedAt" FROM "Member"'
    there = {row[0]: row for row in connection.execute(query)}
    spared = {key for *_, key, _ in victims(club)} | {club.id("Member", _HOSTILE)}
    dice = Dice(seed, "people", 0)
    seen: set[int] = set()
    while len(seen) < club.members:
        number = dice.roll(club.members)
        if number not in seen:
            seen.add(number)
            if (key := club.id("Member", number)) not in spared:
                yield Person(number, *there[key])


def _columns(one: Person) -> dict[str, Any]:
    """Return a new record's columns; nobody's import brought it."""
    own = {
        "id": one.id,
        "firstName": one.given,
        "lastName": one.family,
        "email": one.email,
        "phone": one.phone,
    }
    none = dict.fromkeys(("profilePhotoId", "waRawData", "importRunId"))
    return {**own, "joinedAt": one.joined.isoformat(), **none}


def _again(club: Club, one: Person, dice: Dice) -> Person:
    """Return a second record of somebody."""
    email = dice.often(_EMAILS)
    if email == "same" and club.dialect == "application":
        email = "case"
    name, phone, day = dice.often(_NAMES), dice.often(_PHONES), dice.often(_DAYS)
    if email == "other" and phone == "changed":
        if dice.roll(5):
            phone = "written"
        else:  # the hardest: nothing but the name and the day are left
            name, day = "same", "same"
    again = other_email(one, dice, email)
    again = other_day(other_phone(again, dice, phone), dice, day)
    return other_name(again, dice, name)


def _add(
    club: Club, rows: list[tuple[Person, str]], taken: set[str], original: Person, one: Person
) -> Person:
    """Give a new record its number, and its address a sign more where that is taken."""
    number = _BEYOND + len(rows)
    email = one.email
    if club.dialect == "application":
        while email in taken:
            local, domain = email.split("@")
            email = f"{local}x@{domain}"
    taken.add(email)
    added = one._replace(number=number, id=club.id("Member", number), email=email)
    rows.append((added, original.id))
    return added
