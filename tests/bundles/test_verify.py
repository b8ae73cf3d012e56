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
from workbench.migration.bundles import TAGS, Bundle, read_bundle, verify_bundle

EXPORT, MANIFEST = "data/exports/wa-members-export.csv", "data/bundle.json"


def unlocked(path: Path) -> Path:
    path.chmod(0o600)
    return path


def wrong(folder: Path, digest: str | None = None) -> set[tuple[str, str]]:
    return {(discrepancy.path, discrepancy.what) for discrepancy in verify_bundle(folder, digest)}


def rewrite(bundle: Bundle, change: Callable[[dict[str, Any]], Any], *, anew: bool = True) -> None:
    """Change ``bundle.json`` and, as a careful forger would, the lists of digests with it."""
    path = unlocked(bundle.folder / MANIFEST)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    if anew:
        for tag in bundle.folder.glob("*.txt"):
            unlocked(tag)
        bagit.Bag(str(bundle.folder)).save(manifests=True)


def test_altered_missing_and_added_are_told_apart(imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    export = unlocked(folder / EXPORT)
    export.write_bytes(export.read_bytes().replace(b"hiro1", b"hero1"))  # as many bytes
    (folder / "data" / "dry_run_20261122_171836.log").unlink()
    (folder / "beside.txt").write_text("")
    for name in ("extra.json", "a\nb\x1b[31m.csv", os.fsdecode(b"\xff.csv")):
        (folder / "data" / name).write_text("{}")
    assert wrong(folder) == {
        (EXPORT, "altered"),
        ("beside.txt", "added"),
        ("data/dry_run_20261122_171836.log", "missing"),
        *((f"data/{name}", "added") for name in ("extra.json", "a\\nb\\x1b[31m.csv", "\\udcff.csv")),
    }


@given(which=st.integers(0, 13), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_flipped_bit_is_noticed(
    imported: Path, sealed: Seal, which: int, where: float, bit: int
) -> None:
    kept = imported.parent / "backups"
    folder = next(kept.iterdir()) if kept.is_dir() else sealed(imported).folder
    path = unlocked(sorted(path for path in folder.rglob("*") if path.is_file())[which])
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[int(where * len(flipped))] ^= 1 << bit
    path.write_bytes(bytes(flipped))
    try:
        names = {Path(name).name for name, _ in wrong(folder)}
        assert names
        assert path.name in names or path.name == "tagmanifest-sha256.txt"  # which names what it lists
    finally:
        path.write_bytes(content)


def test_what_was_edited_and_what_was_sealed_anew(imported: Path, sealed: Seal) -> None:
    edited = sealed(imported)
    rewrite(edited, lambda content: content.update(sealed_by="robin"), anew=False)
    assert (MANIFEST, "altered") in wrong(edited.folder)
    assert read_bundle(edited.folder).altered
    resealed = sealed(imported)
    rewrite(resealed, lambda content: content.update(sealed_by="robin"))
    assert wrong(resealed.folder) == set()
    assert wrong(resealed.folder, resealed.digest) == {(MANIFEST, "altered")}  # only the noted digest tells
    listed = sealed(imported)  # files altered and added together with the lists, but not in bundle.json
    unlocked(listed.folder / EXPORT).write_text("x")
    (listed.folder / "data" / "more.csv").write_text("x")
    rewrite(listed, lambda content: None)
    rewrite(listed, lambda content: None)
    assert wrong(listed.folder, read_bundle(listed.folder).digest) == {
        (EXPORT, "altered"),
        ("data/more.csv", "added"),
    }
    renamed = resealed.folder.rename(resealed.folder.with_name("bundle_20250101_000000"))
    assert wrong(renamed) == {(MANIFEST, "altered")}
    odd = sealed(imported)  # what bagit itself would not accept is no pass
    for tag in odd.folder.glob("*.txt"):
        unlocked(tag)
    bag = bagit.Bag(str(odd.folder))
    bag.info["Payload-Oxum"] = "1.1"
    bag.save()
    assert wrong(odd.folder) == {("bagit.txt", "altered")}


def test_nothing_outside_is_opened_and_no_link_followed(
    imported: Path, sealed: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, other = sealed(imported), sealed(imported)  # ..._2, whose path begins like the first's
    (tmp_path / "backups" / "secret").write_text("x")
    paths = ["../secret", "/etc/hostname", "data/../../secret", f"../{other.folder.name}/data/bundle.json"]
    with unlocked(bundle.folder / "manifest-sha256.txt").open("a") as file:
        for path in paths:
            file.write(f"{hashlib.sha256(b'x').hexdigest()}  {path}\n")
    (bundle.folder / EXPORT).rename(tmp_path / "same")
    for link in (EXPORT, "manifest-md5.txt"):
        (bundle.folder / link).symlink_to(tmp_path / "same")
    (bundle.folder / "data" / "log").symlink_to("/var/log")
    opened: list[Path] = []
    digest = bundles.file_digest
    monkeypatch.setattr(bundles, "file_digest", lambda path: opened.append(path.resolve()) or digest(path))
    assert wrong(bundle.folder) == {
        *((path, "missing") for path in paths),
        ("manifest-sha256.txt", "altered"),
        (EXPORT, "altered"),
        ("data/log", "added"),
        ("manifest-md5.txt", "added"),
    }
    assert all(path.is_relative_to(bundle.folder.resolve()) for path in opened)
    for name in ("manifest-sha256.txt", MANIFEST):
        folder = sealed(imported).folder
        (folder / name).rename(tmp_path / "same")
        (folder / name).symlink_to(tmp_path / "same")
        assert (name, "altered") in wrong(folder)


def test_what_is_left_of_a_bundle(
    imported: Path, sealed: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = sealed(imported)
    for name in (MANIFEST, *TAGS):
        content = (bundle.folder / name).read_bytes()
        (bundle.folder / name).unlink()
        assert (name, "missing") in wrong(bundle.folder)
        (bundle.folder / name).write_bytes(content)
    with monkeypatch.context() as patched:
        opened = Path.open

        def forbidden(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.name == Path(EXPORT).name:  # to root nothing else is
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, *arguments, **options)

        patched.setattr(Path, "open", forbidden)
        assert wrong(bundle.folder) == {(EXPORT, "altered")}  # what cannot be read is not verified
    for text in ("", '{"version": 2}', '{"files": [{"path": 1}], "runs": []}'):
        (bundle.folder / MANIFEST).write_text(text)
        assert wrong(bundle.folder) == {(MANIFEST, "altered")}
        with pytest.raises(DocumentError):
            read_bundle(bundle.folder)
    for place in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DocumentError, match="no bundle"):
            verify_bundle(place)
