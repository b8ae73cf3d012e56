"""The checklist on real clubs, through the command: from everything open to signed, and what opens it again."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.bundles.conftest import DRY, csv_report
from tests.commands import Shell
from tests.commands import shell as shell
from tests.conftest import Ground, Server
from tests.dialects import one_dialect as one_dialect
from workbench.demo.breakages import break_club
from workbench.errors import UsageError
from workbench.migration.dry_runs import list_dry_runs
from workbench.reporting.runner import kernel_variables
from workbench.settings import load_settings
from workbench.workbench import open_workbench

IMPORTER = """
import json, os, pathlib, sys
if os.environ.get("DRY_RUN") == "1":
    pathlib.Path(sys.argv[1]).write_text(pathlib.Path(sys.argv[2]).read_text())
"""


class Place:
    """A club, a folder with settings for it, and the command in it."""

    def __init__(self, club: Ground, folder: Path, shell: Shell, *settings: str) -> None:
        self.club, self.folder, self._shell = club, folder, shell
        (folder / "workbench.toml").write_text(
            "\n".join(settings)
            + '\nscratch_url_env = "SCRATCH_URL"\n[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\n'
            f'import_reports = ["{club.imports}"]\ntier_mapping = "{club.imports}/membership.yaml"\n'
        )
        (folder / "importer.py").write_text(IMPORTER)
        (folder / "report.json").write_text(json.dumps(csv_report(DRY, dry=True)))

    def configure(self, line: str) -> None:
        with (self.folder / "workbench.toml").open("a") as file:
            file.write(line + "\n")

    def run(self, *words: str, code: int = 0) -> str:
        done = self._shell(*words, WORKBENCH_ENVIRONMENT="club")
        assert done.returncode == code, done.stderr
        return done.stdout

    def states(self, code: int) -> dict[str, str]:
        facts = json.loads(self.run("preflight", "--json", code=code))
        assert facts["clear"] is (code == 0)
        return {item["item"]: item["state"] for item in facts["items"]}

    def dry_run(self) -> None:
        name = self.club.imports / "migration-dry-run-2026-11-22T17-18-36-215Z-full.json"
        self.run("dry-run", "run", "--", sys.executable, "importer.py", str(name), "report.json")


@pytest.fixture
def place(
    club: Ground, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> Place:
    monkeypatch.setenv("CLUB_URL", club.url)
    monkeypatch.setenv("SCRATCH_URL", server.url("postgres"))
    return Place(club, tmp_path, shell, 'operator = "dana"')


def test_from_everything_open_to_signed_and_open_again(place: Place) -> None:
    before = place.states(code=1)
    assert {name for name, state in before.items() if state == "ok"} == {"operator"}
    place.run("preflight", "sign", code=3)
    assert "migration:preflight:passed" not in place.run("audit", "--json")
    place.run("snapshot", "create")
    assert place.states(code=1)["backup"] == "open"  # nobody has restored it yet
    place.run("snapshot", "verify", "latest")
    place.dry_run()
    assert place.states(code=1)["dry-run"] == "open"  # nobody has reviewed it yet
    place.run("dry-run", "review", "--approve", "--as", "robin", code=0)
    for item in ("config", "window", "stakeholders", "environment"):
        place.run("preflight", "attest", item, "so it is", "--as", "robin")
    assert {name for name, state in place.states(code=1).items() if state == "open"} == {"rollback"}
    place.run("preflight", "attest", "rollback", "as last time", "--as", "robin")
    assert place.states(code=1)["rollback"] == "open"  # which level that is, nobody knows
    place.run("preflight", "attest", "rollback", "Level 2, by Robin", "--as", "robin")
    assert set(place.states(code=0).values()) == {"ok"}
    assert "Signed by dana" in place.run("preflight", "sign")
    assert "migration:preflight:passed" in place.run("audit", "--json")

    (place.club.imports / "membership.yaml").write_text(
        (place.club.imports / "membership.yaml").read_text() + "\n# edited\n"
    )
    assert place.states(code=1)["config"] == "open"  # robin's word was on another file
    place.run("preflight", "waive", "config", "--reason", "a comment only")
    assert place.states(code=0)["config"] == "waived"
    place.run("preflight", "withdraw", "config")
    assert place.states(code=1)["config"] == "open"


def test_what_was_said_before_the_last_import_was_said_of_that_one(place: Place) -> None:
    place.configure("preflight_hours = 1_000_000")
    word = {"item": "window", "kind": "attested", "says": "tonight", "by": "robin", "about": ""}
    (place.folder / "reports").mkdir()
    for said_at, state in (("2026-01-01", "open"), ("2026-07-01", "ok")):
        line = json.dumps({**word, "at": f"{said_at}T20:00:00+00:00"})
        (place.folder / "reports" / "preflight-club.jsonl").write_text(line + "\n")
        assert place.states(code=1)["window"] == state


def test_the_wrong_database_and_an_unknown_level_are_open(place: Place) -> None:
    with psycopg.connect(place.club.url) as connection:
        break_club(connection, place.club.club, ("wrong-environment", "renamed-level"))
    place.run("preflight", "attest", "stakeholders", "the board knows")
    with open_workbench("club") as wb:
        items = wb.migration.checklist().set_index("item")
        for item in ("environment", "windo"):
            with pytest.raises(UsageError):
                wb.migration.attest(item, "it is the right one")
    assert list(items.loc[["environment", "config", "stakeholders"], "state"]) == ["open", "open", "ok"]
    assert "environment-wrong" in items.loc["environment", "evidence"]


def test_a_login_is_nobody_s_name_nor_in_a_report(place: Place, shell: Shell) -> None:
    named = load_settings()
    assert named.operator_named
    assert kernel_variables("club", named, [])["WORKBENCH_OPERATOR"] == "dana"
    place = Place(place.club, place.folder, shell)
    assert place.states(code=1)["operator"] == "open"
    assert "WORKBENCH_OPERATOR" not in kernel_variables("club", load_settings(), [])
    facts = json.loads(place.run("preflight", "--as", "robin", "--json", code=1))
    assert next(item for item in facts["items"] if item["item"] == "operator")["state"] == "ok"


def test_a_dry_run_that_failed_and_a_snapshot_of_another_database_do_not_count(place: Place) -> None:
    place.run("snapshot", "create")
    place.dry_run()
    with open_workbench("club") as wb:
        (dry_run,), (taken,) = list_dry_runs(wb.settings.backups), wb.snapshots.here()
        dry_run.model_copy(update={"outcome": "failed", "exit_code": 1}).write(dry_run.path)
        taken.model_copy(update={"target": replace(taken.target, database="another")}).write(taken.path)
        evidence = wb.migration.evidence()
        assert wb.snapshots.here() == []
    assert "did not complete" in evidence["dry-run"].says
    assert "no snapshot of this database" in evidence["backup"].says
