"""What a restore leaves behind besides the rows: who did it, which plans are gone, whose the database is, the way back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.imports import import_run
from tests.restore.acting import Acting
from tests.restore.conftest import LOG, Ground, Lay, assert_same
from tests.states import differences
from workbench.errors import NotApproved, Refused
from workbench.plans.plan import Plan
from workbench.snapshots.restore.restores import STEPS


@pytest.fixture
def guide(lay: Lay) -> Ground:
    return lay("guide")


def applied(ground: Ground) -> Plan:
    with ground.open() as wb:
        plan = wb.runs.plan_sync_state()
        wb.approve(plan, plan.digest, approver="erin")
        wb.apply(plan)
    return plan


def becomes(ground: Ground, plan: Plan) -> tuple[str, str]:
    with ground.open() as wb:
        frame = wb.plans()
    row = frame[frame["plan"] == plan.id].iloc[-1]
    return str(row["state"]), str(row["detail"])


def test_the_audit_log_says_so(ground: Ground) -> None:
    made = ground.taken()
    request = ground.asked()
    record = ground.restore(request, operator="kim")
    with ground.open() as wb:
        log = wb.audit.entries(action="migration:rollback:level2")
    facts = log["metadata"].iloc[-1]
    assert facts["backup_file"] == made.archive.name
    assert facts["restore_time"] == record.facts["settled"]["restore_time"]
    assert (facts["operator"], facts["approved_by"]) == ("kim", "erin")
    assert facts["safety_backup"] == Path(record.facts["safety"]).name
    assert facts["request"] == request.id


@pytest.mark.parametrize(("dialect", "way"), [("application", "swap"), ("guide", "in place")])
def test_plans_that_were_applied_since_are_not_applied_any_more(lay: Lay, dialect: str, way: str) -> None:
    ground = lay(dialect)
    made = ground.taken()
    plan = applied(ground)
    assert becomes(ground, plan)[0] == "applied"
    record = ground.restore(ground.asked(made.snapshot, in_place=way == "in place", keep_sync_state=True))
    assert record.facts["settled"]["gone"] == 1
    state, detail = becomes(ground, plan)
    assert state == "restored away"
    assert f"restored {made.snapshot}" in detail
    with ground.open() as wb:
        # Its approval held once, and that was before.
        with pytest.raises((Refused, NotApproved), match="was used before"):
            wb.apply(plan)
        with pytest.raises(Refused, match="is not applied here: applied by dana"):
            wb.plan_undo(plan.id)
        wb.approve(plan, plan.digest, approver="erin")
        assert becomes(ground, plan)[0] == "approved"
        wb.apply(plan)
        assert becomes(ground, plan)[0] == "applied"
    # A second restore takes away what the first did, and still knows of the first apply.
    ground.restore(ground.asked(made.snapshot))
    plan.path.unlink()
    assert becomes(ground, plan)[0] == "restored away"


def test_plans_that_the_snapshot_knows_stay_applied(guide: Ground) -> None:
    plan = applied(guide)
    guide.snapshot()
    record = guide.restore(guide.asked())
    assert record.facts["settled"]["gone"] == 0
    assert becomes(guide, plan)[0] == "applied"


PROPERTIES = """
    SELECT pg_get_userbyid(datdba), datacl::text, datconnlimit, pg_encoding_to_char(encoding), datcollate, datctype,
        coalesce(shobj_description(oid, 'pg_database'), ''),
        (SELECT array_agg(setrole::regrole::text || ': ' || each ORDER BY setrole, each)
         FROM pg_db_role_setting, unnest(setconfig) each WHERE setdatabase = d.oid)
    FROM pg_database d WHERE datname = current_database()
