"""An importer run dry: what is refused, what is kept, and what remains when it is stopped."""

from __future__ import annotations

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
from workbench.migration import dry_runs
from workbench.migration.dry_runs import DryRun, find_dry_run, kept_reports, list_dry_runs, refuse_live

MAY_RUN = [
    "env npx tsx scripts/sync.ts --config live.yaml", "env npm run migrate:dry-run", "sh -c 'DRY_RUN=1 npx tsx sync.ts'",
    "env DRY_RUN=true npx tsx sync.ts --dry-run", "env docker run -e DRY_RUN image", "env sudo DRY_RUN=1 npx tsx sync.ts",
]  # fmt: skip
REFUSED = [
    "env DRY_RUN=0 npx tsx sync.ts", "env DRY_RUN= npx tsx sync.ts", "env DRY_RUN=10 x", "sh -c 'unset DRY_RUN; npx tsx sync.ts'",
    "env -i npx tsx sync.ts", "env - npx tsx sync.ts", "env -u DRY_RUN npx tsx sync.ts", "env --unset=DRY_RUN npx tsx sync.ts",
    "env A=1 sh -c 'env -i npx tsx sync.ts'", "env npx tsx sync.ts --live", "env npx tsx sync.ts --dry-run=false",
    "env npx tsx sync.ts --mode live", "env npm run migrate:live", "env npx tsx migrate.ts --execute",
    "env sudo npx tsx sync.ts", "sh -c 'cd scripts && sudo npx tsx sync.ts'", "env /usr/bin/ssh host npx",
]  # fmt: skip


def test_a_command_that_is_not_dry_is_refused() -> None:
    for command in MAY_RUN:
        refuse_live(shlex.split(command))
    for command in REFUSED:
        with pytest.raises(Refused, match="would not be a dry run"):
            refuse_live(shlex.split(command))
    for words in ([], [""], ["./no-such-program"]):
        with pytest.raises(UsageError):
            refuse_live(words)


def test_log_reports_and_configuration_are_kept(place: Path, importer: list[str], dry: Run) -> None:
    (place / "imports" / "old.json").write_text("{}")
    (place / "membership.yaml").write_text("x: 1")
    shown: list[str] = []
    run = dry(importer, shown.append, configuration=[place / "membership.yaml"])
    assert (run.outcome, run.exit_code, run.signal) == ("completed", 0, None)
    log = run.folder / f"{run.name}.log"
    assert log.read_text() == "".join(shown)
    assert sorted(shown) == ["Would import 2 files\n", "on standard error\n"]
    report = "reports/migration-dry-run-2026-11-22T17-18-36-215Z-full.json"
    assert [(file.file, file.run, file.mode) for file in run.reports] == [(report, DRY, "dry")]
    assert [file.file for file in run.configuration] == ["membership.yaml", "reports.json"]
    assert (run.operator, run.environment, run.runs, run.altered) == ("dana", "club", (DRY,), [])
    assert DryRun.read(run.path) == run
    assert run.folder.stat().st_mode & 0o777 == 0o700

    (place / "membership.yaml").write_text("x: 2")
    script = place / "importer.py"
    script.write_text(script.read_text().replace('os.environ.get("DRY_RUN") == "1"', "False"))
    live = dry(importer, configuration=[place / "membership.yaml"])
    assert live.configuration_sha256 != run.configuration_sha256
    assert (live.outcome, live.runs) == ("not dry", (LIVE,))
    assert {kept.name for kept in list_dry_runs(place / "backups")} == {run.name, live.name}


@pytest.mark.parametrize(
    ("code", "ending", "output"),
    [
        ("import sys; print('sorry'); sys.exit(7)", ("failed", 7, None), "sorry\n"),
        (
            "import os; print('so far', flush=True); os.kill(os.getpid(), 9)",
            ("interrupted", None, 9),
            "so far\n",
        ),
        ("input('Really? ')", ("failed", 1, None), "Really?"),
    ],
)
def test_how_it_ends_is_kept(
    dry: Run, code: str, ending: tuple[str, int | None, int | None], output: str
) -> None:
    run = dry([sys.executable, "-c", code])
    assert (run.outcome, run.exit_code, run.signal) == ending
    assert (run.folder / f"{run.name}.log").read_text().startswith(output)
    assert run.reports == ()


