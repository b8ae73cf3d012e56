"""``snapshot restore`` as its user meets it: asked, approved, carried out, resumed, given up, put back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.restore.conftest import Ground, Lay
from workbench.cli.app import app
from workbench.database import archives
from workbench.errors import WorkbenchError
from workbench.snapshots.application import Application


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


def test_asked_approved_carried_out_and_put_back(place: Place, tmp_path: Path) -> None:
    made = place.asks("snapshot", "create")
    place.ground.execute("""UPDATE "Member" SET phone = '805 555 0177'""")
    code, out, err = place.run("snapshot", "restore", made["name"])
    assert code == 0
    for said in ("Steps:", "comparing it with the manifest", "would be lost", "Digest  ", "approve restore-", "--run RUN_ID"):  # fmt: skip
        assert said in out
    asked = place.asks("snapshot", "restore", made["name"])
    request, digest = asked["request"], asked["digest"]
    assert asked["losses"][0]["table"] == "Member"
    assert asked["estimated_seconds"] is None
    assert place.asks("show", request)["digest"] == digest
    assert place.run("snapshot", "restore", request, "--yes")[0] == 3
    assert place.run("snapshot", "restore", request)[0] == 3
    code, _, err = place.run("apply", request, "--yes")
    assert (code, f"snapshot restore {request}" in err) == (2, True)
    assert place.asks("approve", request, "--digest", digest, "--as", "erin")["approver"] == "erin"
    code, out, err = place.run("snapshot", "restore", request, "--yes")
    assert code == 0
    for said in (
        "is what the snapshot holds",
        "swap itself",
        "Safety backup",
        "--undo",
        "app-health: not run",
    ):
        assert said in out
    assert "[7/10] swapping" in err
    assert (tmp_path / "started").exists()
    assert (
        "hunter22"
        not in out
        + err
        + (place.ground.folder / "home" / "restores" / f"{request}.progress.json").read_text()
    )
    assert place.run("snapshot", "verify", made["name"])[0] == 0
    again = place.asks("snapshot", "restore", made["name"])
    assert again["estimated_seconds"] > 0
    back = place.asks("snapshot", "restore", "--undo")
    assert back["way"] == "swap back"
    place.asks("approve", back["request"], "--digest", back["digest"], "--as", "erin")
    done = place.asks("snapshot", "restore", back["request"], "--yes")
    assert done["outcome"] == "done"
    assert place.ground.ask("""SELECT count(*) > 0 FROM "Member" WHERE phone = '805 555 0177'""") == [True]


def _approved(place: Place) -> dict[str, Any]:
    """Ask for the restore of a new snapshot, and let Erin approve."""
    made = place.asks("snapshot", "create")
    asked = place.asks("snapshot", "restore", made["name"])
    place.asks("approve", asked["request"], "--digest", asked["digest"], "--as", "erin")
    return asked


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_interrupted_after_the_swap_it_can_only_be_finished(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _approved(place)

    with monkeypatch.context() as patched:
        patched.setattr(Application, "health", _interrupted)  # as it asks the application
        code, _, err = place.run("snapshot", "restore", asked["request"], "--yes")
    assert code == 130
    assert f"What was restored is the live database {place.ground.database}." in err
    assert "--resume` finishes it" in err
    assert "--abandon" not in err
    assert place.run("snapshot", "restore", "--undo")[0] == 3
    assert place.run("snapshot", "restore", "--resume", "--yes")[0] == 0
    assert place.asks("snapshot", "restore", "--undo")["way"] == "swap back"


def test_interrupted_it_says_what_stands(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _approved(place)

    with monkeypatch.context() as patched:
        patched.setattr(archives, "restore", _interrupted)
        code, _, err = place.run("snapshot", "restore", asked["request"], "--yes")
    assert code == 130
    live = place.ground.database
    assert f"Interrupted while restoring into a new database. The live database {live} is as it was." in err
    assert "--resume` goes on, --abandon gives up" in err
    code, _, err = place.run("snapshot", "restore", "--resume", "--yes", "--in-place")
    assert (code, "belong to asking for a restore" in err) == (2, True)
    assert place.run("snapshot", "restore", "--abandon", "--yes")[0] == 0
    assert place.ground.databases() == [live]


def test_what_makes_no_sense_is_said(place: Place) -> None:
    assert place.run("snapshot", "restore")[0] == 2
    assert place.run("snapshot", "restore", "--resume", "--abandon")[0] == 2
    code, _, err = place.run("snapshot", "restore", "--resume", "--yes")
    assert (code, "No restore of demo was interrupted" in err) == (3, True)
    assert place.run("snapshot", "restore", "--undo")[0] == 3
    assert place.run("snapshot", "restore", "backup_20200101_000000")[0] == 2
    assert place.run("snapshot", "restore", "restore-0123456789ab", "--yes")[0] == 2


def test_in_place_where_the_importers_reports_are_gone(place: Place) -> None:
    toml = place.ground.folder / "workbench.toml"
    toml.write_text(toml.read_text() + 'import_reports = ["nowhere"]\n')
    made = place.asks("snapshot", "create")
    with replace(place.ground, name="other").open() as wb:
        wb.snapshots.create()  # another environment's latest
    place.ground.execute("""UPDATE "Member" SET phone = '805 555 0177'""")
    asked = place.asks("snapshot", "restore", "latest", "--in-place")
    assert asked["snapshot"] == made["name"]
    assert [each["table"] for each in asked["losses"]][:1] == ["Member"]
    assert "environments.demo.import_reports" in json.dumps(asked)
    place.asks("approve", asked["request"], "--digest", asked["digest"], "--as", "erin")
    code, out, err = place.run("snapshot", "restore", asked["request"], "--yes")
    assert code == 0, err
    assert "is what the snapshot holds" in out
    assert "Safety backup" in out
    assert place.ground.ask("""SELECT count(*) FROM "Member" WHERE phone = '805 555 0177'""") == [0]
