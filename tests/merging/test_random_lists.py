"""Random doubles with random associations: nothing refers to a duplicate afterwards, the proof holds, undo is the identity."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import LOG, Clubs, Ground
from tests.merging.conftest import plan_of
from tests.merging.test_collisions import STATES
from tests.planting import Planter, assert_nobody_speaks_of, every_reference
from workbench.errors import Refused

FEW = settings(
    max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "5")),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def associate(planter: Planter, people: list[str], seed: int, amount: int) -> None:
    """Let rows refer to some people: of any kind, and registrations for a few events that they share."""
    chance = random.Random(seed)
    ways = sorted(every_reference(planter), key=lambda way: (way.child, way.column))
    accounts: set[str] = set()
    for _ in range(amount):
        who, way = chance.choice(people), chance.choice(ways)
        if way.child == "UserAccount":
            if (accounts and chance.random() < 0.8) or who in accounts:
                continue
            accounts.add(who)
        planter.referring(way, who)
    for event in (planter.event() for _ in range(3)):
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
    clubs: Clubs, dialect: str, seed: int, clusters: list[int], amount: int, rule: str
) -> None:
    ground = clubs.clone(dialect, 60)
    with Planter(ground) as planter:
        groups = [[planter.member() for _ in range(size)] for size in clusters]
        associate(planter, [who for group in groups for who in group], seed, amount)
    before = ground.state()
    try:
        plan = plan_of(ground, *((group[0], group[1:]) for group in groups), rules=rule, skip_blocked=True)
    except Refused:  # every cluster has something that only a person can tell
        assert ground.state() == before
        return
    after = ground.proved(plan)
    for merge in plan.parameters["merges"]:
        for duplicate in merge["duplicates"]:
            assert_nobody_speaks_of(after, duplicate)
    for row in plan.parameters["conservation"]:
        assert row["before"] - row["deleted"] == row["after"]
        assert bool(row["deleted"]) is bool(row["why"])
    for table in before.keys() - {LOG}:
        deleted = plan.changes.get(table, {}).get("delete", 0)
        assert len(after[table]) == len(before[table]) - deleted


def test_five_hundred_merges_are_one_plan(application: Ground) -> None:
    application.execute(
        'INSERT INTO "Member" (id, "firstName", "lastName", email, "joinedAt", "membershipStatusId", "updatedAt")'
        " SELECT md5('twin' || n)::uuid, 'A', 'B', n || '@example.net', now(), (SELECT min(id::text)::uuid FROM"
        ' "MembershipStatus"), now() FROM generate_series(1, 1000) n'
    )
    merges = application.ask(
        "SELECT md5('twin' || n)::uuid::text, md5('twin' || n + 500)::uuid::text FROM generate_series(1, 500) n"
    )
    with Planter(application) as planter:
        for number, (_, duplicate) in enumerate(merges[:50]):
            planter.mapping(880000 + number, duplicate)
    plan = plan_of(application, *merges)
    assert plan.changes == {"WaIdMapping": {"update": 50}, "Member": {"delete": 500}}
    application.proved(plan)
