"""Rolling back a run: row for row what was there before, and nobody's later work lost."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Ground
from tests.edits import Edit
from tests.fixes.conftest import IMPORTS, Scene, Staging
from tests.imports import import_run
from workbench.errors import Refused, UsageError
from workbench.plans.plan import Plan
from workbench.runs.plan import LevelZero
from workbench.runs.rollback import spare_referenced


def planned(scene: Scene, **options: object) -> Plan:
    plan = scene.open().runs.plan_rollback(scene.imported.run, snapshot=scene.snapshot, **options)  # type: ignore[arg-type]
    assert isinstance(plan, Plan)
    return plan


def rows_of(plan: Plan, operation: str) -> set[tuple[str, str]]:
    return {
        (section.table, str(row[0]))
        for section in plan.operations
        if section.name == operation
        for row in plan.rows(section)
    }


def assert_no_row_is_in_two_lists(plan: Plan) -> None:
    deleted, updated = (rows_of(plan, operation) for operation in ("delete", "update"))
    kept, unresolved = (
        {(str(each["table"]), str(each["key"])) for each in notes} for notes in (plan.kept, plan.unresolved)
    )
    conflicts = {(str(each["table"]), str(each["key"])) for each in plan.conflicts}
    assert not deleted & (updated | kept | unresolved | conflicts)
    assert not unresolved & (updated | kept | conflicts)


def contents(connection: psycopg.Connection, edit: Edit) -> list[tuple[str, ...]]:
    """Return what a person wrote, as it is now: the columns they changed, or the row they added."""
    cells = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(each)) for each in edit.columns)
    query = sql.SQL("SELECT {} FROM {} t WHERE id::text = {}").format(
        cells if edit.columns else sql.SQL("t::text"), sql.Identifier(edit.table), edit.key
    )
    found = connection.execute(query).fetchall()
    assert len(found) == 1, edit
    return found


@pytest.mark.parametrize(("dialect", "importer"), IMPORTS)
def test_every_table_is_what_it_was_before_the_run_and_what_came_under_several_ids_is_one_record(
    staged: Staging, dialect: str, importer: str
) -> None:
    scene = staged(dialect, importer, again=3)
    with scene.open() as wb:
        found = wb.runs.records(scene.imported.run)
    created = {(table, key) for table, keys in scene.imported.created.items() for key in keys}
    records = found.records[found.records["record_id"].notna()]
    assert not records.duplicated(["entity", "record_id"]).any()
    assert set(records[records["action"] == "created"]["record_id"]) == {
        key for table, key in created if table in scene.imported.table.values()
    }
    assert set(records["touched_since"]) == {""}
    assert len(records[records["other_wa_ids"] != ""]) >= 9
    assert found.differences == []
    plan = planned(scene)
    assert_no_row_is_in_two_lists(plan)
    assert not plan.conflicts
    assert not plan.unresolved
    assert rows_of(plan, "delete") == created
    assert rows_of(plan, "update") == set(scene.imported.updated)
    kept = {(each["table"], each["key"]) for each in plan.kept}
    assert kept >= {("Member", key) for key in scene.imported.mapped}
    assert not kept & created
    scene.carry_out(plan)
    assert not scene.changed(scene.before)
    scene.undo(plan)
    assert not scene.changed(scene.after)


@pytest.mark.parametrize(("dialect", "importer"), IMPORTS[::2])
def test_without_a_snapshot_updates_are_unresolved_and_say_what_would_resolve_them(
    staged: Staging, dialect: str, importer: str
) -> None:
    scene = staged(dialect, importer)
    plan = scene.open().runs.plan_rollback(scene.imported.run)
    assert isinstance(plan, Plan)
    created = {(table, key) for table, keys in scene.imported.created.items() for key in keys}
    deleted = rows_of(plan, "delete")
    assert deleted <= created
    assert {each for each in created if each[0] != "WaIdMapping"} <= deleted
    assert not rows_of(plan, "update")
    records = {each for each in scene.imported.updated if each[0] not in ("WaIdMapping", "WaSyncState")}
    unresolved = {(each["table"], each["key"]) for each in plan.unresolved}
    assert records <= unresolved
    assert all("snapshot" in str(each["resolved_by"]) for each in plan.unresolved)
    scene.carry_out(plan)
    assert all(not added for _, added in scene.changed(scene.after).values())


@pytest.mark.parametrize(("dialect", "importer"), IMPORTS[:2])
def test_a_conflict_is_kept_unless_it_is_to_be_restored(staged: Staging, dialect: str, importer: str) -> None:
    scene = staged(dialect, importer, ["updated-member-same-column"])
    (edit,) = scene.edits
    plan = planned(scene)
    conflicts = {(each["table"], each["key"], each["column"]) for each in plan.conflicts}
    assert {(edit.table, edit.key, column) for column in edit.columns} <= conflicts
    again = planned(scene, on_conflict="restore")
    scene.carry_out(again)
    with scene.connect() as connection:
        for column in edit.columns:
            now = connection.execute(
                f'SELECT "{column}" FROM "{edit.table}" WHERE id::text = %s',
                [edit.key],  # type: ignore[arg-type]
            ).fetchone()
            assert now == (scene.imported.updated[edit.table, edit.key][column][0],)


def test_what_a_kept_row_needs_is_kept_too(staged: Staging) -> None:
    scene = staged("application", "api", ["payment"], registrations=20)
    (edit,) = scene.edits
    with scene.connect() as connection:
        found = connection.execute(
            'SELECT r.id::text, r."memberId"::text, r."eventId"::text FROM "EventRegistration" r'
            ' JOIN "PaymentIntent" p ON p."registrationId" = r.id WHERE p.id::text = %s',
            [edit.key],
        ).fetchone()
    assert found is not None
    registration, member, event = found
    plan = planned(scene)
    kept = {(each["table"], each["key"]): each["reason"] for each in plan.kept}
    assert "PaymentIntent" in str(kept["EventRegistration", registration])
    deleted = rows_of(plan, "delete")
    assert not deleted & {("EventRegistration", registration), ("Member", member), ("Event", event)}
    for table, key in (("Member", member), ("Event", event)):
        if key in scene.imported.created[table]:
            assert f"EventRegistration {registration}" in str(kept[table, key])


def test_what_cannot_be_planned_is_refused_by_name(staged: Staging, tmp_path: Path) -> None:
    scene = staged("application", "api")
    wb = scene.open()
    dry = next(each for each in wb.runs.frame().itertuples() if each.mode == "dry")
    answer = wb.runs.plan_rollback(dry.run)
    assert isinstance(answer, LevelZero)
    assert answer.fix
    with pytest.raises(UsageError, match=scene.imported.run):
        wb.runs.plan_rollback(scene.imported.run[:-1] + "x")
    with pytest.raises(Refused, match="not from before run"):
        planned(replace(scene, snapshot=scene.dump(tmp_path / "after.dump")))
    with pytest.raises(Refused, match="What would decide it"):  # its evidence is a report file
        planned(staged("application", "csv"), min_evidence="certain")
    assert not list(scene.plans.glob("*"))
    scene.carry_out(planned(scene))
    with pytest.raises(Refused):
        planned(scene)


def test_what_refers_is_found_alike_where_fewer_rows_do(application):
    session, doomed = application.wb.session, {}
    for name, table in session.schema.catalogue.tables.items():
        if len(table.primary_key) == 1:
            keys = application.ask(f'SELECT "{table.primary_key[0]}"::text FROM "{name}" ORDER BY 1')
            doomed |= {name: keys} if keys else {}
    told = []
    for analysed in (True, False):
        application.execute("ANALYZE" if analysed else "UPDATE pg_class SET reltuples = -1")
        with session.planning() as context:
            told.append(spare_referenced(context.raw, context.references, doomed, {}))
    assert told[0] == told[1]
    assert told[0][0].keys() >= {"Member", "Event", "EventRegistration"}


def test_what_a_column_of_today_cannot_hold_stays_and_is_said(staged: Staging) -> None:
    scene = staged("application", "api")
    ((key, was),) = [
        (key, columns["status"][0])
        for (table, key), columns in scene.imported.updated.items()
        if table == "EventRegistration" and "status" in columns
    ]
    scene.execute(f"""ALTER TYPE "RegistrationStatus" RENAME VALUE '{was}' TO 'OTHERWISE'""")
    scene.execute("""ALTER TABLE "Member" DROP COLUMN phone; ALTER TABLE "Event" ALTER capacity TYPE text""")
    plan = planned(scene)
    assert [(note["table"], note["key"]) for note in plan.unresolved] == [("EventRegistration", key)]
    assert was in str(plan.unresolved[0]["reason"])
    for name in ("phone", "capacity"):
        assert any(f"'{name}'" in note for note in plan.notes)
    scene.carry_out(plan)


@pytest.mark.parametrize("common", [True, False])
def test_a_snapshot_of_another_server_needs_something_in_common(application: Ground, common: bool) -> None:
    """The club may have moved to another server since; a run that only created records tells nothing of that."""
    manifest = application.open().snapshots.create()
    with application.connect() as connection:
        sizes = {} if common else {"updates": 0, "mapped": 0}
        imported = import_run(connection, application.club, "api", **sizes)
    target = replace(manifest.target, system_identifier="1")
    manifest.model_copy(update={"target": target}).write(manifest.path)
    plan = application.open().runs.plan_rollback(imported.run, snapshot=manifest.snapshot)
    assert isinstance(plan, Plan)
    assert rows_of(plan, "update") == set(imported.updated)
    application.execute("""DELETE FROM "AuditLog" WHERE metadata ->> 'sha256' IS NOT NULL""")
    if not common:  # nor does a mapping that it refreshed
        application.execute('DELETE FROM "WaIdMapping"')
    with nullcontext() if common else pytest.raises(Refused, match="another database"):
        application.open().runs.plan_rollback(imported.run, snapshot=manifest.snapshot)
