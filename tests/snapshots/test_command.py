"""``workbench snapshot`` as its user meets it: words, JSON, exit codes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from workbench.cli.command import app, program
from workbench.errors import UsageError
from workbench.snapshots.manifest import Manifest

program()  # registers the commands


@pytest.fixture
def run(clubs, server, backups, monkeypatch, tmp_path):
    """Call the command against a club, and return exit code, stdout and stderr."""
    club = clubs.clone("guide")
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "WORKBENCH_BACKUPS": backups,
        "WORKBENCH_HOME": server.handle.pgdata.parent,
        "WORKBENCH_ENVIRONMENTS__CLUB__KIND": "development",
        "WORKBENCH_ENVIRONMENTS__CLUB__URL_ENV": "CLUB_URL",
        "WORKBENCH_ENVIRONMENT": "club",
        "CLUB_URL": club.url,
    }.items():
        monkeypatch.setenv(name, str(value))

    def call(*arguments: str):
        done = CliRunner().invoke(app, ["snapshot", *arguments])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return call


def test_from_create_to_prune(run, backups):
    done = run("create", "--precedes", "run_1", "--reason", "before the re-run", "--as", "zoe", "--json")
    made = json.loads(done.stdout)
    found = Manifest.read(backups / made["file"])
    assert made["snapshot"] == str(found.archive)
    assert (made["created_by"], made["precedes"], made["said"]) == ("zoe", "run_1", [])
    assert made["tables"]["Member"] == vars(found.tables["Member"])
    done = run("verify")
    assert done.exit_code == 0
    assert f"{found.snapshot}: pass on the embedded server" in done.stdout
    (listed,) = json.loads(run("list", "--json").stdout)
    assert listed["verifications"][0]["outcome"] == "pass"
    assert f"{found.snapshot}\t" in run("list").stdout
    assert "the last verified one" in run("prune").stdout
    done = run("prune", "--yes", "--json")
    assert json.loads(done.stdout)["pruned"] == []
    assert found.archive.exists()


def test_exit_codes(run, backups, monkeypatch):
    assert run("create").exit_code == 0
    (path,) = backups.glob("*.dump")
    monkeypatch.setenv("WORKBENCH_SCRATCH_URL_ENV", "NOWHERE_URL")
    done = run("verify", "--json")
    assert (done.exit_code, json.loads(done.stdout)["outcome"]) == (3, "not run")
    monkeypatch.delenv("WORKBENCH_SCRATCH_URL_ENV")
    path.write_bytes(path.read_bytes()[:-5])
    done = run("verify", path.stem)
    assert (done.exit_code, "cut short" in done.stdout) == (1, True)
    with pytest.raises(UsageError) as caught:
        run("verify", "nothing")
    assert caught.value.exit_code == 2
    (path.with_suffix(".json")).write_text("{}", encoding="utf-8")
    done = run("list")
    assert "no snapshots yet" in done.stdout
    assert "is no manifest" in done.stderr
