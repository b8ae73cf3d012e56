"""Random clubs, runs and later edits: a rollback leaves people's work alone, and undoing it changes nothing."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.edits import EDITS
from tests.fixes.conftest import IMPORTS, Scene, Staging
from tests.fixes.test_rollback import assert_no_row_is_in_two_lists, contents
from workbench.errors import Refused

UNUSUAL = settings(
    max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "4")),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # an example costs a second; shrinking it would cost minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize(("dialect", "importer"), IMPORTS)
@UNUSUAL
@given(
    seed=st.integers(0, 10_000),
    members=st.sampled_from([50, 200]),
    sizes=st.fixed_dictionaries(
        {
            "members": st.integers(0, 6),
            "events": st.integers(0, 3),
            "registrations": st.integers(0, 12),
            "updates": st.integers(0, 6),
            "mapped": st.integers(0, 2),
            "again": st.integers(0, 3),
        }
    ),
    edits=st.lists(st.sampled_from(sorted(EDITS)), max_size=6, unique=True),
    on_conflict=st.sampled_from(["keep", "restore"]),
    with_snapshot=st.booleans(),
)
def test_people_s_work_stays_and_undo_is_the_identity(
    staged: Staging,
    dialect: str,
    importer: str,
    seed: int,
    members: int,
    sizes: dict[str, int],
    edits: list[str],
    on_conflict: str,
    with_snapshot: bool,
) -> None:
    scene = staged(dialect, importer, edits, seed=seed, club_members=members, **sizes)
    with scene.connect() as connection:
        theirs = [(edit, contents(connection, edit)) for edit in scene.edits]
    wb = scene.open()
    try:
        plan = wb.runs.plan_rollback(
            scene.imported.run,
            snapshot=scene.snapshot if with_snapshot else None,
            on_conflict=on_conflict,  # type: ignore[arg-type]
        )
    except Refused:
        assert not any(scene.imported.created.values()) or scene.edits
        assert not scene.changed(scene.after)
        return
    assert not scene.changed(scene.after)  # planning writes nothing
    assert_no_row_is_in_two_lists(plan)  # type: ignore[arg-type]
    scene.carry_out(plan)  # type: ignore[arg-type]
    conflicts = {(each["table"], each["key"], each["column"]) for each in plan.conflicts}  # type: ignore[union-attr]
    with scene.connect() as connection:
        for edit, wrote in theirs:
            restored = on_conflict == "restore" and any(
                (edit.table, edit.key, column) in conflicts for column in edit.columns
            )
            if not restored:
                assert contents(connection, edit) == wrote, edit
    assert_only_the_run_s_rows_changed(scene)
    scene.undo(plan)  # type: ignore[union-attr]
    assert not scene.changed(scene.after)


def assert_only_the_run_s_rows_changed(scene: Scene) -> None:
    """A row that the run neither made nor changed is exactly what it was."""
    known = {key for keys in scene.imported.created.values() for key in keys}
    known |= {key for _, key in scene.imported.updated}
    for table, (gone, added) in scene.changed(scene.after).items():
        for row in (*gone, *added):
            assert any(key in row for key in known), (table, row)
