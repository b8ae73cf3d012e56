"""All checks together, beside the same questions by hand through psql (issue: no slower, under 300 MB)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from workbench.database.embedded import client_tools

BY_HAND = Path(__file__).with_name("by_hand.sql")

OURS = """
import json, resource, sys
from pathlib import Path
from time import perf_counter
from workbench.database.address import parse_address
from workbench.database.connection import Database
from workbench.database.environment import Environment
from workbench.murmurant.reports import read_reports
from workbench.settings import EnvironmentSettings, Settings
from workbench.session import Session
from workbench.workbench import Workbench
url, imports = sys.argv[1], Path(sys.argv[2])
options = EnvironmentSettings(kind="demo", tier_mapping=imports / "membership.yaml", event_capacity_limit=100)
address = parse_address(url, named="the benchmark's URL")
begun = perf_counter()
database = Database(Environment("demo", "demo", address.where), address)
with Workbench(Session(database, options, Settings(), read_reports([imports]), one_state=True)) as wb:
    found = wb.check().findings
seconds = perf_counter() - begun
slowest = sorted(found, key=lambda each: -each.seconds)[:8]
print(json.dumps({
    "seconds": seconds,
    "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "ran": sum(each.status != "not run" for each in found),
    "slowest": {each.check: round(each.seconds, 2) for each in slowest},
}))
"""


def by_hand(url: str) -> float:
    """Send each question by a psql of its own; return seconds."""
    begun = perf_counter()
    for line in BY_HAND.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("--"):
            command = [
                client_tools() / "psql",
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                line,
                url,
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - begun


def ours(url: str, imports: Path) -> dict[str, object]:
    """Run every check in a process of its own; return seconds, memory and what took longest."""
    done = subprocess.run(
        [sys.executable, "-c", OURS, url, str(imports)], check=True, capture_output=True, text=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def compare(url: str, imports: Path, rounds: int = 3) -> None:
    """Print both, best of some rounds taken in turn, and their ratio."""
    hand, mine = [], []
    for _round in range(rounds):
        hand.append(by_hand(url))
        mine.append(ours(url, imports))
    best = min(mine, key=lambda each: float(str(each["seconds"])))
    seconds = float(str(best["seconds"]))
    print(f"by hand through psql   {min(hand):7.2f} s")
    print(f"workbench, all checks  {seconds:7.2f} s   {best['megabytes']:.0f} MB   {best['ran']} checks ran")
    print(f"ratio                  {seconds / min(hand):7.2f}     (at most 1)")
    print(f"slowest: {best['slowest']}")
