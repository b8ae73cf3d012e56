"""Field by field, whose value stays; and which record of a cluster does."""

from __future__ import annotations

from typing import Any

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.planting import Planter
from workbench.duplicates.associations import choose_canonicals, count_associations
from workbench.murmurant.references import References

PEOPLE = (
    {"phone": None, "waMembershipLevelRaw": "Gold", "updatedAt": "2026-05-01"},
    {"phone": "1", "waMembershipLevelRaw": "Silver", "updatedAt": "2026-06-01"},
    {"phone": "2", "waMembershipLevelRaw": None, "updatedAt": "2026-07-01"},
)


def test_the_rule_decides_field_by_field(ground: Ground) -> None:
    def trio() -> list[str]:
        with Planter(ground) as planter:
            return [planter.member(firstName="Ann", lastName="Lee", **each) for each in PEOPLE]

    for rules, phone, level in (
        ("canonical", None, "Gold"),
        ("newest", "2", "Silver"),
        ("most-complete", "1", "Gold"),
        ({"phone": "newest"}, "2", "Gold"),
        ({"*": "newest", "waMembershipLevelRaw": "canonical"}, "2", "Gold"),
        ("by hand", "1", None),
    ):
        stays, *others = trio()
        how: dict[str, Any] = {"rules": rules}
        if rules == "by hand":
            how = {"by_hand": {"phone": others[0], "waMembershipLevelRaw": others[1]}}
        plan = ground.wb.duplicates.plan_merges([(stays, others)], **how)
        (merge,) = plan.parameters["merges"]
        if rules == "by hand":
            assert merge["fields"]["phone"] == {"from": others[0], "rule": "by hand"}
        if rules == "canonical":
            assert {"phone", "waMembershipLevelRaw", "email"} <= merge["given_up"].keys()
            assert any("phone" in note and "others go" in note for note in plan.notes)
        updates = [each for each in plan.operations if each.name == "update" and each.table == "Member"]
        assert not any({"createdAt", "updatedAt"} & {*each.changed} for each in updates), (
            "these are a record's own"
        )
        ground.carry_out(plan)
        question = 'SELECT phone, "waMembershipLevelRaw" FROM "Member" WHERE id::text = %s'
        assert ground.ask(question, stays) == [(phone, level)], rules
    stays, *others = trio()
    plan = ground.wb.duplicates.plan_merges([(stays, others)], rules={"createdAt": "newest"})
    assert any("createdAt" in each.changed for each in plan.operations)


def test_most_associations_then_the_oldest_then_the_smallest_id(ground: Ground) -> None:
    with Planter(ground) as planter:
        older, newer, twin, popular = (
            planter.member(createdAt=each)
            for each in ("2026-01-01", "2026-02-01", "2026-01-01", "2026-03-01")
        )
        planter.registration(popular, planter.event())
        planter.mapping(990010, popular)
    session = ground.wb.session
    with session.reading() as connection:
        first, second, third = choose_canonicals(
            connection, session.schema, [[older, newer, popular], [newer, older], [twin, older]]
        )
        graph = References(session.schema)
        counted = count_associations(connection, graph, [popular, older], graph.binding("Member"))
    assert (first.canonical, first.associations[popular], first.by) == (popular, 2, "most associations")
    assert second.canonical == older
    assert (third.canonical, "smallest id" in third.by) == (min(twin, older), True)
    assert set(counted["id"]) == {popular}
    assert sorted(counted["child"]) == sorted(["WaIdMapping", session.schema.table_of("Registration")])
    chosen = ground.wb.duplicates.plan_merges([(None, [older, popular])]).parameters["merges"][0]
    assert chosen["canonical"] == popular
    named = ground.wb.duplicates.plan_merges([(older, [popular])]).parameters["merges"][0]
    assert named["canonical"] == older
