"""The charts of the subjects: a frame in, a matplotlib figure out, by the five kinds of `drawing`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.duplicates.matching import OFFER_THRESHOLD
from workbench.mappings.identity import SURE
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
    Bar,
    Cell,
    Moment,
    Part,
    Span,
    bars,
    described,
    heat_map,
    histogram,
    stacked_bars,
    time_line,
)
from workbench.tiers.review import CORRECTABLE, RIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STATUSES = {
    "completed": GREEN, "incomplete": ORANGE, "interrupted": ORANGE, "failed": RED, "unknown": GREY,
}  # fmt: skip
_OPERATIONS = {"delete": (RED, "deleted"), "update": (BLUE, "updated"), "insert": (GREEN, "inserted")}
_CHANGES = (Part("added", GREEN), Part("changed", BLUE, "//"), Part("removed", RED, ".."))
_WAYS = (
    ("rows_reverted", "rows put right", BLUE, ""),
    ("work_lost", "people's work lost", RED, "//"),
    ("references_at_risk", "references at risk", ORANGE, ".."),
)
_REHEARSED = {"fresh": (GREEN, "-"), "stale": (ORANGE, ":"), "failed": (RED, "--"), "none": (RED, "-"), "unknown": (GREY, ":")}  # fmt: skip

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
    kind = str(frame["kind"].iloc[0]) if len(frame) else "tier"
    total = int(frame["members"].sum())
    rows = [
        Bar(_code(code), int(n), f"{int(n):,} ({int(n) / total:.0%})" if total else "0", RED if pd.isna(code) else BLUE)
        for code, n in zip(frame["code"], frame["members"], strict=True)
    ]  # fmt: skip
    return bars(rows, f"Members by membership {kind}", "members")


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
    return described(
        figure, f"{wrong:,} members are not in the {kind} of their level. " + "; ".join(told[:12]), told
    )


def counts_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows were found, and mark how many there should be (``table``, ``found``, ``expected``)."""
    rows = []
    for name, count, expected in zip(frame["table"], frame["found"], frame["expected"], strict=True):
        known = not pd.isna(expected)
        off = int(count) - int(expected) if known else 0
        words = f"{int(count):,}" + (f", {int(expected):,} expected" if known else "")
        mark = float(expected) if known else None
        words += f" ({off:+,})" if off else ""
        rows.append(Bar(str(name), int(count), words, RED if off else BLUE, mark=mark))
    known = bool(frame["expected"].notna().any())
    unit = f"rows; {'the black mark is what was' if known else 'nobody said how many were'} expected"
    return bars(rows, "Rows per table", unit, room=0.45)


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
    for run, mode, status, duration, start, end in zip(*columns, starts, ends, strict=True):
        words = f"{status}{', dry run' if mode == 'dry' else ''}{_lasting(duration)}"
        moments = (Moment(end, ""), Moment(start, filled=mode != "dry"))
        marked = ("▶ " if run == highlight else "") + str(run)
        rows.append(Span(marked, moments, words, _STATUSES.get(str(status), GREY)))
    return time_line(rows, "Import runs, and how they ended", "an empty ring is a dry run")


def rehearsals_chart(frame: pd.DataFrame) -> Figure:
    """Draw each live run in time with the dry run before it, joined (see `rehearsals_frame`)."""
    frame = frame.tail(MOST)
    starts, dry_starts = _moments(frame["started"]), _moments(frame["dry_started"])
    rows = []
    columns = (frame[name] for name in ("run", "hours_before", "rehearsed"))
    for run, hours, judged, start, dry in zip(*columns, starts, dry_starts, strict=True):
        colour, line = _REHEARSED.get(str(judged), (GREY, ":"))
        live = Moment(start, "o" if judged == "fresh" else "X", 34 if judged == "fresh" else 60)
        moments = (Moment(dry, size=90, filled=False), live)
        rows.append(Span(str(run), moments, _rehearsed(str(judged), hours), colour, line))
    legend = "ring: dry run; dot: live run; cross: a live run to look at"
    return time_line(rows, "Live runs, and the dry runs before them", legend)


def actions_chart(tally: pd.DataFrame) -> Figure:
    """Draw what a run did: records by entity and action (``entity``, ``action``, ``records``: see `RunRecords`)."""
    sums = tally.groupby(["entity", "action"])["records"].sum().to_dict()
    colours = dict(zip(ACTIONS, (GREEN, ORANGE, SKY, GREY, RED, RED, GREY), strict=True))
    rows = [
        Bar(f"{entity} {action}", int(sums[entity, action]), f"{int(sums[entity, action]):,}", colours[action])
        for entity in ENTITIES
        for action in ACTIONS
        if sums.get((entity, action))
    ]  # fmt: skip
    return bars(rows, "What the run did", "records")


