"""The recommendation: every branch of the decision, on values alone."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.findings import finding_of
from workbench.checks import REGISTRY, Finding
from workbench.murmurant.importers import Run
from workbench.triage.judgement import MODES, SUSPECTS, failure_modes, recommend, run_in_question
from workbench.triage.ways import TITLES, Way, level_0, rerun, together, ways_frame

LIVE = Run("sync_1779532200000_msfvmd", "api", status="completed", why="its report file is complete")
LATER = replace(LIVE, run="sync_1779532299999_msfvmd")
PLANTED = {
    "§1.1": "runs-interrupted",
    "§1.2": "members-wrong-person",
    "§1.3": "tiers-wrong",
    "§1.4": "events-duplicate",
    "§1.5": "events-overbooked",
    "§1.6": "environment-wrong",
    "§7.1": "mappings-orphaned",
}


def findings(*bad: str, status: str = "fail") -> list[Finding]:
    rows = pd.DataFrame({"key": ["x"]})
    return [
        finding_of(check, status, 1, rows=rows) if check in bad else finding_of(check, "pass", 0)
        for check in REGISTRY
    ]


def blamed(*suspects: tuple[Run, float, str]) -> pd.DataFrame:
    rows = [
        (run.run, run.importer, run.status, int(10 * share), 10, share, named, share >= 0.5 or bool(named))
        for run, share, named in suspects
    ]
    return pd.DataFrame(rows, columns=SUSPECTS).astype({"bad": bool})


def ways(*closed: str) -> dict[str, Way]:
    return {name: Way(name, name not in closed) for name in TITLES}


def advised(*bad: str, suspects: pd.DataFrame | None = None, closed: tuple[str, ...] = ()) -> str | None:
    return recommend(
        failure_modes(findings(*bad)), ways(*closed), LIVE, blamed() if suspects is None else suspects
    )[0]


def test_what_leaves_everything_as_it_is() -> None:
    dry = replace(LIVE, mode="dry")
    assert recommend(failure_modes(findings(*PLANTED.values())), ways(), dry, blamed())[0] == "level 0"
    assert "DRY_RUN=1" in level_0(dry).commands[0]
    assert advised() == "level 0"
    # What could not be asked is said with it, and warnings alone take nothing back.
    unasked = [
        finding_of(finding.check, "not run", reason="no table") if finding.guide == "§1.4" else finding
        for finding in findings()
    ]
    modes = failure_modes(unasked)
    assert {mode.guide: mode.state for mode in modes}["§1.4"] == "not known"
    assert REGISTRY["events-duplicate"].title in recommend(modes, ways(), LIVE, blamed())[1]
    modes = failure_modes(findings("mappings-shared-target", status="warn"))
    assert "suspected" in [mode.state for mode in modes]
    assert recommend(modes, ways(), LIVE, blamed())[0] == "level 0"


@pytest.mark.parametrize(
    ("bad", "suspects", "closed", "way"),
    [
        ("runs-interrupted", (), (), "re-run"),
        *((PLANTED[section], (), (), "targeted") for section in ("§1.2", "§1.3", "§1.4", "§1.5")),
        ("tiers-wrong", (), ("targeted",), None),
        ("members-wrong-person", ((LIVE, 0.5, ""),), (), "level 1"),
        ("members-wrong-person", ((LIVE, 0.4, ""),), (), "targeted"),
        ("members-wrong-person", ((LIVE, 0.5, ""),), ("level 1",), "level 2"),
        ("config-differs", ((LIVE, 0, "config-differs"),), (), "level 1"),
        ("members-wrong-person", ((LIVE, 0.9, ""), (LATER, 0.9, "")), (), "level 2"),
        ("members-wrong-person", ((LIVE, 0.9, ""), (LATER, 0.9, "")), ("level 2",), "level 1"),
        ("members-wrong-person", ((LIVE, 0.9, ""), (LATER, 0.9, "")), ("level 1", "level 2"), None),
        # None is rolled back for another one's faults; the wrong database needs the whole of it.
        ("members-wrong-person", ((LATER, 0.9, ""),), (), None),
        ("environment-wrong", ((LATER, 0.9, ""),), (), "level 2"),
    ],
)
def test_each_branch(bad: str, suspects: tuple, closed: tuple[str, ...], way: str | None) -> None:
    assert advised(bad, suspects=blamed(*suspects), closed=closed) == way


def test_of_several_bad_runs_the_latest_is_in_question() -> None:
    both = blamed((LIVE, 0.9, ""), (LATER, 0.9, ""))
    assert run_in_question([LIVE, LATER], both) == LATER
    assert run_in_question([LIVE, LATER], blamed((LIVE, 0, "environment-wrong"), (LATER, 0.9, ""))) == LIVE
    stopped = replace(LIVE, status="interrupted")
    assert run_in_question([stopped, LATER], blamed()) == stopped


@settings(max_examples=50, deadline=None)
@given(
    bad=st.sets(st.sampled_from(sorted(PLANTED.values()))),
    closed=st.sets(st.sampled_from(sorted(TITLES))),
    shares=st.lists(st.floats(0, 1), max_size=3),
    status=st.sampled_from(["completed", "interrupted", "failed", "unknown"]),
)
def test_no_way_is_recommended_that_is_closed(bad, closed, shares, status) -> None:
    runs = [replace(LIVE, run=str(number)) for number in range(len(shares))]
    suspects = blamed(*((run, share, "") for run, share in zip(runs, shares, strict=True)))
    offered = ways(*closed - {"level 0"})
    run = next((run for run, share in zip(runs, shares, strict=True) if share >= 0.5), LIVE)
    way, why = recommend(failure_modes(findings(*bad)), offered, replace(run, status=status), suspects)
    assert why
    assert way is None or offered[way].possible


@pytest.mark.parametrize("section", MODES)
def test_every_planted_mode_is_named_and_no_other(section: str) -> None:
    also = "§1.2"
    modes = failure_modes(findings(PLANTED[section], PLANTED[also]))
    assert {mode.guide for mode in modes if mode.state == "present"} == {section, also}


def test_what_is_not_known_is_no_zero() -> None:
    stopped = replace(LIVE, status="interrupted")
    assert rerun([], stopped, missing=False, unmapped=False).seconds is None
    assert not rerun([LIVE], LIVE, missing=False, unmapped=False).possible
    assert not rerun([], stopped, missing=True, unmapped=True).possible
    tiers = Way("targeted", True, 7, 0, 5, 61.0, ("workbench plan tiers",))
    policies = Way("targeted", False, notes=("nothing to do",))
    both = together({"tiers": tiers, "policies": policies})
    assert both[:6] == tiers[:6]
    assert not together({"policies": policies}).possible
    frame = ways_frame([both, policies], None)
    assert [*frame["references_at_risk"].fillna(-1)] == [5, -1]
    assert [*frame["minutes"].fillna(-1)] == [2, -1]
