"""``snapshot create`` beside bare ``pg_dump -Fc``, in turn, on one club: at most 1.5 times as long."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from time import perf_counter

from workbench import open_workbench
from workbench.database.programs import program_for
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench


def bare(url: str, home: Path) -> float:
    """Time one pg_dump, which leaves its archive flushed to disk."""
    tool = program_for("pg_dump", "0")
    path = home / "bare"
    os.sync()  # what others wrote is not waited for in our time
    begun = perf_counter()
    subprocess.run([tool.path, "-Fc", f"--file={path}", url], check=True)
    seconds = perf_counter() - begun
    print(f"  pg_dump -Fc      {seconds:6.2f} s {path.stat().st_size / 1e6:7.0f} MB")
    path.unlink()
    return seconds


def ours(wb: Workbench) -> float:
    """Time one snapshot; it is removed."""
    os.sync()
    begun = perf_counter()
    made = wb.snapshots.create()
    seconds = perf_counter() - begun
    print(f"  snapshot create  {seconds:6.2f} s {made.size / 1e6:7.0f} MB ({made.compression})")
    shutil.rmtree(wb.settings.backups)
    return seconds


def compare(url: str, home: Path, rounds: int = 5) -> None:
    """Print the best of each in turn, and their ratio."""
    os.environ["BENCH_URL"] = url
    environments = {"bench": EnvironmentSettings(kind="development", url_env="BENCH_URL")}
    settings = Settings(home=home, backups=home / "backups", environments=environments)
    print("taking a snapshot")
    bares, mine = [], []
    with open_workbench("bench", settings=settings) as wb:
        wb.session.schema, wb.session.target  # noqa: B018
        for _round in range(rounds):
            bares.append(bare(url, home))
            mine.append(ours(wb))
    print(f"pg_dump -Fc              {min(bares):8.2f} s")
    print(f"snapshot create          {min(mine):8.2f} s   with counts, digests and SHA-256")
    print(f"ratio                    {min(mine) / min(bares):8.2f}     (at most 1.5)")
