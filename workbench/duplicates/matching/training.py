"""Estimate parts of the model from the members: how many duplicates there are, and how often their records differ.

Three figures come from any club: how often strangers agree by chance in days, numbers and addresses (random pairs of members of
different names), how far apart joining days lie, and how many duplicates there are. The latter is only ever raised above what is
shipped: a club with half its members twice needs less evidence of each. How often one person's records differ is estimated from
`ENOUGH` members on and never below, each comparison among the pairs that are nearly certain by everything else. The shipped
shares count as `SHIPPED` further pairs; where little else is known of members, they stay.
"""

from __future__ import annotations

from math import log2
from typing import Any

import numpy as np
import pandas as pd

from workbench.duplicates.matching.engines import Engine
from workbench.duplicates.matching.model import Comparison, Model, Shares, changed, level_query

ENOUGH = 5_000
"""Number of members from which on shares are estimated."""

SHIPPED = 100.0
"""Weight of the shipped shares, in pairs of one person."""

FLOOR = 5e-4
"""Minimum probability, by the shipped model, of a pair that is used in training."""

_SHIPPED_PAIRS = 2_000
_NEAR = ("joined about the same time", "days of one month")
_CERTAIN, _FOUND = 0.95, 0.7
_AGREEING = 4.0
_NAMED = ("first_name", "surname", "generation", "email")


def count_random(engine: Engine, compared: list[Comparison], model: Model) -> list[Comparison]:
    """Return the comparisons with ``u`` as counted among random pairs of members with different names.

    Shares that the given model has are kept.
    """
    counted = [comparison for comparison in compared if any(level.counted for level in comparison.levels)]
    places = ", ".join(f"{level_query(comparison)} AS {comparison.name}" for comparison in counted)
    pairs = engine.rows(
        f"SELECT {places} FROM random JOIN people AS l ON l.place = low JOIN people AS r ON r.place = high"
    )
    by_name = {
        comparison.name: _count(comparison, pairs[comparison.name].to_numpy()) for comparison in counted
    }
    return [changed(by_name.get(comparison.name, comparison), model) for comparison in compared]


def _count(comparison: Comparison, places: Any) -> Comparison:
    """Return a comparison with ``u`` as counted; ``places`` are the levels of random pairs, -1 if they cannot be compared."""
    counts = np.bincount(places[places >= 0].astype(int), minlength=len(comparison.levels))
    levels = [
        level._replace(u=float((count + _SHIPPED_PAIRS * level.u) / (counts.sum() + _SHIPPED_PAIRS)))
        if level.counted
        else level
        for level, count in zip(comparison.levels, counts, strict=True)
    ]
    # How common a single day is follows from neighbouring days, among which there are no duplicates.
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
) -> tuple[Model, list[Comparison]]:
    """Estimate from the pairs how many duplicates there are, and with ``shares`` how they differ; weigh the pairs anew.

    The pairs that the shipped model holds for nearly certain are taken for seven in ten duplicates, as Splink takes those
    that fixed rules find: what is merely likely must not make itself likelier.

    Parameters
    ----------
    pairs : pandas.DataFrame
        What ``matching`` weighed by the shipped model; its weights and probabilities are changed.
    told_apart : bool
        Whether something tells housemates apart; else two who may live together are as likely one person as shipped.

    Returns
    -------
    Model, list of Comparison
        With what was estimated.
    """
    certain = int((pairs["probability"] >= _CERTAIN).sum())
    duplicates = round(max(certain / _FOUND / max(members, 1), model.duplicates_each), 6)
    more = log2(duplicates / model.duplicates_each)
    if not told_apart:
        pairs.loc[pairs["weight_household"] != 0, "weight_household"] -= more
    pairs["weight_prior"] += more
    set_probability(pairs)
    model = model.model_copy(update={"duplicates_each": duplicates})
    for estimate in (_estimate_apart, _divide_agreement) if shares else ():
        named = {
            comparison.name: model.shares.get(comparison.name, {}) | labels
            for comparison in compared
            if (labels := estimate(comparison, pairs))
        }
        model = model.model_copy(update={"shares": model.shares | named})
        compared = _weigh_anew(pairs, compared, model)
    return model, compared


