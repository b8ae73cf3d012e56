"""The charts of the subjects: a frame in, a matplotlib figure out, by the kinds of `drawing`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.duplicates.matching import OFFER_THRESHOLD
from workbench.mappings.identity import SURE
from workbench.murmurant.importers import ACTIONS
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.plan import OPERATIONS
from workbench.reporting.drawing import (
    BLUE,
    GREEN,
    GREY,
    MOST,
    ORANGE,
    RED,
    SKY,
    Bar,
    Cell,
    Part,
    Span,
    bars,
    described,
    heat_map,
    histogram,
    time_line,
)
from workbench.tiers.review import CORRECTABLE, RIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STATUSES = {"completed": GREEN, "incomplete": ORANGE, "interrupted": ORANGE, "failed": RED}
_CHANGES = (Part("added", GREEN), Part("changed", BLUE, "//"), Part("removed", RED, ".."))
_OPERATIONS = (Part("deleted", RED, ".."), Part("updated", BLUE, "//"), Part("inserted", GREEN))
_DONE = [Part(action, colour) for action, colour in zip(ACTIONS, (GREEN, ORANGE, SKY, GREY, RED, RED, GREY), strict=True)]  # fmt: skip
_WAYS = {
    "rows_reverted": Part("rows put right", BLUE),
    "work_lost": Part("people's work lost", RED, "//"),
    "references_at_risk": Part("references at risk", ORANGE, ".."),
}
_REHEARSED = {"fresh": (GREEN, "-"), "stale": (ORANGE, ":"), "failed": (RED, "--"), "none": (RED, "-")}

NOBODY_SAYS, HAVE_NONE, REST = "not known", "none", "others"
"""Where no tier is expected, where a member has none, and what the smallest tiers are summed under."""

_MOST_TIERS = 12  # a side of the map; the smallest of more are summed

COMPARED = {
    "prior": "before anything is compared",
    "given": "first names",
    "family": "surnames",
    "order": "order of the names",
    "generation": "Jr, Sr, III",
    "email": "e-mail addresses",
    "phone": "phone numbers",
    "joined": "days of joining",
    "household": "could be one household",
}
"""What is compared of two members, as people say it."""


def tier_chart(frame: pd.DataFrame) -> Figure:
    """Draw the members in each tier (``kind``, ``code``, ``members``: see `tier_distribution`)."""
    kind, total = next(iter(frame["kind"]), "tier"), max(int(frame["members"].sum()), 1)
    rows = [
        Bar(
            "none" if none else str(code),
            (0, count) if none else (count, 0),
            f"{count:,} ({count / total:.0%})",
        )
        for code, count, none in zip(frame["code"], frame["members"], frame["code"].isna(), strict=True)
    ]
    return bars(rows, (Part("", BLUE), Part("", RED, "//")), f"Members by membership {kind}", "members")


def tier_matrix_chart(frame: pd.DataFrame, kind: str = "tier") -> Figure:
    """Draw how many members should be in which tier (or status), and in which they are, as a heat map.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``expected``, ``actual``, ``members``, ``finding``: see `workbench.tiers.review.TierReview`.
    """
    cells = _cells(frame)
    last = (REST, NOBODY_SAYS, HAVE_NONE)
    codes = sorted({code for at in cells for code in at} - set(last))
    # The tiers in one order on both sides, so that what is right lies on the diagonal.
    codes += [code for code in last if any(code in at for at in cells)]
    figure = heat_map(
        cells,
        [code for code in codes if code != HAVE_NONE],
        [code for code in codes if code != NOBODY_SAYS],
        f"The {kind} of their level, and the {kind} they have",
        (f"the {kind} members have", f"the {kind} their level gives"),
    )
    wrong = sum(cell.number for cell in cells.values() if cell.kind == "wrong")
    told = [
        f"expected {expected}, have {actual}: {count:,} {'not judged' if judged == 'open' else judged}"
        for (expected, actual), (count, judged) in sorted(
            cells.items(), key=lambda cell: (cell[1].kind != "wrong", -cell[1].number, cell[0])
        )
    ]
    words = f"{wrong:,} members are not in the {kind} of their level. " + "; ".join(told[:12])
    return described(figure, words, told)


def counts_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows were found, and mark how many there should be (``table``, ``found``, ``expected``)."""
    rows = []
    for name, count, expected in frame[["table", "found", "expected"]].itertuples(index=False):
        known = not pd.isna(expected)
        off = int(count - expected) if known else 0
        words = f"{count:,}{f', {expected:,} expected' if known else ''}{f' ({off:+,})' if off else ''}"
        rows.append(
            Bar(name, (0, count) if off else (count, 0), words, mark=float(expected) if known else None)
        )
    known = bool(frame["expected"].notna().any())
    unit = f"rows; {'the black mark is what was' if known else 'nobody said how many were'} expected"
    return bars(rows, (Part("", BLUE), Part("", RED)), "Rows per table", unit)


