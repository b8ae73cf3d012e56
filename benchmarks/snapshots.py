"""``snapshot create`` beside bare pg_dump with its quickest options, in turn, on one club.

The issue: at most 1.1 times the quickest options of pg_dump on this machine, with counts, digests and SHA-256.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from time import perf_counter

from workbench import open_workbench
from workbench.checkpoints.archive import size_of
from workbench.database.programs import can_compress, find_programs
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench

SHAPES = ("custom", "directory")
COMPRESSIONS = ("none", "lz4", "zstd:1", "gzip:1")


def bare(url: str, home: Path, options: list[str]) -> float:
    """Time one pg_dump that leaves its archive flushed to disk, as pg_dump does unless told otherwise."""
    tool = next(each for each in find_programs() if each.name == "pg_dump")
    path = home / "bare"
    _settled()
    begun = perf_counter()
    subprocess.run([tool.path, *options, f"--file={path}", url], check=True)
    seconds = perf_counter() - begun
    print(f"  pg_dump {' '.join(options):48} {seconds:6.2f} s {size_of(path) / 1e6:7.0f} MB")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return seconds


def ours(wb: Workbench) -> float:
    """Time one snapshot; it is removed."""
    _settled()
    begun = perf_counter()
    made = wb.create_snapshot()
    seconds = perf_counter() - begun
    print(
        f"  snapshot create ({made.format}, compression {made.compression}){'':14} {seconds:6.2f} s {made.size / 1e6:7.0f} MB"
    )
    shutil.rmtree(wb.settings.backups)
    return seconds


def quickest_options(url: str, home: Path) -> list[str]:
    """Try what pg_dump offers here, and return the options that were quickest."""
    tool = next(each for each in find_programs() if each.name == "pg_dump")
    jobs = os.cpu_count() or 1
    tried = {}
    for compression in COMPRESSIONS:
        if compression != "none" and not can_compress(tool, compression):
            continue
        for shape in SHAPES:
            options = [f"--format={shape}", f"--compress={compression}"]
            options += [f"--jobs={jobs}"] if shape == "directory" else []
            tried[bare(url, home, options)] = options
    return tried[min(tried)]


def compare(url: str, home: Path, rounds: int = 5) -> None:
    """Print the best of each in turn, and their ratio."""
    os.environ["BENCH_URL"] = url
    environments = {"bench": EnvironmentSettings(kind="development", url_env="BENCH_URL")}
    settings = Settings(home=home, backups=home / "backups", environments=environments)
    print("taking a snapshot")
    options = quickest_options(url, home)
    bares, mine = [], []
    with open_workbench("bench", settings=settings) as wb:
        wb.schema, wb.target  # noqa: B018
        for _round in range(rounds):
            bares.append(bare(url, home, options))
            mine.append(ours(wb))
    print(f"quickest pg_dump         {min(bares):8.2f} s   {' '.join(options)}")
    print(f"snapshot create          {min(mine):8.2f} s   with counts, digests and SHA-256")
    print(f"ratio                    {min(mine) / min(bares):8.2f}     (at most 1.1)")


def _settled() -> None:
    os.sync()  # what others wrote is not waited for in our time
