"""Charts stand whatever they are given, and come out the same each time."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.figure import Figure

from workbench.reporting.charts import actions_chart, counts_chart, runs_chart, tier_chart
from workbench.reporting.drawing import show_figure

HOSTILE = "$x_1$ <script>&\u202e\x00 " + "long " * 20 + "名前"


def svg(figure: Figure) -> str:
    found = re.search(r'base64,([^"]+)"', show_figure(figure).html)
    assert found
    text = base64.b64decode(found[1]).decode()
    ElementTree.fromstring(text)  # sound XML, or no browser would draw it
    return text


def tiers(count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"kind": "tier", "code": [f"{HOSTILE}{n}" for n in range(count)], "members": range(count, 0, -1)}
    )


def runs(count: int) -> pd.DataFrame:
    start = pd.Timestamp("2026-05-01")
    rows = [
        {"run": f"run-{n} {HOSTILE}", "mode": "live" if n % 2 else "dry", "status": "completed", "duration": 5.0,
         "started": start + pd.Timedelta(n, "D") if n != 1 else None, "finished": None if n % 3 else start + pd.Timedelta(n + 1, "D")}
        for n in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["run", "mode", "status", "duration", "started", "finished"])


def counts(rows: int) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"table": ["members", "events"][:rows], "found": [10, 0][:rows], "expected": [12, None][:rows]}
    )
    return frame.astype({"expected": "Int64"})


def actions(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"entity": ["Member"] * rows, "action": ["created"] * rows, "records": [3] * rows})


@pytest.mark.parametrize(
    ("chart", "frames"),
    [(tier_chart, tiers), (runs_chart, runs), (counts_chart, counts), (actions_chart, actions)],
)
@pytest.mark.parametrize("rows", [0, 1, 2, 60])
def test_a_chart_of_any_size(chart: object, frames: object, rows: int) -> None:
    drawn = svg(chart(frames(rows)))  # type: ignore[operator]
    assert "script" not in re.findall(r"<(\w+)", drawn)
    assert drawn == svg(chart(frames(rows)))  # type: ignore[operator]
    assert ("nothing to show" in drawn) == (rows == 0)


def test_a_dollar_is_a_dollar() -> None:
    assert "$x_1$" in svg(tier_chart(tiers(2)))


def test_one_date_and_a_run_to_stand_out() -> None:
    assert "▶" in svg(runs_chart(runs(1), highlight=runs(1)["run"][0]))
    svg(runs_chart(runs(2).assign(started=None, finished=None)))


def test_a_figure_has_words_for_who_cannot_see_it() -> None:
    shown = show_figure(counts_chart(counts(1)))
    assert 'alt="Rows per table: members 10, 12 expected (-2)' in shown.html
    assert "date" not in svg(counts_chart(counts(1))).split("<defs>")[0]
