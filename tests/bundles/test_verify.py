"""What was altered, is missing or was added is named; nothing outside the bundle is opened for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bundles.conftest import Seal
from workbench.errors import BundleError, UsageError
from workbench.migration.bundles import Bundle, verify_bundle

EXPORT = "exports/exports/wa-members-export.csv"


def unlocked(path: Path) -> Path:
    path.chmod(0o600)
    return path


def found(folder: Path, digest: str | None = None) -> set[tuple[str, str]]:
    return {(each.path, each.what) for each in verify_bundle(folder, digest)}


def rewrite(made: Bundle, change: Callable[[dict[str, Any]], Any], *, anew: bool = True) -> None:
    """Change ``bundle.json`` and, as a careful forger would, ``bundle.sha256`` with it."""
    import hashlib

    path = unlocked(made.folder / "bundle.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    if anew:
        digests = unlocked(made.folder / "bundle.sha256")
        rest = digests.read_text().splitlines()[1:]
        digests.write_text(
            "\n".join([f"{hashlib.sha256(path.read_bytes()).hexdigest()}  bundle.json", *rest]) + "\n"
        )


def test_altered_missing_and_added_are_told_apart(imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    export = unlocked(folder / EXPORT)
    export.write_bytes(export.read_bytes().replace(b"hiro1", b"hero1"))  # as many bytes
    (folder / "logs" / "dry_run_20261122_171836.log").unlink()
    (folder / "reports" / "extra.json").write_text("{}")
    with unlocked(folder / "configuration" / "membership.yaml").open("a") as file:
        file.write("# later\n")
    assert found(folder) == {
        (EXPORT, "altered"),
        ("configuration/membership.yaml", "altered"),
        ("logs/dry_run_20261122_171836.log", "missing"),
        ("reports/extra.json", "added"),
    }


@given(which=st.integers(0, 10), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
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
        assert verify_bundle(folder)
    except BundleError:
        assert path.name == "bundle.sha256"
    finally:
        path.write_bytes(content)


def test_a_manifest_that_was_edited(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    rewrite(made, lambda content: content.update(sealed_by="robin"), anew=False)
    assert found(made.folder) == {("bundle.json", "altered")}


def test_sealed_anew_only_the_noted_digest_tells(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    rewrite(made, lambda content: content.update(sealed_by="robin"))
    assert found(made.folder) == set()
    assert found(made.folder, made.digest) == {("bundle.json", "altered")}


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/hostname", "reports/../../secret", "C:/x", "a\\b", "a//b", "", "./a", "a\nb"]
)
def test_a_path_that_leads_outside_is_not_opened(
    path: str, imported: Path, sealed: Seal, tmp_path: Path
) -> None:
    import hashlib

    made = sealed(imported)
    (tmp_path / "backups" / "secret").write_text("x")
    digest = hashlib.sha256(b"x").hexdigest()
    rewrite(made, lambda content: content["files"][0].update(path=path, sha256=digest, size=1))
    (outside,) = [each for each in verify_bundle(made.folder) if each.what == "outside"]
    assert "\n" not in outside.path
    assert "nothing was opened" in outside.detail


def test_links_are_not_followed(imported: Path, sealed: Seal, tmp_path: Path) -> None:
    made = sealed(imported)
    export = made.folder / EXPORT
    (tmp_path / "same").write_bytes(export.read_bytes())
    export.unlink()
    export.symlink_to(tmp_path / "same")
    logs = made.folder / "logs"
    logs.rename(tmp_path / "logs")
    logs.symlink_to(tmp_path / "logs")
    assert found(made.folder) == {
        (EXPORT, "altered"),
        ("logs/dry_run_20261122_171836.log", "outside"),
        ("logs", "added"),
    }


def test_hostile_names_are_shown_harmlessly(imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    (folder / "a\nb\x1b[31m.csv").write_text("x")
    (folder / os.fsdecode(b"\xff.csv")).write_text("x")
    assert {each.path for each in verify_bundle(folder)} == {"a\\nb\\x1b[31m.csv", "\\udcff.csv"}


def test_what_is_left_of_a_bundle(imported: Path, sealed: Seal) -> None:
    made = sealed(imported)
    (made.folder / "bundle.sha256").unlink()
    assert found(made.folder) == {("bundle.sha256", "missing")}
    other = sealed(imported).folder
    (other / "bundle.json").unlink()
    assert found(other) == {("bundle.json", "missing")}
    cut = sealed(imported).folder
    path = unlocked(cut / "bundle.json")
    path.write_bytes(path.read_bytes()[:200])
    assert found(cut) == {("bundle.json", "altered")}


def test_a_renamed_bundle_is_noticed(imported: Path, sealed: Seal) -> None:
    folder = sealed(imported).folder
    moved = folder.rename(folder.with_name("bundle_20250101_000000"))
    assert found(moved) == {("bundle.json", "altered")}


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
    assert found(folder) == {(EXPORT, "unreadable")}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not JSON"),
        ("[]", "not a bundle's manifest"),
        ('{"workbench_bundle": 2}', "version 2"),
        ('{"workbench_bundle": 1}', "damaged"),
        ('{"workbench_bundle": 1, "files": [{"path": 1}], "runs": []}', "damaged"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_manifest_says_so(content: str, says: str, tmp_path: Path) -> None:
    folder = tmp_path / "bundle_x"
    folder.mkdir()
    (folder / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=says) as caught:
        verify_bundle(folder)
    assert caught.value.exit_code == 2


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no bundle"):
        verify_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match="is not a bundle"):
        verify_bundle(tmp_path)
