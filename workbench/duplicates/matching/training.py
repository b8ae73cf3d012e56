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
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.duplicates.matching.fields import Comparison
from workbench.duplicates.matching.model import Model, Shares

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ENOUGH = 5_000
"""Members from which on the shares are estimated from them."""

SHIPPED = 100.0
"""As how many pairs of one person the shipped shares count beside those of the members."""

FLOOR = 5e-4
"""Probability, by the shipped model, from which on a pair counts in training."""

_SAMPLE = 300_000
_SHIPPED_PAIRS = 2_000
_NEAR = ("joined about the same time", "days of one month")
_CERTAIN, _FOUND = 0.95, 0.7

_NUMBERED = "CREATE TEMP TABLE numbered AS SELECT place, cast(row_number() OVER (ORDER BY md5(id)) - 1 AS integer) AS number FROM people"
_DRAWN = """
    CREATE TEMP TABLE drawn AS SELECT place AS low, cast((number + further) % {members} AS integer) AS number
    FROM numbered CROSS JOIN range(1, {steps} + 1) AS step(further) WHERE numbered.number < {sample}
"""
_RANDOM = """
    CREATE TEMP TABLE random AS SELECT low, numbered.place AS high FROM drawn JOIN numbered USING (number)
    JOIN people AS l ON l.place = low JOIN people AS r ON r.place = numbered.place
    WHERE NOT coalesce(l.first_name IN (r.first_name, r.last_name), FALSE) AND NOT coalesce(l.last_name IN (r.first_name, r.last_name), FALSE)
"""


def count_random(
    connection: DuckDBPyConnection, compared: list[Comparison], members: int, model: Model
) -> list[Comparison]:
    """Return the comparisons with the shares among strangers that random pairs of different names have.

    Shares that the model was given stay.
    """
    steps = max(min(_SAMPLE // max(members, 1), (members - 1) // 2), 1) if members > 1 else 0
    for statement in (_NUMBERED, _DRAWN, _RANDOM):
        connection.execute(statement.format(members=max(members, 1), steps=steps, sample=_SAMPLE))
    return [
        _count(connection, each, model.shares.get(each.name, {}))
        if any(level.counted for level in each.levels)
        else each
        for each in compared
    ]


def _count(connection: DuckDBPyConnection, compared: Comparison, given: Mapping[str, Shares]) -> Comparison:
    whens = " ".join(f"WHEN {level.condition} THEN {at}" for at, level in enumerate(compared.levels[:-1]))
    counts = dict(
        connection.execute(
            f"""SELECT CASE WHEN {compared.missing} THEN -1 {whens} ELSE {len(compared.levels) - 1} END AS level, count(*)
            FROM random JOIN people AS l ON l.place = low JOIN people AS r ON r.place = high GROUP BY ALL"""
        ).fetchall()
    )
    pairs = sum(count for level, count in counts.items() if level >= 0)
    levels = [
        level._replace(u=(counts.get(at, 0) + _SHIPPED_PAIRS * level.u) / (pairs + _SHIPPED_PAIRS))
        if level.counted and not (level.label in given and given[level.label].u)
        else level
        for at, level in enumerate(compared.levels)
    ]
    # Days near one another are as dense as a day itself is, without the duplicates that share it.
    near = [level.u / 62 for level in levels if level.label in _NEAR]
    if near:
        levels[0] = levels[0]._replace(least=max(near[0], levels[0].least))
    return compared._replace(levels=tuple(levels))


def refine(
    found: pd.DataFrame,
    compared: list[Comparison],
    members: int,
    model: Model,
    *,
    shares: bool,
    told_apart: bool,
) -> Model:
    """Return the model with what the pairs found say: how many duplicates there are, and with ``shares`` how they differ.

    The pairs that the shipped model holds for nearly certain are taken for seven in ten duplicates, as Splink takes those
    that fixed rules find: what is merely likely must not make itself likelier. Nor does a comparison speak for itself: among
    pairs that it made likely, the many strangers of similar names would outweigh the few duplicates.
    """
    probability = found["probability"].to_numpy()
    bits = np.log2(probability / (1 - probability).clip(1e-16))
    duplicates = max(int((probability >= _CERTAIN).sum()) / _FOUND / max(members, 1), model.duplicates_each)
    raised = told_apart | (found["weight_household"].to_numpy() == 0)
    bits += np.where(raised, log2(duplicates / model.duplicates_each), 0.0)
    named = {name: dict(labels) for name, labels in model.shares.items()}
    for each in compared if shares else ():
        levels = found[f"level_{each.name}"].to_numpy().astype(int)
        without = 1 / (1 + 2 ** (found[f"weight_{each.name}"].to_numpy() - bits))
        sure = (levels < len(each.levels)) & (without >= _CERTAIN)
        for group in _estimated(each):
            shipped = each.levels[group[0]].m
            there = without[sure & np.isin(levels, group)].sum()
            estimate = (there + SHIPPED * shipped) / (without[sure].sum() + SHIPPED)
            if group[-1] == len(each.levels) - 1:
                # Records of one person that differ much are missed more easily than found.
                estimate = max(estimate, shipped)
            estimated = Shares(m=min(max(round(float(estimate), 6), 1e-6), 0.999999))
            named.setdefault(each.name, {}).update({each.levels[at].label: estimated for at in group})
    return model.model_copy(update={"duplicates_each": round(float(duplicates), 6), "shares": named})


def _estimated(compared: Comparison) -> list[list[int]]:
    """Return which levels' shares are estimated, those together that are one: of names, that they differ altogether.

    How rare a name is, is known better from the names than from the pairs.
    """
    if compared.name == "generation":
        return []
    levels = list(enumerate(compared.levels))
    if compared.name not in ("first_name", "surname", "email"):
        return [[at] for at, _ in levels]
    last = compared.levels[-1]
    return [[at for at, each in levels if (each.m, each.term) == (last.m, "") and each.u >= 0.9]]
