"""Random doubles with random associations: nothing refers to a duplicate afterwards, the proof holds, undo is the identity."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import Clubs, Ground
from tests.merging.test_collisions import STATES
from tests.planting import Planter, assert_nobody_speaks_of, every_reference
from workbench.errors import Refused

FEW = settings(
    max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "6")),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def associate(planter: Planter, people: list[str], seed: int, amount: int) -> None:
    """Let rows refer to some people: of any kind, and registrations for a few events that they share."""
    chance = random.Random(seed)
    ways = sorted(every_reference(planter), key=lambda each: (each.child, each.column))
    accounts: set[str] = set()
    for _ in range(amount):
        who, way = chance.choice(people), chance.choice(ways)
        if way.child == "UserAccount":
            if (accounts and chance.random() < 0.8) or who in accounts:
                continue
            accounts.add(who)
        planter.referring(way, who)
    events = [planter.event() for _ in range(3)]
    for event in events:
        for who in people:
            if chance.random() < 0.5:
                row = planter.registration(who, event, chance.choice(STATES)[0])
                if chance.random() < 0.15 and "PaymentIntent" in planter.tables:
                    planter.row("PaymentIntent", registrationId=row)


@pytest.mark.parametrize("dialect", ["guide", "application"])
@FEW
@given(
    seed=st.integers(0, 10_000),
    clusters=st.lists(st.integers(2, 4), min_size=1, max_size=3),
    amount=st.integers(0, 25),
    rule=st.sampled_from(["canonical", "newest", "most-complete"]),
)
def test_nothing_is_lost(
    clubs: Clubs,
    dialect: str,
    seed: int,
    clusters: list[int],
    amount: int,
    rule: str,
) -> None:
    ground = clubs.clone(dialect, 60)
    with Planter(ground) as planter:
        groups = [[planter.member() for _ in range(size)] for size in clusters]
        associate(planter, [who for group in groups for who in group], seed, amount)
    before = ground.state()
    merges = [(group[0], group[1:]) for group in groups]
    try:
        plan = ground.wb.duplicates.plan_merges(merges, rules=rule, skip_blocked=True)
    except Refused:  # every cluster has something that only a person can tell
        assert ground.state() == before
        return
    done = {each["canonical"]: each["duplicates"] for each in plan.parameters["merges"]}
    after = ground.proved(plan)
    for duplicates in done.values():
        for duplicate in duplicates:
            assert_nobody_speaks_of(after, duplicate)
    for each in plan.parameters["conservation"]:
        assert each["before"] - each["deleted"] == each["after"]
        assert bool(each["deleted"]) is bool(each["why"])
    deleted = {table: cells.get("delete", 0) for table, cells in plan.changes.items()}
    for table, rows in before.items():
        if table != "AuditLog":
            assert len(after[table]) == len(rows) - deleted.get(table, 0)


def test_five_hundred_merges_are_one_plan(application: Ground) -> None:
    with Planter(application) as planter:
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
    plan = application.wb.duplicates.plan_merges([(one, [other]) for one, other in found])
    assert plan.changes == {"WaIdMapping": {"update": 50}, "Member": {"delete": 500}}
    application.proved(plan)
