"""The manifest: whole or not there, one that was edited is noticed, and the one that is meant is found."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from workbench.documents import Target
from workbench.errors import DocumentError, UsageError
from workbench.snapshots.contents import TableState
from workbench.snapshots.manifest import Manifest, Verification
from workbench.snapshots.store import find_snapshot, list_snapshots, scan

TARGET = Target("1", "club", "public", "club", "demo")


def manifest(name: str = "backup_20260101_090000", **changes) -> Manifest:
    made = Manifest(
        compression="zstd", sha256="ab" * 32, size=1234, tool_version="18.4", server_version="18.4",
        target=TARGET, created_at=datetime.strptime(f"{name[7:]}+0000", "%Y%m%d_%H%M%S%z"), created_by="dana",
        precedes=None, reason="Zoë's", database_size=9000,
        tables={"Member": TableState(2, "cd" * 32), "AuditLog": TableState(3, "ef" * 32)},
        elsewhere={"workbench.journal": TableState(1, "01" * 32)},
    )  # fmt: skip
    return made.model_copy(update=changes).at(Path(f"{name}.json"), "")


def written(folder: Path, name: str = "backup_20260101_090000", **changes) -> Manifest:
    return Manifest.read(manifest(name, **changes).write(folder / f"{name}.json").path)


def test_a_verification_changes_no_fact(tmp_path):
    made = written(tmp_path)
    tried = Verification(datetime(2026, 1, 2, tzinfo=UTC), "dana", "not run", "no server", 0.1, "")
    once = made.with_verification(tried)
    assert not once.verified
    passed = once.with_verification(replace(tried, outcome="pass"))
    assert passed.with_verification(tried).verified
    assert not passed.with_verification(replace(tried, outcome="fail")).verified
    assert passed.facts_digest == made.facts_digest
    passed.write(made.path)
    assert Manifest.read(made.path).verifications == passed.verifications


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text.replace('"rows": 2', '"rows": 3'), "was edited"),
        (lambda text: json.dumps({**json.loads(text), "seal": ""}), "was edited"),
        (lambda text: text[: len(text) // 2], "cut short"),
    ],
    ids=["count", "seal", "cut"],
)
def test_a_manifest_that_lies(tmp_path, edit, said):
    path = written(tmp_path).path
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DocumentError, match=said):
        Manifest.read(path)
    assert list_snapshots(tmp_path) == []
    assert said in str(scan(tmp_path)[path.stem])


def test_the_latest_is_not_passed_over_because_its_manifest_cannot_be_read(tmp_path):
    first, second = written(tmp_path), written(tmp_path, "backup_20260102_090000")
    assert find_snapshot(tmp_path, "latest", "club") == second
    first.path.write_text("{")
    assert find_snapshot(tmp_path, "latest", "club") == second
    second.path.write_text("{")
    with pytest.raises(DocumentError, match="backup_20260102_090000"):
        find_snapshot(tmp_path, "latest", "club")


def test_snapshots_are_found_by_name_beginning_file_and_latest(tmp_path):
    first = written(tmp_path)
    second = written(tmp_path, "backup_20260102_090000")
    written(tmp_path, "backup_20260103_090000", target=replace(TARGET, environment="other"))
    (tmp_path / "backup_by_hand.json").write_text("{}", encoding="utf-8")
    assert list_snapshots(tmp_path, "club") == [first, second]
    assert find_snapshot(tmp_path, "latest", "club") == second
    for name in (first.snapshot, first.snapshot[:15], first.archive.name, str(first.path)):
        assert find_snapshot(tmp_path, name) == first
    for name in ("backup_20260109_090000", "backup_2026"):
        with pytest.raises(UsageError, match="Nearest: backup_2026010"):
            find_snapshot(tmp_path, name)
    with pytest.raises(UsageError, match="no snapshot in"):
        find_snapshot(tmp_path, "latest", "nobody")
