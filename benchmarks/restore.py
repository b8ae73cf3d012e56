"""Restoring a snapshot and swapping it in, beside bare pg_restore with two jobs into an empty database.

The issue: restore and swap at most 1.1 times pg_restore with two jobs, the swap itself some 10 ms. Compared with
that are the steps that replace it (making the database, filling it, the swap); what a careful person does besides
(safety backup, comparison with the manifest, a look at the old database) is told apart, for bare pg_restore does none.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from pathlib import Path
from time import perf_counter

import psycopg
from psycopg import sql

from benchmarks import embedded_url
from workbench.database.embedded import client_tools, start_server
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench, open_workbench

COMPARED = ("fill", "swap")


def compare(data: Path, home: Path, url: str, rounds: int = 3) -> None:
    """Restore one snapshot by turns in either way, and print the medians and their ratio.

    Parameters
    ----------
    data, home : Path
        The embedded server's data, and a folder for backups and requests.
    url : str
        The club that is restored.
    rounds : int
        How often.
    """
    os.environ["BENCH_URL"] = url
    settings = Settings(
        operator="dana",
        home=home / "restoring",
        backups=home / "backups",
        environments={"bench": EnvironmentSettings(kind="development", url_env="BENCH_URL")},
    )
    bare, ours, whole, swaps = [], [], [], []
    with open_workbench("bench", settings=settings) as wb:
        made = wb.snapshots.create()
        print(f"restore: {made.rows:,} rows, archive of {made.size / 1e6:,.0f} MB")
        for _ in range(rounds):
            bare.append(_bare(data, made.archive))
            facts = _ours(data, wb, made.snapshot)
            ours.append(sum(facts["seconds"][step] for step in COMPARED))
            whole.append(sum(facts["seconds"].values()))
            swaps.append(facts["swap_seconds"])
    one, other = statistics.median(bare), statistics.median(ours)
    print(
        f"  pg_restore -j2 {one:.2f} s, restore and swap {other:.2f} s: ratio {other / one:.2f}"
        f" (at most 1.1); the swap itself {statistics.median(swaps) * 1000:.1f} ms;"
        f" with backup, comparison and everything {statistics.median(whole):.2f} s"
    )
    steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in facts["seconds"].items())
    print(f"  the last one, step by step (s): {steps}")


def _bare(data: Path, archive: Path) -> float:
    server = start_server(data)
    begun = perf_counter()
    url = embedded_url(data, "bare")
    subprocess.run([client_tools() / "pg_restore", "-j2", f"--dbname={url}", archive], check=True)
    took = perf_counter() - begun
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("DROP DATABASE bare WITH (FORCE)")
    return took


def _ours(data: Path, wb: Workbench, snapshot: str) -> dict:  # type: ignore[type-arg]
    request = wb.restores.ask(snapshot)
    wb.plans.approve(request, request.digest, approver="erin")
    facts = wb.restores.carry_out(request).facts
    with psycopg.connect(start_server(data).get_uri(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(facts["kept"])))
    return facts
