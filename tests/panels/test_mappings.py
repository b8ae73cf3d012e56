"""Wrong mappings found, listed and put right by clicks alone; what cannot be done is said in words."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from tests.conftest import Clubs, Ground
from tests.panels.conftest import choose, field, offered, press, said, settle
from workbench.panels.corrections import MappingCorrection
from workbench.panels.panel import seeing
from workbench.workbench import Workbench

HOSTILE = "<img src=x onerror=alert(1)>\u202e=1+1🦜"
WRONG = MappingCorrection.caption
Opened = Callable[..., Workbench]


@pytest.fixture
def small(clubs: Clubs) -> Ground:
    return clubs.clone("application", 60)


def _type(panel: MappingCorrection, search: Any, typed: str) -> None:
    search._typed.value = typed
    settle(panel)


def _changes(panel: MappingCorrection) -> Any:
    press(panel, "Plan the correction")
    return panel.wb.plans[panel.review.plan].changes


def test_a_swap_is_corrected_and_undone(opened: Opened, clubs: Clubs, dialect: str) -> None:
    club = clubs.clone(dialect, 60)
    (truth,) = club.breaks("swapped-mappings")
    right, before = truth.detail["right"], club.state()
    panel = settle(MappingCorrection(opened(club)))
    one = min(right)
    choose(panel, WRONG, one)
    assert "Evidence" in said(panel._evidence)
    assert _changes(panel) == {"WaIdMapping": {"update": 2}}, "the other half too"
    assert not club.changed(before), "a plan is a file"
    press(panel.review, "Approve")
    panel.wb.plans.apply(panel.wb.plans[panel.review.plan])  # its button verifies everything: see test_plans
    for key, record in right.items():
        assert panel.wb.search(key.split("/")[1], "Mapping").iloc[0]["target"] == record
    press(panel.review, "Look again")
    settle(panel)
    assert one not in panel.table.names, "it looks again by itself"
    assert not panel.chosen
    press(panel.review, "Plan the undo")
    press(panel.review, "Approve")
    panel.wb.plans.apply(panel.wb.plans[panel.review.plan])
    assert not club.changed(before)


def test_half_a_swap_is_refused_and_all_that_is_sure_is_planned(opened: Opened, small: Ground) -> None:
    swap, cycle = (truth.detail["right"] for truth in small.breaks("swapped-mappings", "cycle-of-three"))
    panel = settle(MappingCorrection(opened(small)))
    field(panel, "rest of a swap").value = False
    for right in (swap, cycle):
        choose(panel, WRONG, min(right))
        press(panel, "Plan the correction")
        assert "wb-fail" in panel.work.message
        assert all(key in panel.work.message for key in right), "the whole circle is named"
        assert panel.review.plan == ""
        assert all(record in panel.static().text for record in right.values())
    choose(panel, WRONG)
    assert "None chosen: all that are sure." in said(panel)
    assert _changes(panel) == {"WaIdMapping": {"update": 5}}


def test_an_id_is_led_to_a_searched_member(opened: Opened, small: Ground) -> None:
    wb = opened(small)
    people = wb.search("example", limit=2)
    (first, second), wa_id = people["key"], people["wa_ids"].iloc[0].split(", ")[0]
    small.execute(
        'UPDATE "Member" SET "firstName" = %s, "lastName" = \'Zz\' WHERE id::text = %s', HOSTILE, second
    )
    panel = settle(MappingCorrection(wb))
    _type(panel, panel._search, f" {wa_id} ")
    key = f"Member/{wa_id}"
    choose(panel, "Mappings found", key)
    assert first in panel._search.table._table._dt_args["data_json"]
    press(panel, "Plan the correction")
    assert f"There is no evidence where {key} should lead" in panel.work.message
    _type(panel, panel._target, "zz " + HOSTILE)
    assert HOSTILE not in panel._target.table._table._dt_args["data_json"], "masked, and text"
    choose(panel, "Records found", second)
    assert f"to {second}, as chosen below" in said(panel)
    field(panel, "Reason").value = "asked her on the phone"
    assert _changes(panel) == {"WaIdMapping": {"update": 1}}
    assert panel.wb.plans[panel.review.plan].audit[0]["metadata"]["reason"] == "asked her on the phone"
    assert "<img" not in said(panel.review) + said(panel._evidence)


def test_events_are_corrected_too_and_kinds_are_not_mixed(opened: Opened, small: Ground) -> None:
    small.breaks("registrations-on-wrong-event", "wrong-person")
    panel = settle(MappingCorrection(opened(small)))
    problems = panel._problems
    event = problems[problems["problem"] == "wrong-event"].iloc[0]
    key = f"Event/{event['wa_id']}"
    choose(panel, WRONG, key)
    field(panel, "move the registrations").value = True
    changes = _changes(panel)
    assert changes["WaIdMapping"] == {"update": 2}, "the other half of the swap too"
    assert len(changes) == 2, "its registrations move with it"
    right = panel.wb.search(event["should_be"], "Event").iloc[0]
    _type(panel, panel._target, f"{right['title']}")
    choose(panel, "Records found", right["key"])
    choose(panel, WRONG, key, next(name for name in panel.table.names if name.startswith("Member/")))
    press(panel, "Plan the correction")
    assert "are of two kinds" in panel.work.message


def test_searches_and_errors_are_shown(opened: Opened, clubs: Clubs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.mappings.search.ENOUGH", 60)
    panel = settle(MappingCorrection(opened(clubs.clone("guide"))))
    assert f"{WRONG}: none" in said(panel)
    assert not offered(panel), "a healthy club has nothing to correct"
    press(panel._search, "Find")
    assert "There is nothing to search for." in panel._search.work.message
    goes_on = Event()
    panel.work.start("Looking at every mapping", lambda _: goes_on.wait(60))
    panel._search._typed.value = "example"
    panel._search.work.wait()
    assert panel.work.busy, "a search is answered meanwhile"
    goes_on.set()
    settle(panel)
    assert "the first 50 of 6" in said(panel._search)
    assert "There may be more" in panel._search.work.message
    choose(panel, "Mappings found", panel._search.table.names[0])
    assert "Chosen: Member/" in said(panel)
    _type(panel, panel._search, "nobody at all")
    assert "Chosen: " not in said(panel), "what is not there any more is not chosen"
    assert "wb-fail" not in panel._search.work.message
    monkeypatch.setattr(panel, "exports", ["no-such-file.csv"])
    press(panel, "Look again")
    assert "no-such-file.csv" in panel.work.message


def test_whatever_is_asked_shows_people_as_the_panels_own_switch_says(opened: Opened, small: Ground) -> None:
    wb, subjects = (
        opened(small),
        ("runs", "mappings", "tiers", "history", "migration", "snapshots", "restores"),
    )
    for name in subjects:
        getattr(wb, name)  # what it made for itself is not what the panel asks
    seen = seeing(wb)
    for name in subjects:
        held = vars(getattr(seen, name)).values()
        assert any(value is seen or value is seen.session for value in held), name
        assert not any(value is wb or value is wb.session for value in held), name
