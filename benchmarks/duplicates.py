"""Duplicate members found by us, Splink, recordlinkage and dedupe: the same people, in the same run.

Issue: at least their F1, and no slower than Splink alone. Each runs in a process of its own, bounded in time
and memory; the others in an environment made for the occasion, since they do not live with our pandas.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep

import psutil
import psycopg

from benchmarks import embedded_url
from benchmarks.planting import plant_duplicates
from workbench.demo.club import build_club

Pair = tuple[str, str]

OTHERS = (
    "splink==5.0.0",
    "recordlinkage==0.16",
    "dedupe==3.0.3",
    "btrees<6",
)  # dedupe uses what BTrees 6 no longer has
WAYS = ("ours", "splink", "recordlinkage", "dedupe")
SECONDS, MEGABYTES = 900, 6000
_SCRIPT = Path(__file__).with_name("duplicates_by.py")


def write_people(data: Path, folder: Path, members: int, seed: int) -> set[Pair]:
    """Write a club with planted duplicates as CSV; return all pairs of records of one person."""
    with psycopg.connect(embedded_url(data, "people")) as connection:
        club = build_club(
            connection, dialect="application", members=members, seed=seed, imports=folder / "imports"
        )
        truth = plant_duplicates(connection, club)
        query = 'SELECT id::text, "firstName", "lastName", email, phone, "joinedAt"::date FROM "Member" ORDER BY id'
        people = connection.execute(query).fetchall()
    with (folder / "members.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "first_name", "last_name", "email", "phone", "joined"])
        rows.writerows(people)
    with (folder / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(sorted(truth.pairs))
    return set(truth.persons)


def make_environment(folder: Path, packages: Sequence[str] = OTHERS) -> Path:
    """Install the others beside us; return their Python."""
    uv = Path(sys.executable).with_name("uv")
    python = folder / "others" / "bin" / "python"
    subprocess.run(
        [uv, "venv", "--quiet", "--python", sys.executable, folder / "others"], check=True, timeout=120
    )
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, *packages],
        check=True,
        timeout=600,
        capture_output=True,
    )
    return python


def run(way: str, python: Path, folder: Path) -> dict[str, float] | str:
    """Run one way; return seconds and megabytes, or why there are none."""
    paths = [folder / name for name in ("members.csv", f"{way}.csv", "truth.csv")]
    with (
        (folder / f"{way}.log").open("w+", encoding="utf-8") as log,
        subprocess.Popen(
            [python, _SCRIPT, way, *paths],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_SCRIPT.parents[1])},
        ) as process,
    ):
        watched, begun, peak = psutil.Process(process.pid), monotonic(), 0.0
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss / 2**20)
            except psutil.NoSuchProcess:
                break
            if peak > MEGABYTES or monotonic() - begun > SECONDS:
                process.kill()
                return (
                    f"stopped: more than {MEGABYTES:,} MB"
                    if peak > MEGABYTES
                    else f"stopped after {SECONDS} s"
                )
            sleep(0.1)
        told = process.stdout.read() if process.stdout else ""
        if process.wait() != 0:
            log.seek(0)
            return f"failed: {(log.read().strip().splitlines() or ['without a word'])[-1][:150]}"
    found: dict[str, float] = json.loads(told.strip().splitlines()[-1])
    return found


def judge(
    file: Path, right: set[Pair], thresholds: Sequence[float], ways: Sequence[str]
) -> tuple[float, ...]:
    """Return the best F1 with its precision, recall and threshold.

    Precision and recall are counted over one set: all pairs of records of one person.

    Parameters
    ----------
    ways : sequence of {"clusters", "pairs"}
        Whether what was found counts as all pairs within the clusters that it makes, or pair by pair; the
        better way is taken.
    """
    with file.open(encoding="utf-8", newline="") as rows:
        scored = sorted(((float(score), a, b) for a, b, score, *_ in csv.reader(rows)), reverse=True)
    homes: dict[str, str] = {}
    sizes: dict[str, int] = {}

    def home(key: str) -> str:
        while (above := homes.setdefault(key, key)) != key:
            homes[key] = homes[above]
            key = above
        return key

    best, joined, at = (0.0, 0.0, 0.0, 1.0), 0, 0
    found: set[Pair] = set()
    for threshold in sorted(thresholds, reverse=True):
        while at < len(scored) and scored[at][0] >= threshold:
            _, left, right_ = scored[at]
            found.add((min(left, right_), max(left, right_)))
            one, other = home(left), home(right_)
            if one != other:
                joined += sizes.get(one, 1) * sizes.get(other, 1)
                homes[one] = other
                sizes[other] = sizes.get(one, 1) + sizes.get(other, 1)
            at += 1
        counts = {
            "clusters": (joined, sum(home(left) == home(other) for left, other in right)),
            "pairs": (len(found), len(found & right)),
        }
        for way in ways:
            number, hits = counts[way]
            precision, recall = hits / max(number, 1), hits / len(right)
            best = max(best, (2 * hits / (number + len(right)), precision, recall, threshold))
    return best


def from_database(data: Path, home: Path, members: int) -> None:
    """Print what all of ``workbench duplicates`` takes on a club of this size."""
    url = embedded_url(data, "duplicates")
    with psycopg.connect(url) as connection:
        club = build_club(connection, dialect="application", members=members, imports=home / "duplicates")
        truth = plant_duplicates(connection, club)
    settings = home / "duplicates.toml"
    settings.write_text(
        f'operator = "bench"\nhome = "{home}"\nreports = "{home}"\n'
        '[environments.bench]\nkind = "development"\nurl_env = "BENCH_URL"\n'
    )
    asked = [sys.executable, "-m", "workbench", "duplicates", "--json", "--unmask", "-e", "bench"]
    begun = monotonic()
    with (home / "found.json").open("w+", encoding="utf-8") as file:
        process = subprocess.Popen(
            asked, stdout=file, env={**os.environ, "BENCH_URL": url, "WORKBENCH_CONFIG": str(settings)}
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds, process.returncode = monotonic() - begun, os.waitstatus_to_exitcode(status)
        file.seek(0)
        found = {
            (pair["left"], pair["right"]) for pair in json.load(file)["members"]["pairs"] if pair["cluster"]
        }
    print(
        f"duplicates, from PostgreSQL: {members:,} members, {club.registrations:,} registrations:"
        f" {seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor, {used.ru_maxrss / 1024:.0f} MB"
        f"     (at most 30 s of processor, 1024 MB); {len(found & truth.persons):,} of {len(truth.persons):,} pairs,"
        f" {len(found - truth.persons):,} false"
    )


def compare(data: Path, members: int, seed: int = 1) -> None:
    """Print each way's precision, recall, F1, seconds and peak memory; the others at their best threshold.

    Ours are counted in clusters at the default threshold, the others in clusters or in pairs, as is better for them.
    """
    from workbench.duplicates.matching import DEFAULT_THRESHOLD

    with tempfile.TemporaryDirectory(prefix="workbench-duplicates-") as name:
        folder = Path(name)
        right = write_people(data, folder, members, seed)
        print(f"duplicates: {members:,} members, {len(right):,} pairs of records of one person (seed {seed})")
        others: Path | str
        try:
            others = make_environment(folder)
        except (OSError, subprocess.SubprocessError) as error:
            others = f"could not be installed: {type(error).__name__}"
        measured: dict[str, tuple[float, float]] = {}
        for way in WAYS:
            python = Path(sys.executable) if way == "ours" else others
            found = python if isinstance(python, str) else run(way, python, folder)
            if isinstance(found, str):
                print(f"{way:14} {found}")
                continue
            thresholds, counted = (
                ([DEFAULT_THRESHOLD], ["clusters"])
                if way == "ours"
                else ([step / 50 for step in range(3, 50)] + [0.99, 0.999], ["clusters", "pairs"])
            )
            f1, precision, recall, threshold = judge(folder / f"{way}.csv", right, thresholds, counted)
            measured[way] = f1, found["seconds"]
            print(
                f"{way:14} precision {precision:.3f}  recall {recall:.3f}  F1 {f1:.3f} (from {threshold:.2f} on)"
                f"  {found['seconds']:6.1f} s ({found['processor']:.1f} s of processor)  {found['megabytes']:5.0f} MB"
            )
        if {"ours", "splink"} <= measured.keys():
            ratio = measured["ours"][1] / measured["splink"][1]
            print(f"ratio to Splink {ratio:.2f} of its time     (at most 1)")
