"""The two charts stand whatever they are given, tell nothing by colour alone, and come out the same each time."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.reporting.test_charts import HOSTILE, svg
from workbench.reporting.charts import capacity_chart, rehearsals_chart
from workbench.reporting.drawing import show_figure


def seats(count: int, limit: int | None = 100) -> pd.DataFrame:
    states = ["fits", "over the limit", "over-full", "over-full and over the limit"]
    rows = [(40 + 37 * n, 20 + 60 * n, states[n % 4], 1 + n, f"{HOSTILE}{n}") for n in range(count)]
    frame = pd.DataFrame(rows, columns=["capacity", "confirmed", "state", "events", "title"])
    return frame.assign(limit=pd.array([limit] * count, dtype="Int64"))


def runs(count: int) -> pd.DataFrame:
    start = pd.Timestamp("2026-05-01")
    judged = ["fresh", "stale", "failed", "none", "unknown"]
    rows = [
        (f"run-{n} {HOSTILE}", "csv", None if n == 4 else start + pd.Timedelta(n, "D"), f"dry-{n}",
         None if judged[n % 5] in {"none", "unknown"} else start + pd.Timedelta(n - 0.1, "D"),
         None if n % 5 > 2 else 0.5 + 30 * (n % 5), judged[n % 5])
        for n in range(count)
    ]  # fmt: skip
    columns = ["run", "importer", "started", "dry_run", "dry_started", "hours_before", "rehearsed"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 60])
@pytest.mark.parametrize(("chart", "frames"), [(capacity_chart, seats), (rehearsals_chart, runs)])
def test_a_chart_of_any_size(chart, frames, rows):
    drawn = svg(chart(frames(rows)))
    assert drawn == svg(chart(frames(rows)))
    assert "<script" not in drawn.replace("&lt;script", "")
    assert ("nothing to show" in drawn) == (rows == 0)


def test_no_limit_and_nobody_registered():
    svg(capacity_chart(seats(4, limit=None)))
    svg(capacity_chart(seats(3).assign(confirmed=0, capacity=0)))
    every = seats(8).assign(state="over the limit")
    assert "8 over the limit" in show_figure(capacity_chart(every.assign(events=1))).html.replace(
        "&#x27;", "'"
    )


def test_what_the_club_shows(club):
    broken = club.breaks("over-capacity-limit", "overbooked", "stale-dry-run")
    keys = {each.breakage: each.keys for each in broken}
    with club.workbench() as wb:
        found, rehearsed = wb.capacity(), wb.rehearsals()
        counts = found.groupby("state")["events"].sum()
        with wb.reading() as connection:
            total = connection.exec_driver_sql('SELECT count(capacity) FROM "Event"').scalar_one()
    assert counts["over the limit"] == len(keys["over-capacity-limit"])
    assert counts["over-full"] == len(keys["overbooked"])
    assert counts.sum() == total
    assert set(rehearsed.loc[rehearsed["rehearsed"] == "stale", "run"]) == keys["stale-dry-run"]
    words = show_figure(capacity_chart(found)).html
    assert f"{len(keys['overbooked'])} over-full" in words
    assert "confirmed for" in words
    assert "too long" in show_figure(rehearsals_chart(rehearsed)).html
