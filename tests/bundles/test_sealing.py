"""What is sealed: every file with its role and digest, checked by other people's tools as well; what cannot be is named."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from tests.bundles.conftest import DRY, LIVE, NOW, Seal, csv_report, put
from workbench.errors import Refused, UsageError, WorkbenchError
from workbench.migration import bundles
from workbench.migration.bundles import list_bundles, read_bundle, sealed_in, verify_bundle

SECRETS = (
    "DATABASE_URL=postgres://club:hunter2@db.example.org/club",
    "  url: 'postgresql://club:hunter2%40x@db.example.org:5432/club?schema=public'",
    "DATABASE_URL=postgres://club:hunter2à…@db.example.org/club",
)
HARMLESS = "url_env: DATABASE_URL\nurl: postgres://***@db/club\nurl: postgres://club@db/club\nhttp://localhost:3000/api\n"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_every_file_is_sealed_with_its_role_and_digest(imported: Path, sealed: Seal) -> None:
    (imported / ".git").mkdir()
    (imported / ".git" / "config").write_text("x")
    (imported / "harmless.yaml").write_text(HARMLESS)
    (imported / "exports" / "members.xlsx").write_bytes(b"PK\x03\x04\0\0postgres://club:hunter2@db/club")
    cut = imported / "reports" / "wa_full_sync_report.json"  # what a killed importer left is evidence too
    cut.write_text('{"runId": "sync_1795367840787_f3yhlg", "stats": {')
    bundle = sealed(imported, imported / "membership.yaml", imported / "exports", environment="club")
    assert (bundle.run, bundle.runs) == (LIVE, {LIVE: "live", DRY: "dry"})
    assert (bundle.bundle, bundle.sealed_by, bundle.environment) == (bundle.folder.name, "dana", "club")
    assert bundle.sealed_at == NOW
    roles = [file.role for file in bundle.files]  # what was given twice is there once
    assert sorted(roles) == ["configuration"] * 2 + ["dry run"] + ["export"] * 4 + ["report"] * 5
    assert bundle.notes == ("2 hidden files and folders were left out",)
    for file in bundle.files:
        assert hashlib.sha256((bundle.folder / file.path).read_bytes()).hexdigest() == file.sha256
    content = (bundle.folder / "data" / "bundle.json").read_bytes()
    assert bundle.digest == hashlib.sha256(content).hexdigest()
    assert str(imported).encode() not in content  # no path of this machine
    assert verify_bundle(bundle.folder) == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in bundle.folder.rglob("*"))


@pytest.mark.parametrize(
    "tool",
    [["sha256sum", "-c", "manifest-sha256.txt"], [sys.executable, "-m", "bagit", "--validate", "."]],
    ids=["sha256sum", "bagit"],
)
def test_other_tools_prove_it_and_notice_a_change(tool: list[str], imported: Path, sealed: Seal) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"there is no {tool[0]} here")
    (imported / "exports" / "Mitglieder é, 2.csv").write_text("x")
    folder = sealed(imported).folder
    assert subprocess.run(tool, cwd=folder, capture_output=True).returncode == 0
    export = folder / "data" / "exports" / "wa-members-export.csv"
    export.chmod(0o600)
    export.write_text(export.read_text().replace("hiro1", "hero1"))
    assert subprocess.run(tool, cwd=folder, capture_output=True).returncode != 0


def test_files_of_one_name_are_kept_apart(tmp_path: Path, sealed: Seal) -> None:
    for folder, name in (("a", "Members.csv"), ("b", "members.csv"), ("c", "bundle.json")):
        put(tmp_path / folder / name, {"in": folder})
    bundle = sealed(
        tmp_path / "a", tmp_path / "b", tmp_path / "c", run="guide-run", known_runs=lambda: ["guide-run"]
    )
    assert [file.path for file in bundle.files] == [
        "data/Members.csv",
        "data/bundle~2.json",
        "data/members~2.csv",
    ]
    assert verify_bundle(bundle.folder) == []


def test_which_run_a_bundle_is_about_and_which_bundles_hold_one(
    imported: Path, sealed: Seal, tmp_path: Path
) -> None:
    backups = tmp_path / "backups"
    bundle = sealed(imported)
    for paths, run in (((imported,), LIVE[:-1]), ((imported / "membership.yaml",), None)):
        with pytest.raises(UsageError):
            sealed(*paths, run=run)
    other = put(tmp_path / "migration-live-2.json", csv_report("de1dc0d5-8a0a-4769-b800-d442972b0299"))
    with pytest.raises(UsageError, match="2 runs"):
        sealed(imported, other)
    for run in (LIVE, DRY):
        assert [kept.digest for kept in list_bundles(backups, run)] == [bundle.digest]
    killed = "sync_1795367840787_f3yhlg"  # it left no report, but rows
    assert list_bundles(backups, killed) == []
    assert sealed(imported / "exports", run=killed, known_runs=lambda: [killed]).run == killed
    report = next((imported / "reports").glob("migration-live-*-full.json"))
    assert sealed_in([bundle], report) is not None
    report.write_text(report.read_text().replace("Hiro", "Hira"))
    assert sealed_in([bundle], report) is None  # by content, not by name
    altered = bundle.folder / "data" / "bundle.json"
    altered.chmod(0o600)
    altered.write_text(altered.read_text().replace("dana", "robin"))
    assert list_bundles(backups, LIVE) == []  # what was altered is nobody's evidence


def test_a_large_file_is_never_whole_in_memory_and_its_lines_are_counted(
    imported: Path, sealed: Seal
) -> None:
    large = imported / "large.log"
    large.write_bytes((b"x" * 1023 + b"\n") * (16 << 10))
    tracemalloc.start()
    sealed(imported / "large.log", imported / "reports")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20 < large.stat().st_size
    with large.open("ab") as file:
        file.write(b"postgres://club:hunter2@db/club\n")
    with pytest.raises(Refused, match=f"line {16 * 1024 + 1}"):
        sealed(imported)


def test_killed_while_sealing_leaves_no_bundle(imported: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom datetime import datetime, UTC\nimport bagit\n"
        "make_bag = bagit.make_bag\n"
        "def slow(*args, **options):\n    make_bag(*args, **options)\n    print('made', flush=True)\n    time.sleep(60)\n"
        "bagit.make_bag = slow\n"
        "from workbench.migration.bundles import seal\n"
        "seal([Path(sys.argv[1])], Path(sys.argv[2]), by='dana', now=datetime.now(UTC))\n"
    )
    command = [sys.executable, "-c", script, str(imported), str(tmp_path / "backups")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        process.send_signal(signal.SIGKILL)
    assert list_bundles(tmp_path / "backups") == []
    assert all(name.startswith(".bundle_") for name in left(tmp_path / "backups"))


@pytest.mark.parametrize("line", SECRETS)
def test_a_password_is_refused_and_a_copy_without_it_sealed(line: str, imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_bytes(f"a: 1\r\n{line}\nb: é".encode() + b"\xff")
    with pytest.raises(Refused, match=r"club\.yaml, line 2") as caught:
        sealed(imported)
    assert "hunter" not in str(caught.value)
    assert caught.value.exit_code == 3
    assert left(imported.parent / "backups") == []
    bundle = sealed(imported, redacting=True)
    copy = (bundle.folder / "data" / "club.yaml").read_bytes()
    assert b"hunter" not in copy
    assert copy.startswith(b"a: 1\r\n")
    assert b"***" in copy
    assert copy.endswith("\nb: é".encode() + b"\xff")
    assert bundle.notes == ("data/club.yaml was sealed without the passwords in its URLs",)
    assert verify_bundle(bundle.folder) == []


def test_what_cannot_be_sealed_is_named_all_at_once(
    imported: Path, sealed: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (imported / "link.csv").symlink_to(imported / "membership.yaml")
    (imported / "elsewhere").symlink_to("/etc")
    (tmp_path / "latest").symlink_to(imported)
    for name in ("line\nbreak.csv", os.fsdecode(b"\xff.csv"), "back\\slash.csv", "a%0ab.csv", "blank "):
        (imported / name).write_text("x")
    os.mkfifo(imported / "pipe")
    (imported / "closed").mkdir()
    closed = ("membership.yaml", "closed")
    may = os.access  # to root everything is readable
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name not in closed and may(path, mode))
    with pytest.raises(UsageError) as caught:
        sealed(imported, tmp_path / "nothing.csv", tmp_path / "latest")
    for name in (
        "link.csv is a sym", "elsewhere is a sym", "latest is a sym", "pipe is a", "line\\nbreak.csv has", "\\udcff.csv has",
        "slash.csv has", "a%0ab.csv has", "blank  has", "nothing.csv is not there", "membership.yaml is not", "closed is not",
    ):  # fmt: skip
        assert name in str(caught.value)
    assert caught.value.exit_code == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no file"):
        sealed(tmp_path / "empty")
    assert left(tmp_path / "backups") == []


def test_what_goes_wrong_on_the_way_leaves_nothing(
    imported: Path, sealed: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = imported / "exports" / "wa-members-export.csv"
    export.write_text(export.read_text() + "WA003,https://example.com\n")

    def and_meanwhile(line: str) -> str:
        with export.open("a") as more:
            more.write("WA004,hiro4@example.com\n")
        return line

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(bundles, "redact", and_meanwhile)
        with pytest.raises(UsageError, match=r"wa-members-export\.csv changed while"):
            sealed(imported)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkbenchError, match="No space left on device") as caught:
        sealed(imported)
    assert caught.value.exit_code == 4
    assert left(tmp_path / "backups") == []


@pytest.mark.recordings
@pytest.mark.parametrize("run", ["run1", "run2"])
def test_the_recorded_imports(recordings: Path, sealed: Seal, run: str) -> None:
    bundle = sealed(recordings / "csv_import" / run)
    assert sorted(file.role for file in bundle.files) == ["export"] * 7 + ["report"] * 6
    assert read_bundle(bundle.folder) == bundle
    assert verify_bundle(bundle.folder) == []
