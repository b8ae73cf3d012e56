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
def club(clubs: Clubs) -> Ground:
    return clubs.clone("guide", 60)


def planned(wb: Any, run: str) -> Plan:
    plan = wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    return plan


def test_the_command_from_files_to_a_verified_bundle(
    club: Ground, shell: Shell, at: Callable[..., Shell], imported: Path, tmp_path: Path
) -> None:
    at(club)

    def run(*words: Any, code: int = 0) -> str:
        done = shell(*map(str, words), CLUB_URL=club.url, WORKBENCH_ENVIRONMENT="club")
        assert done.returncode == code, done.stderr
        return done.stdout

    def create(*more: Any) -> Any:
        return json.loads(run("bundle", "create", imported, *more, "--json"))

    run("bundle", "verify", code=2)  # there is none: that is not clean
    run("bundle", "create", imported, "--run", "no-such-run", code=2)
    bundle = create("--as", "robin")
    name = bundle["bundle"]
    assert (bundle["sealed_by"], bundle["environment"], len(bundle["files"])) == ("robin", "club", 9)
    for known in (name, bundle["digest"][:12], bundle["path"], f"{bundle['path']}/data/bundle.json"):
        assert bundle["digest"] in run("bundle", "verify", known)
    run("bundle", "verify", "-e", "club")
    run("bundle", "verify", name, "--digest", "0" * 64, code=1)
    assert name in run("bundle", "list")
    run("bundle", "check", name)
    elsewhere = create("--output", tmp_path / "usb")
    assert Path(elsewhere["path"]).parent == tmp_path / "usb"
    run("bundle", "verify", elsewhere["path"])
    (tmp_path / "backups" / "bundle_20200101_000000").mkdir()  # what cannot be understood is not green
    assert "bundle_20200101_000000: not verified" in run("bundle", "verify", code=1)
    (Path(bundle["path"]) / "added.txt").write_text("x")
    (facts,) = json.loads(run("bundle", "verify", name, "--json", code=1))
    assert (facts["status"], facts["discrepancies"][0]["path"]) == ("fail", "added.txt")
    run("bundle", "check", name, code=3)  # altered files say nothing of the import

    report = imported / "reports" / "migration-live-2026-11-22T17-18-39-363Z-full.json"
    report.write_text(report.read_text().replace('"totalRows": 3', '"totalRows": 4'))
    (imported / "club.yaml").write_text("url: postgres://club:hunter2@db.example.org/club\n")
    run("bundle", "create", imported, code=3)
    facts = json.loads(run("bundle", "check", create("--redact")["bundle"], "--json", code=1))
    states = {row["invariant"]: row["status"] for row in facts["invariants"]}
    assert (states["counts-add-up"], states["wa-ids-unique"], states["readable"]) == ("fail", "pass", "pass")


def test_a_plan_the_run_and_the_audit_log_cite_the_bundle(
    clubs: Clubs, dialect: str, at: Callable[..., Shell], tmp_path: Path
) -> None:
    club = clubs.clone(dialect, 60)
    wb, run, command = club.open(), club.club.last_live_run.run, at(club)
    runs = [known.run for known in wb.session.find_runs()]
    before = planned(wb, run)
    assert "bundle_sha256" not in before.audit[0]["metadata"]
    bundle, problem = wb.migration.seal([club.club.imports], run=run)
    assert problem == ""
    entries = [entry for entry in wb.audit.entries(run_id=run)["metadata"] if "bundle" in entry]
    assert [(entry["bundle_sha256"], entry["operator"]) for entry in entries] == [
        (bundle.digest, wb.settings.operator)
    ]
    assert [known.run for known in wb.session.find_runs()] == runs  # the entry is no run's trace
    plan = planned(wb, run)
    cited = [evidence for evidence in plan.evidence if evidence.startswith("report file")]
    assert cited
    assert all(bundle.digest in evidence for evidence in cited)
    assert plan.audit[0]["metadata"]["bundle_sha256"] == bundle.digest
    assert plan.changes == before.changes
    shutil.copytree(bundle.folder, tmp_path / "backups" / bundle.folder.name)
    facts = json.loads(command("run", run, "--json").stdout)
    assert [known["digest"] for known in facts["bundles"]] == [bundle.digest]
    club.carry_out(plan)
    logged = wb.audit.entries(run_id=run)["metadata"].astype(str)
    assert bundle.digest in logged.iloc[-1]


def test_what_changed_since_and_what_was_altered_is_nobodys_evidence(club: Ground) -> None:
    wb, run = club.open(), club.club.last_live_run.run
    bundle, _ = wb.migration.seal([club.club.imports], run=run)
    report = next(report.path for report in wb.session.reports if report.run_id == run)
    report.write_text(report.read_text() + "\n")
    plan = planned(wb, run)
    assert f"which is not as {bundle.folder.name} holds it" in str(plan.evidence)
    assert "bundle_sha256" not in plan.audit[0]["metadata"]  # a bundle that holds some of them is not all
    assert wb.migration.verify(bundle.folder) == []
    rewrite(bundle, lambda content: content.update(sealed_by="robin"))
    assert verify_bundle(bundle.folder) == []  # nothing in the bundle itself can tell
    (discrepancy,) = wb.migration.verify(bundle.folder)
    assert (discrepancy.path, discrepancy.what) == ("data/bundle.json", "altered")
    assert f"the audit log noted {bundle.digest}" in discrepancy.detail
    rewrite(bundle, lambda content: content.update(sealed_by="kim"), anew=False)
    assert wb.migration.bundles(run).empty
    assert list(wb.migration.bundles()["altered"]) == [True]
    assert bundle.folder.name not in str(planned(wb, run).evidence)


def test_what_is_known_to_belong_to_a_run_is_sealed_unasked(club: Ground) -> None:
    wb, run = club.open(tier_mapping=club.club.imports / "membership.yaml"), club.club.last_live_run.run
    bundle, _ = wb.migration.seal(run=run)
    reports = [report.path.name for report in wb.session.reports if report.run_id == run]
    assert {*reports, "membership.yaml"} <= {Path(file.path).name for file in bundle.files}
    assert sorted(bundle.runs.values()) == ["dry", "live"]  # its dry run too
    for options in ({"run": "nobody"}, {}):
        with pytest.raises(UsageError):
            wb.migration.seal(**options)
    club.execute('ALTER TABLE "AuditLog" RENAME TO "AuditLogOfOld"')
    bundle, problem = club.open().migration.seal([club.club.imports], run=run)
    assert "was not logged" in problem
    assert not bundle.altered
