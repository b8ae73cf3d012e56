"""The charts of the subjects: a frame in, a matplotlib figure out, by the kinds of `drawing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.murmurant.importers import ACTIONS
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.plan import OPERATIONS
from workbench.reporting.drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MOST,
    ORANGE,
    RED,
    SKY,
    bars,
    canvas,
    describe,
    heat_map,
    histogram,
    label,
    time_line,
)
from workbench.reporting.masking import mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STATUSES = {"completed": GREEN, "incomplete": ORANGE, "interrupted": ORANGE, "failed": RED}
_CHANGES = {"added": (GREEN, ""), "changed": (BLUE, "//"), "removed": (RED, "..")}
_OPERATIONS = {"deleted": (RED, ".."), "updated": (BLUE, "//"), "inserted": (GREEN, "")}
_DONE = {each: (colour, "") for each, colour in zip(ACTIONS, (GREEN, ORANGE, SKY, GREY, RED, RED, GREY), strict=True)}  # fmt: skip
_WAYS = {
    "rows put right": (BLUE, ""),
    "people's work lost": (RED, "//"),
    "references at risk": (ORANGE, ".."),
}

NOBODY_SAYS, HAVE_NONE, REST = "not known", "none", "others"
"""Where no tier is expected, where a member has none, and what the smallest tiers are summed under."""

_MOST_TIERS = 12  # a side of the map; the smallest of more are summed


def tier_chart(frame: pd.DataFrame) -> Figure:
    """Draw the members in each tier (``kind``, ``code``, ``members``: see `tier_distribution`)."""
    kind, total, none = next(iter(frame["kind"]), "tier"), frame["members"].sum(), frame["code"].isna()
    counts = pd.DataFrame(
        {"in it": frame["members"].where(~none, 0), "none": frame["members"].where(none, 0)}
    )
    return bars(
        counts.set_axis(frame["code"].fillna(HAVE_NONE)),
        {"in it": (BLUE, ""), "none": (RED, "//")},
        f"Members by membership {kind}",
        "members",
        words=[f"{count:,} ({count / max(total, 1):.0%})" for count in frame["members"]],
    )


def tier_matrix_chart(frame: pd.DataFrame, kind: str = "tier") -> Figure:
    """Draw how many members should be in which tier (or status), and in which they are, as a heat map.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``expected``, ``actual``, ``members``, ``finding``: see `workbench.tiers.review.TierReview`.
    """
    from workbench.tiers.review import CORRECTABLE, RIGHT

    kinds = {RIGHT: "right", **dict.fromkeys(CORRECTABLE, "wrong")}
    cells = pd.DataFrame(
        {
            "row": frame["expected"].astype(object).fillna(NOBODY_SAYS),
            "column": frame["actual"].astype(object).fillna(HAVE_NONE),
            "kind": frame["finding"].map(kinds).fillna("open"),
            "number": frame["members"],
        }
    )
    last = (REST, NOBODY_SAYS, HAVE_NONE)
    sizes = pd.concat([cells.groupby(side)["number"].sum() for side in ("row", "column")])
    sizes = (
        sizes.groupby(level=0)
        .sum()
        .drop([*last], errors="ignore")
        .sort_values(ascending=False, kind="stable")
    )
    if len(sizes) > _MOST_TIERS:
        shown = {*sizes.index[: _MOST_TIERS - 1], *last}
        for side in ("row", "column"):
            cells[side] = cells[side].where(cells[side].isin(shown), REST)
    # What is wrong in a cell is never hidden by what is right in it.
    worst = pd.Categorical(cells["kind"], ["wrong", "open", "right"], ordered=True)
    cells = (
        cells.assign(kind=worst)
        .groupby(["row", "column"], as_index=False)
        .agg({"number": "sum", "kind": "min"})
    )
    # The tiers in one order on both sides, so that what is right lies on the diagonal.
    codes = sorted(
        {*cells["row"], *cells["column"]},
        key=lambda code: (code in last, last.index(code) if code in last else code),
    )
    figure = heat_map(
        cells,
        [code for code in codes if code != HAVE_NONE],
        [code for code in codes if code != NOBODY_SAYS],
        f"The {kind} of their level, and the {kind} they have",
        (f"the {kind} members have", f"the {kind} their level gives"),
    )
    wrong = cells.loc[cells["kind"] == "wrong", "number"].sum()
    told = cells.sort_values(["kind", "number"], ascending=[True, False]).head(12)
    return describe(
        figure,
        f"{wrong:,} members are not in the {kind} of their level",
        [
            f"expected {row}, have {column}: {number:,} {judged}"
            for row, column, number, judged in told[["row", "column", "number", "kind"]].itertuples(
                index=False
            )
        ],
    )


def counts_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows were found, and mark how many there should be (``table``, ``found``, ``expected``)."""
    expected, off = frame["expected"], (frame["found"] - frame["expected"]).fillna(0)
    counts = pd.DataFrame(
        {"as many": frame["found"].where(off == 0, 0), "off": frame["found"].where(off != 0, 0)}
    )
    words = [
        f"{count:,}{'' if pd.isna(should) else f', {should:,} expected'}{f' ({by:+,})' if by else ''}"
        for count, should, by in zip(frame["found"], expected, off, strict=True)
    ]
    known = "the black mark is what was" if expected.notna().any() else "nobody said how many were"
    return bars(
        counts.set_axis(frame["table"]), {"as many": (BLUE, ""), "off": (RED, "")}, "Rows per table",
        f"rows; {known} expected", words=words, marks=expected.astype(float).to_list(),
    )  # fmt: skip


