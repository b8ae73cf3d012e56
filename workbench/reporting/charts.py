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
_COLOURS = (GREEN, ORANGE, SKY, GREY, RED, RED, GREY)
_ACTIONS = {action: (colour, "") for action, colour in zip(ACTIONS, _COLOURS, strict=True)}
_WAYS = {
    "rows put right": (BLUE, ""),
    "people's work lost": (RED, "//"),
    "references at risk": (ORANGE, ".."),
}
_TIERS = {"in it": (BLUE, ""), "none": (RED, "//")}
_COUNTS = {"here": (BLUE, ""), "missing": (GREY, "//"), "too many": (RED, "..")}

NOT_KNOWN, NONE, OTHERS = "not known", "none", "others"
"""Where no tier is expected, where a member has none, and what the smallest tiers are summed under."""

_MOST_TIERS = 12  # a side of the map; the smallest of more are summed


def tier_chart(frame: pd.DataFrame) -> Figure:
    """Draw the members in each tier (``kind``, ``code``, ``members``: see `tier_distribution`)."""
    kind, members, none = next(iter(frame["kind"]), "tier"), frame["members"], frame["code"].isna()
    words = [f"{count:,} ({count / max(members.sum(), 1):.0%})" for count in members]
    counts = pd.DataFrame({"in it": members.where(~none, 0), "none": members.where(none, 0)})
    counts = counts.set_axis(frame["code"].fillna(NONE))
    return bars(counts, _TIERS, f"Members by membership {kind}", "members", words=words)


def tier_matrix_chart(frame: pd.DataFrame, kind: str = "tier") -> Figure:
    """Draw how many members should be in which tier (or status), and in which they are, as a heat map.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``expected``, ``actual``, ``members``, ``finding``: see `workbench.tiers.review.TierReview`.
    """
    from workbench.tiers.review import CORRECTABLE, RIGHT

    # What is wrong in a cell is never hidden by what is right in it: the kinds are in the order of their weight.
    judged = frame["finding"].map({RIGHT: "right", **dict.fromkeys(CORRECTABLE, "wrong")}).fillna("open")
    cells = pd.DataFrame(
        {
            "row": frame["expected"].astype(object).fillna(NOT_KNOWN),
            "column": frame["actual"].astype(object).fillna(NONE),
            "kind": pd.Categorical(judged, ["wrong", "open", "right"], ordered=True),
            "number": frame["members"],
        }
    )
    sizes = cells.melt("number", ["row", "column"]).groupby("value")["number"].sum()
    sizes = sizes.drop([NOT_KNOWN, NONE], errors="ignore").sort_values(ascending=False, kind="stable")
    small = {*sizes.index[_MOST_TIERS - 1 :]} if len(sizes) > _MOST_TIERS else set()
    cells = cells.replace({"row": dict.fromkeys(small, OTHERS), "column": dict.fromkeys(small, OTHERS)})
    cells = cells.groupby(["row", "column"], as_index=False).agg({"number": "sum", "kind": "min"})
    # The tiers in one order on both sides, so that what is right lies on the diagonal.
    tiers = sorted({*cells["row"], *cells["column"]} - {OTHERS, NOT_KNOWN, NONE})
    rows = [code for code in (*tiers, OTHERS, NOT_KNOWN) if (cells == code).any(axis=None)]
    columns = [code for code in (*tiers, OTHERS, NONE) if (cells == code).any(axis=None)]
    below = f"the {kind} members have\n(members; ✓ right, ✗ wrong, ? cannot be judged)"
    title, beside = f"The {kind} of their level, and the {kind} they have", f"the {kind} their level gives"
    figure = heat_map(cells, rows, columns, title, (below, beside))
    wrong = cells.loc[cells["kind"] == "wrong", "number"].sum()
    worst = cells.sort_values(["kind", "number"], ascending=[True, False]).head(12)
    lines = [
        f"expected {cell.row}, have {cell.column}: {cell.number:,} {cell.kind}" for cell in worst.itertuples()
    ]
    return describe(figure, f"{wrong:,} members are not in the {kind} of their level", lines)


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
    return time_line(rows, "Import runs, and how they ended", "an empty ring is a dry run")


def actions_chart(tally: pd.DataFrame) -> Figure:
    """Draw what a run did: records by entity and action (``entity``, ``action``, ``records``: see `RunRecords`)."""
    counts = tally.pivot_table("records", "entity", "action", "sum", fill_value=0)
    counts = counts.reindex([entity for entity in ENTITIES if entity in counts.index])
    return bars(counts.reindex(columns=[*_ACTIONS], fill_value=0), _ACTIONS, "What the run did", "records")


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
    return _changed(
        frame.pivot_table("rows", "who", "change", "sum", fill_value=0), "Who changed them, by the evidence"
    )


