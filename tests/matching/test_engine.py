"""What holds whatever the members are: order, threads, hostile and missing values, large blocks, models."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import database_at
from tests.matching.people import ONE, strangers
from workbench.database.connection import raw
from workbench.duplicates.matching import Model, match_members
from workbench.duplicates.matching.blocking import LARGEST_BLOCK, Blocks
from workbench.duplicates.matching.matching import match_people
from workbench.duplicates.matching.people import Row, gather
from workbench.errors import SchemaGap, UsageError
from workbench.murmurant.schema import read_schema

SECOND = ONE._replace(id="x2", first_name="Bob")


def bytes_of(rows, threads=None):
    found = match_people(gather(rows), threshold=0.0001, threads=threads)
    return found.to_csv().encode(), found.attrs["said"]


def test_threads_and_order_do_not_matter():
    rows = [*strangers(), ONE, SECOND]
    wanted = bytes_of(rows, threads=1)
    assert bytes_of(rows, threads=2) == wanted
    assert bytes_of(rows[::-1], threads=2) == wanted


WORDS = st.one_of(
    st.none(), st.sampled_from(["Bob", "Robert", "", "O'Brien", "李", "J."]), st.text(max_size=8)
)
ROWS = st.lists(
    st.tuples(
        WORDS,
        WORDS,
        st.one_of(
            st.none(), st.sampled_from(["a@b.c", "A.@b.c", "'; DROP TABLE", "bob@x"]), st.text(max_size=9)
        ),
        st.one_of(st.none(), st.sampled_from(["8055551234", "805-555-1235", "x"]), st.text(max_size=9)),
        st.one_of(st.none(), st.dates()),
    ),
    max_size=12,
)


@settings(max_examples=5, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_whatever_the_values_the_order_does_not_matter(values, chance):
    rows = [Row(f"id{number:02d}", *each) for number, each in enumerate(values)]
    wanted = match_people(gather(rows), threshold=0.0)
    assert wanted["probability"].between(0, 1).all()
    assert (wanted["left"] < wanted["right"]).all()
    chance.shuffle(rows)
    assert match_people(gather(rows), threshold=0.0).to_csv() == wanted.to_csv()


@settings(max_examples=5, deadline=None)
@given(WORDS, WORDS, WORDS, WORDS)
def test_a_pair_is_judged_alike_from_either_side(given_, family, other_given, other_family):
    rows = [ONE._replace(first_name=given_, last_name=family)]
    rows += [ONE._replace(id="x2", first_name=other_given, last_name=other_family)]
    swapped = [rows[0]._replace(id="x2"), rows[1]._replace(id="x1")]
    one, other = (match_people(gather([*strangers(50), *each]), threshold=0.0) for each in (rows, swapped))
    pick = ["probability", "why", "against"]
    assert one[one["left"] == "x1"][pick].equals(other[other["left"] == "x1"][pick])


@pytest.mark.parametrize("rows", [[], [ONE], [Row("a"), Row("b"), Row("c", "", "", "", "")]])
def test_nobody_to_compare(rows):
    assert match_people(gather(rows)).empty


def test_blocks_that_are_too_large_are_split_or_left_out_and_said():
    rows = [ONE._replace(id=f"y{number:04d}") for number in range(3 * LARGEST_BLOCK)]
    blocks = Blocks(gather(rows))
    assert sum(len(left) for left, _ in blocks.portions()) == 0
    assert {each.members for each in blocks.skipped} == {3 * LARGEST_BLOCK}
    blocks.close()
    spread = [
        each._replace(last_name=f"Q{chr(97 + n % 26)}{chr(97 + n // 26)}") for n, each in enumerate(rows)
    ]
    blocks = Blocks(gather(spread[:LARGEST_BLOCK]))
    assert sum(len(left) for left, _ in blocks.portions()) == LARGEST_BLOCK * (LARGEST_BLOCK - 1) // 2
    assert blocks.skipped == ()
    blocks.close()


def test_pairs_grow_with_the_members_not_their_square():
    sizes = []
    for count in (2000, 4000):
        blocks = Blocks(
            gather(
                [each._replace(phone="8055551234", joined_at=date(2020, 1, 1)) for each in strangers(count)]
            )
        )
        sizes.append(sum(len(left) for left, _ in blocks.portions()))
        blocks.close()
    assert sizes[1] <= 2.5 * max(sizes[0], LARGEST_BLOCK * 2000)


def test_two_members_with_one_id_are_refused():
    with pytest.raises(ValueError, match="one id"):
        gather([ONE, ONE])


@pytest.mark.parametrize("column", ["email", "phone", "joinedAt"])
def test_a_column_that_is_not_there_is_left_out_and_said(clubs, column):
    cloned = clubs.clone("guide")
    cloned.execute(f'ALTER TABLE "Member" DROP COLUMN "{column}" CASCADE')
    with database_at(cloned.url).reading() as connection:
        found = match_members(connection, read_schema(raw(connection)), threshold=0.01)
    assert any(column in said for said in found.attrs["said"])


def test_without_names_nobody_is_compared(clubs):
    cloned = clubs.clone("guide")
    cloned.execute('ALTER TABLE "Member" DROP COLUMN "lastName"')
    with database_at(cloned.url).reading() as connection, pytest.raises(SchemaGap, match="lastName"):
        match_members(connection, read_schema(raw(connection)))


def test_a_model_is_written_and_read(tmp_path):
    Model.shipped().write(tmp_path / "model.json")
    assert Model.read(tmp_path / "model.json") == Model.shipped()
    (tmp_path / "part.json").write_text(json.dumps({"duplicates_each": 0.5}))
    trained = Model.read(tmp_path / "part.json")
    rows = gather([*strangers(), ONE, SECOND])
    one, other = (match_people(rows, threshold=0.0, model=each) for each in (Model.shipped(), trained))
    assert other["weight_prior"].iloc[0] > one["weight_prior"].iloc[0] + 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSON"),
        ("[]", "object"),
        ('{"given": {"sane": 0.5}}', "given.sane"),
        ('{"phone": {"same": 1.5}}', "phone.same"),
        ('{"phone": {"same": 0.99}}', "more than one"),
        ('{"housemates_each": -1}', "housemates_each"),
        ('{"duplicates_each": "NaN"}', "duplicates_each"),
    ],
)
def test_a_file_that_is_no_model(tmp_path, text, said):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        Model.read(tmp_path / "model.json")


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        Model.read(tmp_path / "none.json")
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        Model.read(tmp_path / "latin")


@pytest.mark.parametrize(
    ("other", "least", "offered"),
    [
        ({}, 0.99, True),
        ({"last_name": "Hale"}, 0.99, False),  # sure by every figure, and yet another surname: somebody looks
        ({"first_name": "Bobby"}, 0.9, False),  # nearly sure is not sure
        ({"first_name": "R."}, 0.9, False),
    ],
)
def test_only_what_is_sure_and_undisputed_is_offered_without_review(other, least, offered):
    rows = [*strangers(), ONE, ONE._replace(id="x2", **other)]
    found = match_people(gather(rows))
    (pair,) = found[found["left"] == "x1"].to_dict("records")
    assert pair["probability"] >= least
    assert pair["offered"] is offered


def test_the_example_of_a_model_is_one(tmp_path):
    text = Path(__file__).parents[2].joinpath("docs", "corrections.md").read_text(encoding="utf-8")
    example = text.partition("```json\n")[2].partition("```")[0]
    (tmp_path / "model.json").write_text(example)
    assert Model.read(tmp_path / "model.json").email.different == 0.5
