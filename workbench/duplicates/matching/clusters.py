"""From pairs to people: who belongs together, and who a reviewer has kept apart."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd


def cluster_pairs(pairs: pd.DataFrame, apart: Iterable[tuple[str, str]] = ()) -> pd.DataFrame:
    """Gather pairs into clusters.

    Pairs are taken from the most probable on; one that would bring two members together whom a reviewer
    called different is cut, so it is always the weakest link between them that gives way.

    Parameters
    ----------
    pairs : pandas.DataFrame
        Columns ``left``, ``right``, ``probability``, as `match_members` gives.
    apart : iterable of (str, str)
        Members who never end up in one cluster.

    Returns
    -------
    pandas.DataFrame
        ``cluster`` (its smallest member id), ``member``, ``size``; sorted by cluster and member. Members
        without any link left are in no cluster.
    """
    home: dict[str, str] = {}
    members: dict[str, set[str]] = {}
    foes: dict[str, set[str]] = {}
    for left, right in apart:
        if left != right:
            foes.setdefault(left, set()).add(right)
            foes.setdefault(right, set()).add(left)
    links = sorted(
        zip(pairs["left"].tolist(), pairs["right"].tolist(), pairs["probability"].tolist(), strict=True),
        key=lambda link: (-link[2], link[0], link[1]),
    )
    for left, right, _ in links:
        first, second = home.setdefault(left, left), home.setdefault(right, right)
        if first == second:
            continue
        small, large = sorted((first, second), key=lambda name: (len(members.get(name, ())), name))
        joining = members.get(small, {small})
        staying = members.get(large, {large})
        if any(foes.get(member, set()) & staying for member in joining):
            continue
        members[large] = staying | joining
        members.pop(small, None)
        for member in joining:
            home[member] = large
    rows = [
        (min(cluster), member, len(cluster)) for cluster in members.values() for member in sorted(cluster)
    ]
    return pd.DataFrame(sorted(rows), columns=["cluster", "member", "size"]).astype(
        {"cluster": "str", "member": "str", "size": "int64"}
    )
