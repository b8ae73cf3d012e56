"""What is sealed: every file with its role and digest, checked by other people's tools as well; what cannot be is named."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.bundles.conftest import DRY, LIVE, NOW, Seal, csv_report, put
from workbench.errors import Refused, UsageError, WorkbenchError
from workbench.migration import bundles
from workbench.migration.bundles import list_bundles, read_bundle, sealed_in, verify_bundle

TOOLS = [
    ["sha256sum", "-c", "manifest-sha256.txt"],
    ["shasum", "-a", "256", "-c", "manifest-sha256.txt"],
    [sys.executable, "-m", "bagit", "--validate", "."],
]
SECRETS = (
    "DATABASE_URL=postgres://club:hunter2@db.example.org/club",
    "  url: 'postgresql://club:hunter2%40x@db.example.org:5432/club?schema=public'",
    "see https://club:hunter2@example.org/x",
    "DATABASE_URL=postgres://club:hunter2à…@db.example.org/club",
)
HARMLESS = (
    "url_env: DATABASE_URL",
    "url: postgres://***@db.example.org/club",
    "url: postgres://club@db.example.org/club",
    "http://localhost:3000/api",
    "Speakeasy. Password: swordfish",
)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_every_file_is_sealed_with_its_role_size_and_digest(imported: Path, sealed: Seal) -> None:
    (imported / ".DS_Store").write_bytes(b"x")
    (imported / ".git").mkdir()
    (imported / ".git" / "config").write_text("x")
    (imported / "exports" / "members.xlsx").write_bytes(b"PK\x03\x04\0\0password=hunter2")
    cut = imported / "reports" / "wa_full_sync_report.json"  # what a killed importer left is evidence too
    cut.write_text('{"runId": "sync_1795367840787_f3yhlg", "stats": {')
    made = sealed(imported, imported / "membership.yaml", imported / "exports", environment="club")
    assert (made.run, made.importer, made.mode) == (LIVE, "csv", "live")
    assert (made.bundle, made.sealed_by, made.environment) == (made.folder.name, "dana", "club")
    assert made.sealed_at == NOW
    assert made.runs == {LIVE: "live", DRY: "dry"}
    assert made.totals["roles"] == {
        "configuration": 1, "dry-run log": 1, "export": 4, "id map": 1, "report": 4,
    }  # fmt: skip
    assert made.totals["records"]["Member"] == {"created": 3, "updated": 0, "existing": 0}
    assert made.totals["files"] == len(made.files) == 11  # what was given twice is there once
    assert made.notes == (
        "data/exports/members.xlsx is no text: nobody looked for passwords in it",
        "2 files and folders were passed over, hidden or of bundles: .DS_Store, .git",
    )
    for each in made.files:
        data = (made.folder / each.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (each.size, each.sha256)
    content = (made.folder / "data" / "bundle.json").read_bytes()
    assert made.digest == hashlib.sha256(content).hexdigest()
    assert str(imported).encode() not in content  # no path of this machine
    assert verify_bundle(made.folder) == []
    assert read_bundle(made.folder) == made
    assert made.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.folder.rglob("*") if path.is_file()} == {0o400}
    again, named = sealed(imported, environment="club"), sealed(imported, imported / ".DS_Store")
    assert (again.folder.name, named.folder.name) == (f"{made.folder.name}_2", f"{made.folder.name}_3")
    assert "data/.DS_Store" in {each.path for each in named.files}  # who names a file means it
    both = {"bundle"}
    assert made.model_dump(exclude=both) == again.model_dump(exclude=both)  # the same files, listed alike


@pytest.mark.parametrize("tool", [each for each in TOOLS if shutil.which(each[0])], ids=lambda each: each[0])
def test_other_tools_accept_it_and_notice_a_change(tool: list[str], imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    assert subprocess.run(tool, cwd=folder, capture_output=True, check=False).returncode == 0
    export = folder / "data" / "exports" / "wa-members-export.csv"
    export.chmod(0o600)
    export.write_bytes(export.read_bytes().replace(b"hiro1", b"hero1"))
    assert subprocess.run(tool, cwd=folder, capture_output=True, check=False).returncode == 1


def test_files_of_one_name_are_all_kept_and_bundles_are_not_sealed_into_bundles(
    tmp_path: Path, sealed: Seal
) -> None:
    run = put(tmp_path / "wa_full_sync_report.json", csv_report())
    for place, text in (("a", "x: 1"), ("b", "x: 2")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "membership.yaml").write_text(text)
    (tmp_path / "b" / "Membership.yaml").write_text("x: 3")  # one and the same on some file systems
    made = sealed(run, *(tmp_path / "a").iterdir(), *sorted((tmp_path / "b").iterdir()))
    paths = [each.path for each in made.files if each.role == "configuration"]
    assert len({each.casefold() for each in paths}) == 3
    assert {(made.folder / each).read_text() for each in paths} == {"x: 1", "x: 2", "x: 3"}
    other = sealed(tmp_path)  # the folder that the bundles lie in, too
    assert len(other.files) == len(made.files)
    assert other.notes == ("1 files and folders were passed over, hidden or of bundles: backups",)


def test_which_run_it_is_about_and_which_bundles_hold_a_run_or_a_file(
    imported: Path, sealed: Seal, tmp_path: Path
) -> None:
    made = sealed(imported, run=DRY)
    backups = made.folder.parent
    assert made.mode == "dry"
    with pytest.raises(UsageError, match=f"no run '{LIVE[:-1]}'.*{LIVE}"):
        sealed(imported, run=LIVE[:-1])
    with pytest.raises(UsageError, match="None of these files is an importer's report"):
        sealed(imported / "membership.yaml")
    other = put(tmp_path / "migration-live-2.json", csv_report("de1dc0d5-8a0a-4769-b800-d442972b0299"))
    with pytest.raises(UsageError, match="speak of 2 runs"):
        sealed(imported, other)
    assert [[each.digest for each in list_bundles(backups, run)] for run in (LIVE, DRY)] == [
        [made.digest]
    ] * 2
    killed = "sync_1795367840787_f3yhlg"  # it left no report, but rows
    assert list_bundles(backups, killed) == []
    assert sealed(imported / "exports", run=killed, known_runs=lambda: [killed]).importer == "api"
    report = next((imported / "reports").glob("migration-live-*-full.json"))
    held = sealed_in([made], report)
    assert held is not None
    assert held[1].role == "report"
    report.write_text(report.read_text().replace("Hiro", "Hira"))
    assert sealed_in([made], report) is None  # by content, not by name
    altered = made.folder / "data" / "bundle.json"
    altered.chmod(0o600)
    altered.write_text(altered.read_text().replace("dana", "robin"))
    assert list_bundles(backups, LIVE) == []  # what was altered is nobody's evidence


def test_a_large_file_is_never_whole_in_memory_and_its_lines_are_counted(
    imported: Path, sealed: Seal
) -> None:
    large = imported / "large.log"
    with large.open("wb") as file:
        for _ in range(24):
            file.write((b"x" * 1023 + b"\n") * (1 << 10))
    tracemalloc.start()
    made = sealed(imported)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20 < large.stat().st_size
    assert verify_bundle(made.folder) == []
    with large.open("ab") as file:
        file.write(b"postgres://club:hunter2@db/club\n")
    with pytest.raises(Refused, match=f"line {24 * 1024 + 1}"):
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
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(imported), str(tmp_path / "backups")], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert process.stdout is not None
    with process:
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
    made = sealed(imported, redacting=True)
    copy = (made.folder / "data" / "club.yaml").read_bytes()
    assert b"hunter" not in copy
    assert b"***" in copy
    assert copy.startswith(b"a: 1\r\n")
    assert copy.endswith("\nb: é".encode() + b"\xff")
    assert made.notes == ("data/club.yaml was sealed without the passwords in its URLs",)
    assert verify_bundle(made.folder) == []


def test_what_is_no_password_in_a_url_is_let_through(imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_text("\n".join(HARMLESS))
    assert {each.secrets for each in sealed(imported).files} == {"none found"}


def test_what_cannot_be_sealed_is_named_all_at_once(
    imported: Path, sealed: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (imported / "link.csv").symlink_to(imported / "membership.yaml")
    (imported / "elsewhere").symlink_to("/etc")
    (tmp_path / "latest").symlink_to(imported)
    for name in ("line\nbreak.csv", os.fsdecode(b"\xff.csv"), "back\\slash.csv", "a%0ab.csv", "blank "):
        (imported / name).write_text("x")
    os.mkfifo(imported / "pipe")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden").write_text("x")
    opened = Path.open

    def forbidden(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "membership.yaml":  # to root everything is readable
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(UsageError) as caught:
        sealed(imported, tmp_path / "nothing.csv", tmp_path / "empty", tmp_path / "latest")
    for each in (
        "link.csv is a symbolic link", "elsewhere is a symbolic link", "latest is a symbolic link", "pipe is no regular file",
        "line\\nbreak.csv has a control character", "\\udcff.csv has a control", "slash.csv has a", "a%0ab.csv has a", "blank  has a",
        "nothing.csv is not there", "empty has no file in it", "membership.yaml cannot be read",
    ):  # fmt: skip
        assert each in str(caught.value)
    assert caught.value.exit_code == 2
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

    whole = bundles.redact
    monkeypatch.setattr(bundles, "redact", and_meanwhile)
    with pytest.raises(UsageError, match=r"wa-members-export\.csv changed while"):
        sealed(imported)
    monkeypatch.setattr(bundles, "redact", whole)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkbenchError, match="No space left on device"):
        sealed(imported)
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkbenchError, match="cannot be written") as caught:
        bundles.seal([imported], tmp_path / "file" / "backups", by="dana", now=NOW)
    assert caught.value.exit_code == 4
    assert left(tmp_path / "backups") == []


@pytest.mark.recordings
@pytest.mark.parametrize("run", ["run1", "run2"])
def test_the_recorded_imports(recordings: Path, sealed: Seal, run: str) -> None:
    made = sealed(recordings / "csv_import" / run)
    assert made.totals["roles"] == {"export": 7, "id map": 2, "report": 4}
    assert json.loads((made.folder / "data" / "bundle.json").read_text())["totals"]["files"] == 13
    assert verify_bundle(made.folder) == []
