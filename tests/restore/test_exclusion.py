"""An apply and a restore of one database exclude each other: real processes, either one first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.plans.applying import Applying
from tests.restore.acting import Acting
from tests.restore.conftest import LOG, Ground, Lay, assert_same, kill
from workbench.errors import Refused
from workbench.plans.plan import Plan
from workbench.snapshots.restore.steps import STEPS

Start = Callable[..., Acting]

LOGGED = f"""SELECT count(*) FROM "{LOG}" WHERE metadata ->> 'snapshot' = %s"""
TRIED = {STEPS["swap"][place].called for place in (0, 2, -3, -1)}
"""Steps before which an apply is tried: the first, the one that fills the new database, the one after the swap, the last."""
BREAK = """UPDATE "Member" SET email = email || '.x'"""


@pytest.fixture
def ground(lay: Lay) -> Ground:
    return lay("guide")


@pytest.fixture
def applying() -> Iterator[Callable[[Ground, Plan], Applying]]:
    started: list[Applying] = []

    def start(ground: Ground, plan: Plan) -> Applying:
        started.append(Applying(ground.opened()[0], plan))
        return started[-1]

    yield start
    for process in started:
        process.close()


def planned(ground: Ground) -> Plan:
    """Plan something small, and let Erin approve it."""
    with ground.open() as wb:
        plan = wb.runs.plan_sync_state()
        wb.plans.approve(plan, plan.digest, approver="erin")
    return plan


def apply(ground: Ground, plan: Plan) -> None:
    with ground.open() as wb:
        wb.plans.apply(plan)


def refused(ground: Ground, plan: Plan, said: str) -> Refused:
    before = ground.whole(leave_out=())
    with pytest.raises(Refused, match=said) as caught:
        apply(ground, plan)
    assert caught.value.exit_code == 3
    assert_same(before, ground.whole(leave_out=()))
    with ground.open() as wb:
        assert set(wb.plans.states()["state"]) == {"approved"}
    return caught.value


def test_an_apply_is_refused_while_a_restore_runs(ground: Ground, acting: Start) -> None:
    """From its first step to its last, also after the swap; what is logged meanwhile is not written, except by the restore itself."""
    ground.taken()
    plan = planned(ground)
    ground.execute(BREAK)
    running = acting(ground, ground.asked(keep_sync_state=True))
    refusals, seen = set(), []
    while running.step != "done":
        seen.append(running.step)
        if running.step in TRIED:
            with ground.open() as wb, pytest.raises(Refused, match="is restoring a snapshot over") as caught:
                wb.plans.apply(plan)
            refusals.add(str(caught.value))
        if len(seen) == 3:
            with ground.open() as wb:
                made = wb.snapshots.create()
                (said,) = [message for message in wb.snapshots.said if "was not logged" in message]
            assert "is restoring a snapshot over" in said
            assert ground.ask(LOGGED, made.snapshot) == [0]
        running.go_on()
    assert seen == [step.called for step in STEPS["swap"]]
    (said,) = refusals
    assert f"dana is restoring a snapshot over {ground.database}, started at 2" in said
    assert running.finish() == "done"
    (kept,) = [name for name in ground.databases() if "_before_" in name]
    with ground.open() as wb:
        _, safety, _ = sorted(manifest.snapshot for manifest in wb.snapshots.all())
    assert ground.ask(LOGGED, safety, database=kept) == [1]
    apply(ground, planned(ground))


def test_a_restore_waits_for_an_apply(ground: Ground, applying: Callable[..., Applying]) -> None:
    before = ground.whole()
    ground.taken()
    plan, request = planned(ground), ground.asked()
    running = applying(ground, plan)
    running.go_on(2)
    database = ground.opened()[0]
    with ground.open() as wb:
        wb.session.database = replace(database, lock_timeout=0.2)
        with pytest.raises(Refused, match=f"is applying a plan to {ground.database}, started at"):
            wb.restores.carry_out(request)
        assert ground.databases() == [ground.database]
        told = []

        def progress(what: str, done: int, total: int) -> None:
            if what == "waiting for an apply to end" and what not in told:
                running.kill()
            told.append(what)

        wb.session.database = database  # being refused has not used the approval up
        assert wb.restores.carry_out(request, progress).outcome == "done"
    assert "waiting for an apply to end" in told
    assert_same(before, ground.whole())
    assert ground.ask("SELECT count(*) FROM workbench.applied") == [0]


def test_after_an_interrupted_one_nothing_is_applied_from_anywhere(
    ground: Ground, acting: Start, tmp_path: Path
) -> None:
    ground.taken()
    plan = planned(ground)
    killed = acting(ground, ground.asked())
    killed.go_on(1)
    kill(ground, killed)  # nothing of it is on the server yet: only the home it was begun in knows
    assert "begun by dana at 2" in str(refused(ground, plan, "was interrupted after its step 'stop'"))
    killed = acting(ground, None)
    killed.go_on(2)
    kill(ground, killed)
    elsewhere = replace(ground, folder=tmp_path / "elsewhere")
    error = refused(elsewhere, planned(elsewhere), "was interrupted: ")
    assert "begun by dana at 2" in error.what
    assert f"drop the half made database {ground.database}_" in error.next_step
    with ground.open() as wb:
        wb.restores.abandon()
    apply(ground, plan)


def test_what_is_written_after_the_safety_backup_is_not_replaced_in_place(
    ground: Ground, acting: Start
) -> None:
    ground.taken()
    ground.execute(BREAK)
    running = acting(ground, ground.asked(in_place=True))
    assert running.go_on(2) == "replacing the contents in one transaction"
    ground.execute("""UPDATE "Member" SET email = email || '.late'""")
    after = ground.whole(leave_out=())
    said = running.finish()
    assert said.startswith(f"Drift 3: {ground.database} has changed since its safety backup"), said
    assert "Member" in said
    assert f"Nothing was changed: {ground.database} is as it was" in said
    assert_same(after, ground.whole(leave_out=()))
