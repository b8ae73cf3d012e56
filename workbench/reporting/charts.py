"""Charts: a frame in, a matplotlib figure out. Kinds of chart first, then the charts of each subject.

The colours are Okabe and Ito's, which colour-blind people can tell apart, and every colour comes with a word, mark or
hatch. Each figure carries alternative text as its label.
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

from workbench.murmurant.importers import ACTIONS
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.plan import OPERATIONS
from workbench.reporting.masking import mask
from workbench.reporting.tables import Shown, shorten, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREEN, ORANGE, RED, SKY, GREY = "#0072B2", "#009E73", "#E69F00", "#D55E00", "#56B4E9", "#767676"
INK = "#444444"
MOST = 40
"""Rows in one figure; the rest are summed in the last one."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, and in the reader's font
    "svg.hashsalt": "murmurant-workbench",  # otherwise ids are random, and no two reports the same
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
}
_BAR: dict[str, Any] = {"height": 0.65, "edgecolor": "white", "linewidth": 0.4}
_CELL_KINDS = {"right": (BLUE, "", "✓"), "wrong": (ORANGE, "////", "✗"), "open": (GREY, "", "?")}

_ADDED, _CHANGED, _REMOVED = (GREEN, ""), (BLUE, "//"), (RED, "..")
_STATUSES = {"completed": GREEN, "incomplete": ORANGE, "interrupted": ORANGE, "failed": RED}
_DIFFERENCES = {"added": _ADDED, "changed": _CHANGED, "removed": _REMOVED}
_OPERATIONS = {"deleted": _REMOVED, "updated": _CHANGED, "inserted": _ADDED}
_COLOURS = (GREEN, ORANGE, SKY, GREY, RED, RED, GREY)
_ACTIONS = {action: (colour, "") for action, colour in zip(ACTIONS, _COLOURS, strict=True)}
_WAYS = {"corrected": (BLUE, ""), "lost": (RED, "//"), "at risk": (ORANGE, "..")}
_TIERS = {"in it": (BLUE, ""), "none": (RED, "//")}
_COUNTS = {"here": (BLUE, ""), "missing": (GREY, "//"), "too many": (RED, "..")}
_WATERFALL = {"for it": _ADDED, "against it": _REMOVED, "sum": (BLUE, "")}
_MOST_TIERS = 12

NOT_KNOWN, NONE = "not known", "none"
"""The row for members whose tier cannot be derived, and the column for members without one."""


def show_figure(figure: Figure) -> Shown:
    """Show a figure as an SVG inside the page, with its label as alternative text."""
    from matplotlib import rc_context

    text, target = visible(str(figure.get_label())), io.BytesIO()
    with rc_context(_STYLE), warnings.catch_warnings():
        # The SVG contains text, so a letter that is missing in matplotlib's font does not matter.
        warnings.filterwarnings("ignore", message=r"(Glyph .* missing|Matplotlib currently does not)")
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    source = base64.b64encode(target.getvalue()).decode("ascii")
    html = Markup('<figure class="wb-figure"><img alt="{}" src="data:image/svg+xml;base64,{}"></figure>')
    return Shown(html.format(text, source), text)


# --- Kinds of chart ---


