"""Charts of duplicates: how probable the pairs are, why two records match, how many belong together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.investigate.matching import OFFER_THRESHOLD
from workbench.reporting.drawing import BLUE, GREEN, GREY, RED, canvas, described, finish, label_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BARS = 20
_WEIGHT = "weight_"
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


def match_histogram_chart(chances: pd.DataFrame, threshold: float) -> Figure:
    """Draw how many pairs are how probably one person.

    Parameters
    ----------
    chances : pandas.DataFrame
        ``probability``: see `workbench.investigate.matching.match_members`.
    threshold : float
        From which probability on a pair is listed.
    """
    chance = chances["probability"].astype(float)
    edges = np.linspace(0, 1, _BARS + 1)
    counts, _ = np.histogram(chance, edges)
    figure, axes = canvas(8 if len(chance) else 0, "How probably two members are one person")
    if len(chance):
        colours = [BLUE if edge >= threshold - 1e-9 else GREY for edge in edges[:-1]]
        bars = axes.bar(edges[:-1], counts, width=0.9 / _BARS, align="edge", color=colours)
        axes.bar_label(bars, [f"{count:,}" if count else "" for count in counts], padding=2)
        for place, height, words in (
            (threshold, 0.98, f"listed from {threshold:.0%} on"),
            (OFFER_THRESHOLD, 0.88, f"sure from {OFFER_THRESHOLD:.0%} on"),
        ):
            axes.axvline(place, color="black", linewidth=1.1, linestyle="--")
            axes.annotate(
                words, (place, height), xycoords=("data", "axes fraction"), ha="right", va="top",
                xytext=(-5, 0), textcoords="offset points",
            )  # fmt: skip
    finish(axes, "probability; pairs below 5% are not drawn")
    axes.set_xlim(0, 1.01)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
    axes.set_ylabel("pairs", color="#444444")
    axes.set_ylim(0, max(counts.max(), 1) * 1.45)  # the words stand above the bars
    listed = int((chance >= threshold).sum())
    return described(
        figure, f"{len(chance):,} pairs of members, {listed:,} of them probably one person", list(chance)
    )


def match_waterfall_chart(pair: pd.Series[Any] | None) -> Figure:
    """Draw what each comparison of one pair adds to or takes from the evidence, down to its sum.

    Parameters
    ----------
    pair : pandas.Series or None
        A row of `match_members`, with its ``weight_`` columns in bits; None draws nothing.
    """
    if pair is None:
        return described(canvas(0, "Why two members match")[0], "", [])
    bits = {
        name: float(pair[_WEIGHT + name]) for name in COMPARED if abs(pair.get(_WEIGHT + name, 0)) >= 0.005
    }
    total = sum(bits.values())
    figure, axes = canvas(len(bits) + 1, f"Why {str(pair['left'])[:8]}… and {str(pair['right'])[:8]}… match")
    at = 0.0
    ends = [0.0]
    for place, worth in enumerate(bits.values()):
        axes.barh(place, worth, left=at, color=GREEN if worth > 0 else RED, height=0.6)
        axes.plot([at + worth] * 2, [place - 0.3, place + 1.3], color="#888888", linewidth=0.8)
        at += worth
        ends.append(at)
        axes.annotate(f"{worth:+.1f}", (max(at, at - worth), place), xytext=(4, 0), textcoords="offset points",
                      va="center")  # fmt: skip
    axes.barh(len(bits), total, color=BLUE, height=0.6)
    axes.annotate(f"{total:+.1f} bits: {float(pair['probability']):.1%}", (max(total, 0.0), len(bits)),
                  xytext=(4, 0), textcoords="offset points", va="center", fontweight="bold")  # fmt: skip
    label_rows(axes, [*(COMPARED[name] for name in bits), "all together"])
    finish(axes, "bits of evidence (each doubles the odds; 0 is even chances)")
    axes.set_xlim(min(ends) - 2, max(ends) + 8)
    axes.axvline(0, color="black", linewidth=0.8)
    told = [f"{COMPARED[name]} {worth:+.1f}" for name, worth in bits.items()]
    return described(figure, f"Bits of evidence: {'; '.join(told)}; all together {total:+.1f}", told)


def cluster_sizes_chart(clusters: pd.DataFrame) -> Figure:
    """Draw how many clusters have how many records (``size``, ``offered``)."""
    sure = Counter(clusters["size"][clusters["offered"].astype(bool)].tolist())
    every = Counter(clusters["size"].tolist())
    sizes = sorted(every)
    figure, axes = canvas(len(sizes), "How many records belong together")
    for at, size in enumerate(sizes):
        look = every[size] - sure[size]
        axes.barh(at, sure[size], color=BLUE, height=0.6)
        axes.barh(at, look, left=sure[size], color="white", edgecolor=BLUE, hatch="///", height=0.6)
        words = f"{sure[size]:,} sure" + (f", {look:,} to look at" if look else "")
        axes.annotate(words, (every[size], at), xytext=(4, 0), textcoords="offset points", va="center")
    label_rows(axes, [f"{size} records" for size in sizes])
    finish(axes, "clusters", room=0.4)
    told = [f"{every[size]:,} of {size} records ({sure[size]:,} sure)" for size in sizes]
    return described(figure, "Clusters: " + "; ".join(told), told)
