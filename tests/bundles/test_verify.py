"""What was altered, is missing or was added is named; nothing outside the bundle is opened for it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bagit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bundles.conftest import Seal
from workbench.errors import DocumentError
from workbench.migration import bundles
from workbench.migration.bundles import Bundle, read_bundle, verify_bundle

EXPORT = "data/exports/wa-members-export.csv"


def unlocked(path: Path) -> Path:
    path.chmod(0o600)
    return path


def found(folder: Path, digest: str | None = None) -> set[tuple[str, str]]:
    return {(each.path, each.what) for each in verify_bundle(folder, digest)}


def rewrite(made: Bundle, change: Callable[[dict[str, Any]], Any], *, anew: bool = True) -> None:
    """Change ``bundle.json`` and, as a careful forger would, the lists of digests with it."""
    path = unlocked(made.folder / "data" / "bundle.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    if anew:
        for each in made.folder.glob("*.txt"):
            unlocked(each)
        bagit.Bag(str(made.folder)).save(manifests=True)


def test_altered_missing_and_added_are_told_apart(imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    export = unlocked(folder / EXPORT)
    export.write_bytes(export.read_bytes().replace(b"hiro1", b"hero1"))  # as many bytes
    (folder / "data" / "dry_run_20261122_171836.log").unlink()
    (folder / "data" / "reports" / "extra.json").write_text("{}")
    (folder / "beside.txt").write_text("")
    with unlocked(folder / "data" / "membership.yaml").open("a") as file:
        file.write("# later\n")
    assert found(folder) == {
        (EXPORT, "altered"),
        ("beside.txt", "added"),
        ("data/membership.yaml", "altered"),
        ("data/dry_run_20261122_171836.log", "missing"),
        ("data/reports/extra.json", "added"),
    }


@given(which=st.integers(0, 13), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_flipped_bit_is_noticed(
    imported: Path, sealed: Seal, which: int, where: float, bit: int
) -> None:
    kept = imported.parent / "backups"
    folder = next(iter(kept.iterdir())) if kept.is_dir() else sealed(imported).folder
    path = unlocked(sorted(each for each in folder.rglob("*") if each.is_file())[which])
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[int(where * len(flipped))] ^= 1 << bit
    path.write_bytes(bytes(flipped))
    try:
        names = {Path(name).name for name, _ in found(folder)}
        assert names
        assert path.name in names or path.name == "tagmanifest-sha256.txt"  # which names what it lists
    finally:
        path.write_bytes(content)


def test_what_was_edited_and_what_was_sealed_anew(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    rewrite(made, lambda content: content.update(sealed_by="robin"), anew=False)
    assert ("data/bundle.json", "altered") in found(made.folder)
    assert read_bundle(made.folder).altered
    anew = sealed(imported)
    rewrite(anew, lambda content: content.update(sealed_by="robin"))
    assert found(anew.folder) == set()
    assert found(anew.folder, anew.digest) == {("data/bundle.json", "altered")}  # only the noted digest tells
    listed = sealed(imported)  # a file altered with the lists, but not the manifest
    unlocked(listed.folder / EXPORT).write_text("x")
    rewrite(listed, lambda content: None)
    rewrite(listed, lambda content: None)
    assert found(listed.folder, read_bundle(listed.folder).digest) == {(EXPORT, "altered")}
    renamed = listed.folder.rename(listed.folder.with_name("bundle_20250101_000000"))
    assert found(renamed) == {("data/bundle.json", "altered"), (EXPORT, "altered")}
    odd = sealed(imported)  # what bagit itself would not accept is no pass
    for each in odd.folder.glob("*.txt"):
        unlocked(each)
    bag = bagit.Bag(str(odd.folder))
    bag.info["Payload-Oxum"] = "1.1"
    bag.save()  # with the lists of digests made anew
    assert found(odd.folder) == {("bagit.txt", "altered")}


def test_nothing_outside_is_opened_and_no_link_followed(
    imported: Path, sealed: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = sealed(imported), sealed(imported)  # ..._2, whose path begins like the first's
    (tmp_path / "backups" / "secret").write_text("x")
    paths = [
        "../secret",
        "/etc/hostname",
        "data/../../secret",
        "secret",
        f"../{other.folder.name}/data/bundle.json",
    ]
    with unlocked(made.folder / "manifest-sha256.txt").open("a") as file:
        for path in paths:
            file.write(f"{hashlib.sha256(b'x').hexdigest()}  {path}\n")
    (made.folder / EXPORT).rename(tmp_path / "same")
    (made.folder / EXPORT).symlink_to(tmp_path / "same")
    (made.folder / "data" / "log").symlink_to("/var/log")
    (made.folder / "manifest-md5.txt").symlink_to(tmp_path / "same")
    opened: list[Path] = []
    digest = bundles.file_digest
    monkeypatch.setattr(bundles, "file_digest", lambda path: opened.append(path.resolve()) or digest(path))
    assert found(made.folder) == {
        *((path, "missing") for path in paths),
        ("manifest-sha256.txt", "altered"),
        (EXPORT, "altered"),
        ("data/log", "added"),
        ("manifest-md5.txt", "added"),
    }
    assert all(each.is_relative_to(made.folder.resolve()) for each in opened)
    for name in ("manifest-sha256.txt", "data/bundle.json"):
        folder = sealed(imported).folder
        (folder / name).rename(tmp_path / "same")
        (folder / name).symlink_to(tmp_path / "same")
        assert (name, "altered") in found(folder)


def test_hostile_names_are_shown_harmlessly(imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    (folder / "data" / "a\nb\x1b[31m.csv").write_text("x")
    (folder / "data" / os.fsdecode(b"\xff.csv")).write_text("x")
    assert {each.path for each in verify_bundle(folder)} == {"data/a\\nb\\x1b[31m.csv", "data/\\udcff.csv"}


def test_what_is_left_of_a_bundle(
    imported: Path, sealed: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data/bundle.json", *sorted(bundles._TAGS)):
        made = sealed(imported)
        (made.folder / name).unlink()
        assert (name, "missing") in found(made.folder)
    for content in ("", "[]", '{"version": 2}', '{"files": [{"path": 1}], "runs": []}', "[" * 100_000):
        made = sealed(imported)
        unlocked(made.folder / "data" / "bundle.json").write_text(content)
        assert found(made.folder) == {("data/bundle.json", "altered")}
        with pytest.raises(DocumentError) as caught:
            read_bundle(made.folder)
        assert caught.value.exit_code == 2
    for place in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DocumentError, match="no bundle"):
            verify_bundle(place)
    folder, opened = sealed(imported).folder, Path.open

    def forbidden(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == Path(EXPORT).name:  # to root nothing else is
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    assert found(folder) == {(EXPORT, "altered")}  # what cannot be read is not verified
