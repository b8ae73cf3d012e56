"""An importer's double, which heeds ``DRY_RUN`` and writes a report, and a way to run it dry."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bundles.conftest import DRY, LIVE, api_report, csv_report
from workbench.migration.dry_runs import DryRun, run_dry

Run = Callable[..., DryRun]

IMPORTER = """
import json, os, pathlib, sys
dry = os.environ.get("DRY_RUN") == "1"
reports = json.loads(pathlib.Path(sys.argv[1]).read_text())
print("Would import" if dry else "Importing", len(reports), "files", flush=True)
print("on standard error", file=sys.stderr, flush=True)
folder = pathlib.Path(sys.argv[2])
for name, report in reports["dry" if dry else "live"].items():
    (folder / name).write_text(json.dumps(report))
"""

API_DRY = "sync_1795367838359_u3b25u"


def api_dry() -> dict[str, Any]:
    """Return a dry run's report of the API sync: no registration was looked up."""
    counts = {"created": 2, "updated": 1, "skipped": 0, "errors": 0}
    return api_report(
        runId=API_DRY, startedAt="2026-11-22T17:17:18.358Z", finishedAt="2026-11-22T17:17:18.515Z", durationMs=157, dryRun=True,
        fetched={"contacts": 3, "events": 3, "registrations": 0},
        stats={"members": counts, "events": counts, "registrations": dict.fromkeys(counts, 0)},
        registrationDiagnostics={
            "eventsProcessed": 3, "eventsSkippedUnmapped": 2, "registrationsFetchedTotal": 0, "registrationsUpserted": 0,
            "topSkipReasons": [{"reason": "Event 9000 not mapped", "count": 1}, {"reason": "Event 9001 not mapped", "count": 1}],
        },
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of the importer, and of its reports."""
    (tmp_path / "importer.py").write_text(IMPORTER)
    (tmp_path / "imports").mkdir()
    name = "migration-{}-2026-11-22T17-18-36-215Z-full.json"
    reports = {
        "dry": {name.format("dry-run"): csv_report(DRY, dry=True)},
        "live": {name.format("live"): csv_report(LIVE)},
    }
    (tmp_path / "reports.json").write_text(json.dumps(reports))
    return tmp_path


@pytest.fixture
def importer(place: Path) -> list[str]:
    """The command that runs it."""
    return [sys.executable, str(place / "importer.py"), str(place / "reports.json"), str(place / "imports")]


@pytest.fixture
def dry(place: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command dry, in the importer's folder."""
    monkeypatch.chdir(place)

    def run(command: list[str], show: Callable[[str], None] = lambda line: None, **more: Any) -> DryRun:
        values = {
            "backups": place / "backups", "environment": "club", "kind": "development", "operator": "dana",
            "reports": [place / "imports"],
        }  # fmt: skip
        return run_dry(command, show=show, **(values | more))

    return run