def bars(
    counts: pd.DataFrame,
    parts: Mapping[str, tuple[str, str]],
    title: str,
    unit: str,
    *,
    words: Sequence[str] = (),
    starts: Sequence[float] = (),
) -> Figure:
    """Draw a horizontal stacked bar for each row; rows after the first `MOST` are summed.

    Parameters
    ----------
    counts : pandas.DataFrame
        A row for each bar, labelled by the index; a column for each part.
    parts : mapping of str to (str, str)
        Colour and hatch of each part, in order.
    words : sequence of str
        The text at the end of each bar; by default its counts.
    starts : sequence of float
        Where each bar begins; by default at 0.
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
    axes.set_xlim(least - 0.1 * span * (least < 0), most + 0.6 * span)  # room for the text
    return describe(figure, title, zip(counts.index, lines, strict=True))


def time_line(rows: pd.DataFrame, title: str, legend: str) -> Figure:
    """Draw the last `MOST` rows as spans of time.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``label``, ``start``, ``end`` (times, if known), ``words``, ``colour``, ``hollow`` (a ring instead of a dot).
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
            text, transform = f"start unknown, {row.words}", axes.get_yaxis_transform()
            axes.text(0.01, place, text, transform=transform, va="center")
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
    """Draw the distribution of shares from 0 to 1, with thresholds; from the first one on in the second colour."""
    edges = np.arange(21) / 20
    counts, _ = np.histogram(shares.astype(float), edges)
    figure, axes = canvas(8 if len(shares) else 0, title, unit)
    if len(shares):
        beyond = edges[:-1] >= min(thresholds) - 1e-9
        colour = np.where(beyond, *reversed(colours))
        columns = axes.bar(edges[:-1], counts, 0.045, align="edge", color=colour)
        axes.bar_label(columns, [f"{count:,}" if count else "" for count in counts], padding=2)
        for number, (place, words) in enumerate(sorted(thresholds.items())):
            axes.axvline(place, color="black", linewidth=1.1, linestyle="--")
            _write(axes, words, (place, counts.max() * (1.4 - 0.12 * number)), left=True)
    axes.set_xlim(0, 1.01)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel(counted, color=INK)
    _count(axes.yaxis)
    axes.set_ylim(0, max(counts.max(), 1) * 1.45)  # room for the text above the bars
    return figure


def heat_map(
    cells: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], title: str, sides: tuple[str, str]
) -> Figure:
    """Draw counts by row and column.

    Parameters
    ----------
    cells : pandas.DataFrame
        ``row``, ``column``, ``number``, ``kind`` (``right``, ``wrong`` or ``open``).
    sides : tuple of str
        What the columns are, and what the rows are.
    """
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    width = 2.6 + 0.9 * min(max(len(columns), 3), 6)
    slanted: dict[str, Any] = {"rotation": 35, "ha": "right"} if sum(map(len, columns)) > 60 else {}
    figure, axes = canvas(len(rows), title, sides[0], width, 2.3 if slanted else 1.5, 0.46)
    for row, column, number, kind in cells[["row", "column", "number", "kind"]].itertuples(index=False):
        x, y, (colour, hatch, mark) = columns.index(column), rows.index(row), _CELL_KINDS[kind]
        look: dict[str, Any] = {
            "facecolor": to_rgba(colour, 0.2),
            "edgecolor": "black" if kind == "right" else colour,
        }
        axes.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, hatch=hatch, **look))
        plate = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"}  # over the hatch
        weight = "bold" if kind == "wrong" else "normal"
        axes.text(x, y, f"{mark} {number:,}", ha="center", va="center", fontweight=weight, bbox=plate)
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
    """Return an empty figure with room for so many rows (sizes in inches), and its axes."""
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
    """Return a text for a figure: short, control characters visible, no mathematics."""
    return shorten(visible(str(text)), 34).replace("$", r"\$")


def describe(figure: Figure, title: str, rows: Iterable[Any]) -> Figure:
    """Set a figure's alternative text: its title and its rows."""
    words = "; ".join(" ".join(map(str, row)) if isinstance(row, tuple) else str(row) for row in rows)
    figure.set_label(f"{shorten(f'{title}: {words}', 600)}." if words else "Nothing to show.")
    return figure


def _write(axes: Axes, words: str, at: tuple[Any, float], left: bool = False) -> None:
    """Write text next to a point."""
    side: dict[str, Any] = {"xytext": (-7 if left else 7, 0), "ha": "right" if left else "left"}
    axes.annotate(words.replace("$", r"\$"), at, textcoords="offset points", va="center", **side)


def _label_rows(axes: Axes, labels: Iterable[Any]) -> None:
    names = list(labels)
    axes.set_yticks(range(len(names)), labels=[label(name) for name in names])
    axes.set_ylim(max(len(names), 1) - 0.4, -0.6)


