"""The checklist as values: what settles an item, and what does not, whoever says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.documents import Target
from workbench.migration.dry_runs import DryRun, KeptFile, approve_dry_run
from workbench.migration.preflight import (
    ITEMS,
    Attestation,
    Evidence,
    backup_evidence,
    config_evidence,
    dry_run_evidence,
    environment_evidence,
    holding,
    judge,
    operator_evidence,
    rollback_evidence,
)
from workbench.snapshots.manifest import Manifest, Verification

NOW = datetime(2026, 6, 1, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
PASSED = Verification(at=NOW, by="dana", outcome="pass", detail="all equal", seconds=9.0, where="scratch")
GOOD = {name: Evidence(True if each.by_evidence else None, "found") for name, each in ITEMS.items()}


def snapshot(hours_ago: float, *verifications: Verification) -> Manifest:
    at = NOW - hours_ago * HOUR
    target = Target("1", "club", "public", "club", "production")
    facts = dict.fromkeys(("compression", "tool_version", "server_version", "dialect"), "x")
    return Manifest(
        sha256="0" * 64, size=1, target=target, created_at=at, created_by="dana", precedes=None, reason=None,
        tables={}, sequences={}, verifications=verifications, **facts,
    ).at(Path(f"backup_{at:%Y%m%d_%H%M%S}.json"), "")  # fmt: skip


def word(item: str, kind: str = "attested", hours_ago: float = 1, about: str = "") -> Attestation:
    at = NOW - hours_ago * HOUR
    return Attestation(item=item, kind=kind, says="so it is", by="dana", at=at, about=about)  # type: ignore[arg-type]


def said(*words: Attestation) -> dict[str, Attestation]:
    return holding(words, 72, None, NOW)


VOUCHED = said(*(word(name) for name, each in ITEMS.items() if not each.by_evidence))


def test_the_guide_s_seven_items_are_all_there() -> None:
    assert list(ITEMS)[:7] == [
        "backup",
        "dry-run",
        "config",
        "window",
        "rollback",
        "operator",
        "stakeholders",
    ]
    assert judge(GOOD, VOUCHED).clear


@given(missing=st.sets(st.sampled_from(list(ITEMS)), min_size=1))
def test_nothing_is_clear_while_anything_is_open(missing: set[str]) -> None:
    evidence = {
        name: Evidence(False, "not so") if name in missing and ITEMS[name].by_evidence else each
        for name, each in GOOD.items()
    }
    words = {name: each for name, each in VOUCHED.items() if name not in missing}
    found = judge(evidence, words)
    assert {each.id for each in found.open} == missing
    assert all(each.next_step for each in found.open)
    assert not found.clear


@given(name=st.sampled_from(list(ITEMS)))
def test_nobody_s_word_makes_true_what_evidence_contradicts(name: str) -> None:
    evidence = {**GOOD, name: Evidence(False, "not so")}
    words = {**VOUCHED, **said(word(name))}
    assert [each.id for each in judge(evidence, words).open] == [name]
    waived = judge(evidence, {**words, **said(word(name, "waived"))})
    assert waived.clear
    assert next(each for each in waived.items if each.id == name).by == "waived by dana: so it is"


def test_a_word_holds_for_this_migration_only() -> None:
    old, new = word("window", hours_ago=80), word("window", hours_ago=2)
    assert holding([old], 72, None, NOW) == {}
    assert holding([new], 72, NOW - HOUR, NOW) == {}  # an import has run since
    assert holding([new], 72, NOW - 3 * HOUR, NOW) == {"window": new}
    assert holding([new, word("window", "withdrawn")], 72, None, NOW) == {}


def test_a_word_on_a_configuration_holds_for_no_other() -> None:
    evidence = {**GOOD, "config": Evidence(None, "membership.yaml", about="b" * 64)}
    assert judge(evidence, {**VOUCHED, **said(word("config", about="b" * 64))}).clear
    assert [
        each.id for each in judge(evidence, {**VOUCHED, **said(word("config", about="a" * 64))}).open
    ] == ["config"]


@pytest.mark.parametrize(
    ("snapshots", "last_import", "holds", "says"),
    [
        ([], None, False, "no snapshot"),
        ([snapshot(2)], None, False, "nobody has restored it"),
        ([snapshot(2, replace(PASSED, outcome="not run"))], None, False, "not run"),
        ([snapshot(2, PASSED, replace(PASSED, outcome="fail"))], None, False, "fail"),
        ([snapshot(30, PASSED)], None, False, "older than 24 hours"),
        ([snapshot(2, PASSED)], NOW - HOUR, False, "an import has written since"),
        ([snapshot(2, PASSED), snapshot(1)], None, False, "nobody has restored it"),
        ([snapshot(2, PASSED)], NOW - 3 * HOUR, True, "proved by restoring, by dana"),
    ],
)
def test_a_backup_counts_when_it_is_proved_fresh_and_newer_than_the_last_import(
    snapshots: list[Manifest], last_import: datetime | None, holds: bool, says: str
) -> None:
    found = backup_evidence(snapshots, last_import, 24, NOW)
    assert found.holds is holds
    assert says in found.says
    assert bool(found.next_step) is not holds


def dry_run(folder: Path, hours_ago: float, outcome: str = "completed", config: str = "") -> DryRun:
    configuration = (KeptFile(file="m.yaml", sha256=config, size=1),) if config else ()
    return DryRun(
        name="dry", command=("x",), environment="club", kind="demo", operator="dana", started_at=NOW - hours_ago * HOUR,
        told_by="test", variables=(), outcome=outcome, configuration=configuration,  # type: ignore[arg-type]
        reports=(KeptFile(file="report.json", sha256=sha256(b"").hexdigest(), size=0, run="r", mode="dry"),),
    ).write(folder / "dry" / "dry_run.json")  # fmt: skip


@pytest.mark.parametrize(
    ("hours_ago", "outcome", "reviewed", "last_import", "says"),
    [
        (1, "completed", True, None, "reviewed by erin"),
        (1, "completed", False, None, "nobody has reviewed"),
        (1, "interrupted", True, None, "did not come to its end"),
        (1, "not dry", True, None, "did not come to its end"),
        (30, "completed", True, None, "older than 24"),
        (2, "completed", True, NOW - HOUR, "an import has written since"),
    ],
)
def test_a_dry_run_counts_when_it_is_whole_fresh_and_reviewed(
    tmp_path: Path, hours_ago: float, outcome: str, reviewed: bool, last_import: datetime | None, says: str
) -> None:
    kept = dry_run(tmp_path, hours_ago)
    (kept.folder / "report.json").write_text("")
    kept = approve_dry_run(kept, "erin") if reviewed else kept
    kept = kept.model_copy(update={"outcome": outcome}).write(kept.path)
    found = dry_run_evidence([kept], last_import, 24, NOW)
    assert found.holds is (says == "reviewed by erin")
    assert says in found.says
    assert dry_run_evidence([], None, 24, NOW).holds is False
    (kept.folder / "report.json").write_text("x")
    assert dry_run_evidence([kept], last_import, 24, NOW).holds is False


def test_a_configuration_is_open_where_anything_speaks_against_it(tmp_path: Path) -> None:
    same = dry_run(tmp_path, 1, config="a" * 64)
    files = {"m.yaml": "a" * 64}
    assert config_evidence({}, "", [], [same]).holds is False
    assert config_evidence(files, "a" * 64, ["a level is unknown"], [same]).holds is False
    assert config_evidence({"m.yaml": "b" * 64}, "b" * 64, [], [same]).holds is False
    assert config_evidence({**files, "s.yaml": "b" * 64}, "c" * 64, [], [same]).holds is False
    assert config_evidence(files, "a" * 64, [], [same]).holds is None  # a person reviews it


PROVED, NONE = Evidence(True, "a snapshot"), Evidence(False, "no snapshot", "make one")


@pytest.mark.parametrize(
    ("attested", "backup", "traces", "holds"),
    [
        ("", PROVED, True, None),
        ("Level 2 if it fails", NONE, True, False),
        ("level 2", PROVED, False, None),
        ("level 1", NONE, False, False),
        ("level 1", NONE, True, None),
        *(
            (said, PROVED, False, None)
            for said in ("LEVEL 2, by Robin", "the level-2 way", "level  2", "Level2")
        ),
        *(
            (said, PROVED, True, False)
            for said in ("banana", "level 3", "level 10", "as last time", "sublevel 1")
        ),
    ],
)
def test_a_rollback_plan_names_a_level_that_is_possible_here(
    attested: str, backup: Evidence, traces: bool, holds: bool | None
) -> None:
    found = rollback_evidence(attested, backup, traces)
    assert found.holds is holds
    assert bool(found.next_step) is (holds is False or not attested)
    answered = judge({**GOOD, "rollback": found}, {**VOUCHED, **said(word("rollback"))})
    assert [each.id for each in answered.open] == ["rollback"] * (holds is False)


def test_who_and_where() -> None:
    assert operator_evidence("dana", True).holds is True
    assert operator_evidence("root", False).holds is False
    assert environment_evidence("club (production)", True, []).holds is True
    assert environment_evidence("club (production)", False, []).holds is None
    assert environment_evidence("club (production)", True, ["a demo's marker in it"]).holds is False
