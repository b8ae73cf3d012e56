"""A disk that fills up under a restore, the server's log with it: whatever falls over, what is live stays whole."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.restore.acting import Acting
from tests.restore.conftest import assert_same, laid
from tests.restore.test_crash import OwnServer, Start, broken
from workbench.snapshots.restore.request import Record

MB = 2**20


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system of its own, of 200 MB."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-tests-"))
    options = "size=200m,mode=755"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False)
    if made.returncode:
        folder.rmdir()
        pytest.skip("no file system can be mounted here; filling one up needs that")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def crowded(small: Path) -> Iterator[OwnServer]:
    made = OwnServer(small)
    yield made
    made.server.handle.cleanup()


class FullDisk:
    """A club on the small disk, and what fills it up."""

    def __init__(self, own: OwnServer, folder: Path, home: Path) -> None:
        cloned = own.clubs.clone("guide", 50)
        self.own, self.folder, self.filler = own, folder, folder / "filler"
        self.ground = replace(laid(cloned), folder=home)
        self.before, self.after = broken(self.ground)
        with self.ground.open() as wb:
            (self.snapshot,) = [each.snapshot for each in wb.snapshots.all()]

    def fail(self, running: Acting, left: int) -> Record:
        """Let a restore run into a disk with so many bytes left; make room, and bring the server up if it is down."""
        with self.filler.open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(self.folder).free - left)))
        said = running.finish()
        assert said.startswith("Refused 3: The server of"), said
        assert "is as it was" in said
        down = not self.answers()
        self.filler.unlink()
        if down:
            self.own.crash()
        assert_same(self.after, self.ground.whole())
        found = [
            Record.read(path)
            for path in (self.ground.open().settings.home / "restores").glob(f"*{Record.suffix}")
        ]
        record = max(found, key=lambda each: each.path.stat().st_mtime_ns)  # two may have begun in one second
        assert record.outcome == ("under way" if "--resume" in said else "failed"), said
        return record

    def answers(self) -> bool:
        try:
            self.ground.databases()
        except psycopg.OperationalError:
            return False
        return True


def test_the_disk_is_full(
    crowded: OwnServer, small: Path, acting: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either way; the server itself may go down, when the half-made database is dropped."""
    monkeypatch.setenv("SCRATCH_URL", crowded.server.url("postgres"))
    full = FullDisk(crowded, small, tmp_path)
    ground = full.ground
    running = acting(ground, ground.asked(full.snapshot, in_place=True))
    running.go_on(2)
    if full.fail(running, 0).outcome == "under way":
        with ground.open() as wb:
            assert wb.restores.abandon().outcome == "abandoned"
    assert ground.databases() == [ground.database]
    assert_same(full.after, ground.whole())
    running = acting(ground, ground.asked(full.snapshot))
    running.go_on(2)
    record = full.fail(running, MB // 4)
    with ground.open() as wb:
        if record.outcome == "under way":
            wb.restores.resume()
        else:
            wb.restores.carry_out(ground.asked(full.snapshot))
    assert_same(full.before, ground.whole())
