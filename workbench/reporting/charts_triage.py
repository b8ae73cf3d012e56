"""The ways out of a failed migration as a picture: frame in, figure out; see `charts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.reporting.drawing import BLUE, GREY, ORANGE, RED, canvas, described, finish, label_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BARS = (
    ("rows_reverted", "rows put right", BLUE, ""),
    ("work_lost", "people's work lost", RED, "//"),
    ("references_at_risk", "references at risk", ORANGE, ".."),
)
_THICK = 0.26


def ways_chart(frame: pd.DataFrame) -> Figure:
    """Draw what each way out puts right, what it loses and what it leaves at risk, side by side.

    Parameters
    ----------
    frame : pandas.DataFrame
        See `workbench.triage.Triage.ways_table`. What is not known has no bar, and says so.
    """
    figure, axes = canvas(3 * len(frame), "The ways out, side by side")
    rows = frame.to_dict("records")
    label_rows(axes, [_named(row) for row in rows])
    told = []
    for position, row in enumerate(rows):
        if not row["possible"]:
            axes.text(0, position, "  not possible here", va="center", color=GREY, fontsize=8)
            told.append(f"{row['way']}: not possible here")
            continue
        for number, (column, words, colour, hatch) in enumerate(_BARS):
            known = not pd.isna(row[column])
            value = int(row[column]) if known else 0
            where = position + (number - 1) * _THICK
            axes.barh(where, value, _THICK * 0.9, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4,
                      label=words if position == _first(rows) else None)  # fmt: skip
            said = f"{value:,}" if known else "not known"
            axes.annotate(f"{said} {words}", (value, where), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5,
                          color="#333333")  # fmt: skip
        told.append(
            f"{row['way']}: "
            + ", ".join(
                f"{'not known' if pd.isna(row[column]) else int(row[column])} {words}"
                for column, words, *_ in _BARS
            )
        )
    finish(axes, "rows", room=0.35)
    return described(figure, "The ways out. " + "; ".join(told), rows)


def _first(rows: list[dict[Any, Any]]) -> int:
    return next((number for number, row in enumerate(rows) if row["possible"]), 0)


def _named(row: dict[Any, Any]) -> str:
    known = "" if pd.isna(row["minutes"]) or not row["possible"] else f", {int(row['minutes'])} min"
    return f"{'→ ' if row['recommended'] else ''}{row['way']}{known}"
