"""What the members themselves say of the model: how many duplicates there are, and how often slips and changes occur.

Three figures come from any club: how often strangers agree by chance in days, numbers and addresses (random pairs of members of
different names), how far apart joining days lie, and how many duplicates there are. The latter is only ever raised above what is
shipped: a club with half its members twice needs less evidence of each. How often one person's records differ is estimated from
`ENOUGH` members on and never below, each comparison among the pairs that are nearly certain by everything else. The shipped
shares count as `SHIPPED` further pairs; where little else is known of members, they stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from typing import Any

import numpy as np
import pandas as pd

from workbench.duplicates.matching.engines import Engine
from workbench.duplicates.matching.fields import Comparison
from workbench.duplicates.matching.model import Model, Shares

ENOUGH = 5_000
"""Members from which on the shares are estimated from them."""

SHIPPED = 100.0
"""As how many pairs of one person the shipped shares count beside those of the members."""

FLOOR = 5e-4
"""Probability, by the shipped model, from which on a pair counts in training."""

_SHIPPED_PAIRS = 2_000
_NEAR = ("joined about the same time", "days of one month")
_CERTAIN, _FOUND = 0.95, 0.7


def count_random(engine: Engine, compared: list[Comparison], model: Model) -> list[Comparison]:
    """Return the comparisons with the shares among strangers that random pairs of different names have.

    Shares that the model was given stay.
    """
    counted = [comparison for comparison in compared if any(level.counted for level in comparison.levels)]
    if not counted:
        return compared
    places = ", ".join(
        f"CASE WHEN {comparison.missing} THEN -1"
        + "".join(f" WHEN {level.condition} THEN {at}" for at, level in enumerate(comparison.levels[:-1]))
        + f" ELSE {len(comparison.levels) - 1} END AS {comparison.name}"
        for comparison in counted
    )
    pairs = engine.rows(
        f"SELECT {places} FROM random JOIN people AS l ON l.place = low JOIN people AS r ON r.place = high"
    )
    shares = {
        comparison.name: _count(
            comparison, pairs[comparison.name].to_numpy(), model.shares.get(comparison.name, {})
        )
        for comparison in counted
    }
    return [shares.get(comparison.name, comparison) for comparison in compared]


def _count(comparison: Comparison, places: Any, given: Mapping[str, Shares]) -> Comparison:
    """Return a comparison with the shares of its levels among pairs, of which each has the place of its level, or -1."""
    counts = np.bincount(places[places >= 0].astype(int), minlength=len(comparison.levels))
    levels = [
        level._replace(u=float((count + _SHIPPED_PAIRS * level.u) / (counts.sum() + _SHIPPED_PAIRS)))
        if level.counted and not (level.label in given and given[level.label].u)
        else level
        for level, count in zip(comparison.levels, counts, strict=True)
    ]
    # Days near one another are as dense as a day itself is, without the duplicates that share it.
    near = [level.u / 62 for level in levels if level.label in _NEAR]
    if near:
        levels[0] = levels[0]._replace(least=max(near[0], levels[0].least))
    return comparison._replace(levels=tuple(levels))


def refine(
    pairs: pd.DataFrame,
    compared: list[Comparison],
    members: int,
    model: Model,
    *,
    shares: bool,
    told_apart: bool,
) -> Model:
    """Return the model with what the pairs say: how many duplicates there are, and with ``shares`` how they differ.

    The pairs that the shipped model holds for nearly certain are taken for seven in ten duplicates, as Splink takes those
    that fixed rules find: what is merely likely must not make itself likelier. Nor does a comparison speak for itself: among
    pairs that it made likely, the many strangers of similar names would outweigh the few duplicates.
    """
    probability = pairs["probability"].to_numpy()
    bits = np.log2(probability / (1 - probability).clip(1e-16))
    duplicates = max(int((probability >= _CERTAIN).sum()) / _FOUND / max(members, 1), model.duplicates_each)
    raised = told_apart | (pairs["weight_household"].to_numpy() == 0)
    bits += np.where(raised, log2(duplicates / model.duplicates_each), 0.0)
    named = {name: dict(labels) for name, labels in model.shares.items()}
    for comparison in compared if shares else ():
        levels = pairs[f"level_{comparison.name}"].to_numpy()
        without = 1 / (1 + 2 ** (pairs[f"weight_{comparison.name}"].to_numpy() - bits))
        sure = (levels >= 0) & (without >= _CERTAIN)
        for group in _estimated(comparison):
            shipped = comparison.levels[group[0]].m
            agreeing = without[sure & np.isin(levels, group)].sum()
            estimate = (agreeing + SHIPPED * shipped) / (without[sure].sum() + SHIPPED)
            if group[-1] == len(comparison.levels) - 1:
                # Records of one person that differ much are missed more easily than found.
                estimate = max(estimate, shipped)
            estimated = Shares(m=min(max(round(float(estimate), 6), 1e-6), 0.999999))
            labels = named.setdefault(comparison.name, {})
            labels |= {comparison.levels[at].label: estimated for at in group}
    return model.model_copy(update={"duplicates_each": round(float(duplicates), 6), "shares": named})


def _estimated(comparison: Comparison) -> list[list[int]]:
    """Return which levels' shares are estimated, those together that are one: of names, that they differ altogether.

    How rare a name is, is known better from the names than from the pairs.
    """
    if comparison.name == "generation":
        return []
    levels = list(enumerate(comparison.levels))
    if comparison.name not in ("first_name", "surname", "email"):
        return [[at] for at, _ in levels]
    last = comparison.levels[-1]
    return [[at for at, level in levels if (level.m, level.term) == (last.m, "") and level.u >= 0.9]]
