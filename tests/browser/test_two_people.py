"""Two people on one plan, on production; and one whose kernel is killed while it applies, or whose page is left."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE, TOKEN, Desk, in_table, press
from tests.conftest import Clubs, Ground
from tests.states import differences
from workbench.plans.plan import Plan
from workbench.workbench import open_workbench

_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '\"AuditLog\"'::regclass"
_LET_GO = "SELECT 1 - count(*) FROM pg_locks WHERE relation = '\"AuditLog\"'::regclass AND mode <> 'AccessShareLock'"

pytestmark = pytest.mark.browser


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[[Desk], Plan]:
    """Plan the rollback of the club's first live run, as a command in the desk's folder would."""

    def plan(desk: Desk) -> Plan:
        monkeypatch.chdir(desk.folder)
        monkeypatch.setenv("CLUB_URL", desk.club.url)
        with open_workbench("club") as wb:
            runs = wb.runs.frame()
            made = wb.runs.plan_rollback(runs[runs["mode"] == "live"]["run"].iloc[0])
        assert isinstance(made, Plan)
        return made

    return plan


def test_one_applies_and_the_other_is_told_on_production(
    desk_of: Callable[..., Desk], clubs: Clubs, planned: Callable[[Desk], Plan]
) -> None:
    desk = desk_of(clubs.clone("application"), kind="production")
    plan = planned(desk)
    before = desk.club.state()
    address = desk.serving("plans")
    one = desk.page(f"{address}/?token={TOKEN}")

    banner = one.locator(".wb-banner").first
    banner.wait_for()
    assert "PRODUCTION club" in " ".join(banner.inner_text().split())
    red, green, blue = _colour(banner)
    assert red > 128 > green + blue, "red, whatever the theme"

    in_table(one, "Plans", plan.id)
    press(one, "Approve")  # dana planned it
    said = one.locator(".wb-said .wb-fail")
    said.filter(has_text="a second person").wait_for()
    one.get_by_label("Approved by").fill("robin")
    press(one, "Approve")
    said.filter(has_text="name: club").wait_for()
    one.get_by_label("Type the environment's name").fill("club")
    press(one, "Approve")
    one.get_by_text(f"robin approves {plan.id}").wait_for()

    two = desk.page(f"{address}/?token={TOKEN}")
    in_table(two, "Plans", plan.id)
    two.locator(".wb-state", has_text="approved").wait_for()
    press(one, "Apply")
    one.locator(".wb-state", has_text="applied, by dana").wait_for()
    after = desk.club.state()
    assert differences(before, after)
    press(two, "Apply")
    two.locator(".wb-said .wb-fail", has_text=plan.id).wait_for()
    assert not desk.club.changed(after), "nothing happens twice"
    press(two, "Look again")
    two.locator(".wb-state", has_text="applied, by dana").wait_for()


def test_a_kernel_killed_while_it_applies_leaves_all_as_it_was_and_the_next_session_says_so(
    desk_of: Callable[..., Desk], clubs: Clubs, planned: Callable[[Desk], Plan]
) -> None:
    desk = desk_of(clubs.clone("guide"))
    plan = planned(desk)
    before = desk.club.state()
    address = desk.serving("plans")
    page = desk.page(f"{address}/?token={TOKEN}")
    in_table(page, "Plans", plan.id)
    press(page, "Approve")
    page.get_by_text(f"dana approves {plan.id}").wait_for()

    with _in_the_middle(desk, page):
        page.locator(".wb-panel .progress").first.wait_for()
        page.get_by_role("tab", name="What changes").click()  # the page can be used meanwhile
        page.locator(".wb-caption", has_text="Changes").first.wait_for()
        [kernel] = desk.kernels()
        kernel.send_signal(signal.SIGKILL)
    _until(desk.club, _LET_GO)
    assert not desk.club.changed(before)

    said = "each => getComputedStyle(each, '::before').content"
    page.locator(".jupyter-widgets-disconnected").first.wait_for()
    assert "What answered here has ended." in page.locator(".wb-panel").first.evaluate(said)
    next_one = desk.page(f"{address}/?token={TOKEN}")
    in_table(next_one, "Plans", plan.id)
    next_one.locator(".wb-state", has_text="approved").wait_for()
    press(next_one, "Apply")
    next_one.locator(".wb-state", has_text="applied, by dana").wait_for()
    assert desk.club.changed(before)


def test_who_leaves_a_page_that_applies_is_asked_and_the_apply_is_finished_all_the_same(
    desk_of: Callable[..., Desk], clubs: Clubs, planned: Callable[[Desk], Plan]
) -> None:
    desk = desk_of(clubs.clone("application"))
    plan = planned(desk)
    before = desk.club.state()
    address = desk.serving("plans")
    page = desk.page(f"{address}/?token={TOKEN}")
    asked = list[str]()
    in_table(page, "Plans", plan.id)
    press(page, "Approve")
    page.get_by_text(f"dana approves {plan.id}").wait_for()
    with _in_the_middle(desk, page):
        page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
        page.close(run_before_unload=True)
        page.wait_for_timeout(1_000)
        assert asked == ["beforeunload"]
        assert not page.is_closed()
        page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
        with page.expect_event("close"):
            page.close(run_before_unload=True)
        assert not desk.club.changed(before)
    _until(desk.club, _LET_GO)
    next_one = desk.page(f"{address}/?token={TOKEN}")
    in_table(next_one, "Plans", plan.id)
    next_one.locator(".wb-state", has_text="applied, by dana").wait_for()
    assert desk.club.changed(before)
    with next_one.expect_event("close"):  # nobody is asked where nothing is under way
        next_one.close(run_before_unload=True)


@contextmanager
def _in_the_middle(desk: Desk, page: Any) -> Iterator[None]:
    """Apply, and hold it where every row is changed and nothing is committed."""
    with desk.club.connect() as other:
        other.execute('LOCK TABLE "AuditLog" IN EXCLUSIVE MODE')  # what an apply writes last
        press(page, "Apply")
        _until(desk.club, _WAITS)
        assert _changes_under_way(desk.club) > 0, "it is in the middle"
        yield


def _colour(element: Any) -> tuple[int, int, int]:
    found = element.evaluate("each => getComputedStyle(each).backgroundColor")
    red, green, blue = found.removeprefix("rgb(").removesuffix(")").split(",")
    return int(red), int(green), int(blue)


def _until(club: Ground, query: str) -> None:
    """Wait until a query counts something."""
    until = monotonic() + PATIENCE / 1000
    with club.connect(autocommit=True) as connection:
        while monotonic() < until:
            if connection.execute(query).fetchone()[0] > 0:  # type: ignore[arg-type, index]
                return
            sleep(0.05)
    raise AssertionError(f"never: {query}")


def _changes_under_way(club: Ground) -> int:
    """Count the transactions that have written something and are not committed."""
    with club.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND datname = current_database()"
        return int(connection.execute(query).fetchone()[0])  # type: ignore[index]
