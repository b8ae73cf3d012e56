"""``workbench dry-run`` as its user meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.bundles.conftest import DRY, LIVE
from tests.conftest import Clubs, Ground
from workbench import open_workbench
from workbench.cli.main import app
from workbench.cli.options import joined_parameters
from workbench.errors import WorkbenchError

Run = Callable[..., Result]


@pytest.fixture
def club(clubs: Clubs) -> Ground:
    return clubs.clone("application", 60)


@pytest.fixture
def shell(club: Ground, place: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command on a club, in the importer's folder."""
    (place / "workbench.toml").write_text(
        'operator = "dana"\n'
        + "".join(
            f'[environments.{name}]\nkind = "{kind}"\nurl_env = "CLUB_URL"\nimport_reports = ["imports"]\n{more}'
            for name, kind, more in (
                ("club", "development", ""),
                ("main", "production", f'address = "{_where(club.url)}"\n'),
            )
        )
    )
    monkeypatch.setenv("CLUB_URL", club.url)
    monkeypatch.setenv("WORKBENCH_CONFIG", str(place / "workbench.toml"))
    monkeypatch.setenv("WORKBENCH_ENVIRONMENT", "club")
    monkeypatch.setattr(sys, "argv", ["workbench"])
    monkeypatch.chdir(place)

    def run(*arguments: str | Path) -> Result:
        done = CliRunner().invoke(app, joined_parameters([str(each) for each in arguments]))
        if isinstance(done.exception, WorkbenchError):
            done.exit_code = done.exception.exit_code
        elif done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def _where(url: str) -> str:
    from workbench.database.address import parse_address

    return parse_address(url, named="the test's URL").where


def test_run_review_and_approve(shell: Run, importer: list[str], place: Path) -> None:
    assert shell("dry-run", "review").exit_code == 2  # there is none
    done = shell("dry-run", "--", *importer)
    assert done.exit_code == 0, done.output
    assert "Would import 2 files" in done.stdout
    assert "dry-run review dry_run_" in done.stdout
    words = shell("dry-run", "review")
    assert words.exit_code == 0
    assert "iro1@" not in words.stdout
    assert "h•••@example.com" in words.stdout
    assert "hiro1@example.com" in shell("dry-run", "review", "--unmask").stdout
    facts = json.loads(shell("dry-run", "review", DRY, "--json").stdout)
    assert facts["would"][0] == {
        "entity": "Member", "would_create": 3, "would_update": 0, "would_skip": 0, "errors": 0, "fetched": 3,
    }  # fmt: skip
    assert "iro1@" not in json.dumps(facts)
    given = json.loads(
        shell(
            "dry-run", "review", DRY, "--approve", "--as", "robin", "--remark", "looks right", "--json"
        ).stdout
    )
    assert (given["approved"]["by"], given["approved"]["remark"], given["logged"]) == (
        "robin",
        "looks right",
        True,
    )
    (listed,) = json.loads(shell("dry-run", "list", "--json").stdout)
    assert (listed["reviewed_by"], listed["fresh"], listed["operator"]) == ("robin", True, "dana")
    with open_workbench("club") as wb:
        entries = wb.audit(DRY)
        facts = entries["metadata"].iloc[-1]
        assert facts["migrationAction"] == "migration:dry-run:reviewed"
        assert facts["operator"] == "robin"
        assert list(wb.dry_runs()["reviewed_by"]) == ["robin"]


def test_the_kept_report_is_evidence_when_the_live_run_overwrote_it(
    shell: Run, importer: list[str], place: Path
) -> None:
    shell("dry-run", "--", *importer)
    for each in (place / "imports").iterdir():
        each.unlink()
    with open_workbench("club") as wb:
        assert DRY in [each.run for each in wb.find_runs()]
        (kept,) = [each for each in wb.find_runs() if each.run == DRY]
        assert len(kept.reports) == 1
        report = kept.reports[0].path
    report.write_text("{")  # what was altered is no evidence, and must not keep anything from being opened
    with open_workbench("club") as wb:
        assert DRY not in [each.run for each in wb.find_runs()]
    assert shell("dry-run", "review", "--approve").exit_code == 2


