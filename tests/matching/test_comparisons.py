"""Each kind of agreement and disagreement, one at a time: all of them are pairs of one club, matched once."""

from __future__ import annotations

import re
from datetime import date

import pandas as pd
import pytest

from benchmarks.another_club import Row
from tests.matching.people import ONE, strangers
from workbench.duplicates.matching import DEFAULT_THRESHOLD, evidence
from workbench.duplicates.matching.matching import match_people
from workbench.duplicates.matching.names import kinship

ONE_PERSON = [
    ({}, "same e-mail"),
    ({"email": "ROBERT.QUIST@example.org"}, "same e-mail but for case or tag"),
    ({"email": "robert.quist+club@example.org"}, "same e-mail but for case or tag"),
    ({"email": "robertquist@example.org"}, "same e-mail but for its dots"),
    ({"email": "robert.qiust@example.org"}, "similar e-mail"),
    ({"first_name": "Bob"}, "nickname of the first name"),
    ({"first_name": "Rboert"}, "first name but for a typing error"),
    ({"first_name": "R."}, "initial of the first name"),
    ({"first_name": "Robert-Paul"}, "part of the first name"),
    ({"last_name": "Quits"}, "surname but for a typing error"),
    ({"last_name": "Quist-Larsen"}, "part of the surname"),
    ({"first_name": "Quist", "last_name": "Robert"}, "first name and surname exchanged"),
    ({"first_name": "QUIST", "last_name": "Bob"}, "first name and surname exchanged"),
    ({"phone": "+1 805-347-1234"}, "same phone"),
    ({"phone": "347-1234"}, "same phone but for its area code"),
    ({"phone": "8053471235"}, "phone but for one digit"),
    ({"joined_at": date(2020, 6, 5)}, "joined about the same time"),
    ({"phone": None, "joined_at": None}, "same e-mail"),
    ({"email": None}, "same phone"),
]
HOUSEMATES = [
    ({"first_name": "Mary"}, "different first name"),  # a family address
    ({"first_name": "Mary", "email": "mary@example.net"}, "different first name"),
    ({"first_name": "Roberta", "email": "roberta@example.net"}, "could be two people of one household"),
    ({"last_name": "Quist Sr", "email": "old.quist@example.net"}, "different generation"),
]


def twice(one: Row = ONE, **changes) -> tuple[Row, Row]:
    return one, one._replace(**changes)


PAIRS = {
    **{f"person {place}": twice(**changes) for place, (changes, _) in enumerate(ONE_PERSON)},
    **{
        f"housemates {place}": twice(
            ONE._replace(last_name="Quist Jr") if "last_name" in changes else ONE, **changes
        )
        for place, (changes, _) in enumerate(HOUSEMATES)
    },
    "twins": twice(
        ONE._replace(first_name="John", email="quist7@example.org"),
        first_name="Joan",
        email="quist4@example.net",
    ),
    "names alike, exchanged": twice(
        ONE._replace(first_name="Marion", last_name="Martin"), first_name="Martin", last_name="Marion"
    ),
    "couple, one mailbox": twice(
        ONE._replace(first_name="Marilynn"), first_name="Marilyn", email="robert.quist+marilyn@example.org"
    ),
    "typing error, one mailbox": twice(
        ONE._replace(first_name="Marilynn"), first_name="Marilyn", email="robert.quist+club@example.org"
    ),
    "two sexes": twice(
        ONE._replace(first_name="William"), first_name="Wilma", email="wilma.quist@example.net"
    ),
    "own name": twice(
        ONE._replace(first_name="Gracie", email="graciequist7@example.org"),
        first_name="Graciela",
        email="quist5@example.net",
    ),
    "namesakes": twice(
        ONE._replace(first_name="James", last_name="Smith"),
        email="james.smith@example.net",
        phone="2129990000",
        joined_at=date(2011, 1, 2),
    ),
    "rare surname": twice(first_name="Maud", phone="2129990000", email=None),
    "frequent surname": twice(
        ONE._replace(last_name="Smith"), first_name="Maud", phone="2129990000", email=None
    ),
    "address of the name": twice(email="robert.quist@example.net"),
    "address of one's own": twice(
        ONE._replace(email="quistgoldfish.lover@example.org"), email="quistgoldfish.lover@example.net"
    ),
    "nothing in common": twice(first_name="Bob", phone="2129990000", email=None),
}


