"""A swapped mapping, found, put right, verified and taken back by clicks alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.browser.conftest import Desk, in_table
from tests.browser.conftest import press as press_on
from tests.conftest import Clubs, Ground

pytestmark = pytest.mark.browser


def correct_a_swap(page: Any, press: Callable[[str], None], club: Ground, right: dict[str, str]) -> None:
    """Put a swap right, see it verified, take it back: wherever the panel is shown.

    Parameters
    ----------
    page : playwright's page
        Shows the panel.
    press : callable
        Presses the button of a title once it can be pressed.
    right : dict of str to str
        The two mappings' keys, each with the record it should lead to.
    """
    before = club.state()
    one = min(right)
    field = page.get_by_placeholder("a WA id, a name, an e-mail address, a title, an id")
    field.fill(one.split("/")[1])
    field.press("Enter")
    in_table(page, "Mappings found", one)
    page.get_by_text(f"Chosen: {one}, to lead where the traces say.").wait_for()
    press("Plan the correction")
    page.get_by_text("Can this plan be approved as it is?").wait_for()
    assert not club.changed(before), "a plan is a file"
    press("Preview")
    report = page.frame_locator("iframe.wb-page")
    report.get_by_role("heading", name="What a plan would do").wait_for()
    assert not club.changed(before), "a report only looks"
    press("Approve")
    page.get_by_text(re.compile("dana approves mapping-")).wait_for()
    press("Apply")
    report.get_by_role("heading", name="Post-recovery verification").wait_for()
    changed = club.changed(before)
    assert set(changed) == {"WaIdMapping"}
    was, now = changed["WaIdMapping"]
    assert len(was) == len(now) == 2
    for key, record in right.items():
        wa_id = key.split("/")[1]
        assert any(wa_id in row and record in row for row in now)
        assert not any(wa_id in row and record in row for row in was)
    press("Plan the undo")
    page.get_by_text("This is the plan that takes back").wait_for()
    press("Approve")
    press("Apply")
    page.locator(".wb-state", has_text="applied, by dana").wait_for()
    assert not club.changed(before)


def test_a_swap_is_put_right_and_taken_back_in_jupyterlab(desk_of: Callable[..., Desk], clubs: Clubs) -> None:
    club = clubs.clone("guide")
    (truth,) = club.breaks("swapped-mappings")
    lab = desk_of(club).lab("03-mappings.ipynb")
    lab.run_all()
    correct_a_swap(lab.page, lab.press, club, truth.detail["right"])


def test_the_same_on_a_page_without_code(desk_of: Callable[..., Desk], clubs: Clubs) -> None:
    club = clubs.clone("application")
    (truth,) = club.breaks("swapped-mappings")
    page = desk_of(club).serve("mappings")
    correct_a_swap(page, partial(press_on, page), club, truth.detail["right"])
