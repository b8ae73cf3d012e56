"""Field by field, whose value stays; and which record of a cluster does."""

from __future__ import annotations

import pytest

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.planting import Planter
from workbench.duplicates.associations import choose_canonicals, count_associations
from workbench.murmurant.references import References
from workbench.plans.plan import Plan

PEOPLE = (
    {"phone": None, "waMembershipLevelRaw": "Gold", "updatedAt": "2026-05-01"},
    {"phone": "1", "waMembershipLevelRaw": "Silver", "updatedAt": "2026-06-01"},
    {"phone": "2", "waMembershipLevelRaw": None, "updatedAt": "2026-07-01"},
)


@pytest.fixture
def trio(ground: Ground) -> list[str]:
    with Planter(ground) as planter:
        return [planter.member(firstName="Ann", lastName="Lee", **each) for each in PEOPLE]


def outcome(ground: Ground, plan: Plan, member: str) -> tuple[str | None, str | None]:
    before = ground.state()
    ground.carry_out(plan)
    assert ground.state() != before
    ((phone, level),) = ground.ask(
        'SELECT phone, "waMembershipLevelRaw" FROM "Member" WHERE id::text = %s', member
    )
    return phone, level


@pytest.mark.parametrize(
    ("rules", "phone", "level"),
    [
        ("canonical", None, "Gold"),
        ("newest", "2", "Silver"),
        ("most-complete", "1", "Gold"),
        ({"phone": "newest"}, "2", "Gold"),
        ({"*": "newest", "waMembershipLevelRaw": "canonical"}, "2", "Gold"),
    ],
)
def test_the_rule_decides(ground: Ground, trio: list[str], rules: str, phone: str, level: str) -> None:
    plan = ground.wb.duplicates.plan_merges([(trio[0], trio[1:])], rules=rules)
    assert outcome(ground, plan, trio[0]) == (phone, level)


def test_by_hand(ground: Ground, trio: list[str]) -> None:
    plan = ground.wb.duplicates.plan_merges(
        [(trio[0], trio[1:])], by_hand={"phone": trio[1], "waMembershipLevelRaw": trio[2]}
    )
    (merge,) = plan.parameters["merges"]
    assert merge["fields"]["phone"] == {"from": trio[1], "rule": "by hand"}
    assert outcome(ground, plan, trio[0]) == ("1", None)


def test_what_is_given_up_is_said_without_its_value(ground: Ground, trio: list[str]) -> None:
    plan = ground.wb.duplicates.plan_merges([(trio[0], trio[1:])])
    (merge,) = plan.parameters["merges"]
    assert {"phone", "waMembershipLevelRaw", "email"} <= merge["given_up"].keys()
    assert any("phone" in note and "others go" in note for note in plan.notes)


def test_when_it_was_made_is_nobody_s_but_its_own(ground: Ground, trio: list[str]) -> None:
    plan = ground.wb.duplicates.plan_merges([(trio[0], trio[1:])], rules="newest")
    updates = [each for each in plan.operations if each.name == "update" and each.table == "Member"]
    assert updates
    assert not any({"createdAt", "updatedAt"} & set(each.changed) for each in updates)
    plan = ground.wb.duplicates.plan_merges([(trio[0], trio[1:])], rules={"createdAt": "newest"})
    assert any("createdAt" in each.changed for each in plan.operations)


def test_most_associations_then_the_oldest_then_the_smallest_id(ground: Ground) -> None:
    with Planter(ground) as planter:
        older, newer, twin, popular = (
            planter.member(createdAt=each)
            for each in ("2026-01-01", "2026-02-01", "2026-01-01", "2026-03-01")
        )
        planter.registration(popular, planter.event())
        planter.mapping(990010, popular)
    wb = ground.wb
    with wb.session.reading() as connection:
        chosen = choose_canonicals(connection, wb.session.schema, [[older, newer, popular]])[0]
        assert (chosen.canonical, chosen.associations[popular], chosen.by) == (
            popular,
            2,
            "most associations",
        )
        assert choose_canonicals(connection, wb.session.schema, [[newer, older]])[0].canonical == older
        alike = choose_canonicals(connection, wb.session.schema, [[twin, older]])[0]
        assert alike.canonical == min(twin, older)
        assert "smallest id" in alike.by
        counted = count_associations(
            connection,
            References(wb.session.schema),
            [popular, older],
            wb.session.references.binding("Member"),
        )
    assert set(counted["id"]) == {popular}
    assert sorted(counted["child"]) == sorted(["WaIdMapping", wb.session.schema.table_of("Registration")])