def test_no_secret_is_kept_and_output_is_shown_as_it_comes(
    place: Path, dry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WA_API_KEY", "hunter2hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql://club:s3cretword@db.example.org/club")
    (place / "leaky.py").write_text(
        "import os, sys, time\n"
        "print('key', os.environ['WA_API_KEY'])\n"
        "print('to', os.environ['DATABASE_URL'], 'as', 's3cretword')\n"
        "print('password: otherword')\n"
        "for piece in ('row 0\\r', 'postgres://club:brok', 'enword@db/x\\n'):\n"
        "    sys.stdout.write(piece); sys.stdout.flush(); time.sleep(0.2)\n"
    )
    shown: list[tuple[float, str]] = []
    secrets = ["--api-key", "hunter3", "--token=hunter4", "postgres://a:hunter5@b/c"]
    run = dry([sys.executable, "leaky.py", *secrets], lambda piece: shown.append((time.monotonic(), piece)))
    assert run.outcome == "completed"
    output = "".join(piece for _, piece in shown)
    files = output + "".join(path.read_text() for path in run.folder.rglob("*") if path.is_file())
    for secret in ("hunter", "s3cretword", "otherword", "brokenword"):
        assert secret not in files
    assert "key ***\n" in output
    assert "db.example.org" in output
    assert shown[-1][0] - next(moment for moment, piece in shown if "row 0" in piece) > 0.1
    assert run.command[2:] == ("--api-key", "***", "--token=***", "postgres://***@b/c")


RUNNER = """
import sys
from pathlib import Path
from workbench.migration.dry_runs import run_dry
code = "import time, subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
kept = run_dry([sys.executable, "-c", code], backups=Path(sys.argv[1]), environment="club", kind="development", operator="dana",
               show=lambda line: print(line, end="", flush=True))
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
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background job ignores interrupts, and so would the importer.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        (run,) = list_dry_runs(folder)
        assert run.state == "running"
        yield process


@pytest.mark.parametrize(
    ("number", "code", "exit_code"),
    [(signal.SIGINT, None, None), (signal.SIGTERM, HEEDING, 0)],
    ids=["interrupted", "heeded"],
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
    (run,) = list_dry_runs(tmp_path)
    assert (run.outcome, run.signal, run.exit_code) == ("interrupted", number, exit_code)
    assert (run.folder / f"{run.name}.log").read_text().startswith("begun\n")
    children = psutil.Process().children(recursive=True)
    assert not [child.pid for child in children if "time.sleep(60)" in str(child.cmdline())]


def test_killed_the_manifest_says_interrupted(tmp_path: Path) -> None:
    with begun(tmp_path) as process:
        group = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    for child in group:
        child.kill()
    (run,) = list_dry_runs(tmp_path)
    assert (run.outcome, run.state) == ("running", "interrupted")
    assert (run.folder / f"{run.name}.log").read_text() == "begun\n"


def test_a_dry_run_is_found_and_a_damaged_one_is_not(place: Path, importer: list[str], dry: Run) -> None:
    run, backups = dry(importer), place / "backups"
    with pytest.raises(UsageError, match="Nearest: dry_run_"):
        find_dry_run(backups, "dry_run_2026", "club")
    for name in (DRY, run.name, None):
        assert find_dry_run(backups, name, "club") == run
    good = run.path.read_text()
    for bad in ("{}", good.replace("completed", "splendid")):
        run.path.write_text(bad)
        with pytest.raises(DocumentError):
            DryRun.read(run.path)
        assert list_dry_runs(backups) == []
    with pytest.raises(DocumentError, match="No dry run of club"):
        find_dry_run(backups, None, "club")
    run.path.write_text(good)
    run.folder.rename(run.folder.with_name(f".{run.name}.pruned"))  # being deleted
    assert list_dry_runs(backups) == []


def test_the_report_lies_where_the_output_says_and_the_live_runs_is_kept(
    place: Path, dry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    run = dry([sys.executable, str(script)])
    assert run.outcome == "completed"
    assert [(file.run, file.mode) for file in run.reports] == [(API_DRY, "dry")]
    report.write_text(json.dumps(api_report()))
    monkeypatch.setattr(dry_runs, "_API_REPORT", report)
    (copy,) = dry([sys.executable, str(script)]).overwritten
    assert copy.run is None  # nobody said that it is of this environment
    report.write_text(json.dumps(api_report()))
    declared = dry([sys.executable, str(script)], reports=[elsewhere])
    assert len(declared.reports) == 1
    assert [file.run for file in declared.overwritten] == [api_report()["runId"]]
    assert declared.folder / declared.overwritten[0].file in kept_reports(place / "backups", "club")
    silent = dry([sys.executable, "-c", "print('nothing')"], reports=[elsewhere])
    assert (silent.reports, silent.overwritten) == ((), ())
