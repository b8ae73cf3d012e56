"""``workbench dry-run`` as its user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles.conftest import DRY, LIVE
from tests.commands import Done, Shell
from tests.commands import shell as shell
from tests.conftest import Clubs, Ground
from workbench import open_workbench
from workbench.cli.options import joined_parameters
from workbench.database.address import parse_address

Run = Callable[..., Done]


@pytest.fixture
def club(clubs: Clubs) -> Ground:
    return clubs.clone("application", 60)


@pytest.fixture
def run(shell: Shell, club: Ground, place: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in the importer's folder, on a club that is two environments."""
    where = parse_address(club.url, named="the test's URL").where
    environment = '[environments.{}]\nkind = "{}"\nurl_env = "CLUB_URL"\nimport_reports = ["imports"]\n'
    (place / "workbench.toml").write_text(
        'operator = "dana"\n'
        + environment.format("club", "development")
        + environment.format("main", "production")
        + f'address = "{where}"\n'
    )
    monkeypatch.setenv("CLUB_URL", club.url)
    return lambda *words: shell(*map(str, words), WORKBENCH_ENVIRONMENT="club")


def test_run_review_and_approve(run: Run, importer: list[str], place: Path) -> None:
    assert run("dry-run", "review").returncode == 2  # there is none
    done = run("dry-run", "--", *importer)
    assert done.returncode == 0, done.stderr
    assert "Would import 2 files" in done.stdout
    assert "dry-run review dry_run_" in done.stdout
    words = run("dry-run", "review")
    assert words.returncode == 0
    assert "iro1@" not in words.stdout
    assert "h•••@example.com" in words.stdout
    assert "hiro1@example.com" in run("dry-run", "review", "--unmask").stdout
    facts = json.loads(run("dry-run", "review", DRY, "--json").stdout)
    assert facts["would"][0] == {
        "entity": "Member", "would_create": 3, "would_update": 0, "would_skip": 0, "errors": 0, "fetched": 3,
    }  # fmt: skip
    assert "iro1@" not in json.dumps(facts)
    given = json.loads(
        run(
            "dry-run", "review", DRY, "--approve", "--as", "robin", "--remark", "looks right", "--json"
        ).stdout
    )
    assert (given["approved"]["by"], given["approved"]["remark"], given["logged"]) == (
        "robin",
        "looks right",
        True,
    )
    (listed,) = json.loads(run("dry-run", "list", "--json").stdout)
    assert (listed["reviewed_by"], listed["fresh"], listed["operator"]) == ("robin", True, "dana")
    with open_workbench("club") as wb:
        entries = wb.audit.entries(run_id=DRY)
        facts = entries["metadata"].iloc[-1]
        assert facts["migrationAction"] == "migration:dry-run:reviewed"
        assert facts["operator"] == "robin"
        assert list(wb.migration.dry_runs()["reviewed_by"]) == ["robin"]


def test_the_kept_report_is_evidence_when_the_live_run_overwrote_it(
    run: Run, importer: list[str], place: Path
) -> None:
    run("dry-run", "--", *importer)
    for each in (place / "imports").iterdir():
        each.unlink()
    with open_workbench("club") as wb:
        assert DRY in [each.run for each in wb.session.find_runs()]
        (kept,) = [each for each in wb.session.find_runs() if each.run == DRY]
        assert len(kept.reports) == 1
        report = kept.reports[0].path
    report.write_text("{")  # what was altered is no evidence, and must not keep anything from being opened
    with open_workbench("club") as wb:
        assert DRY not in [each.run for each in wb.session.find_runs()]
    assert run("dry-run", "review", "--approve").returncode == 2


def test_how_it_ends_is_its_exit_code(run: Run, importer: list[str], place: Path) -> None:
    failing = place / "failing.py"
    failing.write_text("import os, sys\nprint(os.environ['DRY_RUN'])\nsys.exit(7)\n")
    done = run("dry-run", "--", sys.executable, failing)
    assert done.returncode == 4
    assert "exit code 7" in done.stderr
    assert run("dry-run", "review", "--approve").returncode == 2  # it left no report
    assert run("dry-run", "--", "env", "DRY_RUN=0", *importer).returncode == 3
    assert run("dry-run", "--", "no-such-program").returncode == 2
    assert run("dry-run", "--").returncode == 2
    assert run("dry-run", "python").returncode == 2  # no -- before it
    stopped = place / "stopped.py"
    stopped.write_text("import os\nos.environ['DRY_RUN']\nos.kill(os.getpid(), 15)\n")
    assert run("dry-run", "--", sys.executable, stopped).returncode == 143
    assert run("dry-run", "review", "--approve").returncode == 2
    silent = place / "silent.py"
    silent.write_text("print('DRY_RUN')\n")
    done = run("dry-run", "--", sys.executable, silent)
    assert done.returncode == 1
    assert "left no report file" in done.stdout
    deaf = place / "deaf.py"
    deaf.write_text((place / "importer.py").read_text().replace('os.environ.get("DRY_RUN") == "1"', "False"))
    done = run("dry-run", "--", sys.executable, deaf, *importer[2:])
    assert done.returncode == 4
    assert (
        f"THIS WAS A LIVE RUN: the importer did not heed DRY_RUN=1, its report is of live run {LIVE}"
        in done.stderr
    )


def test_an_importer_that_writes_is_noticed(run: Run, importer: list[str], place: Path, club: Ground) -> None:
    script = place / "importer.py"
    script.write_text(
        script.read_text()
        + f'\nimport psycopg\nwith psycopg.connect("{club.url}") as c:\n'
        + """    c.execute('UPDATE "Member" SET "firstName" = %s WHERE id IN (SELECT id FROM "Member" LIMIT 2)', ["x"])\n"""
    )
    done = run("dry-run", "--", *importer)
    assert done.returncode == 1
    assert "Meanwhile 2 rows of Member were written" in done.stdout


def test_on_production_another_person_approves(run: Run, importer: list[str]) -> None:
    run("dry-run", "-e", "main", "--", *importer)
    assert run("dry-run", "review", "-e", "main", "--approve").returncode == 3
    assert run("dry-run", "review", "-e", "main", "--approve", "--as", "robin").returncode == 0
    assert (
        run("dry-run", "list", "--json").stdout.strip() == "[]"
    )  # it was no dry run of the other environment


def test_an_importers_own_options_stay_as_they_are() -> None:
    assert joined_parameters(["dry-run", "--", "psql", "-p", "5432", "club"]) == [
        "dry-run", "--", "psql", "-p", "5432", "club",
    ]  # fmt: skip


def test_what_was_altered_is_not_approved(run: Run, importer: list[str], place: Path) -> None:
    run("dry-run", "--", *importer)
    (log,) = (place / "backups").glob("dry_run_*/*.log")
    log.write_text("All is well\n")
    done = run("dry-run", "review", "--approve")
    assert done.returncode == 3
    assert "was altered since it ran" in done.stderr


def test_a_live_runs_bundle_holds_its_dry_run(run: Run, importer: list[str], place: Path) -> None:
    run("dry-run", "--", *importer)
    subprocess.run(importer, check=True, capture_output=True)  # live: without the variable
    happened = json.loads(run("dry-run", "review", DRY, "--json").stdout)["happened"]
    assert {each["verdict"] for each in happened} == {"same"}
    made = json.loads(run("bundle", "create", "--run", LIVE, "--json").stdout)
    assert made["totals"]["roles"] == {"dry-run log": 1, "dry-run manifest": 1, "report": 2}
    assert made["mode"] == "live"
