"""The kinds of chart, each of a frame, and a figure as something a notebook shows. No query, no pyplot, no state.

Colours are Okabe and Ito's, which colour-blind people tell apart; nothing is told by colour alone.
Each figure carries a sentence of alternative text as its label.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from workbench.reporting.tables import Shown, shorten, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREEN, ORANGE, RED, SKY, GREY = "#0072B2", "#009E73", "#E69F00", "#D55E00", "#56B4E9", "#767676"
INK = "#444444"
MOST = 40
"""Rows in one figure; the rest are summed in the last one."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, and in a font the reader has
    "svg.hashsalt": "murmurant-workbench",  # else ids are random, and no two reports the same
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
}
_BAR: dict[str, Any] = {"height": 0.65, "edgecolor": "white", "linewidth": 0.4}
_KINDS = {"right": (BLUE, "", "✓"), "wrong": (ORANGE, "////", "✗"), "open": (GREY, "", "?")}


def show_figure(figure: Figure) -> Shown:
    """Show a figure inside the page itself, with its label as words for who cannot see it."""
    from matplotlib import rc_context

    words, target = visible(str(figure.get_label())), io.BytesIO()
    with rc_context(_STYLE), warnings.catch_warnings():
        # matplotlib's font may lack a letter; the SVG holds text, and the reader's fonts have it.
        warnings.filterwarnings("ignore", message=r"(Glyph .* missing|Matplotlib currently does not)")
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    source = base64.b64encode(target.getvalue()).decode("ascii")
    html = Markup('<figure class="wb-figure"><img alt="{}" src="data:image/svg+xml;base64,{}"></figure>')
    return Shown(html.format(words, source), words)


def bars(
    counts: pd.DataFrame,
    parts: Mapping[str, tuple[str, str]],
    title: str,
    unit: str,
    *,
    words: Sequence[str] = (),
    starts: Sequence[float] = (),
) -> Figure:
    """Draw a horizontal bar for each row, of one or several parts; of more than `MOST` rows the rest are summed.

    Parameters
    ----------
    counts : pandas.DataFrame
        A row for each bar, labelled by the index; a column for each part.
    parts : mapping of str to (str, str)
        The parts in order: colour and hatch.
    words : sequence of str
        What stands at the end of each bar; else its counts.
    starts : sequence of float
        Where each bar begins, else at 0.
    """
    if len(counts) > MOST:
        rest, words, starts = counts.iloc[MOST - 1 :], words[: MOST - 1], starts[: MOST - 1]
        counts = pd.concat([counts.iloc[: MOST - 1], rest.sum().to_frame(f"{len(rest)} others").T])
    counts = counts[list(parts)].astype(float)
    lines = [
        ", ".join(f"{count:,.0f} {name}" for name, count in row.items() if count) or "0"
        for row in counts.to_dict("records")
    ]
    lines[: len(words)] = words
    begins = np.array([*starts, *[0.0] * (len(counts) - len(starts))])
    figure, axes = canvas(len(counts), title, unit)
    ends = begins
    for name, (colour, hatch) in parts.items():
        axes.barh(range(len(counts)), counts[name], left=ends, color=colour, hatch=hatch, **_BAR)
        ends = ends + counts[name].to_numpy()
    for place, line in enumerate(lines):
        _write(axes, line, (max(begins[place], ends[place]), place))
    _label_rows(axes, counts.index)
    _count(axes.xaxis)
    least, most = min([0, *begins, *ends]), max([0, *begins, *ends])
    span = (most - least) or 1
    axes.set_xlim(least - 0.1 * span * (least < 0), most + 0.6 * span)  # room for the words
    return describe(figure, title, zip(counts.index, lines, strict=True))