def test_how_it_ends_is_its_exit_code(shell: Run, importer: list[str], place: Path) -> None:
    failing = place / "failing.py"
    failing.write_text("import os, sys\nprint(os.environ['DRY_RUN'])\nsys.exit(7)\n")
    done = shell("dry-run", "--", sys.executable, failing)
    assert done.exit_code == 4
    assert "exit code 7" in str(done.exception)
    assert shell("dry-run", "review", "--approve").exit_code == 2  # it left no report
    assert shell("dry-run", "--", "env", "DRY_RUN=0", *importer).exit_code == 3
    assert shell("dry-run", "--", "no-such-program").exit_code == 2
    assert shell("dry-run", "--").exit_code == 2
    assert shell("dry-run", "python").exit_code == 2  # no -- before it
    stopped = place / "stopped.py"
    stopped.write_text("import os\nos.environ['DRY_RUN']\nos.kill(os.getpid(), 15)\n")
    assert shell("dry-run", "--", sys.executable, stopped).exit_code == 143
    assert shell("dry-run", "review", "--approve").exit_code == 2
    silent = place / "silent.py"
    silent.write_text("print('DRY_RUN')\n")
    done = shell("dry-run", "--", sys.executable, silent)
    assert done.exit_code == 1
    assert "left no report file" in done.stdout
    deaf = place / "deaf.py"
    deaf.write_text((place / "importer.py").read_text().replace('os.environ.get("DRY_RUN") == "1"', "False"))
    done = shell("dry-run", "--", sys.executable, deaf, *importer[2:])
    assert done.exit_code == 4
    assert (
        f"THIS WAS A LIVE RUN: the importer did not heed DRY_RUN=1, its report is of live run {LIVE}"
        in str(done.exception)
    )


def test_an_importer_that_writes_is_noticed(
    shell: Run, importer: list[str], place: Path, club: Ground
) -> None:
    script = place / "importer.py"
    script.write_text(
        script.read_text()
        + f'\nimport psycopg\nwith psycopg.connect("{club.url}") as c:\n'
        + """    c.execute('UPDATE "Member" SET "firstName" = %s WHERE id IN (SELECT id FROM "Member" LIMIT 2)', ["x"])\n"""
    )
    done = shell("dry-run", "--", *importer)
    assert done.exit_code == 1
    assert "Meanwhile 2 rows of Member were written" in done.stdout


def test_on_production_another_person_approves(shell: Run, importer: list[str]) -> None:
    shell("dry-run", "-e", "main", "--", *importer)
    assert shell("dry-run", "review", "-e", "main", "--approve").exit_code == 3
    assert shell("dry-run", "review", "-e", "main", "--approve", "--as", "robin").exit_code == 0
    assert (
        shell("dry-run", "list", "--json").stdout.strip() == "[]"
    )  # it was no dry run of the other environment


def test_an_importers_own_options_stay_as_they_are() -> None:
    assert joined_parameters(["dry-run", "--", "psql", "-p", "5432", "club"]) == [
        "dry-run", "--", "psql", "-p", "5432", "club",
    ]  # fmt: skip


def test_what_was_altered_is_not_approved(shell: Run, importer: list[str], place: Path) -> None:
    shell("dry-run", "--", *importer)
    (log,) = (place / "backups").glob("dry_run_*/*.log")
    log.write_text("All is well\n")
    done = shell("dry-run", "review", "--approve")
    assert done.exit_code == 3
    assert "was altered since it ran" in str(done.exception)


def test_a_live_runs_bundle_holds_its_dry_run(shell: Run, importer: list[str], place: Path) -> None:
    import subprocess

    shell("dry-run", "--", *importer)
    subprocess.run(importer, check=True, capture_output=True)  # live: without the variable
    made = json.loads(shell("bundle", "create", "--run", LIVE, "--json").stdout)
    assert made["totals"]["roles"] == {"dry-run log": 1, "dry-run manifest": 1, "report": 2}
    assert made["mode"] == "live"
