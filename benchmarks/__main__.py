"""``make bench``: make a club, measure, print ratios. ``ARGS="--members 20000"`` for a quick look."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from time import perf_counter

import psycopg

from benchmarks import (
    checks,
    differences,
    duplicates,
    embedded_url,
    public_sets,
    report,
    restore,
    rollback,
    search,
    snapshots,
)
from workbench.database.embedded import start_server
from workbench.demo.club import build_club
from workbench.demo.making import make_demo
from workbench.settings import load_settings


def main() -> None:
    """Run the benchmarks that were asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--members", type=int, default=100_000, help="size of the club that the checks run on"
    )
    parser.add_argument(
        "--only",
        choices=[
            "checks",
            "report",
            "rollback",
            "duplicates",
            "public-sets",
            "snapshots",
            "differences",
            "restore",
            "search",
        ],
        help="one of them alone",
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="size of the run that is rolled back")
    chosen = parser.parse_args()
    if chosen.only in (None, "public-sets"):
        public_sets.compare()
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
        home = Path(folder)
        server = start_server(home / "postgres")
        if chosen.only in (None, "duplicates"):
            duplicates.compare(home / "postgres", chosen.members)
            duplicates.from_database(home / "postgres", home, chosen.members)
        if chosen.only in (None, "checks", "snapshots", "restore"):
            url = embedded_url(home / "postgres", "bench")
            begun = perf_counter()
            with psycopg.connect(url) as connection:
                club = build_club(
                    connection, dialect="application", members=chosen.members, imports=home / "imports"
                )
            print(
                f"club of {club.members:,} members, {club.registrations:,} registrations: built in {perf_counter() - begun:.0f} s"
            )
            if chosen.only in (None, "checks"):
                checks.compare(url, home / "imports")
            if chosen.only in (None, "snapshots"):
                snapshots.compare(url, home)
            if chosen.only in (None, "restore"):
                restore.compare(home / "postgres", home, url)
        if chosen.only in (None, "report"):
            print("demo report, 2,000 members")
            os.environ.update(WORKBENCH_HOME=folder, WORKBENCH_REPORTS=str(home / "reports"))
            settings = load_settings()
            make_demo(settings, members=2000)
            report.compare(settings)
        if chosen.only in (None, "differences"):
            differences.compare(home / "postgres", home, chosen.members)
            if chosen.rows > 1_000_000:
                differences.large(home / "postgres", chosen.rows)
        if chosen.only in (None, "search"):
            for dialect in ("application", "guide"):
                url = embedded_url(home / "postgres", f"search_{dialect}")
                print(f"search, {dialect}'s tables")
                search.build(url, chosen.rows, dialect)
                search.compare(url, chosen.rows)
        if chosen.only in (None, "rollback"):
            for rows in sorted({10_000, chosen.rows}):
                rollback.compare(home / "postgres", home, rows, rounds=2 if rows > 100_000 else 5)
        server.cleanup()


if __name__ == "__main__":
    main()
