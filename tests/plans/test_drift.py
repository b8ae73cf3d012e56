"""Drift: what is no longer as the plan saw it is refused, whole and by name; what people did survives."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.edits import later_edit
from tests.plans.conftest import Ground, Grounds
from tests.states import differences
from workbench.demo.history import Importer
from workbench.errors import Drift, Refused, WorkbenchError
from workbench.plans.plan import Plan


def refused(ground: Ground, plan: Plan, said: str) -> Drift:
    found = ground.refuses(plan, said, Drift)
    assert isinstance(found, Drift)
    return found


def image(plan: Plan, name: str, table: str, moment: str = "before") -> str:
    """Return the first apply's table of images of one section of its plan."""
    sections = [(section.name, section.table) for section in plan.operations]
    return f"workbench.j1_{sections.index((name, table)) + 1}_{moment}"


EDITS = {
    "api": ("created-registration", "updated-member-other-column", "account", "payment", "note", "chair"),
    "guide": ("created-registration", "created-member-registers"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("importer", "kind"), [(importer, kind) for importer, kinds in EDITS.items() for kind in kinds]
)
def test_what_people_did_since_the_plan_was_made_is_refused_by_name(
    grounds: Grounds, importer: Importer, kind: str
) -> None:
    ground = grounds.lay(importer)
    plan = ground.approved(snapshot=kind.startswith("updated"))
    with ground.connect() as connection:
        edit = later_edit(connection, ground.cloned.club, ground.imported, kind, seed=1)
    assert edit is not None
    said = refused(ground, plan, edit.key)
    assert (edit.table, edit.key) in {(table, key) for table, key, _ in said.rows}
    assert "Plan again" in said.next_step


def test_a_plan_that_is_made_afterwards_keeps_what_they_did(application: Ground) -> None:
    ground = application
    plan = ground.approved()
    with ground.connect() as connection:
        edit = later_edit(connection, ground.cloned.club, ground.imported, "created-member-registers", seed=1)
    assert edit is not None
    refused(ground, plan, edit.key)
    question = f'SELECT t::text FROM "{edit.table}" t WHERE id::text = %s'
    made = ground.ask(question, edit.key)
    ground.apply(ground.approved(anew=True))
    assert ground.ask(question, edit.key) == made


def test_what_people_did_elsewhere_does_not_stand_in_the_way(guide: Ground) -> None:
    plan = guide.approved()
    with guide.connect() as connection:
        edit = later_edit(connection, guide.cloned.club, guide.imported, "untouched-member", seed=1)
    before = guide.state()
    guide.apply(plan)
    assert edit is not None
    assert "Member" in differences(before, guide.state())
    guide.apply(guide.undo(plan.id))
    assert differences(before, guide.state()) == {}


CHILDREN = {
    "cascade": """INSERT INTO "PaymentMethod" (id, "memberId", type, "displayName", provider, "providerRef",
        "updatedAt") VALUES (gen_random_uuid(), %s, 'CARD', 'x', 'y', 'z', now()) RETURNING id::text""",
    "set null": """UPDATE "Event" SET "submittedById" = %s WHERE id = (SELECT id FROM "Event" WHERE
        "submittedById" IS NULL ORDER BY "createdAt" LIMIT 1) RETURNING id::text""",
    "restrict": """INSERT INTO "UserAccount" (id, "memberId", email, "passwordHash", "updatedAt")
        VALUES (gen_random_uuid(), %s, 'n@example.org', 'x', now()) RETURNING id::text""",
    "the log": """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", "memberId")
        VALUES (gen_random_uuid(), 'UPDATE', 'Page', gen_random_uuid(), %s) RETURNING id::text""",
}


@pytest.mark.parametrize("rule", CHILDREN)
def test_no_foreign_key_decides_what_else_goes(application: Ground, rule: str) -> None:
    plan = application.approved()
    with application.connect() as connection:
        row = connection.execute(CHILDREN[rule], [application.imported.created["Member"][0]]).fetchone()
    assert row is not None
    refused(application, plan, row[0])


def test_a_row_that_is_gone_is_named(guide: Ground) -> None:
    plan = guide.approved()
    key = guide.imported.created["WaIdMapping"][3]
    guide.execute('DELETE FROM "WaIdMapping" WHERE id::text = %s', key)
    assert refused(guide, plan, key).rows == (("WaIdMapping", key, "is gone"),)
    guide.execute('UPDATE "WaIdMapping" SET "updatedAt" = now()')
    refusal = refused(guide, plan, "and .. more")
    assert key in {named for _, named, _ in refusal.rows}


def test_a_row_that_came_back_meanwhile_is_not_brought_back_twice(application: Ground) -> None:
    plan = application.approved()
    application.apply(plan)
    undo = application.undo(plan.id)
    was = image(plan, "delete", "Event")
    application.execute(
        f'INSERT INTO "Event" SELECT {application.columns("Event")} FROM {was} ORDER BY id LIMIT 1'
    )
    (key,) = application.ask(f"SELECT min(id::text) FROM {was}")
    assert refused(application, undo, key).rows == (("Event", key, "already exists"),)


def test_a_value_that_may_be_there_only_once_and_was_taken_since_is_refused(application: Ground) -> None:
    plan = application.approved()
    application.apply(plan)
    undo = application.undo(plan.id)
    (email,) = application.ask(f"SELECT min(email) FROM {image(plan, 'delete', 'Member')}")
    question = 'UPDATE "Member" SET email = %s WHERE id = (SELECT id FROM "Member" ORDER BY id LIMIT 1)'
    application.execute(question, email)
    said = application.refuses(undo, "Member", Refused)  # in the way of one that comes back
    assert "email" in str(said)


def test_a_row_whose_parent_is_gone_is_not_brought_back(application: Ground) -> None:
    plan = application.approved()
    application.apply(plan)
    undo = application.undo(plan.id)
    was = image(plan, "delete", "EventRegistration")
    (event,) = application.ask(
        f'SELECT e.id::text FROM "Event" e JOIN {was} r ON r."eventId" = e.id ORDER BY 1 LIMIT 1'
    )
    application.execute('DELETE FROM "EventRegistration" WHERE "eventId"::text = %s', event)
    application.execute('DELETE FROM "Event" WHERE id::text = %s', event)
    said = refused(application, undo, "refer to rows that are gone")
    keys = application.ask(f'SELECT id::text FROM {was} WHERE "eventId"::text = %s ORDER BY 1', event)
    reason = 'would refer by eventId to a missing row of "Event"'
    assert sorted(said.rows) == [("EventRegistration", key, reason) for key in keys]


def test_an_undo_does_not_overwrite_what_people_did_since(guide: Ground) -> None:
    plan = guide.approved(snapshot=True)
    guide.apply(plan)
    undo = guide.undo(plan.id)
    (key,) = guide.ask(f"SELECT min(id::text) FROM {image(plan, 'update', 'Member', 'after')}")
    guide.execute("UPDATE \"Member\" SET phone = '8050000000' WHERE id::text = %s", key)
    assert refused(guide, undo, key).rows == (("Member", key, "was changed since the plan was made"),)
    said = refused(guide, guide.undo(plan.id), key)  # nor does one that is planned only now
    assert said.rows[0][1] == key


def test_a_column_that_came_after_the_plan_comes_back_too(application: Ground) -> None:
    """A column the plan does not know holds what somebody wrote: refused, or all of it comes back."""
    plan = application.approved()
    application.execute('ALTER TABLE "Member" ADD nickname text')
    application.execute('UPDATE "Member" SET nickname = left("firstName", 3)')
    before = application.state()
    with suppress(WorkbenchError):
        application.apply(plan)
        application.apply(application.undo(plan.id))
    assert differences(before, application.state()) == {}


def test_a_column_that_was_dropped_since_is_said_plainly(guide: Ground) -> None:
    plan = guide.approved(snapshot=True)
    guide.apply(plan)
    guide.execute('ALTER TABLE "Member" DROP "waMembershipLevelRaw"')
    before = guide.everything()
    with pytest.raises(WorkbenchError, match="waMembershipLevelRaw"):
        guide.apply(guide.undo(plan.id))
    assert guide.everything() == before


def test_a_table_that_changed_since_the_plan_was_made_is_refused(application: Ground) -> None:
    plan = application.approved()
    for change in ('DROP CONSTRAINT "WaSyncState_pkey"', 'DROP "lastFullSync"', 'RENAME TO "SyncState"'):
        application.execute(f'ALTER TABLE "WaSyncState" {change}')
        application.refuses(plan, "WaSyncState", WorkbenchError)


@pytest.mark.parametrize("others", [0, 100])
def test_a_row_that_changed_is_found_among_all_or_some_rows_of_a_table(
    application: Ground, others: int
) -> None:
    """Where rows are recognised by their digests alone, and where they are filtered by key first."""
    ground, table = application, '"WaIdMapping"'
    operations = ground.planned().operations
    deletes = next(each for each in operations if (each.name, each.table) == ("delete", "WaIdMapping"))
    planned = [str(key) for key, _ in ground.planned().rows(deletes)]
    some = f"SELECT id FROM {table} WHERE NOT (id::text = ANY(%s)) ORDER BY id LIMIT {others}"
    ground.execute(
        f"DELETE FROM {table} WHERE NOT (id::text = ANY(%s)) AND id NOT IN ({some})", planned, planned
    )
    ground.execute(f"ANALYZE {table}")
    plan = ground.approved(anew=True)
    assert plan.changes["WaIdMapping"]["delete"] == len(planned)
    assert ground.ask(f"SELECT count(*) FROM {table}") == [len(planned) + others]
    ground.execute(f"""UPDATE {table} SET "waId" = '999999' WHERE id::text = %s""", planned[1])
    assert [key for _, key, _ in refused(ground, plan, planned[1]).rows] == [planned[1]]
