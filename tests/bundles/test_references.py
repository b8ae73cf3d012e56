"""The command, and what refers to a bundle by its digest: runs, plans, the audit log; and to none that was altered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bundles.test_verify import rewrite
from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs, Ground
from workbench.errors import UsageError
from workbench.migration.bundles import verify_bundle
from workbench.plans.plan import Plan


@pytest.fixture
def club(clubs: Clubs, dialect: str) -> Ground:
    return clubs.clone(dialect, 60)


def test_the_command_from_files_to_a_verified_bundle(
    shell: Shell, at: Callable[..., Shell], clubs: Clubs, imported: Path, tmp_path: Path
) -> None:
    club = clubs.clone("guide", 60)
    at(club)

    def run(*words: Any, code: int = 0) -> str:
        done = shell(*map(str, words), CLUB_URL=club.url, WORKBENCH_ENVIRONMENT="club")
        assert done.returncode == code, done.stderr
        return done.stdout

    def create(*more: Any) -> Any:
        return json.loads(run("bundle", "create", imported, *more, "--json"))

    run("bundle", "verify", code=2)  # there is none: that is not clean
    run("bundle", "verify", "bundle_1", code=2)
    run("bundle", "create", code=2)
    run("bundle", "create", tmp_path / "nothing", code=2)
    run("bundle", "create", imported, "--run", "no-such-run", code=2)
    made = create("--as", "robin")
    assert (made["sealed_by"], made["environment"], made["totals"]["files"]) == ("robin", "club", 9)
    assert f"as it was sealed, 9 files, run {made['run']}" in run("bundle", "verify", made["bundle"])
    for name in (made["digest"][:12], made["path"], f"{made['path']}/data/bundle.json"):
        assert made["digest"] in run("bundle", "verify", name)
    run("bundle", "verify")
    run("bundle", "verify", "-e", "club")
    run("bundle", "verify", made["bundle"], "--digest", "0" * 64, code=1)
    assert made["bundle"] in run("bundle", "list")
    run("bundle", "check", made["bundle"])
    elsewhere = create("--output", tmp_path / "usb")
    assert Path(elsewhere["path"]).parent == tmp_path / "usb"
    run("bundle", "verify", elsewhere["path"])
    (tmp_path / "backups" / "bundle_20200101_000000").mkdir()  # what cannot be understood is not green
    assert "bundle_20200101_000000: not verified" in run("bundle", "verify", code=1)
    (Path(made["path"]) / "added.txt").write_text("x")
    assert "added.txt\tadded" in run("bundle", "verify", made["bundle"], code=1)
    (facts,) = json.loads(run("bundle", "verify", made["bundle"], "--json", code=1))
    assert (facts["status"], facts["discrepancies"][0]["path"]) == ("fail", "added.txt")
    run("bundle", "check", made["bundle"], code=3)  # altered files say nothing of the import

    report = imported / "reports" / "migration-live-2026-11-22T17-18-39-363Z-full.json"
    report.write_text(report.read_text().replace('"totalRows": 3', '"totalRows": 4'))
    facts = json.loads(run("bundle", "check", create()["bundle"], "--json", code=1))
    states = {each["invariant"]: each["status"] for each in facts["invariants"]}
    assert (states["counts-add-up"], states["wa-ids-unique"], states["readable"]) == ("fail", "pass", "pass")
    (imported / "club.yaml").write_text("url: postgres://club:hunter2@db.example.org/club\n")
    run("bundle", "create", imported, code=3)
    run("bundle", "create", imported, "--redact")


def test_a_plan_the_run_and_the_audit_log_cite_the_bundle(
    club: Ground, shell: Shell, at: Callable[..., Shell], tmp_path: Path
) -> None:
    wb, run, command = club.open(), club.club.last_live_run.run, at(club)
    runs = [each.run for each in wb.session.find_runs()]
    before = wb.runs.plan_rollback(run)
    assert isinstance(before, Plan)
    assert "sealed" not in str(before.evidence)
    assert "bundle_sha256" not in before.audit[0]["metadata"]
    made, not_logged = wb.migration.seal([club.club.imports], run=run)
    assert not_logged == ""
    entries = wb.audit.entries(run_id=run)["metadata"]
    facts = [(each["bundle_sha256"], each["operator"]) for each in entries if "bundle" in each]
    assert facts == [(made.digest, wb.settings.operator)]
    assert [each.run for each in wb.session.find_runs()] == runs  # the entry is no run's trace
    plan = wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    cited = [each for each in plan.evidence if each.startswith("report file")]
    assert cited
    assert all(each.endswith(f", sealed in {made.folder.name}, SHA-256 {made.digest}") for each in cited)
    assert plan.audit[0]["metadata"]["bundle_sha256"] == made.digest
    assert plan.changes == before.changes
    shutil.copytree(made.folder, tmp_path / "backups" / made.folder.name, dirs_exist_ok=True)
    told = json.loads(command("run", run, "--json").stdout)
    assert [each["digest"] for each in told["bundles"]] == [made.digest]
    assert made.digest in command("run", run).stdout
    club.carry_out(plan)
    logged = (
        wb.audit.entries(action="migration:rollback:level1")
        if wb.session.dialect == "guide"
        else wb.audit.entries(run_id=run)
    )
    assert made.digest in logged["metadata"].astype(str).iloc[-1]


def test_what_changed_since_and_what_was_altered_is_nobodys_evidence(clubs: Clubs) -> None:
    club = clubs.clone("guide", 60)
    wb, run = club.open(), club.club.last_live_run.run
    made, _ = wb.migration.seal([club.club.imports], run=run)
    several = sorted({each.path for each in wb.session.reports if each.run_id == run})
    assert len(several) > 1
    for number, path in enumerate(several, 1):
        path.write_text(path.read_text() + "\n")
        plan = wb.runs.plan_rollback(run)
        assert isinstance(plan, Plan)
        assert f"which is not as {made.folder.name} holds it" in str(plan.evidence)
        assert (f", sealed in {made.folder.name}" in str(plan.evidence)) is (number < len(several))
        assert "bundle_sha256" not in plan.audit[0]["metadata"]  # a bundle that holds some of them is not all
    assert wb.migration.verify(made.folder) == []
    rewrite(made, lambda content: content.update(sealed_by="robin"))
    assert verify_bundle(made.folder) == []  # nothing in the bundle itself can tell
    (found,) = wb.migration.verify(made.folder)
    assert (found.path, found.what) == ("data/bundle.json", "altered")
    assert f"the audit log noted {made.digest}" in found.detail
    rewrite(made, lambda content: content.update(sealed_by="kim"), anew=False)
    assert wb.migration.bundles(run).empty
    assert list(wb.migration.bundles()["altered"]) == [True]
    plan = wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    assert made.folder.name not in str(plan.evidence)


def test_what_is_known_to_belong_to_a_run_is_sealed_unasked(club: Ground) -> None:
    wb, run = club.open(tier_mapping=club.club.imports / "membership.yaml"), club.club.last_live_run.run
    made, _ = wb.migration.seal(run=run)
    reports = [each.path.name for each in wb.session.reports if each.run_id == run]
    names = [Path(each.path).name for each in made.files]
    assert {*reports, "membership.yaml"} <= set(names)
    assert set(made.runs.values()) == {"live", "dry"}  # its dry run too
    assert len(made.runs) == 2
    with pytest.raises(UsageError, match="no run 'nobody'"):
        wb.migration.seal(run="nobody")
    with pytest.raises(UsageError, match="Nothing was given"):
        wb.migration.seal()
    club.execute('ALTER TABLE "AuditLog" RENAME TO "AuditLogOfOld"')
    made, not_logged = club.open().migration.seal([club.club.imports], run=run)
    assert "was not logged" in not_logged
    assert not made.altered
