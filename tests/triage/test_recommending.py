"""Which way is recommended: every branch of the decision, on values alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.checks import REGISTRY, Finding
from workbench.murmurant.importers import Run
from workbench.triage import _ways
from workbench.triage.modes import failure_modes
from workbench.triage.recommending import Suspect, in_question, recommend
from workbench.triage.ways import TITLES, Way, level_0, rerun, together

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
    offered = {name: way._replace(possible=closed.get(name, True)) for name, way in ALL.items()}
    return recommend(failure_modes(found(*bad)), offered, run, suspects)


def test_what_leaves_everything_as_it_is() -> None:
    dry = replace(LIVE, mode="dry")
    assert advised(*PLANTED.values(), run=dry).way == "level 0"
    assert "DRY_RUN=1" in level_0(dry).commands[0]
    assert advised().way == "level 0"
    assert "no failure was found" in advised().why.lower()
    # What could not be asked is said with it, and warnings alone take nothing back.
    asked = [
        REGISTRY[each.check].finding("not run", reason="no table") if each.guide == "§1.4" else each
        for each in found()
    ]
    modes = failure_modes(asked)
    assert {each.guide: each.state for each in modes}["§1.4"] == "not known"
    assert REGISTRY["events-duplicate"].title in recommend(modes, ALL, LIVE, ()).why
    modes = failure_modes(found("mappings-shared-target", status="warn"))
    assert [each.state for each in modes if each.here] == ["suspected"]
    assert recommend(modes, ALL, LIVE, ()).way == "level 0"


def test_what_lies_in_records_or_is_missing() -> None:
    assert advised("runs-interrupted").way == "re-run"
    for mode in ("mappings", "tiers", "duplicates", "policies"):
        assert advised(PLANTED[mode]).way == "targeted"
        assert advised(PLANTED[mode], targeted=False).way is None


def test_runs_that_are_bad_as_a_whole() -> None:
    half = Suspect(LIVE, 5, 10)
    assert advised("members-wrong-person", suspects=(half,)).way == "level 1"
    assert advised("members-wrong-person", suspects=(Suspect(LIVE, 4, 10),)).way == "targeted"
    assert advised("members-wrong-person", suspects=(half,), level_1=False).way == "level 2"
    condemned = Suspect(LIVE, 0, 10, ("config-differs",))
    assert advised("config-differs", suspects=(condemned,)).way == "level 1"
    later = replace(LIVE, run="sync_1779532299999_msfvmd")
    two = (Suspect(LIVE, 9, 10), Suspect(later, 9, 10))
    assert in_question([LIVE, later], two) == later  # the latest first, in whatever order they are blamed
    assert advised("members-wrong-person", suspects=two).way == "level 2"
    assert advised("members-wrong-person", suspects=two, level_2=False).way == "level 1"
    assert advised("members-wrong-person", suspects=two, level_2=False, level_1=False).way is None
    # None is rolled back for another one's faults; the wrong database needs the whole of it.
    other = (Suspect(replace(LIVE, run="other"), 9, 10),)
    assert advised("members-wrong-person", suspects=other).way is None
    assert advised("environment-wrong", suspects=other).way == "level 2"
    assert advised("environment-wrong", "tiers-wrong").way == "level 2"


@settings(max_examples=50, deadline=None)
@given(
    bad=st.sets(st.sampled_from(sorted(PLANTED.values()))),
    closed=st.sets(st.sampled_from(sorted(TITLES))),
    culprits=st.lists(st.integers(0, 10), max_size=3),
    status=st.sampled_from(["completed", "interrupted", "failed", "unknown"]),
)
def test_no_way_is_recommended_that_is_closed(bad, closed, culprits, status) -> None:
    suspects = tuple(Suspect(replace(LIVE, run=str(n)), each, 10) for n, each in enumerate(culprits))
    open_ = {
        name: way._replace(possible=name not in closed or name == "level 0") for name, way in ALL.items()
    }
    run = next((each.run for each in suspects if each.bad), LIVE)
    advice = recommend(failure_modes(found(*bad)), open_, replace(run, status=status), suspects)
    assert advice.why
    assert advice.way is None or open_[advice.way].possible


def test_every_planted_mode_is_named_and_no_other() -> None:
    for bad in [*combinations(PLANTED.values(), 1), *combinations(PLANTED.values(), 2)]:
        sections = {REGISTRY[each].guide for each in bad}
        assert {each.guide for each in failure_modes(found(*bad)) if each.state == "present"} == sections


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
    frame = _ways([both, policies], None, None)
    assert frame["references_at_risk"].isna().all()
    assert [*frame["minutes"].fillna(-1)] == [2, -1]
    assert _ways([both], None, 4)["references_at_risk"][0] == 9
