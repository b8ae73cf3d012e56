"""The four kinds of chart, and a figure as something a notebook shows. No query, no pyplot, no state.

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
_INK = "#444444"
MOST = 40
"""Rows in one figure; the rest are summed in the last one."""

WIDTH, BAR = 7.6, 0.3  # inches
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, and in a font the reader has
    "svg.hashsalt": "murmurant-workbench",  # else ids are random, and no two reports the same
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
}


def show_figure(figure: Figure) -> Shown:
    """Show a figure inside the page itself, with its label as words for who cannot see it."""
    from matplotlib import rc_context

    words, target = visible(str(figure.get_label())), io.BytesIO()
    with rc_context(STYLE), warnings.catch_warnings():
        # matplotlib's font may lack a letter; the SVG holds text, and the reader's fonts have it.
        warnings.filterwarnings("ignore", message=r"(Glyph .* missing|Matplotlib currently does not)")
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    source = base64.b64encode(target.getvalue()).decode("ascii")
    html = Markup('<figure class="wb-figure"><img alt="{}" src="data:image/svg+xml;base64,{}"></figure>')
    return Shown(html.format(words, source), words)


class Part(NamedTuple):
    """A part of every bar: its name, and how it is drawn."""

    name: str
    colour: str
    hatch: str = ""


class Bar(NamedTuple):
    """A bar: a count for each part, the words at its end (else the counts), where it starts, and a mark to compare it with."""

    label: str
    counts: Sequence[float]
    words: str = ""
    start: float = 0.0
    mark: float | None = None


class Span(NamedTuple):
    """A row of a time line, with a marker where it starts and where it ends (NaN where that is unknown)."""

    label: str
    start: float
    end: float
    words: str
    colour: str
    line: str = "-"
    markers: tuple[str, str] = ("o", "")
    hollow: bool = False


class Cell(NamedTuple):
    """A cell of a heat map: how many, as what (``right``, ``wrong`` or ``open``)."""

    number: int
    kind: str


def bars(rows: Sequence[Bar], parts: Sequence[Part], title: str, unit: str, *, room: float = 0.5) -> Figure:
    """Draw horizontal bars of one or several parts, the first on top; of more than `MOST` the rest are summed.

    Parameters
    ----------
    unit : str
        What is counted.
    room : float
        Space for words beside the longest bar, as a share of it.
    """
    if len(rows) > MOST:
        rest = [row.counts for row in rows[MOST - 1 :]]
        rows = [
            *rows[: MOST - 1],
            Bar(f"{len(rest)} others", [sum(each) for each in zip(*rest, strict=True)]),
        ]
    figure, axes = canvas(len(rows), title)
    ends = [row.start for row in rows]
    for place, part in enumerate(parts):
        counts = [row.counts[place] for row in rows]
        axes.barh(range(len(rows)), counts, 0.65, left=ends, color=part.colour, hatch=part.hatch, edgecolor="white", linewidth=0.4)  # fmt: skip
        ends = [end + count for end, count in zip(ends, counts, strict=True)]
    told = [row.words or _counted(row, parts) for row in rows]
    edges = [0.0]
    for place, (row, end, words) in enumerate(zip(rows, ends, told, strict=True)):
        if row.mark is not None:
            axes.plot([row.mark] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2)
        edges += [row.start, end, row.mark or 0.0]
        _say(axes, words, (max(row.start, end, row.start if row.mark is None else row.mark), place))
    _label_rows(axes, [row.label for row in rows], unit)
    _whole_numbers(axes.xaxis)
    least, most = min(edges), max(edges)
    span = (most - least) or 1
    axes.set_xlim(least - 0.1 * span * (least < 0), most + room * span)
    if least < 0:
        axes.axvline(0, color=_INK, linewidth=0.8)
    return described(figure, f"{title}: " + "; ".join(f"{row.label} {words}" for row, words in zip(rows, told, strict=True)), rows)  # fmt: skip


def time_line(rows: Sequence[Span], title: str, legend: str) -> Figure:
    """Draw spans of time, one row each, with words beside; only the last `MOST`. `legend` says what the marks mean."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    rows = rows[-MOST:]
    figure, axes = canvas(len(rows), title)
    known = [[at for at in (row.start, row.end) if not np.isnan(at)] for row in rows]
    every = [at for ends in known for at in ends]
    middle = (min(every) + max(every)) / 2 if every else 0.0
    for place, (row, ends) in enumerate(zip(rows, known, strict=True)):
        if not ends:
            transform = axes.get_yaxis_transform()
            axes.text(
                0.01, place, f"start unknown, {row.words}", transform=transform, va="center", color=GREY
            )
            continue
        axes.plot(ends, [place] * len(ends), color=row.colour, linestyle=row.line, linewidth=2.5)
        for at, marker, hollow in zip((row.start, row.end), row.markers, (row.hollow, False), strict=True):
            if marker and not np.isnan(at):
                face = "white" if hollow else row.colour
                axes.scatter(
                    [at], [place], 64, marker=marker, facecolors=face, edgecolors=row.colour, zorder=3
                )
        late = min(ends) > middle
        _say(axes, row.words, (min(ends) if late else max(ends), place), left=late)
    _label_rows(axes, [row.label for row in rows], "")
    axes.set_xlabel(f"UTC ({legend})", color=_INK, loc="left")
    if every:
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.margins(x=0.08)
    else:
        axes.set_xticks([])
    return described(figure, f"{title}: " + "; ".join(f"{row.label} {row.words}" for row in rows[-12:]), rows)


