"""After a restore to the snapshot and the replay, only the bad run's doing is gone; undoing the replay is the snapshot."""

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

from tests.differences.conftest import restore_in_place
from tests.edits import EDITS
from tests.fixes.conftest import IMPORTS, Scene, Staging
from workbench.errors import Drift, Refused
from workbench.murmurant.references import References
from workbench.plans.plan import Plan
from workbench.workbench import Workbench

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


def references_of(wb: Workbench) -> list[tuple[str, str, str]]:
    audit = wb.session.schema.resolved["audit"].table
    return [
        (each.child, each.column, each.parent)
        for each in References(wb.session.schema).all
        if each.child != audit
    ]


def as_it_would_be(scene: Scene, before: Rows, after: Rows, plan: Plan | None, wb: Workbench) -> Rows:
    """Work out, from what the test itself did, what there would be had the run never been."""
    run = scene.imported
    edited = {(each.table, each.key) for each in scene.edits}
    clashes = {(each["table"], each["key"], each["column"]) for each in (plan.conflicts if plan else ())}
    found: Rows = {}
    for table, now in after.items():
        own = set(run.created.get(table, ()))
        rows = found.setdefault(table, {})
        for key, row in now.items():
            if key in own or (table == "AuditLog" and run.run in str(row["metadata"])):
                continue
            was = before[table].get(key)
            if was is None:
                rows[key] = row
                continue
            wrote = run.updated.get((table, key), {})
            rows[key] = {
                name: was[name]
                if name in wrote
                and value == wrote[name][1]
                and (table, key, name) not in clashes
                and not (name == "updatedAt" and (table, key) in edited)
                else value
                for name, value in row.items()
            }
    references = references_of(wb)
    while True:  # what rests on what the run made has no place
        resting = [
            (child, key)
            for child, column, parent in references
            for key, row in found.get(child, {}).items()
            if key not in before[child]
            and row[column] is not None
            and str(row[column]) in after[parent]
            and str(row[column]) not in found[parent]
        ]
        if not resting:
            break
        for child, key in resting:
            found[child].pop(key, None)
    for child, column, parent in references:  # and what led to it leads to where it led
        for key, row in found[child].items():
            if (
                row[column] is not None
                and str(row[column]) in after[parent]
                and str(row[column]) not in found[parent]
            ):
                row[column] = before[child][key][column]
    return found


def assert_same(found: Rows, expected: Rows, own_entries: int = 1) -> None:
    for table in expected:
        missing = expected[table].keys() - found[table].keys()
        more = found[table].keys() - expected[table].keys()
        assert not missing, (table, missing)
        assert len(more) == (own_entries if table == "AuditLog" else 0), (table, more)
        for key, row in expected[table].items():
            assert found[table][key] == row, (table, key)


def prove(scene: Scene) -> None:
    """Plan, restore, apply, compare with what would be; then undo, and compare with the snapshot."""
    after = rows_of(scene.url)
    wb = scene.open()
    try:
        plan = wb.history.plan_replay(scene.snapshot, [scene.imported.run])
    except Refused:  # nothing that can stand without the run
        plan = None
    assert not scene.changed(scene.after)  # planning writes nothing
    if plan is not None:
        wb.plans.approve(plan, plan.digest, approver="robin")
        with pytest.raises(Drift) as early:  # it is for the restored database
            wb.plans.apply(plan)
        assert f"a restore to {plan.parameters['snapshot']} makes" in early.value.next_step
        assert "carry that restore out first" in early.value.next_step
        assert "Plan again" not in early.value.next_step
    restore_in_place(scene.url, scene.snapshot)
    before = rows_of(scene.url)
    expected = as_it_would_be(scene, before, after, plan, wb)
    if plan is not None:
        wb.plans.apply(plan)
    assert_same(rows_of(scene.url), expected, own_entries=int(plan is not None))
    if plan is None:
        return
    # Nothing is dropped without a word.
    said = {(each["table"], each["key"]) for each in plan.conflicts}
    for table, now in after.items():
        lost = now.keys() - expected[table].keys() - set(scene.imported.created.get(table, ()))
        if table != "AuditLog":
            assert lost <= {key for name, key in said if name == table}
    scene.undo(plan)
    assert not scene.changed(scene.before)


@pytest.mark.parametrize(("dialect", "importer"), IMPORTS)
def test_only_the_bad_run_s_doing_is_gone(staged: Staging, dialect: str, importer: str) -> None:
    prove(staged(dialect, importer, EVERYTHING))


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
    staged: Staging, dialect: str, importer: str, seed: int, edits: list[str]
) -> None:
    prove(staged(dialect, importer, edits, seed=seed, club_members=50))


def test_the_ledger_counts_what_a_restore_would_lose(staged: Staging) -> None:
    edits = ("untouched-member", "old-member-registers", "created-member-registers")
    scene = staged("application", "api", edits)
    wb = scene.open()
    lost = wb.history.losses(scene.snapshot, [scene.imported.run]).facts
    counts = lost["tables"].set_index("table")
    registrations = scene.imported.table["Registration"]
    assert counts.loc["Member", "changed"] == 1
    assert counts.loc[registrations, "added"] == 2
    assert counts.loc[registrations, "conflicts"] == 2  # of a new member; on the run's event
    assert "Event" not in counts.index
    assert wb.history.losses(scene.snapshot).facts["total"] > lost["total"]


def test_a_conflict_stays_as_the_snapshot_has_it_where_that_is_asked_for(staged: Staging) -> None:
    scene = staged("application", "api", ("documented-updated-member-same-column", "untouched-member"))
    (edit,) = (each for each in scene.edits if each.documented)
    keep, restore = (
        scene.open().history.plan_replay(scene.snapshot, [scene.imported.run], on_conflict=way)  # type: ignore[arg-type]
        for way in ("keep", "restore")
    )
    assert [(each["key"], each["column"]) for each in restore.conflicts] == [(edit.key, edit.columns[0])]
    for plan, comes in ((keep, True), (restore, False)):
        sections = [each for each in plan.operations if edit.columns[0] in each.changed]
        assert any(row[0] == edit.key for each in sections for row in plan.rows(each)) is comes
    assert any("nothing tells who wrote them" in each for each in keep.notes)


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
