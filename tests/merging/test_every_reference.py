"""Merging a member whom every foreign key of the application refers to: everything moves, and undo is the identity."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.conftest import LOG, Ground
from tests.planting import Planter, assert_nobody_speaks_of, every_reference, names
from workbench.murmurant.references import References
from workbench.plans.plan import Plan

ONE_TO_ONE = {("UserAccount", "memberId")}
RULES = [
    {},
    {"rules": "newest"},
    {"rules": "most-complete"},
    {"by_hand": {"email": "the duplicate"}},
    {"rules": {"phone": "newest", "email": "newest"}},
]


def planted(ground: Ground) -> tuple[str, str, int]:
    """Make two members, the second of whom every column refers to, the first by all of them but those only one may hold."""
    with Planter(ground) as planter:
        canonical = planter.member(email="Ann.Lee@example.org", updatedAt="2026-08-01")
        duplicate = planter.member(email="annlee@example.org", phone="+1 555 0100", updatedAt="2026-09-01")
        count = 0
        for reference in every_reference(planter):
            planter.referring(reference, duplicate)
            count += 1
            if (reference.child, reference.column) not in ONE_TO_ONE:
                planter.referring(reference, canonical)
        return canonical, duplicate, count


@pytest.mark.parametrize(
    ("dialect", "options"),
    [("application", each) for each in RULES] + [("guide", each) for each in RULES[:2]],
    ids=["canonical", "newest", "most-complete", "by-hand", "fields", "guide", "guide-newest"],
)
def test_merge_then_undo_is_the_identity(ground: Ground, options: dict[str, object]) -> None:
    canonical, duplicate, count = planted(ground)
    if ground.wb.session.dialect == "application":
        declared = [each for each in References(ground.wb.session.schema).to("Member") if each.declared]
        assert len(declared) == 62
        assert count > 62
    if "by_hand" in options:
        options = {"by_hand": {"email": duplicate}}
    before = ground.state()
    plan = ground.wb.duplicates.plan_merges([(canonical, [duplicate])], **options)  # type: ignore[arg-type]
    assert ground.state() == before  # planning writes nothing
    after = ground.proved(plan)
    assert_nobody_speaks_of(after, duplicate)
    (record,) = names(after["Member"], canonical)
    assert ("annlee@example.org" in record) is ("by_hand" in options or "newest" in str(options))
    assert ("555 0100" in record) is (options not in ({}, {"by_hand": {"email": duplicate}}))
    counts = {table: len(rows) for table, rows in before.items() if table != LOG}
    assert {table: len(rows) for table, rows in after.items() if table != LOG} == counts | {
        "Member": counts["Member"] - 1
    }


def test_the_proof_says_what_is_there_afterwards(ground: Ground) -> None:
    canonical, duplicate, count = planted(ground)
    plan = ground.wb.duplicates.plan_merges([(canonical, [duplicate])])
    proof = plan.parameters["conservation"]
    assert len(proof) == count
    assert ground.carry_out(plan)
    for each in proof:
        assert each["before"] == each["after"]
        assert not each["deleted"]
        table, column = each["table"], each["column"]
        (found,) = ground.ask(f'SELECT count(*) FROM "{table}" WHERE "{column}"::text = %s', canonical)
        assert found == each["after"], each
        assert each["moved"] == (1 if (table, column) in ONE_TO_ONE else each["before"] // 2)


def test_what_the_audit_log_tells_of_stays(application: Ground) -> None:
    with Planter(application) as planter:
        canonical, duplicate = planter.member(), planter.member()
        planter.row(LOG, resourceType="Member", resourceId=duplicate, action="CREATE")
        planter.row(
            LOG, resourceType="Event", resourceId=planter.event(), action="CREATE", memberId=duplicate
        )
    plan = application.wb.duplicates.plan_merges([(canonical, [duplicate])])
    assert any("history" in each for each in plan.notes)
    application.carry_out(plan)
    assert application.ask(f'SELECT count(*) FROM "{LOG}" WHERE "resourceId"::text = %s', duplicate) == [1]
    # Who acted is a reference of the database, which would be emptied.
    assert application.ask(f'SELECT count(*) FROM "{LOG}" WHERE "memberId"::text = %s', canonical) == [1]


def test_the_audit_log_tells_of_the_merge_and_of_each_mapping(ground: Ground) -> None:
    with Planter(ground) as planter:
        canonical, duplicate = planter.member(), planter.member()
        planter.mapping(990001, canonical)
        planter.mapping(990002, duplicate)
    plan = ground.wb.duplicates.plan_merges([(canonical, [duplicate])])
    assert [each["action"] for each in plan.audit] == [
        "migration:duplicates:merged",
        "migration:mapping:corrected",
    ]
    ground.carry_out(plan)
    told = ground.wb.audit.entries(action="migration:")
    merged = told[told["action"] == "migration:duplicates:merged"]["metadata"].iloc[0]
    corrected = told[told["action"] == "migration:mapping:corrected"]["metadata"].iloc[-1]
    assert (merged["canonical"], merged["duplicates"], merged["records_moved"]) == (canonical, [duplicate], 1)
    assert (corrected["waId"], corrected["oldMurmurantId"], corrected["newMurmurantId"]) == (
        "990002",
        duplicate,
        canonical,
    )


def test_the_same_database_gives_the_same_bytes_and_no_value_stands_in_the_header(ground: Ground) -> None:
    canonical, duplicate, _ = planted(ground)
    one, other = (
        ground.wb.duplicates.plan_merges([(canonical, [duplicate])], rules="newest") for _ in range(2)
    )
    assert isinstance(one, Plan)
    assert one.digest == other.digest
    assert "annlee" not in json.dumps([one.parameters, one.notes, one.audit])


@pytest.mark.parametrize("filled", ["newer", "older", "both"])
def test_mappings_move_in_whichever_spelling_they_fill(ground: Ground, filled: str) -> None:
    guide = ground.wb.session.dialect == "guide"
    own, kind = ("murmurantId", "text") if guide else ("clubosId", "uuid")
    other = "clubosId" if guide else "murmurantId"
    with ground.connect() as connection:
        connection.execute(f'ALTER TABLE "WaIdMapping" ADD COLUMN "{other}" {kind}')
        connection.execute(f'ALTER TABLE "WaIdMapping" ALTER COLUMN "{own}" DROP NOT NULL')
        connection.execute(f'UPDATE "WaIdMapping" SET "{other}" = "{own}"')
    ground = replace(ground)  # which has another schema now
    with Planter(ground) as planter:
        canonical = planter.member(email="Ann.Lee@example.org")
        duplicate = planter.member(email="annlee@example.org")
        mapping = planter.mapping(77001, duplicate)
    spelled = {"newer": ["murmurantId"], "older": ["clubosId"], "both": ["murmurantId", "clubosId"]}[filled]
    with ground.connect() as connection:
        cells = ", ".join(
            f'"{each}" = {"%(key)s::" + kind if each in spelled else "NULL"}'
            for each in ("murmurantId", "clubosId")
        )
        connection.execute(
            f'UPDATE "WaIdMapping" SET {cells} WHERE id::text = %(mapping)s',
            {"key": duplicate, "mapping": mapping},
        )
    plan = ground.wb.duplicates.plan_merges([(canonical, [duplicate])])
    after = ground.proved(plan)
    assert_nobody_speaks_of(after, duplicate)
    (row,) = names(after["WaIdMapping"], mapping)
    assert row.count(canonical) == len(spelled)