def _count(axis: Any) -> None:
    """Use whole numbers on an axis."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axis.set_major_formatter("{x:,.0f}")


# --- Charts of the subjects ---


def tier_chart(frame: pd.DataFrame) -> Figure:
    """Draw the number of members in each tier (``kind``, ``code``, ``members``)."""
    kind, members, none = next(iter(frame["kind"]), "tier"), frame["members"], frame["code"].isna()
    words = [f"{count:,} ({count / max(members.sum(), 1):.0%})" for count in members]
    counts = pd.DataFrame({"in it": members.where(~none, 0), "none": members.where(none, 0)})
    counts = counts.set_axis(frame["code"].fillna(NONE))
    return bars(counts, _TIERS, f"Members by membership {kind}", "members", words=words)


def tier_matrix_chart(frame: pd.DataFrame, kind: str = "tier") -> Figure:
    """Draw how many members should be in which tier (or status), and in which they are.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``expected``, ``actual``, ``members``, ``finding``: see `workbench.tiers.review.TierReview`.
    """
    from workbench.tiers.review import CORRECTABLE, RIGHT

    # In the order of their weight: in one cell the worst kind shows.
    judged = frame["finding"].map({RIGHT: "right", **dict.fromkeys(CORRECTABLE, "wrong")}).fillna("open")
    cells = pd.DataFrame(
        {
            "row": frame["expected"].astype(object).fillna(NOT_KNOWN),
            "column": frame["actual"].astype(object).fillna(NONE),
            "kind": pd.Categorical(judged, ["wrong", "open", "right"], ordered=True),
            "number": frame["members"],
        }
    )
    cells = cells.groupby(["row", "column"], as_index=False).agg({"number": "sum", "kind": "min"})
    cells = cells.sort_values(["kind", "number"], ascending=[True, False])
    wrong = cells.loc[cells["kind"] == "wrong", "number"].sum()
    # The worst ones where there are many; in one order on both sides, so that right ones are on the diagonal.
    rows, columns = _worst_tiers(cells["row"], NOT_KNOWN), _worst_tiers(cells["column"], NONE)
    drawn = cells[cells["row"].isin(rows) & cells["column"].isin(columns)]
    left_out = cells["number"].sum() - drawn["number"].sum()
    below = f"{kind} of the members\n(✓ right, ✗ wrong, ? cannot be judged)"
    below += f"\n{left_out:,} members are not drawn" if left_out else ""
    figure = heat_map(drawn, rows, columns, f"Expected and actual {kind}", (below, f"{kind} of their level"))
    lines = [
        f"expected {cell.row}, have {cell.column}: {cell.number:,} {cell.kind}"
        for cell in cells[:12].itertuples()
    ]
    return describe(figure, f"{wrong:,} members are not in the {kind} of their level", lines)


def _worst_tiers(codes: pd.Series[Any], last: str) -> list[str]:
    known = list(dict.fromkeys(code for code in codes if code != last))[:_MOST_TIERS]
    return [*sorted(known), *[last] * bool((codes == last).any())]


def counts_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows there are, and how many are missing or too many (``table``, ``found``, ``expected``)."""
    off = (frame["found"] - frame["expected"]).fillna(0).astype(int)
    words = [
        f"{count:,}{'' if pd.isna(should) else f', {should:,.0f} expected'}{f' ({by:+,})' if by else ''}"
        for count, should, by in zip(frame["found"], frame["expected"], off, strict=True)
    ]
    missing, surplus = -off.clip(upper=0), off.clip(lower=0)
    counts = pd.DataFrame({"here": frame["found"] - surplus, "missing": missing, "too many": surplus})
    unit = "rows (hatched: missing, dotted: too many)"
    return bars(counts.set_axis(frame["table"]), _COUNTS, "Rows per table", unit, words=words)


