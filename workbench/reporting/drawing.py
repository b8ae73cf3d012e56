"""The five kinds of chart, and a figure as something a notebook shows. No query, no pyplot, no state.

Colours are Okabe and Ito's, which colour-blind people tell apart; nothing is told by colour alone.
Each figure carries a sentence of alternative text as its label.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from markupsafe import Markup

from workbench.reporting.tables import Shown, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREEN, ORANGE, RED, SKY, GREY = "#0072B2", "#009E73", "#E69F00", "#D55E00", "#56B4E9", "#767676"
MOST = 40
"""Bars in one figure; the rest are summed in the last one."""

WIDTH, BAR = 7.6, 0.3  # inches
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, and in a font the reader has
    "svg.hashsalt": "murmurant-workbench",  # else ids are random, and no two reports the same
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
}


def show_figure(figure: Figure, alt: str = "") -> Shown:
    """Show a figure inside the page itself, with alternative text for who cannot see it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any figure.
    alt : str
        What it shows, in words; the chart's own words when left out.
    """
    from matplotlib import rc_context

    words, target = visible(alt or str(figure.get_label())), io.BytesIO()
    with rc_context(STYLE), warnings.catch_warnings():
        # matplotlib's font may lack a letter; the SVG holds text, and the reader's fonts have it.
        warnings.filterwarnings("ignore", message=r"(Glyph .* missing|Matplotlib currently does not)")
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    source = base64.b64encode(target.getvalue()).decode("ascii")
    html = Markup('<figure class="wb-figure"><img alt="{}" src="data:image/svg+xml;base64,{}"></figure>')
    return Shown(html.format(words, source), words)


class Bar(NamedTuple):
    """A bar: the row's label, how long it is and where it starts, the words at its end, and a mark to compare it with."""

    label: str
    value: float
    words: str
    colour: str = BLUE
    start: float = 0.0
    mark: float | None = None
    hatch: str = ""


class Part(NamedTuple):
    """A part of stacked bars: its name, and how it is drawn."""

    name: str
    colour: str
    hatch: str = ""


class Moment(NamedTuple):
    """A mark on a time line: when (NaN where unknown), its shape (none where empty) and size, and whether it is filled."""

    at: float
    marker: str = "o"
    size: float = 64
    filled: bool = True


class Span(NamedTuple):
    """A row of a time line: a line between its moments, with words."""

    label: str
    moments: tuple[Moment, ...]
    words: str
    colour: str
    line: str = "-"


class Cell(NamedTuple):
    """A cell of a heat map: how many, as what (``right``, ``wrong`` or ``open``)."""

    number: int
    kind: str


def bars(rows: Sequence[Bar], title: str, unit: str, told: str = "", *, room: float = 0.18) -> Figure:
    """Draw horizontal bars, the first on top; of more than `MOST` the rest are summed in the last one.

    Parameters
    ----------
    rows : sequence of Bar
        Of rows with the same label in succession only the first is labelled.
    unit : str
        What is counted.
    told : str
        The alternative text; else the title, and what stands beside the bars.
    room : float
        Space for words beside the longest bar, as a share of it.
    """
    if len(rows) > MOST:
        rest = rows[MOST - 1 :]
        value = sum(row.value for row in rest)
        rows = [*rows[: MOST - 1], Bar(f"{len(rest)} others", value, f"{value:,.0f}", GREY)]
    figure, axes = canvas(len(rows), title)
    for place, row in enumerate(rows):
        axes.barh(
            place, row.value, 0.7, left=row.start, color=row.colour, hatch=row.hatch, edgecolor="white", linewidth=0.4
        )  # fmt: skip
        end = max(row.start, row.start + row.value)
        if row.mark is not None:
            axes.plot([row.mark] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2)
            end = max(end, row.mark)
        axes.annotate(row.words, (end, place), xytext=(5, 0), textcoords="offset points", va="center")
    _label_rows(
        axes, [row.label if at == 0 or rows[at - 1].label != row.label else "" for at, row in enumerate(rows)]
    )
    _finish(axes, unit, room)
    ends = [end for row in rows for end in (row.start, row.start + row.value)]
    if min(ends, default=0) < 0:
        far = max(map(abs, ends))
        axes.set_xlim(min(ends) - 0.1 * far, max(*ends, 0) + 0.5 * far)
        axes.axvline(0, color="#444444", linewidth=0.8)
    said = told or f"{title}: " + "; ".join(f"{row.label} {row.words}" for row in rows)
    return described(figure, said, rows)