def changes_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows of each table a plan changes (``table``, ``operation``, ``rows``: see `plan_changes`)."""
    rows = []
    for table, operation, count in zip(frame["table"], frame["operation"], frame["rows"], strict=True):
        colour, done = _OPERATIONS.get(str(operation), (GREY, "changed"))
        rows.append(Bar(str(table), int(count), f"{int(count):,} {done}", colour))
    return bars(rows, "Rows that would change", "rows", room=0.25)


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
            rows.append(Bar(name, 0, "not possible here", GREY))
            continue
        for column, words, colour, hatch in _WAYS:
            unknown = pd.isna(row[column])
            count = 0 if unknown else int(row[column])
            rows.append(
                Bar(name, count, f"{'not known' if unknown else f'{count:,}'} {words}", colour, hatch=hatch)
            )
    return bars(rows, "The ways out, side by side", "rows", room=0.35)


def mapping_scores_chart(problems: pd.DataFrame) -> Figure:
    """Draw how many mappings are wrong how surely; right of the line a correction may be planned."""
    scores = problems["score"].dropna().astype(float).to_numpy()
    unit = "probability that the record is the wrong one (1 is a fact, not a judgement)"
    figure = histogram(scores, "How surely they are wrong", unit, "problems", {SURE: f"sure from {SURE:.0%} on"}, (BLUE, RED))  # fmt: skip
    unknown, sure = int(problems["score"].isna().sum()), int((scores >= SURE).sum())
    words = (
        f"{len(problems):,} problems: {sure:,} sure, {len(scores) - sure:,} doubtful, {unknown:,} not known"
    )
    return described(figure, words, list(scores) or ([unknown] if unknown else []))


def match_histogram_chart(chances: pd.DataFrame, threshold: float) -> Figure:
    """Draw how many pairs are how probably one person (``probability``); from the threshold on they are listed."""
    chance = chances["probability"].astype(float).to_numpy()
    lines = {threshold: f"listed from {threshold:.0%} on"}
    lines |= {OFFER_THRESHOLD: f"sure from {OFFER_THRESHOLD:.0%} on"}
    unit = "probability; pairs below 5% are not drawn"
    figure = histogram(chance, "How probably two members are one person", unit, "pairs", lines, (GREY, BLUE))
    listed = int((chance >= threshold).sum())
    return described(
        figure, f"{len(chance):,} pairs of members, {listed:,} of them probably one person", list(chance)
    )


def match_waterfall_chart(pair: pd.Series[Any] | None) -> Figure:
    """Draw what each comparison of one pair adds to or takes from the evidence, in bits, down to its sum.

    Parameters
    ----------
    pair : pandas.Series or None
        A row of `match_members`, with its ``weight_`` columns in bits; None draws nothing.
    """
    rows, total = list[Bar](), 0.0
    for name, words in COMPARED.items() if pair is not None else ():
        worth = float(pair.get(f"weight_{name}", 0))  # type: ignore[union-attr]
        if abs(worth) >= 0.005:
            rows.append(Bar(words, worth, f"{worth:+.1f}", GREEN if worth > 0 else RED, start=total))
            total += worth
    title = "Why two members match"
    if pair is not None:
        rows.append(Bar("all together", total, f"{total:+.1f} bits: {float(pair['probability']):.1%}"))
        title = f"Why {str(pair['left'])[:8]}… and {str(pair['right'])[:8]}… match"
    return bars(rows, title, "bits of evidence (each doubles the odds; 0 is even chances)")


def cluster_sizes_chart(clusters: pd.DataFrame) -> Figure:
    """Draw how many clusters have how many records (``size``, ``offered``)."""
    sure = Counter(clusters["size"][clusters["offered"].astype(bool)].tolist())
    every = Counter(clusters["size"].tolist())
    rows = [(f"{size} records", (sure[size], every[size] - sure[size])) for size in sorted(every)]
    figure = stacked_bars(
        rows, (Part("sure", BLUE), Part("to look at", SKY, "///")), "How many records belong together", "clusters"
    )  # fmt: skip
    told = [f"{sum(counts):,} of {name} ({counts[0]:,} sure)" for name, counts in rows]
    return described(figure, "Clusters: " + "; ".join(told), told)


def _changed(frame: pd.DataFrame, names: str, title: str) -> Figure:
    changes = [part.name for part in _CHANGES]
    frame = frame.assign(total=frame[changes].sum(axis=1))
    frame = frame[frame["total"] > 0].sort_values(["total", names], ascending=[False, True])
    rows = [(str(row[names]), [int(row[name]) for name in changes]) for row in frame.to_dict("records")]
    return stacked_bars(rows, _CHANGES, title, "rows")


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


def _code(code: Any) -> str:
    return "none" if pd.isna(code) else str(code)


def _moments(column: pd.Series[Any]) -> list[float]:
    """Return moments as matplotlib counts them, all at once; NaN where one is not known."""
    from matplotlib.dates import date2num

    return [float(each) for each in date2num(pd.to_datetime(column))]


def _lasting(seconds: Any) -> str:
    if seconds is None or pd.isna(seconds):
        return ""
    return f", {float(seconds):,.0f} s" if seconds < 120 else f", {float(seconds) / 60:,.0f} min"


def _rehearsed(judged: str, hours: Any) -> str:
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
