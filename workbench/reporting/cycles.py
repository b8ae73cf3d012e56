"""The drawing of wrong mappings: who is mapped to whom, and who it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from workbench.reporting.drawing import BLUE, GREEN, GREY, MOST, RED, canvas, described, label
from workbench.reporting.masking import mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _RIGHT, _BAND = 0.0, 1.0, 0.05


class _Arrow(NamedTuple):
    """One wrong mapping in the drawing: the rows it goes from and to, and the row it should go to."""

    start: int
    now: int
    right: int | None


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
    more = max(len(wrong) - MOST, 0)
    rows = mask(wrong.head(MOST), unmask).to_dict("records")
    contacts: list[str] = []
    records: list[str] = []
    heads: list[tuple[int, str]] = []
    arrows: list[_Arrow] = []
    told: list[str] = []
    for group in _groups(rows):
        heads.append((len(contacts), _headline(group)))
        contacts.append("")
        records.append("")
        places = {
            str(each["should_be"] or each["target"]): len(contacts) + at for at, each in enumerate(group)
        }
        named = {str(each["target"]): _record(each) for each in group}
        for each in group:
            contacts.append(_contact(each))
            own = str(each["should_be"] or each["target"])
            records.append(named.get(own) or f"{own[:8]}…")
        for each in group:
            target = str(each["target"])
            if target not in places:  # a record whose own contact is mapped rightly, or that has none
                places[target] = len(contacts)
                contacts.append("")
                records.append(named[target])
        first = heads[-1][0] + 1
        for at, each in enumerate(group):
            right = places[str(each["should_be"])] if each["should_be"] else None
            arrows.append(_Arrow(first + at, places[str(each["target"])], right))
        told.append(_headline(group))
    figure, axes = canvas(len(contacts), "Where ids lead, and where they should")
    _draw(axes, contacts, records, heads, arrows)
    if more:
        axes.set_xlabel(f"{more:,} more are not drawn", color="#444444")
    return described(figure, "Wrong mappings: " + "; ".join(told), told)


def _groups(rows: list[dict[Any, Any]]) -> list[list[dict[Any, Any]]]:
    found: dict[str, list[dict[Any, Any]]] = {}
    for each in rows:
        found.setdefault(each["cycle"] or f"{each['entity']}/{each['wa_id']}", []).append(each)
    return list(found.values())


def _headline(group: list[dict[Any, Any]]) -> str:
    ids = ", ".join(str(each["wa_id"]) for each in group)
    if not group[0]["cycle"]:
        return f"{group[0]['entity']} {ids}: leads to a wrong record"
    kind = "a swap" if group[0]["cycle_size"] == 2 else f"a cycle of {group[0]['cycle_size']}"
    return f"{group[0]['entity']} {ids}: {kind}"


def _contact(each: dict[Any, Any]) -> str:
    told = each["contact"] or each["title"].partition(" / ")[0]
    return f"{each['wa_id']}  {told}".strip()


def _record(each: dict[Any, Any]) -> str:
    told = each["person"] or each["title"].rpartition(" / ")[2]
    return f"{str(each['target'])[:8]}…  {told}".strip()


def _draw(
    axes: Axes,
    contacts: list[str],
    records: list[str],
    heads: list[tuple[int, str]],
    arrows: list[_Arrow],
) -> None:
    for at, (left, right) in enumerate(zip(contacts, records, strict=True)):
        if left:
            axes.text(_LEFT - _BAND, at, label(left), ha="right", va="center")
            axes.plot(_LEFT, at, "o", color=BLUE, markersize=5)
        if right:
            axes.text(_RIGHT + _BAND, at, label(right), ha="left", va="center")
            axes.plot(_RIGHT, at, "s", color=GREY, markersize=5)
    for at, words in heads:
        axes.text(
            -0.62, at, words.replace("$", r"\$"), ha="left", va="center", fontweight="bold", fontsize=8.5
        )
    for each in arrows:
        if each.right is not None:
            axes.plot([_LEFT, _RIGHT], [each.start, each.right], color=GREEN, linestyle="--", linewidth=1.3)
        axes.annotate(
            "", (_RIGHT - 0.012, each.now), (_LEFT + 0.012, each.start),
            arrowprops={"arrowstyle": "-|>", "color": RED, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    axes.set_xlim(-0.64, 1.64)
    axes.set_ylim(max(len(contacts), 1) - 0.4, -1.5)
    if contacts:
        axes.text(_LEFT, -1.1, "Wild Apricot ids", ha="center", color="#444444")
        axes.text(_RIGHT, -1.1, "records here", ha="center", color="#444444")
        axes.plot([], [], color=RED, label="leads to (wrong)")
        axes.plot([], [], color=GREEN, linestyle="--", label="should lead to")
        axes.legend(loc="upper right", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
