"""Registrations that move to another event or person without ever colliding: pure, slots in, an order out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Slot = tuple[str, str]
"""Event and member: no two registrations may have the same."""


@dataclass(frozen=True)
class Moves:
    """Which registrations move, in which order, and which cannot.

    Attributes
    ----------
    layers : list of list of str
        Registrations that move together; each layer into places that the layers before it have left.
    refused : dict of str to str
        Registration to the reason why it stays.
    """

    layers: list[list[str]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def order_moves(now: Mapping[str, Slot], after: Mapping[str, Slot], *, unique: bool) -> Moves:
    """Find an order in which registrations can move, one statement to a layer.

    Parameters
    ----------
    now : mapping of str to (event, member)
        Where every registration that moves is, and every other one in a place that somebody moves to.
    after : mapping of str to (event, member)
        Where those that move shall be.
    unique : bool
        Whether the database itself forbids two in one place. It looks row by row: even two that change
        places in one statement collide, so a circle cannot move, whatever the order.
    """
    refused: dict[str, str] = {}
    going = dict(after)
    while True:
        held: dict[Slot, list[str]] = {}
        for key, slot in now.items():
            if key not in going:
                held.setdefault(slot, []).append(key)
        for key, slot in going.items():
            held.setdefault(slot, []).append(key)
        blocked = {
            key: min(other for other in held[slot] if other != key)
            for key, slot in going.items()
            if len(held[slot]) > 1
        }
        if not blocked:
            break
        for key, other in blocked.items():
            refused[key] = f"{_PLACE} is taken by registration {other}"
            del going[key]
    if not unique:
        return Moves([sorted(going)] if going else [], refused)
    layers: list[list[str]] = []
    waiting = dict(going)
    while waiting:
        taken = {now[key]: key for key in waiting}
        free = sorted(key for key, slot in waiting.items() if taken.get(slot, key) == key)
        if not free:
            break
        layers.append(free)
        for key in free:
            del waiting[key]
    for key, slot in waiting.items():
        other = next(each for each in waiting if now[each] == slot)
        refused[key] = (
            f"{_PLACE} is that of registration {other}, which would have to move at the same moment; the"
            " database does not let two change places. Both people are registered either way: compare status and date"
        )
    return Moves(layers, refused)


_PLACE = "the place it belongs to (same event, same member)"
