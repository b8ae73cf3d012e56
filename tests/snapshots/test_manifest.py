"""The manifest: whole or not there, and one that was edited is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.checkpoints.contents import Contents, SequenceState, TableState
from workbench.checkpoints.manifest import Manifest, Verification, read_manifest, write_manifest
from workbench.checkpoints.store import find_snapshot, list_snapshots, unreadable
from workbench.errors import SnapshotError, UsageError


def manifest(name: str = "backup_20260101_090000", **changes) -> Manifest:
    made = Manifest(
        snapshot=name, compression="zstd", file=f"{name}.dump", sha256="ab" * 32,
        size=1234, tool_version="18.4", server_version="18.4", schema="public", dialect="guide",
        target={"system_identifier": "1", "database": "club", "schema": "public", "environment": "club", "kind": "demo"},
        created_at="2026-01-01T09:00:00+00:00", created_by="dana", precedes=None, reason="Zoë's", transaction="1:1:",
        timeline={"system_identifier": "1", "timeline": "1", "database_oid": "5", "wal_position": "0/1"}, database_size=9000,
        tables={"Member": TableState(2, "cd" * 32), "AuditLog": TableState(3, "ef" * 32)},
        sequences={"a_seq": SequenceState(4, True)},
        elsewhere={"workbench": Contents({"journal": TableState(1, "01" * 32)}, {})},
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def path(tmp_path) -> Path:
    made = manifest()
    found = tmp_path / f"{made.snapshot}.json"
    write_manifest(made, found)
    return found


def test_what_was_written_is_read(path):
    found = read_manifest(path)
    assert found == manifest()
    assert found.path == path.with_suffix(".dump")
    assert read_manifest(path.with_suffix(".dump")) == found
    assert found.rows == 6
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_verification_changes_no_fact(path):
    made = read_manifest(path)
    tried = Verification("2026-01-02T09:00:00+00:00", "dana", "not run", "no server", 0.1, "")
    once = made.with_verification(tried)
    assert not once.verified
    passed = once.with_verification(replace(tried, outcome="pass"))
    assert passed.with_verification(tried).verified
    assert not passed.with_verification(replace(tried, outcome="fail")).verified
    assert passed.facts_digest == made.facts_digest
    write_manifest(passed, path)
    assert read_manifest(path).verifications == passed.verifications


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text.replace('"rows": 2', '"rows": 3'), "was edited"),
        (lambda text: text.replace("cd" * 32, "ce" * 32), "was edited"),
        (lambda text: text.replace("dana", "dora"), "was edited"),
        (lambda text: text[: len(text) // 2], "cut short"),
        (lambda text: "", "cut short"),
        (lambda text: "[]", "cut short"),
        (lambda text: text.replace('"version": 3', '"version": 4'), "of version 4"),
    ],
    ids=["count", "digest", "person", "cut", "empty", "list", "version"],
)
def test_a_manifest_that_lies(path, edit, said):
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(SnapshotError, match=said):
        read_manifest(path)
    assert list_snapshots(path.parent) == []
    assert [str(each) for each in unreadable(path.parent) if said in str(each)]


def test_a_manifest_of_other_things(path):
    plain = json.loads(path.read_text(encoding="utf-8"))
    del plain["tables"]
    path.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(SnapshotError, match="edited"):
        read_manifest(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SnapshotError, match="UTF-8"):
        read_manifest(path)


def test_the_latest_is_not_passed_over_because_its_manifest_cannot_be_read(tmp_path):
    for name in ("backup_20260101_090000", "backup_20260102_090000"):
        created = f"{name[7:11]}-{name[11:13]}-{name[13:15]}T09:00:00+00:00"
        write_manifest(manifest(name, created_at=created), tmp_path / f"{name}.json")
    assert find_snapshot(tmp_path, "latest", "club").snapshot == "backup_20260102_090000"
    (tmp_path / "backup_20260101_090000.json").write_text("{")
    assert find_snapshot(tmp_path, "latest", "club").snapshot == "backup_20260102_090000"
    (tmp_path / "backup_20260102_090000.json").write_text("{")
    with pytest.raises(SnapshotError, match="backup_20260102_090000"):
        find_snapshot(tmp_path, "latest", "club")


def test_an_archive_without_a_manifest_is_said_to_have_none(tmp_path):
    (tmp_path / "backup_20260102_090000.dump").write_bytes(b"PGDMP")
    with pytest.raises(UsageError, match="has no manifest beside it"):
        find_snapshot(tmp_path, str(tmp_path / "backup_20260102_090000.dump"))


def test_snapshots_are_found_by_name_file_and_latest(tmp_path):
    for n, environment in ((1, "club"), (2, "club"), (3, "other")):
        made = manifest(f"backup_2026010{n}_090000", created_at=f"2026-01-0{n}T09:00:00+00:00")
        made = replace(made, target={**made.target, "environment": environment})
        write_manifest(made, tmp_path / f"{made.snapshot}.json")
    (tmp_path / "backup_by_hand.json").write_text("{}", encoding="utf-8")
    assert [each.snapshot[:15] for each in list_snapshots(tmp_path, "club")] == [
        "backup_20260101",
        "backup_20260102",
    ]
    assert find_snapshot(tmp_path, "latest", "club").snapshot == "backup_20260102_090000"
    for name in (
        "backup_20260101_090000",
        "backup_20260101_090000.dump",
        str(tmp_path / "backup_20260101_090000.json"),
    ):
        assert find_snapshot(tmp_path, name).snapshot == "backup_20260101_090000"
    with pytest.raises(UsageError, match="Nearest: backup_2026010"):
        find_snapshot(tmp_path, "backup_20260109_090000")
    with pytest.raises(UsageError, match="no snapshot of nobody"):
        find_snapshot(tmp_path, "latest", "nobody")
