"""``snapshot restore`` as its user meets it: asked, approved, carried out, resumed, given up, put back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.restore.conftest import Ground, Lay
from workbench.cli.command import app, program
from workbench.database import archives
from workbench.errors import WorkbenchError
from workbench.snapshots.application import Application

program()  # registers the commands


class Place:
    """A folder with a settings file, and a club at $CLUB_URL."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    def run(self, *arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*arguments, "-e", "demo"])
        if isinstance(done.exception, WorkbenchError):
            return done.exception.exit_code, done.stdout, f"{done.stderr}{done.exception}"
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    def asks(self, *arguments: str) -> dict[str, Any]:
        code, out, _ = self.run(*arguments, "--json")
        assert code == 0
        found = json.loads(out)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def place(lay: Lay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    ground = lay("guide")
    folder = ground.folder
    (folder / "workbench.toml").write_text(
        'operator = "dana"\nhome = "home"\nbackups = "backups"\nscratch_url_env = "SCRATCH_URL"\n'
        f'[environments.demo]\nkind = "demo"\nurl_env = "CLUB_URL"\napp_start = ["touch", "{tmp_path}/started"]\n'
    )
    monkeypatch.setenv("WORKBENCH_CONFIG", str(folder / "workbench.toml"))
    monkeypatch.setenv("CLUB_URL", ground.url.replace("postgres:@", "postgres:hunter22secret@"))
    return Place(ground)


def approved(place: Place, *options: str) -> dict[str, Any]:
    """Take a snapshot, break something, ask for the restore, and let Erin approve."""
    made = place.asks("snapshot", "create")
    place.ground.execute("""UPDATE "Member" SET phone = '805 555 0177'""")
    asked = place.asks("snapshot", "restore", made["name"], *options)
    place.asks("approve", asked["request"], "--digest", asked["digest"], "--as", "erin")
    return asked


def broken(place: Place) -> bool:
    return place.ground.ask("""SELECT count(*) > 0 FROM "Member" WHERE phone = '805 555 0177'""") == [True]


def test_asked_approved_carried_out_and_put_back(place: Place, tmp_path: Path) -> None:
    made = place.asks("snapshot", "create")
    place.ground.execute("""UPDATE "Member" SET phone = '805 555 0177'""")
    code, out, err = place.run("snapshot", "restore", made["name"])
    assert code == 0
    for said in (
        "would be lost",
        "Digest: ",
        "approve restore-",
        "--run RUN_ID",
    ):
        assert said in out
    asked = place.asks("snapshot", "restore", made["name"])
    request, digest = asked["request"], asked["digest"]
    assert (asked["losses"][0]["table"], asked["estimated_seconds"]) == ("Member", None)
    assert place.asks("show", request)["digest"] == digest
    assert place.run("snapshot", "restore", request, "--yes")[0] == 3
    assert place.run("snapshot", "restore", request)[0] == 3
    code, _, err = place.run("apply", request, "--yes")
    assert (code, f"snapshot restore {request}" in err) == (2, True)
    assert place.asks("approve", request, "--digest", digest, "--as", "erin")["approver"] == "erin"
    code, out, err = place.run("snapshot", "restore", request, "--yes")
    assert code == 0
    for said in ("; swap ", "Safety backup", "--undo", "app-health: not run"):
        assert said in out
    assert "[7/10] swapping" in err
    assert (tmp_path / "started").exists()
    record = place.ground.folder / "home" / "restores" / f"{request}.progress.json"
    assert "hunter22" not in out + err + record.read_text()
    assert not broken(place)
    assert place.run("snapshot", "verify", made["name"])[0] == 0
    assert place.asks("snapshot", "restore", made["name"])["estimated_seconds"] > 0
    back = place.asks("snapshot", "restore", "--undo")
    assert back["way"] == "swap back"
    place.asks("approve", back["request"], "--digest", back["digest"], "--as", "erin")
    assert place.asks("snapshot", "restore", back["request"], "--yes")["outcome"] == "done"
    assert broken(place)


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("at", "name", "live"),
    [
        (archives, "restore", "is as it was"),
        (Application, "health", "is the restored one"),
    ],
    ids=["before the swap", "after it"],
)
def test_interrupted_it_says_what_stands(
    place: Place, monkeypatch: pytest.MonkeyPatch, at: object, name: str, live: str
) -> None:
    request = approved(place)["request"]
    with monkeypatch.context() as patched:
        patched.setattr(at, name, interrupted)
        code, _, err = place.run("snapshot", "restore", request, "--yes")
    assert (code, live in err, "--resume" in err) == (130, True, True)
    assert ("--abandon" in err) is broken(place) is (at is archives)
    assert place.run("snapshot", "restore", "--undo")[0] == 3
    assert place.run("snapshot", "restore", "--resume", "--yes", "--in-place")[0] == 2
    if at is archives:
        assert place.run("snapshot", "restore", "--abandon", "--yes")[0] == 0
        assert place.ground.databases() == [place.ground.database]
    else:
        assert place.run("snapshot", "restore", "--resume", "--yes")[0] == 0
        assert place.asks("snapshot", "restore", "--undo")["way"] == "swap back"


def test_what_makes_no_sense_is_said(place: Place) -> None:
    for code, arguments in (
        (2, []),
        (2, ["--resume", "--abandon"]),
        (3, ["--resume", "--yes"]),
        (3, ["--undo"]),
        (2, ["backup_20200101_000000"]),
        (2, ["restore-0123456789ab", "--yes"]),
    ):
        assert place.run("snapshot", "restore", *arguments)[0] == code


def test_in_place_where_the_importers_reports_are_gone(place: Place) -> None:
    toml = place.ground.folder / "workbench.toml"
    toml.write_text(toml.read_text() + 'import_reports = ["nowhere"]\n')
    asked = approved(place, "--in-place")
    assert [each["table"] for each in asked["losses"]][:1] == ["Member"]
    assert "environments.demo.import_reports" in json.dumps(asked)
    code, out, err = place.run("snapshot", "restore", asked["request"], "--yes")
    assert code == 0, err
    assert "Safety backup" in out
    assert not broken(place)
