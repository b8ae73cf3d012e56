"""What a report makes of findings: the answer, the coverage of the guide, the verdict."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from workbench.checks import REGISTRY, Finding
from workbench.database.connection import Identity
from workbench.database.environment import Environment
from workbench.errors import UsageError
from workbench.reporting.findings import (
    about_run,
    coverage_table,
    findings_in_full,
    findings_table,
    in_short,
    next_steps,
    waivers,
)
from workbench.reporting.verdict import WORST_FIRST, judge, worst

ITEMS = {  # the guide's own words, section by section
    "§1.1": (
        "Some members imported, others missing",
        "Events imported but registrations failed",
        "Transaction rolled back mid-batch",
    ),
    "§1.2": ("Member linked to wrong person", "Event registrations on wrong event", "Duplicate mappings"),
    "§1.3": ("All members as PROSPECT", "Wrong tier for membership level", "Null tiers"),
    "§1.4": ("Member appears twice in list", "Duplicate events", "Split registrations"),
    "§1.5": ("Events exceed capacity limits", "Members in wrong visibility groups", "Invalid date ranges"),
    "§1.6": ("Wrong environment targeted", "Incorrect config file used", "Premature execution"),
    "§2.4": ("Count verification", "Orphan check"),
    "§7.1": ("No orphaned mappings", "No orphaned registrations", "Counts match expectations"),
    "§7.2": ("API health check", "Auth still works", "Key pages of the application"),
}

LOOKED: Any = SimpleNamespace(
    session=SimpleNamespace(
        environment=Environment("club", "staging", "host/club"),
        identity=Identity("1", "club", "18", "reader"),
        dialect="guide",
        unmask=False,
    )
)


def finding(status: Any, check: str = "mappings-orphaned", rows: int = 0, key: str = "k") -> Finding:
    found = pd.DataFrame(
        {"key": [f"{key}{n}" for n in range(rows)], "email": ["<b>alice@example.org"] * rows}
    )
    return REGISTRY[check].finding(
        status, None if status == "not run" else rows, rows=found, reason="because", query="SELECT '<i>'"
    )


def test_every_item_of_the_guide_is_covered() -> None:
    shown = coverage_table([]).html
    for section, items in ITEMS.items():
        for item in items:
            assert item in shown, (section, item)
    assert (
        shown.count("not run") == shown.count("<tr>") + shown.count("<tr ") - 1
    )  # nothing asked, nothing green
    assert "wb-pass" not in shown


def test_the_worst_finding_is_the_verdict() -> None:
    for first, second in itertools.combinations(WORST_FIRST, 2):
        assert worst([finding(second), finding(first)]) == first
    assert worst([]) == "not run"
    assert worst([finding("pass")]) == "pass"


def test_only_a_pass_says_yes() -> None:
    assert "Safe? Yes." in in_short([finding("pass")], "Safe?").text
    for status in ("fail", "warn", "not run"):
        assert "Yes" not in in_short([finding("pass"), finding(status)], "Safe?").text
    assert "Yes" not in in_short([], "Safe?").text


def test_a_finding_in_full() -> None:
    shown = findings_in_full([finding("pass"), finding("fail", rows=2)])
    check = REGISTRY["mappings-orphaned"]
    for words in (check.title, check.question, "2 found", "<details", "SELECT &#39;&lt;i&gt;&#39;", "k1"):
        assert words in shown.html
    assert "alice@" not in shown.html + shown.text
    assert "Take the application down" not in next_steps([finding("not run", "app-auth-refuses")]).html
    assert "fail" in findings_table([finding("fail", rows=1)]).text
    assert "Nothing" in findings_in_full([finding("pass")]).text
    assert "Nothing" in next_steps([finding("pass")]).text


def test_a_verdict_is_plain_and_the_same_each_time() -> None:
    found = [finding("fail", rows=2), finding("pass", "app-pages"), finding("not run", "members-missing")]
    verdicts = {
        json.dumps(judge(LOOKED, order, "x", "Safe?").as_json()) for order in itertools.permutations(found)
    }
    assert len(verdicts) == 1
    verdict = json.loads(verdicts.pop())
    assert verdict["status"] == "fail"
    assert verdict["headline"] == "Safe? No."
    assert verdict["counts"] == {"fail": 1, "not run": 1, "warn": 0, "waived": 0, "pass": 1}
    assert [each["check"] for each in verdict["findings"]] == [
        "members-missing",
        "mappings-orphaned",
        "app-pages",
    ]
    facts = {"check", "title", "guide", "status", "open", "count", "reason", "keys"}
    assert set(verdict["findings"][1]) == facts
    assert verdict["environment"] == {"name": "club", "kind": "staging", "where": "host/club"}


def test_keys_that_are_addresses_are_masked() -> None:
    told = judge(LOOKED, [finding("fail", rows=1, key="alice@example.org/")], "x", "?").as_json()
    assert "alice@" not in json.dumps(told)


def test_waivers() -> None:
    assert waivers(["tiers-missing=known since May = yes"]) == {"tiers-missing": "known since May = yes"}
    for wrong in ("tiers-missing", "tiers-missing=", "=why"):
        with pytest.raises(UsageError, match="reason"):
            waivers([wrong])


def test_what_is_said_of_other_runs_is_not_this_one_s_fault() -> None:
    mine = finding("fail", "runs-interrupted", rows=3)
    assert [(each.status, each.count) for each in about_run([mine], "k1")] == [("fail", 1)]
    assert [(each.status, each.count) for each in about_run([mine], "other")] == [("pass", 0)]
    cut = replace(mine, count=50)
    assert about_run([cut], "other")[0].status == "fail"  # it may be among those not shown
    assert about_run([finding("not run", "runs-ended")], "k1")[0].status == "not run"