def histogram(
    values: np.ndarray[Any, Any], title: str, unit: str, counted: str, thresholds: Mapping[float, str], colours: tuple[str, str]
) -> Figure:  # fmt: skip
    """Draw how many shares between 0 and 1 lie where, with thresholds; from the first one on in the second colour."""
    edges = np.arange(21) / 20
    counts, _ = np.histogram(values, edges)
    figure, axes = canvas(8 if len(values) else 0, title)
    if len(values):
        first = min(thresholds) - 1e-9
        drawn = axes.bar(
            edges[:-1],
            counts,
            0.045,
            align="edge",
            color=[colours[int(edge >= first)] for edge in edges[:-1]],
        )
        axes.bar_label(drawn, [f"{count:,}" if count else "" for count in counts], padding=2)
        for number, (place, words) in enumerate(sorted(thresholds.items())):
            axes.axvline(place, color="black", linewidth=1.1, linestyle="--")
            _say(axes, words, (place, counts.max() * (1.4 - 0.12 * number)), left=True)
    _finish(axes, unit)
    axes.set_xlim(0, 1.01)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
    axes.set_ylabel(counted, color=_INK)
    _whole_numbers(axes.yaxis)
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
        shade = tuple(1 - strength * (1 - part) for part in to_rgb(colour))
        square = Rectangle(
            (x - 0.47, y - 0.45), 0.94, 0.9, facecolor=shade, linewidth=1.4 * (kind == "right")
        )
        square.set(
            hatch="////" if kind == "wrong" else "", edgecolor="black" if kind == "right" else "#00000044"
        )
        axes.add_patch(square)
        # A plate under the text: a hatch through a number cannot be read.
        plate = {"boxstyle": "round,pad=0.2", "facecolor": shade, "edgecolor": "none"}
        ink = "white" if float(np.dot(shade, (0.3, 0.6, 0.1))) < 0.5 else "black"
        weight = "bold" if kind == "wrong" else "normal"
        axes.text(
            x, y, f"{mark} {count:,}", ha="center", va="center", fontweight=weight, color=ink, bbox=plate
        )
    for name in sorted({*rows} & {*columns}):
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
        axes.set_xlabel(f"{sides[0]}\n(members; ✓ right, ✗ wrong, ? cannot be judged)", color=_INK)
        axes.set_ylabel(sides[1], color=_INK)
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


def _counted(row: Bar, parts: Sequence[Part]) -> str:
    return (
        ", ".join(f"{n:,.0f} {part.name}".strip() for part, n in zip(parts, row.counts, strict=True) if n)
        or "0"
    )


def _say(axes: Axes, words: str, at: tuple[float, float], left: bool = False) -> None:
    """Write beside a point."""
    axes.annotate(
        words.replace("$", r"\$"), at, xytext=(-7 if left else 7, 0), textcoords="offset points", va="center",
        ha="right" if left else "left",
    )  # fmt: skip


def _label_rows(axes: Axes, labels: Sequence[str], unit: str) -> None:
    """Label the rows, the first on top; of rows of one label in succession only the first."""
    new = [text if place == 0 or labels[place - 1] != text else "" for place, text in enumerate(labels)]
    axes.set_yticks(range(len(labels)), labels=[label(text) for text in new])
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)
    _finish(axes, unit)


def _finish(axes: Axes, unit: str) -> None:
    """Finish the axes: the unit below, thin lines."""
    axes.set_xlabel(unit, color=_INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
