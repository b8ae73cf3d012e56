"""A duplicate, reviewed by keys and merged by clicks."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest

from tests.browser.conftest import Desk
from tests.conftest import Clubs
from tests.duplicates.conftest import SAME_PERSON
from tests.merging.planting import Planter
from tests.states import differences, state

pytestmark = pytest.mark.browser


def test_a_duplicate_is_reviewed_by_keys_and_merged_in_jupyterlab(
    desk_of: Callable[..., Desk], clubs: Clubs
) -> None:
    club = clubs.clone("guide")
    with club.workbench() as wb, Planter(psycopg.connect(club.url, autocommit=True), wb) as planter:
        twins = [
            planter.member(email=each, **SAME_PERSON) for each in ("a.quux@example.org", "aquux@example.org")
        ]
        sisters = {"firstName": "Bort", "lastName": "Zyxwv", "phone": "+1 555 010 2299"}
        others = [planter.member(email=each, **sisters) for each in ("b.ort@example.org", "bort@example.org")]
        planter.registration(twins[1], planter.event())
    desk = desk_of(club)
    lab = desk.lab("05-duplicates.ipynb")
    lab.run_all()
    before = _state(club.url)
    page = lab.page
    card = page.locator(".wb-card").first

    # By keys alone, and none of them is taken for one of JupyterLab's own: "d d" would delete the cell.
    keys = page.locator(".wb-keys")
    keys.get_by_text("Keys are off").wait_for()
    keys.click()
    keys.get_by_text("Keys are on").wait_for()
    card.get_by_role("heading", name="Pair 1 of 2").wait_for()
    shown = _pair(page)
    page.keyboard.press("ArrowDown")
    card.get_by_role("heading", name="Pair 2 of 2").wait_for()
    page.keyboard.press("ArrowUp")
    card.get_by_role("heading", name="Pair 1 of 2").wait_for()
    page.keyboard.press("s" if shown == set(twins) else "d")
    page.get_by_text("1 of 2 reviewed").wait_for()
    card.get_by_role("heading", name="Pair 2 of 2").wait_for()
    remark = page.get_by_placeholder("without personal data")
    remark.fill("")
    remark.press_sequentially("dud: sisters")
    keys.get_by_text("Keys are off").wait_for()
    page.keyboard.press("Enter")
    keys.get_by_text("Keys are on").wait_for()
    page.keyboard.press("d" if shown == set(twins) else "s")
    page.get_by_text("2 of 2 reviewed").wait_for()
    assert not differences(before, _state(club.url)), "a word is a line in a file"
    said = (desk.folder / "reports" / "decisions-club.jsonl").read_text()
    assert said.count('"same"') == said.count('"different"') == 1
    assert "dud: sisters" in said

    lab.press("Plan this merge")
    page.get_by_text("Can this plan be approved as it is?").wait_for()
    lab.press("Approve")
    page.get_by_text(re.compile("dana approves merge-")).wait_for()
    lab.press("Apply")
    page.frame_locator("iframe.wb-page").get_by_role("heading", name="Post-recovery verification").wait_for()
    changed = differences(before, _state(club.url))
    assert [len(each) for each in changed["Member"]] == [1, 0]
    (gone,) = changed["Member"][0]
    assert twins[0] in gone, "the one to whom nothing refers"
    assert not set(others) & {each for each in others if each in gone}

    page.get_by_text("1 of 1 reviewed").wait_for()

    lab.press("Plan the undo")
    page.get_by_text("This is the plan that takes back").wait_for()
    lab.press("Approve")
    lab.press("Apply")
    page.locator(".wb-state", has_text="applied, by dana").wait_for()
    page.get_by_text("2 of 2 reviewed").wait_for()
    assert not differences(before, _state(club.url))


def _pair(page) -> set[str]:
    """Return the ids of the two that are side by side."""
    return set(page.locator(".wb-card").first.locator(".wb-beside thead .wb-id").all_inner_texts()[:2])


def _state(url: str) -> dict[str, list[str]]:
    with psycopg.connect(url) as connection:
        return state(connection, ("AuditLog",))
