"""What a restore leaves behind besides the rows: who did it, which plans are gone, whose the database is, the way back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.imports import import_run
from tests.restore.acting import Acting
from tests.restore.conftest import LOG, SYNC, Ground, Lay, assert_same
from tests.states import differences
from workbench.errors import NotApproved, Refused
from workbench.plans.plan import Plan
from workbench.snapshots.restore.request import Request
from workbench.snapshots.restore.steps import STEPS


@pytest.fixture
def guide(lay: Lay) -> Ground:
    return lay("guide")


def applied(ground: Ground) -> Plan:
    with ground.open() as wb:
        plan = wb.runs.plan_sync_state()
        wb.plans.approve(plan, plan.digest, approver="erin")
        wb.plans.apply(plan)
    return plan


def becomes(ground: Ground, plan: Plan) -> tuple[str, str]:
    with ground.open() as wb:
        frame = wb.plans.states()
    row = frame[frame["plan"] == plan.id].iloc[-1]
    return str(row["state"]), str(row["detail"])


def said_of_it(ground: Ground, request: str) -> dict[str, Any]:
    """Return what the audit log says of a restore."""
    with ground.open() as wb:
        log = wb.audit.entries(action="migration:rollback:level2")["metadata"]
    (facts,) = [each for each in log if each["request"] == request]
    return dict(facts)


def test_plans_that_were_applied_since_are_not_applied_any_more(guide: Ground) -> None:
    made = guide.taken()
    plan = applied(guide)
    assert becomes(guide, plan)[0] == "applied"
    request = guide.asked(made.snapshot, in_place=True, keep_sync_state=True)
    record = guide.restore(request, operator="kim")
    assert record.facts["settled"]["gone"] == 1
    state, detail = becomes(guide, plan)
    assert state == "restored away"
    assert f"restored {made.snapshot}" in detail
    facts = said_of_it(guide, request.id)
    assert facts["backup_file"] == made.archive.name
    assert facts["restore_time"] == record.facts["settled"]["restore_time"]
    assert (facts["operator"], facts["approved_by"]) == ("kim", "erin")
    assert facts["safety_backup"] == Path(record.facts["safety"]).name
    with guide.open() as wb:
        # Its approval held once, and that was before.
        with pytest.raises((Refused, NotApproved), match="was used before"):
            wb.plans.apply(plan)
        with pytest.raises(Refused, match="is not applied here"):
            wb.plans.plan_undo(plan.id)
        wb.plans.approve(plan, plan.digest, approver="erin")
        assert becomes(guide, plan)[0] == "approved"
        wb.plans.apply(plan)
        assert becomes(guide, plan)[0] == "applied"


def test_plans_that_the_snapshot_knows_stay_applied_and_the_sync_state_may_stay(guide: Ground) -> None:
    plan = applied(guide)
    guide.execute(f"""UPDATE "{SYNC}" SET "lastFullSync" = '2026-01-02 03:04'""")
    before = guide.whole(leave_out=(LOG,))
    guide.snapshot()
    guide.execute(f'DELETE FROM "{SYNC}"')
    record = guide.restore(guide.asked(keep_sync_state=True))
    assert record.facts["settled"]["gone"] == 0
    assert becomes(guide, plan)[0] == "applied"
    assert_same(before, guide.whole(leave_out=(LOG,)))


PROPERTIES = """
    SELECT pg_get_userbyid(datdba), datacl::text, datconnlimit, pg_encoding_to_char(encoding), datcollate, datctype,
        coalesce(shobj_description(oid, 'pg_database'), ''),
        (SELECT array_agg(setrole::regrole::text || ': ' || each ORDER BY setrole, each)
         FROM pg_db_role_setting, unnest(setconfig) each WHERE setdatabase = d.oid)
    FROM pg_database d WHERE datname = current_database()
