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


def test_a_manifest_that_was_edited(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    rewrite(made, lambda content: content.update(sealed_by="robin"), anew=False)
    assert ("data/bundle.json", "altered") in found(made.folder)
    assert read_bundle(made.folder).altered


def test_sealed_anew_only_the_noted_digest_tells(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    rewrite(made, lambda content: content.update(sealed_by="robin"))
    assert found(made.folder) == set()
    assert found(made.folder, made.digest) == {("data/bundle.json", "altered")}


def test_a_file_altered_with_the_lists_but_not_the_manifest(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    unlocked(made.folder / EXPORT).write_text("x")
    rewrite(made, lambda content: None)
    rewrite(made, lambda content: None)
    assert found(made.folder, read_bundle(made.folder).digest) == {(EXPORT, "altered")}


def test_what_bagit_itself_would_not_accept_is_no_pass(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    for each in made.folder.glob("*.txt"):
        unlocked(each)
    bag = bagit.Bag(str(made.folder))
    bag.info["Payload-Oxum"] = "1.1"
    bag.save()  # with the lists of digests made anew
    assert found(made.folder) == {("bagit.txt", "altered")}


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "data/../../secret", "secret"])
def test_a_path_that_leads_outside_is_not_opened(
    path: str, imported: Path, sealed: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sealed(imported)
    (tmp_path / "backups" / "secret").write_text("x")
    with unlocked(made.folder / "manifest-sha256.txt").open("a") as file:
        file.write(f"{hashlib.sha256(b'x').hexdigest()}  {path}\n")
    opened: list[Path] = []
    digest = bundles.file_digest
    monkeypatch.setattr(bundles, "file_digest", lambda path: opened.append(path.resolve()) or digest(path))
    assert (path, "missing") in found(made.folder)
    assert all(each.is_relative_to(made.folder.resolve()) for each in opened)


def test_a_list_that_leads_into_a_bundle_of_a_longer_name(imported: Path, sealed: Seal) -> None:
    made, other = sealed(imported), sealed(imported)  # ..._2, whose path begins like the first's
    with unlocked(made.folder / "manifest-sha256.txt").open("a") as file:
        file.write(f"{other.digest}  ../{other.folder.name}/data/bundle.json\n")
    assert (f"../{other.folder.name}/data/bundle.json", "missing") in found(made.folder)


@pytest.mark.parametrize(
    "name", [EXPORT, "data/log", "manifest-md5.txt", "manifest-sha256.txt", "data/bundle.json"]
)
def test_links_are_not_followed(name: str, imported: Path, sealed: Seal, tmp_path: Path) -> None:
    made = sealed(imported)
    path = made.folder / name
    if path.exists():
        path.rename(tmp_path / "same")
    path.symlink_to(tmp_path / "same")
    assert name in {each for each, what in found(made.folder) if what in ("altered", "added")}


def test_hostile_names_are_shown_harmlessly(imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    (folder / "data" / "a\nb\x1b[31m.csv").write_text("x")
    (folder / "data" / os.fsdecode(b"\xff.csv")).write_text("x")
    assert {each.path for each in verify_bundle(folder)} == {"data/a\\nb\\x1b[31m.csv", "data/\\udcff.csv"}


@pytest.mark.parametrize("name", ["data/bundle.json", *sorted(bundles._TAGS)])
def test_what_is_left_of_a_bundle(name: str, imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    (made.folder / name).unlink()
    assert (name, "missing") in found(made.folder)


def test_a_renamed_bundle_is_noticed(imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    moved = folder.rename(folder.with_name("bundle_20250101_000000"))
    assert found(moved) == {("data/bundle.json", "altered")}


def test_what_cannot_be_read_is_not_verified(
    imported: Path, sealed: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(imported).folder
    opened = Path.open

    def forbidden(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == Path(EXPORT).name:  # to root nothing else is
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    assert found(folder) == {(EXPORT, "altered")}


@pytest.mark.parametrize(
    "content", ["", "[]", '{"version": 2}', '{"files": [{"path": 1}], "runs": []}', "[" * 100_000]
)
def test_what_is_no_manifest_says_so(content: str, imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    unlocked(folder / "data" / "bundle.json").write_text(content)
    assert found(folder) == {("data/bundle.json", "altered")}
    with pytest.raises(DocumentError) as caught:
        read_bundle(folder)
    assert caught.value.exit_code == 2


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no bundle"):
        verify_bundle(tmp_path / "nothing")
    with pytest.raises(DocumentError, match="no bundle"):
        verify_bundle(tmp_path)