def runs_chart(frame: pd.DataFrame, highlight: str = "") -> Figure:
    """Draw the import runs in time, from start to finish, with how each one ended.

    Parameters
    ----------
    frame : pandas.DataFrame
        See `workbench.runs.discovery.runs_frame`.
    highlight : str
        The id of a run to stand out.
    """
    frame = frame.tail(MOST)
    starts, ends = _moments(frame["started"]), _moments(frame["finished"])
    rows = []
    columns = (frame[name] for name in ("run", "mode", "status", "duration"))
    for run, mode, status, seconds, start, end in zip(*columns, starts, ends, strict=True):
        words = f"{status}{', dry run' if mode == 'dry' else ''}{_lasting(seconds)}"
        name, colour = f"{'▶ ' if run == highlight else ''}{run}", _STATUSES.get(status, GREY)
        rows.append(Span(name, start, start if np.isnan(start) else end, words, colour, hollow=mode == "dry"))
    return time_line(rows, "Import runs, and how they ended", "an empty ring is a dry run")


def rehearsals_chart(frame: pd.DataFrame) -> Figure:
    """Draw each live run in time with the dry run before it, joined (see `rehearsals_frame`)."""
    frame = frame.tail(MOST)
    starts, dry_starts = _moments(frame["started"]), _moments(frame["dry_started"])
    rows = []
    columns = (frame[name] for name in ("run", "hours_before", "rehearsed"))
    for run, hours, judged, start, dry in zip(*columns, starts, dry_starts, strict=True):
        (colour, line), dry = _REHEARSED.get(judged, (GREY, ":")), start if np.isnan(start) else dry
        mark = "o" if judged == "fresh" else "X"
        rows.append(Span(run, dry, start, _rehearsed(judged, hours), colour, line, ("o", mark), hollow=True))
    legend = "ring: dry run; dot: live run; cross: a live run to look at"
    return time_line(rows, "Live runs, and the dry runs before them", legend)


def actions_chart(tally: pd.DataFrame) -> Figure:
    """Draw what a run did: records by entity and action (``entity``, ``action``, ``records``: see `RunRecords`)."""
    sums = tally.groupby(["entity", "action"])["records"].sum().to_dict()
    rows = [Bar(entity, [int(sums.get((entity, action), 0)) for action in ACTIONS]) for entity in ENTITIES]
    return bars([row for row in rows if any(row.counts)], _DONE, "What the run did", "records", room=1.0)


def changes_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows of each table a plan changes (``table``, ``operation``, ``rows``: see `plan_changes`)."""
    counts: dict[str, dict[str, int]] = {}
    for table, operation, count in frame.itertuples(index=False):
        counts.setdefault(table, {})[operation] = int(count)
    rows = [Bar(table, [of.get(name, 0) for name in OPERATIONS]) for table, of in counts.items()]
    return bars(rows, _OPERATIONS, "Rows that would change", "rows")


def differences_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows of each table were ``added``, ``changed`` and ``removed`` since a snapshot."""
    return _changed(frame, "table", "Rows that differ from the snapshot")


