"""The chart of dry runs stands whatever it is given, tells nothing by colour alone, and comes out the same each time."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.reporting.test_charts import HOSTILE, svg
from workbench.reporting.charts import rehearsals_chart


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


@pytest.mark.parametrize("rows", [0, 5, 60])
def test_a_chart_of_any_size(rows):
    drawn = svg(rehearsals_chart(runs(rows)))
    assert drawn == svg(rehearsals_chart(runs(rows)))
    assert "<script" not in drawn.replace("&lt;script", "")
    assert ("nothing to show" in drawn) == (rows == 0)


def test_what_the_club_shows(guide):
    club = guide
    (broken,) = club.breaks("stale-dry-run")
    with club.workbench() as wb:
        answer = wb.runs.rehearsals()
    rehearsed = answer.tables.rehearsals
    assert set(rehearsed.loc[rehearsed["rehearsed"] == "stale", "run"]) == set(broken.keys)
    assert "too long" in answer._repr_mimebundle_()["text/html"]
