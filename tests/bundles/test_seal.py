"""What is sealed: every file with its role and digest, checked by other people's tools as well as ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bundles.conftest import DRY, LIVE, NOW, Seal, csv_report, put
from workbench.errors import UsageError
from workbench.migration.bundles import (
    Bundle,
    list_bundles,
    read_bundle,
    sealed_in,
    verify_bundle,
)

TOOLS = [
    ["sha256sum", "-c", "manifest-sha256.txt"],
    ["shasum", "-a", "256", "-c", "manifest-sha256.txt"],
    [sys.executable, "-m", "bagit", "--validate", "."],
]


def test_every_file_has_its_role_size_and_digest(imported: Path, sealed: Seal) -> None:
    made = sealed(imported, environment="club")
    manifest = made
    assert (manifest.run, manifest.importer, manifest.mode) == (LIVE, "csv", "live")
    assert (manifest.bundle, manifest.sealed_by, manifest.environment) == (made.folder.name, "dana", "club")
    assert manifest.sealed_at == NOW
    assert {each.run: each.mode for each in manifest.runs} == {LIVE: "live", DRY: "dry"}
    assert manifest.totals["roles"] == {
        "configuration": 1, "dry-run log": 1, "export": 3, "id map": 1, "report": 3,
    }  # fmt: skip
    assert manifest.totals["records"]["Member"] == {"created": 3, "updated": 0, "existing": 0}
    assert manifest.totals["files"] == len(manifest.files) == 9
    for each in manifest.files:
        data = (made.folder / each.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (each.size, each.sha256)
    assert made.digest == hashlib.sha256((made.folder / "data" / "bundle.json").read_bytes()).hexdigest()
    assert not made.altered
    assert verify_bundle(made.folder) == []
    assert str(imported) not in (made.folder / "data" / "bundle.json").read_text()  # no path of this machine


@pytest.mark.parametrize("tool", [each for each in TOOLS if shutil.which(each[0])], ids=lambda each: each[0])
def test_other_tools_accept_it_and_notice_a_change(tool: list[str], imported: Path, sealed: Seal) -> None:
    made = sealed(imported)

    def check() -> int:
        return subprocess.run(tool, cwd=made.folder, capture_output=True, check=False).returncode

    assert check() == 0
    export = made.folder / "data" / "exports" / "wa-members-export.csv"
    export.chmod(0o600)
    export.write_bytes(export.read_bytes().replace(b"hiro1", b"hero1"))
    assert check() == 1


def test_two_files_of_one_name_are_both_kept(tmp_path: Path, sealed: Seal) -> None:
    run = put(tmp_path / "wa_full_sync_report.json", csv_report())
    for place, text in (("a", "x: 1"), ("b", "x: 2")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "membership.yaml").write_text(text)
    (tmp_path / "b" / "Membership.yaml").write_text("x: 3")  # one and the same on some file systems
    made = sealed(run, *(tmp_path / "a").iterdir(), *sorted((tmp_path / "b").iterdir()))
    paths = [each.path for each in made.files if each.role == "configuration"]
    assert len({each.casefold() for each in paths}) == 3
    assert {(made.folder / each).read_text() for each in paths} == {"x: 1", "x: 2", "x: 3"}


def test_a_file_given_twice_is_sealed_once(imported: Path, sealed: Seal) -> None:
    assert len(sealed(imported, imported / "membership.yaml", imported / "exports").files) == 9


def test_hidden_files_are_passed_over_and_named(imported: Path, sealed: Seal) -> None:
    (imported / ".DS_Store").write_bytes(b"x")
    (imported / ".git").mkdir()
    (imported / ".git" / "config").write_text("x")
    made = sealed(imported)
    assert made.notes == ("2 files and folders were passed over, hidden or of bundles: .DS_Store, .git",)
    assert not any(".git" in each.path for each in made.files)
    named = sealed(imported, imported / ".DS_Store")  # who names a file means it
    assert any(each.path == "data/.DS_Store" for each in named.files)


def test_bundles_are_not_sealed_into_bundles(imported: Path, sealed: Seal, tmp_path: Path) -> None:
    one = sealed(imported)
    other = sealed(tmp_path)  # the folder that the bundles lie in, too
    assert len(other.files) == len(one.files)
    assert other.notes == ("1 files and folders were passed over, hidden or of bundles: backups",)


def test_a_report_cut_short_is_evidence_too(imported: Path, sealed: Seal) -> None:
    path = imported / "reports" / "wa_full_sync_report.json"
    path.write_text('{"runId": "sync_1795367840787_f3yhlg", "stats": {')
    made = sealed(imported)
    assert next(each for each in made.files if each.path.endswith("sync_report.json")).role == "report"


def test_which_run_it_is_about(imported: Path, sealed: Seal, tmp_path: Path) -> None:
    assert sealed(imported, run=DRY).mode == "dry"
    with pytest.raises(UsageError, match=f"no run '{LIVE[:-1]}'.*{LIVE}"):
        sealed(imported, run=LIVE[:-1])
    with pytest.raises(UsageError, match="None of these files is an importer's report"):
        sealed(imported / "membership.yaml")
    killed = "sync_1795367840787_f3yhlg"  # it left no report, but rows
    assert sealed(imported / "exports", run=killed, known_runs=lambda: [killed]).importer == "api"
    other = put(tmp_path / "migration-live-2.json", csv_report("de1dc0d5-8a0a-4769-b800-d442972b0299"))
    with pytest.raises(UsageError, match="speak of 2 runs"):
        sealed(imported, other)


def test_two_in_one_second_are_two(imported: Path, sealed: Seal) -> None:
    one, other = sealed(imported), sealed(imported)
    assert (one.folder.name, other.folder.name) == ("bundle_20261123_093001", "bundle_20261123_093001_2")
    assert {each.folder for each in list_bundles(one.folder.parent)} == {one.folder, other.folder}


def test_which_bundles_hold_a_run_or_a_file(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    backups = made.folder.parent
    assert [each.digest for each in list_bundles(backups, LIVE)] == [made.digest]
    assert [each.digest for each in list_bundles(backups, DRY)] == [made.digest]
    assert list_bundles(backups, "sync_1795367840787_f3yhlg") == []
    report = next((imported / "reports").glob("migration-live-*-full.json"))
    found = sealed_in([made], report)
    assert found is not None
    assert found[1].role == "report"
    report.write_text(report.read_text().replace("Hiro", "Hira"))
    assert sealed_in([made], report) is None  # by content, not by name
    altered = made.folder / "data" / "bundle.json"
    altered.chmod(0o600)
    altered.write_text(altered.read_text().replace("dana", "robin"))
    assert list_bundles(backups, LIVE) == []  # what was altered is nobody's evidence


def test_a_large_file_is_never_whole_in_memory(imported: Path, sealed: Seal) -> None:
    import tracemalloc

    large = imported / "exports" / "large.csv"
    with large.open("wb") as file:
        for _ in range(24):
            file.write((b"x" * 1023 + b"\n") * (1 << 10))
    tracemalloc.start()
    made = sealed(imported)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20 < large.stat().st_size
    assert verify_bundle(made.folder) == []


def test_killed_while_sealing_leaves_no_bundle(imported: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom datetime import datetime, UTC\nimport bagit\n"
        "make_bag = bagit.make_bag\n"
        "def slow(*args, **options):\n    make_bag(*args, **options)\n    print('made', flush=True)\n    time.sleep(60)\n"
        "bagit.make_bag = slow\n"
        "from workbench.migration.sealing import seal\n"
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
    assert all(each.name.startswith(".bundle_") for each in (tmp_path / "backups").iterdir())


def test_only_its_owner_may_read_it(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    assert made.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.folder.rglob("*") if path.is_file()} == {0o400}


@pytest.mark.recordings
@pytest.mark.parametrize("run", ["run1", "run2"])
def test_the_recorded_imports(recordings: Path, sealed: Seal, run: str) -> None:
    made: Bundle = sealed(recordings / "csv_import" / run)
    assert made.totals["roles"] == {"export": 7, "id map": 2, "report": 4}
    assert verify_bundle(made.folder) == []
    assert read_bundle(made.folder) == made
    content = json.loads((made.folder / "data" / "bundle.json").read_text())
    assert content["totals"]["files"] == 13
    assert content["sealed_at"].startswith(f"{NOW:%Y-%m-%d}")


def test_the_same_files_are_listed_in_the_same_bytes(imported: Path, sealed: Seal) -> None:
    one = sealed(imported)
    data = (one.folder / "data" / "bundle.json").read_bytes()
    shutil.rmtree(one.folder)
    os.utime(imported / "membership.yaml", (time.time(), 1.0))
    assert (sealed(imported).folder / "data" / "bundle.json").read_bytes() == data
