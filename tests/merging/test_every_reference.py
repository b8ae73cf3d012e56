"""Merging a member whom every foreign key of the application refers to: everything moves, and undo is the identity."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.conftest import LOG, Ground
from tests.merging.conftest import plan_of, two
from tests.planting import Planter, assert_nobody_speaks_of, every_reference, names

ONE_TO_ONE = ("UserAccount", "memberId")


def test_merge_then_undo_is_the_identity_and_the_proof_holds(ground: Ground) -> None:
    with Planter(ground) as planter:
        canonical = planter.member(email="Ann.Lee@example.org", updatedAt="2026-08-01")
        duplicate = planter.member(email="annlee@example.org", phone="+1 555 0100", updatedAt="2026-09-01")
        references = [*every_reference(planter)]
        for reference in references:
            planter.referring(reference, duplicate)
            if (reference.child, reference.column) != ONE_TO_ONE:
                planter.referring(reference, canonical)
        for wa_id, key in ((990001, canonical), (990002, duplicate)):
            planter.mapping(wa_id, key)
    if ground.club.dialect == "application":
        assert len([reference for reference in references if reference.declared]) == 62
        assert len(references) > 62
    before = ground.state()
    plan, again = (plan_of(ground, (canonical, duplicate), rules="newest") for _ in range(2))
    assert ground.state() == before  # planning writes nothing
    assert plan.digest == again.digest
    assert "annlee" not in json.dumps([plan.parameters, plan.notes, plan.audit])
    after = ground.proved(plan)
    assert_nobody_speaks_of(after, duplicate)
    (record,) = names(after["Member"], canonical)
    assert "annlee@example.org" in record
    assert "555 0100" in record
    lost = {table: len(rows) - len(after[table]) for table, rows in before.items() if table != LOG}
    assert {table: count for table, count in lost.items() if count} == {"Member": 1}
    by_hand = plan_of(ground, (canonical, duplicate), by_hand={"email": duplicate})
    ground.carry_out(by_hand)
    proof = by_hand.parameters["conservation"]
    assert len(proof) == len(references)
    for row in proof:
        assert row["before"] == row["after"]
        assert not row["deleted"]
        question = f'SELECT count(*) FROM "{row["table"]}" WHERE "{row["column"]}"::text = %s'
        assert ground.ask(question, canonical) == [row["after"]], row
        both = (row["table"], row["column"]) != ONE_TO_ONE
        assert row["moved"] == row["before"] // (1 + both)
    (record,) = names(ground.state()["Member"], canonical)
    assert "annlee@example.org" in record
    assert "555 0100" not in record
    entries = ground.wb.audit.entries(action="migration:").set_index("action")["metadata"]
    merged = entries.loc[["migration:duplicates:merged"]].iloc[-1]
    assert (merged["canonical"], merged["duplicates"]) == (canonical, [duplicate])
    assert merged["records_moved"] == sum(row["moved"] for row in proof)
    assert ("990002", duplicate, canonical) in [
        (entry["waId"], entry["oldMurmurantId"], entry["newMurmurantId"])
        for entry in entries.loc[["migration:mapping:corrected"]]
    ]


def test_the_actor_is_a_reference_and_the_subject_of_the_log_is_history(application: Ground) -> None:
    with Planter(application) as planter:
        canonical, duplicate = two(planter)
        about = {"resourceType": "Member", "resourceId": duplicate, "action": "CREATE"}
        planter.row(LOG, **about)
        planter.row(LOG, **{**about, "resourceId": planter.event()}, memberId=duplicate)
    plan = plan_of(application, (canonical, duplicate))
    assert any("history" in note for note in plan.notes)
    application.carry_out(plan)
    for column, record in (("resourceId", duplicate), ("memberId", canonical)):
        assert application.ask(f'SELECT count(*) FROM "{LOG}" WHERE "{column}"::text = %s', record) == [1]


def test_mappings_move_in_either_spelling(ground: Ground) -> None:
    guide = ground.club.dialect == "guide"
    own, kind = ("murmurantId", "text") if guide else ("clubosId", "uuid")
    spellings = ("murmurantId", "clubosId")
    ground.execute(
        f"""ALTER TABLE "WaIdMapping" ADD COLUMN "{spellings[guide]}" {kind};
        ALTER TABLE "WaIdMapping" ALTER COLUMN "{own}" DROP NOT NULL;
        UPDATE "WaIdMapping" SET "{spellings[guide]}" = "{own}" """
    )
    ground = replace(ground)  # which has another schema now
    cases = []
    for number, filled in enumerate((spellings[:1], spellings[1:], spellings)):
        with Planter(ground) as planter:
            merge = two(planter)
            mapping = planter.mapping(77001 + number, merge[1])
        cells = (f'"{name}" = {f"%(key)s::{kind}" if name in filled else "NULL"}' for name in spellings)
        with ground.connect() as connection:
            connection.execute(
                f'UPDATE "WaIdMapping" SET {", ".join(cells)} WHERE id::text = %(mapping)s',  # type: ignore[arg-type]
                {"key": merge[1], "mapping": mapping},
            )
        cases.append((merge, mapping, len(filled)))
    after = ground.proved(plan_of(ground, *(merge for merge, *_ in cases)))
    for (canonical, duplicate), mapping, count in cases:
        assert_nobody_speaks_of(after, duplicate)
        (row,) = names(after["WaIdMapping"], mapping)
        assert row.count(canonical) == count
