"""Clubs whose snapshots are taken, with backups of their own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ground, _quick_folder, database_at
from tests.scratch.conftest import scratches as scratches
from workbench.murmurant.reports import read_reports
from workbench.session import Session
from workbench.settings import Settings
from workbench.workbench import Workbench

Opened = Callable[..., Workbench]


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def opened(server, backups) -> Opened:
    """Open a club whose snapshots go to a folder of the test's own; scratch databases to the run's server."""

    def make(club: Ground, kind: str = "demo", **changes: Any) -> Workbench:
        settings = Settings(operator="dana", backups=backups, home=Path(server.handle.pgdata).parent)
        return Workbench(
            Session(
                database_at(club.url, kind=kind, name=kind),
                club.options.model_copy(update={"kind": kind}),
                settings.model_copy(update=changes),
                read_reports(club.options.import_reports),
            )
        )

    return make


@pytest.fixture(scope="session")
def older():
    """Settings with a real scratch server of PostgreSQL 16, which the embedded wheel brings for upgrades."""
    from workbench.database.embedded import _pgserver

    # Not in pytest's own folder, which nobody else may enter: the server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="workbench-tests-", dir=_quick_folder()))
    server = _pgserver().get_server(folder / "postgres", postgres_version=16)
    yield server.get_uri("postgres")
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def small_disk(server):
    """Mount a disk with very little room where the server may go, and return its folder."""
    disk = Path(server.handle.pgdata).parent / "disk"
    disk.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", str(disk)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here; a small disk cannot be made")
    if done.returncode:
        pytest.skip(f"a small disk can be mounted by an administrator only: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
