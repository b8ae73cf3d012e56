"""The draft that every planner writes through: what it orders, drops and refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Clubs, Ground
from workbench.database.connection import SESSION_OPTIONS
from workbench.errors import Refused, WorkbenchError
from workbench.plans import rows
from workbench.plans.draft import Draft
from workbench.plans.plan import Plan

TABLES = """
CREATE TABLE room (id int PRIMARY KEY);
CREATE TABLE guest (id text PRIMARY KEY, likes text REFERENCES guest);
CREATE TABLE stay (id text PRIMARY KEY, room int NOT NULL REFERENCES room, guest text NOT NULL REFERENCES guest,
                   said text, UNIQUE (room, guest));
CREATE TABLE hen (id int PRIMARY KEY, egg int NOT NULL);
CREATE TABLE egg (id int PRIMARY KEY, hen int NOT NULL REFERENCES hen);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg;
INSERT INTO room SELECT generate_series(1, 3);
INSERT INTO guest SELECT 'g' || generate_series(1, 4);
UPDATE guest SET likes = 'g1' WHERE id <> 'g1';
INSERT INTO stay VALUES ('s1', 1, 'g1', 'x'), ('s2', 1, 'g2', 'x'), ('s3', 2, 'g1', 'x'), ('s4', 3, 'g3', NULL);
"""


@pytest.fixture
def house(clubs: Clubs) -> Ground:
    ground = clubs.clone("guide")
    ground.execute(TABLES)
    return ground


def drafted(ground: Ground, fill: Callable[[Draft], None]) -> Plan:
    with (
        ground.open() as wb,
        wb.session.planning() as context,
        Draft(context, "merge", reasons=["Why."]) as draft,
    ):
        fill(draft)
    return draft.plan


def merge_the_first_into_a_new_guest(draft: Draft) -> None:
    """Said in the worst order: nothing of it could be carried out as it stands here."""
    draft.delete("guest", ["g1"])
    draft.insert("guest", {"id": "g9", "likes": "g8"})
    draft.insert("guest", {"id": "g8", "likes": None})
    draft.update("guest", {key: {"likes": "g9"} for key in ("g2", "g3", "g4")})
    # Where s2 is, which goes.
    draft.update("stay", {"s3": {"guest": "g2", "room": "1"}, "s1": {"guest": "g9"}})
    draft.delete("stay", ["s2"])
    draft.insert("stay", {"id": "s9", "room": "2", "guest": "g1x"})


def test_changes_are_ordered_so_that_they_can_be_carried_out_and_taken_back(house: Ground) -> None:
    def fill(draft: Draft) -> None:
        merge_the_first_into_a_new_guest(draft)
        draft.insert("guest", {"id": "g1x", "likes": None})

    plan = drafted(house, fill)
    order = [(each.name, each.table) for each in plan.operations]
    assert order.index(("delete", "guest")) > max(
        number for number, step in enumerate(order) if step[0] == "update"
    )
    assert order.index(("insert", "stay")) > order.index(("insert", "guest"))
    house.proved(plan)


def test_the_order_in_which_changes_are_said_does_not_count(house: Ground) -> None:
    said = [
        lambda draft: draft.update("stay", {"s2": {"said": "a"}, "s1": {"said": "b"}}),
        lambda draft: draft.delete("stay", ["s4"]),
        lambda draft: draft.delete("stay", ["s3"]),
        lambda draft: draft.keep("room", "1", "why"),
        lambda draft: draft.unresolved("room", "2", "why", "what"),
    ]
    plans = [
        drafted(house, lambda draft, way=way: [each(draft) for each in way]) for way in (said, said[::-1])
    ]  # type: ignore[misc]
    assert plans[0].digest == plans[1].digest


def test_what_does_not_change_is_dropped_but_where_rows_change_places(house: Ground) -> None:
    def fill(draft: Draft) -> None:
        draft.update("stay", {"s4": {"said": None, "room": "3"}, "s1": {"said": "x", "guest": "g3"}})

    plan = drafted(house, fill)
    assert [(each.table, each.changed, each.rows) for each in plan.operations] == [("stay", ("guest",), 1)]

    def change_places(draft: Draft) -> None:
        wanted = {"s1": {"guest": "g2", "room": "1"}, "s2": {"guest": "g1", "room": "1"}}
        draft.update("stay", wanted, together=("guest", "room"))

    plan = drafted(house, change_places)
    assert [(each.changed, each.rows) for each in plan.operations] == [(("guest", "room"), 2)]
    house.proved(plan)


def test_a_draft_without_a_change_is_refused_with_the_first_reason(house: Ground) -> None:
    def fill(draft: Draft) -> None:
        draft.update("stay", {"s1": {"said": "x"}})
        draft.keep("stay", "s2", "a person changed it")

    with pytest.raises(Refused) as refused:
        drafted(house, fill)
    assert "stay s2: a person changed it" in refused.value.next_step
    assert not house.plans.exists()


@pytest.mark.parametrize(
    "fill",
    [
        lambda draft: (draft.delete("stay", ["s1"]), draft.keep("stay", "s1", "why")),
        lambda draft: (draft.delete("stay", ["s1"]), draft.unresolved("stay", "s1", "why", "what")),
        lambda draft: draft.update("stay", {"nobody": {"said": "x"}}),
    ],
    ids=["deleted and kept", "deleted and unresolved", "missing"],
)
def test_two_things_of_one_row_or_a_change_of_none_are_never_written(
    house: Ground, fill: Callable[[Draft], None]
) -> None:
    with pytest.raises(WorkbenchError, match="bug of the workbench"):
        drafted(house, fill)
    assert not house.plans.exists()


def test_a_circle_that_nothing_opens_is_refused(house: Ground) -> None:
    def fill(draft: Draft) -> None:
        draft.delete("hen", ["1"])
        draft.delete("egg", ["1"])

    with pytest.raises(Refused, match="cycle"):
        drafted(house, fill)
    assert list(house.plans.iterdir()) == []


def test_what_is_deleted_is_told_alike_however_it_is_read(clubs: Clubs) -> None:
    club = clubs.clone("application", 50)
    keys = sorted(club.ask('SELECT id::text FROM "EventRegistration"'))
    gone = [key for key in keys if key.startswith("0")]
    club.execute('DELETE FROM "EventRegistration" WHERE id::text = ANY(%s)', gone)
    told = {}
    for rows_known in (10**9, 1):  # looked up one by one; the table read through
        club.execute("UPDATE pg_class SET reltuples = %s WHERE relname = 'EventRegistration'", rows_known)
        with club.connect(options=SESSION_OPTIONS) as connection:
            catalogue = club.wb.session.schema.catalogue
            told[rows_known] = b"".join(rows.deleted(connection, catalogue, "EventRegistration", keys))
    assert told[1] == told[10**9]
    assert [line.split("\t")[0] for line in told[1].decode().splitlines()] == sorted({*keys} - {*gone})
    assert gone
