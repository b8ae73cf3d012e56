"""Apply and undo: what was approved happens, whole, to nothing else, and all of it comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from psycopg.rows import dict_row

from tests.plans.applying import Applying
from tests.plans.conftest import OWNER_OF_ALL, Ground, Grounds
from tests.states import differences
from workbench.errors import Refused, SchemaGap, WorkbenchError, WrongEnvironment
from workbench.plans.plan import Plan

CHECKS = ["audit-metadata", "members-missing", "records-missing"]

MakeRole = Callable[[Ground, list[str]], str]
Start = Callable[..., Applying]


def entries(ground: Ground) -> list[dict[str, Any]]:
    """Return what the workbench wrote into the audit log, oldest first."""
    with ground.connect(row_factory=dict_row) as connection:
        question = (
            """SELECT * FROM "AuditLog" WHERE metadata->>'source' = 'workbench' ORDER BY "createdAt" """
        )
        return connection.execute(question).fetchall()


def test_undo_after_apply_leaves_every_table_as_it_was(ground: Ground) -> None:
    before = ground.state()
    plan = ground.approved(snapshot=True)
    assert plan.total > 0
    ground.apply(plan)
    applied = ground.state()
    moved = {table: (len(gone), len(new)) for table, (gone, new) in differences(before, applied).items()}
    assert moved == {
        table: (sum(cells.values()), cells.get("update", 0)) for table, cells in plan.changes.items()
    }
    plan.path.unlink()  # what it did is in the journal
    undo = ground.undo(plan.id)
    ground.apply(undo)
    assert differences(before, ground.state()) == {}
    # The undo of the undo does it over again, and that can be taken back as well.
    redo = ground.undo(undo.id)
    ground.apply(redo)
    assert differences(applied, ground.state()) == {}
    ground.apply(ground.undo(redo.id))
    assert differences(before, ground.state()) == {}


def test_the_audit_log_says_what_the_guide_wants(ground: Ground) -> None:
    plan = ground.approved(snapshot=True)
    ground.apply(plan)
    undo = ground.undo(plan.id)
    ground.apply(undo)
    run = ground.imported.run
    done, undone = entries(ground)
    for entry, by, action in ((done, plan, "migration:rollback:level1"), (undone, undo, "migration:undone")):
        facts = entry["metadata"]
        assert (facts["run_id"], facts["records_affected"]) == (run, plan.total)
        assert (facts["operator"], facts["approved_by"]) == ("dana", "erin")
        assert (facts["plan"], facts["digest"], facts["environment"]) == (by.id, by.digest, "demo")
        if ground.cloned.club.dialect == "application":
            assert (entry["action"], facts["migrationAction"]) == ("UNDO", action)
            assert (entry["resourceType"], entry["memberId"]) == ("MigrationRun", None)
            assert UUID(str(entry["resourceId"])).version == 4
        else:
            assert entry["action"] == action
        assert "@" not in json.dumps(facts)


def test_the_checks_leave_a_run_that_was_rolled_back_alone(application: Ground) -> None:
    ground = application

    def asked() -> tuple[set[str], bool]:
        """Return which checks do not pass, and whether the run counts as rolled back."""
        with ground.open() as wb:
            (run,) = [run for run in wb.session.find_runs() if run.run == ground.imported.run]
            findings = wb.check(CHECKS).findings
            return {finding.check for finding in findings if finding.status != "pass"}, run.rolled_back

    assert asked() == (set(), False)
    plan = ground.approved(snapshot=True)
    ground.apply(plan)
    assert asked() == (set(), True)
    undo = ground.undo(plan.id)
    ground.apply(undo)
    assert asked() == (set(), False)
    ground.apply(ground.undo(undo.id))
    assert asked() == (set(), True)
    ground.execute("""DELETE FROM "AuditLog" WHERE metadata->>'source' = 'workbench'""")
    assert asked() == (set(), False)  # the journal tells of it too
    ground.execute("DROP SCHEMA workbench CASCADE")
    assert asked() == ({"members-missing", "records-missing"}, False)


def test_the_journal_has_every_row_before_and_after(application: Ground) -> None:
    ground = application
    before = ground.state()
    plan = ground.approved(snapshot=True)
    entry = ground.apply(plan)
    images: dict[str, tuple[list[str], list[str]]] = {}
    for number, section in enumerate(plan.operations, 1):
        gone, new = images.setdefault(section.table, ([], []))
        row = f"SELECT row({ground.columns(section.table)})::text FROM workbench.j{entry.id}_{number}"
        gone += ground.ask(f"{row}_before")
        if section.name == "update":
            new += ground.ask(f"{row}_after")
    assert differences(before, ground.state()) == {
        table: (sorted(gone), sorted(new)) for table, (gone, new) in images.items()
    }
    assert (entry.plan, entry.digest, entry.kind) == (plan.id, plan.digest, "rollback")
    assert (entry.total, entry.row_triggers, entry.undoes) == (plan.total, "off", None)
    names = ", ".join(
        f"facts->>'{name}'" for name in ("planned_by", "approved_by", "applied_by", "environment")
    )
    assert ground.ask(f"SELECT {names}, facts->'parameters'->>'run' FROM workbench.applied") == [
        ("dana", "erin", "dana", "demo", ground.imported.run)
    ]


def test_a_plan_is_applied_to_no_other_target(grounds: Grounds, application: Ground) -> None:
    plan = application.approved()
    grounds.lay("api").refuses(plan, f"made for the database '{application.database}'", WrongEnvironment)
    for where in ({"name": "other"}, {"kind": "staging"}):
        application.refuses(plan, f"plan {plan.id} was made", WrongEnvironment, **where)
    for elsewhere in ({"system_identifier": "1"}, {"schema": "other"}):
        other = application.retargeted(plan, **elsewhere)
        with application.open() as wb:
            wb.plans.approve(other, other.digest, approver="erin")
        application.refuses(other, f"plan {other.id} was made", WrongEnvironment)


def test_a_right_that_is_missing_is_named(application: Ground, role: MakeRole) -> None:
    rights = [
        "CREATE SCHEMA workbench AUTHORIZATION ROLE",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO ROLE",
    ]
    url = role(application, [*rights, 'REVOKE INSERT ON "AuditLog" FROM ROLE'])
    plan = application.approved()
    application.refuses(plan, "lacks a right .* AuditLog", WorkbenchError, url=url)
    user = url.split("//")[1].split(":")[0]
    application.execute(f'GRANT ALL ON "AuditLog" TO {user}; REVOKE DELETE ON "Member" FROM {user}')
    application.refuses(plan, "lacks a right .* Member", WorkbenchError, url=url)
    assert application.becomes(plan) == "approved"


def test_whoever_is_writing_is_waited_for_and_no_longer_than_was_said(guide: Ground) -> None:
    plan = guide.approved()
    with guide.connect() as other:
        other.execute('UPDATE "Member" SET phone = phone WHERE id IN (SELECT id FROM "Member" LIMIT 1)')
        said = guide.refuses(plan, r"did not finish within 0\.2 s", Refused, lock_timeout=0.2)
        assert "lock_timeout" in said.next_step
        other.rollback()
    guide.apply(plan, lock_timeout=0.2)


def test_a_limit_that_is_met_is_said_plainly(application: Ground) -> None:
    plan = application.approved()
    with application.connect() as other:
        other.execute('LOCK TABLE "Member" IN ROW EXCLUSIVE MODE')
        slow = {"apply_timeout": 0.2, "lock_timeout": 5}
        application.refuses(plan, r"longer than 0\.2 s", WorkbenchError, **slow)
        application.refuses(plan, "did not finish within", Refused, apply_timeout=1, lock_timeout=0.0002)


def test_of_two_applies_at_once_one_wins(guide: Ground, applying: Start) -> None:
    plan = guide.approved()
    first, second = applying(guide, plan), applying(guide, plan)
    assert first.go_on() == "waiting for others to finish writing"
    assert second.finish().startswith("Refused 3: Another plan is being applied")
    assert first.finish() == "applied"
    assert applying(guide, plan).finish().startswith(f"Refused 3: Plan {plan.id} was applied by dana")


def test_of_those_that_race_one_wins_whole(application: Ground, applying: Start) -> None:
    before = application.state()
    plans = [application.approved(snapshot=True), application.approved()]
    racing = [applying(application, plan) for plan in plans * 2]
    with ThreadPoolExecutor() as pool:
        said = sorted(pool.map(Applying.finish, racing))
    assert said.pop() == "applied"
    assert all(answer.startswith(("Refused 3", "Drift 3")) for answer in said)
    (name,) = application.ask("SELECT plan FROM workbench.applied")
    application.apply(application.undo(name))
    assert differences(before, application.state()) == {}


def test_the_tables_owner_applies_and_undoes_with_row_triggers_on(
    application: Ground, role: MakeRole
) -> None:
    ground = application
    url = role(ground, [OWNER_OF_ALL])
    before = ground.state()
    plan = ground.approved(snapshot=True)
    said = ground.refuses(plan, "may not create the schema 'workbench'", WorkbenchError, url=url)
    assert "CREATE SCHEMA workbench AUTHORIZATION" in said.next_step
    user = url.split("//")[1].split(":")[0]
    ground.execute(f"CREATE SCHEMA workbench AUTHORIZATION {user}")  # as it says
    assert ground.apply(plan, url=url).row_triggers == "on"
    assert differences(before, ground.state()) != {}
    undo = ground.undo(plan.id)
    assert ground.apply(undo, url=url).row_triggers == "on"
    assert differences(before, ground.state()) == {}


def test_what_cannot_be_logged_is_not_done(guide: Ground) -> None:
    plan = guide.approved()
    guide.execute('ALTER TABLE "AuditLog" ADD seal text NOT NULL DEFAULT 0')
    guide.execute('ALTER TABLE "AuditLog" ALTER seal DROP DEFAULT')
    guide.refuses(plan, "requires a column 'seal'", SchemaGap)
    guide.execute('ALTER TABLE "AuditLog" RENAME metadata TO remarks')
    guide.refuses(plan, "metadata", SchemaGap)


def test_what_was_never_applied_cannot_be_taken_back(guide: Ground) -> None:
    plan = guide.approved()
    with guide.open() as wb:
        with pytest.raises(Refused, match="is not applied here"):
            wb.plans.plan_undo(plan.id)
        wb.plans.apply(plan)
        undo = guide.undo(plan.id)
        wb.plans.apply(undo)
        with pytest.raises(Refused, match=undo.id):
            wb.plans.plan_undo(plan.id)


def test_the_tables_may_lie_in_a_schema_of_another_name(application: Ground) -> None:
    before = application.state()
    application.execute('ALTER SCHEMA public RENAME TO "The club"; CREATE SCHEMA public')
    url = f"{application.url}&schema=The%20club"
    with application.open(url=url) as wb:
        plan = wb.runs.plan_rollback(application.imported.run, sync_state=True)
        assert isinstance(plan, Plan)
        assert plan.target.schema == "The club"
        wb.plans.approve(plan, plan.digest, approver="erin")
        with pytest.raises(WrongEnvironment):
            application.apply(plan)  # not where the URL leads without it
        wb.plans.apply(plan)
        assert wb.plans.states()["state"].tolist() == ["applied"]
        undo = wb.plans.plan_undo(plan.id)
        wb.plans.approve(undo, undo.digest)
        wb.plans.apply(undo)
    application.execute('DROP SCHEMA public; ALTER SCHEMA "The club" RENAME TO public')
    assert differences(before, application.state()) == {}


def test_no_password_gets_into_a_plan_an_approval_or_the_journal(application: Ground) -> None:
    url = application.login("postgres").replace("postgres:@", "postgres:hunter22secret@")
    plan = application.planned(url=url)
    with application.open(url=url) as wb:
        wb.plans.approve(plan, plan.digest, approver="erin")
        wb.plans.apply(plan)
        wb.plans.plan_undo(plan.id)
    written = [path.read_bytes() for path in application.plans.iterdir()]
    assert len(written) == 3
    assert b"hunter22secret" not in b"".join([*written, repr(application.everything()).encode()])
