"""Full and incremental syncs, told apart and judged by the moments that each writes (guide §1.1, §7.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.commands import at as at
from tests.commands import shell as shell
from tests.recorded import Recording
from tests.recorded import recording as recording

Open = Callable[..., Recording]

FIRST, SECOND, NIGHTLY = (
    "sync_1796035718985_24omof",
    "sync_1796036131766_b7u8ub",
    "sync_1796037168450_01jcui",
)
BEFORE, ENDED = "2026-11-30 10:56:10.709", "2026-11-30 11:13:07.559"
"""When the second full sync ended, and the incremental one."""


def keep_state(club: Recording, full: str | None, incremental: str | None, both: str | None) -> None:
    """Write the sync state: the end of the last full sync, of the last incremental one, and what both write."""
    club.execute(
        """UPDATE "WaSyncState" SET "lastFullSync" = %s, "lastIncSync" = %s, "lastContactSync" = %s,
           "lastEventSync" = %s, "lastRegSync" = %s""",
        *(full, incremental, both, both, both),
    )


def statuses(club: Recording) -> dict[str, str]:
    return {run["run"]: run["status"] for run in club.json("runs")}


def finding(club: Recording, check: str) -> dict[str, Any]:
    (row,) = club.json("check", check)["findings"]
    return dict(row)


def test_an_incremental_sync_is_one_and_ended(recording: Open) -> None:
    club = recording("incremental")
    runs = {run["run"]: run for run in club.json("runs")}
    assert [runs[run]["sync"] for run in (FIRST, SECOND, NIGHTLY)] == ["full", "full", "incremental"]
    assert runs[NIGHTLY]["status"] == "completed"
    assert runs[NIGHTLY]["finished"].startswith("2026-11-30T11:13:07.559")
    assert NIGHTLY not in {row["key"] for row in finding(club, "runs-interrupted")["rows"]}


def test_each_sync_is_judged_by_its_own_moment(recording: Open) -> None:
    club = recording("incremental", reports=False)
    for state, second, nightly in (
        ((BEFORE, ENDED, ENDED), "completed", "completed"),
        (("2026-11-30 11:12:55", ENDED, ENDED), "completed", "completed"),  # one went on when the next began
        ((BEFORE, None, BEFORE), "completed", "interrupted"),  # killed
        (("2026-11-29", None, ENDED), "interrupted", "completed"),
        ((BEFORE, None, None), "completed", "unknown"),  # emptied by the workbench, which noted it
        ((None, None, None), "unknown", "unknown"),
        (
            (BEFORE, "2026-12-01 02:00:20", "2026-12-01 02:00:20"),
            "completed",
            "unknown",
        ),  # of a quiet night after it?
    ):
        keep_state(club, *state)
        runs = statuses(club)
        assert (runs[SECOND], runs[NIGHTLY]) == (second, nightly), state


def test_emptying_the_state_and_taking_it_back_changes_no_verdict(recording: Open) -> None:
    club = recording("incremental", reports=False)
    keep_state(club, BEFORE, ENDED, ENDED)
    before = statuses(club)
    planned = club.carry_out("sync-state")
    assert statuses(club) == before
    assert club.run("undo", planned["plan"], "--as", "erin", "--yes").returncode == 0
    assert statuses(club) == before


def test_a_nightly_sync_that_broke_off_is_red_until_the_next_one(recording: Open) -> None:
    club = recording("incremental", reports=False)
    keep_state(club, BEFORE, None, BEFORE)
    club.execute("""DELETE FROM "AuditLog" WHERE metadata->>'source' = 'workbench'""")
    assert [row["key"] for row in finding(club, "runs-interrupted")["rows"]] == [NIGHTLY]
    assert NIGHTLY in {row["key"] for row in finding(club, "runs-ended")["rows"]}
    club.execute(
        """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata, "createdAt")
           SELECT gen_random_uuid(), 'UPDATE', 'Member', id, %s::jsonb, '2026-12-01 02:00:05' FROM "Member" LIMIT 1""",
        '{"mode": "incremental", "waId": 50000, "source": "wa_import", "syncRunId": "sync_1796090400000_next01"}',
    )
    keep_state(club, BEFORE, "2026-12-01 02:00:20", "2026-12-01 02:00:20")
    assert finding(club, "runs-interrupted")["status"] == "pass"
    assert NIGHTLY not in str(finding(club, "runs-ended")["rows"])
    (run,) = [run for run in club.json("runs") if run["run"] == NIGHTLY]
    assert run["status"] != "completed"
    assert run["superseded_by"] == "sync_1796090400000_next01"
    club.execute(
        """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata, "createdAt")
           VALUES (gen_random_uuid(), 'UNDO', 'MigrationRun', gen_random_uuid(), %s::jsonb, '2026-11-30 12:00')""",
        '{"source": "workbench", "migrationAction": "migration:sync-state:reset"}',
    )
    (run,) = [run for run in club.json("runs") if run["run"] == NIGHTLY]
    assert run["superseded_by"] is None  # the next one did not know since when it had to fetch


def test_the_guides_incremental_sync(clubs: Any) -> None:
    """There the entry that says that it began says which it is."""
    club = clubs.clone("guide", 50)
    club.execute(
        """INSERT INTO "AuditLog" (action, metadata) VALUES
           ('migration:started', '{"run_id": "run_nightly", "mode": "incremental", "operator": "kim"}'),
           ('migration:completed', '{"run_id": "run_nightly", "counts": {"members": 1}, "duration": 1}')"""
    )
    with club.workbench() as wb:
        (run,) = [run for run in wb.session.find_runs() if run.run == "run_nightly"]
    assert (run.sync, run.mode, run.status) == ("incremental", "live", "completed")


def test_the_state_is_held_against_what_was_rolled_back(recording: Open) -> None:
    """Without a snapshot the sync state stays; the next incremental sync would not fetch again what is gone."""
    club = recording("incremental")
    assert finding(club, "sync-state")["status"] == "fail"  # emptied in part only, by the recording's reset
    keep_state(club, BEFORE, ENDED, ENDED)
    assert finding(club, "sync-state")["status"] == "pass"
    planned = club.carry_out("rollback", SECOND)
    assert "WaSyncState" not in planned["changes"]
    (row,) = finding(club, "sync-state")["rows"]
    assert row["moment"] == "lastContactSync"
    assert SECOND in row["why"]
    club.carry_out("sync-state")
    assert finding(club, "sync-state")["status"] == "pass"
    keep_state(club, None, "2026-12-01 02:00", "2026-12-01 02:00")  # an incremental sync, that fetched a day
    assert finding(club, "sync-state")["status"] == "fail"


def test_a_rolled_back_sync_still_ended(recording: Open) -> None:
    """The row of the sync state goes with the run that made it; that it had ended is still known."""
    club = recording("truncated", reports=False)
    before = statuses(club)
    assert set(before.values()) == {"completed"}
    club.carry_out("rollback", *before)
    assert statuses(club) == before
    assert finding(club, "sync-state")["status"] == "pass"
