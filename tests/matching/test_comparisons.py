"""Each kind of agreement and disagreement, one at a time."""

from __future__ import annotations

from datetime import date

import pytest

from tests.matching.people import ONE, strangers
from workbench.duplicates.matching import DEFAULT_THRESHOLD
from workbench.duplicates.matching.matching import match_people
from workbench.duplicates.matching.people import gather
from workbench.duplicates.matching.pet_names import kinship
from workbench.duplicates.matching.scoring import COMPARISONS


def judged(one=ONE, threshold=0.0, **other):
    """Return the pair of somebody and a second record of them, if it was compared."""
    found = match_people(
        gather([*strangers(), one, one._replace(id="x2", **other)]), threshold=threshold, threads=1
    )
    pair = found[(found["left"] == "x1") & (found["right"] == "x2")]
    return pair.iloc[0] if len(pair) else None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
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
        ({"phone": "+1 805-555-1234"}, "same phone"),
        ({"phone": "555-1234"}, "same phone but for its area code"),
        ({"phone": "8055551235"}, "phone but for one digit"),
        ({"joined_at": date(2020, 6, 5)}, "joined about the same time"),
        ({"phone": None, "joined_at": None}, "same e-mail"),
        ({"email": None}, "same phone"),
    ],
)
def test_one_person(changes, why):
    pair = judged(**changes)
    assert pair["probability"] >= DEFAULT_THRESHOLD
    assert why in pair["why"].split("; ")


@pytest.mark.parametrize(
    ("changes", "against"),
    [
        ({"first_name": "Mary"}, "different first name"),  # a family address
        ({"first_name": "Mary", "email": "mary@example.net"}, "different first name"),
        ({"first_name": "Roberta", "email": "roberta@example.net"}, "could be two people of one household"),
        ({"last_name": "Quist Sr", "email": "old.quist@example.net"}, "different generation"),
    ],
)
def test_two_people_of_one_household(changes, against):
    pair = judged(one=ONE._replace(last_name="Quist Jr") if "last_name" in changes else ONE, **changes)
    assert pair["probability"] < DEFAULT_THRESHOLD
    assert against in pair["against"].split("; ")
    assert not pair["offered"]


def test_twins_with_names_alike_are_two():
    jon = ONE._replace(first_name="John", email="john7@example.org")
    assert judged(one=jon, first_name="Joan", email="joan4@example.net")["probability"] < DEFAULT_THRESHOLD


def test_names_that_are_alike_may_be_exchanged_as_well():
    pair = judged(
        one=ONE._replace(first_name="Marion", last_name="Martin"), first_name="Martin", last_name="Marion"
    )
    assert pair["probability"] >= DEFAULT_THRESHOLD
    assert "first name and surname exchanged" in pair["why"].split("; ")


def test_a_couple_with_one_mailbox_and_names_alike_are_two():
    one = ONE._replace(first_name="Marilynn", email="marilynn@example.org")
    mate = {"first_name": "Marilyn", "email": "marilynn+marilyn@example.org"}
    tagged, other = judged(one=one, **mate), judged(one=one, **{**mate, "email": "marilynn+club@example.org"})
    assert tagged["probability"] < DEFAULT_THRESHOLD
    assert other["weight_email"] > tagged["weight_email"] + 6


def test_names_of_two_sexes_are_no_forms_of_each_other():
    """The data set of nicknames has Wilma among the forms of William."""
    wilma = judged(
        one=ONE._replace(first_name="William"), first_name="Wilma", email="wilma.quist@example.net"
    )
    assert wilma["probability"] < 0.01
    assert kinship("william", "wilma") == 0 < kinship("samantha", "sam")


def test_a_pet_form_that_many_go_by_is_likelier():
    assert kinship("john", "jack") > 2 * kinship("john", "jock")


def test_a_rare_name_proves_as_much_against_a_namesake_in_the_house_as_a_frequent_one():
    """A father and son Brooks are as rare as a father and son John."""
    rare, frequent = (
        judged(
            one=ONE._replace(first_name=name, email=f"{name}@example.org"), email=f"golf{name}@example.net"
        )
        for name in ("Xerxes", "John")
    )
    assert abs(rare["probability"] - frequent["probability"]) < 0.15


def test_the_own_name_of_gracie_lancaster_does_not_say_graciela():
    one = ONE._replace(first_name="Gracie", last_name="Lancaster", email="gracielancaster7@example.org")
    pair = judged(one=one, first_name="Graciela", email="lancaster5@example.net")
    assert pair["weight_email"] < 0


def test_namesakes_are_two():
    smith = ONE._replace(first_name="James", last_name="Smith", email="james.smith@example.org")
    pair = judged(one=smith, email="james.smith@example.net", phone="2125550000", joined_at=date(2011, 1, 2))
    assert pair["probability"] < 0.5


def test_a_frequent_name_weighs_less():
    smith = judged(one=ONE._replace(last_name="Smith"))
    assert smith["weight_family"] < judged()["weight_family"] - 3


def test_an_office_address_says_little():
    office = [each._replace(email="office@example.org", phone="8055550000") for each in strangers()]
    found = match_people(gather(office), threshold=0.5)
    assert found.empty


def test_what_an_address_says_of_the_name_is_not_counted_twice():
    plain = judged(email="robert.quist@example.net")
    own = judged(one=ONE._replace(email="goldfish.lover@example.org"), email="goldfish.lover@example.net")
    assert own["weight_email"] > plain["weight_email"] + 3


def test_a_day_that_everybody_joined_on_says_nothing():
    day = date(2026, 4, 21)
    people = [each._replace(joined_at=day) for each in strangers()]
    pair = match_people(
        gather([*people, ONE._replace(joined_at=day), ONE._replace(id="x2", joined_at=day)]), threshold=0
    )
    pair = pair[(pair["left"] == "x1") & (pair["right"] == "x2")].iloc[0]
    assert abs(pair["weight_joined"]) < 1.5


def test_every_comparison_has_its_weight():
    pair = judged()
    assert [name for name in pair.index if name.startswith("weight_")] == [f"weight_{n}" for n in COMPARISONS]


def test_no_personal_value_in_the_words():
    pair = judged(first_name="Bob", phone="2125550000")
    for value in (ONE.first_name, ONE.last_name, "bob", ONE.email, ONE.phone):
        assert value.lower() not in f"{pair['why']} {pair['against']}".lower()
