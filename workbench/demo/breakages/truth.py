"""What a breakage is, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from workbench.demo.club import Club

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Truth:
    """What one breakage broke.

    Attributes
    ----------
    breakage, check : str
        Its name, and the check that must find it before all others.
    keys : frozenset of str
        What the check must name: ids of records, ``Member/50049`` for a mapping (entity, slash, WA
        id), a run's id for a run.
    detail : dict
        More for people and for tests of the repair, such as what was right before.
    """

    breakage: str
    check: str
    keys: frozenset[str]
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Breakage:
    """A way to break a club.

    Attributes
    ----------
    guide : str
        The section of the guide that describes it.
    symptom : str
        The guide's words for what people see.
    checks : tuple of str
        Every check it can make fire, the main one first.
    plant : callable
        Breaks the club and returns what it broke.
    """

    name: str
    guide: str
    symptom: str
    checks: tuple[str, ...]
    plant: Callable[[Connection, Club], Truth]


def mapping_key(entity: str, wa_id: int) -> str:
    """Return how a truth names a mapping."""
    return f"{entity}/{wa_id}"


BREAKAGES: dict[str, Breakage] = {}
"""Every breakage by its name, in the guide's order once the package is imported."""

Harm = tuple[Iterable[str], dict[str, Any]]
"""What a planting function returns: the keys of its truth, and the detail."""

Planting = Callable[[Connection, Club], Harm]


def breakage(guide: str, symptom: str, *checks: str) -> Callable[[Planting], Planting]:
    """Register a planting function as a breakage, named like the function."""

    def register(plant: Planting) -> Planting:
        name = plant.__name__.replace("_", "-")

        def truth(connection: Connection, club: Club) -> Truth:
            keys, detail = plant(connection, club)
            return Truth(name, checks[0], frozenset(keys), detail)

        BREAKAGES[name] = Breakage(name, guide, symptom, checks, truth)
        return plant

    return register
