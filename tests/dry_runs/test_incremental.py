"""An incremental sync's dry run: it leaves no report file, so its output is read, reviewed and approved (guide §2.2)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands import Shell
from tests.commands import shell as shell
from tests.recorded import Recording
from tests.recorded import recording as recording

Open = Callable[..., Recording]
DryRun = Callable[..., dict[str, Any]]

SYNC = '''
import os, sys
dry = os.environ.get("DRY_RUN") == "1" and "deaf" not in sys.argv
def log(message, level="INFO"):
    print(f"[WA-IMPORT] [{level}] {message} ", flush=True)
log("  Wild Apricot Incremental Sync")
log("  Started: " + os.environ["STARTED"])
log("  Mode: " + ("DRY RUN (no writes)" if dry else "LIVE (writes enabled)"))
log("  - Found 7 changed contacts")
log("  - Members: 1 created, 6 updated")
log("  - Found 10 events")
log("  - Events: 0 created, 1 updated")
if "broken" in sys.argv:
    log("Incremental sync failed", "ERROR")
    sys.exit("\\nFATAL ERROR: fetch failed\\n")
quiet, errors = "quiet" in sys.argv, "errors" in sys.argv
if quiet or "doubted" in sys.argv:
    why = "unknown" if quiet else "Member not mapped: WA contact 50009: 83"
    text = "Fetched 83 registrations but upserted 0. Top skip reasons: " + why
    print("║ [HIGH  ] ZERO_REGISTRATIONS_UPSERTED")
    print(*("║   " + text[at : at + 58] for at in range(0, len(text), 58)), "╟──", sep="\\n")
log("  Sync Complete")
print(f"""
Status:        {"COMPLETED WITH ERRORS" if errors else "SUCCESS"}
Duration:      18s

Entities processed:
  Members:       1 created, 6 updated, 0 skipped, {int(errors)} errors
  Events:        0 created, 1 updated, 9 skipped, 0 errors
  Registrations: 0 created, {"0 updated, 83 skipped" if quiet else "80 updated, 3 skipped"}, 0 errors
""")
if errors:
    print("""Errors:
  - Member WA#50070:
Invalid `prisma.member.update()` invocation in

Unique constraint failed on the fields: (`email`)
""")
print("=" * 60)
sys.exit(int(errors))
'''
NIGHTLY = "sync_1796037168450_01jcui"


@pytest.fixture
def sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the command that runs it."""
    (tmp_path / "wa_incremental_sync.py").write_text(SYNC)
    monkeypatch.setenv("STARTED", datetime.now(UTC).isoformat())
    return [sys.executable, "wa_incremental_sync.py"]


@pytest.fixture
def dry_run(shell: Shell, sync: list[str]) -> Callable[..., dict[str, Any]]:
    """Run it dry on a recording's club; the arguments after it say what goes wrong."""

    def run(club: Recording, *more: str) -> dict[str, Any]:
        done = shell("dry-run", "run", "-e", "club", "--json", "--", *sync, *more, CLUB_URL=club.url)
        return {"code": done.returncode, **json.loads(done.stdout)}

    return run


def unrehearsed(club: Recording) -> list[str]:
    """Return the runs that `live-run-without-dry-run` names."""
    (finding,) = club.json("check", "live-run-without-dry-run")["findings"]
    assert finding["status"] in ("pass", "warn")
    return [row["key"] for row in finding["rows"]]


def dry_run_item(club: Recording) -> str:
    (item,) = [item for item in club.json("preflight")["items"] if item["item"] == "dry-run"]
    return str(item["state"])


def test_its_output_is_reviewed_approved_and_settles_preflight(recording: Open, dry_run: DryRun) -> None:
    club = recording("incremental")
    with psycopg.connect(club.url) as connection:  # long ago, whatever the clock says
        connection.execute("""UPDATE "AuditLog" SET "createdAt" = "createdAt" - interval '20 years'""")
    run = dry_run(club)
    assert (run["code"], run["outcome"], run["reports"], run["runs"]) == (
        0,
        "completed",
        [],
        [run["dry_run"]],
    )
    review = club.json("dry-run", "review", "--approve", "--as", "erin")
    assert (review["run"], review["importer"], review["status"]) == (run["dry_run"], "api", "completed")
    assert [row["would_update"] for row in review["would"]] == [6, 1, 80]
    assert next(row["fetched"] for row in review["would"]) == 7
    assert review["warnings"] == []
    assert dry_run_item(club) == "ok"
    assert NIGHTLY in unrehearsed(club)
    following = f"sync_{int(time.time() * 1000)}_next01"
    with psycopg.connect(club.url) as connection:
        connection.execute(
            """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata, "createdAt")
               SELECT gen_random_uuid(), 'UPDATE', 'Member', id, %s, now() AT TIME ZONE 'UTC' FROM "Member" LIMIT 1""",
            [
                json.dumps(
                    {"mode": "incremental", "waId": 50000, "source": "wa_import", "syncRunId": following}
                )
            ],
        )
    assert not {following, NIGHTLY} & set(unrehearsed(club))


def test_one_that_failed_or_was_none_settles_nothing_and_its_doubts_are_shown(
    recording: Open, dry_run: DryRun
) -> None:
    club = recording("incremental")
    for how, code, outcome in (("broken", 4, "failed"), ("deaf", 4, "not dry"), ("errors", 4, "failed")):
        run = dry_run(club, how)
        assert (run["code"], run["outcome"]) == (code, outcome)
        assert club.run("dry-run", "review", run["dry_run"], "--approve", "--as", "erin").returncode in (
            2,
            3,
            4,
        )
        assert dry_run_item(club) == "open"
    review = club.json("dry-run", "review", run["dry_run"])
    assert any("50070" in row["says"] and "Unique constraint" in row["says"] for row in review["warnings"])
    run = dry_run(club, "doubted")
    assert run["code"] == 0
    review = club.json("dry-run", "review", run["dry_run"])
    assert review["status"] == "incomplete"
    assert any(row["says"].endswith("Member not mapped: WA contact 50009: 83") for row in review["warnings"])


@pytest.mark.parametrize(("how", "updated", "existing"), [("", 80, 0), ("quiet", 0, 83)])
def test_a_live_ones_output_tells_how_it_ended(
    recording: Open,
    sync: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    updated: int,
    existing: int,
) -> None:
    """The output names no run: its start does."""
    club = recording("incremental", reports=False)
    with psycopg.connect(club.url) as connection:
        connection.execute('DELETE FROM "WaSyncState"')
    assert {run["run"]: run["status"] for run in club.json("runs")}[NIGHTLY] != "completed"
    monkeypatch.setenv("STARTED", "2026-11-30T11:12:48.449Z")
    log = tmp_path / "nightly.log"
    log.write_bytes(subprocess.run([*sync, how], stdout=subprocess.PIPE, check=True).stdout)
    runs = {run["run"]: run for run in club.json("runs", "--import-report", str(log))}
    assert (len(runs), runs[NIGHTLY]["status"]) == (3, "completed")
    reported = runs[NIGHTLY]["reported"]["Registration"]
    assert (reported["updated"], reported.get("existing", 0)) == (updated, existing)
    assert runs[NIGHTLY]["finished"].startswith("2026-11-30T11:13:06")