def _changed(counts: pd.DataFrame, title: str) -> Figure:
    counts = counts.reindex(columns=[*_CHANGES], fill_value=0).sort_index()
    total = counts.sum(axis=1).sort_values(ascending=False, kind="stable")
    return bars(counts.loc[total[total > 0].index], _CHANGES, title, "rows")


def ways_chart(frame: pd.DataFrame) -> Figure:
    """Draw what each way out puts right, loses and leaves at risk (the table ``ways`` of a triage)."""
    rows, words = list[tuple[Any, ...]](), list[str]()
    for row in frame.to_dict("records"):
        minutes = "" if pd.isna(row["minutes"]) else f", {int(row['minutes'])} min"
        name = f"{'→ ' if row['recommended'] else ''}{row['way']}{minutes}"
        costs = [row["rows_reverted"], row["work_lost"], row["references_at_risk"]]
        if not row["possible"]:
            rows.append((name, 0, 0, 0))
            words.append("not possible here")
            continue
        for place, (part, cost) in enumerate(zip(_WAYS, costs, strict=True)):
            rows.append((name, *(0 if other != place or pd.isna(cost) else cost for other in range(3))))
            words.append(f"{'not known' if pd.isna(cost) else f'{cost:,.0f}'} {part}")
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
    unit = "bits of evidence (each doubles the odds; 0 is even chances)"
    if pair is None:
        return bars(pd.DataFrame(columns=[*parts]), parts, "Why two members match", unit)
    bits = pd.Series(evidence(pair))
    bits = bits[bits.abs() >= 0.005]
    counts = pd.DataFrame({"for it": bits.clip(lower=0), "against it": bits.clip(upper=0), "sum": 0.0})
    counts.loc["all together"] = (0, 0, bits.sum())
    words = [*bits.map("{:+.1f}".format), f"{bits.sum():+.1f} bits: {float(pair['probability']):.1%}"]
    title = f"Why {str(pair['left'])[:8]}… and {str(pair['right'])[:8]}… match"
    return bars(counts, parts, title, unit, words=words, starts=[*(bits.cumsum() - bits), 0])


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
    lines, headings, arrows = list[tuple[str, str]](), dict[int, str](), list[tuple[int, int, bool]]()
    groups = shown["cycle"].where(shown["cycle"] != "", shown.index.astype(str))
    for _, group in shown.groupby(groups, sort=False):
        rows: list[dict[Any, Any]] = group.to_dict("records")
        first, top = rows[0], len(lines) + 1
        swap = "a swap" if first["cycle_size"] == 2 else f"a cycle of {first['cycle_size']}"
        kind = swap if first["cycle"] else "leads to a wrong record"
        headings[len(lines)] = f"{first['entity']} {', '.join(group['wa_id'])}: {kind}"
        names = {row["target"]: row["person"] or row["title"].rpartition(" / ")[2] for row in rows}
        # Each contact beside the record that is its own; below them the records whose contact is mapped rightly.
        order = list(dict.fromkeys([*(str(row["should_be"] or row["target"]) for row in rows), *names]))
        contacts = [f"{row['wa_id']}  {row['contact'] or row['title'].partition(' / ')[0]}" for row in rows]
        contacts += [""] * (len(order) - len(contacts))
        lines.append(("", ""))
        lines += [
            (left, f"{key[:8]}…  {names.get(key, '')}") for left, key in zip(contacts, order, strict=True)
        ]
        for place, row in enumerate(rows, top):
            arrows.append((place, top + order.index(row["target"]), False))
            if row["should_be"]:
                arrows.append((place, top + order.index(str(row["should_be"])), True))
    rest = len(wrong) - len(shown)
    title, below = "Where ids lead, and where they should", f"{rest:,} more are not drawn" if rest else ""
    figure, axes = canvas(len(lines), title, below)
    _draw_links(axes, lines, headings, arrows)
    return describe(figure, "Wrong mappings", headings.values())


def _draw_links(
    axes: Axes, lines: list[tuple[str, str]], headings: dict[int, str], arrows: list[tuple[int, int, bool]]
) -> None:
    for place, heading in headings.items():
        axes.text(-0.62, place, heading.replace("$", r"\$"), va="center", fontweight="bold", fontsize=8.5)
    for place, (left, right) in enumerate(lines):
        axes.text(-0.05, place, label(left.strip()), ha="right", va="center")
        axes.text(1.05, place, label(right.strip()), ha="left", va="center")
        axes.plot(0, place, "o" if left else "", color=BLUE, markersize=5)
        axes.plot(1, place, "s" if right else "", color=GREY, markersize=5)
    arrow = {"arrowstyle": "-|>", "color": RED, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    for start, end, right_one in arrows:
        if right_one:
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
