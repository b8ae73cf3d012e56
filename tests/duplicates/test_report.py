"""The report of duplicates: its charts, and what its verdict rests on."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from benchmarks.planting import plant_duplicates
from tests.conftest import Clubs
from workbench.duplicates.pairs import Found
from workbench.duplicates.probable import pair_to_look_at, probable_finding
from workbench.duplicates.questions import duplicates_table
from workbench.reporting.charts import match_histogram_chart, match_waterfall_chart
from workbench.reporting.drawing import show_figure


def test_the_charts_and_the_finding_tell_what_there_is(clubs: Clubs) -> None:
    cloned = clubs.clone("application")
    healthy = cloned.open().duplicates.find()
    assert probable_finding(healthy).status == "pass"
    assert probable_finding(replace(healthy, uncompared=("a block was too large",))).status == "not run"
    assert probable_finding(Found("Member", not_run="no names")).status == "not run"
    with cloned.connect() as connection:
        truth = plant_duplicates(connection, cloned.club, share=0.1)
    found = cloned.open().duplicates.find()
    chances, finding = found.chances, probable_finding(found)
    assert (finding.status, finding.count) == ("warn", len(finding.rows))
    assert finding.count
    pair = pair_to_look_at(chances, 0.7)
    assert pair is not None
    assert pair["probability"] == chances["probability"][chances["probability"] >= 0.7].min()
    weights = sum(value for name, value in pair.items() if str(name).startswith("weight_"))
    listed = (chances["probability"] >= 0.7).sum()
    for figure, words in (
        (match_histogram_chart(chances, 0.7), f"{len(chances):,} pairs of members, {listed:,} of them"),
        (match_waterfall_chart(pair), f"all together {weights:+.1f}"),
    ):
        assert words in figure.get_label()
        assert show_figure(figure).text == figure.get_label()
    table = duplicates_table(found)
    assert (table.groupby("cluster")["stays"].apply(lambda each: (each == "stays").sum()) == 1).all()
    assert {key for pair in truth.pairs for key in pair} & set(table["record_id"])


def test_nothing_is_drawn_as_nothing() -> None:
    empty = pd.DataFrame({"probability": [], "size": [], "offered": []})
    for figure in (
        match_histogram_chart(empty, 0.7),
        match_waterfall_chart(None),
    ):
        assert "Nothing" in show_figure(figure).text
    assert pair_to_look_at(empty, 0.7) is None
