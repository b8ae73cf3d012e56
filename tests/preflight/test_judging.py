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
    Clock,
    Evidence,
    backup_evidence,
    config_evidence,
    dry_run_evidence,
    environment_evidence,
    judge,
    operator_evidence,
    rollback_evidence,
    valid,
)
from workbench.snapshots.manifest import Manifest, Verification

NOW = datetime(2026, 6, 1, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
PASSED = Verification(at=NOW, by="dana", outcome="pass", detail="all equal", seconds=9.0, where="scratch")
GOOD = {name: Evidence(True if item.by_evidence else None, "found") for name, item in ITEMS.items()}


def snapshot(hours_ago: float, *verifications: Verification) -> Manifest:
    at = NOW - hours_ago * HOUR
    target = Target("1", "club", "public", "club", "production")
    facts = dict.fromkeys(("compression", "tool_version", "server_version"), "x")
    return Manifest(
        sha256="0" * 64, size=1, target=target, created_at=at, created_by="dana", precedes=None, reason=None,
        tables={}, verifications=verifications, **facts,
    ).at(Path(f"backup_{at:%Y%m%d_%H%M%S}.json"), "")  # fmt: skip


def word(item: str, kind: str = "attested", hours_ago: float = 1, about: str = "") -> Attestation:
    at = NOW - hours_ago * HOUR
    return Attestation(item=item, kind=kind, says="so it is", by="dana", at=at, about=about)  # type: ignore[arg-type]


def said(*words: Attestation, last_import: datetime | None = None) -> dict[str, Attestation]:
    return valid(words, 72, Clock(NOW, last_import))


VOUCHED = said(*(word(name) for name, item in ITEMS.items() if not item.by_evidence))


def still_open(evidence: dict[str, Evidence], words: dict[str, Attestation]) -> set[str]:
    checklist = judge(evidence, words)
    rows = checklist[checklist["state"] == "open"]
    assert rows["next_step"].ne("").all()
    return set(rows["item"])


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
    assert still_open(GOOD, VOUCHED) == set()


@given(missing=st.sets(st.sampled_from(list(ITEMS))))
def test_nothing_is_clear_while_anything_is_open(missing: set[str]) -> None:
    contradicted = {name: Evidence(False, "not so") for name in missing if ITEMS[name].by_evidence}
    words = {name: word for name, word in VOUCHED.items() if name not in missing}
    assert still_open({**GOOD, **contradicted}, words) == missing


@pytest.mark.parametrize("name", ITEMS)
def test_nobody_s_word_makes_true_what_evidence_contradicts(name: str) -> None:
    evidence = {**GOOD, name: Evidence(False, "not so")}
    words = {**VOUCHED, **said(word(name))}
    assert still_open(evidence, words) == {name}
    checklist = judge(evidence, {**words, **said(word(name, "waived"))}).set_index("item")
    assert list(checklist.loc[name, ["state", "by"]]) == ["waived", "waived by dana: so it is"]
    assert "open" not in set(checklist["state"])


def test_a_word_holds_for_this_migration_and_this_configuration_only() -> None:
    old, new = word("window", hours_ago=80), word("window", hours_ago=2)
    assert said(old) == {}
    assert said(new, last_import=NOW - HOUR) == {}
    assert said(new, last_import=NOW - 3 * HOUR) == {"window": new}
    assert said(new, word("window", "withdrawn")) == {}
    evidence = {**GOOD, "config": Evidence(None, "membership.yaml", about="b" * 64)}
    for about, names in (("b", set()), ("a", {"config"})):
        assert still_open(evidence, {**VOUCHED, **said(word("config", about=about * 64))}) == names


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
        ([snapshot(2, PASSED)], NOW - 3 * HOUR, True, "verified by restoring, by dana"),
    ],
)
def test_a_backup_counts_when_it_is_proved_fresh_and_newer_than_the_last_import(
    snapshots: list[Manifest], last_import: datetime | None, holds: bool, says: str
) -> None:
    evidence = backup_evidence(snapshots, 24, Clock(NOW, last_import))
    assert evidence.holds is holds
    assert says in evidence.says
    assert bool(evidence.next_step) is not holds


def dry_run(folder: Path, hours_ago: float, outcome: str = "completed", config: str = "") -> DryRun:
    configuration = (KeptFile(file="m.yaml", sha256=config),) if config else ()
    return DryRun(
        name="dry", command=("x",), environment="club", kind="demo", operator="dana", started_at=NOW - hours_ago * HOUR,
        outcome=outcome, configuration=configuration,  # type: ignore[arg-type]
        reports=(KeptFile(file="report.json", sha256=sha256(b"").hexdigest(), run="r", mode="dry"),),
    ).write(folder / "dry" / "dry_run.json")  # fmt: skip


@pytest.mark.parametrize(
    ("hours_ago", "outcome", "reviewed", "last_import", "says"),
    [
        (1, "completed", True, None, "reviewed by erin"),
        (1, "completed", False, None, "nobody has reviewed"),
        (1, "interrupted", True, None, "did not complete"),
        (1, "not dry", True, None, "did not complete"),
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
    clock = Clock(NOW, last_import)
    evidence = dry_run_evidence([kept], 24, clock)
    assert evidence.holds is (says == "reviewed by erin")
    assert says in evidence.says
    assert dry_run_evidence([], 24, clock).holds is False
    (kept.folder / "report.json").write_text("x")
    assert dry_run_evidence([kept], 24, clock).holds is False


def test_a_configuration_is_open_where_anything_speaks_against_it(tmp_path: Path) -> None:
    same = dry_run(tmp_path, 1, config="a" * 64)
    files = {"m.yaml": "a" * 64}
    assert config_evidence({}, [], [same]).holds is False
    assert config_evidence(files, ["a level is unknown"], [same]).holds is False
    assert config_evidence({"m.yaml": "b" * 64}, [], [same]).holds is False
    assert config_evidence({**files, "s.yaml": "b" * 64}, [], [same]).holds is False
    assert config_evidence(files, [], [same]).holds is None  # a person reviews it


PROVED, NONE = Evidence(True, "a snapshot"), Evidence(False, "no snapshot", "make one")


@pytest.mark.parametrize(
    ("attested", "backup", "traces", "holds"),
    [
        ("", PROVED, True, None),
        ("Level 2 if it fails", NONE, True, False),
        ("level 2", PROVED, False, None),
        ("level 1", NONE, False, False),
        ("level 1", NONE, True, None),
        *((words, PROVED, False, None) for words in ("LEVEL 2, by Robin", "the level-2 way", "Level2")),
        *((words, PROVED, True, False) for words in ("banana", "level 3", "level 10", "sublevel 1")),
    ],
)
def test_a_rollback_plan_names_a_level_that_is_possible_here(
    attested: str, backup: Evidence, traces: bool, holds: bool | None
) -> None:
    evidence = rollback_evidence(attested, backup, traces)
    assert evidence.holds is holds
    answered = still_open({**GOOD, "rollback": evidence}, {**VOUCHED, **said(word("rollback"))})
    assert answered == ({"rollback"} if holds is False else set())


def test_who_and_where() -> None:
    assert operator_evidence("dana", True).holds is True
    assert operator_evidence("root", False).holds is False
    assert environment_evidence("club (production)", True, []).holds is True
    assert environment_evidence("club (production)", False, []).holds is None
    assert environment_evidence("club (production)", True, ["a demo's marker in it"]).holds is False