def set_probability(pairs: pd.DataFrame) -> None:
    """Set the pairs' probability to what their weights, in bits, add up to."""
    pairs["probability"] = 1 / (1 + 2 ** -pairs.filter(like="weight_").sum(axis=1))


def _weigh_anew(pairs: pd.DataFrame, compared: list[Comparison], model: Model) -> list[Comparison]:
    """Return the comparisons with the model's shares, and change the pairs' weights accordingly."""
    refined = [changed(comparison, model) for comparison in compared]
    for before, after in zip(compared, refined, strict=True):
        # The last entry is for what cannot be compared, whose level is -1.
        more = [log2(new.m / old.m) for old, new in zip(before.levels, after.levels, strict=True)] + [0.0]
        pairs[f"weight_{before.name}"] += np.array(more)[pairs[f"level_{before.name}"]]
    set_probability(pairs)
    return refined


def _estimate_apart(comparison: Comparison, pairs: pd.DataFrame) -> dict[str, Shares]:
    """Estimate shares among the pairs that are nearly certain by everything else.

    A comparison does not speak for itself: among pairs that it made likely, the many strangers of similar names would
    outweigh the few duplicates.
    """
    levels = pairs[f"level_{comparison.name}"].to_numpy()
    others = pairs.filter(like="weight_").drop(columns=f"weight_{comparison.name}").sum(axis=1)
    without = 1 / (1 + 2 ** -others.to_numpy())
    sure = (levels >= 0) & (without >= _CERTAIN)
    estimated: dict[str, Shares] = {}
    for group in _estimated(comparison):
        shipped = comparison.levels[group[0]].m
        agreeing = without[sure & np.isin(levels, group)].sum()
        estimate = (agreeing + SHIPPED * shipped) / (without[sure].sum() + SHIPPED)
        if group[-1] == len(comparison.levels) - 1:
            # Records of one person that differ much are missed more easily than found.
            estimate = max(estimate, shipped)
        share = Shares(m=min(max(round(float(estimate), 6), 1e-6), 0.999999))
        estimated |= {comparison.levels[at].label: share for at in group}
    return estimated


def _divide_agreement(comparison: Comparison, pairs: pd.DataFrame) -> dict[str, Shares]:
    """Divide the share of all agreements among the levels that agree, as probable pairs are divided among them.

    Random pairs hardly ever reach these levels, so a pair that does so speaks for itself.
    """
    if comparison.name in (*_NAMED, "phone"):
        return {}
    sums = pairs.groupby(f"level_{comparison.name}")["probability"].sum()
    agreeing = {
        at: level
        for at, level in enumerate(comparison.levels)
        if level.term or level.m >= _AGREEING * level.u
    }
    whole = sum(level.m for level in agreeing.values())
    counts = {at: float(sums.get(at, 0.0)) + SHIPPED * level.m / whole for at, level in agreeing.items()}
    total = sum(counts.values())
    return {
        level.label: Shares(m=max(round(whole * counts[at] / total, 6), 1e-6))
        for at, level in agreeing.items()
    }


def _estimated(comparison: Comparison) -> list[list[int]]:
    """Return which levels' shares are estimated, those together that are one: of names, that they differ altogether.

    How rare a name is, is known better from the names than from the pairs.
    """
    if comparison.name == "generation":
        return []
    levels = list(enumerate(comparison.levels))
    if comparison.name not in _NAMED:
        return [[at] for at, _ in levels]
    last = comparison.levels[-1]
    return [[at for at, level in levels if (level.m, level.term) == (last.m, "") and level.u >= 0.9]]
