"""Each way of breaking a club that the guide describes, planted on purpose, with the truth of it."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.demo.breakages import duplicates, integrity, mappings, operators, partial, policies, tiers
from workbench.demo.breakages.intruder import DAYS
from workbench.demo.breakages.truth import BREAKAGES, Breakage, Connection, Truth
from workbench.demo.club import Club

__all__ = ["BREAKAGES", "Breakage", "Truth", "break_club"]

_ROOMS = (partial, mappings, tiers, duplicates, policies, operators, integrity)  # each registers its own

for _name in sorted(BREAKAGES, key=lambda name: BREAKAGES[name].guide):
    BREAKAGES[_name] = BREAKAGES.pop(_name)


def break_club(connection: Connection, club: Club, names: Iterable[str]) -> tuple[Truth, ...]:
    """Plant breakages in a healthy club, all in one transaction.

    Whatever order they are named in, planted runs come first, in order of their days (each leaves the
    sync state as a sync does), then the rest in the guide's order; so the same names always give the
    same club.

    Returns
    -------
    tuple of Truth
        In the order of planting.

    Raises
    ------
    KeyError
        For a name that is not in `BREAKAGES`.
    """
    wanted = {BREAKAGES[name].name for name in names}
    runs = [name for name in DAYS if name in wanted]
    rest = [name for name in BREAKAGES if name in wanted and name not in DAYS]
    with connection.transaction():
        return tuple(BREAKAGES[name].plant(connection, club) for name in (*runs, *rest))
