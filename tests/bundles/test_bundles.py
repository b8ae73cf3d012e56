"""Bundles: what is sealed and what is refused, every alteration noticed, and who cites a bundle by its digest."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bagit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bundles.conftest import DRY, LIVE, NOW, Seal, csv_report, put
from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError
from workbench.migration.bundles import (
    MANIFEST,
    Bundle,
    list_bundles,
    read_bundle,
    sealed_in,
    verify_bundle,
)

EXPORT = "data/exports/wa-members-export.csv"
SECRETS = (
    "DATABASE_URL=postgres://club:hunter2@db.example.org/club",
    "  url: 'postgresql://club:hunter2%40x@db.example.org:5432/club?schema=public'",
    "DATABASE_URL=postgres://club:hunter2à…@db.example.org/club",
)
HARMLESS = "url_env: DATABASE_URL\nurl: postgres://***@db/club\nurl: postgres://club@db/club\nhttp://localhost:3000/api\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def unlocked(path: Path) -> Path:
    path.chmod(0o600)
    return path


def wrong(folder: Path, digest: str | None = None) -> set[tuple[str, str]]:
    return {(discrepancy.path, discrepancy.what) for discrepancy in verify_bundle(folder, digest)}


def rewrite(bundle: Bundle, change: Callable[[dict[str, Any]], Any], *, lists: bool = True) -> None:
    """Change ``bundle.json`` and, as a careful forger would, the bag's lists of digests."""
    path = unlocked(bundle.folder / MANIFEST)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    if lists:
        for tag in bundle.folder.glob("*.txt"):
            unlocked(tag)
        bagit.Bag(str(bundle.folder)).save(manifests=True)


def test_every_file_is_sealed_with_its_role_and_digest(imported: Path, sealed: Seal) -> None:
    (imported / ".git").mkdir()
    (imported / ".git" / "config").write_text("x")
    (imported / "harmless.yaml").write_text(HARMLESS)
    cut = imported / "reports" / "wa_full_sync_report.json"  # what a killed importer left is evidence too
    cut.write_text('{"runId": "sync_1795367840787_f3yhlg", "stats": {')
    again = put(imported.parent / "again" / "Membership.yaml", {})
    bundle = sealed(imported, imported / "exports", again, environment="club")
    assert (bundle.run, bundle.runs) == (LIVE, {LIVE: "live", DRY: "dry"})
    assert (bundle.bundle, bundle.sealed_by, bundle.environment) == (bundle.folder.name, "dana", "club")
    assert bundle.sealed_at == NOW
    roles = [file.role for file in bundle.files]  # a file that was given twice is sealed once
    assert sorted(roles) == ["configuration"] * 3 + ["dry run"] + ["export"] * 3 + ["report"] * 5
    assert {"data/membership.yaml", "data/Membership~2.yaml"} <= {file.path for file in bundle.files}
    for file in bundle.files:
        assert hashlib.sha256((bundle.folder / file.path).read_bytes()).hexdigest() == file.sha256
    content = (bundle.folder / MANIFEST).read_bytes()
    assert bundle.digest == hashlib.sha256(content).hexdigest()
    assert str(imported).encode() not in content  # no path of this machine
    assert verify_bundle(bundle.folder) == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in bundle.folder.rglob("*"))


@pytest.mark.parametrize(
    "tool", [["sha256sum", "-c", "manifest-sha256.txt"], [sys.executable, "-m", "bagit", "--validate", "."]]
)
def test_other_tools_prove_it_and_notice_a_change(tool: list[str], imported: Path, sealed: Seal) -> None:
    (imported / "exports" / "Mitglieder é, 2.csv").write_text("x")
    folder = sealed(imported).folder
    assert subprocess.run(tool, cwd=folder, capture_output=True).returncode == 0
    export = unlocked(folder / EXPORT)
    export.write_text(export.read_text().replace("hiro1", "hero1"))
    assert subprocess.run(tool, cwd=folder, capture_output=True).returncode != 0


