"""An importer run dry: what is shown, what is kept, and what stays when it is stopped."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.bundles.conftest import DRY, LIVE, api_report
from tests.dry_runs.conftest import API_DRY, Run, api_dry
from workbench.errors import DocumentError, Refused, UsageError
from workbench.migration.dry_runs import DryRun, find_dry_run, kept_reports, list_dry_runs
from workbench.migration.running import told_by

MAY_RUN = [
    "env npx tsx scripts/sync.ts --config live.yaml", "env npm run migrate:dry-run", "sh -c 'DRY_RUN=1 npx tsx sync.ts'",
    "env DRY_RUN=true npx tsx sync.ts --dry-run", "env docker run -e DRY_RUN image", "env sudo DRY_RUN=1 npx tsx sync.ts",
    "env ssh host 'DRY_RUN=1 npx tsx sync.ts'", "env npx --yes tsx --mode fast -i sync.ts",
]  # fmt: skip
CONTRADICTED = [
    "env DRY_RUN=0 npx tsx sync.ts", "env DRY_RUN= npx tsx sync.ts", "env DRY_RUN=10 x", "sh -c 'DRY_RUN=false npx tsx sync.ts'",
    "sh -c 'unset DRY_RUN; npx tsx sync.ts'", "env -i npx tsx sync.ts", "env - npx tsx sync.ts", "env -u DRY_RUN npx tsx sync.ts",
    "env --unset=DRY_RUN npx tsx sync.ts", "env A=1 sh -c 'env -i npx tsx sync.ts'", "env npx tsx sync.ts --live",
    "env npx tsx sync.ts --dry-run=false", "env npx tsx sync.ts --mode live", "env npx tsx sync.ts --no-dry-run",
    "env npm run migrate:live", "env npx tsx migrate.ts --execute",
]  # fmt: skip
LOSING = [
    "env sudo npx tsx sync.ts", "sh -c 'cd scripts && sudo npx tsx sync.ts'", "env /usr/bin/ssh host npx",
    "env docker exec app npx",
]  # fmt: skip


def test_what_may_run_and_what_is_refused(tmp_path: Path) -> None:
    for command in MAY_RUN:
        assert told_by(shlex.split(command), tmp_path) == "DRY_RUN=1 in its environment", command
    for command in CONTRADICTED:
        for vouched in (False, True):
            with pytest.raises(Refused, match="would not be a dry run"):
                told_by(shlex.split(command), tmp_path, vouched)
    for command in LOSING:
        with pytest.raises(Refused, match="would not be told"):
            told_by(shlex.split(command), tmp_path)
        assert "vouches" in told_by(shlex.split(command), tmp_path, vouched=True)
    for words in ([], [""], ["no-such-program"], ["./no-such-program"]):
        with pytest.raises(UsageError):
            told_by(words, tmp_path)


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


def test_each_dry_run_is_one_of_its_own(place: Path, importer: list[str], dry: Run) -> None:
    path = place / "membership.yaml"
    path.write_text("x: 1")
    one, same = (dry(importer, configuration=[path]) for _ in range(2))
    assert len(one.reports) == len(same.reports) == 1  # the same name, written anew
    assert one.configuration_sha256 == same.configuration_sha256
    path.write_text("x: 2")
    script = place / "importer.py"
    script.write_text(script.read_text().replace('os.environ.get("DRY_RUN") == "1"', "False"))
    live = dry(importer, configuration=[path])
    assert live.configuration_sha256 != one.configuration_sha256
    assert (live.outcome, live.runs) == ("not dry", (LIVE,))
    names = [each.name for each in list_dry_runs(place / "backups")]
    assert sorted(names) == sorted({one.name, same.name, live.name})


@pytest.mark.parametrize(
    ("code", "ending", "said"),
    [
        ("import sys; print('sorry'); sys.exit(7)", ("failed", 7, None), "sorry\n"),
        (
            "import os; print('so far', flush=True); os.kill(os.getpid(), 9)",
            ("interrupted", None, 9),
            "so far\n",
        ),
        ("input('Really? ')", ("failed", 1, None), "Really?"),  # nobody is there to answer
    ],
)
def test_how_it_ends_is_kept(
    dry: Run, code: str, ending: tuple[str, int | None, int | None], said: str
) -> None:
    kept = dry([sys.executable, "-c", code])
    assert (kept.outcome, kept.exit_code, kept.signal) == ending
    assert (kept.folder / f"{kept.name}.log").read_text().startswith(said)
    assert kept.reports == ()


def test_no_secret_is_kept_and_output_is_shown_as_it_comes(
    place: Path, dry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WA_API_KEY", "hunter2hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql://club:s3cretword@db.example.org/club")
    code = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(5)'])\n"  # which is not waited for
        "print('key', os.environ['WA_API_KEY'])\n"
        "print('to', os.environ['DATABASE_URL'], 'as', 's3cretword')\n"
        "print('password: otherword')\n"
        "for piece in ('row 0\\r', 'postgres://club:brok', 'enword@db/x\\n'):\n"
        "    sys.stdout.write(piece); sys.stdout.flush(); time.sleep(0.4)\n"
    )
    (place / "leaky.py").write_text(code)
    shown: list[tuple[float, str]] = []
    begun = time.monotonic()
    command = [
        sys.executable,
        "leaky.py",
        "--api-key",
        "hunter3",
        "--token=hunter4",
        "postgres://a:hunter5@b/c",
    ]
    kept = dry(command, lambda piece: shown.append((time.monotonic(), piece)))
    assert time.monotonic() - begun < 4.5
    assert kept.outcome == "completed"
    said = "".join(piece for _, piece in shown)
    files = said + "".join(path.read_text() for path in kept.folder.rglob("*") if path.is_file())
    for secret in ("hunter", "s3cretword", "otherword", "brokenword"):
        assert secret not in files
    assert "key ***\n" in said
    assert "db.example.org" in said
    assert shown[-1][0] - next(moment for moment, piece in shown if "row 0" in piece) > 0.5
    assert kept.command[2:] == ("--api-key", "***", "--token=***", "postgres://***@b/c")


RUNNER = """
import sys
from pathlib import Path
from workbench.migration.running import run_dry
code = "import time, subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
kept = run_dry([sys.executable, "-c", code], backups=Path(sys.argv[1]), environment="club", kind="development", operator="dana",
               told_by="test", show=lambda piece: print(piece, end="", flush=True))
