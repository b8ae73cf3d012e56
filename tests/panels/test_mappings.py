"""Wrong mappings found, listed and put right by clicks alone; what cannot be done is said in words."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from tests.conftest import Ground
from tests.panels.conftest import choose, field, offered, parts, press, said, settle
from workbench.demo.breakages import break_club
from workbench.panels import MappingCorrection
from workbench.panels.panel import PEOPLE, seeing
from workbench.workbench import Workbench

HOSTILE = "<img src=x onerror=alert(1)>\u202e=1+1🦜"
WRONG = MappingCorrection.caption
Opened = Callable[..., Workbench]


def _broken(club: Ground, *names: str) -> dict[str, dict[str, Any]]:
    with club.connect() as connection:
        return {each.breakage: each.detail for each in break_club(connection, club.club, names)}


def _panel(wb: Workbench, **how: Any) -> MappingCorrection:
    panel = MappingCorrection(wb, **how)
    settle(panel)
    return panel


def _type(panel: MappingCorrection, search: Any, typed: str) -> None:
    search._typed.value = typed
    settle(panel)


def test_a_swap_is_put_right_and_taken_back(opened: Opened, club: Ground) -> None:
    right = _broken(club, "swapped-mappings")["swapped-mappings"]["right"]
    before = club.state()
    panel = _panel(opened(club))
    one = min(right)
    choose(panel, WRONG, one)
    assert "What is known of it" in said(panel._evidence)
    press(panel, "Plan the correction")
    plan = panel.wb.plans[panel.review.plan]
    assert plan.changes == {"WaIdMapping": {"update": 2}}, "the other half too"
    assert not club.changed(before), "a plan is a file"
    press(panel.review, "Approve")
    panel.wb.plans.apply(plan)  # its button verifies the whole database as well: see test_plans
    for key, record in right.items():
        assert panel.wb.search(key.split("/")[1], "Mapping").iloc[0]["target"] == record
    assert one in panel.table.names
    press(panel.review, "Look again")
    settle(panel)
    assert one not in panel.table.names, "it looks again by itself"
    assert not panel.chosen
    press(panel.review, "Plan the undo")
    press(panel.review, "Approve")
    panel.wb.plans.apply(panel.wb.plans[panel.review.plan])
    assert not club.changed(before)


def test_half_a_swap_is_refused_in_words_and_all_that_is_sure_is_not(opened: Opened, club: Ground) -> None:
    right = _broken(club, "swapped-mappings", "cycle-of-three")
    panel = _panel(opened(club))
    field(panel, "rest of a swap").value = False
    for of_it in right.values():
        choose(panel, WRONG, min(of_it["right"]))
        press(panel, "Plan the correction")
        assert "wb-fail" in panel.work.said
        assert all(each in panel.work.said for each in of_it["right"]), "the whole circle is named"
        assert panel.review.plan == ""
    assert all(each in panel.static().text for of_it in right.values() for each in of_it["right"].values())
    choose(panel, WRONG)
    assert "None chosen: all that are sure." in said(panel)
    press(panel, "Plan the correction")
    assert panel.wb.plans[panel.review.plan].changes == {"WaIdMapping": {"update": 5}}


def test_an_id_is_led_to_a_person_who_was_searched_for(opened: Opened, club: Ground) -> None:
    wb = opened(club)
    people = wb.search("example", limit=3)
    first, second = people.iloc[0], people.iloc[1]
    wa_id = first["wa_ids"].split(", ")[0]
    club.execute(
        'UPDATE "Member" SET "firstName" = %s, "lastName" = %s WHERE id::text = %s',
        *(HOSTILE, "Zz", second["key"]),
    )
    panel = _panel(wb)
    _type(panel, panel._search, f" {wa_id} ")
    key = f"Member/{wa_id}"
    choose(panel, "Mappings found", key)
    assert first["key"] in panel._search.table._table._dt_args["data_json"]
    press(panel, "Plan the correction")
    assert f"Nothing tells where {key} should lead" in panel.work.said
    _type(panel, panel._target, "zz " + HOSTILE)
    assert HOSTILE not in panel._target.table._table._dt_args["data_json"], "masked, and text"
    choose(panel, "Records found", second["key"])
    assert f"to {second['key']}, as chosen below" in said(panel)
    field(panel, "Reason").value = "asked her on the phone"
    press(panel, "Plan the correction")
    plan = wb.plans[panel.review.plan]
    assert plan.changes == {"WaIdMapping": {"update": 1}}
    assert plan.audit[0]["metadata"]["reason"] == "asked her on the phone"
    assert "<img" not in said(panel.review) + said(panel._evidence)


def test_events_are_corrected_too_and_kinds_are_not_mixed(opened: Opened, club: Ground) -> None:
    _broken(club, "registrations-on-wrong-event", "wrong-person")
    panel = _panel(opened(club))
    problems = panel._problems
    event = problems[problems["problem"] == "wrong-event"].iloc[0]
    key = f"Event/{event['wa_id']}"
    choose(panel, WRONG, key)
    field(panel, "move the registrations").value = True
    press(panel, "Plan the correction")
    changes = panel.wb.plans[panel.review.plan].changes
    assert changes["WaIdMapping"] == {"update": 2}, "the other half of the swap too"
    assert len(changes) == 2, "its registrations move with it"
    right = panel.wb.search(event["should_be"], "Event").iloc[0]
    _type(panel, panel._target, f"{right['title']}")
    assert right["key"] in panel._target.table.names
    choose(panel, "Records found", right["key"])
    person = next(each for each in panel.table.names if each.startswith("Member/"))
    choose(panel, WRONG, key, person)
    press(panel, "Plan the correction")
    assert "are of two kinds" in panel.work.said


def test_errors_are_said_in_words(opened: Opened, club: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = _panel(opened(club))
    press(panel._search, "Find")
    assert "There is nothing to search for." in panel._search.work.said
    _type(panel, panel._search, "example")
    choose(panel, "Mappings found", panel._search.table.names[0])
    assert "Chosen: Member/" in said(panel)
    _type(panel, panel._search, "nobody at all")
    assert "Chosen: " not in said(panel), "what is not there any more is not chosen"
    assert "Mappings found: none" in said(panel)
    assert "wb-fail" not in panel._search.work.said
    monkeypatch.setattr(panel, "exports", ["no-such-file.csv"])
    press(panel, "Look again")
    assert "no-such-file.csv" in panel.work.said


def test_a_healthy_club_has_nothing_to_correct(opened: Opened, club: Ground) -> None:
    wb = opened(club)
    found = wb.mappings.findings()
    panel = MappingCorrection(wb, found)
    assert not panel.work.busy, "what was asked already is not asked again"
    assert f"{WRONG}: none" in said(panel)
    assert not offered(panel)
    assert "none" in panel.static().text
    assert "text/html" in panel._repr_mimebundle_()


def test_people_are_seen_until_they_are_covered(opened: Opened, club: Ground) -> None:
    _broken(club, "swapped-mappings")
    wb = opened(club)
    wb.session.unmask = True
    name = wb.mappings.findings().problems.iloc[0]["person"]
    wb.session.unmask = False
    assert name not in wb.mappings.findings().problems.to_string()
    panel = _panel(wb)
    choose(panel, WRONG, panel.table.names[0])
    switch = next(part for part in parts(panel) if getattr(part, "description", "") == PEOPLE)
    for shown in (True, False, True):
        switch.value = shown
        settle(panel)
        screen = said(panel) + panel.table._table._dt_args["data_json"]
        assert (name in screen) is shown
        assert name not in panel.static().html


def test_too_many_are_cut_and_it_is_said(
    opened: Opened, club: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.mappings.search.ENOUGH", 60)
    panel = _panel(opened(club))
    _type(panel, panel._search, "example")
    assert "the first 50 of 6" in said(panel._search)
    assert "There may be more" in panel._search.work.said


def test_a_search_is_answered_while_the_mappings_are_still_looked_at(opened: Opened, club: Ground) -> None:
    panel = _panel(opened(club))
    goes_on = Event()
    panel.work.start("Looking at every mapping", lambda _: goes_on.wait(60))
    panel._search._typed.value = "example"
    panel._search.work.wait()
    assert panel.work.busy
    assert len(panel._search.table.names) == 50
    goes_on.set()
    settle(panel)


def test_whatever_is_asked_shows_people_as_the_panels_own_switch_says(opened: Opened, club: Ground) -> None:
    wb = opened(club)
    for name in ("runs", "mappings", "tiers", "history", "migration", "snapshots", "restores"):
        getattr(wb, name)  # what it made for itself is not what the panel asks
    seen = seeing(wb)
    for name in ("runs", "mappings", "tiers", "history", "migration", "snapshots", "restores"):
        held = vars(getattr(seen, name)).values()
        assert any(value is seen or value is seen.session for value in held), name
        assert not any(value is wb or value is wb.session for value in held), name
