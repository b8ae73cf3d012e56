"""Charts stand whatever they are given, and come out the same each time."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.figure import Figure

from workbench.reporting.charts import (
    actions_chart,
    authors_chart,
    changes_chart,
    counts_chart,
    differences_chart,
    runs_chart,
    tier_chart,
    tier_matrix_chart,
    ways_chart,
)
from workbench.reporting.drawing import show_figure
from workbench.tiers.review import CORRECTABLE, RIGHT

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


def changes(count: int) -> pd.DataFrame:
    rows = [(f"Table {n // 3} {HOSTILE}", ("delete", "update", "insert")[n % 3], n + 1) for n in range(count)]
    return pd.DataFrame(rows, columns=["table", "operation", "rows"])


def differences(count: int) -> pd.DataFrame:
    rows = [(f"{HOSTILE} {n}", n + 1, n % 3, 0) for n in range(count)]
    return pd.DataFrame(rows, columns=["table", "added", "changed", "removed"])


def authors(count: int) -> pd.DataFrame:
    rows = [(("added", "changed", "removed")[n % 3], f"{HOSTILE} {n}", n + 1) for n in range(count)]
    return pd.DataFrame(rows, columns=["change", "who", "rows"])


def matrix(count: int) -> pd.DataFrame:
    found = [RIGHT, CORRECTABLE[0], "no such level"]
    rows = [
        (f"{HOSTILE}{n}" if n % 4 else None, f"{HOSTILE}{n % 7}", n + 1, found[n % 3]) for n in range(count)
    ]
    return pd.DataFrame(rows, columns=["expected", "actual", "members", "finding"])


def ways(count: int) -> pd.DataFrame:
    rows = [(f"{HOSTILE} {n}", n == 1, n % 3 > 0, n or None, n, None, n) for n in range(count)]
    names = ("way", "recommended", "possible", "minutes", "rows_reverted", "work_lost", "references_at_risk")
    return pd.DataFrame(rows, columns=[*names])


@pytest.mark.parametrize(
    ("chart", "frames"),
    [
        (tier_chart, tiers),
        (tier_matrix_chart, matrix),
        (runs_chart, runs),
        (counts_chart, counts),
        (actions_chart, actions),
        (changes_chart, changes),
        (differences_chart, differences),
        (authors_chart, authors),
        (ways_chart, ways),
    ],
)
@pytest.mark.parametrize("rows", [0, 1, 5, 60])
def test_a_chart_of_any_size(
    chart: Callable[..., Figure], frames: Callable[..., pd.DataFrame], rows: int
) -> None:
    figure = chart(frames(rows))
    drawn = svg(figure)
    assert "script" not in re.findall(r"<(\w+)", drawn)
    assert drawn == svg(chart(frames(rows)))
    assert ("nothing to show" in drawn) == (rows == 0) == ("Nothing to show" in figure.get_label())


def test_a_dollar_is_a_dollar() -> None:
    assert "$x_1$" in svg(tier_chart(tiers(2)))


def test_one_date_and_a_run_to_stand_out() -> None:
    assert "▶" in svg(runs_chart(runs(1), highlight=runs(1)["run"][0]))
    svg(runs_chart(runs(2).assign(started=None, finished=None)))


def test_a_figure_has_words_for_who_cannot_see_it() -> None:
    shown = show_figure(counts_chart(counts(1)))
    assert 'alt="Rows per table: members 10, 12 expected (-2)' in shown.html
    assert "date" not in svg(counts_chart(counts(1))).split("<defs>")[0]
