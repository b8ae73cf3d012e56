"""The command ``workbench dry-run``."""

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
from workbench.cli.options import normalize_arguments
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
    assert "iro1@" not in run("dry-run", "review").stdout
    assert "hiro1@example.com" in run("dry-run", "review", "--unmask").stdout
    approve = ("dry-run", "review", DRY, "--approve", "--as", "robin", "--remark", "looks right", "--json")
    facts = json.loads(run(*approve).stdout)
    assert facts["would"][0] == {
        "entity": "Member", "would_create": 3, "would_update": 0, "would_skip": 0, "errors": 0, "fetched": 3,
    }  # fmt: skip
    assert "iro1@" not in json.dumps(facts)
    approved = facts["approved"]
    assert (approved["by"], approved["remark"], facts["logged"]) == ("robin", "looks right", True)
    (listed,) = json.loads(run("dry-run", "list", "--json").stdout)
    assert (listed["reviewed_by"], listed["fresh"], listed["operator"]) == ("robin", True, "dana")
    for report in (place / "imports").iterdir():
        report.unlink()  # as the live run writes over it: what was kept is evidence
    with open_workbench("club") as wb:
        entry = wb.audit.entries(run_id=DRY)["metadata"].iloc[-1]
        assert (entry["migrationAction"], entry["operator"]) == ("migration:dry-run:reviewed", "robin")
        (kept,) = [known for known in wb.session.find_runs() if known.run == DRY]
        (report,) = kept.reports
    report.path.write_text("{")  # what was altered is no evidence, and keeps nothing from being opened
    with open_workbench("club") as wb:
        assert DRY not in [known.run for known in wb.session.find_runs()]
    assert run("dry-run", "review", "--approve").returncode == 2


def test_how_it_ends_is_its_exit_code(run: Run, importer: list[str], place: Path) -> None:
    def script(text: str, *words: str) -> Done:
        (place / "script.py").write_text(text)
        return run("dry-run", "--", sys.executable, place / "script.py", *words)

    done = script("import os, sys\nprint(os.environ['DRY_RUN'])\nsys.exit(7)\n")
    assert (done.returncode, "exit code 7" in done.stderr) == (4, True)
    assert run("dry-run", "review", "--approve").returncode == 2  # it left no report
    for words, code in (
        (("--", "env", "DRY_RUN=0", *importer), 3),
        (("--", "no-such-program"), 2),
        (("python",), 2),
    ):
        assert run("dry-run", *words).returncode == code
    assert script("import os\nos.kill(os.getpid(), 15)\n").returncode == 143
    done = script("print('DRY_RUN')\n")
    assert (done.returncode, "left no report" in done.stdout) == (1, True)
    deaf = (place / "importer.py").read_text().replace('os.environ.get("DRY_RUN") == "1"', "False")
    done = script(deaf, *importer[2:])
    assert done.returncode == 4
    assert "THIS WAS A LIVE RUN" in done.stderr
    assert LIVE in done.stderr


def test_an_importer_that_writes_is_noticed(run: Run, importer: list[str], place: Path, club: Ground) -> None:
    update = """UPDATE "Member" SET "firstName" = 'x' WHERE id IN (SELECT id FROM "Member" LIMIT 2)"""
    with (place / "importer.py").open("a") as file:
        file.write(
            f"import psycopg\nwith psycopg.connect({club.url!r}) as club:\n    club.execute({update!r})\n"
        )
    done = run("dry-run", "--", *importer)
    assert done.returncode == 1
    assert "2 rows of Member were written" in done.stdout


def test_on_production_another_person_approves_what_was_not_altered(
    run: Run, importer: list[str], place: Path
) -> None:
    approve = ("dry-run", "review", "-e", "main", "--approve")
    run("dry-run", "-e", "main", "--", *importer)
    assert run(*approve).returncode == 3
    assert run(*approve, "--as", "robin").returncode == 0
    assert (
        run("dry-run", "list", "--json").stdout.strip() == "[]"
    )  # it was no dry run of the other environment
    (log,) = (place / "backups").glob("dry_run_*/*.log")
    log.write_text("All is well\n")
    done = run(*approve, "--as", "robin")
    assert done.returncode == 3
    assert log.name in done.stderr


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("dry-run -- psql -p 5432 club", "dry-run run -- psql -p 5432 club"),
        ("dry-run -e club -- npx x", "dry-run run -e club -- npx x"),
        ("dry-run review -p K V", "dry-run review -p K=V"),
    ],
)
def test_an_importers_own_options_stay_as_they_are(given: str, taken: str) -> None:
    assert normalize_arguments(given.split()) == taken.split()


def test_a_live_runs_bundle_holds_its_dry_run(run: Run, importer: list[str], place: Path) -> None:
    run("dry-run", "--", *importer)
    subprocess.run(importer, check=True, capture_output=True)  # live: without the variable
    happened = json.loads(run("dry-run", "review", DRY, "--json").stdout)["happened"]
    assert {row["verdict"] for row in happened} == {"same"}
    (kept,) = (place / "backups").glob("dry_run_*")
    bundle = json.loads(run("bundle", "create", kept, place / "imports", "--json").stdout)
    assert sorted(file["role"] for file in bundle["files"]) == [*["dry run"] * 2, *["report"] * 3]
    assert bundle["runs"] == {DRY: "dry", LIVE: "live"}
