"""Charts: a frame in, a matplotlib figure out. No query, no pyplot, no state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.murmurant.importers import ACTIONS
from workbench.murmurant.spellings import ENTITIES
from workbench.reporting.drawing import (
    BLUE,
    GREEN,
    GREY,
    MOST,
    ORANGE,
    RED,
    SKY,
    canvas,
    described,
    finish,
    finish_moments,
    label_rows,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATUS_COLOURS = {
    "completed": GREEN, "incomplete": ORANGE, "interrupted": ORANGE, "failed": RED, "unknown": GREY,
}  # fmt: skip
CHANGE_COLOURS = {"delete": RED, "update": BLUE, "insert": GREEN}
_DONE = {"delete": "deleted", "update": "updated", "insert": "inserted"}


def tier_chart(frame: pd.DataFrame) -> Figure:
    """Draw the members in each tier.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``kind``, ``code``, ``members``: see `workbench.investigate.tiers.tier_distribution`.
    """
    kind = str(frame["kind"].iloc[0]) if len(frame) else "tier"
    rows = [
        ("none" if pd.isna(code) else str(code), int(n))
        for code, n in zip(frame["code"], frame["members"], strict=True)
    ]
    if len(rows) > MOST:
        rest = rows[MOST - 1 :]
        rows = [*rows[: MOST - 1], (f"{len(rest)} others", sum(n for _, n in rest))]
    figure, axes = canvas(len(rows), f"Members by membership {kind}")
    total = sum(n for _, n in rows)
    colours = [RED if code == "none" else BLUE for code, _ in rows]
    bars = axes.barh(range(len(rows)), [n for _, n in rows], color=colours, height=0.7)
    axes.bar_label(bars, [f"{n:,} ({n / total:.0%})" if total else "0" for _, n in rows], padding=4)
    label_rows(axes, [code for code, _ in rows])
    finish(axes, "members")
    return described(
        figure, f"Members by {kind}: " + "; ".join(f"{code} {n:,}" for code, n in rows[:12]), rows
    )


def counts_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows were found, and mark how many there should be (``table``, ``found``, ``expected``)."""
    figure, axes = canvas(len(frame), "Rows found, and expected")
    told = []
    for at, (name, found, expected) in enumerate(
        zip(frame["table"], frame["found"], frame["expected"], strict=True)
    ):
        known = not pd.isna(expected)
        off = int(found) - int(expected) if known else 0
        axes.barh(at, int(found), color=RED if off else BLUE, height=0.6)
        said = f"{int(found):,}" + (f", {int(expected):,} expected" if known else "")
        said += f" ({off:+,})" if off else ""
        if known:
            axes.plot([int(expected)] * 2, [at - 0.42, at + 0.42], color="black", linewidth=2)
        end = max(int(found), int(expected) if known else 0)
        axes.annotate(said, (end, at), xytext=(6, 0), textcoords="offset points", va="center")
        told.append(f"{name} {said}")
    label_rows(axes, [str(name) for name in frame["table"]])
    known = bool(frame["expected"].notna().any())
    finish(
        axes,
        f"rows; {'the black mark is what was' if known else 'nobody said how many were'} expected",
        room=0.45,
    )
    return described(figure, "Rows per table: " + "; ".join(told), told)


