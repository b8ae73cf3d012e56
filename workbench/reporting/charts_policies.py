"""Charts of the organisation's rules and of operators' errors: frame in, figure out; see `charts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.reporting.drawing import (
    BLUE,
    GREEN,
    GREY,
    MOST,
    ORANGE,
    RED,
    STYLE,
    canvas,
    described,
    finish_moments,
    label,
    label_rows,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# State to colour, marker and whether it is filled: nothing is told by colour alone.
_STATES = {
    "fits": (BLUE, "o", False),
    "over the limit": (ORANGE, "s", True),
    "over-full": (RED, "^", True),
    "over-full and over the limit": ("black", "D", True),
}
_NAMED = 6
"""Events that are named in the figure, the worst."""

_REHEARSED = {"fresh": (GREEN, "-"), "stale": (ORANGE, ":"), "failed": (RED, "--"), "none": (RED, "-"), "unknown": (GREY, ":")}  # fmt: skip


def capacity_chart(frame: pd.DataFrame) -> Figure:
    """Draw the events' capacity against their confirmed registrations.

    On the line everybody who is confirmed has a seat and none is free; above it some have none.

    Parameters
    ----------
    frame : pandas.DataFrame
        See `workbench.investigate.policies.capacity.capacity_frame`.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    title = "Seats, and who is confirmed for them"
    if not len(frame):
        figure, axes = canvas(0, title)
        axes.set_axis_off()
        return described(figure, "", [])
    with rc_context(STYLE):
        figure = Figure(figsize=(7.6, 4.6), layout="constrained")
        axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11, pad=8)
    limit = None if pd.isna(frame["limit"].iloc[0]) else int(frame["limit"].iloc[0])
    # One event of a thousand seats must not press all the others into a corner: it stands at the edge, and says so.
    usual = max(map(int, frame.loc[~frame["state"].str.contains("limit"), "capacity"]), default=0)
    widest = min(
        int(frame["capacity"].max()) * 1.04 + 1,
        max(usual, limit or 0, int(frame["confirmed"].max())) * 1.3 + 1,
    )
    tallest = max(int(frame["confirmed"].max()), 1) * 1.12 + 2
    end, edge = min(widest, tallest), widest * 0.985
    axes.plot([0, end], [0, end], color="#444444", linewidth=1, zorder=1)
    axes.annotate("every seat taken", (end * 0.97, end * 0.97), xytext=(-4, 2), textcoords="offset points",
                  ha="right", va="bottom", color="#444444", fontsize=8)  # fmt: skip
    if limit is not None:
        axes.axvline(limit, color=ORANGE, linestyle="--", linewidth=1.2, zorder=1)
        axes.annotate(f"limit {limit:,}", (limit, tallest), xytext=(4, -4), textcoords="offset points",
                      va="top", color="#8A5D00", fontsize=8)  # fmt: skip
    told = []
    for state, (colour, marker, filled) in _STATES.items():
        rows = frame[frame["state"] == state]
        count = int(rows["events"].sum())
        if not count:
            continue
        told.append(f"{count:,} {state}")
        sizes = np.minimum(22 + 8 * np.sqrt(rows["events"].to_numpy(dtype=float)), 120)
        face = colour if filled else "none"
        axes.scatter(
            rows["capacity"].to_numpy(dtype=float).clip(max=edge), rows["confirmed"].to_numpy(dtype=float), s=sizes, marker=marker,
            facecolors=face, edgecolors=colour, linewidths=1.0, zorder=3, label=f"{state} ({count:,})",
        )  # fmt: skip
    worst = frame[frame["state"] != "fits"].assign(
        over=lambda rows: (rows["confirmed"] - rows["capacity"]).clip(lower=0)
    )
    worst = worst.sort_values(["over", "capacity", "confirmed"], ascending=[False, False, True]).head(_NAMED)
    named = []
    columns = (worst[name] for name in ("capacity", "confirmed", "events", "title"))
    for capacity, taken, events, event in zip(*columns, strict=True):
        more = f" and {int(events) - 1} more" if events > 1 else ""
        words = f"{label(str(event))}{more}" + (f", {int(capacity):,} seats →" if capacity > edge else "")
        right = capacity > widest * 0.6
        axes.annotate(words, (min(float(capacity), edge), float(taken)), xytext=(-7 if right else 7, 4), fontsize=8,
                      textcoords="offset points", ha="right" if right else "left", zorder=5,
                      bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5})  # fmt: skip
        named.append(f"{event}{more}: {int(taken):,} confirmed for {int(capacity):,} seats")
    axes.set_xlim(0, widest)
    axes.set_ylim(0, tallest)
    axes.set_xlabel("capacity, seats", color="#444444")
    axes.set_ylabel("confirmed registrations, people", color="#444444")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    figure.legend(loc="outside lower center", ncols=min(len(told), 4), frameon=False, fontsize=8)
    words = f"Events by capacity and confirmed registrations: {', '.join(told)}"
    return described(figure, words + (f". {'; '.join(named)}" if named else ""), told)


