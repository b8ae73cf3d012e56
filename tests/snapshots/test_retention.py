"""What may be pruned: a pure decision with the guide's numbers, carried out on our own files only."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.snapshots.test_manifest import manifest
from workbench.errors import Refused
from workbench.migration.dry_runs import DryRun
from workbench.snapshots.manifest import Manifest, Verification
from workbench.snapshots.store import Migration, decide_dry_runs, decide_snapshots, list_snapshots, part

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PASSED = Verification(datetime(2026, 1, 2, tzinfo=UTC), "dana", "pass", "", 1.0, "")


def aged(days: float, *, outcome: str = "", precedes: str | None = None):
    moment = NOW - timedelta(days=days)
    made = manifest(f"backup_{moment:%Y%m%d_%H%M%S}", created_at=moment, precedes=precedes)
    return made.with_verification(replace(PASSED, outcome=outcome)) if outcome else made


def kept(snapshots, migrations=()) -> set[str]:
    return {decision.name for decision in decide_snapshots(NOW, snapshots, migrations) if decision.keep}


def ran(run: str, began: float, ended: float) -> Migration:
    return Migration(run, NOW - timedelta(days=began), NOW - timedelta(days=ended))


def test_thirty_days_and_the_last_verified_one():
    young, old, older = aged(29.9), aged(30, outcome="fail"), aged(90)
    reasons = [decision.reason for decision in decide_snapshots(NOW, [young, old, older], [])]
    assert reasons == ["90 days old: 30 or more", "30 days old: 30 or more", "the latest; none was verified"]
    proved, failed = aged(400, outcome="pass"), aged(35, outcome="fail")
    assert kept([failed, aged(40), proved, aged(500, outcome="pass")]) == {proved.snapshot}
    twice = aged(50, outcome="pass").with_verification(replace(PASSED, outcome="fail"))
    assert kept([twice, proved]) == {proved.snapshot}
    later = aged(50, outcome="pass").with_verification(replace(PASSED, outcome="not run"))
    assert kept([later, proved]) == {later.snapshot}


def test_the_way_back_from_a_migration_stays_for_seven_days_after_it():
    named, last = aged(60, precedes="a"), aged(40)
    proved, fresh = aged(45, outcome="pass"), aged(1, outcome="pass")
    every = [named, last, proved, fresh]
    assert kept(every, [ran("a", 39, 6.9)]) == {snapshot.snapshot for snapshot in every}
    assert kept(every, [ran("b", 39, 6.9)]) == {last.snapshot, proved.snapshot, fresh.snapshot}
    assert kept(every, [ran("a", 39, 7)]) == {fresh.snapshot}


AGES = st.integers(0, 900)
SNAPSHOTS = st.lists(
    st.builds(
        lambda age, outcome, precedes: aged(age / 10, outcome=outcome, precedes=precedes),
        AGES, st.sampled_from(["", "pass", "fail", "not run"]), st.sampled_from([None, "a", "b"]),
    ),
    max_size=8, unique_by=lambda snapshot: snapshot.snapshot,
)  # fmt: skip
MIGRATIONS = st.lists(
    st.builds(
        lambda run, a, b: ran(run, max(a, b) / 10, min(a, b) / 10), st.sampled_from(["a", "b"]), AGES, AGES
    ),
    max_size=3,
)


@given(SNAPSHOTS, MIGRATIONS, AGES)
def test_what_always_holds(snapshots, migrations, later):
    decided = decide_snapshots(NOW, snapshots, migrations)
    keep = {decision.name for decision in decided if decision.keep}
    assert sorted(decision.name for decision in decided) == sorted(one.snapshot for one in snapshots)
    verified = [snapshot for snapshot in snapshots if snapshot.verified]
    if snapshots:
        assert max(verified or snapshots, key=lambda snapshot: snapshot.created_at).snapshot in keep
    for snapshot in snapshots:
        if NOW - snapshot.created_at < timedelta(days=30):
            assert snapshot.snapshot in keep
        if any(m.run == snapshot.precedes and NOW - m.ended < timedelta(days=7) for m in migrations):
            assert snapshot.snapshot in keep
    for migration in migrations:
        before = [snapshot for snapshot in snapshots if snapshot.created_at <= migration.began]
        if before and NOW - migration.ended < timedelta(days=7):
            assert max(before, key=lambda snapshot: snapshot.created_at).snapshot in keep
    # The order in which they are given does not matter, and what goes today goes tomorrow.
    assert decide_snapshots(NOW, snapshots[::-1], migrations[::-1]) == decided
    then = decide_snapshots(NOW + timedelta(days=later / 10), snapshots, migrations)
    assert {decision.name for decision in then if decision.keep} <= keep


def age(manifest: Manifest, days: float) -> Manifest:
    """Let a snapshot have been taken earlier."""
    moment = datetime.now(UTC) - timedelta(days=days)
    path = manifest.path.with_name(f"backup_{moment:%Y%m%d_%H%M%S}.json")
    earlier = manifest.model_copy(update={"created_at": moment}).write(path)
    manifest.archive.rename(earlier.archive)
    manifest.path.unlink()
    return Manifest.read(path)


def test_only_what_was_shown_and_only_our_own_files_go(clubs, opened, backups):
    """Nothing half is listed where pruning is killed."""
    with opened(clubs.clone("guide")) as wb:
        old = age(wb.snapshots.create(), 40)
        older = age(wb.snapshots.create(), 50)
        new = wb.snapshots.create()
        other = older.model_copy(update={"target": replace(older.target, environment="other")})
        other.write(backups / "backup_20200101_000000.json")
        mine = [
            backups / name for name in ("backup_by_hand.dump", "backup_20200202_000000.dump", "notes.txt")
        ]
        for path in mine:
            path.write_text("a person's own", encoding="utf-8")
        decided = wb.snapshots.retention()
        assert [(decision.name, decision.keep) for decision in decided] == [
            (older.snapshot, False), (old.snapshot, False), (new.snapshot, True)]  # fmt: skip
        with part(backups, datetime.now(UTC)), pytest.raises(Refused, match="is being taken"):
            wb.snapshots.prune(decided)
        unfinished = backups / f".{old.snapshot}.part"
        old.archive.rename(unfinished)  # the first step
        assert old not in list_snapshots(backups)
        assert old in wb.snapshots.all()
        assert "whole" in wb.snapshots.said[-1]
        gone = wb.snapshots.prune([decision for decision in decided if decision.name != old.snapshot])
        assert gone == [older.snapshot]
        assert wb.snapshots.all() == [old, new]
        assert wb.snapshots.prune(decided) == [old.snapshot]
        assert len(wb.audit.entries(action="migration:snapshot:pruned")) == 2
    assert {path.name for path in backups.iterdir()} == {
        new.archive.name,
        new.path.name,
        "backup_20200101_000000.json",
        *(path.name for path in mine),
    }


def test_dry_runs_go_after_seven_days_but_the_last(clubs, opened, backups):
    assert [decision.keep for decision in decide_dry_runs(NOW, {"only": NOW - timedelta(days=70)})] == [True]
    now = datetime.now(UTC).replace(microsecond=0)
    for days in (9, 8, 1):
        started = now - timedelta(days=days)
        folder = backups / f"dry_run_{started:%Y%m%d_%H%M%S}"
        folder.mkdir(parents=True)
        run = DryRun(name=folder.name, command=("importer",), environment="demo", kind="demo", operator="dana", started_at=started,
                     finished_at=started, outcome="completed" if days != 8 else "running",
                     process=os.getpid() if days == 8 else 0)  # fmt: skip
        run.write(folder / "dry_run.json")
        (folder / "importer.log").write_text("would create 3\n", encoding="utf-8")
    with opened(clubs.clone("guide")) as wb:
        decided = wb.snapshots.retention()
        assert [decision.keep for decision in decided] == [False, False, True]
        with pytest.raises(Refused, match="running, or has changed"):
            wb.snapshots.prune(decided[1:])
        assert wb.snapshots.prune(decided[:1]) == [decided[0].name]
        assert list(wb.audit.entries(action="migration:dry-run:pruned")["operator"]) == ["dana"]
    assert sorted(path.name for path in backups.iterdir()) == sorted(
        decision.name for decision in decided[1:]
    )
