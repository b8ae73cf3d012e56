"""Whatever refers to whom: a merge loses nobody's row, leaves no trace of a duplicate, and its undo is the identity."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.merging.conftest import LOG, Ground, Opening
from tests.merging.planting import every_reference
from tests.merging.test_every_reference import assert_nobody_speaks_of
from workbench.errors import Refused

_STATES = ("CONFIRMED", "WAITLISTED", "CANCELLED")
_PEOPLE = 4


@given(data=st.data())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_associations(opened: Opening, dialect: str, data: st.DataObject) -> None:
    ground = opened(dialect)
    canonical, duplicates = _random_people(ground, data)
    before = ground.state()
    try:
        plan = ground.workbench.plan_merge(canonical, duplicates)
    except Refused:  # two accounts, or rows of which no rule can tell: nothing may have happened
        assert ground.state() == before
        return
    after = ground.proved(plan, before)
    for each in duplicates:
        assert_nobody_speaks_of(after, each)
    deleted = Counter({table: cells.get("delete", 0) for table, cells in plan.changes.items()})
    for table, rows in before.items():
        if table != LOG:
            assert len(after[table]) == len(rows) - deleted[table], table
    assert deleted["Member"] == len(duplicates)
    for each in plan.header.parameters["conservation"]:
        assert each["before"] - each["after"] == each["deleted"]


def _random_people(ground: Ground, data: st.DataObject) -> tuple[str, list[str]]:
    with ground.planting() as planter:
        people = [planter.member() for _ in range(_PEOPLE)]
        events = [planter.event() for _ in range(2)]
        who = st.integers(0, _PEOPLE - 1)
        seats = st.lists(
            st.tuples(who, st.integers(0, 1), st.sampled_from(_STATES)), unique_by=lambda e: e[:2]
        )
        for person, event, status in data.draw(seats):
            planter.registration(people[person], events[event], status)
        ways = list(every_reference(planter))
        for place, person in data.draw(st.lists(st.tuples(st.integers(0, len(ways) - 1), who), max_size=8)):
            if ways[place].column != "memberId" or ways[place].child != "UserAccount":
                planter.referring(ways[place], people[person])
        count = data.draw(st.integers(1, _PEOPLE - 2))  # the last one is nobody's double
    return people[0], people[1 : 1 + count]


@pytest.mark.parametrize("dialect", ["application"])
def test_five_hundred_merges_are_one_plan(opened: Opening, dialect: str) -> None:
    ground = opened(dialect)
    with ground.planting() as planter:
        planter.connection.execute(
            'INSERT INTO "Member" (id, "firstName", "lastName", email, "joinedAt", "membershipStatusId", "updatedAt")'
            " SELECT md5('twin' || n)::uuid, 'A', 'B', n || '@example.net', now(), (SELECT min(id::text)::uuid FROM"
            ' "MembershipStatus"), now() FROM generate_series(1, 1000) n'
        )
        found = planter.connection.execute(
            "SELECT md5('twin' || n)::uuid::text, md5('twin' || n + 500)::uuid::text FROM generate_series(1, 500) n"
        ).fetchall()
        for number, (_, other) in enumerate(found[:50]):
            planter.mapping(880000 + number, other)
    before = ground.state()
    plan = ground.workbench.plan_merges([(one, [other]) for one, other in found])
    assert plan.changes == {"WaIdMapping": {"update": 50}, "Member": {"delete": 500}}
    ground.proved(plan, before)
