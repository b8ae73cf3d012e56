"""``workbench duplicates`` as its user meets it: tables, JSON, exit codes, decisions, hostile names."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Shell
from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.duplicates.conftest import HOSTILE, twins
from tests.planting import Planter

ADDRESSES = ("aurelia.quuxworthy@example.org", "aureliaquuxworthy@example.org")


@pytest.fixture
def run(at: Callable[..., Shell], ground: Ground) -> Shell:
    return at(ground)


def test_clean_is_zero(run):
    done = run("duplicates")
    assert done.returncode == 0
    assert "Nothing is there more than once." in done.stdout
    facts = json.loads(run("duplicates", "--json").stdout)
    assert {facts[each]["status"] for each in ("members", "events", "registrations")} == {"pass"}


def test_findings_are_one_masked_with_the_next_command(run, ground: Ground, planter: Planter):
    left, right = twins(planter, *ADDRESSES)
    done = run("duplicates", "--entity", "member")
    assert done.returncode == 1
    assert "Members: 1 cluster" in done.stdout
    assert "same first name" in done.stdout
    assert "urelia" not in done.stdout
    assert f" plan merge {left} {right} -e club" in done.stdout
    assert "Aurelia" in run("duplicates", "--entity", "member", "--unmask").stdout
    facts = json.loads(run("duplicates", "--json").stdout)
    assert "urelia" not in json.dumps(facts)
    (cluster,) = facts["members"]["clusters"]
    assert cluster["members"] == [left, right]
    assert cluster["canonical"] == left
    assert facts["members"]["counts"]["pairs"] == 1
    assert facts["members"]["pairs"][0]["decision"] == ""
    assert facts["events"]["status"] == "pass"


def test_a_decision_is_respected_the_next_time(run, ground: Ground, planter: Planter):
    left, right = twins(planter, *ADDRESSES)
    said = run("duplicates", "--decide", left, right, "same", "--as", "robin")
    assert said.returncode == 0
    assert "by robin" in said.stdout
    confirmed = run("duplicates")
    assert confirmed.returncode == 1
    assert "called the same by robin" in confirmed.stdout
    assert "unsure" not in confirmed.stdout
    told = json.loads(
        run("duplicates", "--decide", right, left, "different", "--remark", "twins", "--json").stdout
    )
    assert (told["by"], told["decision"], told["entity"]) == ("dana", "different", "Member")
    done = run("duplicates")
    assert done.returncode == 0
    assert "1 pair left out, called different" in done.stdout
    listed = json.loads(run("duplicates", "--decisions", "--json").stdout)
    assert [each["decision"] for each in listed] == ["same", "different"]
    assert "twins" in run("duplicates", "--decisions", "--unmask").stdout
    assert "twins" not in run("duplicates", "--decisions").stdout


def test_trained_parameters_are_used_and_checked(run, ground: Ground, planter: Planter, tmp_path: Path):
    twins(planter, ADDRESSES[0], "goldfish@example.net")
    model = tmp_path / "model.json"
    asked = ("duplicates", "--entity", "member", "--json")
    (shipped,) = json.loads(run(*asked).stdout)["members"]["pairs"]
    model.write_text('{"duplicates_each": 0.0001, "phone": {"same": 0.01, "typo": 0.01, "different": 0.9}}')
    trained = json.loads(run(*asked, "--model", str(model)).stdout)["members"]["pairs"]
    assert trained == [] or trained[0]["probability"] < shipped["probability"]
    model.write_text('{"phone": {"same": 0.9, "different": 0.9}}')
    assert run(*asked, "--model", str(model)).returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--entity", "membr"),
        ("--threshold", "2"),
        ("--model", "none.json"),
        ("--decide", "a", "b"),
        ("--decide", "a", "b", "same"),
        ("--remark", "why"),
        ("--to", "list.csv"),
        ("--decisions", "--decide", "a", "b", "same"),
    ],
)
def test_wrong_usage_is_two(run, arguments):
    assert run("duplicates", *arguments).returncode == 2


def test_a_broken_file_of_decisions_is_two(run, tmp_path: Path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "decisions-club.jsonl").write_text("{}\n")
    assert run("duplicates").returncode == 2


def test_what_is_cut_is_said(run, ground: Ground, planter: Planter):
    for number, name in enumerate(("Una", "Wim", "Xaver")):
        for tag in ("", "+a"):
            planter.member(
                firstName=name, lastName=f"Vale{name}", email=f"{name}.vale{number}{tag}@example.org"
            )
    done = run("duplicates", "--limit", "1", "--threshold", "0.5")
    assert "1 of 3 clusters of members; more: --limit 3" in done.stdout
    facts = json.loads(run("duplicates", "--json", "--limit", "1", "--threshold", "0.5").stdout)["members"]
    assert len(facts["clusters"]) == 1
    assert facts["counts"]["clusters"] == 3


def test_the_sure_ones_become_a_list_to_merge(run, ground: Ground, planter: Planter, tmp_path: Path):
    left, right = twins(planter, *ADDRESSES)
    run("duplicates", "--decide", left, right, "same")
    path = tmp_path / "sure.csv"
    done = run("duplicates", "--entity", "member", "--to", str(path))
    assert done.returncode == 1
    with path.open(newline="", encoding="utf-8") as file:
        assert [row["member"] for row in csv.DictReader(file)] == [left, right]
    planned = run("plan", "merge", "--from", str(path), "--json")
    assert planned.returncode == 0, planned.stdout
    assert json.loads(planned.stdout)["changes"]["Member"]["delete"] == 1


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_text(run, ground: Ground, planter: Planter, hostile: str):
    left, right = twins(planter, *ADDRESSES, firstName=hostile)
    done = run("duplicates", "--unmask", "--limit", "5")
    assert done.returncode == 1
    assert left in done.stdout
    assert right in done.stdout
    assert "\u202e" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 1500
    masked = run("duplicates", "--json")
    assert "evil" not in masked.stdout
    assert "alert(1)" not in masked.stdout
