"""Rows are chosen by their keys, whatever stands where; every value is text."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pandas as pd

from workbench.panels.table import LONGEST, MOST, Table

PEOPLE = pd.DataFrame(
    {"key": ["a", "b", "c"], "first_name": ["Ann", "Bob", "Cid"], "registrations": [3, 20, 1]}
)


SEEING = SimpleNamespace(session=SimpleNamespace(shows_people=True))


def test_rows_stay_chosen_by_key_when_their_places_change() -> None:
    heard: list[list[str]] = []
    table = Table("key", "People", SEEING, several=True, chosen=heard.append)
    table.show(PEOPLE)
    table._table.selected_rows = [1]  # what the browser does
    assert heard == [["b"]]
    table.show(PEOPLE.iloc[::-1])
    assert table.chosen == ["b"]
    table.show(PEOPLE[PEOPLE["key"] != "b"])
    assert table.chosen == []
    table.choose(["c", "nobody"])
    assert table.chosen == ["c"]
    assert heard == [["b"]], "what a panel chooses is nobody's choice"
    table._table.selected_rows = [2]  # a row that the page still shows
    assert heard[-1] == []


def test_every_value_is_text_and_numbers_are_sorted_as_numbers() -> None:
    hostile = ["<img src=x onerror=alert(1)>", "x" * 10_000, "=HYPERLINK(1)\u202e"]
    table = Table("key", "<b>People</b>", SEEING)
    table.show(PEOPLE.assign(first_name=hostile))
    sent = table._table._dt_args
    rows = json.loads(sent["data_json"]) if isinstance(sent["data_json"], str) else sent["data_json"]
    names = [str(row[1]) for row in rows]
    assert "<img" not in sent["data_json"], names
    assert len(names[1]) == LONGEST
    assert "\u202e" not in names[2]
    assert "&lt;b&gt;People" in table._about.value
    assert [row[2] for row in rows] == [3, 20, 1]


def test_people_are_masked_unless_asked_for() -> None:
    wb = SimpleNamespace(session=SimpleNamespace(shows_people=False))
    table = Table("key", "People", wb)
    table.show(PEOPLE)
    for shown in (False, True, False):
        wb.session.shows_people = shown
        table.redraw()
        assert ("Ann" in table._table._dt_args["data_json"]) is shown


def test_all_rows_are_sent_however_wide() -> None:
    table = Table("key", "Rows", SEEING)
    table.show(pd.DataFrame({"key": range(MOST), **{f"title_{n}": ["x" * 100] * MOST for n in range(9)}}))
    assert len(json.loads(table._table._dt_args["data_json"])) == MOST
    assert not table._table._dt_args.get("downsampling_warning")
    table._table.selected_rows = [MOST - 1]
    assert table.chosen == [str(MOST - 1)]


def test_a_long_table_is_cut_and_says_so() -> None:
    table = Table("key", "Rows", SEEING)
    table.show(pd.DataFrame({"key": range(MOST + 5)}), total=1_000_000)
    assert f"the first {MOST:,} of 1,000,000" in table._about.value
    table.show(pd.DataFrame({"key": []}))
    assert "none" in table._about.value