def time_line(rows: pd.DataFrame, title: str, legend: str) -> Figure:
    """Draw spans of time, one row each, with words beside; only the last `MOST`.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``label``, ``start``, ``end`` (times, if known), ``words``, ``colour``, ``hollow`` (whether a ring stands at its
        start, and not a dot).
    legend : str
        What the marks mean.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    rows = rows.tail(MOST)
    moments = rows[["start", "end"]].apply(pd.to_datetime)
    figure, axes = canvas(len(rows), title, f"UTC ({legend})")
    middle = moments.stack().agg(["min", "max"]).mean()
    for place, (row, (_, ends)) in enumerate(zip(rows.itertuples(), moments.iterrows(), strict=True)):
        times = ends.dropna()
        if times.empty:
            axes.text(
                0.01, place, f"start unknown, {row.words}", transform=axes.get_yaxis_transform(), va="center"
            )
            continue
        axes.plot(times, [place] * len(times), color=row.colour, linewidth=2.5)
        face = "white" if row.hollow else row.colour
        axes.plot(times[:1], [place], "o", markersize=8, color=row.colour, markerfacecolor=face)
        late = times.iloc[0] > middle
        _write(axes, str(row.words), (times.iloc[0 if late else -1], place), left=late)
    _label_rows(axes, rows["label"])
    if pd.isna(middle):
        axes.set_xticks([])
    else:
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.margins(x=0.08)
    return describe(figure, title, rows[["label", "words"]].tail(12).itertuples(index=False, name=None))


def histogram(
    shares: pd.Series[float],
    title: str,
    unit: str,
    counted: str,
    thresholds: Mapping[float, str],
    colours: tuple[str, str],
) -> Figure:
    """Draw how many shares between 0 and 1 lie where, with thresholds; from the first one on in the second colour."""
    edges = np.arange(21) / 20
    counts, _ = np.histogram(shares.astype(float), edges)
    figure, axes = canvas(8 if len(shares) else 0, title, unit)
    if len(shares):
        beyond = edges[:-1] >= min(thresholds) - 1e-9
        columns = axes.bar(
            edges[:-1], counts, 0.045, align="edge", color=np.where(beyond, *reversed(colours))
        )
        axes.bar_label(columns, [f"{count:,}" if count else "" for count in counts], padding=2)
        for number, (place, words) in enumerate(sorted(thresholds.items())):
            axes.axvline(place, color="black", linewidth=1.1, linestyle="--")
            _write(axes, words, (place, counts.max() * (1.4 - 0.12 * number)), left=True)
    axes.set_xlim(0, 1.01)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel(counted, color=INK)
    _count(axes.yaxis)
    axes.set_ylim(0, max(counts.max(), 1) * 1.45)  # the words stand above the bars
    return figure


def heat_map(
    cells: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], title: str, sides: tuple[str, str]
) -> Figure:
    """Draw counts by row and column; right, wrong and open ones by colour, mark, frame and hatch.

    Parameters
    ----------
    cells : pandas.DataFrame
        ``row``, ``column``, ``number``, and as what they count: ``right``, ``wrong`` or ``open``, in ``kind``.
    sides : tuple of str
        What the columns are, and what the rows are.
    """
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    width = 2.6 + 0.9 * min(max(len(columns), 3), 6)
    figure, axes = canvas(len(rows), title, sides[0], width, 1.5, 0.46)
    for row, column, number, kind in cells[["row", "column", "number", "kind"]].itertuples(index=False):
        x, y, (colour, hatch, mark) = columns.index(column), rows.index(row), _KINDS[kind]
        pale, edge = to_rgba(colour, 0.2), "black" if kind == "right" else colour
        axes.add_patch(
            Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, facecolor=pale, edgecolor=edge, hatch=hatch)
        )
        # A plate under the text: a hatch through a number cannot be read.
        plate = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"}
        weight = "bold" if kind == "wrong" else "normal"
        axes.text(x, y, f"{mark} {number:,}", ha="center", va="center", fontweight=weight, bbox=plate)
    slanted: dict[str, Any] = {"rotation": 35, "ha": "right"} if sum(map(len, columns)) > 60 else {}
    axes.set_xticks(range(len(columns)), labels=[label(name) for name in columns], **slanted)
    _label_rows(axes, rows)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_xlim(-0.5, max(len(columns), 1) - 0.5)
    axes.set_ylabel(sides[1], color=INK)
    return figure


def canvas(
    rows: int, title: str, unit: str = "", width: float = 7.6, margin: float = 1.1, height: float = 0.3
) -> tuple[Figure, Axes]:
    """Return an empty figure with room for so many rows (sizes in inches), and its axes: the unit below, thin lines."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(width, margin + height * max(rows, 1)), layout="constrained")
        axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11, pad=8)
    axes.set_xlabel(unit, color=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    if not rows:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", va="center", color=GREY)
    return figure, axes


def label(text: object) -> str:
    """Return a text as it may stand in a figure: short, control characters seen, no mathematics."""
    return shorten(visible(str(text)), 34).replace("$", r"\$")


def describe(figure: Figure, title: str, rows: Iterable[Any]) -> Figure:
    """Give a figure its sentence of alternative text: its title, then its rows in words."""
    words = "; ".join(" ".join(map(str, row)) if isinstance(row, tuple) else str(row) for row in rows)
    figure.set_label(f"{shorten(f'{title}: {words}', 600)}." if words else "Nothing to show.")
    return figure


def _write(axes: Axes, words: str, at: tuple[Any, float], left: bool = False) -> None:
    """Write beside a point."""
    side: dict[str, Any] = {"xytext": (-7 if left else 7, 0), "ha": "right" if left else "left"}
    axes.annotate(words.replace("$", r"\$"), at, textcoords="offset points", va="center", **side)


def _label_rows(axes: Axes, labels: Iterable[Any]) -> None:
    """Label the rows, the first on top; of rows of one label in succession only the first."""
    names = pd.Series(list(labels), dtype=object)
    names = names.mask(names == names.shift(), "")
    axes.set_yticks(range(len(names)), labels=[label(name) for name in names])
    axes.set_ylim(max(len(names), 1) - 0.4, -0.6)


def _count(axis: Any) -> None:
    """Let an axis count in whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axis.set_major_formatter("{x:,.0f}")
