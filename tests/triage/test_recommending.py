"""Which way is recommended: every branch of the decision, on values alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.checks import REGISTRY, Finding
from workbench.murmurant.importers import Run
from workbench.triage import Way, failure_modes, recommend
from workbench.triage.suspects import Suspect, in_question
from workbench.triage.ways import TITLES, Checkpoint, level_0, level_2, rerun

LIVE = Run("sync_1779532200000_msfvmd", "api", status="completed", why="its report file is complete")
ALL = {name: Way(name, True) for name in TITLES}
PLANTED = {
    "partial": "runs-interrupted",
    "mappings": "members-wrong-person",
    "tiers": "tiers-wrong",
    "duplicates": "events-duplicate",
    "policies": "events-overbooked",
    "environment": "environment-wrong",
    "dangling": "mappings-orphaned",
}


def found(*bad: str, status: str = "fail") -> list[Finding]:
    rows = pd.DataFrame({"key": ["x"]})
    return [
        check.finding(status, 1, rows=rows) if check.id in bad else check.finding("pass", 0)
        for check in REGISTRY.values()
    ]


def advised(*bad: str, run: Run | None = LIVE, suspects: tuple[Suspect, ...] = (), **ways: bool):
    closed = {name.replace("_", " "): possible for name, possible in ways.items()}
    offered = {name: replace(way, possible=closed.get(name, True)) for name, way in ALL.items()}
    return recommend(failure_modes(found(*bad)), offered, run, suspects)


def test_a_dry_run_wrote_nothing() -> None:
    dry = replace(LIVE, mode="dry")
    assert advised(*PLANTED.values(), run=dry).way == "level 0"
    assert "DRY_RUN=1" in level_0(dry, 0).commands[0]


def test_nothing_wrong_needs_nothing() -> None:
    assert advised().way == "level 0"
    assert "no failure was found" in advised().why.lower()


def test_what_could_not_be_asked_is_said_with_it() -> None:
    asked = [
        REGISTRY[each.check].finding("not run", reason="no table") if each.guide == "§1.4" else each
        for each in found()
    ]
    modes = failure_modes(asked)
    assert next(each for each in modes if each.section == "§1.4").state == "not known"
    assert "duplicates" in recommend(modes, ALL, LIVE, ()).why


def test_warnings_alone_take_nothing_back() -> None:
    modes = failure_modes(found("mappings-shared-target", status="warn"))
    assert [each.state for each in modes if each.here] == ["suspected"]
    assert recommend(modes, ALL, LIVE, ()).way == "level 0"


def test_what_is_only_missing_is_imported_again() -> None:
    assert advised("runs-interrupted").way == "re-run"


@pytest.mark.parametrize("mode", ["mappings", "tiers", "duplicates", "policies"])
def test_what_lies_in_single_records_is_corrected_there(mode: str) -> None:
    assert advised(PLANTED[mode]).way == "targeted"
    assert advised(PLANTED[mode], targeted=False).way is None


def test_a_run_that_is_bad_as_a_whole_is_rolled_back() -> None:
    half = Suspect(LIVE, 5, 10)
    assert advised("members-wrong-person", suspects=(half,)).way == "level 1"
    assert advised("members-wrong-person", suspects=(Suspect(LIVE, 4, 10),)).way == "targeted"
    assert advised("members-wrong-person", suspects=(half,), level_1=False).way == "level 2"
    condemned = Suspect(LIVE, 0, 10, ("config-differs",))
    assert advised("config-differs", suspects=(condemned,)).way == "level 1"


def test_several_bad_runs_need_the_whole_database() -> None:
    later = replace(LIVE, run="sync_1779532299999_msfvmd")
    two = (Suspect(LIVE, 9, 10), Suspect(later, 9, 10))
    assert in_question([LIVE, later], two) == later  # the latest first, in whatever order they are blamed
    assert advised("members-wrong-person", suspects=two).way == "level 2"
    assert advised("members-wrong-person", suspects=two, level_2=False).way == "level 1"
    assert advised("members-wrong-person", suspects=two, level_2=False, level_1=False).way is None


def test_a_run_is_not_rolled_back_for_another_ones_faults() -> None:
    other = (Suspect(replace(LIVE, run="other"), 9, 10),)
    assert advised("members-wrong-person", suspects=other).way is None
    assert advised("environment-wrong", suspects=other).way == "level 2"


def test_the_wrong_database_needs_the_whole_database() -> None:
    assert advised("environment-wrong", "tiers-wrong").way == "level 2"


@given(
    bad=st.sets(st.sampled_from(sorted(PLANTED.values()))),
    closed=st.sets(st.sampled_from(sorted(TITLES))),
    culprits=st.lists(st.integers(0, 10), max_size=3),
    status=st.sampled_from(["completed", "interrupted", "failed", "unknown"]),
)
def test_no_way_is_recommended_that_is_closed(bad, closed, culprits, status) -> None:
    suspects = tuple(Suspect(replace(LIVE, run=str(n)), each, 10) for n, each in enumerate(culprits))
    open_ = {
        name: replace(way, possible=name not in closed or name == "level 0") for name, way in ALL.items()
    }
    run = next((each.run for each in suspects if each.bad), LIVE)
    advice = recommend(failure_modes(found(*bad)), open_, replace(run, status=status), suspects)
    assert advice.why
    assert advice.way is None or open_[advice.way].possible


@pytest.mark.parametrize("bad", [*combinations(PLANTED.values(), 1), *combinations(PLANTED.values(), 2)])
def test_every_planted_mode_is_named_and_no_other(bad: tuple[str, ...]) -> None:
    sections = {REGISTRY[each].guide for each in bad}
    assert {each.section for each in failure_modes(found(*bad)) if each.state == "present"} == sections


def test_what_is_not_known_is_no_zero() -> None:
    assert level_2(Checkpoint("backup", "today", True), "").loses is None
    assert not level_2(Checkpoint("backup", "today", False), "").possible
    assert rerun(replace(LIVE, status="interrupted"), [], 0, False).minutes is None
    assert not rerun(LIVE, [LIVE], 0, False).possible
