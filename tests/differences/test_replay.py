"""After a restore and its replay only the bad run's changes are gone; undoing the replay gives the snapshot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from tests.conftest import Clubs
from tests.differences.conftest import restore_in_place
from tests.edits import EDITS
from tests.fixes.conftest import IMPORTS, Scene, Staging
from workbench.errors import Drift, Refused

EVERYTHING = (
    "created-member",
    "documented-created-event",
    "updated-member-same-column",
    "documented-updated-member-other-column",
    "updated-registration",
    "mapped-member",
    "untouched-member",
    "created-member-registers",
    "old-member-registers",
    "account",
    "tickets",
    "authored-note",
    "chair",
)

Rows = dict[str, dict[str, dict[str, Any]]]


def rows_of(url: str) -> Rows:
    """Return every row of every table by its id, values as they are."""
    rows: Rows = {}
    with psycopg.connect(url, row_factory=dict_row) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for name in (row["tablename"] for row in names):
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))
            rows[name] = {str(row["id"]): row for row in connection.execute(query)}
    return rows


def without_the_run(scene: Scene, clubs: Clubs) -> Rows:
    """Return what there would be had the run been rolled back instead; its own entries of the log are gone as well."""
    copy = clubs.copy(scene)
    after = rows_of(scene.url)["AuditLog"]
    try:
        copy.carry_out(copy.open().runs.plan_rollback(scene.imported.run, snapshot=scene.snapshot))  # type: ignore[arg-type]
    except Refused:  # nothing of the run is left, or may go
        assert scene.edits
    rows = rows_of(copy.url)
    run = scene.imported.run
    return rows | {"AuditLog": {key: row for key, row in after.items() if run not in str(row["metadata"])}}


def assert_same(rows: Rows, expected: Rows, own_entries: int) -> None:
    for table in expected:
        more = rows[table].keys() - expected[table].keys()
        assert len(more) == (own_entries if table == "AuditLog" else 0), (table, more)
        for key, row in expected[table].items():
            assert rows[table].get(key) == row, (table, key)


def prove(scene: Scene, clubs: Clubs) -> None:
    """Plan, restore, apply, compare with what a rollback leaves; then undo, and compare with the snapshot."""
    expected = without_the_run(scene, clubs)
    wb = scene.open()
    try:
        plan = wb.history.plan_replay(scene.snapshot, [scene.imported.run])
    except Refused:  # nothing was done but by the run
        plan = None
    assert not scene.changed(scene.after)  # planning writes nothing
    if plan is not None:
        wb.plans.approve(plan, plan.digest, approver="robin")
        with pytest.raises(Drift) as early:  # it is for the restored database
            wb.plans.apply(plan)
        assert "right after its restore" in early.value.next_step
        assert "Plan again" not in early.value.next_step
    restore_in_place(scene.url, scene.snapshot)
    if plan is not None:
        wb.plans.apply(plan)
    assert_same(rows_of(scene.url), expected, own_entries=int(plan is not None))
    if plan is not None:
        scene.undo(plan)
        assert not scene.changed(scene.before)


@pytest.mark.parametrize(("dialect", "importer"), IMPORTS)
def test_only_the_bad_run_s_doing_is_gone(staged: Staging, clubs: Clubs, dialect: str, importer: str) -> None:
    prove(staged(dialect, importer, EVERYTHING), clubs)


@pytest.mark.parametrize(("dialect", "importer"), IMPORTS)
@settings(
    max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "1")),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # an example costs seconds
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 10_000),
    edits=st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=8, unique=True),
)
def test_whatever_people_did(
    staged: Staging, clubs: Clubs, dialect: str, importer: str, seed: int, edits: list[str]
) -> None:
    prove(staged(dialect, importer, edits, seed=seed, club_members=50), clubs)


def test_the_ledger_counts_what_a_restore_would_lose(staged: Staging) -> None:
    edits = ("untouched-member", "old-member-registers", "created-member-registers")
    scene = staged("application", "api", edits)
    wb = scene.open()
    lost = wb.history.losses(scene.snapshot, [scene.imported.run]).facts
    counts = lost["tables"].set_index("table")
    assert counts.loc["Member", ["added", "changed"]].tolist() == [1, 1]  # she whom somebody registered
    assert counts.loc["EventRegistration", "added"] == 2
    assert counts.loc["Event", "added"] == 1
    assert wb.history.losses(scene.snapshot).facts["total"] > lost["total"]


def test_a_conflict_stays_as_the_snapshot_has_it_where_that_is_asked_for(staged: Staging) -> None:
    scene = staged("application", "api", ("documented-updated-member-same-column", "untouched-member"))
    (edit,) = (edit for edit in scene.edits if edit.documented)
    keep, restore = (
        scene.open().history.plan_replay(scene.snapshot, [scene.imported.run], on_conflict=way)  # type: ignore[arg-type]
        for way in ("keep", "restore")
    )
    assert [(note["key"], note["column"]) for note in restore.conflicts] == [(edit.key, edit.columns[0])]
    for plan, comes in ((keep, True), (restore, False)):
        sections = [part for part in plan.operations if edit.columns[0] in part.changed]
        assert any(row[0] == edit.key for part in sections for row in plan.rows(part)) is comes
    assert any("unknown who wrote them" in note for note in keep.notes)


def test_a_run_that_did_all_and_a_snapshot_that_has_what_it_made_are_refused(
    staged: Staging, tmp_path: Path
) -> None:
    scene = staged("application", "csv")
    for snapshot, words in (
        (scene.snapshot, "Nothing was done since"),
        (scene.dump(tmp_path / "after.dump"), "not from before run"),
    ):
        with pytest.raises(Refused, match=words):
            scene.open().history.plan_replay(snapshot, [scene.imported.run])


def test_what_is_tied_to_the_run_too_weakly_is_not_put_back(staged: Staging) -> None:
    scene = staged("application", "csv", ("untouched-member", "old-member-registers"))
    plan = scene.open().history.plan_replay(scene.snapshot, [scene.imported.run], min_evidence="certain")
    assert [(part.name, part.table, part.rows) for part in plan.operations] == [("update", "Member", 1)]
    created = {key for keys in scene.imported.created.values() for key in keys}
    assert {note["key"] for note in plan.unresolved} >= created
    # Whom a person registered for an event that may be the run's is not lost in silence.
    assert scene.edits[1].key in {note["key"] for note in plan.conflicts}
