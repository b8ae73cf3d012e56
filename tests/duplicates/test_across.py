"""People who are members of two clubs: found in either dialect, shown, and never merged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.commands import Shell
from tests.conftest import Clubs
from tests.duplicates.conftest import twins
from tests.planting import Planter

NORTH = '[environments.north]\nkind = "demo"\nurl_env = "NORTH_URL"\n'


@pytest.fixture
def both(
    at: Callable[..., Shell], clubs: Clubs, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Shell, Planter, Planter]]:
    here, there = clubs.clone("application"), clubs.clone("guide")
    with there.connect(autocommit=True) as connection:  # the two are made of the same people
        connection.execute('TRUNCATE "Member" CASCADE')
    run = at(here, NORTH)
    monkeypatch.setenv("NORTH_URL", there.url)
    with Planter(here) as planter, Planter(there) as northern:
        yield run, planter, northern


def test_members_of_two_clubs_are_shown_and_never_merged(both) -> None:
    run, planter, northern = both
    quiet = run("duplicates", "--with", "north", "--json")
    assert quiet.returncode == 0
    assert json.loads(quiet.stdout)["pairs"] == []
    (ours,) = twins(planter, "aurelia@example.org")
    (theirs,) = twins(northern, "aurelia@example.org")
    within = twins(northern, "m1@example.org", "m2@example.org", firstName="Zebulon", phone="805 347 0001")
    done = run("duplicates", "--with", "north", "--json")
    assert done.returncode == 1
    facts = json.loads(done.stdout)
    assert (facts["environments"], facts["engine"]) == (["club", "north"], "duckdb")
    (pair,) = facts["pairs"]
    assert [pair["left_environment"], pair["left"], pair["right_environment"], pair["right"]] == [
        "club", ours, "north", theirs,
    ]  # fmt: skip
    assert pair["probability"] > 0.9
    assert facts["counts"] == {"pairs": 1, "within": 1}, within
    assert {row["environment"]: row["record_id"] for row in facts["records"]} == {
        "club": ours,
        "north": theirs,
    }
    shown = run("duplicates", "--with", "north")
    assert "never merged" in shown.stdout
    assert "urelia" not in shown.stdout
    assert "Aurelia" in run("duplicates", "--with", "north", "--unmask").stdout
    refused = run("plan", "merge", f"club/{ours}", f"north/{theirs}")
    assert refused.returncode == 3
    assert run("plan", "merge", ours, theirs).returncode == 2, "it is no member of this club"


def test_wrong_usage_between_clubs(both) -> None:
    run, *_ = both
    for arguments in (
        ("--with", "south"),
        ("--with", "club"),
        ("--with", "north", "--entity", "event"),
        ("--with", "north", "--to", "list.csv", "--entity", "member"),
        ("--master", "local[2]"),
    ):
        assert run("duplicates", *arguments).returncode == 2, arguments