def rehearsals_chart(frame: pd.DataFrame) -> Figure:
    """Draw each live run in time with the dry run before it: a ring, joined to a dot.

    Parameters
    ----------
    frame : pandas.DataFrame
        See `workbench.investigate.dry_runs.rehearsals_frame`; only the last `MOST` are drawn.
    """
    from matplotlib.dates import date2num

    frame = frame.tail(MOST)
    figure, axes = canvas(len(frame), "Live runs, and the dry runs before them")
    started = date2num(pd.to_datetime(frame["started"]))
    dry = date2num(pd.to_datetime(frame["dry_started"]))
    told = []
    known = np.concatenate([started, dry])[~np.isnan(np.concatenate([started, dry]))]
    middle = (known.min() + known.max()) / 2 if len(known) else 0.0
    columns = (frame[name] for name in ("run", "hours_before", "rehearsed"))
    for at, (run, hours, judged) in enumerate(zip(*columns, strict=True)):
        colour, line = _REHEARSED.get(str(judged), (GREY, ":"))
        words = _in_words(str(judged), hours)
        told.append(f"{run}: {words}")
        if np.isnan(started[at]):
            axes.text(0.01, at, f"start unknown, {words}", transform=axes.get_yaxis_transform(), va="center", color=GREY)  # fmt: skip
            continue
        if not np.isnan(dry[at]):
            axes.plot([dry[at], started[at]], [at, at], color=colour, linestyle=line, linewidth=1.5, zorder=2)
            axes.scatter(
                [dry[at]], [at], s=90, facecolors="none", edgecolors=colour, linewidths=1.5, zorder=3
            )
        marker = "o" if judged == "fresh" else "X"
        axes.scatter(
            [started[at]], [at], s=34 if marker == "o" else 60, color=colour, marker=marker, zorder=4
        )
        late = started[at] > middle
        place = started[at] if not late or np.isnan(dry[at]) else min(dry[at], started[at])
        axes.annotate(words, (place, at), va="center", ha="right" if late else "left",
                      xytext=(-9 if late else 9, 0), textcoords="offset points")  # fmt: skip
    label_rows(axes, [str(run) for run in frame["run"]])
    finish_moments(axes, "ring: dry run; dot: live run; cross: a live run to look at", bool(len(known)))
    return described(figure, "Live runs and their dry runs: " + "; ".join(told[-12:]), told)


def _in_words(judged: str, hours: Any) -> str:
    if judged == "none":
        return "no dry run before it"
    ago = (
        "" if pd.isna(hours) else f"{hours:,.0f} h before" if hours >= 1 else f"{hours * 60:,.0f} min before"
    )
    return {
        "fresh": f"dry run {ago}",
        "stale": f"dry run {ago}: too long",
        "failed": f"dry run {ago}, which failed",
    }.get(judged, "nobody knows when its dry run was")
