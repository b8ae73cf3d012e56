"""The report of duplicates: its page, its charts, and what its verdict rests on."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from benchmarks.planting import plant_duplicates
from tests.conftest import Clubs
from tests.reporting.conftest import settings_for
from workbench.demo.breakages import break_club
from workbench.duplicates.pairs import Found
from workbench.duplicates.probable import pair_to_look_at, probable_finding
from workbench.duplicates.questions import duplicates_table
from workbench.reporting.charts import cluster_sizes_chart, match_histogram_chart, match_waterfall_chart
from workbench.reporting.drawing import show_figure
from workbench.reporting.runner import run_report

HOSTILE = "<script>alert(1)</script>"


def test_the_charts_tell_what_they_draw(clubs: Clubs, dialect: str) -> None:
    cloned = clubs.clone(dialect)
    with cloned.connect() as connection:
        truth = plant_duplicates(connection, cloned.club, share=0.05)
    with cloned.workbench() as wb:
        chances, found = wb.duplicates.chances(), wb.duplicates.find()
    pair = pair_to_look_at(chances, 0.7)
    assert pair is not None
    assert pair["probability"] == chances["probability"][chances["probability"] >= 0.7].min()
    weights = sum(value for name, value in pair.items() if str(name).startswith("weight_"))
    assert f"all together {weights:+.1f}" in match_waterfall_chart(pair).get_label()
    listed = (chances["probability"] >= 0.7).sum()
    assert (
        f"{len(chances):,} pairs of members, {listed:,} of them"
        in match_histogram_chart(chances, 0.7).get_label()
    )
    sizes = cluster_sizes_chart(found.clusters).get_label()
    sure = ((found.clusters["size"] == 2) & found.clusters["offered"]).sum()
    assert f"2 records {sure} sure" in sizes
    for figure in (
        match_histogram_chart(chances, 0.7),
        match_waterfall_chart(pair),
        cluster_sizes_chart(found.clusters),
    ):
        assert show_figure(figure).text == figure.get_label()
    table = duplicates_table(found)
    assert (table.groupby("cluster")["stays"].apply(lambda each: (each == "stays").sum()) == 1).all()
    assert {key for pair in truth.pairs for key in pair} & set(table["record_id"])


def test_nothing_is_drawn_as_nothing() -> None:
    empty = pd.DataFrame({"probability": [], "size": [], "offered": []})
    for figure in (
        match_histogram_chart(empty, 0.7),
        match_waterfall_chart(None),
        cluster_sizes_chart(empty),
    ):
        assert "Nothing" in show_figure(figure).text
    assert pair_to_look_at(empty, 0.7) is None


def test_what_was_not_compared_is_no_pass(clubs: Clubs, dialect: str) -> None:
    cloned = clubs.clone(dialect)
    with cloned.workbench() as wb:
        healthy = wb.duplicates.find()
    assert probable_finding(healthy).status == "pass"
    assert probable_finding(replace(healthy, uncompared=("a block was too large",))).status == "not run"
    assert probable_finding(Found("Member", not_run="no names")).status == "not run"
    with cloned.connect() as connection:
        plant_duplicates(connection, cloned.club, share=0.1)
    with cloned.workbench() as wb:
        found = probable_finding(wb.duplicates.find())
    assert (found.status, found.count) == ("warn", len(found.rows))
    assert found.count


def test_the_page_needs_nothing_else_and_shows_hostile_names_as_text(
    clubs: Clubs, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloned = clubs.clone("application")
    with cloned.connect() as connection:
        break_club(connection, cloned.club, ("duplicate-members", "duplicate-events", "split-registrations"))
        connection.execute('UPDATE "Member" SET "firstName" = %s', [HOSTILE])
    settings = settings_for(cloned.url, tmp_path, monkeypatch, cloned.club.imports)
    made = run_report("duplicates", {"unmask": True}, environment="club", settings=settings)
    page = made.html.read_text(encoding="utf-8")
    assert made.verdict["status"] == "fail"
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
