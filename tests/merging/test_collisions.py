"""Where two rows would become one: the rule that decides, the loser's own rows, and what nobody but a person can tell."""

from __future__ import annotations

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


@pytest.mark.parametrize(("ours", "theirs", "stays"), STATES)
def test_the_registration_further_along_stays(ground: Ground, ours: str, theirs: str, stays: int) -> None:
    with Planter(ground) as planter:
        canonical, duplicate = two(planter)
        event = planter.event()
        pair = [planter.registration(canonical, event, ours), planter.registration(duplicate, event, theirs)]
        alone = planter.registration(duplicate, planter.event(), "CANCELLED")
    plan = ground.wb.duplicates.plan_merges([(canonical, [duplicate])])
    (row,) = [each for each in plan.parameters["conservation"] if each["column"] == "memberId"]
    assert (row["before"], row["after"], row["deleted"]) == (3, 2, 1)
    assert "further along" in row["why"]
    after = ground.proved(plan)
    assert_nobody_speaks_of(after, duplicate)
    table = ground.wb.session.schema.table_of("Registration")
    assert left(after, table, *pair, alone) == [pair[stays], alone]


@pytest.mark.parametrize("older", [0, 1])
def test_of_two_alike_the_older_stays(ground: Ground, older: int) -> None:
    moments = ["2026-03-01", "2026-03-02"]
    with Planter(ground) as planter:
        people, event = two(planter), planter.event()
        pair = [
            planter.registration(who, event, registeredAt=moments[place != older])
            for place, who in enumerate(people)
        ]
    ground.carry_out(ground.wb.duplicates.plan_merges([(people[0], [people[1]])]))
    after = ground.state()
    assert left(after, ground.wb.session.schema.table_of("Registration"), *pair) == [pair[older]]


def test_three_of_one_person_leave_one(ground: Ground) -> None:
    with Planter(ground) as planter:
        people = [planter.member() for _ in range(3)]
        event = planter.event()
        states = ("CANCELLED", "WAITLISTED", "CONFIRMED")
        trio = [planter.registration(*pair) for pair in zip(people, [event] * 3, states, strict=True)]
        table = planter.schema.table_of("Registration")
        mapping = planter.mapping(990003, trio[0], table)
    plan = ground.wb.duplicates.plan_merges([(people[0], people[1:])])
    assert plan.changes[table] == {"delete": 2, "update": 1}
    after = ground.proved(plan)
    assert left(after, table, *trio) == [trio[2]]
    (row,) = [row for row in after["WaIdMapping"] if mapping in row]
    assert trio[2] in row


def test_a_registration_by_hand(ground: Ground) -> None:
    with Planter(ground) as planter:
        canonical, duplicate = two(planter)
        event = planter.event()
        pair = [planter.registration(canonical, event, "CANCELLED"), planter.registration(duplicate, event)]
    ground.carry_out(ground.wb.duplicates.plan_merges([(canonical, [duplicate])], keep=[pair[0]]))
    after = ground.state()
    assert left(after, ground.wb.session.schema.table_of("Registration"), *pair) == pair[:1]


def test_a_row_that_collides_with_nothing_cannot_be_kept_by_hand(ground: Ground) -> None:
    with Planter(ground) as planter:
        canonical, duplicate = two(planter)
        row = planter.registration(duplicate, planter.event())
    with pytest.raises(UsageError, match="collides with no other"):
        ground.wb.duplicates.plan_merges([(canonical, [duplicate])], keep=[row])


def test_an_unknown_state_is_not_guessed_at(guide: Ground) -> None:
    with Planter(guide) as planter:
        canonical, duplicate = two(planter)
        event = planter.event()
        planter.registration(canonical, event, "CONFIRMED")
        row = planter.registration(duplicate, event, "PENCILLED_IN")
    with pytest.raises(Refused, match=row):
        guide.wb.duplicates.plan_merges([(canonical, [duplicate])])


def test_the_loser_s_payment_moves_to_the_winner(application: Ground) -> None:
    with Planter(application) as planter:
        canonical, duplicate = two(planter)
        event = planter.event()
        planter.registration(canonical, event, "CONFIRMED")
        loser = planter.registration(duplicate, event, "WAITLISTED")
        payment = planter.row("PaymentIntent", registrationId=loser)
    plan = application.wb.duplicates.plan_merges([(canonical, [duplicate])])
    assert plan.changes["PaymentIntent"] == {"update": 1}
    proof = {(each["table"], each["to"]): each for each in plan.parameters["conservation"]}
    assert proof["PaymentIntent", "EventRegistration"]["after"] == 1
    after = application.proved(plan)
    assert any(payment in row for row in after["PaymentIntent"])
    assert not any(loser in row for row in after["PaymentIntent"])


def test_payments_on_both_block(application: Ground) -> None:
    with Planter(application) as planter:
        canonical, duplicate = two(planter)
        event = planter.event()
        pair = [planter.registration(who, event) for who in (canonical, duplicate)]
        payments = [planter.row("PaymentIntent", registrationId=each) for each in pair]
    with pytest.raises(Refused, match="PaymentIntent") as refused:
        application.wb.duplicates.plan_merges([(canonical, [duplicate])])
    assert all(key in refused.value.what for key in (*pair, *payments))
    with pytest.raises(Refused, match="PaymentIntent"):  # nor does a word decide over money
        application.wb.duplicates.plan_merges([(canonical, [duplicate])], keep=[pair[0]])
    assert not list((application.plans).glob("*"))


