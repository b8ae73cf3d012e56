"""Days of birth, identifiers, addresses and further e-mails and phones tell people apart, and a club's own figures are used."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from workbench.duplicates.matching.matching import match_people
from workbench.duplicates.matching.model import Model
from workbench.duplicates.matching.training import ENOUGH

NAMES = {"first_name": "given", "last_name": "family"}
GIVEN = ("Anna", "Berta", "Carl", "Dora", "Emil", "Frida", "Gustav", "Hanna", "Ivan", "Judith")
FAMILY = ("Abel", "Brandt", "Cohen", "Dietz", "Ebert", "Fuchs", "Gross", "Huber", "Iske", "Jung", "Keller")


def people(number: int, further) -> list[tuple]:
    return [
        (f"m{at:05}", GIVEN[at % 10], f"{FAMILY[at % 11]}{'aeiou'[at % 5]}{'lmnrst'[at % 6]}", *further(at))
        for at in range(number)
    ]


@pytest.mark.parametrize(
    ("kind", "value", "slip", "other"),
    [
        ("date", "1950-03-17", "1950-03-71", "1931-11-02"),
        ("identifier", "A-734512", "A-735412", "A-119083"),
        ("address", "12 Harbour Street, Apt 4, Springfield", "12 Harbor Street, Apt 4, Springfield", "9 Elm Road"),
        ("email", "anna@home.example", "anna@hone.example", "club@work.example"),
        ("phone", "805 555 0134", "805 555 0143", "212 555 9876"),
        ("name", "Zimmermann", "Zimmerman", "Quist"),
    ],
)  # fmt: skip
def test_a_field_of_each_kind_tells(kind, value, slip, other):
    named = ("Zora", "Quigley")
    rows = [*people(300, lambda at: (None,)), ("x1", *named, value), ("x2", *named, value)]
    weights = {}
    for said, second in (("same", value), ("slip", slip), ("other", other)):
        found = match_people([*rows[:-1], ("x2", *named, second)], {**NAMES, "further": kind}, threshold=0)
        ((bits,),) = found.loc[found["left"] == "x1", ["weight_further"]].to_numpy().tolist()
        weights[said] = bits
    assert weights["slip"] > weights["other"]
    assert weights["other"] < 0
    # Two of one surname at one address may be housemates: there it proves nothing.
    assert kind == "address" or weights["same"] > max(weights["slip"], 0)


def test_days_of_joining_that_can_only_be_of_birth_are_weighed_as_such():
    rows = people(400, lambda at: (date(1920, 1, 1) + timedelta(days=at * 71),))
    found = match_people(rows, {**NAMES, "joined_at": "joined"})
    assert any("days of birth" in each for each in found.attrs["said"])


def test_many_duplicates_need_less_evidence_and_a_given_model_stays():
    fields = {**NAMES, "born": "date"}
    born = [(date(1920, 1, 1) + timedelta(days=at * 71)).isoformat() for at in range(400)]
    rows = people(400, lambda at: (born[at],))
    rows += [(f"again{row[0]}", *row[1:]) for row in rows]
    found = match_people(rows, fields)
    assert found.attrs["model"].duplicates_each > 0.3
    assert match_people(rows, fields, model=Model.shipped()).attrs["model"] == Model.shipped()


def test_shares_are_estimated_from_enough_members_and_never_below():
    fields = {**NAMES, "born": "date"}

    def club(number):
        rows = [
            (
                f"m{at:05}",
                f"{GIVEN[at % 10]}{chr(97 + at % 23)}",
                f"{FAMILY[at % 11]}{at * 7919 % 5003}",
                f"19{at % 90 + 10}-0{at % 9 + 1}-{at % 19 + 10}",
            )
            for at in range(number)
        ]
        return rows + [(f"again{row[0]}", *row[1:]) for row in rows[:200]]

    below = match_people(club(ENOUGH - 201), fields).attrs["model"]
    enough = match_people(club(ENOUGH - 200), fields).attrs["model"]
    assert not below.shares
    assert enough.shares["born"]["same day"].m != pytest.approx(0.8, abs=0.01)
