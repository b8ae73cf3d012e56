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
    circles : list of list of str
        Registrations that change places with one another: each goes where the next one is, the last to the first.
    refused : dict of str to str
        Registration to the reason why it stays.
    """

    layers: list[list[str]] = field(default_factory=list)
    circles: list[list[str]] = field(default_factory=list)
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
        Whether the database itself forbids two in one place. It looks row by row, so those that change places
        are told apart: they must reach the apply together, which lets one step aside meanwhile.
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
        return Moves([sorted(going)] if going else [], refused=refused)
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
    # Nobody else may go where one of these goes, so each place leads to the next and the last to the first.
    at = {now[key]: key for key in waiting}
    circles: list[list[str]] = []
    for key in sorted(waiting):
        if key not in waiting:
            continue
        circle: list[str] = []
        while key in waiting:
            circle.append(key)
            key = at[waiting.pop(key)]
        circles.append(circle)
    return Moves(layers, circles, refused)


_PLACE = "the place it belongs to (same event, same member)"