def stacked_bars(
    rows: Sequence[tuple[str, Sequence[int]]],
    parts: Sequence[Part],
    title: str,
    unit: str,
    words: Sequence[str] | None = None,
) -> Figure:
    """Draw bars of several parts; of more than `MOST` the rest are summed in the last one.

    Parameters
    ----------
    rows : sequence of (label, counts)
        A count for each part.
    words : sequence of str, optional
        What stands at the end of each bar; else its parts, counted.
    """
    if len(rows) > MOST:
        rest = [counts for _, counts in rows[MOST - 1 :]]
        rows = [*rows[: MOST - 1], (f"{len(rest)} others", [sum(each) for each in zip(*rest, strict=True)])]
    figure, axes = canvas(len(rows), title)
    ends = [0] * len(rows)
    for place, part in enumerate(parts):
        counts = [counts[place] for _, counts in rows]
        axes.barh(
            range(len(rows)), counts, 0.65, left=ends, color=part.colour, hatch=part.hatch, edgecolor="white", linewidth=0.4
        )  # fmt: skip
        ends = [end + count for end, count in zip(ends, counts, strict=True)]
    told = words or [
        ", ".join(f"{n:,} {part.name}" for part, n in zip(parts, counts, strict=True) if n)
        for _, counts in rows
    ]
    for at, (said, end) in enumerate(zip(told, ends, strict=True)):
        axes.annotate(said, (end, at), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
    _label_rows(axes, [name for name, _ in rows])
    _finish(axes, unit, 0.5)
    said = "; ".join(f"{name} {each}" for (name, _), each in zip(rows, told, strict=True))
    return described(figure, f"{title}: {said}", rows)


def time_line(rows: Sequence[Span], title: str, legend: str) -> Figure:
    """Draw moments in time, one row each, with words beside; only the last `MOST` rows.

    Parameters
    ----------
    rows : sequence of Span
        What has no last moment is said to have an unknown start.
    legend : str
        What the marks mean.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    rows = rows[-MOST:]
    figure, axes = canvas(len(rows), title)
    known = [moment.at for row in rows for moment in row.moments if not np.isnan(moment.at)]
    middle = (min(known) + max(known)) / 2 if known else 0.0
    for place, row in enumerate(rows):
        moments = [moment for moment in row.moments if not np.isnan(moment.at)]
        if np.isnan(row.moments[-1].at):
            axes.text(
                0.01, place, f"start unknown, {row.words}", transform=axes.get_yaxis_transform(), va="center", color=GREY
            )  # fmt: skip
            continue
        ends = [moment.at for moment in moments]
        axes.plot([min(ends), max(ends)], [place] * 2, color=row.colour, linestyle=row.line, linewidth=2.5)
        for each in filter(lambda moment: moment.marker, moments):
            face = row.colour if each.filled else "white"
            axes.scatter(
                [each.at], [place], each.size, marker=each.marker, facecolors=face, edgecolors=row.colour, zorder=3
            )  # fmt: skip
        late = min(ends) > middle
        axes.annotate(
            row.words, (min(ends) if late else max(ends), place), va="center", ha="right" if late else "left",
            xytext=(-9 if late else 9, 0), textcoords="offset points",
        )  # fmt: skip
    _label_rows(axes, [row.label for row in rows])
    _finish(axes, "")
    axes.set_xlabel(f"start, UTC ({legend})", color="#444444", loc="left")
    if known:
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.margins(x=0.08)
    else:
        axes.set_xticks([])
    return described(figure, f"{title}: " + "; ".join(f"{row.label} {row.words}" for row in rows[-12:]), rows)


def histogram(
    values: np.ndarray[Any, Any],
    title: str,
    unit: str,
    counted: str,
    thresholds: Mapping[float, str],
    colours: tuple[str, str],
) -> Figure:
    """Draw how many shares between 0 and 1 lie where, with thresholds; from the first one on in the second colour."""
    from matplotlib.ticker import MaxNLocator

    edges = np.arange(21) / 20
    counts, _ = np.histogram(values, edges)
    figure, axes = canvas(8 if len(values) else 0, title)
    if len(values):
        first = min(thresholds)
        axes.bar_label(
            axes.bar(
                edges[:-1], counts, width=0.045, align="edge",
                color=[colours[int(edge >= first - 1e-9)] for edge in edges[:-1]],
            ),
            [f"{count:,}" if count else "" for count in counts],
            padding=2,
        )  # fmt: skip
        for number, (place, words) in enumerate(sorted(thresholds.items())):
            axes.axvline(place, color="black", linewidth=1.1, linestyle="--")
            axes.annotate(
                words, (place, 0.98 - 0.1 * number), xycoords=("data", "axes fraction"), ha="right", va="top",
                xytext=(-5, 0), textcoords="offset points",
            )  # fmt: skip
    _finish(axes, unit)
    axes.set_xlim(0, 1.01)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
    axes.set_ylabel(counted, color="#444444")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, max(counts.max(), 1) * 1.45)  # the words stand above the bars
    return figure


_PALEST = 0.16  # how much of its colour the cell with the fewest has
_KINDS = {"right": (BLUE, "✓"), "wrong": (ORANGE, "✗"), "open": (GREY, "?")}


def heat_map(
    cells: Mapping[tuple[str, str], Cell], rows: Sequence[str], columns: Sequence[str], title: str, sides: tuple[str, str]
) -> Figure:  # fmt: skip
    """Draw counts by row and column; right, wrong and open ones by colour, mark, frame and hatch.

    Parameters
    ----------
    cells : mapping of (row, column) to Cell
        What is not there is nobody; where row and column are of one name a frame shows all the same.
    sides : tuple of str
        What the columns are, and what the rows are.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    figure, axes = canvas(len(rows), title, min(WIDTH, 2.6 + 0.9 * max(len(columns), 3)), 1.5, 0.46)
    most = max((cell.number for cell in cells.values()), default=0)
    for (row, column), (count, kind) in cells.items():
        x, y = columns.index(column), rows.index(row)
        colour, mark = _KINDS[kind]
        # By the root: among thousands who are right, three who are wrong must still be seen.
        strength = _PALEST + (1 - _PALEST) * (count / most) ** 0.5
        red, green, blue = (1 - strength * (1 - part) for part in to_rgb(colour))
        square = Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, facecolor=(red, green, blue))
        square.set(hatch="////" if kind == "wrong" else "", linewidth=1.4 if kind == "right" else 0)
        square.set_edgecolor("black" if kind == "right" else "#00000044")
        axes.add_patch(square)
        # A plate under the text: a hatch through a number cannot be read.
        axes.text(
            x, y, f"{mark} {count:,}", ha="center", va="center", fontweight="bold" if kind == "wrong" else "normal",
            color="white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black",
            bbox={"boxstyle": "round,pad=0.2", "facecolor": (red, green, blue), "edgecolor": "none"},
        )  # fmt: skip
    for name in {*rows} & {*columns}:
        if (name, name) not in cells:
            place = columns.index(name) - 0.47, rows.index(name) - 0.45
            axes.add_patch(
                Rectangle(place, 0.94, 0.9, facecolor="none", edgecolor=GREY, linewidth=0.8, linestyle=":")
            )
    slanted: dict[str, Any] = {"rotation": 35, "ha": "right"} if sum(map(len, columns)) > 60 else {}
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(range(len(columns)), labels=[label(name) for name in columns], **slanted)
    axes.set_yticks(range(len(rows)), labels=[label(name) for name in rows])
    if cells:
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(f"{sides[0]}\n(members; ✓ right, ✗ wrong, ? cannot be judged)", color="#444444")
        axes.set_ylabel(sides[1], color="#444444")
    return figure


