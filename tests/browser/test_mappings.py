"""A swap of Wild Apricot ids, put right by clicks alone and taken back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Desk, in_table, press
from tests.conftest import Clubs

pytestmark = pytest.mark.browser


def test_a_swap_is_put_right_and_taken_back_on_a_page_without_code(
    desk_of: Callable[..., Desk], clubs: Clubs
) -> None:
    club = clubs.clone("application")
    (truth,) = club.breaks("swapped-mappings")
    right, page, before = truth.detail["right"], desk_of(club).serve("mappings"), club.state()
    key = min(right)
    field = page.get_by_placeholder("a WA id, a name, an e-mail address, a title, an id")
    field.fill(key.split("/")[1])
    field.press("Enter")
    in_table(page, "Mappings found", key)
    page.get_by_text(f"Chosen: {key}, to lead where the evidence says.").wait_for()
    press(page, "Plan the correction")
    page.get_by_text("Can this plan be approved as it is?").wait_for()
    assert not club.changed(before), "a plan is a file"
    press(page, "Approve")
    page.get_by_text(re.compile("dana approves mapping-")).wait_for()
    press(page, "Apply")
    report = page.frame_locator("iframe.wb-page")
    report.get_by_role("heading", name="Post-recovery verification").wait_for()
    changed = club.changed(before)
    assert set(changed) == {"WaIdMapping"}
    was, now = changed["WaIdMapping"]
    assert len(was) == len(now) == 2
    for key, record in right.items():
        wa_id = key.split("/")[1]
        assert any(wa_id in row and record in row for row in now)
        assert not any(wa_id in row and record in row for row in was)
    press(page, "Plan the undo")
    page.get_by_text("This plan undoes").wait_for()
    press(page, "Approve")
    press(page, "Apply")
    page.locator(".wb-state", has_text="applied, by dana").wait_for()
    assert not club.changed(before)