"""


@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone altogether"])
def test_the_database_s_own_settings_stay(guide: Ground, gone: bool) -> None:
    owner, reader = f"owner_of_{guide.database}", f"reader_of_{guide.database}"
    guide.execute(f"CREATE ROLE {owner}; CREATE ROLE {reader}")
    guide.snapshot()
    with guide.connect(autocommit=True) as connection:
        for statement in (
            f"ALTER DATABASE {guide.database} OWNER TO {owner}",
            f'ALTER DATABASE {guide.database} SET search_path TO public, "odd \'name""x", "$user"',
            f"ALTER DATABASE {guide.database} SET work_mem TO '7MB'",
            f"ALTER DATABASE {guide.database} SET \"my.own\" TO 'it''s; DROP TABLE x'",
            f"ALTER ROLE {reader} IN DATABASE {guide.database} SET statement_timeout TO '3s'",
            f"ALTER DATABASE {guide.database} CONNECTION LIMIT 77",
            f"REVOKE ALL ON DATABASE {guide.database} FROM PUBLIC",
            f"GRANT CONNECT ON DATABASE {guide.database} TO {reader} WITH GRANT OPTION",
            f"COMMENT ON DATABASE {guide.database} IS 'the club''s own'",
        ):
            connection.execute(statement)
    try:
        before = guide.ask(PROPERTIES)
        if gone:  # then it is the snapshot that knows
            made = guide.snapshot()
            guide.drop_all()
            guide.restore(guide.asked(made.snapshot))
        else:
            guide.restore(guide.asked())
        assert guide.ask(PROPERTIES) == before
    finally:
        guide.drop_all()
        with guide.connect("postgres", autocommit=True) as connection:
            connection.execute(f"DROP ROLE {owner}")
            connection.execute(f"DROP ROLE {reader}")


def test_the_old_database_can_be_put_back(guide: Ground) -> None:
    made = guide.taken()
    guide.execute('DELETE FROM "WaIdMapping"')
    broken, oid = (
        guide.whole(leave_out=(LOG,)),
        guide.ask("SELECT oid FROM pg_database WHERE datname = current_database()"),
    )
    record = guide.restore(guide.asked(made.snapshot))
    restored = guide.whole()
    with guide.open() as wb:
        request = wb.restores.ask_undo()
        with pytest.raises(NotApproved):
            wb.restores.carry_out(request)
        wb.approve(request, request.digest, approver="erin")
        back = wb.restores.carry_out(request)
    assert guide.ask("SELECT oid FROM pg_database WHERE datname = current_database()") == oid
    assert_same(broken, guide.whole(leave_out=(LOG,)))
    assert_same(restored, guide.whole(back.facts["kept"]))
    (said,) = guide.ask("SELECT metadata FROM \"AuditLog\" WHERE metadata->>'request' = %s", request.id)
    assert said["approved_by"] == "erin"
    assert record.facts["kept"] not in guide.databases()
    with guide.open() as wb, pytest.raises(Refused, match="was carried out by dana"):
        wb.restores.carry_out(request)


def test_an_approval_that_was_used_stays_used_when_the_old_database_comes_back(guide: Ground) -> None:
    made = guide.taken()
    guide.execute('DELETE FROM "WaIdMapping"')
    guide.restore(guide.asked(made.snapshot, keep_sync_state=True))
    plan = applied(guide)
    with guide.open() as wb:
        request = wb.restores.ask_undo()
        wb.approve(request, request.digest, approver="erin")
        wb.restores.carry_out(request)
    assert becomes(guide, plan)[0] == "restored away"
    with guide.open() as wb, pytest.raises((Refused, NotApproved), match="was used before"):
        wb.apply(plan)


def test_only_the_database_that_the_last_restore_kept_can_come_back(
    guide: Ground, acting: Callable[..., Acting]
) -> None:
    made = guide.taken()
    guide.execute('DELETE FROM "WaIdMapping"')
    first = guide.restore(guide.asked(made.snapshot)).facts["kept"]
    with guide.open() as wb:
        early = wb.restores.ask_undo()
        wb.approve(early, early.digest, approver="erin")
    assert early.kept == first
    guide.execute('CREATE TABLE public."people\'s work" AS SELECT 1')
    later = guide.whole()
    under_way = acting(guide, guide.asked(made.snapshot))
    while "starting" not in (called := under_way.go_on()):
        assert called != "done"
    under_way.kill()  # the swap is done
    with guide.open() as wb:
        with pytest.raises(Refused, match="is not finished"):
            wb.restores.ask_undo()
        second = wb.restores.resume().facts["kept"]
        with pytest.raises(Refused, match="are not the databases that they were"):
            wb.restores.carry_out(early)
        request = wb.restores.ask_undo()
        assert request.kept == second != first
        wb.approve(request, request.digest, approver="erin")
        wb.restores.carry_out(request)
    assert_same(later, guide.whole())


def test_killed_on_the_way_back(guide: Ground, acting: Callable[..., Acting]) -> None:
    made = guide.taken()
    guide.execute('DELETE FROM "WaIdMapping"')
    broken = guide.whole(())
    guide.restore(guide.asked(made.snapshot))
    restored = guide.whole(())
    with guide.open() as wb:
        request = wb.restores.ask_undo()
        wb.approve(request, request.digest, approver="erin")
    under_way = acting(guide, request)
    for step, now in ((1, restored), (2, restored), (3, broken)):
        assert under_way.go_on() == STEPS["swap back"][step].called
        under_way.kill()
        assert_same(now, guide.whole(()))
        under_way = acting(guide, None)
    assert under_way.finish() == "done"
    assert_same(broken, guide.whole(()))


def test_the_application_is_stopped_before_and_started_after(lay: Lay, tmp_path: Path) -> None:
    log = tmp_path / "acts"
    ground = lay(
        "guide", app_stop=("sh", "-c", f"echo stop >> {log}"), app_start=("sh", "-c", f"echo start >> {log}")
    )
    ground.taken()
    record = ground.restore(ground.asked())
    assert log.read_text() == "stop\nstart\n"
    assert record.facts["stopped"] is True
    assert record.facts["restarted"] is True


def test_whoever_stays_connected_and_comes_back_finds_the_restored_one(guide: Ground) -> None:
    """An application that nobody stopped: its sessions end, it comes back, and never sees no database."""
    made = guide.taken()
    guide.execute('DELETE FROM "WaIdMapping"')
    request = guide.asked(made.snapshot)
    over = threading.Event()
    refused: list[str] = []

    def application() -> None:
        while not over.is_set():
            try:
                with psycopg.connect(guide.url) as connection:
                    while not over.is_set():
                        connection.execute('SELECT count(*) FROM "Member"')
                        time.sleep(0.002)
            except psycopg.Error as error:
                if "does not exist" in str(error) and "renamed" not in str(error):
                    refused.append(str(error))

    threads = [threading.Thread(target=application) for _ in range(3)]
    for each in threads:
        each.start()
    try:
        record = guide.restore(request)
    finally:
        over.set()
        for each in threads:
            each.join()
    assert record.facts["connected"] > 0
    assert record.outcome == "done"
    assert refused == []
    assert guide.ask('SELECT count(*) > 0 FROM "WaIdMapping"') == [True]


def test_what_was_written_between_backup_and_swap_is_told(
    guide: Ground, acting: Callable[..., Acting]
) -> None:
    guide.taken()
    under_way = acting(guide, guide.asked())
    while under_way.step != "comparing it with the manifest":
        under_way.go_on()
    guide.execute(
        """UPDATE "Member" SET email = 'late@example.org' WHERE id = (SELECT min(id) FROM "Member")"""
    )
    assert under_way.finish() == "done"
    with guide.open() as wb, suppress(Refused):
        wb.restores.resume()
    from workbench.snapshots.restore.request import records_in

    (record,) = records_in(guide.open().settings)
    assert record.facts["written_late"] == ["Member"]
    kept = record.facts["kept"]
    assert guide.ask("""SELECT count(*) FROM "Member" WHERE email = 'late@example.org'""", database=kept) == [
        1
    ]


@pytest.mark.parametrize(("dialect", "importer"), [("application", "api"), ("guide", "guide")])
def test_restored_and_replayed_only_the_bad_run_s_doing_is_gone(
    lay: Lay, dialect: str, importer: str
) -> None:
    ground = lay(dialect)
    made = ground.taken()
    before = ground.whole()
    with ground.connect() as connection:
        run = import_run(connection, ground.club, importer, seed=3, updates=4).run  # type: ignore[arg-type]
    person = ground.ask("""UPDATE "Member" SET phone = '805 555 0100' WHERE id = (SELECT min(id::text) FROM "Member")::uuid
        RETURNING id::text""" if dialect == "application" else """UPDATE "Member" SET phone = '805 555 0100'
        WHERE id = (SELECT min(id) FROM "Member") RETURNING id""")[0]  # fmt: skip
    with ground.open() as wb:
        plan = wb.history.plan_replay(made.snapshot, [run])
        request = wb.restores.ask(made.snapshot, runs=[run])
        assert any(each["table"] == "Member" and each["change"] == "changed" for each in request.losses)
        wb.approve(request, request.digest, approver="erin")
        wb.restores.carry_out(request)
        assert_same(before, ground.whole())
        wb.approve(plan, plan.digest, approver="erin")
        wb.apply(plan)
    now = ground.whole().rows
    different = differences(before.rows, now)
    assert set(different) == {"Member"}
    assert ground.ask("""SELECT phone FROM "Member" WHERE id::text = %s""", person) == ["805 555 0100"]
    assert len(different["Member"][1]) == 1