def canvas(
    rows: int, title: str, width: float = WIDTH, margin: float = 1.1, height: float = BAR
) -> tuple[Figure, Axes]:
    """Return an empty figure with room for so many rows (sizes in inches), and its axes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, margin + height * max(rows, 1)), layout="constrained")
        axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11, pad=8)
    if not rows:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", va="center", color=GREY)
    return figure, axes


def label(text: str) -> str:
    """Return a text as it may stand in a figure: short, control characters seen, no mathematics."""
    plain = visible(text)
    # A dollar sign would begin mathematics.
    return (plain if len(plain) <= 34 else plain[:33] + "…").replace("$", r"\$")


def described(figure: Figure, words: str, rows: Sequence[object]) -> Figure:
    """Give a figure its sentence of alternative text; `rows` tells whether there is anything to see."""
    figure.set_label(
        (words if len(words) <= 600 else words[:599] + "…") + "." if rows else "Nothing to show."
    )
    return figure


def _label_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels=[label(each) for each in labels])
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)  # the first on top


def _finish(axes: Axes, unit: str, room: float = 0.18) -> None:
    """Finish the axes: the unit below, thin lines, whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(unit, color="#444444")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.patches or not axes.collections:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        greatest = max((axes.dataLim.x1, 1.0)) if axes.patches else 1.0
        axes.set_xlim(0, greatest * (1 + room))
