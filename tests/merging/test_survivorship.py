"""Field by field, whose value stays; and which record of a cluster does."""

from __future__ import annotations

from typing import Any

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.merging.conftest import plan_of
from tests.planting import Planter

PEOPLE = (
    {"phone": None, "waMembershipLevelRaw": "Gold", "updatedAt": "2026-05-01"},
    {"phone": "1", "waMembershipLevelRaw": "Silver", "updatedAt": "2026-06-01"},
    {"phone": "2", "waMembershipLevelRaw": None, "updatedAt": "2026-07-01"},
)
RULES: tuple[tuple[Any, str | None, str | None], ...] = (
    ("canonical", None, "Gold"),
    ("newest", "2", "Silver"),
    ("most-complete", "1", "Gold"),
    ({"phone": "newest"}, "2", "Gold"),
    ({"*": "newest", "waMembershipLevelRaw": "canonical"}, "2", "Gold"),
)


def test_the_rule_decides_field_by_field(ground: Ground) -> None:
    def trio() -> list[str]:
        return [planter.member(firstName="Ann", lastName="Lee", **values) for values in PEOPLE]

    def values_after(plan: Any, key: str) -> list[Any]:
        updates = [row for row in plan.operations if row.name == "update" and row.table == "Member"]
        assert not any({"createdAt", "updatedAt"} & {*row.changed} for row in updates), "a record's own"
        ground.carry_out(plan)
        return ground.ask('SELECT phone, "waMembershipLevelRaw" FROM "Member" WHERE id::text = %s', key)

    with Planter(ground) as planter:
        for rules, *values in RULES:
            stays, *others = trio()
            plan = plan_of(ground, (stays, others), rules=rules)
            if rules == "canonical":
                given_up = plan.parameters["merges"][0]["given_up"]
                assert {"phone", "waMembershipLevelRaw", "email"} <= given_up.keys()
                assert any("phone" in note for note in plan.notes)
            assert values_after(plan, stays) == [tuple(values)], rules
        stays, *others = trio()
        plan = plan_of(
            ground, (stays, others), by_hand={"phone": others[0], "waMembershipLevelRaw": others[1]}
        )
        source = plan.parameters["merges"][0]["fields"]["phone"]
        assert source == {"from": others[0], "rule": "by hand"}
        assert values_after(plan, stays) == [("1", None)]
        stays, *others = trio()
    plan = plan_of(ground, (stays, others), rules={"createdAt": "newest"})
    assert any("createdAt" in row.changed for row in plan.operations)


def test_most_associations_then_the_oldest_then_the_smallest_id(ground: Ground) -> None:
    with Planter(ground) as planter:
        older, newer, twin, popular = (
            planter.member(createdAt=f"2026-{month}-01") for month in ("01", "02", "01", "03")
        )
        planter.registration(popular, planter.event())
        planter.mapping(990010, popular)
    for cluster, canonical, by in (
        ([older, newer, popular], popular, "most associations (rows that refer to each: 2, 0, 0)"),
        ([newer, older], older, "the oldest"),
        ([twin, older], min(twin, older), "smallest id"),
    ):
        (merge,) = plan_of(ground, (None, cluster)).parameters["merges"]
        assert merge["canonical"] == canonical
        assert by in merge["chosen_by"]
    referring = ground.wb.duplicates.side_by_side([popular, older]).referring
    assert set(referring["id"]) == {popular}
    table = ground.wb.session.schema.table_of("Registration")
    assert sorted(referring["child"]) == sorted(["WaIdMapping", table])
    (merge,) = plan_of(ground, (older, popular)).parameters["merges"]
    assert merge["canonical"] == older
