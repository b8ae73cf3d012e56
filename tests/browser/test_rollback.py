"""A run, rolled back and brought back, by clicks alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Desk, in_table, press
from tests.conftest import Clubs, Ground

pytestmark = pytest.mark.browser


def test_a_run_is_rolled_back_and_brought_back_in_jupyterlab(
    desk_of: Callable[..., Desk], clubs: Clubs
) -> None:
    club = clubs.clone("application")
    desk = desk_of(club)
    lab = desk.lab("02-runs.ipynb")
    lab.run_all()
    roll_back_and_bring_back(lab.page, club)
    assert not desk.asked_elsewhere()
    kept = desk.folder / ".workbench/lab"
    assert list(kept.glob("*.jupyterlab-workspace")), (
        "what is open is this folder's, not the user's other JupyterLab's"
    )


def test_the_same_on_a_page_without_code(desk_of: Callable[..., Desk], clubs: Clubs) -> None:
    club = clubs.clone("guide")
    page = desk_of(club).serve("runs")
    roll_back_and_bring_back(page, club)
    page.locator(".wb-link", has_text="on its own page").first.click()
    page.locator(".wb-state:visible", has_text="applied, by dana").wait_for()
    plan = page.url.partition("#plans/")[2]
    assert plan.startswith("undo-"), page.url
    page.get_by_role("button", name="Before an import").click()
    page.wait_for_url("**/#preflight*")
    page.go_back()
    page.get_by_role("button", name="Plans").and_(page.locator(".mod-active")).wait_for()
    assert page.url.endswith(f"#plans/{plan}")
    page.reload()
    page.locator(".wb-state:visible", has_text="applied, by dana").wait_for()
    assert page.url.endswith(f"#plans/{plan}")
    # From the undo back to the run that its plan was about: a rollback's own link.
    in_table(page, "Plans", "rollback-")
    page.locator(".wb-link:visible", has_text="the run it takes back").click()
    page.locator(".wb-panel .wb-caption:visible", has_text="Records").first.wait_for()
    assert "#runs/" in page.url


def roll_back_and_bring_back(page: Any, club: Ground) -> None:
    """Do it on whatever page has the panel; the database is what is compared."""
    with club.workbench() as wb:
        runs = wb.runs.frame()
    run = runs[runs["mode"] == "live"]["run"].iloc[0]
    before = club.state()

    in_table(page, "Runs", run)
    press(page, "Plan the rollback")
    page.get_by_text("Can this plan be approved as it is?").wait_for()
    _led_to_the_review(page)
    assert not club.changed(before), "a plan is a file"
    press(page, "Preview")
    report = page.frame_locator("iframe.wb-page")
    report.get_by_role("heading", name="What a plan would do").wait_for()
    assert not club.changed(before), "a report only looks"
    press(page, "Approve")
    page.get_by_text(re.compile("dana approves rollback-")).wait_for()
    press(page, "Apply")
    report.get_by_role("heading", name="Post-recovery verification").wait_for()
    assert page.locator(".wb-answer.wb-fail").count() == 0, "what was applied is no fault"

    gone = club.changed(before)
    counts = {table: (len(was), len(now)) for table, (was, now) in gone.items()}
    assert counts["Member"][0] > 0, counts
    assert counts["Member"][1] == 0, counts

    press(page, "Plan the undo")
    page.get_by_text("This plan undoes").wait_for()
    press(page, "Approve")
    press(page, "Apply")
    page.locator(".wb-state", has_text="applied, by dana").wait_for()
    assert not club.changed(before)


def _led_to_the_review(page: Any) -> None:
    """Whoever pressed a button above is led to where the plan is told, by sight and by focus."""
    heading = page.get_by_role("heading", name="Review a plan")
    page.wait_for_function("document.activeElement.textContent === 'Review a plan'")
    assert 0 <= heading.bounding_box()["y"] < page.viewport_size["height"] / 2
