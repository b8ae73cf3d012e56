"""``workbench duplicates`` as its user meets it: tables, JSON, exit codes, decisions, hostile names."""

from __future__ import annotations

import csv
import json
import re
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


def test_findings_are_one_masked_with_the_next_command(run, ground: Ground, planter: Planter) -> None:
    done = run("duplicates", "--json")
    assert done.returncode == 0
    facts = json.loads(done.stdout)
    assert {facts[each]["status"] for each in ("members", "events", "registrations")} == {"pass"}
    left, right = twins(planter, *ADDRESSES)
    for hostile in HOSTILE:
        twins(planter, *(f"{len(hostile)}.{hostile[2].lower()}{tag}@example.net" for tag in ("a", "a+b")),
              firstName=hostile, lastName=f"Evil{hostile[-1]}", phone="+1 555 010 1234")  # fmt: skip
    done = run("duplicates")
    assert done.returncode == 1
    assert "Members: 5 clusters" in done.stdout
    assert "same first name" in done.stdout
    assert not {"urelia", "evil", "alert(1)"} & {*re.findall("urelia|evil|alert.1.", done.stdout)}
    assert f" plan merge {left} {right} -e club" in done.stdout
    shown = run("duplicates", "--unmask").stdout
    assert "Aurelia" in shown
    assert "\u202e" not in shown
    assert max(map(len, shown.splitlines())) < 1500
    page = ground.wb.duplicates()._repr_mimebundle_()["text/html"]
    assert HOSTILE[0] not in page
    assert "&lt;script&gt;" in page
    printed = run("duplicates", "--json").stdout
    assert not re.search("urelia|evil|alert.1.", printed)
    facts = json.loads(printed)
    (cluster,) = [each for each in facts["members"]["clusters"] if left in each["members"]]
    assert (cluster["members"], cluster["canonical"]) == ([left, right], left)
    assert facts["members"]["counts"]["pairs"] == 5
    assert {"left", "right", "probability"} <= facts["members"]["pairs"][0].keys()
    assert facts["events"]["status"] == "pass"
    cut = run("duplicates", "--limit", "1", "--entity", "member")
    assert "1 of 5 clusters of members; more: --limit 5" in cut.stdout
    facts = json.loads(run("duplicates", "--json", "--limit", "1").stdout)["members"]
    assert (len(facts["clusters"]), facts["counts"]["clusters"]) == (1, 5)


def test_a_decision_is_respected_the_next_time(run, ground: Ground, planter: Planter, tmp_path: Path) -> None:
    left, right = twins(planter, *ADDRESSES)
    said = run("duplicates", "--decide", left, right, "same", "--as", "robin")
    assert (said.returncode, "by robin" in said.stdout) == (0, True)
    path = tmp_path / "sure.csv"
    confirmed = run("duplicates", "--entity", "member", "--to", str(path))
    assert confirmed.returncode == 1
    assert "called the same by robin" in confirmed.stdout
    with path.open(newline="", encoding="utf-8") as file:
        assert [row["member"] for row in csv.DictReader(file)] == [left, right]
    planned = run("plan", "merge", "--from", str(path), "--json")
    assert planned.returncode == 0, planned.stdout
    assert json.loads(planned.stdout)["changes"]["Member"]["delete"] == 1
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


def test_trained_parameters_are_used_and_wrong_usage_is_two(
    run, ground: Ground, planter: Planter, tmp_path: Path
) -> None:
    twins(planter, ADDRESSES[0], "goldfish@example.net")
    model = tmp_path / "model.json"
    asked = ("duplicates", "--entity", "member", "--json")
    (shipped,) = json.loads(run(*asked).stdout)["members"]["pairs"]
    model.write_text('{"duplicates_each": 0.0001, "shares": {"phone": {"same phone": {"m": 0.01}}}}')
    trained = json.loads(run(*asked, "--model", str(model)).stdout)["members"]["pairs"]
    assert trained == [] or trained[0]["probability"] < shipped["probability"]
    model.write_text('{"shares": {"phone": {"sane phone": {"m": 0.9}}}}')
    for arguments in (
        ("--entity", "member", "--model", str(model)),
        ("--entity", "membr"),
        ("--threshold", "2"),
        ("--model", "none.json"),
        ("--decide", "a", "b"),
        ("--decide", "a", "b", "same"),
        ("--remark", "why"),
        ("--to", "list.csv"),
        ("--decisions", "--decide", "a", "b", "same"),
    ):
        assert run("duplicates", *arguments).returncode == 2, arguments
    (tmp_path / "reports").mkdir(exist_ok=True)
    (tmp_path / "reports" / "decisions-club.jsonl").write_text("{}\n")
    assert run("duplicates").returncode == 2, "a broken file of decisions is no empty one"
