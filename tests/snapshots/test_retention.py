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
from workbench.snapshots.retention import Migration, decide_dry_runs, decide_snapshots
from workbench.snapshots.store import list_snapshots, part

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PASSED = Verification(datetime(2026, 1, 2, tzinfo=UTC), "dana", "pass", "", 1.0, "")


def aged(days: float, *, outcome: str = "", precedes: str | None = None):
    moment = NOW - timedelta(days=days)
    made = manifest(f"backup_{moment:%Y%m%d_%H%M%S}", created_at=moment, precedes=precedes)
    return made.with_verification(replace(PASSED, outcome=outcome)) if outcome else made


def kept(snapshots, migrations=()) -> set[str]:
    return {each.name for each in decide_snapshots(NOW, snapshots, migrations) if each.keep}


def ran(run: str, began: float, ended: float) -> Migration:
    return Migration(run, NOW - timedelta(days=began), NOW - timedelta(days=ended))


def test_thirty_days():
    young, old, older = aged(29.9), aged(30, outcome="fail"), aged(90)
    assert kept([young, old, older]) == {young.snapshot}  # none was verified: the latest
    reasons = [each.reason for each in decide_snapshots(NOW, [young, old, older], [])]
    assert reasons == ["90 days old: 30 or more", "30 days old: 30 or more", "the latest; none was verified"]


def test_the_last_verified_one_stays_however_old():
    proved, since, failed, before = (
        aged(400, outcome="pass"),
        aged(40),
        aged(35, outcome="fail"),
        aged(500, outcome="pass"),
    )
    assert kept([failed, since, proved, before]) == {proved.snapshot}
    twice = aged(50, outcome="pass").with_verification(replace(PASSED, outcome="fail"))
    assert kept([twice, proved]) == {proved.snapshot}
    later = aged(50, outcome="pass").with_verification(replace(PASSED, outcome="not run"))
    assert kept([later, proved]) == {later.snapshot}


def test_the_way_back_from_a_migration_stays_for_seven_days_after_it():
    named, last, proved, fresh = (
        aged(60, precedes="a"),
        aged(40),
        aged(45, outcome="pass"),
        aged(1, outcome="pass"),
    )
    every = [named, last, proved, fresh]
    assert kept(every, [ran("a", 39, 6.9)]) == {each.snapshot for each in every}
    assert kept(every, [ran("b", 39, 6.9)]) == {last.snapshot, proved.snapshot, fresh.snapshot}
    assert kept(every, [ran("a", 39, 7)]) == {fresh.snapshot}
    assert kept(every, []) == {fresh.snapshot}


AGES = st.integers(0, 900)
SNAPSHOTS = st.lists(
    st.builds(
        lambda age, outcome, precedes: aged(age / 10, outcome=outcome, precedes=precedes),
        AGES, st.sampled_from(["", "pass", "fail", "not run"]), st.sampled_from([None, "a", "b"]),
    ),
    max_size=8, unique_by=lambda each: each.snapshot,
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
    keep = {each.name for each in decided if each.keep}
    assert sorted(each.name for each in decided) == sorted(each.snapshot for each in snapshots)
    assert all(each.reason for each in decided)
    verified = [each for each in snapshots if each.verified]
    if snapshots:
        assert max(verified or snapshots, key=lambda each: each.created_at).snapshot in keep
    for each in snapshots:
        if NOW - each.created_at < timedelta(days=30):
            assert each.snapshot in keep
        if any(m.run == each.precedes and NOW - m.ended < timedelta(days=7) for m in migrations):
            assert each.snapshot in keep
    for migration in migrations:
        before = [each for each in snapshots if each.created_at <= migration.began]
        if before and NOW - migration.ended < timedelta(days=7):
            assert max(before, key=lambda each: each.created_at).snapshot in keep
    # The order in which they are given does not matter, and what goes today goes tomorrow.
    assert decide_snapshots(NOW, snapshots[::-1], migrations[::-1]) == decided
    then = decide_snapshots(NOW + timedelta(days=later / 10), snapshots, migrations)
    assert {each.name for each in then if each.keep} <= keep


def test_dry_runs():
    made = {"old": NOW - timedelta(days=7), "young": NOW - timedelta(days=6.9)}
    assert [(each.name, each.keep) for each in decide_dry_runs(NOW, made)] == [
        ("old", False),
        ("young", True),
    ]
    assert [each.keep for each in decide_dry_runs(NOW, {"only": NOW - timedelta(days=70)})] == [True]


def age(found, days: float):
    """Let a snapshot have been taken earlier."""
    moment = datetime.now(UTC) - timedelta(days=days)
    path = found.folder / f"backup_{moment:%Y%m%d_%H%M%S}.json"
    made = found.model_copy(update={"created_at": moment}).write(path)
    found.archive.rename(made.archive)
    found.path.unlink()
    return Manifest.read(path)


def test_only_what_was_shown_and_only_our_own_files_go(clubs, opened, backups):
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
        assert [(each.name, each.keep) for each in decided] == [
            (older.snapshot, False), (old.snapshot, False), (new.snapshot, True)]  # fmt: skip
        assert [each.snapshot for each in list_snapshots(backups, "demo")] == [
            older.snapshot,
            old.snapshot,
            new.snapshot,
        ]
        gone = wb.snapshots.prune([each for each in decided if each.name != old.snapshot])
        assert gone == [older.snapshot]
        assert wb.snapshots.all() == [old, new]
        assert wb.snapshots.prune(decided) == [old.snapshot]
        assert len(wb.audit.entries(action="migration:snapshot:pruned")) == 2
    left = {each.name for each in backups.iterdir()}
    assert left == {
        new.archive.name,
        f"{new.snapshot}.json",
        "backup_20200101_000000.json",
        *(each.name for each in mine),
    }


def test_killed_while_pruning_nothing_half_is_listed(clubs, opened, backups):
    with opened(clubs.clone("guide")) as wb:
        old = age(wb.snapshots.create(), 40)
        wb.snapshots.create()
        decided = wb.snapshots.retention()
        with part(backups, datetime.now(UTC)), pytest.raises(Refused, match="takes a snapshot"):
            wb.snapshots.prune(decided)
        going = backups / f".{old.snapshot}.part"
        old.archive.rename(going)  # its first step
        assert old not in list_snapshots(backups)
        assert old in wb.snapshots.all()
        assert "whole" in wb.snapshots.said[-1]
        old.archive.rename(going)
        old.path.unlink()  # its second
        assert old not in wb.snapshots.all()
        assert "unfinished" in wb.snapshots.said[-1]
    assert len(list(backups.iterdir())) == 2


def test_dry_runs_go_after_seven_days_but_the_last(clubs, opened, backups):
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
    with opened(clubs.clone("application")) as wb:
        decided = wb.snapshots.retention()
        assert [each.keep for each in decided] == [False, False, True]
        with pytest.raises(Refused, match="running, or has changed"):
            wb.snapshots.prune(decided[1:])
        assert wb.snapshots.prune(decided[:1]) == [decided[0].name]
        assert list(wb.audit.entries(action="migration:dry-run:pruned")["operator"]) == ["dana"]
    assert sorted(each.name for each in backups.iterdir()) == sorted(each.name for each in decided[1:])