def authors_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows each run or person changed since a snapshot (``change``, ``who``, ``rows``)."""
    wide = frame.pivot_table(index="who", columns="change", values="rows", aggfunc="sum", fill_value=0)
    wide = wide.reindex(columns=[part.name for part in _CHANGES], fill_value=0)
    return _changed(wide.reset_index(), "who", "Whose doing it is, by the evidence")


def ways_chart(frame: pd.DataFrame) -> Figure:
    """Draw what each way out puts right, loses and leaves at risk (the table ``ways`` of a triage)."""
    rows = []
    for row in frame.to_dict("records"):
        timed = "" if pd.isna(row["minutes"]) or not row["possible"] else f", {int(row['minutes'])} min"
        name = f"{'→ ' if row['recommended'] else ''}{row['way']}{timed}"
        if not row["possible"]:
            rows.append(Bar(name, (0, 0, 0), "not possible here"))
            continue
        for place, (column, part) in enumerate(_WAYS.items()):
            count = 0 if pd.isna(row[column]) else int(row[column])
            words = f"{'not known' if pd.isna(row[column]) else f'{count:,}'} {part.name}"
            rows.append(Bar(name, [count * (place == at) for at in range(len(_WAYS))], words))
    return bars(rows, list(_WAYS.values()), "The ways out, side by side", "rows")


def mapping_scores_chart(problems: pd.DataFrame) -> Figure:
    """Draw how many mappings are wrong how surely; right of the line a correction may be planned."""
    scores = problems["score"].dropna().astype(float).to_numpy()
    unit = "probability that the record is the wrong one (1 is a fact, not a judgement)"
    figure = histogram(scores, "How surely they are wrong", unit, "problems", {SURE: f"sure from {SURE:.0%} on"}, (BLUE, RED))  # fmt: skip
    sure, unknown = int((scores >= SURE).sum()), len(problems) - len(scores)
    words = (
        f"{len(problems):,} problems: {sure:,} sure, {len(scores) - sure:,} doubtful, {unknown:,} not known"
    )
    return described(figure, words, list(scores) or [unknown] * bool(unknown))


def match_histogram_chart(chances: pd.DataFrame, threshold: float) -> Figure:
    """Draw how many pairs are how probably one person (``probability``); from the threshold on they are listed."""
    chance = chances["probability"].astype(float).to_numpy()
    lines = {
        threshold: f"listed from {threshold:.0%} on",
        OFFER_THRESHOLD: f"sure from {OFFER_THRESHOLD:.0%} on",
    }
    unit = "probability; pairs below 5% are not drawn"
    figure = histogram(chance, "How probably two members are one person", unit, "pairs", lines, (GREY, BLUE))
    words = f"{len(chance):,} pairs of members, {(chance >= threshold).sum():,} of them probably one person"
    return described(figure, words, list(chance))


def match_waterfall_chart(pair: pd.Series[Any] | None) -> Figure:
    """Draw what each comparison of one pair adds to or takes from the evidence, in bits, down to its sum.

    Parameters
    ----------
    pair : pandas.Series or None
        A row of `match_members`, with its ``weight_`` columns in bits; None draws nothing.
    """
    rows, total, title = list[Bar](), 0.0, "Why two members match"
    for name, words in COMPARED.items() if pair is not None else ():
        worth = float(pair.get(f"weight_{name}", 0))  # type: ignore[union-attr]
        if abs(worth) >= 0.005:
            rows.append(Bar(words, (max(worth, 0), min(worth, 0), 0), f"{worth:+.1f}", start=total))
            total += worth
    if pair is not None:
        rows.append(
            Bar("all together", (0, 0, total), f"{total:+.1f} bits: {float(pair['probability']):.1%}")
        )
        title = f"Why {str(pair['left'])[:8]}… and {str(pair['right'])[:8]}… match"
    unit = "bits of evidence (each doubles the odds; 0 is even chances)"
    return bars(rows, (Part("for it", GREEN), Part("against it", RED, ".."), Part("sum", BLUE)), title, unit)


def _changed(frame: pd.DataFrame, names: str, title: str) -> Figure:
    changes = [part.name for part in _CHANGES]
    frame = frame.assign(total=frame[changes].sum(axis=1))
    frame = frame[frame["total"] > 0].sort_values(["total", names], ascending=[False, True])
    rows = [Bar(str(row[names]), [int(row[name]) for name in changes]) for row in frame.to_dict("records")]
    return bars(rows, _CHANGES, title, "rows")


def _cells(frame: pd.DataFrame) -> dict[tuple[str, str], Cell]:
    """Sum the members by expected and actual tier; what is wrong, right or not judged is never mixed."""
    kinds = {RIGHT: "right", **dict.fromkeys(CORRECTABLE, "wrong")}
    table = pd.DataFrame(
        {
            "row": frame["expected"].map(str).where(frame["expected"].notna(), NOBODY_SAYS),
            "column": frame["actual"].map(str).where(frame["actual"].notna(), HAVE_NONE),
            "members": frame["members"].astype(int),
            "kind": frame["finding"].map(kinds).fillna("open"),
        }
    )
    sizes: Counter[str] = Counter()
    for row, column, members in table[["row", "column", "members"]].itertuples(index=False):
        sizes.update(dict.fromkeys({row, column} - {NOBODY_SAYS, HAVE_NONE}, members))
    if len(sizes) > _MOST_TIERS:
        largest = sorted(sizes, key=lambda code: (-sizes[code], code))[: _MOST_TIERS - 1]
        shown = {*largest, NOBODY_SAYS, HAVE_NONE}
        for side in ("row", "column"):
            table[side] = table[side].where(table[side].isin(shown), REST)
    cells: dict[tuple[str, str], Cell] = {}
    for row, column, members, kind in table.itertuples(index=False):
        before, other = cells.get((row, column), Cell(0, kind))
        cells[row, column] = Cell(before + members, "wrong" if "wrong" in (kind, other) else kind)
    return cells


def _moments(column: pd.Series[Any]) -> list[float]:
    """Return moments as matplotlib counts them, all at once; NaN where one is not known."""
    from matplotlib.dates import date2num

    return [float(each) for each in date2num(pd.to_datetime(column))]


def _lasting(seconds: Any) -> str:
    if pd.isna(seconds):
        return ""
    return f", {float(seconds):,.0f} s" if seconds < 120 else f", {float(seconds) / 60:,.0f} min"


def _rehearsed(judged: str, hours: Any) -> str:
    ago = (
        ""
        if pd.isna(hours)
        else f" {hours:,.0f} h before"
        if hours >= 1
        else f" {hours * 60:,.0f} min before"
    )
    return {
        "none": "no dry run before it",
        "fresh": f"dry run{ago}",
        "stale": f"dry run{ago}: too long",
        "failed": f"dry run{ago}, which failed",
    }.get(judged, "nobody knows when its dry run was")
