"""A column that came since: a plan is made again, and what was applied before it is not taken back in part."""

from __future__ import annotations

import pytest

from tests.conftest import Ground, carry_out
from workbench.errors import SchemaGap


def test_rows_that_a_plan_inserts_go_again_whatever_columns_came_before_it_was_applied(
    application: Ground,
) -> None:
    application.execute("""DELETE FROM "WaIdMapping" WHERE "entityType" = 'Event'""")
    old = application.wb.mappings.plan_rebuild()
    application.consent(old)
    application.execute("ALTER TABLE \"WaIdMapping\" ADD note text DEFAULT ''")
    before, wb = application.state(), application.open()
    with pytest.raises(SchemaGap, match="note"):
        wb.plans.apply(old)
    new = wb.mappings.plan_rebuild()
    carry_out(wb, new)
    carry_out(wb, wb.plans.plan_undo(new.id))
    assert application.changed(before) == {}


@pytest.mark.parametrize("kind", ["insert", "update"])
def test_what_was_applied_before_a_column_came_is_left_to_a_snapshot(application: Ground, kind: str) -> None:
    if kind == "insert":
        application.execute("""DELETE FROM "WaIdMapping" WHERE "entityType" = 'Event'""")
        plan = application.wb.mappings.plan_rebuild()
    else:
        application.execute('UPDATE "Member" SET "membershipTierId" = NULL')
        plan = application.wb.tiers.plan()
    application.carry_out(plan)
    application.execute(f'ALTER TABLE "{plan.operations[0].table}" ADD note text')
    with pytest.raises(SchemaGap, match="note") as caught:
        application.open().plans.plan_undo(plan.id)
    assert "snapshot" in caught.value.next_step