def runs_chart(frame: pd.DataFrame, highlight: str = "") -> Figure:
    """Draw the import runs from start to finish, and how each ended.

    Parameters
    ----------
    frame : pandas.DataFrame
        See `workbench.runs.discovery.runs_frame`.
    highlight : str
        The id of a run to highlight.
    """
    words = []
    for status, mode, seconds in zip(frame["status"], frame["mode"], frame["duration"], strict=True):
        parts = [status, *["dry run"] * (mode == "dry")]
        if pd.notna(seconds):
            parts.append(f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min")
        words.append(", ".join(parts))
    rows = frame.assign(
        label=["▶ " * (run == highlight) + run for run in frame["run"]],
        start=frame["started"],
        end=frame["finished"].where(frame["started"].notna()),
        words=words,
        colour=frame["status"].map(_STATUSES).fillna(GREY),
        hollow=frame["mode"] == "dry",
    )
    return time_line(rows, "Import runs, and how they ended", "a ring is a dry run")


def actions_chart(tally: pd.DataFrame) -> Figure:
    """Draw what a run did (``entity``, ``action``, ``records``)."""
    counts = tally.pivot_table("records", "entity", "action", "sum", fill_value=0)
    counts = counts.reindex([entity for entity in ENTITIES if entity in counts.index])
    return bars(counts.reindex(columns=[*_ACTIONS], fill_value=0), _ACTIONS, "What the run did", "records")


def changes_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows of each table a plan changes (``table``, ``operation``, ``rows``)."""
    counts = frame.pivot_table("rows", "table", "operation", "sum", fill_value=0, sort=False)
    counts = counts.reindex(columns=[*OPERATIONS], fill_value=0).set_axis([*_OPERATIONS], axis=1)
    return bars(counts, _OPERATIONS, "Rows that would change", "rows")


def differences_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows of each table were ``added``, ``changed`` and ``removed`` since a snapshot."""
    return _differences(frame.set_index("table"), "Rows that differ from the snapshot")


def authors_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows each run or person changed since a snapshot (``change``, ``who``, ``rows``)."""
    counts = frame.pivot_table("rows", "who", "change", "sum", fill_value=0)
    return _differences(counts, "Who changed them")


def _differences(counts: pd.DataFrame, title: str) -> Figure:
    counts = counts.reindex(columns=[*_DIFFERENCES], fill_value=0).sort_index()
    total = counts.sum(axis=1).sort_values(ascending=False, kind="stable")
    return bars(counts.loc[total[total > 0].index], _DIFFERENCES, title, "rows")


def ways_chart(frame: pd.DataFrame) -> Figure:
    """Draw what each way out corrects, loses and leaves at risk (the table ``ways`` of a triage)."""
    costs = frame[["rows_reverted", "work_lost", "references_at_risk"]].set_axis([*_WAYS], axis=1)
    words = []
    for (_, cost), possible, minutes in zip(
        costs.iterrows(), frame["possible"], frame["minutes"], strict=True
    ):
        parts = [f"{'?' if pd.isna(count) else f'{count:,.0f}'} {name}" for name, count in cost.items()]
        parts += [] if pd.isna(minutes) else [f"{int(minutes)} min"]
        words.append(", ".join(parts) if possible else "not possible")
    names = ["→ " * bool(best) + way for way, best in zip(frame["way"], frame["recommended"], strict=True)]
    counts = costs.where(frame["possible"], 0).astype(float).fillna(0).set_axis(names)
    return bars(counts, _WAYS, "The ways out", "rows (→ recommended, ? unknown)", words=words)


def match_histogram_chart(chances: pd.DataFrame, threshold: float) -> Figure:
    """Draw the distribution of match probabilities (``probability``)."""
    from workbench.duplicates.matching import OFFER_THRESHOLD

    chance = chances["probability"].astype(float)
    thresholds = {
        threshold: f"listed from {threshold:.0%}",
        OFFER_THRESHOLD: f"certain from {OFFER_THRESHOLD:.0%}",
    }
    title, unit = "Probability that two members are one person", "probability; pairs below 5% are not drawn"
    figure = histogram(chance, title, unit, "pairs", thresholds, (GREY, BLUE))
    words = f"{len(chance):,} pairs of members, {(chance >= threshold).sum():,} of them probably one person"
    return describe(figure, title, [words] if len(chance) else [])


def match_waterfall_chart(pair: pd.Series[Any] | None) -> Figure:
    """Draw the evidence that each comparison of a pair adds or takes away, in bits.

    Parameters
    ----------
    pair : pandas.Series or None
        A row of `match_members`, with its ``weight_`` columns in bits; None draws nothing.
    """
    from workbench.duplicates.matching import evidence

    unit = "bits of evidence (each doubles the odds; at 0 they are even)"
    if pair is None:
        return bars(pd.DataFrame(columns=[*_WATERFALL]), _WATERFALL, "Why two members match", unit)
    bits = pd.Series(evidence(pair))
    bits = bits[bits.abs() >= 0.005]
    counts = pd.DataFrame({"for it": bits.clip(lower=0), "against it": bits.clip(upper=0), "sum": 0.0})
    counts.loc["all together"] = (0, 0, bits.sum())
    words = [*bits.map("{:+.1f}".format), f"{bits.sum():+.1f} bits: {float(pair['probability']):.1%}"]
    title = f"Why {str(pair['left'])[:8]}… and {str(pair['right'])[:8]}… match"
    return bars(counts, _WATERFALL, title, unit, words=words, starts=[*(bits.cumsum() - bits), 0])


def mapping_cycles_chart(problems: pd.DataFrame, unmask: bool = False) -> Figure:
    """Draw the wrong mappings: contacts on the left, records on the right, one group for each swap or cycle.

    Parameters
    ----------
    problems : pandas.DataFrame
        See `workbench.mappings.problems.MappingFindings`; the first `MOST` are drawn.
    unmask : bool
        Whether to show people's names.
    """
    wrong = problems[problems["problem"].isin(["wrong-person", "wrong-event", "wrong-registration"])]
    shown = mask(wrong.head(MOST), unmask).astype({"target": str, "wa_id": str})
    lines, headings, links = list[tuple[str, str]](), dict[int, str](), list[tuple[int, int, bool]]()
    groups = shown["cycle"].where(shown["cycle"] != "", shown.index.astype(str))
    for _, group in shown.groupby(groups, sort=False):
        rows: list[dict[Any, Any]] = group.to_dict("records")
        first, top = rows[0], len(lines) + 1
        swap = "a swap" if first["cycle_size"] == 2 else f"a cycle of {first['cycle_size']}"
        kind = swap if first["cycle"] else "leads to a wrong record"
        headings[len(lines)] = f"{first['entity']} {', '.join(group['wa_id'])}: {kind}"
        names = {row["target"]: row["person"] or row["title"].rpartition(" / ")[2] for row in rows}
        # Each contact beside its own record; below them the records whose own contact is mapped correctly.
        order = list(dict.fromkeys([*(str(row["should_be"] or row["target"]) for row in rows), *names]))
        contacts = [f"{row['wa_id']}  {row['contact'] or row['title'].partition(' / ')[0]}" for row in rows]
        contacts += [""] * (len(order) - len(contacts))
        lines.append(("", ""))
        lines += [
            (left, f"{key[:8]}…  {names.get(key, '')}") for left, key in zip(contacts, order, strict=True)
        ]
        for place, row in enumerate(rows, top):
            links.append((place, top + order.index(row["target"]), False))
            if row["should_be"]:
                links.append((place, top + order.index(str(row["should_be"])), True))
    rest = len(wrong) - len(shown)
    title, below = "Where ids lead, and where they should", f"{rest:,} more are not drawn" if rest else ""
    figure, axes = canvas(len(lines), title, below)
    _draw_links(axes, lines, headings, links)
    return describe(figure, "Wrong mappings", headings.values())


def _draw_links(
    axes: Axes, lines: list[tuple[str, str]], headings: dict[int, str], links: list[tuple[int, int, bool]]
) -> None:
    for place, heading in headings.items():
        axes.text(-0.62, place, heading.replace("$", r"\$"), va="center", fontweight="bold", fontsize=8.5)
    for place, (left, right) in enumerate(lines):
        axes.text(-0.05, place, label(left.strip()), ha="right", va="center")
        axes.text(1.05, place, label(right.strip()), ha="left", va="center")
        axes.plot(0, place, "o" if left else "", color=BLUE, markersize=5)
        axes.plot(1, place, "s" if right else "", color=GREY, markersize=5)
    arrow = {"arrowstyle": "-|>", "color": RED, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    for start, end, correct in links:
        if correct:
            axes.plot([0, 1], [start, end], color=GREEN, linestyle="--", linewidth=1.3)
        else:
            axes.annotate("", (0.988, end), (0.012, start), arrowprops=arrow)
    axes.set_xlim(-0.64, 1.64)
    axes.set_ylim(max(len(lines), 1) - 0.4, -1.5)
    if lines:
        axes.text(0, -1.1, "Wild Apricot ids", ha="center")
        axes.text(1, -1.1, "records here", ha="center")
        axes.plot([], [], color=RED, label="leads to (wrong)")
        axes.plot([], [], color=GREEN, linestyle="--", label="should lead to")
        axes.legend(loc="upper right", frameon=False, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