def spell(row: Row, key: str, place: int) -> Row:
    """Give a pair names, address and number of its own."""
    begin = "BDFGKLMNPRSTVZ"[place % 14] + "aeio"[place // 14]
    cells = {name: text for name, text in row._asdict().items() if isinstance(text, str)}
    for name, text in cells.items():
        own = re.sub("(?i)q(uist|uits|iust)", lambda word: begin + word[0], text)
        cells[name] = re.sub("(347|212)", lambda digits: str(int(digits[0]) + place), own)
    return row._replace(**{**cells, "id": key})


@pytest.fixture(scope="module")
def judged() -> dict[str, pd.Series]:
    rows = [
        spell(row, f"{key} {number}", place)
        for place, (key, both) in enumerate(PAIRS.items())
        for number, row in enumerate(both)
    ]
    found = match_people([*strangers(), *rows], threshold=0.0)
    return {
        left.removesuffix(" 0"): row
        for left, right, row in zip(found["left"], found["right"], found.iloc, strict=True)
        if left.removesuffix(" 0") == right.removesuffix(" 1")
    }


@pytest.mark.parametrize("place", range(len(ONE_PERSON)), ids=[str(changes) for changes, _ in ONE_PERSON])
def test_one_person(judged, place):
    found = judged[f"person {place}"]
    assert found["probability"] >= DEFAULT_THRESHOLD
    assert ONE_PERSON[place][1] in found["why"].split("; ")


@pytest.mark.parametrize("place", range(len(HOUSEMATES)), ids=[str(changes) for changes, _ in HOUSEMATES])
def test_two_people_of_one_household(judged, place):
    found = judged[f"housemates {place}"]
    assert found["probability"] < DEFAULT_THRESHOLD
    assert HOUSEMATES[place][1] in found["against"].split("; ")
    assert not found["offered"]


@pytest.mark.parametrize("two", ["twins", "couple, one mailbox", "two sexes", "namesakes"])
def test_who_is_much_alike_and_two(judged, two):
    assert judged[two]["probability"] < DEFAULT_THRESHOLD


def test_names_that_are_alike_may_be_exchanged_as_well(judged):
    found = judged["names alike, exchanged"]
    assert found["probability"] >= DEFAULT_THRESHOLD
    assert "first name and surname exchanged" in found["why"].split("; ")


def test_a_tag_that_is_a_first_name_tells_housemates(judged):
    tagged, other = judged["couple, one mailbox"], judged["typing error, one mailbox"]
    assert other["weight_email"] > tagged["weight_email"] + 4


def test_a_pet_form_that_many_go_by_is_likelier():
    assert kinship("john", "jack") > 2 * kinship("john", "jock")
    assert kinship("william", "wilma") == 0 < kinship("samantha", "sam")


def test_the_own_name_of_gracie_lancaster_does_not_say_graciela(judged):
    assert judged["own name"]["weight_email"] < 0


def test_a_frequent_name_weighs_less(judged):
    assert judged["frequent surname"]["weight_surname"] < judged["rare surname"]["weight_surname"] - 3


def test_what_an_address_says_of_the_name_is_not_counted_twice(judged):
    plain, own = judged["address of the name"], judged["address of one's own"]
    assert own["weight_email"] > plain["weight_email"] + 3


def test_an_office_address_says_little():
    office = [each._replace(email="office@example.org", phone="8055550000") for each in strangers()]
    assert match_people(office, threshold=0.5).empty


def test_a_day_that_everybody_joined_on_says_nothing():
    day = date(2026, 4, 21)
    people = [each._replace(joined_at=day) for each in (*strangers(), ONE, ONE._replace(id="x2"))]
    found = match_people(people, threshold=0.1)
    (pair,) = found[(found["left"] == "x1") & (found["right"] == "x2")].to_dict("records")
    assert abs(pair["weight_joined"]) < 1.5


def test_no_personal_value_in_the_words(judged):
    found = judged["nothing in common"]
    said = f"{found['why']} {found['against']} {' '.join(evidence(found))}".lower()
    for value in ("robert", "quist", "bob", "example.org", "1234"):
        assert value not in said
