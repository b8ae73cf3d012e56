"""Tiers compared, levels chosen, the correction planned by clicks alone; what cannot be done is said in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import shell as shell
from tests.conftest import Ground
from tests.panels.conftest import choose, field, press, said, settle, table
from tests.recorded import EXCERPTS, Recording
from tests.recorded import recording as recording
from workbench import open_workbench
from workbench.panels import TierCorrection
from workbench.panels.corrections import tier_corrections
from workbench.workbench import Workbench

HOSTILE = "<img src=x onerror=alert(1)>\u202e=1+1"
LEVELS = "Levels with members in another tier"
MEMBERS = "Members in another tier than their level's"
Opened = Callable[..., Workbench]


def _break(club: Ground, *names: str) -> None:
    club.breaks(*names)


def _panel(wb: Workbench, mapping: str = "") -> TierCorrection:
    panel = TierCorrection(wb, mapping)
    settle(panel)
    return panel


def test_one_level_is_corrected_then_all_and_taken_back(opened: Opened, club: Ground) -> None:
    _break(club, "all-prospect")
    before = club.state()
    wb = opened(club)
    wrong = tier_corrections(wb.tiers.review()["tier"])
    assert list(wrong["members"]) == sorted(wrong["members"], reverse=True)
    assert int(wrong["members"].sum()) == wb.tiers.review()["tier"].correctable == len(wb.tiers.wrong())
    panel = _panel(wb)
    assert "Nearly everybody has the same" in said(panel)
    level, count = str(wrong.iloc[0]["level"]), int(wrong.iloc[0]["members"])
    levels, members = choose(panel, LEVELS, level), table(panel, MEMBERS)
    assert panel.chosen == [level]
    assert len(members.names) == count
    assert set(members.names) == set(wb.tiers.wrong(levels=[level])["key"])
    press(panel, "Plan the correction")
    plan = wb.plans[panel.review.plan]
    assert plan.changes == {"Member": {"update": count}}
    assert not club.changed(before), "a plan is a file"
    press(panel.review, "Approve")
    wb.plans.apply(plan)
    press(panel, "Compare")
    assert level not in levels.names
    assert panel.chosen == []
    field(panel, "Reason").value = "by the policy"
    press(panel, "Plan the correction")
    rest = wb.plans[panel.review.plan]
    assert rest.total == int(wrong["members"].sum()) - count
    assert "by the policy" in " ".join(rest.reasons)
    press(panel.review, "Approve")
    wb.plans.apply(rest)
    press(panel, "Compare")
    assert not wb.tiers.review()["tier"].correctable
    assert panel._correction.layout.display == "none"
    for done in (rest, plan):
        back = wb.plans.plan_undo(done.id)
        wb.plans.approve(back, back.digest)
        wb.plans.apply(back)
    assert not club.changed(before)


def test_hostile_levels_and_errors_are_said_in_words(opened: Opened, club: Ground, tmp_path: Path) -> None:
    club.execute('UPDATE "Member" SET "waMembershipLevelRaw" = %s', HOSTILE)
    panel = _panel(opened(club))
    assert "No line maps the level" in said(panel)
    press_it = field(panel, "Tier mapping")
    press_it.value = "no-such-file.yaml"
    settle(panel)
    assert "no-such-file.yaml" in panel.work.said
    assert "wb-fail" in panel.work.said
    unread = TierCorrection(panel.wb, "no-such-file.yaml")
    assert "no-such-file.yaml" in unread.static().html, "what could not be looked at is said on paper too"
    settle(unread)
    file = tmp_path / "levels.yaml"
    file.write_text(f"membership_status_mapping:\n  {HOSTILE!r}: NOSUCHTIER\n", encoding="utf-8")
    press_it.value = str(file)
    settle(panel)
    assert "does not exist here" in said(panel)
    assert "levels.yaml" in said(panel)
    press(panel, "Plan the correction")
    assert "NOSUCHTIER" in panel.work.said
    assert panel.review.plan == ""
    assert "<img" not in said(panel)
    assert "<img" not in table(panel, LEVELS)._table._dt_args["data_json"]


def test_without_a_mapping_it_says_so(opened: Opened, club: Ground) -> None:
    wb = opened(club)
    wb.session.options = wb.session.options.model_copy(update={"tier_mapping": None})
    panel = _panel(wb)
    assert "no tier mapping is configured" in said(panel)
    assert panel._correction.layout.display == "none"
    assert panel.work.said == ""


def test_what_stands_in_its_place_on_paper(opened: Opened, club: Ground) -> None:
    _break(club, "all-prospect")
    panel = TierCorrection(opened(club))
    bundle = panel._repr_mimebundle_()
    assert "Levels with members in another tier" in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    settle(panel)


def test_tiers_and_statuses_are_corrected_apart(
    recording: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = EXCERPTS / "csv_over_api"
    club = recording(
        "csv_over_api",
        f'tier_mapping = "{files / "policy.json"}"',
        f'status_mapping = "{files / "migration-config.yaml"}"',
    )
    monkeypatch.setenv("CLUB_URL", club.url)
    panel = _panel(open_workbench("club"))
    for of, column, count in (("tier", "membershipTierId", 2), ("status", "membershipStatusId", 1)):
        panel._of.value = of
        settle(panel)
        assert len(table(panel, MEMBERS).names) == count
        press(panel, "Plan the correction")
        plan = panel.wb.plans[panel.review.plan]
        assert plan.changes == {"Member": {"update": count}}
        assert plan.operations[0].changed == (column,)
