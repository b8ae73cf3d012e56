"""Clusters of records that are one, and which of them would stay (guide §4.4)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pandas as pd
from sqlalchemy import Connection

from workbench.duplicates.associations import choose_canonicals
from workbench.murmurant.schema import Schema

CLUSTER_COLUMNS = [
    *("cluster", "size", "members", "canonical", "by", "associations"),
    *("probability", "offered", "decision", "why", "against"),
]
_TOLD = 3


def duplicate_clusters(
    connection: Connection, schema: Schema, pairs: pd.DataFrame, entity: str
) -> pd.DataFrame:
    """Gather pairs into clusters, and choose for each the record that the guide's rule would keep.

    Parameters
    ----------
    pairs : pandas.DataFrame
        See `workbench.duplicates.pairs.gather`.
    entity : str
        ``Member``, ``Event`` or ``Registration``.

    Returns
    -------
    pandas.DataFrame
        `CLUSTER_COLUMNS`: ``cluster``, ``size``, ``members`` (ids), ``canonical`` and ``by`` (most associations,
        then the oldest), ``associations`` (id to count), ``probability`` (the least of its pairs), ``offered``
        (everybody in it beside everybody else is sure enough, or was called the same), ``decision`` (``same``
        where all pairs were, ``unsure`` where one was), ``why``, ``against``. Offered ones first, then the most
        probable.
    """
    inside = pairs[(pairs["cluster"] != "") & (pairs["decision"] != "different")]
    clusters = [(str(name), group) for name, group in inside.groupby("cluster", sort=True)]
    ids = [sorted({*group["left"], *group["right"]}) for _, group in clusters]
    choices = choose_canonicals(connection, schema, ids, entity)
    rows = [
        (
            *(name, len(members), members, choice.canonical, choice.by, choice.associations),
            *_judged(members, group),
        )
        for (name, group), members, choice in zip(clusters, ids, choices, strict=True)
    ]
    found = pd.DataFrame(rows, columns=CLUSTER_COLUMNS).astype({"probability": "float64", "offered": "bool"})
    return found.sort_values(
        ["offered", "probability", "cluster"],
        ascending=[False, False, True],
        kind="stable",
        ignore_index=True,
    )


def _judged(members: list[str], group: pd.DataFrame) -> Iterator[object]:
    """Yield a cluster's probability, whether it is offered, its decision, what speaks for and against it."""
    words = dict(zip(zip(group["left"], group["right"], strict=True), group["decision"], strict=True))
    sure = {
        pair
        for pair, offered in zip(words, group["offered"].tolist(), strict=True)
        if offered or words[pair] == "same"
    }
    yield group["probability"].min()
    # To merge them is to say of any two that they are one; a chain of likenesses does not say that.
    yield all(pair in sure for pair in combinations(members, 2))
    said = set(words.values())
    yield "unsure" if "unsure" in said else "same" if said == {"same"} else ""
    yield _together(group["why"].tolist())
    yield _together(group["against"].tolist())


def _together(told: list[str]) -> str:
    several = [each for each in dict.fromkeys(told) if each]
    more = f" | and {len(several) - _TOLD} more" if len(several) > _TOLD else ""
    return " | ".join(several[:_TOLD]) + more
