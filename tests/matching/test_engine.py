"""What holds whatever the members are: order, threads, hostile and missing values, large blocks, models."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.another_club import Row
from tests.conftest import database_at
from tests.matching.people import ONE, strangers
from workbench.database.connection import raw
from workbench.duplicates.matching import Model, match_members
from workbench.duplicates.matching.engines import engine
from workbench.duplicates.matching.matching import match_people
from workbench.duplicates.matching.model import FIELDS
from workbench.duplicates.matching.prepare import LARGEST_BLOCK, prepare
from workbench.errors import SchemaGap, UsageError
from workbench.murmurant.schema import read_schema

SECOND = ONE._replace(id="x2", first_name="Bob")


def test_threads_and_order_do_not_matter():
    rows = [*strangers(), ONE, SECOND]
    wanted = match_people(rows, threshold=0.0001, threads=1)
    again = match_people(rows[::-1], threshold=0.0001, threads=2)
    assert again.to_csv() == wanted.to_csv()
    assert again.attrs == wanted.attrs


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


@settings(max_examples=3, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_whatever_the_values_the_order_does_not_matter(values, chance):
    rows = [Row(f"id{number:02d}", *each) for number, each in enumerate(values)]
    wanted = match_people(rows, threshold=0.0)
    assert wanted["probability"].between(0, 1).all()
    assert (wanted["left"] < wanted["right"]).all()
    chance.shuffle(rows)
    assert match_people(rows, threshold=0.0).to_csv() == wanted.to_csv()


@settings(max_examples=3, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=5, max_size=5))
def test_a_pair_is_judged_alike_from_either_side(names):
    pairs = [
        (
            ONE._replace(id=f"{place} 1", first_name=first, last_name=last),
            ONE._replace(id=f"{place} 2", first_name=other, last_name=family),
        )
        for place, (first, last, other, family) in enumerate(names)
    ]
    swapped = [row._replace(id=other.id) for pair in pairs for row, other in (pair, pair[::-1])]
    found, mirrored = (
        match_people([*strangers(50), *rows], threshold=0.0).query("left.str[0] == right.str[0]")
        for rows in ([row for pair in pairs for row in pair], swapped)
    )
    pick = ["left", "right", "probability", "why", "against"]
    assert found[pick].to_csv() == mirrored[pick].to_csv()


@pytest.mark.parametrize("rows", [[], [ONE], [Row("a"), Row("b"), Row("c", "", "", "", "")]])
def test_nobody_to_compare(rows):
    assert match_people(rows).empty


def candidates(rows):
    """Return how many pairs are compared, and what is said of groups that are not."""
    with engine("duckdb") as (running, folder):
        counts = prepare(running, folder, rows, FIELDS, Model())
        return counts.pairs, counts.notes


def test_groups_that_are_too_large_are_split_or_left_out_and_said():
    rows = [ONE._replace(id=f"y{number:04d}") for number in range(3 * LARGEST_BLOCK)]
    pairs, said = candidates(rows)
    assert pairs == 0
    assert said
    assert all(each.startswith(f"{3 * LARGEST_BLOCK} members") for each in said)
    spread = [
        each._replace(last_name=f"Q{chr(97 + n % 26)}{chr(97 + n // 26)}") for n, each in enumerate(rows)
    ]
    assert candidates(spread[:LARGEST_BLOCK]) == (LARGEST_BLOCK * (LARGEST_BLOCK - 1) // 2, [])


@pytest.mark.parametrize(
    "shared",
    [{"phone": "8055551234", "joined_at": date(2020, 1, 1)}, {"last_name": "Kim", "email": "office@x.org"}],
)
def test_pairs_grow_with_the_members_not_their_square(shared):
    few, many = (candidates([each._replace(**shared) for each in strangers(n)])[0] for n in (2000, 4000))
    assert many <= 2.5 * max(few, LARGEST_BLOCK * 2000)


def test_two_members_with_one_id_are_refused():
    with pytest.raises(ValueError, match="one id"):
        match_people([ONE, ONE])


def test_nothing_but_duplicates_needs_the_engine():
    program = (
        "import sys, workbench, workbench.cli.main; print({'splink', 'duckdb', 'pyarrow'} & {*sys.modules})"
    )
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "set()"


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
    Model().write(tmp_path / "model.json")
    whole = Model.read(tmp_path / "model.json")
    (tmp_path / "part.json").write_text(
        json.dumps({"duplicates_each": 0.5, "shares": {"phone": {"same phone": {"m": 0.35}}}})
    )
    rows = [*strangers(), ONE, ONE._replace(id="x2", email=None)]
    shipped, same, trained = (
        match_people(rows, threshold=0.0, model=each).query("left == 'x1'").iloc[0]
        for each in (Model(), whole, Model.read(tmp_path / "part.json"))
    )
    assert same.equals(shipped)
    assert trained["weight_prior"] > shipped["weight_prior"] + 4
    assert trained["weight_phone"] == pytest.approx(shipped["weight_phone"] - 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSON"),
        ("[]", "object"),
        ('{"shares": {"phone": {"sane phone": {"m": 0.5}}}}', "sane phone"),
        ('{"shares": {"phone": {"same phone": {"m": 1.5}}}}', "same phone"),
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


def test_only_what_is_sure_and_undisputed_is_offered_without_review():
    others = {
        "sure": {},
        "another surname": {"last_name": "Hale"},
        "nearly sure": {"first_name": "Bobby", "email": "golf@example.net"},
        "initial": {"first_name": "R."},
    }
    rows = []
    for place, (name, other) in enumerate(others.items()):
        own = {
            "last_name": f"{'BDFG'[place]}aquist",
            "email": f"{name[0]}q@x.org",
            "phone": f"80534{place}234{place}",
        }
        rows += [ONE._replace(id=f"{name} 0", **own), ONE._replace(id=f"{name} 1", **{**own, **other})]
    found = match_people([*strangers(), *rows], threshold=0.0)
    pairs = found[found["left"].str[:-1] == found["right"].str[:-1]].set_index("left")
    assert pairs["offered"].to_dict() == {f"{name} 0": name == "sure" for name in others}
    assert pairs.loc["another surname 0", "probability"] > 0.9


def test_the_example_of_a_model_is_one(tmp_path):
    text = Path(__file__).parents[2].joinpath("docs", "corrections.md").read_text(encoding="utf-8")
    example = text.partition("```json\n")[2].partition("```")[0]
    (tmp_path / "model.json").write_text(example)
    assert Model.read(tmp_path / "model.json").shares["email"]["different e-mail"].m == 0.5
