"""Where two rows would become one: the rule that decides, the loser's own rows, and what nobody but a person can tell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Ground
from tests.merging.conftest import plan_of, refused, remaining, two
from tests.planting import Planter, assert_nobody_speaks_of
from workbench.errors import Refused, UsageError

STATES = [
    ("CONFIRMED", "WAITLISTED", 0),
    ("WAITLISTED", "CONFIRMED", 1),
    ("CANCELLED", "WAITLISTED", 1),
    ("CONFIRMED", "CANCELLED", 0),
]


def test_of_two_registrations_the_one_further_along_stays(ground: Ground) -> None:
    table, merges, expected = ground.wb.session.schema.table_of("Registration"), [], []
    with Planter(ground) as planter:

        def registered(*states: str, **values: Any) -> list[str]:
            """Register new people, who are to be merged, for one event; return the registrations."""
            people, event = [planter.member() for _ in states], planter.event()
            merges.append((people[0], people[1:]))
            return [
                planter.registration(who, event, state, **{name: each[at] for name, each in values.items()})
                for at, (who, state) in enumerate(zip(people, states, strict=True))
            ]

        for ours, theirs, stays in STATES:
            pair = registered(ours, theirs)
            expected.append((pair, [pair[stays]]))
        alone = planter.registration(merges[-1][1][0], planter.event(), "CANCELLED")
        expected.append(([alone], [alone]))
        for moments in (("2026-03-01", "2026-03-02"), ("2026-03-02", "2026-03-01")):
            pair = registered("CONFIRMED", "CONFIRMED", registeredAt=moments)
            expected.append((pair, [pair[moments.index(min(moments))]]))
        trio = registered("CANCELLED", "WAITLISTED", "CONFIRMED")
        mapping = planter.mapping(990003, trio[0], table)
        expected.append((trio, [trio[2]]))
        by_hand = registered("CANCELLED", "CONFIRMED")
        expected.append((by_hand, by_hand[:1]))
        if ground.club.dialect == "guide":  # the application's states are an enumeration
            pair = registered("CONFIRMED", "PENCILLED_IN")
            refused(ground, [merges.pop()], *pair)
    plan = plan_of(ground, *merges, keep=by_hand[:1])
    (row,) = [
        row for row in plan.parameters["conservation"] if (row["table"], row["column"]) == (table, "memberId")
    ]
    assert (row["before"], row["deleted"], row["after"]) == (18, 9, 9)
    assert "further along" in row["why"]
    assert plan.changes[table]["delete"] == 9
    after = ground.proved(plan)
    for _, duplicates in merges:
        for duplicate in duplicates:
            assert_nobody_speaks_of(after, duplicate)
    for keys, stay in expected:
        assert remaining(after, table, *keys) == stay
    (moved,) = [row for row in after["WaIdMapping"] if mapping in row]
    assert trio[2] in moved
    refused(ground, merges[:1], alone, error=UsageError, keep=[alone])


def test_events_merge_as_members_do_and_registrations_of_one_guest(ground: Ground) -> None:
    table = ground.wb.session.schema.table_of("Registration")
    with Planter(ground) as planter:
        guest = planter.member()
        canonical = planter.event()
        known = "clonedFromId" in planter.tables["Event"].columns
        duplicate = planter.event(**({"clonedFromId": canonical} if known else {}))
        pair = [planter.registration(guest, canonical, "WAITLISTED"), planter.registration(guest, duplicate)]
        stranger = planter.registration(planter.member(), duplicate)
    after = ground.proved(plan_of(ground, (canonical, duplicate), entity="Event", rules="newest"))
    assert_nobody_speaks_of(after, duplicate)
    assert remaining(after, table, *pair) == pair[1:]
    refused(ground, [(pair[1], [stranger])], stranger, entity="Registration")
    if ground.club.dialect == "guide":
        with Planter(ground) as planter:
            twin = planter.registration(guest, duplicate)
            planter.mapping(990004, twin, "Registration")
        plan = plan_of(ground, (pair[1], twin), entity="Registration")
        assert_nobody_speaks_of(ground.proved(plan), twin)


def test_parts_move_with_their_row_and_block_where_both_have_some(application: Ground) -> None:
    with Planter(application) as planter:
        merge, event = two(planter), planter.event()
        kept = planter.registration(merge[0], event, "CONFIRMED")
        loser = planter.registration(merge[1], event, "WAITLISTED")
        payment = planter.row("PaymentIntent", registrationId=loser)
        account = planter.row("UserAccount", memberId=merge[1])
        plan = plan_of(application, merge)
        assert plan.changes["PaymentIntent"] == {"update": 1}
        proof = {(row["table"], row["to"]): row for row in plan.parameters["conservation"]}
        assert proof["PaymentIntent", "EventRegistration"]["after"] == 1
        after = application.proved(plan)
        assert remaining(after, "PaymentIntent", payment)
        assert not any(loser in row for row in after["PaymentIntent"])
        assert remaining(after, "UserAccount", account)
        both = planter.row("PaymentIntent", registrationId=kept)
        for keep in ((), [kept]):  # nor does a word decide over money
            refused(application, [(merge[0], [merge[1]])], kept, loser, payment, both, keep=keep)
        rivals, fine = two(planter), two(planter)
        accounts = [planter.row("UserAccount", memberId=who) for who in rivals]
        planter.registration(fine[1], planter.event())
    for keep in ((), accounts[:1]):
        error = refused(application, [(rivals[0], [rivals[1]])], "UserAccount", *accounts, keep=keep)
        assert (error.exit_code, "--except" in error.next_step) == (3, True)
    merges = [(stays, [goes]) for stays, goes in (rivals, fine)]
    refused(application, merges, "1 of 2", rivals[0])
    plan = application.wb.duplicates.plan_merges(merges, skip_blocked=True)
    assert [row["key"] for row in plan.unresolved] == [rivals[1]]
    assert [merge["canonical"] for merge in plan.parameters["merges"]] == [fine[0]]
    with pytest.raises(Refused):  # nothing would be left
        application.wb.duplicates.plan_merges(merges[:1], skip_blocked=True)


def test_of_identical_rows_the_canonical_record_s_stays(application: Ground) -> None:
    expected = []
    with Planter(application) as planter:
        merge = two(planter)
        field = planter.row("CustomFieldDef")
        for table, column, values in (
            ("Permission", "memberId", {"resourceType": "Page", "resourceId": planter.event(), "action": "edit"}),
            ("ActivityGroupMember", "memberId", {"groupId": planter.row("ActivityGroup"), "joinedAt": "2026-01-01"}),
            ("CustomFieldValue", "entityId", {"customFieldDefId": planter.row("CustomFieldDef"), "value": '{"a": 1}'}),
        ):  # fmt: skip
            theirs, ours = (planter.row(table, **values, **{column: who}) for who in reversed(merge))
            expected.append((table, ours, theirs))
    after = application.proved(plan_of(application, merge))
    for table, ours, theirs in expected:
        assert remaining(after, table, ours, theirs) == [ours]
    with Planter(application) as planter:
        pair = [
            planter.row("CustomFieldValue", customFieldDefId=field, entityId=who, value=f'"{who}"')
            for who in merge
        ]
    refused(application, [(merge[0], [merge[1]])], "value", "--keep", *pair)
    after = application.proved(plan_of(application, merge, keep=[pair[1]]))
    assert remaining(after, "CustomFieldValue", *pair) == pair[1:]


def test_any_unique_index_counts_also_a_partial_one_and_one_over_an_expression(application: Ground) -> None:
    with Planter(application) as planter:
        planter.connection.execute('DELETE FROM "PaymentMethod"')
        merge = two(planter)
        pair = [
            planter.row("PaymentMethod", memberId=who, displayName=name, isDefault="true")
            for who, name in zip(merge, ("Visa", "VISA"), strict=True)
        ]
        planter.row("PaymentMethod", memberId=merge[1], displayName="Amex", isDefault="false")
    for index in (
        """("memberId", lower("displayName"))""",
        """("memberId") WHERE "isDefault" """,
        """("memberId", "isDefault", "revokedAt") NULLS NOT DISTINCT""",
    ):
        application.execute(f'CREATE UNIQUE INDEX house_rule ON "PaymentMethod" {index}')
        refused(application, [(merge[0], [merge[1]])], "house_rule", *pair)
        application.execute("DROP INDEX house_rule")
    application.execute(
        'CREATE UNIQUE INDEX house_rule ON "PaymentMethod" ("memberId", "isDefault", "revokedAt")'
    )
    assert plan_of(application, merge).changes["PaymentMethod"] == {"update": 2}
