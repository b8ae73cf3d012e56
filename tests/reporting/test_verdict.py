"""What a report makes of findings: its first screen, the verdict for machines, and each finding in full."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tests.findings import finding_of
from workbench.answer import findings_answer
from workbench.checks import REGISTRY, Finding
from workbench.checks.finding import about_run
from workbench.checks.registry import read_waivers
from workbench.database.connection import Identity
from workbench.database.environment import Environment
from workbench.errors import UsageError
from workbench.reporting.questions import Reports, Verdict, worst
from workbench.reporting.tables import WORST_FIRST, findings_in_full

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
    "§2.4": ("Count verification",),
    "§7.1": ("No orphaned mappings", "No orphaned registrations", "Counts match expectations"),
    "§7.2": ("API health check", "Auth still works", "Key pages of the application"),
}
SESSION: Any = SimpleNamespace(
    environment=Environment("club", "staging", "host/club"),
    identity=Identity("1", "club", "18", "reader"),
    dialect="guide",
    one_state=True,
    unmask=False,
)


def finding(status: Any, check: str = "mappings-orphaned", rows: int = 0) -> Finding:
    frame = pd.DataFrame({"key": [f"k{n}" for n in range(rows)], "email": ["<b>alice@example.org"] * rows})
    count = None if status == "not run" else rows
    return finding_of(check, status, count, rows=frame, reason="because", query="SELECT '<i>'")


def verdict(*findings: Finding) -> Verdict:
    return Reports(SESSION).conclude("Safe?", findings)


def test_every_item_of_the_guide_is_covered_and_what_was_not_run_is_not_green() -> None:
    answer = findings_answer([finding_of(check, "not run") for check in REGISTRY], facts={})
    listed = answer.tables.findings
    assert set(listed["status"]) == {"not run"}
    shown = answer._repr_mimebundle_()["text/html"].partition("</style>")[2]
    assert "wb-pass" not in shown
    for section, items in ITEMS.items():
        assert set(items) <= set(listed.loc[listed["guide"] == section, "item"]), section
        assert all(item in shown for item in items), section


def test_the_worst_finding_is_the_verdict_and_only_a_pass_says_yes() -> None:
    for first, second in itertools.combinations(WORST_FIRST, 2):
        assert worst([finding(second), finding(first)]) == first
    assert verdict(finding("pass")).facts["headline"] == "Safe? Yes."
    for status in ("fail", "warn", "not run"):
        assert "Yes" not in repr(verdict(finding("pass"), finding(status)))
    assert verdict().status == "not run"
    assert "Yes" not in repr(verdict())


def test_the_first_screen_has_three_things_to_do_with_their_numbers_the_weightiest_first() -> None:
    shown = verdict(
        finding("fail", "tiers-wrong", rows=1197),
        finding("fail", "tiers-missing", rows=3),  # of the same section, and fewer
        finding("fail", "events-duplicate", rows=6),
        finding("fail", "mappings-orphaned", rows=4),
        finding("fail", "environment-wrong", rows=1),
        finding("warn", "mappings-shared-target", rows=5000),
    )
    assert shown.html.count("<li>") == 3
    counts = {"tiers-wrong": "1,197", "environment-wrong": "1", "events-duplicate": "6"}
    places = [shown.text.index(f"{REGISTRY[check].title}: {count}") for check, count in counts.items()]
    assert places == sorted(places)
    assert "What to do first" not in verdict(finding("pass")).html
    assert "Take the application down" not in verdict(finding("not run", "app-auth-refuses")).html


def test_a_finding_in_full() -> None:
    shown = findings_in_full([finding("pass"), finding("fail", rows=2)])
    check = REGISTRY["mappings-orphaned"]
    for words in (check.title, check.question, "<dd>2</dd>", "<details", "SELECT &#39;&lt;i&gt;&#39;", "k1"):
        assert words in shown.html
    assert "alice@" not in shown.html + shown.text
    assert findings_in_full([finding("pass")]).text == ""


def test_a_verdict_is_plain_and_the_same_each_time() -> None:
    findings = [finding("fail", rows=2), finding("pass", "app-pages"), finding("not run", "members-missing")]
    verdicts = {json.dumps(verdict(*order).facts) for order in itertools.permutations(findings)}
    assert len(verdicts) == 1
    facts = json.loads(verdicts.pop())
    assert (facts["status"], facts["headline"]) == ("fail", "Safe? No.")
    assert facts["counts"] == {"fail": 1, "not run": 1, "warn": 0, "waived": 0, "pass": 1}
    checks = [one["check"] for one in facts["findings"]]
    assert checks == ["members-missing", "mappings-orphaned", "app-pages"]
    keys = {"check", "title", "guide", "status", "open", "count", "reason", "keys"}
    assert set(facts["findings"][1]) == keys
    assert facts["environment"] == {"name": "club", "kind": "staging", "where": "host/club"}
    personal = replace(finding("fail", rows=1), rows=pd.DataFrame({"key": ["alice@example.org/0"]}))
    concluded = Reports(SESSION).conclude("?", [personal], facts={"clear": False}).facts
    assert concluded["clear"] is False
    assert "alice@" not in json.dumps(concluded)


def test_waivers() -> None:
    assert read_waivers(["tiers-missing=known since May = yes"]) == {"tiers-missing": "known since May = yes"}
    for wrong in ("tiers-missing", "tiers-missing=", "=why"):
        with pytest.raises(UsageError, match="reason"):
            read_waivers([wrong])


def test_what_is_said_of_other_runs_is_not_this_one_s_fault() -> None:
    interrupted = finding("fail", "runs-interrupted", rows=3)
    cut = replace(interrupted, count=50)
    for narrowed, run, status in (
        (interrupted, "k1", "fail"),
        (interrupted, "other", "pass"),
        (interrupted, "", "fail"),
        (cut, "other", "fail"),  # it may be among those not shown
        (finding("not run", "runs-ended"), "k1", "not run"),
    ):
        assert about_run([narrowed], run)[0].status == status
    assert about_run([interrupted], "k1")[0].count == 1
