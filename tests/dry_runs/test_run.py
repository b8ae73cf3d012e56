"""An importer run dry: what is shown, what is kept, and what stays when it is stopped."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bundles.conftest import DRY, LIVE, api_report
from tests.dry_runs.conftest import API_DRY, Run, api_dry
from workbench.errors import DocumentError, Refused, UsageError
from workbench.migration.dry_runs import DryRun, find_dry_run, kept_reports, list_dry_runs
from workbench.migration.running import told_by


@pytest.mark.parametrize(
    "command",
    [
        "env npx tsx scripts/sync.ts --config live.yaml", "env npm run migrate:dry-run", "sh -c 'DRY_RUN=1 npx tsx sync.ts'",
        "env DRY_RUN=true npx tsx sync.ts --dry-run", "env docker run -e DRY_RUN image", "env sudo DRY_RUN=1 npx tsx sync.ts",
        "env ssh host 'DRY_RUN=1 npx tsx sync.ts'", "env npx --yes tsx --mode fast -i sync.ts",
    ],
)  # fmt: skip
def test_what_nothing_contradicts_may_run(command: str, tmp_path: Path) -> None:
    assert told_by(shlex.split(command), tmp_path) == "DRY_RUN=1 in its environment"


@pytest.mark.parametrize(
    "command",
    [
        "env DRY_RUN=0 npx tsx sync.ts", "env DRY_RUN= npx tsx sync.ts", "env DRY_RUN=10 x", "sh -c 'DRY_RUN=false npx tsx sync.ts'",
        "sh -c 'unset DRY_RUN; npx tsx sync.ts'", "env -i npx tsx sync.ts", "env - npx tsx sync.ts", "env -u DRY_RUN npx tsx sync.ts",
        "env --unset=DRY_RUN npx tsx sync.ts", "env A=1 sh -c 'env -i npx tsx sync.ts'", "env npx tsx sync.ts --live",
        "env npx tsx sync.ts --dry-run=false", "env npx tsx sync.ts --mode live", "env npx tsx sync.ts --no-dry-run",
        "env npm run migrate:live", "env npx tsx migrate.ts --execute",
    ],
)  # fmt: skip
def test_a_command_that_contradicts_is_refused_whoever_vouches(command: str, tmp_path: Path) -> None:
    for vouched in (False, True):
        with pytest.raises(Refused, match="would not be a dry run"):
            told_by(shlex.split(command), tmp_path, vouched)


@pytest.mark.parametrize(
    "command",
    ["env sudo npx tsx sync.ts", "sh -c 'cd scripts && sudo npx tsx sync.ts'", "env /usr/bin/ssh host npx", "env docker exec app npx"],
)  # fmt: skip
def test_what_loses_the_variable_is_refused_unless_somebody_vouches(command: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="would not be told"):
        told_by(shlex.split(command), tmp_path)
    assert "vouches" in told_by(shlex.split(command), tmp_path, vouched=True)


@pytest.mark.parametrize("command", [[], [""], ["no-such-program"], ["./no-such-program"]])
def test_no_program(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        told_by(command, tmp_path)


def test_log_reports_and_manifest_are_kept(place: Path, importer: list[str], dry: Run) -> None:
    (place / "imports" / "old.json").write_text("{}")
    shown: list[str] = []
    (place / "membership.yaml").write_text("x: 1")
    kept = dry(importer, shown.append, configuration=[place / "membership.yaml"])
    assert kept.folder == place / "backups" / kept.name
    assert (kept.outcome, kept.exit_code, kept.signal) == ("completed", 0, None)
    log = kept.folder / f"{kept.name}.log"
    assert log.read_text() == "".join(shown)
    assert sorted(log.read_text().splitlines()) == ["Would import 2 files", "on standard error"]
    assert kept.log is not None
    assert kept.log.sha256 == hashlib.sha256(log.read_bytes()).hexdigest()
    assert [(each.file, each.run, each.mode) for each in kept.reports] == [
        ("reports/migration-dry-run-2026-11-22T17-18-36-215Z-full.json", DRY, "dry")
    ]
    assert [each.file for each in kept.configuration] == ["membership.yaml", "reports.json"]
    assert kept.configuration_sha256
    assert (kept.operator, kept.environment, kept.runs) == ("dana", "club", (DRY,))
    assert kept.seconds is not None
    assert "PATH" in kept.variables
    assert "DRY_RUN" in kept.variables
    assert DryRun.read(kept.path) == kept
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert log.stat().st_mode & 0o777 == 0o600


def test_another_configuration_has_another_digest(place: Path, importer: list[str], dry: Run) -> None:
    path = place / "membership.yaml"
    path.write_text("x: 1")
    one = dry(importer, configuration=[path]).configuration_sha256
    assert dry(importer, configuration=[path]).configuration_sha256 == one
    path.write_text("x: 2")
    assert dry(importer, configuration=[path]).configuration_sha256 != one


def test_a_report_that_is_written_again_is_found(place: Path, importer: list[str], dry: Run) -> None:
    assert len(dry(importer).reports) == 1
    assert len(dry(importer).reports) == 1  # the same name, written anew
    assert len(list_dry_runs(place / "backups")) == 2
    assert dry([sys.executable, "-c", "print('DRY_RUN')"]).reports == ()


def test_a_failing_importer(dry: Run) -> None:
    kept = dry([sys.executable, "-c", "import sys; print('sorry'); sys.exit(7)"])
    assert (kept.outcome, kept.exit_code) == ("failed", 7)
    assert (kept.folder / f"{kept.name}.log").read_text() == "sorry\n"


def test_an_importer_that_is_killed(dry: Run) -> None:
    kept = dry([sys.executable, "-c", "import os; print('so far', flush=True); os.kill(os.getpid(), 9)"])
    assert (kept.outcome, kept.exit_code, kept.signal) == ("interrupted", None, 9)
    assert (kept.folder / f"{kept.name}.log").read_text() == "so far\n"


def test_a_live_run_by_mistake_is_called_that(place: Path, importer: list[str], dry: Run) -> None:
    script = place / "importer.py"
    script.write_text(script.read_text().replace('os.environ.get("DRY_RUN") == "1"', "False"))
    kept = dry(importer)
    assert (kept.outcome, kept.runs) == ("not dry", (LIVE,))


def test_no_secret_is_kept(place: Path, dry: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WA_API_KEY", "hunter2hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql://club:s3cretword@db.example.org/club")
    code = (
        "import os, sys, time\n"
        "print('key', os.environ['WA_API_KEY'])\n"
        "print('to', os.environ['DATABASE_URL'], 'as', 's3cretword')\n"
        "print('password: otherword')\n"
        "for piece in ('postgres://club:brok', 'enword@db/x\\n'):\n"
        "    sys.stdout.write(piece); sys.stdout.flush(); time.sleep(0.5)\n"
    )
    (place / "leaky.py").write_text(code)
    shown: list[str] = []
    kept = dry([sys.executable, "leaky.py", "--api-key", "hunter3", "--token=hunter4", "postgres://a:hunter5@b/c"], shown.append)  # fmt: skip
    files = "".join(path.read_text() for path in kept.folder.rglob("*") if path.is_file()) + "".join(shown)
    for secret in ("hunter", "s3cretword", "otherword", "brokenword"):
        assert secret not in files
    assert "key ***\n" in "".join(shown)
    assert "db.example.org" in "".join(shown)
    assert kept.command[2:] == ("--api-key", "***", "--token=***", "postgres://***@b/c")


def test_output_is_shown_as_it_comes(place: Path, dry: Run) -> None:
    moments: list[tuple[float, str]] = []
    code = "import sys, time\nfor n in range(3):\n    sys.stdout.write(f'row {n}\\r'); sys.stdout.flush(); time.sleep(0.6)\n"
    dry([sys.executable, "-c", code], lambda piece: moments.append((time.monotonic(), piece)))
    assert "".join(piece for _, piece in moments) == "row 0\rrow 1\rrow 2\r"
    assert moments[-1][0] - moments[0][0] > 0.9


def test_what_an_importer_leaves_behind_is_not_waited_for(dry: Run) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(6)']); print('done')"
    begun = time.monotonic()
    kept = dry([sys.executable, "-c", code])
    assert kept.outcome == "completed"
    assert time.monotonic() - begun < 5.5


def test_a_question_is_not_waited_for(dry: Run) -> None:
    kept = dry([sys.executable, "-c", "input('Really? ')"])
    assert kept.outcome == "failed"
    assert "Really?" in (kept.folder / f"{kept.name}.log").read_text()


RUNNER = """
import sys
from pathlib import Path
from workbench.migration.running import run_dry
code = "import time, subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
kept = run_dry([sys.executable, "-c", code], backups=Path(sys.argv[1]), environment="club", kind="development", operator="dana",
               told_by="test", show=lambda piece: print(piece, end="", flush=True))