"""


def test_the_database_s_own_settings_stay(guide: Ground) -> None:
    """As the live one has them; where that is gone altogether, as the snapshot has them."""
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
        guide.restore(guide.asked())
        assert guide.ask(PROPERTIES) == before
        made = guide.snapshot()
        guide.drop_all()
        guide.restore(guide.asked(made.snapshot))
        # Nobody has its comment any more.
        assert [(*row[:6], row[7]) for row in guide.ask(PROPERTIES)] == [(*row[:6], row[7]) for row in before]
    finally:
        guide.drop_all()
        with guide.connect("postgres", autocommit=True) as connection:
            connection.execute(f"DROP ROLE {owner}")
            connection.execute(f"DROP ROLE {reader}")


def undo(ground: Ground) -> Request:
    """Ask for the way back, and let Erin approve."""
    with ground.open() as wb:
        request = wb.restores.ask_undo()
        wb.plans.approve(request, request.digest, approver="erin")
    return request


def test_killed_at_every_step_the_old_database_is_put_back(
    guide: Ground, acting: Callable[..., Acting]
) -> None:
    """Exactly; and an approval that was used in the restored one stays used."""
    made = guide.taken()
    guide.execute('DELETE FROM "WaIdMapping"')
    number = "SELECT oid FROM pg_database WHERE datname = current_database()"
    broken, oid = guide.whole(leave_out=(LOG,)), guide.ask(number)
    record = guide.restore(guide.asked(made.snapshot, keep_sync_state=True))
    plan = applied(guide)
    restored = guide.whole(leave_out=(LOG,))
    with guide.open() as wb, pytest.raises(NotApproved):
        wb.restores.carry_out(wb.restores.ask_undo())
    request = undo(guide)
    under_way = acting(guide, request)
    for step, now in ((1, restored), (2, restored), (3, broken)):
        assert under_way.go_on() == STEPS["swap back"][step].called
        under_way.kill()
        assert_same(now, guide.whole(leave_out=(LOG,)))
        under_way = acting(guide, None)
    assert under_way.finish() == "done"
    assert guide.ask(number) == oid
    assert_same(broken, guide.whole(leave_out=(LOG,)))
    (kept,) = [name for name in guide.databases() if name != guide.database]
    assert_same(restored, guide.whole(kept, leave_out=(LOG,)))
    assert said_of_it(guide, request.id)["approved_by"] == "erin"
    assert kept != record.facts["kept"]
    assert becomes(guide, plan)[0] == "restored away"
    with guide.open() as wb:
        with pytest.raises(Refused, match=r"was carried out .* by dana: done"):
            wb.restores.carry_out(request)
        with pytest.raises((Refused, NotApproved), match="was used before"):
            wb.plans.apply(plan)


def test_only_the_database_that_the_last_restore_kept_can_come_back(guide: Ground) -> None:
    made = guide.taken()
    guide.execute('DELETE FROM "WaIdMapping"')
    first = guide.restore(guide.asked(made.snapshot)).facts["kept"]
    early = undo(guide)
    assert early.file == first
    guide.execute('CREATE TABLE public."people\'s work" AS SELECT 1')
    later = guide.whole()
    second = guide.restore(guide.asked(made.snapshot)).facts["kept"]
    with pytest.raises(Refused, match="are not the databases of the request"):
        guide.restore(early)
    request = undo(guide)
    assert request.file == second != first
    guide.restore(request)
    assert_same(later, guide.whole())


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
    assert record.outcome == "done"
    assert refused == []
    assert guide.ask('SELECT count(*) > 0 FROM "WaIdMapping"') == [True]


def test_what_was_written_between_backup_and_swap_is_told(lay: Lay, tmp_path: Path) -> None:
    """While the application was stopped, which is started again."""
    log = tmp_path / "acts"
    acts = {f"app_{act}": ("sh", "-c", f"echo {act} >> {log}") for act in ("stop", "start")}
    ground = lay("guide", **acts)
    ground.taken()
    request = ground.asked()

    def progress(what: str, done: int, total: int) -> None:
        if what == "comparing it with the manifest":
            ground.execute("""UPDATE "Member" SET email = 'late@example.org'
                WHERE id = (SELECT min(id) FROM "Member")""")

    with ground.open() as wb:
        facts = wb.restores.carry_out(request, progress).facts
    assert facts["written_late"] == ["Member"]
    late = """SELECT count(*) FROM "Member" WHERE email = 'late@example.org'"""
    assert ground.ask(late, database=facts["kept"]) == [1]
    assert log.read_text() == "stop\nstart\n"
    assert (facts["stopped"], facts["restarted"]) == (True, True)


def test_restored_and_replayed_only_the_bad_run_s_doing_is_gone(guide: Ground) -> None:
    made = guide.taken()
    before = guide.whole()
    with guide.connect() as connection:
        run = import_run(connection, guide.club, "guide", seed=3, updates=4).run
    changed = """UPDATE "Member" SET phone = '805 555 0100' WHERE id = (SELECT min(id) FROM "Member") RETURNING id"""
    (person,) = guide.ask(changed)
    with guide.open() as wb:
        plan = wb.history.plan_replay(made.snapshot, [run])
        request = wb.restores.ask(made.snapshot, runs=[run])
        assert any(each["table"] == "Member" and each["change"] == "changed" for each in request.losses)
        wb.plans.approve(request, request.digest, approver="erin")
        wb.restores.carry_out(request)
        assert_same(before, guide.whole())
        wb.plans.approve(plan, plan.digest, approver="erin")
        wb.plans.apply(plan)
    different = differences(before.rows, guide.whole().rows)
    assert (set(different), len(different["Member"][1])) == ({"Member"}, 1)
    assert guide.ask("""SELECT phone FROM "Member" WHERE id = %s""", person) == ["805 555 0100"]