def runs_chart(frame: pd.DataFrame, highlight: str = "") -> Figure:
    """Draw the import runs in time, from start to finish, with how each one ended.

    Parameters
    ----------
    frame : pandas.DataFrame
        See `workbench.investigate.runs.runs_frame`; only the last `MOST` are drawn.
    highlight : str
        The id of a run to stand out.
    """
    from matplotlib.colors import to_rgba
    from matplotlib.dates import date2num

    frame = frame.tail(MOST)
    figure, axes = canvas(len(frame), "Import runs, and how they ended")
    started, finished = (pd.to_datetime(frame[name]) for name in ("started", "finished"))
    # All at once, and as plain numbers: matplotlib would convert the dates of every single line anew.
    starts = date2num(started)
    ends = date2num(finished.fillna(started))
    colours = [STATUS_COLOURS.get(str(status), GREY) for status in frame["status"]]
    dry = (frame["mode"] == "dry").to_numpy()
    places = np.arange(len(frame))
    if len(frame):
        axes.hlines(places, starts, ends, colors=colours, linewidth=6)
        filled = [to_rgba("none") if hollow else colour for hollow, colour in zip(dry, colours, strict=True)]
        axes.scatter(starts, places, s=64, facecolors=filled, edgecolors=colours, zorder=3)
    told = []
    middle = np.nanmin(starts) * 0.45 + np.nanmax(starts) * 0.55 if started.notna().any() else 0.0
    columns = (frame[name] for name in ("run", "mode", "status", "duration"))
    for at, (run, mode, status, duration) in enumerate(zip(*columns, strict=True)):
        words = f"{status}{', dry run' if mode == 'dry' else ''}{_lasting(duration)}"
        told.append(f"{run} {words}")
        if np.isnan(starts[at]):
            axes.text(
                0.01,
                at,
                f"start unknown, {words}",
                transform=axes.get_yaxis_transform(),
                va="center",
                color=GREY,
            )
            continue
        late = starts[at] > middle
        axes.annotate(
            words, (starts[at] if late else ends[at], at), va="center", ha="right" if late else "left",
            xytext=(-9 if late else 9, 0), textcoords="offset points",
        )  # fmt: skip
    label_rows(axes, [("▶ " if row == highlight else "") + str(row) for row in frame["run"]])
    finish_moments(axes, "an empty ring is a dry run", bool(started.notna().any()))
    return described(figure, "Import runs: " + "; ".join(told[-12:]), told)


def actions_chart(tally: pd.DataFrame) -> Figure:
    """Draw what a run did: records per entity, by action.

    Parameters
    ----------
    tally : pandas.DataFrame
        ``entity``, ``action``, ``records``: see `workbench.investigate.records.RunRecords`.
    """
    sums: dict[tuple[str, str], int] = {}
    for entity, action, records in zip(tally["entity"], tally["action"], tally["records"], strict=True):
        sums[str(entity), str(action)] = sums.get((str(entity), str(action)), 0) + int(records)
    rows = [
        (entity, action, sums[entity, action])
        for entity in ENTITIES
        for action in ACTIONS
        if sums.get((entity, action))
    ]
    colours = dict(zip(ACTIONS, (GREEN, ORANGE, SKY, GREY, RED, RED, GREY), strict=True))
    figure, axes = canvas(len(rows), "What the run did")
    bars = axes.barh(
        range(len(rows)), [n for *_, n in rows], color=[colours[action] for _, action, _ in rows], height=0.7
    )
    axes.bar_label(bars, [f"{n:,}" for *_, n in rows], padding=4)
    label_rows(axes, [f"{entity} {action}" for entity, action, _ in rows])
    finish(axes, "records")
    return described(figure, "What the run did: " + "; ".join(f"{n:,} {e} {a}" for e, a, n in rows), rows)


def changes_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows of each table a plan deletes, updates and inserts.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``table``, ``operation``, ``rows``: see `workbench.reporting.plans.plan_changes`. Past
        `MOST` bars the rest are summed in the last one.
    """
    rows = [
        (str(table), str(operation), int(n))
        for table, operation, n in zip(frame["table"], frame["operation"], frame["rows"], strict=True)
    ]
    if len(rows) > MOST:
        rest = rows[MOST - 1 :]
        rows = [*rows[: MOST - 1], (f"{len(rest)} others", "", sum(n for *_, n in rest))]
    figure, axes = canvas(len(rows), "Rows that would change")
    colours = [CHANGE_COLOURS.get(operation, GREY) for _, operation, _ in rows]
    bars = axes.barh(range(len(rows)), [n for *_, n in rows], color=colours, height=0.7)
    said = [f"{n:,} {_DONE.get(operation, 'changed')}" for _, operation, n in rows]
    axes.bar_label(bars, said, padding=4)
    # A table is named beside the first of its bars.
    named = [table if at == 0 or rows[at - 1][0] != table else "" for at, (table, *_) in enumerate(rows)]
    label_rows(axes, named)
    finish(axes, "rows", room=0.25)
    told = [f"{table} {words}" for (table, *_), words in zip(rows, said, strict=True)]
    return described(figure, "Rows that would change: " + "; ".join(told), rows)


def _lasting(seconds: Any) -> str:
    if seconds is None or pd.isna(seconds):
        return ""
    return f", {float(seconds):,.0f} s" if seconds < 120 else f", {float(seconds) / 60:,.0f} min"
