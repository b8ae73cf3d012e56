"""A run, rolled back and brought back, by clicks alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest

from tests.browser.conftest import Desk, in_table
from tests.conftest import Clubs
from tests.states import differences, state

pytestmark = pytest.mark.browser

LOGS = ("AuditLog",)
"""What every act adds to."""


def test_a_run_is_rolled_back_and_brought_back_in_jupyterlab(
    desk_of: Callable[..., Desk], clubs: Clubs
) -> None:
    club = clubs.clone("application")
    with club.workbench() as wb:
        runs = wb.runs()
    run = runs[runs["mode"] == "live"]["run"].iloc[0]
    desk = desk_of(club)
    lab = desk.lab("02-runs.ipynb")
    lab.run_all()
    before = _state(club.url)

    in_table(lab.page, "Runs", run)
    lab.press("Plan the rollback")
    lab.page.get_by_text("Can this plan be approved as it is?").wait_for()
    assert not differences(before, _state(club.url)), "a plan is a file"
    lab.press("Preview")
    page = lab.page.frame_locator("iframe.wb-page")
    page.get_by_role("heading", name="What a plan would do").wait_for()
    assert not differences(before, _state(club.url)), "a report only looks"
    lab.press("Approve")
    lab.page.get_by_text(re.compile("dana approves rollback-")).wait_for()
    lab.press("Apply")
    lab.page.frame_locator("iframe.wb-page").get_by_role(
        "heading", name="Post-recovery verification"
    ).wait_for()

    gone = differences(before, _state(club.url))
    counts = {table: (len(was), len(now)) for table, (was, now) in gone.items()}
    assert counts["Member"][0] > 0, counts
    assert counts["Member"][1] == 0, counts

    lab.press("Plan the undo")
    lab.page.get_by_text("This is the plan that takes back").wait_for()
    lab.press("Approve")
    lab.press("Apply")
    lab.page.locator(".wb-state", has_text="applied, by dana").wait_for()
    assert not differences(before, _state(club.url))


def _state(url: str) -> dict[str, list[str]]:
    with psycopg.connect(url) as connection:
        return state(connection, LOGS)
