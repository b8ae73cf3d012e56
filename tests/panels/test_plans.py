"""A run picked, its rollback planned, approved, applied and taken back, and every refusal in words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Clubs, Ground
from tests.panels.conftest import choose, offered, parts, press, said, settle, table
from workbench.errors import WorkbenchError
from workbench.panels.corrections import RunPicker
from workbench.panels.plans import PlanReview
from workbench.reporting.questions import Reports
from workbench.reporting.runner import ReportResult
from workbench.workbench import Workbench


@pytest.fixture(autouse=True)
def quick_report(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """A report is a page that is there at once, until this is undone: a kernel takes seconds."""
    page = tmp_path / "page.html"
    page.write_text("<p>A page.</p>")
    report = ReportResult(page, page, page, {"headline": "Is it safe to reopen?", "status": "warn"}, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reports, "__call__", lambda *_: report)
        yield patch


@pytest.fixture
def small(clubs: Clubs) -> Ground:
    return clubs.clone("application", 60)


def _picked(wb: Workbench) -> RunPicker:
    runs = wb.runs.frame()
    panel: RunPicker = settle(RunPicker(wb))
    choose(panel, "Runs", runs[runs["mode"] == "live"]["run"].iloc[-1])
    return panel


def test_a_run_goes_and_comes_back(
    opened: Callable[..., Workbench], clubs: Clubs, dialect: str, quick_report: pytest.MonkeyPatch
) -> None:
    club = clubs.clone(dialect, 60)
    before = club.state()
    panel = _picked(opened(club))
    assert "Found and reported" in said(panel)
    press(panel, "Plan the rollback")
    plan = panel.review.plan
    assert plan.startswith("rollback-")
    assert panel.wb.plans[plan].digest in said(panel.review)
    assert offered(panel.review) == {"Preview", "Approve"}
    press(panel.review, "Preview")  # the report itself: tests/browser
    assert 'sandbox=""' in said(panel.review)
    assert not club.changed(before)
    press(panel.review, "Approve")
    assert f"dana approves {plan}" in said(panel)
    assert offered(panel.review) == {"Preview", "Apply"}
    press(panel.review, "Apply")
    assert "Applied: " in said(panel)
    assert "Is it safe to reopen?" in said(panel), "it is verified at once"
    assert "wb-answer wb-pass" in panel.review._answer.value, "what was applied is no fault"
    assert club.changed(before)
    assert offered(panel.review) == {"Preview", "Plan the undo"}
    press(panel.review, "Plan the undo")
    assert panel.review.plan != plan
    press(panel.review, "Approve")
    quick_report.setattr(PlanReview, "_report", lambda *_: None)
    press(panel.review, "Apply")
    assert not club.changed(before)


def test_nothing_to_plan_and_an_unknown_plan_are_reported(
    opened: Callable[..., Workbench], small: Ground
) -> None:
    wb = opened(small)
    runs = wb.runs.frame()
    panel = settle(RunPicker(wb, runs[runs["mode"] == "dry"]["run"].iloc[0]))
    press(panel, "Plan the rollback")
    assert "dry run (level 0): nothing was written" in said(panel)
    assert "LevelZero" not in said(panel)
    assert panel.review.plan == ""
    review = settle(PlanReview(wb))
    assert "Plans: none" in said(review)
    assert review._shown.layout.display == "none"
    for shown, word in ((panel, "Importer"), (review, "Plans")):
        bundle = shown._repr_mimebundle_()
        assert word in bundle["text/html"], "what stands in its place on paper"
        assert "application/vnd.jupyter.widget-view+json" in bundle
        assert any("wb-banner" in str(getattr(part, "value", "")) for part in parts(shown))
    review.go("rollback-0000")
    settle(review)
    assert "rollback-0000" in review.work.message


def test_a_second_session_is_told_that_the_first_applied(
    opened: Callable[..., Workbench], small: Ground
) -> None:
    one = _picked(opened(small))
    press(one, "Plan the rollback")
    press(one.review, "Approve")
    two = settle(PlanReview(opened(small), one.review.plan))
    press(one.review, "Apply")
    after = small.state()
    press(two, "Apply")
    assert "wb-fail" in two.work.message
    assert not small.changed(after)
    press(two, "Look again")
    assert "applied, by dana" in said(two)


def test_late_clicks_are_ignored(opened: Callable[..., Workbench], small: Ground) -> None:
    """The page shows a plan a moment longer than the kernel: consent is to what was seen, or to nothing."""
    panel = _picked(opened(small))
    wb, review = panel.wb, panel.review
    for _ in range(2):
        panel.buttons["Plan the rollback"].click()
    settle(panel)
    assert len(wb.plans.states()) == 1
    first, approve = review.plan, review.buttons["Approve"]
    second = wb.runs.plan_sync_state().id
    review.go(second)
    settle(review)
    assert review.plan == second
    approve.click()
    settle(review)
    assert set(wb.plans.states()["state"]) == {"planned"}

    gate = threading.Event()
    review.work.start("Reading the other plan", lambda _: gate.wait(20))
    review.go(first)
    review.buttons["Approve"].click()
    gate.set()
    settle(review)
    assert review.plan == first
    assert set(wb.plans.states()["state"]) == {"planned"}

    press(review, "Approve")
    apply = review.buttons["Apply"]
    apply.click()
    apply.click()  # twice, as people do
    settle(review)
    assert "Applied: " in said(review)
    assert "was applied by dana" not in review.work.message, "the second click was not even tried"


def test_a_row_left_behind_is_not_chosen(opened: Callable[..., Workbench], small: Ground) -> None:
    """A browser tells of another row in two messages: none, then that one."""
    panel = _picked(opened(small))
    runs = table(panel, "Runs")._table
    runs.selected_rows = []
    panel.buttons["Plan the rollback"].click()
    settle(panel)
    assert panel.run == ""
    assert panel.wb.plans.states().empty
    assert "Found and reported" not in said(panel)

    gate = threading.Event()
    panel.work.start("Being slow", lambda _: gate.wait(20))
    runs.selected_rows = [0]
    runs.selected_rows = []  # while it is still to be read
    gate.set()
    settle(panel)
    assert panel.run == ""
    assert not offered(panel)

    runs.selected_rows = [0]
    settle(panel)
    press(panel, "Plan the rollback")
    review = settle(PlanReview(panel.wb, panel.review.plan))
    assert offered(review) == {"Preview", "Approve"}
    plans = table(review, "Plans")._table
    plans.selected_rows = []
    assert offered(review) == set()
    review.buttons["Approve"].click()
    settle(review)
    assert set(panel.wb.plans.states()["state"]) == {"planned"}
    plans.selected_rows = [0]
    settle(review)
    assert offered(review) == {"Preview", "Approve"}


def test_a_run_that_could_not_be_read_can_be_chosen_again(
    opened: Callable[..., Workbench], small: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = _picked(opened(small))

    def fail(*_: object, **__: object) -> None:
        raise WorkbenchError("The server is away.", "Try again.")

    runs = table(panel, "Runs")
    [row] = runs._table.selected_rows
    other = row - 1 if row else row + 1
    with monkeypatch.context() as broken:
        broken.setattr(type(panel.wb.runs), "records", fail)
        runs._table.selected_rows = [other]
        settle(panel)
    assert "The server is away." in said(panel)
    assert panel.run == ""
    assert not offered(panel)
    runs._table.selected_rows = []
    runs._table.selected_rows = [other]
    settle(panel)
    assert panel.run == runs.names[other]
    assert offered(panel)


def test_a_report_belongs_to_its_plan_and_approval_needs_a_name(
    opened: Callable[..., Workbench], small: Ground
) -> None:
    panel = _picked(opened(small))
    review, gate = panel.review, threading.Event()
    press(panel, "Plan the rollback")
    first, second = review.plan, panel.wb.runs.plan_sync_state().id
    press(review, "Preview")
    assert "A page." in review._page.value
    review.go(second)
    settle(review)
    assert review._page.value == ""
    review.go(first)
    settle(review)
    review.work.start("Being slow", lambda _: gate.wait(20))
    review.go(second)
    review.buttons["Preview"].disabled = False
    review.buttons["Preview"].click()  # of the first, which is still to be seen
    gate.set()
    settle(review)
    assert review.plan == second
    assert review._page.value == ""
    review._who.value = " "
    press(review, "Approve")
    assert f"{second} was not approved" in review.work.message
    assert set(panel.wb.plans.states()["state"]) == {"planned"}
