"""Duplicates, reviewed by keys and merged by clicks, in JupyterLab and on a page without code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Desk, in_table, press
from tests.conftest import Clubs, Ground
from tests.duplicates.conftest import SAME_PERSON
from tests.planting import Planter

pytestmark = pytest.mark.browser

TWINS = ("a.quux@example.org", "aquux@example.org")
SISTERS = ("b.ort@example.org", "bort@example.org")


def test_reviewed_by_keys_and_merged_in_jupyterlab(desk_of: Callable[..., Desk], clubs: Clubs) -> None:
    club = clubs.clone("guide")
    twins, _ = _planted(club)
    desk = desk_of(club)
    lab = desk.lab("05-duplicates.ipynb")
    lab.run_all()
    page, before = lab.page, club.state()
    _seen(page, 1)
    keys = page.locator(".wb-keys")
    keys.get_by_text("Keys are off").wait_for()
    keys.click()
    keys.get_by_text("Keys are on").wait_for()
    first = _pair(page)
    page.keyboard.press("ArrowDown")
    _seen(page, 2)
    page.keyboard.press("ArrowUp")
    _seen(page, 1)
    page.keyboard.press("s" if first == twins else "d")
    page.get_by_text("1 of 2 reviewed").wait_for()
    _seen(page, 2)
    page.get_by_placeholder("without personal data").press_sequentially("dud: sisters")  # no key of ours
    keys.get_by_text("Keys are off").wait_for()
    page.keyboard.press("Enter")
    keys.get_by_text("Keys are on").wait_for()
    # Neither is taken for one of JupyterLab's own: there "d d" deletes the cell.
    page.keyboard.press("d" if first == twins else "s")
    page.get_by_text("2 of 2 reviewed").wait_for()
    _seen(page, 2)
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.wait_for_timeout(500)
    assert page.locator(".wb-keys").count() == 1
    if first != twins:
        page.keyboard.press("s")
    said = _said(desk.folder)
    assert "dud: sisters" in said
    assert not club.changed(before), "a word is a line in a file"
    _merge_and_bring_back(page, club, before)


def test_the_same_on_a_page_without_code(desk_of: Callable[..., Desk], clubs: Clubs) -> None:
    club = clubs.clone("application")
    twins, sisters = _planted(club)
    desk = desk_of(club)
    page, before = desk.serve("duplicates"), club.state()
    _seen(page, 1)
    _types_while_it_is_slow(page, desk)
    words = {"s": "Same", "d": "Different"}
    key, other, pair = ("s", "d", sisters) if _pair(page) == twins else ("d", "s", twins)
    page.locator("button", has_text=words[key]).click()
    page.get_by_text("1 of 2 reviewed").wait_for()
    _seen(page, 2)
    # The second click of a slow double click would be about the next pair.
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    page.wait_for_timeout(500)
    assert _said(desk.folder).count("\n") == 1
    in_table(page, "Pairs", " ".join(sorted(pair)))
    page.wait_for_function(
        "ids => ids.every(id => document.querySelector('.wb-card').innerText.includes(id))", arg=sorted(pair)
    )
    # On, by the click; and they speak of this pair.
    page.locator(".wb-keys.wb-on:not(.wb-held)").wait_for()
    page.keyboard.press(other)
    page.get_by_text("2 of 2 reviewed").wait_for()
    assert _said(desk.folder).count('"same"') == 1
    _merge_and_bring_back(page, club, before)


def _types_while_it_is_slow(page: Any, desk: Desk) -> None:
    """Choose the other pair and write why at once: no letter of it is taken for a key, whenever the answer comes."""
    kernel = desk.kernels()[-1]
    table = page.locator(".wb-choose", has=page.locator(".wb-caption", has_text="Pairs")).first
    why = page.get_by_placeholder("without personal data")
    for row, number in ((1, 2), (0, 1)):
        kernel.suspend()
        table.locator("tbody tr").nth(row).locator("td").first.click()
        why.click()
        page.keyboard.type("dud")
        kernel.resume()
        _seen(page, number)
        page.keyboard.type("sus")
        page.wait_for_timeout(300)
        assert why.input_value() == "dudsus"
        why.fill("")
    assert not (desk.folder / "reports" / "decisions-club.jsonl").exists()
    page.get_by_role("heading", name="Pair 1 of 2").click()  # out of the field


def _merge_and_bring_back(page: Any, club: Ground, before: dict[str, list[str]]) -> None:
    """Merge what was called the same, see it verified, and take it back; the database is what is compared."""
    press(page, "Plan this merge")
    page.get_by_text("Can this plan be approved as it is?").wait_for()
    assert not club.changed(before), "a plan is a file"
    press(page, "Approve")
    page.get_by_text(re.compile("dana approves merge-")).wait_for()
    press(page, "Apply")
    page.frame_locator("iframe.wb-page").get_by_role("heading", name="Post-recovery verification").wait_for()
    changed = club.changed(before)
    gone, new = changed["Member"]
    assert (len(gone), len(new)) == (1, 0)
    assert TWINS[0] in gone[0], "the one to whom nothing refers"
    page.get_by_text("1 of 1 reviewed").wait_for()

    press(page, "Plan the undo")
    page.get_by_text("This plan undoes").wait_for()
    press(page, "Approve")
    press(page, "Apply")
    page.locator(".wb-state", has_text="applied, by dana").wait_for()
    page.get_by_text("2 of 2 reviewed").wait_for()
    assert not club.changed(before)


def _planted(club: Ground) -> tuple[set[str], set[str]]:
    """Plant one person twice, the second time with a registration, and two people who are alike."""
    with Planter(club) as planter:
        twins = [planter.member(email=email, **SAME_PERSON) for email in TWINS]
        alike = {"firstName": "Bort", "lastName": "Zyxwv", "phone": "+1 555 010 2299"}
        sisters = [planter.member(email=email, **alike) for email in SISTERS]
        planter.registration(twins[1], planter.event())
    return set(twins), set(sisters)


def _seen(page: Any, number: int) -> None:
    """Wait until a pair is seen, and keys speak of it."""
    page.get_by_role("heading", name=f"Pair {number} of 2").wait_for()
    page.locator(".wb-keys:not(.wb-held)").wait_for()


def _pair(page: Any) -> set[str]:
    """Return the ids of the two that are side by side."""
    cells = page.locator(".wb-card").first.locator(".wb-beside tbody tr").first.locator("td")
    _, _, *ids = cells.all_inner_texts()
    assert len(ids) == 2
    return set(ids)


def _said(folder: Path) -> str:
    return (folder / "reports" / "decisions-club.jsonl").read_text()