def test_which_run_a_bundle_is_about(imported: Path, sealed: Seal, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    bundle = sealed(imported)
    other = put(tmp_path / "migration-live-2.json", csv_report("de1dc0d5-8a0a-4769-b800-d442972b0299"))
    for paths in ((imported / "membership.yaml",), (imported, other)):
        with pytest.raises(UsageError):
            sealed(*paths)
    for run in (LIVE, DRY):
        assert [kept.digest for kept in list_bundles(backups, run)] == [bundle.digest]
    killed = "sync_1795367840787_f3yhlg"  # it left no report, but rows
    assert list_bundles(backups, killed) == []
    assert sealed(imported / "exports", run=killed).run == killed
    report = next((imported / "reports").glob("migration-live-*-full.json"))
    assert sealed_in([bundle], report) is not None
    report.write_text(report.read_text().replace("Hiro", "Hira"))
    assert sealed_in([bundle], report) is None  # by content, not by name


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
    assert all(name.startswith(".bundle_") for name in names(tmp_path / "backups"))


@pytest.mark.parametrize("line", SECRETS)
def test_a_url_with_a_password_is_refused(line: str, imported: Path, sealed: Seal) -> None:
    (imported / "club.yaml").write_bytes(f"a: 1\r\n{line}\nb: é".encode() + b"\xff")
    with pytest.raises(Refused, match=r"club\.yaml, line 2") as caught:
        sealed(imported)
    assert "hunter" not in str(caught.value)
    assert caught.value.exit_code == 3
    assert names(imported.parent / "backups") == []


def test_what_cannot_be_sealed_is_named_and_leaves_nothing(
    imported: Path, sealed: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(WorkbenchError, match="No space left on device") as caught:
            sealed(imported)
        assert caught.value.exit_code == 4
    (imported / "link.csv").symlink_to(imported / "membership.yaml")
    (imported / "elsewhere").symlink_to("/etc")
    for name in ("line\nbreak.csv", os.fsdecode(b"\xff.csv"), "back\\slash.csv", "a%0ab.csv", "blank "):
        (imported / name).write_text("x")
    os.mkfifo(imported / "pipe")
    (imported / "closed").mkdir()
    may = os.access  # root may read everything
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and may(path, mode))
    with pytest.raises(UsageError) as refused:
        sealed(imported, tmp_path / "nothing.csv")
    for name in (
        "link.csv", "elsewhere", "pipe", "line\\nbreak.csv", "\\udcff.csv", "slash.csv", "a%0ab.csv", "blank ", "nothing.csv",
        "closed",
    ):  # fmt: skip
        assert f"{name} is a link" in str(refused.value) or f"{name} has" in str(refused.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="none was found"):
        sealed(tmp_path / "empty")
    assert names(tmp_path / "backups") == []


def test_altered_missing_and_added_are_told_apart(imported: Path, sealed: Seal, tmp_path: Path) -> None:
    folder = sealed(imported).folder
    export = unlocked(folder / EXPORT)
    export.write_bytes(export.read_bytes().replace(b"hiro1", b"hero1"))  # as many bytes
    (folder / "data" / "dry_run_20261122_171836.log").unlink()
    (folder / "stray.txt").write_text("")
    for name in ("extra.json", "a\nb\x1b[31m.csv", os.fsdecode(b"\xff.csv")):
        (folder / "data" / name).write_text("{}")
    (folder / "data" / "membership.yaml").rename(tmp_path / "same")
    (folder / "data" / "membership.yaml").symlink_to(tmp_path / "same")
    (folder / "data" / "log").symlink_to("/var/log")
    assert wrong(folder) == {
        (EXPORT, "altered"),
        ("stray.txt", "added"),
        ("data/dry_run_20261122_171836.log", "missing"),
        ("data/membership.yaml", "altered"),  # links are not followed
        ("data/log", "altered"),
        *((f"data/{name}", "added") for name in ("extra.json", "a\\nb\\x1b[31m.csv", "\\udcff.csv")),
    }


@given(which=st.integers(0, 12), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_flipped_bit_is_noticed(
    imported: Path, sealed: Seal, which: int, where: float, bit: int
) -> None:
    backups = imported.parent / "backups"
    folder = next(backups.iterdir()) if backups.is_dir() else sealed(imported).folder
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name[:3] != "tag")
    path = unlocked(files[which])
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[int(where * len(flipped))] ^= 1 << bit
    path.write_bytes(bytes(flipped))
    try:
        assert wrong(folder)
    finally:
        path.write_bytes(content)


def test_an_edited_bundle_and_one_that_was_sealed_again(imported: Path, sealed: Seal) -> None:
    edited = sealed(imported)
    rewrite(edited, lambda content: content.update(sealed_by="robin"), lists=False)
    assert wrong(edited.folder)
    resealed = sealed(imported)
    rewrite(resealed, lambda content: content.update(sealed_by="robin"))
    assert wrong(resealed.folder) == set()
    assert wrong(resealed.folder, resealed.digest) == {
        (MANIFEST, "altered")
    }  # only the recorded digest tells
    listed = sealed(imported)  # files altered and added together with the bag's lists, but not in bundle.json
    unlocked(listed.folder / EXPORT).write_text("x")
    (listed.folder / "data" / "more.csv").write_text("x")
    rewrite(listed, lambda content: None)
    assert wrong(listed.folder) == {(EXPORT, "altered"), ("data/more.csv", "added")}
    renamed = resealed.folder.rename(resealed.folder.with_name("bundle_20250101_000000"))
    assert wrong(renamed) == {(MANIFEST, "altered")}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # bagit leaves the list open
def test_a_list_that_names_a_file_outside_is_no_pass(imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    with unlocked(folder / "manifest-sha256.txt").open("a") as file:
        file.write(f"{hashlib.sha256(b'x').hexdigest()}  ../../secret\n")
    assert wrong(folder)


def test_what_is_left_of_a_bundle(imported: Path, sealed: Seal, tmp_path: Path) -> None:
    bundle = sealed(imported)
    for name in (MANIFEST, "bagit.txt", "manifest-sha256.txt", "bag-info.txt"):
        content = (bundle.folder / name).read_bytes()
        (bundle.folder / name).unlink()
        assert wrong(bundle.folder)
        (bundle.folder / name).write_bytes(content)
    for text in ("", '{"version": 2}', '{"files": [{"path": 1}], "runs": []}'):
        (bundle.folder / MANIFEST).write_text(text)
        assert wrong(bundle.folder) == {(MANIFEST, "altered")}
        with pytest.raises(DocumentError):
            read_bundle(bundle.folder)
    for folder in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DocumentError):
            verify_bundle(folder)


@pytest.mark.recordings
@pytest.mark.parametrize("run", ["run1", "run2"])
def test_the_recorded_imports(recordings: Path, sealed: Seal, run: str) -> None:
    bundle = sealed(recordings / "csv_import" / run)
    assert sorted(file.role for file in bundle.files) == ["export"] * 7 + ["report"] * 6
    assert verify_bundle(bundle.folder) == []


def test_the_command_from_files_to_a_verified_bundle(
    clubs: Clubs, shell: Shell, at: Callable[..., Shell], imported: Path, tmp_path: Path
) -> None:
    club = clubs.clone("guide", 60)
    at(club)

    def run(*words: Any, code: int = 0) -> str:
        done = shell(*map(str, words), CLUB_URL=club.url, WORKBENCH_ENVIRONMENT="club")
        assert done.returncode == code, done.stderr
        return done.stdout

    def create(*more: Any) -> Any:
        return json.loads(run("bundle", "create", imported, *more, "--json"))

    run("bundle", "verify", code=2)  # there is none
    run("bundle", "create", imported, "--run", "no-such-run", code=2)
    bundle = create("--as", "robin")
    name = bundle["bundle"]
    assert (bundle["sealed_by"], bundle["environment"], len(bundle["files"])) == ("robin", "club", 9)
    for known in (name, bundle["path"], f"{bundle['path']}/data/bundle.json"):
        assert bundle["digest"] in run("bundle", "verify", known)
    run("bundle", "verify", "-e", "club")
    run("bundle", "verify", name, "--digest", "0" * 64, code=1)
    assert name in run("bundle", "list")
    run("bundle", "check", name)
    elsewhere = create("--output", tmp_path / "usb")
    assert Path(elsewhere["path"]).parent == tmp_path / "usb"
    run("bundle", "verify", elsewhere["path"])
    (tmp_path / "backups" / "bundle_20200101_000000").mkdir()  # what cannot be read is not green
    assert "bundle_20200101_000000: not verified" in run("bundle", "verify", code=1)
    (Path(bundle["path"]) / "data" / "added.txt").write_text("x")
    (facts,) = json.loads(run("bundle", "verify", name, "--json", code=1))
    assert (facts["status"], facts["discrepancies"][0]["path"]) == ("fail", "data/added.txt")
    run("bundle", "check", name, code=3)
    report = imported / "reports" / "migration-live-2026-11-22T17-18-39-363Z-full.json"
    report.write_text(report.read_text().replace('"totalRows": 3', '"totalRows": 4'))
    facts = json.loads(run("bundle", "check", create()["bundle"], "--json", code=1))
    states = {row["invariant"]: row["status"] for row in facts["invariants"]}
    assert (states["counts-add-up"], states["wa-ids-unique"], states["readable"]) == ("fail", "pass", "pass")


def test_plan_run_and_audit_log_cite_the_bundle(clubs: Clubs) -> None:
    club = clubs.clone("application", 60)
    wb, run = club.open(tier_mapping=club.club.imports / "membership.yaml"), club.club.last_live_run.run
    runs = [known.run for known in wb.session.find_runs()]
    before: Any = wb.runs.plan_rollback(run)
    assert "bundle_sha256" not in before.audit[0]["metadata"]
    bundle, problem = wb.migration.seal([club.club.imports], run=run)
    assert problem == ""
    reports = [report for report in wb.session.reports if report.run_id == run]
    entries = [entry for entry in wb.audit.entries(run_id=run)["metadata"] if "bundle" in entry]
    assert [entry["bundle_sha256"] for entry in entries] == [bundle.digest]
    assert [known.run for known in wb.session.find_runs()] == runs  # the entry is no run's trace
    plan: Any = wb.runs.plan_rollback(run)
    cited = [evidence for evidence in plan.evidence if evidence.startswith("report file")]
    assert cited
    assert all(bundle.digest in evidence for evidence in cited)
    assert plan.audit[0]["metadata"]["bundle_sha256"] == bundle.digest
    assert plan.changes == before.changes
    assert [known["digest"] for known in wb.runs[run].facts["bundles"].to_dict("records")] == [bundle.digest]

    assert wb.migration.verify(bundle.folder) == []
    rewrite(bundle, lambda content: content.update(sealed_by="robin"))
    assert verify_bundle(bundle.folder) == []  # nothing in the bundle itself can tell
    (discrepancy,) = wb.migration.verify(bundle.folder)
    assert (discrepancy.path, discrepancy.what) == (MANIFEST, "altered")
    assert bundle.digest in discrepancy.detail
    reports[0].path.write_text(reports[0].path.read_text() + "\n")
    plan = wb.runs.plan_rollback(run)
    assert f"{reports[0].path.name}, sealed in" not in str(plan.evidence)
    assert "bundle_sha256" not in plan.audit[0]["metadata"]  # it does not hold all of the reports
    with pytest.raises(UsageError):
        wb.migration.seal([club.club.imports], run="nobody")
    club.execute('ALTER TABLE "AuditLog" RENAME TO "AuditLogOfOld"')
    assert "was not logged" in club.open().migration.seal([club.club.imports], run=run)[1]