def runs_chart(frame: pd.DataFrame, highlight: str = "") -> Figure:
    """Draw the import runs in time, from start to finish, with how each one ended.

    Parameters
    ----------
    frame : pandas.DataFrame
        See `workbench.runs.discovery.runs_frame`.
    highlight : str
        The id of a run to stand out.
    """
    words = []
    for status, mode, seconds in zip(frame["status"], frame["mode"], frame["duration"], strict=True):
        said = [status, *["dry run"] * (mode == "dry")]
        if pd.notna(seconds):
            said.append(f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min")
        words.append(", ".join(said))
    rows = frame.assign(
        label=["▶ " * (run == highlight) + run for run in frame["run"]],
        start=frame["started"],
        end=frame["finished"].where(frame["started"].notna()),
        words=words,
        colour=frame["status"].map(_STATUSES).fillna(GREY),
        hollow=frame["mode"] == "dry",
    )
    return time_line(rows, "Import runs, and how they ended", "an empty ring is a dry run")


def actions_chart(tally: pd.DataFrame) -> Figure:
    """Draw what a run did: records by entity and action (``entity``, ``action``, ``records``: see `RunRecords`)."""
    counts = tally.pivot_table("records", "entity", "action", "sum", fill_value=0)
    counts = counts.reindex([each for each in ENTITIES if each in counts.index])
    return bars(
        counts.reindex(columns=[*_DONE], fill_value=0), _DONE, "What the run did", "records", room=1.0
    )


def changes_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows of each table a plan changes (``table``, ``operation``, ``rows``: see `plan_changes`)."""
    counts = frame.pivot_table("rows", "table", "operation", "sum", fill_value=0, sort=False)
    counts = counts.reindex(columns=[*OPERATIONS], fill_value=0).set_axis([*_OPERATIONS], axis=1)
    return bars(counts, _OPERATIONS, "Rows that would change", "rows")


def differences_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows of each table were ``added``, ``changed`` and ``removed`` since a snapshot."""
    return _changed(frame.set_index("table"), "Rows that differ from the snapshot")


def authors_chart(frame: pd.DataFrame) -> Figure:
    """Draw how many rows each run or person changed since a snapshot (``change``, ``who``, ``rows``)."""
    counts = frame.pivot_table("rows", "who", "change", "sum", fill_value=0)
    return _changed(counts.reindex(columns=[*_CHANGES], fill_value=0), "Whose doing it is, by the evidence")


def _changed(counts: pd.DataFrame, title: str) -> Figure:
    counts = counts[[*_CHANGES]].sort_index()
    total = counts.sum(axis=1).sort_values(ascending=False, kind="stable")
    return bars(counts.loc[total[total > 0].index], _CHANGES, title, "rows")


def ways_chart(frame: pd.DataFrame) -> Figure:
    """Draw what each way out puts right, loses and leaves at risk (the table ``ways`` of a triage)."""
    rows, words = list[tuple[Any, ...]](), list[str]()
    for row in frame.to_dict("records"):
        name = f"{'→ ' if row['recommended'] else ''}{row['way']}"
        if not row["possible"]:
            rows.append((name, 0, 0, 0))
            words.append("not possible here")
            continue
        name += "" if pd.isna(row["minutes"]) else f", {int(row['minutes'])} min"
        for part, column in zip(_WAYS, ("rows_reverted", "work_lost", "references_at_risk"), strict=True):
            known = pd.notna(row[column])
            rows.append((name, *(row[column] if part == other and known else 0 for other in _WAYS)))
            words.append(f"{f'{row[column]:,.0f}' if known else 'not known'} {part}")
    counts = pd.DataFrame(rows, columns=["way", *_WAYS]).set_index("way")
    return bars(counts, _WAYS, "The ways out, side by side", "rows", words=words)


def mapping_scores_chart(problems: pd.DataFrame) -> Figure:
    """Draw how many mappings are wrong how surely; right of the line a correction may be planned."""
    from workbench.mappings.identity import SURE

    scores = problems["score"].dropna().astype(float)
    unit = "probability that the record is the wrong one (1 is a fact, not a judgement)"
    line = {SURE: f"sure from {SURE:.0%} on"}
    figure = histogram(scores, "How surely they are wrong", unit, "problems", line, (BLUE, RED))
    sure, unknown = (scores >= SURE).sum(), len(problems) - len(scores)
    words = [f"{sure:,} sure, {len(scores) - sure:,} doubtful, {unknown:,} not known"]
    return describe(figure, f"{len(problems):,} problems", words if len(problems) else [])


def match_histogram_chart(chances: pd.DataFrame, threshold: float) -> Figure:
    """Draw how many pairs are how probably one person (``probability``); from the threshold on they are listed."""
    from workbench.duplicates.matching import OFFER_THRESHOLD

    chance = chances["probability"].astype(float)
    lines = {
        threshold: f"listed from {threshold:.0%} on",
        OFFER_THRESHOLD: f"sure from {OFFER_THRESHOLD:.0%} on",
    }
    title, unit = "How probably two members are one person", "probability; pairs below 5% are not drawn"
    figure = histogram(chance, title, unit, "pairs", lines, (GREY, BLUE))
    words = f"{len(chance):,} pairs of members, {(chance >= threshold).sum():,} of them probably one person"
    return describe(figure, title, [words] if len(chance) else [])


def match_waterfall_chart(pair: pd.Series[Any] | None) -> Figure:
    """Draw what each comparison of one pair adds to or takes from the evidence, in bits, down to its sum.

    Parameters
    ----------
    pair : pandas.Series or None
        A row of `match_members`, with its ``weight_`` columns in bits; None draws nothing.
    """
    from workbench.duplicates.matching import evidence

    parts = {"for it": (GREEN, ""), "against it": (RED, ".."), "sum": (BLUE, "")}
    title, unit = "Why two members match", "bits of evidence (each doubles the odds; 0 is even chances)"
    if pair is None:
        return bars(pd.DataFrame(columns=[*parts]), parts, title, unit)
    bits = pd.Series(evidence(pair))
    bits = bits[bits.abs() >= 0.005]
    counts = pd.DataFrame({"for it": bits.clip(lower=0), "against it": bits.clip(upper=0), "sum": 0.0})
    counts.loc["all together"] = (0, 0, bits.sum())
    starts = [*(bits.cumsum() - bits), 0]
    words = [*bits.map("{:+.1f}".format), f"{bits.sum():+.1f} bits: {float(pair['probability']):.1%}"]
    title = f"Why {str(pair['left'])[:8]}… and {str(pair['right'])[:8]}… match"
    return bars(counts, parts, title, unit, words=words, starts=starts)


def mapping_cycles_chart(problems: pd.DataFrame, unmask: bool = False) -> Figure:
    """Draw the wrong mappings: contacts left, records right, swaps and cycles together.

    A red arrow leads to the record that an id is mapped to, a dashed green line to the one it should be.

    Parameters
    ----------
    problems : pandas.DataFrame
        See `workbench.mappings.problems.MappingFindings`; at most `MOST` mappings are drawn.
    unmask : bool
        Whether people's names may be seen.
    """
    wrong = problems[problems["problem"].isin(["wrong-person", "wrong-event", "wrong-registration"])]
    shown = mask(wrong.head(MOST), unmask).astype({"target": str, "wa_id": str})
    headings, drawn, arrows = list[str](), list[tuple[str, str, str]](), list[tuple[int, int, str]]()
    groups = shown["cycle"].where(shown["cycle"] != "", shown.index.astype(str))
    for _, group in shown.groupby(groups, sort=False):
        rows: list[dict[Any, Any]] = group.to_dict("records")
        first, top = rows[0], len(drawn) + 1
        swap = "a swap" if first["cycle_size"] == 2 else f"a cycle of {first['cycle_size']}"
        told = swap if first["cycle"] else "leads to a wrong record"
        headings.append(f"{first['entity']} {', '.join(group['wa_id'])}: {told}")
        names = {row["target"]: row["person"] or row["title"].rpartition(" / ")[2] for row in rows}
        # Each contact beside the record that is its own; below them the records whose contact is mapped rightly.
        order = list(dict.fromkeys([*(str(row["should_be"] or row["target"]) for row in rows), *names]))
        contacts = [f"{row['wa_id']}  {row['contact'] or row['title'].partition(' / ')[0]}" for row in rows]
        contacts += [""] * (len(order) - len(contacts))
        records = [f"{key[:8]}…  {names.get(key, '')}" for key in order]
        drawn.append((headings[-1], "", ""))
        drawn += [("", left.strip(), right.strip()) for left, right in zip(contacts, records, strict=True)]
        for place, row in enumerate(rows, top):
            arrows.append((place, top + order.index(row["target"]), "leads to"))
            if row["should_be"]:
                arrows.append((place, top + order.index(str(row["should_be"])), "should"))
    figure, axes = canvas(len(drawn), "Where ids lead, and where they should")
    _draw_links(axes, drawn, arrows)
    if len(wrong) > MOST:
        axes.set_xlabel(f"{len(wrong) - MOST:,} more are not drawn", color=INK)
    return describe(figure, "Wrong mappings", headings)


def _draw_links(axes: Axes, drawn: list[tuple[str, str, str]], arrows: list[tuple[int, int, str]]) -> None:
    for at, (heading, left, right) in enumerate(drawn):
        axes.text(-0.62, at, heading.replace("$", r"\$"), va="center", fontweight="bold", fontsize=8.5)
        axes.text(-0.05, at, label(left), ha="right", va="center")
        axes.text(1.05, at, label(right), ha="left", va="center")
        axes.plot(0, at, "o" if left else "", color=BLUE, markersize=5)
        axes.plot(1, at, "s" if right else "", color=GREY, markersize=5)
    for start, end, kind in arrows:
        if kind == "should":
            axes.plot([0, 1], [start, end], color=GREEN, linestyle="--", linewidth=1.3)
        else:
            arrow = {"arrowstyle": "-|>", "color": RED, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (0.988, end), (0.012, start), arrowprops=arrow)
    axes.set_xlim(-0.64, 1.64)
    axes.set_ylim(max(len(drawn), 1) - 0.4, -1.5)
    if drawn:
        axes.text(0, -1.1, "Wild Apricot ids", ha="center", color=INK)
        axes.text(1, -1.1, "records here", ha="center", color=INK)
        axes.plot([], [], color=RED, label="leads to (wrong)")
        axes.plot([], [], color=GREEN, linestyle="--", label="should lead to")
        axes.legend(loc="upper right", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
