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
PERSONAL = re.compile("urelia|evil|alert.1.")


@pytest.fixture
def run(at: Callable[..., Shell], ground: Ground) -> Shell:
    return at(ground)


def test_the_answer_is_masked_and_names_the_next_command(
    run: Shell, ground: Ground, planter: Planter
) -> None:
    left, right = twins(planter, *ADDRESSES)
    for hostile in HOSTILE:
        twins(planter, *(f"{len(hostile)}.{hostile[2].lower()}{tag}@example.net" for tag in ("a", "a+b")),
              firstName=hostile, lastName=f"Evil{hostile[-1]}", phone="+1 555 010 1234")  # fmt: skip
    done = run("duplicates", "--limit", "1")
    assert done.returncode == 1
    assert "1 of 5 clusters of members; more: --limit 5" in done.stdout
    assert f" plan merge {left} {right} -e club" in done.stdout
    assert not PERSONAL.search(done.stdout)
    done = run("duplicates", "--json")
    assert not PERSONAL.search(done.stdout)
    facts = json.loads(done.stdout)
    (cluster,) = [cluster for cluster in facts["members"]["clusters"] if left in cluster["members"]]
    assert (cluster["members"], cluster["canonical"]) == ([left, right], left)
    assert facts["members"]["counts"]["pairs"] == 5
    assert {"left", "right", "probability"} <= facts["members"]["pairs"][0].keys()
    assert {facts[entity]["status"] for entity in ("events", "registrations")} == {"pass"}
    shown = ground.wb.duplicates("Member")._repr_mimebundle_()
    assert "Aurelia" in shown["text/plain"] + shown["text/html"]
    assert HOSTILE[0] not in shown["text/html"]
    assert "&lt;script&gt;" in shown["text/html"]
    assert "\u202e" not in shown["text/html"]


def test_a_decision_holds_in_the_next_command(
    run: Shell, ground: Ground, planter: Planter, tmp_path: Path
) -> None:
    left, right = twins(planter, *ADDRESSES)
    done = run("duplicates", "--decide", left, right, "same", "--as", "robin")
    assert (done.returncode, "by robin" in done.stdout) == (0, True)
    path = tmp_path / "sure.csv"
    confirmed = run("duplicates", "--entity", "member", "--to", str(path))
    assert confirmed.returncode == 1
    assert "robin" in confirmed.stdout
    with path.open(newline="", encoding="utf-8") as file:
        assert [row["member"] for row in csv.DictReader(file)] == [left, right]
    planned = run("plan", "merge", "--from", str(path), "--json")
    assert planned.returncode == 0, planned.stdout
    assert json.loads(planned.stdout)["changes"]["Member"]["delete"] == 1
    done = run("duplicates", "--decide", right, left, "different", "--remark", "twins", "--json")
    decision = json.loads(done.stdout)
    assert (decision["by"], decision["decision"], decision["entity"]) == ("dana", "different", "Member")
    done = run("duplicates", "--entity", "member")
    assert (done.returncode, "1 pair left out, called different" in done.stdout) == (0, True)
    decisions = json.loads(run("duplicates", "--decisions", "--json").stdout)
    assert [row["decision"] for row in decisions] == ["same", "different"]
    assert "twins" in run("duplicates", "--decisions", "--unmask").stdout
    assert "twins" not in run("duplicates", "--decisions").stdout


def test_trained_parameters_are_used_and_wrong_usage_is_two(
    run: Shell, ground: Ground, planter: Planter, tmp_path: Path
) -> None:
    twins(planter, ADDRESSES[0], "goldfish@example.net")
    model = tmp_path / "model.json"
    (shipped,) = ground.wb.duplicates.find().pairs.to_dict("records")
    model.write_text('{"duplicates_each": 0.0001, "shares": {"phone": {"same phone": {"m": 0.01}}}}')
    asked = ("duplicates", "--entity", "member", "--json", "--model", str(model))
    trained = json.loads(run(*asked).stdout)["members"]["pairs"]
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
    assert run("duplicates", "--entity", "event").returncode == 2, (
        "a broken file of decisions is no empty one"
    )
