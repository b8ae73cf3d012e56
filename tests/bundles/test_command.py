"""``workbench bundle`` as its user meets it: words, JSON, exit codes, and what refers to bundles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Done, Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs

Run = Callable[..., Done]


@pytest.fixture
def run(shell: Shell, at: Callable[..., Shell], clubs: Clubs) -> Run:
    """Run the command on a club, where that is asked, and without it where none is."""
    club = clubs.clone("guide", 60)
    at(club)
    return lambda *words: shell(*map(str, words), CLUB_URL=club.url, WORKBENCH_ENVIRONMENT="club")


def test_from_files_to_a_verified_bundle(run: Run, imported: Path, tmp_path: Path) -> None:
    made = json.loads(run("bundle", "create", imported, "--as", "robin", "--json").stdout)
    assert (made["sealed_by"], made["environment"], made["totals"]["files"]) == ("robin", "club", 9)
    words = run("bundle", "verify", made["bundle"])
    assert words.returncode == 0
    assert "as it was sealed, 9 files" in words.stdout
    assert made["digest"] in words.stdout
    assert run("bundle", "verify", made["digest"][:12]).returncode == 0
    assert run("bundle", "verify", made["path"]).returncode == 0
    assert run("bundle", "verify", f"{made['path']}/data/bundle.json").returncode == 0
    assert run("bundle", "verify").returncode == 0
    assert run("bundle", "verify", "-e", "club").returncode == 0
    assert made["bundle"] in run("bundle", "list").stdout
    (Path(made["path"]) / "added.txt").write_text("x")
    bad = run("bundle", "verify", made["bundle"])
    assert bad.returncode == 1
    assert "added.txt\tadded" in bad.stdout
    (facts,) = json.loads(run("bundle", "verify", "--json").stdout)
    assert (facts["status"], facts["discrepancies"][0]["path"]) == ("fail", "added.txt")
    assert run("bundle", "verify", made["bundle"], "--digest", "0" * 64).returncode == 1


def test_what_is_wrong_has_its_exit_code(run: Run, imported: Path, tmp_path: Path) -> None:
    assert run("bundle", "verify").returncode == 2  # there is none: that is not clean
    assert run("bundle", "verify", "bundle_1").returncode == 2
    assert run("bundle", "create").returncode == 2
    assert run("bundle", "create", tmp_path / "nothing").returncode == 2
    assert run("bundle", "create", imported, "--run", "no-such-run").returncode == 2
    (imported / "club.yaml").write_text("url: postgres://club:hunter2@db.example.org/club\n")
    done = run("bundle", "create", imported)
    assert done.returncode == 3
    assert run("bundle", "create", imported, "--redact").returncode == 0


def test_a_bundle_that_cannot_be_understood_is_not_green(run: Run, imported: Path, tmp_path: Path) -> None:
    run("bundle", "create", imported)
    broken = tmp_path / "backups" / "bundle_20200101_000000"
    broken.mkdir()
    done = run("bundle", "verify")
    assert done.returncode == 1
    assert "bundle_20200101_000000: not verified" in done.stdout
    assert "as it was sealed" in done.stdout


def test_another_place(run: Run, imported: Path, tmp_path: Path) -> None:
    made = json.loads(run("bundle", "create", imported, "--output", tmp_path / "usb", "--json").stdout)
    assert Path(made["path"]).parent == tmp_path / "usb"
    assert run("bundle", "verify", made["path"]).returncode == 0


def test_the_invariants_of_a_bundle(run: Run, imported: Path) -> None:
    made = json.loads(run("bundle", "create", imported, "--json").stdout)
    assert run("bundle", "check", made["bundle"]).returncode == 0
    report = imported / "reports" / "migration-live-2026-11-22T17-18-39-363Z-full.json"
    report.write_text(report.read_text().replace('"totalRows": 3', '"totalRows": 4'))
    made = json.loads(run("bundle", "create", imported, "--json").stdout)
    done = run("bundle", "check", made["bundle"])
    assert done.returncode == 1
    facts = json.loads(run("bundle", "check", made["bundle"], "--json").stdout)
    states = {each["invariant"]: each["status"] for each in facts["invariants"]}
    assert (states["counts-add-up"], states["wa-ids-unique"], states["readable"]) == (
        "fail",
        "pass",
        "pass",
    )
    (Path(made["path"]) / "added.txt").write_text("x")
    assert run("bundle", "check", made["bundle"]).returncode == 3  # altered files say nothing of the import
