"""What cannot be sealed is named, all of it at once, and nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundles.conftest import NOW, Seal
from workbench.errors import UsageError, WorkbenchError
from workbench.migration import sealing
from workbench.migration.sealing import seal


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    backups = tmp_path / "backups"
    assert not backups.is_dir() or not list(backups.iterdir())


def test_everything_at_once(imported: Path, sealed: Seal, tmp_path: Path) -> None:
    (imported / "link.csv").symlink_to(imported / "membership.yaml")
    (imported / "elsewhere").symlink_to("/etc")
    (imported / "line\nbreak.csv").write_text("x")
    (imported / os.fsdecode(b"\xff.csv")).write_text("x")
    for name in ("back\\slash.csv", "a%0ab.csv", "blank "):
        (imported / name).write_text("x")
    os.mkfifo(imported / "pipe")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        sealed(imported, tmp_path / "nothing.csv", tmp_path / "empty")
    said = str(caught.value)
    for each in (
        "link.csv is a symbolic link", "elsewhere is a symbolic link", "line\\nbreak.csv has a control character",
        "\\udcff.csv has a control character", "slash.csv has a", "a%0ab.csv has a", "blank  has a",
        "pipe is no regular file", "nothing.csv is not there",
    ):  # fmt: skip
        assert each in said
    assert caught.value.exit_code == 2


def test_an_empty_folder(sealed: Seal, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no file in it"):
        sealed(tmp_path / "empty")
    (tmp_path / "empty" / ".hidden").write_text("x")
    with pytest.raises(UsageError, match="has no file in it"):
        sealed(tmp_path / "empty")


def test_a_folder_that_is_a_link(imported: Path, sealed: Seal, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(imported)
    with pytest.raises(UsageError, match="is a symbolic link; name the file that it leads to"):
        sealed(tmp_path / "latest")


def test_unreadable(imported: Path, sealed: Seal, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def forbidden(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "membership.yaml":  # to root everything is readable
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(UsageError, match=r"membership\.yaml cannot be read"):
        sealed(imported)


def test_a_file_that_is_being_written(imported: Path, sealed: Seal, monkeypatch: pytest.MonkeyPatch) -> None:
    export = imported / "exports" / "wa-members-export.csv"
    export.write_text(export.read_text() + "WA003,https://example.com\n")

    def and_meanwhile(line: str) -> str:
        with export.open("a") as more:
            more.write("WA004,hiro4@example.com\n")
        return line

    monkeypatch.setattr(sealing, "redact", and_meanwhile)
    with pytest.raises(UsageError, match=r"wa-members-export\.csv changed while"):
        sealed(imported)


def test_a_place_that_cannot_be_written(imported: Path, sealed: Seal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkbenchError, match="cannot be written") as caught:
        seal([imported], tmp_path / "file" / "backups", by="dana", now=NOW)
    assert caught.value.exit_code == 4


def test_a_disk_without_room(imported: Path, sealed: Seal, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkbenchError, match="No space left on device"):
        sealed(imported)
