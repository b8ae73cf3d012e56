"""Runs, plans, the audit log and the run itself refer to a bundle by its digest, and to none that was altered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.bundles.test_verify import rewrite
from tests.conftest import Clubs, Ground
from tests.reporting.conftest import settings_for
from workbench import open_workbench
from workbench.cli.app import app
from workbench.errors import UsageError
from workbench.migration.bundles import verify_bundle
from workbench.plans.plan import Plan
from workbench.settings import Settings
from workbench.workbench import Workbench


@pytest.fixture
def club(clubs: Clubs, dialect: str) -> Ground:
    return clubs.clone(dialect, 60)


@pytest.fixture
def wb(club: Ground, tmp_path: Path) -> Workbench:
    settings = Settings(operator="dana", home=tmp_path, backups=tmp_path / "backups")
    return Workbench(replace(club.workbench().session, settings=settings, one_state=False))


def test_a_plan_cites_the_bundle_that_holds_its_reports(wb: Workbench, club: Ground) -> None:
    run = club.club.last_live_run.run
    before = wb.runs.plan_rollback(run)
    assert isinstance(before, Plan)
    assert "sealed" not in str(before.evidence)
    assert "bundle_sha256" not in before.audit[0]["metadata"]
    made, not_logged = wb.migration.seal([club.club.imports], run=run)
    assert not_logged == ""
    plan = wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    cited = [each for each in plan.evidence if each.startswith("report file")]
    assert cited
    assert all(each.endswith(f", sealed in {made.folder.name}, SHA-256 {made.digest}") for each in cited)
    assert plan.audit[0]["metadata"]["bundle_sha256"] == made.digest
    assert plan.changes == before.changes
    wb.approve(plan, plan.digest, approver="robin")
    wb.apply(plan)
    entries = (
        wb.audit.entries(action="migration:rollback:level1")
        if wb.session.dialect == "guide"
        else wb.audit.entries(run)
    )
    assert made.digest in entries["metadata"].astype(str).iloc[-1]


def test_a_report_that_changed_since_is_said_to(wb: Workbench, club: Ground) -> None:
    run = club.club.last_live_run.run
    made, _ = wb.migration.seal([club.club.imports], run=run)
    for path in club.club.imports.glob("*.json"):
        path.write_text(path.read_text() + "\n")
    plan = wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    assert f"which is not as {made.folder.name} holds it" in str(plan.evidence)
    assert "bundle_sha256" not in plan.audit[0]["metadata"]


@pytest.mark.parametrize("dialect", ["guide"])
def test_a_bundle_that_holds_some_of_the_reports_is_not_all(wb: Workbench, club: Ground) -> None:
    run = club.club.last_live_run.run
    made, _ = wb.migration.seal([club.club.imports], run=run)
    several = sorted({each.path for each in wb.session.reports if each.run_id == run})
    assert len(several) > 1
    several[0].write_text(several[0].read_text() + "\n")
    plan = wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    assert f", sealed in {made.folder.name}" in str(plan.evidence)
    assert "bundle_sha256" not in plan.audit[0]["metadata"]


def test_an_altered_bundle_is_nobodys_evidence(wb: Workbench, club: Ground) -> None:
    run = club.club.last_live_run.run
    made, _ = wb.migration.seal([club.club.imports], run=run)
    assert list(wb.migration.bundles(run)["digest"]) == [made.digest]
    path = made.folder / "data" / "bundle.json"
    path.chmod(0o600)
    path.write_text(path.read_text().replace('"dana"', '"robin"'))
    assert wb.migration.bundles(run).empty
    assert list(wb.migration.bundles()["altered"]) == [True]
    plan = wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    assert "sealed" not in str(plan.evidence)


def test_the_audit_log_notes_its_digest(wb: Workbench, club: Ground) -> None:
    run = club.club.last_live_run.run
    runs = [each.run for each in wb.session.find_runs()]
    made, _ = wb.migration.seal([club.club.imports], run=run)
    entries = wb.audit.entries(run_id=run)
    facts = [each for each in entries["metadata"] if "bundle" in each]
    assert [(each["bundle_sha256"], each["operator"]) for each in facts] == [(made.digest, "dana")]
    assert [each.run for each in wb.session.find_runs()] == runs  # the entry is no run's trace


def test_what_was_sealed_anew_is_told_by_the_audit_log(wb: Workbench, club: Ground) -> None:
    made, _ = wb.migration.seal([club.club.imports], run=club.club.last_live_run.run)
    assert wb.migration.verify(made.folder) == []
    rewrite(made, lambda content: content.update(sealed_by="robin"))
    assert verify_bundle(made.folder) == []  # nothing in the bundle itself can tell
    (found,) = wb.migration.verify(made.folder)
    assert (found.path, found.what) == ("data/bundle.json", "altered")
    assert f"the audit log noted {made.digest}" in found.detail


def test_what_is_known_to_belong_to_a_run_is_sealed_unasked(wb: Workbench, club: Ground) -> None:
    run = club.club.last_live_run.run
    made, _ = wb.migration.seal(run=run)
    reports = [each.path.name for each in wb.session.reports if each.run_id == run]
    names = [Path(each.path).name for each in made.files]
    assert {*reports, "membership.yaml"} <= set(names)
    assert {each.mode for each in made.runs} == {"live", "dry"}  # its dry run too
    assert len(made.runs) == 2
    with pytest.raises(UsageError, match="no run 'nobody'"):
        wb.migration.seal(run="nobody")
    with pytest.raises(UsageError, match="Nothing was given"):
        wb.migration.seal()


def test_without_an_audit_log_the_bundle_is_made_and_says_so(wb: Workbench, club: Ground) -> None:
    run = club.club.last_live_run.run
    club.execute('ALTER TABLE "AuditLog" RENAME TO "AuditLogOfOld"')
    made, not_logged = wb.migration.seal([club.club.imports], run=run)
    assert "was not logged" in not_logged
    assert not made.altered


@pytest.mark.parametrize("dialect", ["guide"])
def test_the_run_shows_it(club: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(club.url, tmp_path, monkeypatch, imports=club.club.imports)
    run = club.club.last_live_run.run
    with open_workbench("club", settings=settings) as wb:
        made, _ = wb.migration.seal([club.club.imports], run=run)
    done = CliRunner().invoke(app, ["run", run, "-e", "club", "--json"])
    assert [each["digest"] for each in json.loads(done.stdout)["bundles"]] == [made.digest]
    assert made.digest in CliRunner().invoke(app, ["run", run, "-e", "club"]).stdout
