"""Merging a member whom every foreign key of the application refers to: everything moves, and undo is the identity."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.conftest import LOG, Ground
from tests.planting import Planter, assert_nobody_speaks_of, every_reference, names

ONE_TO_ONE = {("UserAccount", "memberId")}


def test_merge_then_undo_is_the_identity_and_the_proof_holds(ground: Ground) -> None:
    with Planter(ground) as planter:
        canonical = planter.member(email="Ann.Lee@example.org", updatedAt="2026-08-01")
        duplicate = planter.member(email="annlee@example.org", phone="+1 555 0100", updatedAt="2026-09-01")
        references = [*every_reference(planter)]
        for reference in references:
            planter.referring(reference, duplicate)
            if (reference.child, reference.column) not in ONE_TO_ONE:
                planter.referring(reference, canonical)
        for wa_id, key in ((990001, canonical), (990002, duplicate)):
            planter.mapping(wa_id, key)
    if ground.club.dialect == "application":
        assert len([each for each in references if each.declared]) == 62
        assert len(references) > 62
    before = ground.state()
    one, plan = (
        ground.wb.duplicates.plan_merges([(canonical, [duplicate])], rules="newest") for _ in range(2)
    )
    assert ground.state() == before  # planning writes nothing
    assert one.digest == plan.digest
    assert "annlee" not in json.dumps([plan.parameters, plan.notes, plan.audit])
    after = ground.proved(plan)
    assert_nobody_speaks_of(after, duplicate)
    (record,) = names(after["Member"], canonical)
    assert "annlee@example.org" in record
    assert "555 0100" in record
    counts = {table: len(rows) for table, rows in before.items() if table != LOG}
    assert {table: len(rows) for table, rows in after.items() if table != LOG} == counts | {
        "Member": counts["Member"] - 1
    }
    by_hand = ground.wb.duplicates.plan_merges([(canonical, [duplicate])], by_hand={"email": duplicate})
    ground.carry_out(by_hand)
    proof = by_hand.parameters["conservation"]
    assert len(proof) == len(references)
    for each in proof:
        assert each["before"] == each["after"]
        assert not each["deleted"]
        table, column = each["table"], each["column"]
        (found,) = ground.ask(f'SELECT count(*) FROM "{table}" WHERE "{column}"::text = %s', canonical)
        assert found == each["after"], each
        assert each["moved"] == (1 if (table, column) in ONE_TO_ONE else each["before"] // 2)
    (record,) = names(ground.state()["Member"], canonical)
    assert "annlee@example.org" in record
    assert "555 0100" not in record
    told = ground.wb.audit.entries(action="migration:")
    merged = told[told["action"] == "migration:duplicates:merged"]["metadata"].iloc[-1]
    assert (merged["canonical"], merged["duplicates"]) == (canonical, [duplicate])
    assert merged["records_moved"] == sum(each["moved"] for each in proof)
    corrected = told[told["action"] == "migration:mapping:corrected"]["metadata"].tolist()
    assert ("990002", duplicate, canonical) in [
        (each["waId"], each["oldMurmurantId"], each["newMurmurantId"]) for each in corrected
    ]


def test_who_acted_is_a_reference_and_what_the_log_tells_of_is_history(application: Ground) -> None:
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
    assert application.ask(f'SELECT count(*) FROM "{LOG}" WHERE "memberId"::text = %s', canonical) == [1]


def test_mappings_move_in_whichever_spelling_they_fill(ground: Ground) -> None:
    guide = ground.club.dialect == "guide"
    own, kind = ("murmurantId", "text") if guide else ("clubosId", "uuid")
    spellings = ("murmurantId", "clubosId")
    with ground.connect() as connection:
        connection.execute(f'ALTER TABLE "WaIdMapping" ADD COLUMN "{spellings[guide]}" {kind}')
        connection.execute(f'ALTER TABLE "WaIdMapping" ALTER COLUMN "{own}" DROP NOT NULL')
        connection.execute(f'UPDATE "WaIdMapping" SET "{spellings[guide]}" = "{own}"')
    ground = replace(ground)  # which has another schema now
    cases = []
    for number, spelled in enumerate((spellings[:1], spellings[1:], spellings)):
        with Planter(ground) as planter:
            canonical, duplicate = planter.member(), planter.member()
            mapping = planter.mapping(77001 + number, duplicate)
        cells = ", ".join(
            f'"{each}" = {"%(key)s::" + kind if each in spelled else "NULL"}' for each in spellings
        )
        with ground.connect() as connection:
            connection.execute(
                f'UPDATE "WaIdMapping" SET {cells} WHERE id::text = %(mapping)s',
                {"key": duplicate, "mapping": mapping},
            )
        cases.append((canonical, duplicate, mapping, len(spelled)))
    merges = [(canonical, [duplicate]) for canonical, duplicate, *_ in cases]
    after = ground.proved(ground.wb.duplicates.plan_merges(merges))
    for canonical, duplicate, mapping, count in cases:
        assert_nobody_speaks_of(after, duplicate)
        (row,) = names(after["WaIdMapping"], mapping)
        assert row.count(canonical) == count
