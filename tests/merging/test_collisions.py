"""Where two rows would become one: the rule that decides, the loser's own rows, and what nobody but a person can tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Ground, State
from tests.planting import Planter, assert_nobody_speaks_of
from workbench.errors import Refused, UsageError

STATES = [
    ("CONFIRMED", "WAITLISTED", 0),
    ("WAITLISTED", "CONFIRMED", 1),
    ("CANCELLED", "WAITLISTED", 1),
    ("CANCELLED", "CONFIRMED", 1),
    ("CONFIRMED", "CANCELLED", 0),
]


def two(planter: Planter) -> tuple[str, str]:
    return planter.member(), planter.member()


def left(after: State, table: str, *keys: str) -> list[str]:
    """Return which of some rows are there."""
    there = {row[1:].partition(",")[0] for row in after[table]}
    return [key for key in keys if key in there]


def refused(ground: Ground, merge: tuple[str, str], *said: str, **how: object) -> Refused:
    with pytest.raises(Refused) as found:
        ground.wb.duplicates.plan_merges([(merge[0], [merge[1]])], **how)  # type: ignore[arg-type]
    assert all(each in found.value.what for each in said), found.value.what
    assert not list(ground.plans.glob("*"))
    return found.value


def test_of_two_registrations_the_one_further_along_stays(ground: Ground) -> None:
    table, merges, expected = ground.wb.session.schema.table_of("Registration"), [], []
    with Planter(ground) as planter:
        for ours, theirs, stays in STATES:
            people, event = two(planter), planter.event()
            pair = [
                planter.registration(*each)
                for each in zip(people, (event, event), (ours, theirs), strict=True)
            ]
            expected.append((pair, [pair[stays]]))
            merges.append((people[0], [people[1]]))
        alone = planter.registration(people[1], planter.event(), "CANCELLED")
        expected.append(([alone], [alone]))
        for older in (0, 1):  # of two alike
            people, event, moments = two(planter), planter.event(), ("2026-03-01", "2026-03-02")
            pair = [
                planter.registration(who, event, registeredAt=moments[place != older])
                for place, who in enumerate(people)
            ]
            expected.append((pair, [pair[older]]))
            merges.append((people[0], [people[1]]))
        three, event = [planter.member() for _ in range(3)], planter.event()
        states = ("CANCELLED", "WAITLISTED", "CONFIRMED")
        trio = [planter.registration(*each) for each in zip(three, [event] * 3, states, strict=True)]
        mapping = planter.mapping(990003, trio[0], table)
        expected.append((trio, [trio[2]]))
        merges.append((three[0], three[1:]))
        people, event = two(planter), planter.event()
        by_hand = [
            planter.registration(people[0], event, "CANCELLED"),
            planter.registration(people[1], event),
        ]
        expected.append((by_hand, by_hand[:1]))
        merges.append((people[0], [people[1]]))
        strange, event = two(planter), planter.event()
        if ground.club.dialect == "guide":  # the application's states are an enumeration
            planter.registration(strange[0], event)
            unknown = planter.registration(strange[1], event, "PENCILLED_IN")
            refused(ground, strange, unknown)
    plan = ground.wb.duplicates.plan_merges(merges, keep=by_hand[:1])
    (row,) = [
        each
        for each in plan.parameters["conservation"]
        if (each["table"], each["column"]) == (table, "memberId")
    ]
    assert (row["before"], row["deleted"], row["after"]) == (20, 10, 10)
    assert "further along" in row["why"]
    assert plan.changes[table]["delete"] == 10
    after = ground.proved(plan)
    for _, duplicates in merges:
        for duplicate in duplicates:
            assert_nobody_speaks_of(after, duplicate)
    for keys, stay in expected:
        assert left(after, table, *keys) == stay
    (moved,) = [each for each in after["WaIdMapping"] if mapping in each]
    assert trio[2] in moved
    with pytest.raises(UsageError, match="collides with no other"):
        ground.wb.duplicates.plan_merges(merges[:1], keep=[alone])


def test_events_merge_as_members_do_and_registrations_of_one_guest(ground: Ground) -> None:
    table = ground.wb.session.schema.table_of("Registration")
    with Planter(ground) as planter:
        guest = planter.member()
        canonical, duplicate = planter.event(), planter.event()
        pair = [planter.registration(guest, canonical, "WAITLISTED"), planter.registration(guest, duplicate)]
        stranger = planter.registration(planter.member(), duplicate)
    plan = ground.wb.duplicates.plan_merges([(canonical, [duplicate])], entity="Event")
    after = ground.proved(plan)
    assert_nobody_speaks_of(after, duplicate)
    assert left(after, table, *pair) == pair[1:]
    plan.path.unlink()
    for each in ground.plans.glob("*"):
        each.unlink()
    refused(ground, (pair[1], stranger), "not of one member", entity="Registration")
    if ground.club.dialect == "guide":
        with Planter(ground) as planter:
            twin = planter.registration(guest, duplicate)
            planter.mapping(990004, twin, "Registration")
        plan = ground.wb.duplicates.plan_merges([(pair[1], [twin])], entity="Registration")
        assert_nobody_speaks_of(ground.proved(plan), twin)


def test_parts_move_with_their_row_and_block_where_both_have_some(application: Ground) -> None:
    with Planter(application) as planter:
        merge, event = two(planter), planter.event()
        kept = planter.registration(merge[0], event, "CONFIRMED")
        loser = planter.registration(merge[1], event, "WAITLISTED")
        payment = planter.row("PaymentIntent", registrationId=loser)
        accounts = planter.row("UserAccount", memberId=merge[1])
        plan = application.wb.duplicates.plan_merges([(merge[0], [merge[1]])])
        assert plan.changes["PaymentIntent"] == {"update": 1}
        proof = {(each["table"], each["to"]): each for each in plan.parameters["conservation"]}
        assert proof["PaymentIntent", "EventRegistration"]["after"] == 1
        after = application.proved(plan)
        assert any(payment in row for row in after["PaymentIntent"])
        assert not any(loser in row for row in after["PaymentIntent"])
        assert accounts in "".join(after["UserAccount"])
        for each in application.plans.glob("*"):
            each.unlink()
        both = planter.row("PaymentIntent", registrationId=kept)
        for keep in ((), [kept]):  # nor does a word decide over money
            refused(application, merge, kept, loser, payment, both, keep=keep)
        rivals, fine = two(planter), two(planter)
        accounts = [planter.row("UserAccount", memberId=who) for who in rivals]
        planter.registration(fine[1], planter.event())
    for keep in ((), accounts[:1]):
        error = refused(application, rivals, "only one", *accounts, keep=keep)
    assert (error.exit_code, "--except" in error.next_step) == (3, True)
    merges = [(one, [other]) for one, other in (rivals, fine)]
    with pytest.raises(Refused, match="1 of 2 merges"):
        application.wb.duplicates.plan_merges(merges)
    plan = application.wb.duplicates.plan_merges(merges, skip_blocked=True)
    assert [each["key"] for each in plan.unresolved] == [rivals[1]]
    assert [each["canonical"] for each in plan.parameters["merges"]] == [fine[0]]
    with pytest.raises(Refused):  # nothing would be left
        application.wb.duplicates.plan_merges(merges[:1], skip_blocked=True)


def test_of_rows_that_say_the_same_the_canonical_record_s_stays(application: Ground) -> None:
    expected = []
    with Planter(application) as planter:
        merge = two(planter)
        shared: dict[str, tuple[str, Callable[[], dict[str, str]]]] = {
            "Permission": (
                "memberId",
                lambda: {"resourceType": "Page", "resourceId": planter.event(), "action": "edit"},
            ),
            "ActivityGroupMember": (
                "memberId",
                lambda: {"groupId": planter.row("ActivityGroup"), "joinedAt": "2026-01-01"},
            ),
            "FileAccess": (
                "principalId",
                lambda: {"fileId": planter.row("FileObject"), "permission": "READ"},
            ),
            "CustomFieldValue": (
                "entityId",
                lambda: {"customFieldDefId": planter.row("CustomFieldDef"), "value": '{"a": 1}'},
            ),
        }
        for table, (column, make) in shared.items():
            values = make()
            theirs, ours = (planter.row(table, **values, **{column: who}) for who in reversed(merge))
            expected.append((table, ours, theirs))
        field = planter.row("CustomFieldDef")
    after = application.proved(application.wb.duplicates.plan_merges([(merge[0], [merge[1]])]))
    for table, ours, theirs in expected:
        assert left(after, table, ours, theirs) == [ours]
    with Planter(application) as planter:
        pair = [
            planter.row("CustomFieldValue", customFieldDefId=field, entityId=who, value=f'"{who}"')
            for who in merge
        ]
    for each in application.plans.glob("*"):
        each.unlink()
    refused(application, merge, "differ in value", "--keep", *pair)
    application.carry_out(application.wb.duplicates.plan_merges([(merge[0], [merge[1]])], keep=[pair[1]]))
    assert left(application.state(), "CustomFieldValue", *pair) == pair[1:]


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
        """("memberId", "isDefault") NULLS NOT DISTINCT""",
    ):
        application.execute(f'CREATE UNIQUE INDEX house_rule ON "PaymentMethod" {index}')
        refused(application, merge, "house_rule", *pair)
        application.execute("DROP INDEX house_rule")
