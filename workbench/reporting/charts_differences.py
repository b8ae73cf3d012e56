"""What came after a snapshot as pictures: frame in, figure out; see `charts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from workbench.reporting.drawing import BLUE, GREEN, MOST, RED, canvas, described, finish, label_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CHANGES = (("added", GREEN, ""), ("changed", BLUE, "//"), ("removed", RED, ".."))


def differences_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows of each table were added, changed and removed since a snapshot.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``table``, ``added``, ``changed``, ``removed``: see `workbench.differing.Differences`.
    """
    return _stacked(frame, "table", "Rows that differ from the snapshot")


def authors_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows each run or person added, changed and removed since a snapshot.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``change``, ``who``, ``rows``: see `workbench.differing.Differences`.
    """
    wide = frame.pivot_table(index="who", columns="change", values="rows", aggfunc="sum", fill_value=0)
    wide = wide.reindex(columns=[name for name, *_ in _CHANGES], fill_value=0)
    return _stacked(wide.reset_index(), "who", "Whose doing it is, by the evidence")


def _stacked(frame: pd.DataFrame, names: str, title: str) -> Figure:
    changes = [name for name, *_ in _CHANGES]
    frame = frame.assign(total=frame[changes].sum(axis=1))
    frame = frame[frame["total"] > 0].sort_values(["total", names], ascending=[False, True])
    rows = [(str(row[names]), [int(row[each]) for each in changes]) for row in frame.to_dict("records")]
    if len(rows) > MOST:
        rest = [counts for _, counts in rows[MOST - 1 :]]
        rows = [*rows[: MOST - 1], (f"{len(rest)} others", [sum(each) for each in zip(*rest, strict=True)])]
    figure, axes = canvas(len(rows), title)
    begins = [0] * len(rows)
    for place, (name, colour, hatch) in enumerate(_CHANGES):
        counts = [counts[place] for _, counts in rows]
        axes.barh(
            range(len(rows)),
            counts,
            0.65,
            left=begins,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
            label=name,
        )
        begins = [begin + count for begin, count in zip(begins, counts, strict=True)]
    told = [_told(counts) for _, counts in rows]
    for at, (words, end) in enumerate(zip(told, begins, strict=True)):
        axes.annotate(words, (end, at), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
    label_rows(axes, [name for name, _ in rows])
    finish(axes, "rows", room=0.5)
    said = "; ".join(f"{name} {words}" for (name, _), words in zip(rows, told, strict=True))
    return described(figure, f"{title}: {said}", rows)


def _told(counts: list[int]) -> str:
    return ", ".join(f"{n:,} {name}" for (name, *_), n in zip(_CHANGES, counts, strict=True) if n)