print(kept.outcome, kept.signal, flush=True)
"""


HEEDING = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0));"
    " print('begun', flush=True); time.sleep(60)"
)


@contextmanager
def begun(folder: Path, script: str = RUNNER) -> Iterator[subprocess.Popen[str]]:
    """Run an importer that sleeps, in a process of its own, until it has said something."""
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        (running,) = list_dry_runs(folder)
        assert running.state == "running"
        yield process


@pytest.mark.parametrize(
    ("number", "code", "exit_code"),
    [(signal.SIGINT, None, None), (signal.SIGTERM, None, None), (signal.SIGTERM, HEEDING, 0)],
)
def test_stopped_the_log_stays_and_nothing_goes_on(
    number: signal.Signals, code: str | None, exit_code: int | None, tmp_path: Path
) -> None:
    """Also where the importer heeds the signal and ends well: it did not come to its end."""
    script = re.sub(r"(?m)^code = .*$", lambda _: f"code = {code!r}", RUNNER) if code else RUNNER
    with begun(tmp_path, script) as process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.read().endswith(f"interrupted {int(number)}\n")
    (kept,) = list_dry_runs(tmp_path)
    assert (kept.outcome, kept.signal, kept.exit_code) == ("interrupted", number, exit_code)
    assert (kept.folder / f"{kept.name}.log").read_text().startswith("begun\n")
    children = psutil.Process().children(recursive=True)
    assert not [each.pid for each in children if "time.sleep(60)" in str(each.cmdline())]


def test_killed_the_manifest_says_interrupted(tmp_path: Path) -> None:
    with begun(tmp_path) as process:
        group = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    for each in group:
        each.kill()
    (kept,) = list_dry_runs(tmp_path)
    assert (kept.outcome, kept.state) == ("running", "interrupted")
    assert (kept.folder / f"{kept.name}.log").read_text() == "begun\n"


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
    kept.folder.rename(kept.folder.with_name(f".{kept.name}.pruned"))  # being deleted
    assert list_dry_runs(place / "backups") == []


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
    (again,) = dry([sys.executable, str(script)]).overwritten  # the one before named the place
    assert again.run is None  # nobody said that it is of this environment
    report.write_text(json.dumps(api_report()))
    declared = dry([sys.executable, str(script)], reports=[elsewhere])
    assert len(declared.reports) == 1
    assert [each.run for each in declared.overwritten] == [api_report()["runId"]]
    assert declared.folder / declared.overwritten[0].file in kept_reports(place / "backups", "club")
    silent = dry([sys.executable, "-c", "print('nothing')"], reports=[elsewhere])
    assert (silent.reports, silent.overwritten) == ((), ())