print(kept.outcome, kept.signal, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_the_log_stays_and_nothing_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        (running,) = list_dry_runs(tmp_path)
        assert running.state == "running"
        process.send_signal(number)
        said = process.stdout.read()
    assert said.endswith(f"interrupted {int(number)}\n")
    (kept,) = list_dry_runs(tmp_path)
    assert (kept.outcome, kept.signal) == ("interrupted", number)
    assert (kept.folder / f"{kept.name}.log").read_text().startswith("begun\n")
    assert not _sleeping(tmp_path)


def test_killed_the_manifest_says_interrupted(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        group = _children(process.pid)
        process.kill()
    for each in group:
        os.kill(each, signal.SIGKILL)
    (kept,) = list_dry_runs(tmp_path)
    assert (kept.outcome, kept.state) == ("running", "interrupted")
    assert (kept.folder / f"{kept.name}.log").read_text() == "begun\n"


def _children(number: int) -> list[int]:
    import psutil

    return [each.pid for each in psutil.Process(number).children(recursive=True)]


def _sleeping(tmp_path: Path) -> list[int]:
    import psutil

    return [
        each.pid
        for each in psutil.Process().children(recursive=True)
        if "time.sleep(60)" in str(each.cmdline())
    ]


def test_damaged_manifests(place: Path, importer: list[str], dry: Run) -> None:
    kept = dry(importer)
    with pytest.raises(UsageError, match="Nearest: dry_run_"):
        find_dry_run(place / "backups", "dry_run_2026")
    assert find_dry_run(place / "backups", DRY).name == kept.name
    path = kept.path
    good = path.read_text()
    for bad in (
        "",
        "[]",
        "{}",
        good[:50],
        good.replace("completed", "splendid"),
        good.replace('"reports/', '"../'),
    ):
        path.write_text(bad)
        with pytest.raises(DocumentError):
            DryRun.read(kept.path)
        assert list_dry_runs(place / "backups") == []
    with pytest.raises(DocumentError, match="No dry run of club"):
        find_dry_run(place / "backups", None, "club")
    path.write_text(good)
    assert find_dry_run(place / "backups", None, "club") == kept


def test_the_report_lies_where_the_output_says_and_the_live_runs_is_kept(place: Path, dry: Run) -> None:
    """The API sync has one name for every report, and writes each over the one before."""
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    report = elsewhere / "wa_full_sync_report.json"
    report.write_text(json.dumps(api_report()))
    script = place / "full.py"
    script.write_text(
        "import json, pathlib, sys\n"
        f"pathlib.Path({str(report)!r}).write_text({json.dumps(api_dry())!r})\n"
        f"print('[WA-IMPORT] [INFO] Report written to: {report}')\n"
    )
    kept = dry([sys.executable, str(script)])
    assert kept.outcome == "completed"
    assert [(each.run, each.mode) for each in kept.reports] == [(API_DRY, "dry")]
    assert DryRun.read(kept.path).reports == kept.reports
    report.write_text(json.dumps(api_report()))
    declared = dry([sys.executable, str(script)], reports=[elsewhere])
    assert len(declared.reports) == 1
    assert [each.run for each in declared.overwritten] == [api_report()["runId"]]
    assert declared.folder / declared.overwritten[0].file in kept_reports(place / "backups", "club")
    silent = dry([sys.executable, "-c", "print('nothing')"], reports=[elsewhere])
    assert (silent.reports, silent.overwritten) == ((), ())


def test_one_that_was_being_deleted_is_not_listed(place: Path, importer: list[str], dry: Run) -> None:
    kept = dry(importer)
    kept.folder.rename(kept.folder.with_name(f".{kept.name}.pruned"))
    assert list_dry_runs(place / "backups") == []
