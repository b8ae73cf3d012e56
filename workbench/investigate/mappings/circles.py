"""Swaps and longer cycles among wrong mappings: pure, who leads to whose record.

Correcting one half of a swap leaves the other wrong, and two ids on one record meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """Where a mapping stands in its cycle.

    Attributes
    ----------
    cycle : str
        Its name: the smallest key in it.
    size : int
        2 for a swap.
    position : int
        From 0, which is the smallest key; each leads to the record of the next, the last to that of the first.
    """

    cycle: str
    size: int
    position: int


def find_cycles(leads_to: Mapping[str, str], belongs_to: Mapping[str, str]) -> dict[str, Place]:
    """Find the closed circles among wrong mappings.

    Parameters
    ----------
    leads_to, belongs_to : mapping of str to str
        Each wrong mapping's key to the record it leads to, and to the one it should lead to.

    Returns
    -------
    dict of str to Place
        For the mappings that are part of one; two mappings that should lead to one record are part of none.
    """
    owners: dict[str, list[str]] = {}
    for key in sorted(leads_to):
        if key in belongs_to:
            owners.setdefault(belongs_to[key], []).append(key)
    following = {
        key: owners[record][0] for key, record in leads_to.items() if len(owners.get(record, ())) == 1
    }
    found: dict[str, Place] = {}
    done: set[str] = set()
    for first in sorted(following):
        walked: list[str] = []
        at: str | None = first
        while at is not None and at not in done:
            done.add(at)
            walked.append(at)
            at = following.get(at)
        if at in walked:
            circle = walked[walked.index(at) :]
            start = circle.index(min(circle))
            circle = circle[start:] + circle[:start]
            if len(circle) > 1:
                found.update({key: Place(circle[0], len(circle), n) for n, key in enumerate(circle)})
    return found
