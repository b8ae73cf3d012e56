"""A run picked, its rollback planned, approved, applied and taken back, and every refusal in words."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg

from tests.conftest import ClonedClub, Clubs
from tests.panels.conftest import parts, press, said, settle
from tests.states import differences, state
from workbench.panels import PlanReview, RunPicker
from workbench.workbench import Workbench


def _state(club: ClonedClub) -> dict[str, list[str]]:
    with psycopg.connect(club.url) as connection:
        return state(connection, ("AuditLog",))


def _picked(wb: Workbench) -> RunPicker:
    runs = wb.runs()
    panel = RunPicker(wb)
    settle(panel)
    panel._runs._table.selected_rows = [panel._runs._keys.index(runs[runs["mode"] == "live"]["run"].iloc[-1])]
    settle(panel)
    return panel


def test_a_run_goes_and_comes_back(opened: Callable[..., Workbench], club: ClonedClub) -> None:
    before = _state(club)
    panel = _picked(opened(club))
    assert "What it did" in said(panel)
    press(panel, "Plan the rollback")
    plan = panel.review.plan
    assert plan.startswith("rollback-")
    assert panel.wb.plan(plan).digest in said(panel.review)
    assert not differences(before, _state(club))
    press(panel.review, "Approve")
    assert f"dana approves {plan}" in said(panel)
    press(panel.review, "Apply")
    assert "Applied: " in said(panel)
    assert "Is it safe to reopen?" in said(panel), "it is verified at once"
    assert differences(before, _state(club))
    press(panel.review, "Plan the undo")
    assert panel.review.plan != plan
    press(panel.review, "Approve")
    press(panel.review, "Apply")
    assert not differences(before, _state(club))


def test_a_dry_run_leaves_nothing_to_plan(opened: Callable[..., Workbench], club: ClonedClub) -> None:
    wb = opened(club)
    runs = wb.runs()
    panel = RunPicker(wb, runs[runs["mode"] == "dry"]["run"].iloc[0])
    settle(panel)
    press(panel, "Plan the rollback")
    assert "dry run" in said(panel)
    assert panel.review.plan == ""


def test_a_preview_is_the_report_and_changes_nothing(
    opened: Callable[..., Workbench], club: ClonedClub
) -> None:
    before = _state(club)
    panel = _picked(opened(club))
    press(panel, "Plan the rollback")
    press(panel.review, "Preview")
    assert "srcdoc=" in said(panel.review)
    assert 'sandbox=""' in said(panel.review)
    assert not differences(before, _state(club))


def test_a_second_session_is_told_that_the_first_applied(
    opened: Callable[..., Workbench], club: ClonedClub
) -> None:
    one = _picked(opened(club))
    press(one, "Plan the rollback")
    press(one.review, "Approve")
    two = PlanReview(opened(club), one.review.plan)
    settle(two)
    press(one.review, "Apply")
    after = _state(club)
    press(two, "Apply")
    assert "wb-fail" in two.work.said
    assert not differences(after, _state(club))
    press(two, "Look again")
    assert "applied, by dana" in said(two)


def test_an_unknown_plan_and_an_empty_list_are_said_in_words(
    opened: Callable[..., Workbench], club: ClonedClub
) -> None:
    panel = PlanReview(opened(club))
    settle(panel)
    assert "Plans: none" in said(panel)
    assert panel._shown.layout.display == "none"
    panel.show("rollback-0000")
    settle(panel)
    assert "rollback-0000" in panel.work.said


def test_what_stands_in_its_place_on_paper(opened: Callable[..., Workbench], club: ClonedClub) -> None:
    wb = opened(club)
    for panel, word in ((RunPicker(wb), "Importer"), (PlanReview(wb), "Plans")):
        settle(panel)
        bundle = panel._repr_mimebundle_()
        assert word in bundle["text/html"]
        assert "application/vnd.jupyter.widget-view+json" in bundle
        assert any("wb-banner" in str(getattr(each, "value", "")) for each in parts(panel))


def test_only_what_can_be_done_with_a_plan_is_offered(opened: Callable[..., Workbench], clubs: Clubs) -> None:
    panel = _picked(opened(clubs.clone("application")))
    press(panel, "Plan the rollback")
    assert _offered(panel.review) == {"Preview", "Approve"}
    press(panel.review, "Approve")
    assert _offered(panel.review) == {"Preview", "Apply"}
    press(panel.review, "Apply")
    assert _offered(panel.review) == {"Preview", "Plan the undo"}


def test_a_click_on_what_was_left_or_in_haste_is_not_heard(
    opened: Callable[..., Workbench], clubs: Clubs
) -> None:
    """The page shows a plan a moment longer than the kernel: consent is to what was seen, or to nothing."""
    panel = _picked(opened(clubs.clone("guide")))
    wb, review = panel.wb, panel.review
    panel._plan.click()
    panel._plan.click()
    settle(panel)
    assert len(wb.plans()) == 1
    first, approve = review.plan, review._buttons["approve"]
    second = wb.plan_sync_state().id
    review.show(second)
    settle(review)
    assert review.plan == second
    approve.click()
    settle(review)
    assert set(wb.plans()["state"]) == {"planned"}

    gate = threading.Event()
    review.work.start("Reading the other plan", lambda _: gate.wait(20))
    review.show(first)
    review._buttons["approve"].click()
    gate.set()
    settle(review)
    assert review.plan == first
    assert set(wb.plans()["state"]) == {"planned"}

    press(review, "Approve")
    apply = review._buttons["apply"]
    apply.click()
    apply.click()  # twice, as people do
    settle(review)
    assert "Applied: " in said(review)
    assert "was applied by dana" not in review.work.said, "the second click was not even tried"


def _offered(review: PlanReview) -> set[str]:
    return {each.description for each in review._buttons.values() if not each.disabled}