def test_two_accounts_block(application: Ground) -> None:
    with Planter(application) as planter:
        canonical, duplicate = two(planter)
        accounts = [planter.row("UserAccount", memberId=who) for who in (canonical, duplicate)]
    for keep in ((), accounts[:1]):
        with pytest.raises(Refused, match="only one") as refused:
            application.wb.duplicates.plan_merges([(canonical, [duplicate])], keep=keep)
        assert all(key in refused.value.what for key in accounts)
    assert refused.value.exit_code == 3
    assert "--except" in refused.value.next_step


@pytest.mark.parametrize("table", ["Permission", "ActivityGroupMember", "FileAccess", "CustomFieldValue"])
def test_of_rows_that_say_the_same_the_canonical_record_s_stays(application: Ground, table: str) -> None:
    with Planter(application) as planter:
        canonical, duplicate = two(planter)
        shared = {
            "Permission": lambda: {"resourceType": "Page", "resourceId": planter.event(), "action": "edit"},
            "ActivityGroupMember": lambda: {
                "groupId": planter.row("ActivityGroup"),
                "joinedAt": "2026-01-01",
            },
            "FileAccess": lambda: {"fileId": planter.row("FileObject"), "permission": "READ"},
            "CustomFieldValue": lambda: {
                "customFieldDefId": planter.row("CustomFieldDef"),
                "value": '{"a": 1}',
            },
        }[table]()
        column = {"FileAccess": "principalId", "CustomFieldValue": "entityId"}.get(table, "memberId")
        theirs = planter.row(table, **shared, **{column: duplicate})
        ours = planter.row(table, **shared, **{column: canonical})
    plan = application.wb.duplicates.plan_merges([(canonical, [duplicate])])
    assert left(application.proved(plan), table, ours, theirs) == [ours]


def test_rows_that_differ_block_until_one_is_named(application: Ground) -> None:
    with Planter(application) as planter:
        canonical, duplicate = two(planter)
        field = planter.row("CustomFieldDef")
        pair = [
            planter.row("CustomFieldValue", customFieldDefId=field, entityId=who, value=f'"{who}"')
            for who in (canonical, duplicate)
        ]
    with pytest.raises(Refused, match="differ in value") as refused:
        application.wb.duplicates.plan_merges([(canonical, [duplicate])])
    assert "--keep" in refused.value.what
    application.carry_out(application.wb.duplicates.plan_merges([(canonical, [duplicate])], keep=[pair[1]]))
    after = application.state()
    assert left(after, "CustomFieldValue", *pair) == pair[1:]


@pytest.mark.parametrize(
    "index",
    [
        """("memberId", lower("displayName"))""",
        """("memberId") WHERE "isDefault" """,
        """("memberId", "isDefault") NULLS NOT DISTINCT""",
    ],
)
def test_any_unique_index_counts_also_a_partial_one_and_one_over_an_expression(
    application: Ground, index: str
) -> None:
    with Planter(application) as planter:
        planter.connection.execute('DELETE FROM "PaymentMethod"')
        planter.connection.execute(f'CREATE UNIQUE INDEX house_rule ON "PaymentMethod" {index}')  # type: ignore[arg-type]
        canonical, duplicate = two(planter)
        pair = [
            planter.row("PaymentMethod", memberId=who, displayName=name, isDefault="true")
            for who, name in ((canonical, "Visa"), (duplicate, "VISA"))
        ]
        planter.row("PaymentMethod", memberId=duplicate, displayName="Amex", isDefault="false")
    with pytest.raises(Refused) as refused:
        application.wb.duplicates.plan_merges([(canonical, [duplicate])])
    assert "house_rule" in refused.value.what
    assert all(key in refused.value.what for key in pair)


def test_events_merge_as_members_do(ground: Ground) -> None:
    with Planter(ground) as planter:
        guest = planter.member()
        canonical, duplicate = planter.event(), planter.event()
        pair = [planter.registration(guest, canonical, "WAITLISTED"), planter.registration(guest, duplicate)]
        planter.registration(planter.member(), duplicate)
    plan = ground.wb.duplicates.plan_merges([(canonical, [duplicate])], entity="Event")
    after = ground.proved(plan)
    assert_nobody_speaks_of(after, duplicate)
    assert not any(pair[0] in row for row in after[ground.wb.session.schema.table_of("Registration")])


def test_registrations_of_different_guests_are_not_the_same(ground: Ground) -> None:
    with Planter(ground) as planter:
        event = planter.event()
        pair = [planter.registration(planter.member(), event) for _ in range(2)]
    with pytest.raises(Refused, match="not of one member"):
        ground.wb.duplicates.plan_merges([(pair[0], [pair[1]])], entity="Registration")


def test_registrations_twice_in_the_guide_s_database_merge(guide: Ground) -> None:
    with Planter(guide) as planter:
        guest, event = planter.member(), planter.event()
        pair = [planter.registration(guest, event) for _ in range(2)]
        planter.mapping(990004, pair[1], "Registration")
    plan = guide.wb.duplicates.plan_merges([(pair[0], [pair[1]])], entity="Registration")
    assert_nobody_speaks_of(guide.proved(plan), pair[1])


def test_a_blocked_merge_of_a_list_may_be_left_out(application: Ground) -> None:
    with Planter(application) as planter:
        blocked, fine = two(planter), two(planter)
        for who in blocked:
            planter.row("UserAccount", memberId=who)
        planter.registration(fine[1], planter.event())
    merges = [(one, [other]) for one, other in (blocked, fine)]
    with pytest.raises(Refused, match="1 of 2 merges"):
        application.wb.duplicates.plan_merges(merges)
    plan = application.wb.duplicates.plan_merges(merges, skip_blocked=True)
    assert [each["key"] for each in plan.unresolved] == [blocked[1]]
    assert [each["canonical"] for each in plan.parameters["merges"]] == [fine[0]]
    with pytest.raises(Refused):  # nothing would be left
        application.wb.duplicates.plan_merges(merges[:1], skip_blocked=True)
