"""Hostile values in a real browser: a trap that nothing springs, and nobody asked but the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import TOKEN, Desk, in_table, press
from tests.conftest import Clubs
from tests.hostile import TRAP, VALUES, plant
from tests.reporting.pages import page_of
from workbench.demo.breakages import BREAKAGES, break_club

pytestmark = pytest.mark.browser


def test_nothing_in_a_value_runs_on_a_page_or_in_a_report(
    desk_of: Callable[..., Desk], clubs: Clubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    club = clubs.clone("application", members=60)
    with club.connect() as connection:
        break_club(connection, club.club, tuple(BREAKAGES))
        plant(connection)
    with club.workbench() as wb:
        runs = wb.runs.frame()
    run = runs[runs["mode"] == "live"]["run"].iloc[0]
    desk = desk_of(club)
    address = desk.serving("runs", "--unmask")
    page = desk.page(f"{address}/?token={TOKEN}")
    in_table(page, "Runs", run)
    press(page, "Plan the rollback")
    page.get_by_role("tab", name="What changes").click()
    page.get_by_text(VALUES[0]).first.wait_for()  # the script, to be read
    assert TOKEN not in page.url

    monkeypatch.chdir(desk.folder)
    monkeypatch.setenv("CLUB_URL", club.url)
    trap = desk.page("about:blank")
    trap.set_content(VALUES[1])
    trap.wait_for_function("window.hacked")  # so it does spring
    report = desk.page("about:blank")
    for name in ("post-recovery", "mappings"):
        made = page_of(name, environment="club", unmask=True)
        assert TRAP in made
        # Without the page's own policy, which would stop it too.
        report.set_content(made.replace("Content-Security-Policy", "x"), wait_until="load")
        report.get_by_role("heading").first.wait_for()
        assert not _sprung(report), name
    assert not _sprung(page)
    assert not desk.asked_elsewhere()


def _sprung(page: Any) -> list[Any]:
    """Return what the trap holds, in each frame."""
    return [found for each in page.frames if (found := each.evaluate("window.hacked"))]
