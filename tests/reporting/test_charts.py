"""Charts stand whatever they are given, and come out the same each time."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.figure import Figure

from workbench.reporting import charts
from workbench.reporting.charts import show_figure
from workbench.tiers.review import CORRECTABLE, RIGHT

HOSTILE = "$x_1$ <script>&\u202e\x00 " + "long " * 20 + "名前"
TIMES = {"started": pd.Timestamp("2026-05-01"), "finished": pd.Timestamp("2026-05-02"), "duration": 5.0}


def svg(figure: Figure) -> str:
    match = re.search(r'base64,([^"]+)"', show_figure(figure).html)
    assert match
    text = base64.b64decode(match[1]).decode()
    ElementTree.fromstring(text)  # sound XML, or no browser would draw it
    return text


def tier(n: int) -> dict[str, object]:
    return {"kind": "tier", "code": f"{HOSTILE}{n}", "members": n + 1}


def matrix(n: int) -> dict[str, object]:
    judged = (RIGHT, CORRECTABLE[0], "no such level")[n % 3]
    expected = f"{HOSTILE}{n}" if n % 4 else None
    return {"expected": expected, "actual": f"{HOSTILE}{n % 7}", "members": n + 1, "finding": judged}


def run(n: int) -> dict[str, object]:
    times = TIMES if n % 3 else dict.fromkeys(TIMES)
    return {"run": f"run-{n} {HOSTILE}", "mode": "live" if n % 2 else "dry", "status": "completed", **times}


def count(n: int) -> dict[str, object]:
    return {"table": f"members {n}", "found": n + 10, "expected": 12 if n % 2 == 0 else None}


def action(n: int) -> dict[str, object]:
    return {"entity": "Member", "action": "created", "records": n + 1}


def change(n: int) -> dict[str, object]:
    return {"table": f"T {n} {HOSTILE}", "operation": ("delete", "update", "insert")[n % 3], "rows": n + 1}


def difference(n: int) -> dict[str, object]:
    return {"table": f"{HOSTILE} {n}", "added": n + 1, "changed": n % 3, "removed": 0}


def author(n: int) -> dict[str, object]:
    return {"change": ("added", "changed", "removed")[n % 3], "who": f"{HOSTILE} {n}", "rows": n + 1}


def way(n: int) -> dict[str, object]:
    costs = {"rows_reverted": n, "work_lost": None, "references_at_risk": n}
    return {
        "way": f"{HOSTILE} {n}",
        "recommended": n == 1,
        "possible": n % 3 > 0,
        "minutes": n or None,
        **costs,
    }


def frame(row, rows: int) -> pd.DataFrame:
    made = pd.DataFrame([row(n) for n in range(rows)], columns=[*row(0)])
    return made.astype({"expected": "Int64"}) if row is count else made


@pytest.mark.parametrize(
    ("chart", "row"),
    [
        (charts.tier_chart, tier),
        (charts.tier_matrix_chart, matrix),
        (charts.runs_chart, run),
        (charts.counts_chart, count),
        (charts.actions_chart, action),
        (charts.changes_chart, change),
        (charts.differences_chart, difference),
        (charts.authors_chart, author),
        (charts.ways_chart, way),
    ],
)
def test_a_chart_of_any_size(chart, row) -> None:
    for rows in (0, 1, 60):
        figure = chart(frame(row, rows))
        drawn = svg(figure)
        assert "script" not in re.findall(r"<(\w+)", drawn)
        assert ("nothing to show" in drawn) == (rows == 0) == ("Nothing to show" in figure.get_label())
    assert drawn == svg(chart(frame(row, rows)))


def test_what_a_chart_says() -> None:
    assert "$x_1$" in svg(charts.tier_chart(frame(tier, 2))), "a dollar is a dollar"
    assert "▶" in svg(charts.runs_chart(frame(run, 2), highlight=f"run-1 {HOSTILE}"))
    shown = show_figure(charts.counts_chart(frame(count, 1)))
    assert 'alt="Rows per table: members 0 10, 12 expected (-2)' in shown.html
    assert "date" not in svg(charts.counts_chart(frame(count, 1))).split("<defs>")[0]
