"""Wrong mappings found, listed and put right by clicks alone; what cannot be done is said in words."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from tests.conftest import Ground
from tests.panels.conftest import parts, press, said, settle
from workbench.demo.breakages import break_club
from workbench.panels import MappingCorrection
from workbench.panels.panel import PEOPLE
from workbench.panels.table import Table
from workbench.workbench import Workbench

HOSTILE = "<img src=x onerror=alert(1)>\u202e=1+1🦜"
Opened = Callable[..., Workbench]


def _broken(club: Ground, *names: str) -> dict[str, dict[str, Any]]:
    with club.connect() as connection:
        return {each.breakage: each.detail for each in break_club(connection, club.club, names)}


def _panel(wb: Workbench, **how: Any) -> MappingCorrection:
    panel = MappingCorrection(wb, **how)
    settle(panel)
    return panel


def _choose(table: Table, *keys: str) -> None:
    """Click on rows."""
    table._table.selected_rows = [table._keys.index(each) for each in keys]


def _type(panel: MappingCorrection, search: Any, typed: str) -> None:
    search._typed.value = typed
    settle(panel)


def _ticked(panel: MappingCorrection, words: str) -> Any:
    return next(each for each in parts(panel) if words in str(getattr(each, "description", "")))


def test_a_swap_is_put_right_and_taken_back(opened: Opened, club: Ground) -> None:
    right = _broken(club, "swapped-mappings")["swapped-mappings"]["right"]
    before = club.state()
    panel = _panel(opened(club))
    one, other = sorted(right)
    _choose(panel._wrong, one)
    assert f"{one} is one half of a swap; the other half is {other}" in said(panel._circles)
    assert "What is known of it" in said(panel._evidence)
    press(panel, "Add to the corrections")
    assert panel.corrections.rows[one]["new_id"] == right[one]
    assert panel.chosen == []
    assert other in said(panel._circles), "it is still said of what is listed"
    press(panel, "Plan the correction")
    plan = panel.wb.plan(panel.review.plan)
    assert plan.changes == {"WaIdMapping": {"update": 2}}
    assert not club.changed(before), "a plan is a file"
    press(panel.review, "Approve")
    panel.wb.apply(plan)  # its button verifies the whole database as well: see test_plans
    for key, record in right.items():
        assert panel.wb.find_mappings(key.split("/")[1]).iloc[0]["target"] == record
    assert one in panel._wrong._keys
    press(panel.review, "Look again")
    settle(panel)
    assert one not in panel._wrong._keys, "it looks again by itself"
    assert panel.corrections.rows == {}, "what was corrected is on no list any more"
    press(panel.review, "Plan the undo")
    press(panel.review, "Approve")
    panel.wb.apply(panel.wb.plan(panel.review.plan))
    assert not club.changed(before)


def test_half_a_swap_is_refused_in_words_and_all_that_is_sure_is_not(opened: Opened, club: Ground) -> None:
    right = _broken(club, "swapped-mappings", "cycle-of-three")
    panel = _panel(opened(club))
    for of_it in right.values():
        key = min(of_it["right"])
        _choose(panel._wrong, key)
        press(panel, "Add to the corrections")
        _ticked(panel, "rest of a swap").value = False
        press(panel, "Plan the correction")
        assert "wb-fail" in panel.work.said
        assert all(each in panel.work.said for each in of_it["right"]), "the whole circle is named"
        assert panel.review.plan == ""
        panel.corrections.remove([key])
    assert all(each in panel.static().text for of_it in right.values() for each in of_it["right"].values())
    press(panel, "Add all that are sure")
    assert set(panel.corrections.rows) == {key for each in right.values() for key in each["right"]}
    assert "is a swap, and all of it is chosen" in said(panel._circles)
    assert "a cycle of 3" in said(panel._circles)
    press(panel, "Plan the correction")
    assert panel.wb.plan(panel.review.plan).changes == {"WaIdMapping": {"update": 5}}


def test_an_id_is_led_to_a_person_who_was_searched_for(opened: Opened, club: Ground) -> None:
    wb = opened(club)
    people = wb.find_people("example", limit=3)
    first, second = people.iloc[0], people.iloc[1]
    wa_id = first["wa_ids"].split(", ")[0]
    club.execute(
        'UPDATE "Member" SET "firstName" = %s, "lastName" = %s WHERE id::text = %s',
        *(HOSTILE, "Zz", second["key"]),
    )
    panel = _panel(wb)
    _type(panel, panel._search, f" {wa_id} ")
    key = f"Member/{wa_id}"
    _choose(panel._search._table, key)
    assert first["key"] in panel._search._table._table._dt_args["data_json"]
    press(panel, "Add to the corrections")
    assert f"Nothing tells where {key} should lead" in said(panel)
    assert not panel.corrections.rows
    _type(panel, panel._target, "zz " + HOSTILE)
    assert HOSTILE not in panel._target._table._table._dt_args["data_json"], "masked, and text"
    _choose(panel._target._table, second["key"])
    assert f"to {second['key']}, as chosen below" in said(panel)
    _ticked(panel, "Reason").value = "asked her on the phone"
    press(panel, "Add to the corrections")
    row = panel.corrections.rows[key]
    assert (row["new_id"], row["leads_to_id"]) == (second["key"], first["key"])
    assert row["should_be_person"] == f"{HOSTILE} Zz"
    assert "<img" not in said(panel)
    assert not panel._target.chosen
    press(panel, "Plan the correction")
    plan = wb.plan(panel.review.plan)
    assert plan.changes == {"WaIdMapping": {"update": 1}}
    assert plan.audit[0]["metadata"]["reason"] == "asked her on the phone"
    assert "<img" not in said(panel)


def test_events_are_corrected_too_and_kinds_are_not_mixed(opened: Opened, club: Ground) -> None:
    _broken(club, "registrations-on-wrong-event", "wrong-person")
    panel = _panel(opened(club))
    problems = panel._problems
    event = problems[problems["problem"] == "wrong-event"].iloc[0]
    key = f"Event/{event['wa_id']}"
    _choose(panel._wrong, key)
    right = panel.wb.find_records(event["should_be"], "Event").iloc[0]
    _type(panel, panel._target, f"{right['title']}")
    assert right["key"] in panel._target._table._keys
    _choose(panel._target._table, right["key"])
    press(panel, "Add to the corrections")
    assert panel.corrections.rows[key]["should_be_person"] == right["title"]
    panel.corrections.remove([key])
    person = next(each for each in panel._wrong._keys if each.startswith("Member/"))
    _choose(panel._wrong, key)
    press(panel, "Add to the corrections")
    assert panel.corrections.rows[key]["new_id"] == event["should_be"]
    _ticked(panel, "move the registrations").value = True
    press(panel, "Plan the correction")
    changes = panel.wb.plan(panel.review.plan).changes
    assert changes["WaIdMapping"] == {"update": 2}, "the other half of the swap too"
    assert len(changes) == 2, "its registrations move with it"
    _choose(panel._wrong, key, person)
    _type(panel, panel._target, event["should_be"])
    _choose(panel._target._table, event["should_be"])
    press(panel, "Add to the corrections")
    assert "are of two kinds" in said(panel)
    assert person not in panel.corrections.rows


def test_errors_are_said_in_words(opened: Opened, club: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = _panel(opened(club))
    press(panel._search, "Find")
    assert "There is nothing to search for." in panel._search.work.said
    _type(panel, panel._search, "example")
    _choose(panel._search._table, panel._search._table._keys[0])
    assert "Chosen: Member/" in said(panel)
    _type(panel, panel._search, "nobody at all")
    assert "Chosen: " not in said(panel), "what is not there any more is not chosen"
    assert panel._add.disabled
    assert "Mappings found: none" in said(panel)
    assert "wb-fail" not in panel._search.work.said
    monkeypatch.setattr(panel, "_exports", ["no-such-file.csv"])
    press(panel, "Look again")
    assert "no-such-file.csv" in panel.work.said


def test_a_healthy_club_has_nothing_to_correct(opened: Opened, club: Ground) -> None:
    wb = opened(club)
    found = wb.mapping_findings()
    panel = MappingCorrection(wb, found)
    assert not panel.work.busy, "what was asked already is not asked again"
    assert "Problems with mappings, the worst first: none" in said(panel)
    assert panel._sure.disabled
    assert panel._add.disabled
    assert "none" in panel.static().text
    assert "text/html" in panel._repr_mimebundle_()


def test_people_are_seen_until_they_are_covered(opened: Opened, club: Ground) -> None:
    _broken(club, "swapped-mappings")
    wb = opened(club)
    wb.unmask = True
    name = wb.mapping_findings().problems.iloc[0]["person"]
    wb.unmask = False
    assert name not in wb.mapping_findings().problems.to_string()
    panel = _panel(wb)
    _choose(panel._wrong, panel._wrong._keys[0])
    press(panel, "Add to the corrections")
    switch = next(part for part in parts(panel) if getattr(part, "description", "") == PEOPLE)
    for shown in (True, False, True):
        switch.value = shown
        settle(panel)
        screen = said(panel) + panel._wrong._table._dt_args["data_json"]
        screen += panel.corrections._table._table._dt_args["data_json"]
        assert (name in screen) is shown
        assert name not in panel.static().html


def test_too_many_are_cut_and_it_is_said(
    opened: Opened, club: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("people", "mappings.finding", "searching"):
        monkeypatch.setattr(f"workbench.investigate.{module}.ENOUGH", 60)
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
    assert len(panel._search.answer) == 50
    goes_on.set()
    settle(panel)
