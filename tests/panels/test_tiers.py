"""Tiers compared, levels chosen, the correction planned by clicks alone; what cannot be done is said in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import shell as shell
from tests.conftest import Clubs
from tests.panels.conftest import choose, field, press, said, settle, table
from tests.recorded import EXCERPTS, Recording
from tests.recorded import recording as recording
from workbench import open_workbench
from workbench.panels.corrections import TierCorrection, tier_corrections
from workbench.workbench import Workbench

HOSTILE = "<img src=x onerror=alert(1)>\u202e=1+1"
LEVELS, MEMBERS = TierCorrection.caption, "Members in another tier than their level's"
Opened = Callable[..., Workbench]


def plan_of(panel: Any) -> Any:
    press(panel, "Plan the correction")
    return panel.wb.plans[panel.review.plan]


def test_one_level_is_corrected_then_all_and_taken_back(opened: Opened, clubs: Clubs) -> None:
    club = clubs.clone("application", 60)
    club.breaks("all-prospect")
    before, wb = club.state(), opened(club)
    wrong = tier_corrections(wb.tiers.review()["tier"])
    assert int(wrong["members"].sum()) == len(wb.tiers.wrong())
    panel = settle(TierCorrection(wb))
    assert "Nearly everybody has the same" in said(panel)
    assert LEVELS in panel._repr_mimebundle_()["text/html"]
    level, count = str(wrong.iloc[0]["level"]), int(wrong.iloc[0]["members"])
    levels = choose(panel, LEVELS, level)
    assert set(table(panel, MEMBERS).names) == set(wb.tiers.wrong(levels=[level])["key"])
    first = plan_of(panel)
    assert first.changes == {"Member": {"update": count}}
    assert not club.changed(before), "a plan is a file"
    press(panel.review, "Approve")
    wb.plans.apply(first)
    press(panel, "Compare again")
    assert level not in levels.names
    assert panel.chosen == []
    field(panel, "Reason").value = "by the policy"
    rest = plan_of(panel)
    assert rest.total == int(wrong["members"].sum()) - count
    assert "by the policy" in " ".join(rest.reasons)
    press(panel.review, "Approve")
    wb.plans.apply(rest)
    press(panel, "Compare again")
    assert panel._correction.layout.display == "none"
    for plan in (rest, first):
        back = wb.plans.plan_undo(plan.id)
        wb.plans.approve(back, back.digest)
        wb.plans.apply(back)
    assert not club.changed(before)


def test_hostile_levels_and_errors_are_shown(opened: Opened, clubs: Clubs, tmp_path: Path) -> None:
    club, file = clubs.clone("guide", 60), tmp_path / "levels.yaml"
    club.execute('UPDATE "Member" SET "waMembershipLevelRaw" = %s', HOSTILE)
    wb = opened(club)

    def panel_with(mapping: Path | None) -> Any:
        wb.session.options = wb.session.options.model_copy(update={"tier_mapping": mapping})
        return settle(TierCorrection(wb))

    file.write_text("membership_status_mapping:\n  Gold: ACTIVE\n")
    assert "No line of the configuration names the level" in said(panel_with(file))
    unread = panel_with(tmp_path / "no-such-file.yaml")
    assert "wb-fail" in unread.work.message
    assert "no-such-file.yaml" in unread.static().html, "what could not be looked at is said on paper too"
    file.write_text(f"membership_status_mapping:\n  {HOSTILE!r}: NOSUCHTIER\n", encoding="utf-8")
    panel = panel_with(file)
    assert "does not exist here" in said(panel)
    press(panel, "Plan the correction")
    assert "NOSUCHTIER" in panel.work.message
    assert panel.review.plan == ""
    assert "<img" not in said(panel) + table(panel, LEVELS)._table._dt_args["data_json"]
    unmapped = panel_with(None)
    assert "no tier mapping is configured" in said(unmapped)
    assert unmapped._correction.layout.display == "none"


def test_tiers_and_statuses_are_corrected_apart(
    recording: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = EXCERPTS / "csv_over_api"
    policy, statuses = files / "policy.json", files / "migration-config.yaml"
    club = recording("csv_over_api", f'tier_mapping = "{policy}"', f'status_mapping = "{statuses}"')
    monkeypatch.setenv("CLUB_URL", club.url)
    panel = settle(TierCorrection(open_workbench("club")))
    for of, column, count in (("tier", "membershipTierId", 2), ("status", "membershipStatusId", 1)):
        panel._kind.value = of
        settle(panel)
        assert len(table(panel, MEMBERS).names) == count
        plan = plan_of(panel)
        assert plan.changes == {"Member": {"update": count}}
        assert plan.operations[0].changed == (column,)
