"""``workbench bundle`` as its user meets it: words, JSON, exit codes, and what refers to bundles."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import Clubs, Ground
from workbench.cli.main import app
from workbench.errors import WorkbenchError

Run = Callable[..., Result]


@pytest.fixture
def club(clubs: Clubs) -> Ground:
    return clubs.clone("guide", 60)


@pytest.fixture
def shell(club: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command on a club; a failure's exit code is that of its error."""
    (tmp_path / "workbench.toml").write_text(
        'operator = "dana"\n[environments.club]\nkind = "development"\nurl_env = "CLUB_URL"\n'
        f'import_reports = ["{club.club.imports}"]\n'
    )
    monkeypatch.setenv("CLUB_URL", club.url)
    monkeypatch.setenv("WORKBENCH_CONFIG", str(tmp_path / "workbench.toml"))
    monkeypatch.setenv("WORKBENCH_ENVIRONMENT", "club")
    monkeypatch.setattr(sys, "argv", ["workbench"])

    def run(*arguments: str | Path) -> Result:
        done = CliRunner().invoke(app, [str(each) for each in arguments])
        if isinstance(done.exception, WorkbenchError):
            done.exit_code = done.exception.exit_code
        elif done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_from_files_to_a_verified_bundle(shell: Run, imported: Path, tmp_path: Path) -> None:
    made = json.loads(shell("bundle", "create", imported, "--as", "robin", "--json").stdout)
    assert (made["sealed_by"], made["environment"], made["totals"]["files"]) == ("robin", "club", 9)
    words = shell("bundle", "verify", made["bundle"])
    assert words.exit_code == 0
    assert "as it was sealed, 9 files" in words.stdout
    assert made["digest"] in words.stdout
    assert shell("bundle", "verify", made["digest"][:12]).exit_code == 0
    assert shell("bundle", "verify", made["path"]).exit_code == 0
    assert shell("bundle", "verify").exit_code == 0
    assert shell("bundle", "verify", "-e", "club").exit_code == 0
    assert made["bundle"] in shell("bundle", "list").stdout
    (Path(made["path"]) / "added.txt").write_text("x")
    bad = shell("bundle", "verify", made["bundle"])
    assert bad.exit_code == 1
    assert "added.txt\tadded" in bad.stdout
    (facts,) = json.loads(shell("bundle", "verify", "--json").stdout)
    assert (facts["status"], facts["discrepancies"][0]["path"]) == ("fail", "added.txt")
    assert shell("bundle", "verify", made["bundle"], "--digest", "0" * 64).exit_code == 1


def test_what_is_wrong_has_its_exit_code(shell: Run, imported: Path, tmp_path: Path) -> None:
    assert shell("bundle", "verify").exit_code == 2  # there is none: that is not clean
    assert shell("bundle", "verify", "bundle_1").exit_code == 2
    assert shell("bundle", "create").exit_code == 2
    assert shell("bundle", "create", tmp_path / "nothing").exit_code == 2
    assert shell("bundle", "create", imported, "--run", "no-such-run").exit_code == 2
    (imported / "club.yaml").write_text("url: postgres://club:hunter2@db.example.org/club\n")
    done = shell("bundle", "create", imported)
    assert done.exit_code == 3
    assert shell("bundle", "create", imported, "--redact").exit_code == 0


def test_a_bundle_that_cannot_be_understood_is_not_green(shell: Run, imported: Path, tmp_path: Path) -> None:
    shell("bundle", "create", imported)
    broken = tmp_path / "backups" / "bundle_20200101_000000"
    broken.mkdir()
    done = shell("bundle", "verify")
    assert done.exit_code == 1
    assert "bundle_20200101_000000: not verified" in done.stdout
    assert "as it was sealed" in done.stdout


def test_another_place(shell: Run, imported: Path, tmp_path: Path) -> None:
    made = json.loads(shell("bundle", "create", imported, "--output", tmp_path / "usb", "--json").stdout)
    assert Path(made["path"]).parent == tmp_path / "usb"
    assert shell("bundle", "verify", made["path"]).exit_code == 0


def test_the_invariants_of_a_bundle(shell: Run, imported: Path) -> None:
    made = json.loads(shell("bundle", "create", imported, "--json").stdout)
    assert shell("bundle", "check", made["bundle"]).exit_code == 0
    report = imported / "reports" / "migration-live-2026-11-22T17-18-39-363Z-full.json"
    report.write_text(report.read_text().replace('"totalRows": 3', '"totalRows": 4'))
    made = json.loads(shell("bundle", "create", imported, "--json").stdout)
    done = shell("bundle", "check", made["bundle"])
    assert done.exit_code == 1
    assert "it is 4, its parts come to 3" in done.stdout
    facts = json.loads(shell("bundle", "check", made["bundle"], "--json").stdout)
    states = {each["invariant"]: each["status"] for each in facts["invariants"]}
    assert (states["counts-add-up"], states["wa-ids-unique"], states["success-deserved"]) == (
        "fail",
        "pass",
        "not run",
    )
    (Path(made["path"]) / "added.txt").write_text("x")
    assert shell("bundle", "check", made["bundle"]).exit_code == 3  # altered files say nothing of the import
