"""The drawing of wrong mappings: who is mapped to whom, and who it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.reporting.drawing import BLUE, GREEN, GREY, MOST, RED, canvas, described, label
from workbench.reporting.masking import mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAND = 0.05  # between a mark and its words


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
    groups: dict[str, list[dict[Any, Any]]] = {}
    for row in mask(wrong.head(MOST), unmask).to_dict("records"):
        groups.setdefault(row["cycle"] or f"{row['entity']}/{row['wa_id']}", []).append(row)
    # A row of the drawing: its heading, or the contact on the left and the record on the right.
    drawn: list[tuple[str, str, str]] = []
    arrows: list[tuple[int, int, int | None]] = []
    for group in groups.values():
        names = {str(row["target"]): _record(row) for row in group}
        own = [str(row["should_be"] or row["target"]) for row in group]
        drawn.append((_headline(group), "", ""))
        # Each contact beside the record that is its own, then the records whose own contact is mapped rightly.
        places = {key: len(drawn) + at for at, key in enumerate(own)}
        others = [key for key in names if key not in places]
        places |= {key: len(drawn) + len(own) + at for at, key in enumerate(others)}
        arrows += [
            (
                len(drawn) + at,
                places[str(row["target"])],
                places[str(row["should_be"])] if row["should_be"] else None,
            )
            for at, row in enumerate(group)
        ]
        contacts = [
            f"{row['wa_id']}  {row['contact'] or row['title'].partition(' / ')[0]}".strip() for row in group
        ]
        drawn += [
            ("", contact, names.get(key) or f"{key[:8]}…") for contact, key in zip(contacts, own, strict=True)
        ]
        drawn += [("", "", names[key]) for key in others]
    figure, axes = canvas(len(drawn), "Where ids lead, and where they should")
    _draw(axes, drawn, arrows)
    if len(wrong) > MOST:
        axes.set_xlabel(f"{len(wrong) - MOST:,} more are not drawn", color="#444444")
    told = [heading for heading, *_ in drawn if heading]
    return described(figure, "Wrong mappings: " + "; ".join(told), told)


def _headline(group: list[dict[Any, Any]]) -> str:
    first, ids = group[0], ", ".join(str(row["wa_id"]) for row in group)
    swap = "a swap" if first["cycle_size"] == 2 else f"a cycle of {first['cycle_size']}"
    return f"{first['entity']} {ids}: {swap if first['cycle'] else 'leads to a wrong record'}"


def _record(row: dict[Any, Any]) -> str:
    told = row["person"] or row["title"].rpartition(" / ")[2]
    return f"{str(row['target'])[:8]}…  {told}".strip()


def _draw(axes: Axes, drawn: list[tuple[str, str, str]], arrows: list[tuple[int, int, int | None]]) -> None:
    for at, (heading, left, right) in enumerate(drawn):
        axes.text(
            -0.62, at, heading.replace("$", r"\$"), ha="left", va="center", fontweight="bold", fontsize=8.5
        )
        axes.text(-_BAND, at, label(left), ha="right", va="center")
        axes.text(1 + _BAND, at, label(right), ha="left", va="center")
        if left:
            axes.plot(0, at, "o", color=BLUE, markersize=5)
        if right:
            axes.plot(1, at, "s", color=GREY, markersize=5)
    for start, now, right_one in arrows:
        if right_one is not None:
            axes.plot([0, 1], [start, right_one], color=GREEN, linestyle="--", linewidth=1.3)
        arrow = {"arrowstyle": "-|>", "color": RED, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (0.988, now), (0.012, start), arrowprops=arrow)
    axes.set_xlim(-0.64, 1.64)
    axes.set_ylim(max(len(drawn), 1) - 0.4, -1.5)
    if drawn:
        axes.text(0, -1.1, "Wild Apricot ids", ha="center", color="#444444")
        axes.text(1, -1.1, "records here", ha="center", color="#444444")
        axes.plot([], [], color=RED, label="leads to (wrong)")
        axes.plot([], [], color=GREEN, linestyle="--", label="should lead to")
        axes.legend(loc="upper right", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
