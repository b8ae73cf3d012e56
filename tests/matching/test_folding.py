from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.duplicates.matching.folding import address_parts, fold_email, fold_name, fold_phone, fold_rows
from workbench.duplicates.matching.model import FIELDS
from workbench.duplicates.matching.names import kinship
from workbench.normalise import normalise


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("JOSÉ", "jose"),
        ("O'Brien", "OBrien"),
        ("O\u2019Brien", "obrien"),
        ("Smith-Jones", "smith  jones"),
        ("Søren", "Soren"),
        ("Straße", "strasse"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_names_that_are_one(one, other):
    assert normalise(one) == normalise(other)


def test_other_scripts_keep_what_tells_them_apart():
    assert normalise("किरण") != normalise("करण")
    assert normalise("李") != normalise("王")
    assert normalise("Иван") == "иван"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_folding_twice_is_folding_once(text):
    assert normalise(normalise(text)) == normalise(text)
    fold_email(text), fold_phone(text), fold_name(text)  # whatever it is, it is no error


@pytest.mark.parametrize(
    ("text", "words", "generation"),
    [
        ("Smith Jr.", "smith", "2"),
        ("Smith, III", "smith", "3"),
        ("Dr. Anna", "anna", ""),
        ("Junior", "junior", ""),
        ("", "", ""),
        (None, "", ""),
        ("  ", "", ""),
    ],
)
def test_titles_and_generations_are_told_apart(text, words, generation):
    assert fold_name(text) == (words, generation)


def test_one_mailbox_however_spelt():
    spelt = ["john.smith@Example.org", "JohnSmith@example.org", "johnsmith+club@example.org"]
    assert {fold_email(each)[""] for each in spelt} == {"johnsmith@example.org"}
    assert fold_email("a.b@googlemail.com")["_dotted"] == fold_email("ab@gmail.com")["_dotted"]
    assert fold_email("a.b@example.org")["_dotted"] != fold_email("ab@example.org")["_dotted"]


@pytest.mark.parametrize("text", ["", None, "nobody", "@example.org", "a@", "   "])
def test_what_is_no_address(text):
    assert fold_email(text) == {}


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("+1 (805) 555-1234", "8055551234"),
        ("805.555.1234 ext 9", "8055551234"),
        ("805 555 1234 x22", "8055551234"),
        ("0000000000", ""),
        ("n/a", ""),
        ("123", ""),
        (None, ""),
    ],
)
def test_phone_numbers(text, digits):
    assert fold_phone(text) == digits


def test_an_address_of_nothing_but_the_name_says_nothing_more():
    names = ("john", "smith")
    assert address_parts("john.smith", *names) == ("john", "")
    assert address_parts("jsmith77", *names) == ("j77", "00")
    assert address_parts("smith1977", *names) == ("1977", "99")
    assert address_parts("goldfish.john", *names) == ("goldfishjohn", "goldfish")


def test_nicknames():
    for one, other in (("bob", "robert"), ("peggy", "margaret"), ("pepe", "jose"), ("bob", "rob")):
        assert kinship(one, other) == kinship(other, one) > 0
    assert kinship("robert", "mary") == 0


def test_of_a_value_as_long_as_a_book_no_more_is_compared_than_of_an_address() -> None:
    long = "x" * 100_000
    ((row,),) = fold_rows(
        [("1" * 300, long, long, f"{long}@example.org", "5" * 100_000, "2020-01-01")], FIELDS
    )
    assert row[0] == "1" * 300, "an id is no value"
    assert max(len(each) for each in row[1:] if isinstance(each, str)) <= 254
