"""All panels on one page: what is chosen has an address, and an address chooses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Clubs
from tests.duplicates.conftest import SAME_PERSON
from tests.panels.conftest import choose, parts, settle
from tests.planting import Planter
from workbench.panels import PAGES
from workbench.panels.panel import PEOPLE, Pages

Opened = Callable[..., Any]


@pytest.fixture
def pages(opened: Opened, clubs: Clubs) -> Any:
    club = clubs.clone("application", 60)
    club.breaks("swapped-mappings", "all-prospect")
    with Planter(club) as planter:
        for email in ("a.quux@example.org", "aquux@example.org"):
            planter.member(email=email, **SAME_PERSON)
    return Pages(opened(club), "runs")


def test_the_address_names_the_choice(pages: Any) -> None:
    settle(pages)
    assert pages.location.place == "runs"
    [run, *_] = pages.panels["runs"].table.names
    choose(pages, "Runs", run)
    assert pages.location.place == f"runs/{run}"
    pages._links.value = "plans"
    settle(pages)
    assert pages.location.place == "plans"
    pages._links.value = "runs"
    assert pages.location.place == f"runs/{run}", "as it was left"


def test_an_address_chooses_the_row_it_names(pages: Any) -> None:
    settle(pages)
    pages.wb.runs.plan_rollback(pages.wb.runs.frame().query("mode == 'live'")["run"].iloc[0])
    anew = Pages(pages.wb, "runs")
    for page in PAGES:
        pages.location.place = page
        settle(pages)
        panel = pages.panels[page]
        key = panel.table.names[-1]
        place = f"{page}/Member/{key}" if page == "duplicates" else f"{page}/{key}"
        for where in (pages, anew):
            where.location.place = place
            settle(where)
            assert where.location.place == place
            assert where.panels[page].chosen == [key]
            assert where._page.children == (where.panels[page],)
        assert anew.panels[page].seen == place.partition("/")[2]


def test_an_unknown_address_is_ignored(pages: Any) -> None:
    settle(pages)
    pages.location.place = "nowhere/at-all"
    assert pages._page.children == (pages.panels["runs"],)
    pages.location.place = "runs/no-such-run"
    settle(pages)
    assert pages.panels["runs"].work.message, "said in words"


def test_one_switch_covers_people_on_every_page(pages: Any) -> None:
    for page in PAGES:
        pages.location.place = page
    settle(pages)
    switches = [
        part
        for part in parts(pages)
        if getattr(part, "description", "") == PEOPLE and part.layout.display != "none"
    ]
    assert len(switches) == 1
    for shown in (False, True):
        switches[0].value = shown
        settle(pages)
        for page in PAGES:
            assert pages.panels[page].wb.session.shows_people is shown
