"""Rows that change places under a unique index: applied as one, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.plans.conftest import OWNER_OF_ALL, Ground, Grounds
from tests.plans.test_fidelity import by_hand
from tests.states import differences
from workbench.errors import Drift
from workbench.plans.draft import Draft
from workbench.plans.plan import Plan

TABLES = """
CREATE TABLE room (id int PRIMARY KEY);
CREATE TABLE guest (id text PRIMARY KEY);
CREATE TABLE stay (id text PRIMARY KEY, room int NOT NULL REFERENCES room, guest text NOT NULL REFERENCES guest,
                   said text, UNIQUE (room, guest));
CREATE TABLE cup (number int PRIMARY KEY, stay text NOT NULL REFERENCES stay ON DELETE CASCADE ON UPDATE CASCADE);
"""
MakeRole = Callable[[Ground, Sequence[str]], str]
Place = tuple[int, int]


def house(grounds: Grounds, places: Sequence[Place], rooms: int = 3, guests: int = 12) -> Ground:
    """Make a house where some stay, each with a cup, in a database of its own."""
    ground = grounds.lay("api")
    ground.execute(TABLES)
    ground.execute("INSERT INTO room SELECT generate_series(1, %s)", rooms)
    ground.execute("INSERT INTO guest SELECT 'g' || generate_series(1, %s)", guests)
    for number, (room, guest) in enumerate(places):
        ground.execute("INSERT INTO stay VALUES (%s, %s, %s, 'x')", f"s{number}", room, f"g{guest}")
        ground.execute("INSERT INTO cup VALUES (%s, %s)", number, f"s{number}")
    return ground


def moving(ground: Ground, places: dict[str, Place], setting: Sequence[str] = ("room", "guest")) -> Plan:
    """Plan that some stays get other rooms and guests, in one section."""

    def fill(draft: Draft) -> None:
        wanted = {key: {"room": str(room), "guest": f"g{guest}"} for key, (room, guest) in places.items()}
        draft.update("stay", wanted, together=("room", "guest"))

    return by_hand(ground, fill)


def stays(ground: Ground) -> dict[str, Place]:
    return {
        key: (room, int(guest[1:])) for key, room, guest in ground.ask("SELECT id, room, guest FROM stay")
    }


@pytest.mark.parametrize("triggers", ["off", "on"])
def test_two_change_places(grounds: Grounds, role: MakeRole, triggers: str) -> None:
    ground = house(grounds, [(1, 1), (1, 2), (1, 3)])
    before = ground.state()
    owner = [OWNER_OF_ALL, "CREATE SCHEMA workbench AUTHORIZATION ROLE"]
    url = role(ground, owner) if triggers == "on" else None
    plan = moving(ground, {"s0": (1, 2), "s1": (1, 1)}, ["guest"])
    entry = ground.apply(plan, url=url)
    assert (entry.row_triggers, entry.total) == (triggers, 2)
    assert stays(ground) == {"s0": (1, 2), "s1": (1, 1), "s2": (1, 3)}
    ground.apply(ground.undo(plan.id), url=url)
    assert differences(before, ground.state()) == {}


def test_any_change_of_places_is_carried_out_and_comes_back(grounds: Grounds) -> None:
    ground = house(grounds, [])
    place = st.tuples(st.integers(1, 2), st.integers(1, 3))
    places = st.lists(place, min_size=6, max_size=6, unique=True)

    @settings(max_examples=4, deadline=None, phases=[Phase.generate])
    @given(st.integers(2, 6), places, places)
    def change(many: int, now: list[Place], then: list[Place]) -> None:
        ground.execute("DELETE FROM stay")
        for number, (room, guest) in enumerate(now[:many]):
            ground.execute("INSERT INTO stay VALUES (%s, %s, %s, 'x')", f"s{number}", room, f"g{guest}")
        before = ground.state()
        wanted = {f"s{number}": each for number, each in enumerate(then[:many])}
        plan = moving(ground, wanted)
        ground.apply(plan)
        assert stays(ground) == wanted
        ground.apply(ground.undo(plan.id))
        assert differences(before, ground.state()) == {}

    change()


def test_who_waits_takes_no_place_that_is_wanted_or_goes_elsewhere(grounds: Grounds) -> None:
    # In the first room the third guest's place is for somebody who comes from the second, and is the first to move.
    ground = house(grounds, [(2, 3), (1, 1), (1, 2)], guests=4)
    wanted = {"s0": (1, 3), "s1": (1, 2), "s2": (1, 1)}
    ground.apply(moving(ground, wanted))
    assert stays(ground) == wanted


def test_where_everybody_has_come_they_wait_in_another_room(grounds: Grounds) -> None:
    ground = house(grounds, [(1, 1), (1, 2), (1, 3)], guests=3)
    before = ground.state()
    plan = moving(ground, {"s0": (1, 2), "s1": (1, 3), "s2": (1, 1)}, ["guest"])
    ground.apply(plan)
    assert stays(ground) == {"s0": (1, 2), "s1": (1, 3), "s2": (1, 1)}
    ground.apply(ground.undo(plan.id))
    assert differences(before, ground.state()) == {}


def test_a_place_taken_meanwhile_or_none_to_wait_in_is_refused(grounds: Grounds) -> None:
    full = house(grounds, [(1, 1), (1, 2), (2, 1), (2, 2)], rooms=2, guests=2)
    error = full.refuses(moving(full, {"s0": (1, 2), "s1": (1, 1)}), "no free place", Drift)
    assert {row[1] for row in error.rows} == {"s0", "s1"}  # type: ignore[attr-defined]
    ground = house(grounds, [(1, 1), (1, 2)])
    plan = moving(ground, {"s0": (1, 2), "s1": (1, 3)})
    ground.execute("INSERT INTO stay VALUES ('new', 1, 'g3', 'x')")
    ground.refuses(plan, "stay_room_guest_key", Drift)
