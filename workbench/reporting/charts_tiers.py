"""Charts of membership tiers: expected against actual as a heat map, and what changed since an earlier report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.investigate.tiers.statements import CORRECTABLE, RIGHT
from workbench.reporting.drawing import (
    BLUE,
    GREY,
    MOST,
    ORANGE,
    STYLE,
    WIDTH,
    canvas,
    described,
    finish,
    label,
    label_rows,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOBODY_SAYS, HAVE_NONE, REST = "not known", "none", "others"
"""Where no tier is expected, where a member has none, and what the smallest tiers are summed under."""

_MOST_TIERS = 12  # a side of the map; the smallest of more are summed
_CELL = 0.46  # inches
_PALEST = 0.16  # how much of its colour the cell with the fewest members has


def tier_matrix_chart(frame: pd.DataFrame, kind: str = "tier") -> Figure:
    """Draw how many members should be in which tier (or status), and in which they are, as a heat map.

    A cell on the diagonal is framed and marked ✓, one that is wrong is hatched and marked ✗, so that
    neither is told by colour alone; what cannot be judged is grey and bears a question mark.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``expected``, ``actual``, ``members``, ``finding``: see
        `workbench.investigate.tiers.reviewing.tier_matrix`.
    """
    cells = _cells(frame)
    rows, columns = _sides(cells)
    figure, axes = _grid(len(rows), len(columns), kind)
    told: list[tuple[bool, int, str]] = []
    most = max((members for members, _ in cells.values()), default=0)
    for (expected, actual), (members, kind) in cells.items():
        _draw(axes, columns.index(actual), rows.index(expected), members, kind, most)
        judgement = {"right": "right", "wrong": "wrong"}.get(kind, "not judged")
        told.append(
            (kind != "wrong", -members, f"expected {expected}, have {actual}: {members:,} {judgement}")
        )
    for each in {*rows} & {*columns}:  # where nobody is, the diagonal shows all the same
        if (each, each) not in cells:
            _frame(axes, columns.index(each), rows.index(each))
    if cells:
        slanted: dict[str, Any] = {"rotation": 35, "ha": "right"} if sum(map(len, columns)) > 60 else {}
        axes.set_xticks(range(len(columns)), labels=[label(each) for each in columns], **slanted)
        axes.set_yticks(range(len(rows)), labels=[label(each) for each in rows])
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(
            f"the {kind} members have (members; ✓ right, ✗ wrong, ? cannot be judged)", color="#444444"
        )
        axes.set_ylabel(f"the {kind} their level gives", color="#444444")
    wrong = sum(members for members, kind in cells.values() if kind == "wrong")
    words = f"{wrong:,} members are not in the {kind} of their level. " + "; ".join(
        each for *_, each in sorted(told)[:12]
    )
    return described(figure, words, told)


def tier_drift_chart(frame: pd.DataFrame) -> Figure:
    """Draw which tiers gained and which lost members.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``code``, ``before``, ``now``, ``change``: see `workbench.investigate.tiers.drift.TierDrift`.
    """
    rows = [
        ("none" if pd.isna(code) else str(code), int(before), int(now), int(change))
        for code, before, now, change in frame[["code", "before", "now", "change"]].itertuples(index=False)
    ]
    if len(rows) > MOST:  # those that changed most; what did not change is no news
        rows = sorted(rows, key=lambda each: (-abs(each[3]), each[0]))[:MOST]
    figure, axes = canvas(len(rows), "Members gained and lost since the earlier report")
    told = []
    for at, (code, before, now, change) in enumerate(rows):
        axes.barh(at, change, color=BLUE if change > 0 else ORANGE, hatch="" if change > 0 else "///",
                  edgecolor="white", height=0.7)  # fmt: skip
        said = f"{change:+,} (from {before:,} to {now:,})" if change else f"unchanged ({now:,})"
        left = change < 0
        axes.annotate(said, (change, at), xytext=(-6 if left else 6, 0), textcoords="offset points",
                      va="center", ha="right" if left else "left")  # fmt: skip
        told.append(f"{code} {said}")
    label_rows(axes, [code for code, *_ in rows])
    finish(axes, "change in members")
    far = max((abs(change) for *_, change in rows), default=0) or 1
    axes.set_xlim(-far * 1.9, far * 1.9)
    axes.axvline(0, color="#444444", linewidth=0.8)
    return described(figure, "Change in members by tier: " + "; ".join(told[:12]), told)


def _cells(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[int, str]]:
    """Sum the members by expected and actual tier; what is wrong, right or not judged is never mixed."""
    sums: dict[tuple[str, str], tuple[int, str]] = {}
    for expected, actual, members, finding in frame[["expected", "actual", "members", "finding"]].itertuples(
        index=False
    ):
        kind = "right" if finding == RIGHT else "wrong" if finding in CORRECTABLE else "open"
        at = (
            NOBODY_SAYS if pd.isna(expected) else str(expected),
            HAVE_NONE if pd.isna(actual) else str(actual),
        )
        sums[at] = (sums.get(at, (0, kind))[0] + int(members), kind)
    sizes: dict[str, int] = {}
    for (expected, actual), (members, _) in sums.items():
        for code in {expected, actual} - {NOBODY_SAYS, HAVE_NONE}:
            sizes[code] = sizes.get(code, 0) + members
    if len(sizes) <= _MOST_TIERS:
        return sums
    shown = {
        code for code, _ in sorted(sizes.items(), key=lambda each: (-each[1], each[0]))[: _MOST_TIERS - 1]
    }
    shown |= {NOBODY_SAYS, HAVE_NONE}
    merged: dict[tuple[str, str], tuple[int, str]] = {}
    for (expected, actual), (members, kind) in sums.items():
        at = (expected if expected in shown else REST, actual if actual in shown else REST)
        before, other = merged.get(at, (0, kind))
        merged[at] = (before + members, "wrong" if "wrong" in (kind, other) else kind)
    return merged


def _sides(cells: dict[tuple[str, str], tuple[int, str]]) -> tuple[list[str], list[str]]:
    """Return the rows and the columns: the tiers in one order, so that what is right lies on the diagonal."""
    last = (REST, NOBODY_SAYS, HAVE_NONE)
    codes = sorted({code for at in cells for code in at} - set(last))
    found = [*codes, *(each for each in last if any(each in at for at in cells))]
    return [each for each in found if each != HAVE_NONE], [each for each in found if each != NOBODY_SAYS]


def _grid(rows: int, columns: int, kind: str) -> tuple[Figure, Axes]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        width = min(WIDTH, 2.6 + 0.9 * max(columns, 3))
        figure = Figure(figsize=(width, 1.5 + _CELL * max(rows, 1)), layout="constrained")
        axes = figure.add_subplot()
    axes.set_title(
        f"The {kind} of their level, and the {kind} they have",
        loc="left",
        fontweight="bold",
        fontsize=11,
        pad=8,
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if not rows:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", va="center", color=GREY)
    return figure, axes


def _frame(axes: Axes, x: int, y: int) -> None:
    from matplotlib.patches import Rectangle

    place = (x - 0.47, y - 0.45)
    axes.add_patch(
        Rectangle(place, 0.94, 0.9, facecolor="none", edgecolor=GREY, linewidth=0.8, linestyle=":")
    )


def _draw(axes: Axes, x: int, y: int, members: int, kind: str, most: int) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    colour = {"right": BLUE, "wrong": ORANGE}.get(kind, GREY)
    # By the root: among thousands who are right, three who are wrong must still be seen.
    strength = _PALEST + (1 - _PALEST) * (members / most) ** 0.5
    red, green, blue = (1 - strength * (1 - part) for part in to_rgb(colour))
    face = (red, green, blue)
    axes.add_patch(
        Rectangle(
            (x - 0.47, y - 0.45), 0.94, 0.9, facecolor=face,
            edgecolor="black" if kind == "right" else "#00000044", linewidth=1.4 if kind == "right" else 0,
            hatch="////" if kind == "wrong" else "",
        )
    )  # fmt: skip
    dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
    mark = {"right": "✓", "wrong": "✗"}.get(kind, "?")
    # A plate under the text: a hatch through a number cannot be read.
    axes.text(
        x, y, f"{mark} {members:,}", ha="center", va="center", color="white" if dark else "black",
        fontweight="bold" if kind == "wrong" else "normal",
        bbox={"boxstyle": "round,pad=0.2", "facecolor": face, "edgecolor": "none"},
    )  # fmt: skip
