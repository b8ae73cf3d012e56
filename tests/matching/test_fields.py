"""Days of birth, identifiers, addresses and further e-mails and phones tell people apart, and a club's own figures are used."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

import pytest

from workbench.duplicates.matching.matching import match_people
from workbench.duplicates.matching.model import Model
from workbench.duplicates.matching.names import census
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
    rows = people(300, lambda at: (None,))
    for family, second in (("Quigley", value), ("Quimby", slip), ("Quill", other)):
        rows += [(f"{family} 1", "Zora", family, value), (f"{family} 2", "Zora", family, second)]
    pairs = match_people(rows, {**NAMES, "further": kind}, threshold=0).set_index(["left", "right"])
    same, slipped, different = (
        pairs.loc[(f"{family} 1", f"{family} 2"), "weight_further"]
        for family in ("Quigley", "Quimby", "Quill")
    )
    assert slipped > different
    assert different < 0
    # Two of one surname at one address may be housemates: there it proves nothing.
    assert kind == "address" or same > max(slipped, 0)


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
    assert match_people(rows, fields, model=Model()).attrs["model"] == Model()


@pytest.fixture(scope="module")
def names():
    listed = sorted(census().items())
    given = [name for name, known in listed if known.given]
    return given[::4], [name for name, known in listed if known.family > known.given][::5]


def share_of_a_day(names, members, *, changed):
    """Estimate how often one person's days agree, of a club a fifth of which is there twice; of the copies, some have another day."""
    random = Random(5)

    def day():
        return (date(1940, 1, 1) + timedelta(days=random.randrange(20_000))).isoformat()

    given, family = names
    rows = [
        (f"m{at:05}", random.choice(given), random.choice(family), day()) for at in range(members * 5 // 6)
    ]
    copies = [
        (f"again{row[0]}", *row[1:3], day() if at < changed else row[3])
        for at, row in enumerate(rows[: members - len(rows)])
    ]
    found = match_people([*rows, *copies], {**NAMES, "born": "date"}).attrs["model"].shares
    return found["born"]["same day"].m if found else None


def test_shares_are_estimated_from_enough_members_and_never_below(names):
    assert share_of_a_day(names, ENOUGH - 1, changed=0) is None
    assert share_of_a_day(names, ENOUGH, changed=0) > 0.9
    assert share_of_a_day(names, ENOUGH, changed=250) == pytest.approx(0.7, abs=0.05)


def test_agreement_as_a_whole_stays_as_shipped_where_little_else_tells_duplicates(names):
    given, family = names
    few = given[:40], family[:40]
    assert 0.8 < share_of_a_day(few, ENOUGH, changed=250) < 0.9
