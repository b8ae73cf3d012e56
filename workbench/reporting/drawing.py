"""What every chart is drawn with: the canvas, axes for people, a figure as something a notebook shows.

Colours are Okabe and Ito's, which colour-blind people tell apart; nothing is told by colour alone.
Each figure carries a sentence of alternative text as its label.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

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


def prepare_charts() -> None:
    """Import matplotlib in the background, while the database thinks about something else; no matplotlibrc holds."""

    def prepare() -> None:
        import_module("matplotlib").rcdefaults()
        import_module("matplotlib.backends.backend_svg")

    Thread(target=prepare, daemon=True).start()


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


def canvas(rows: int, title: str) -> tuple[Figure, Axes]:
    """Return an empty figure with room for so many rows, and its axes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.1 + BAR * max(rows, 1)), layout="constrained")
        axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11, pad=8)
    if not rows:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", va="center", color=GREY)
    return figure, axes


def label_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a chart, the first on top."""
    axes.set_yticks(range(len(labels)), labels=[label(each) for each in labels])
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)  # the first on top


def finish(axes: Axes, unit: str, room: float = 0.18) -> None:
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


def finish_moments(axes: Axes, legend: str, known: bool) -> None:
    """Finish the axes of a chart over time: dates below, none where no moment is `known`; what the marks mean."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    finish(axes, "")
    axes.set_xlabel(f"start, UTC ({legend})", color="#444444", loc="left")
    if known:
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.margins(x=0.08)
    else:
        axes.set_xticks([])


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
