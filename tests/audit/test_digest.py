"""The digest of the workbench's own entries: noted in snapshots and plans, and held against the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.conftest import Login, log
from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs, Ground
from workbench.audit import LogState, Noted, own_digest
from workbench.database.connection import raw
from workbench.plans.plan import Plan

OURS = """ "AuditLog" SET {} WHERE id = %s"""
ALTERED = {
    "what it says": """metadata = metadata || '{"n": 99}'""",
    "a key more": """metadata = metadata || '{"more": null}'""",
    "a number's scale": """metadata = jsonb_set(metadata, '{n}', '1.0')""",
    "its moment": """ "createdAt" = "createdAt" - interval '1 ms'""",
    "its id": """id = gen_random_uuid()""",
}
GONE = {
    "whose it is": """metadata = metadata - 'source'""",
    "a later moment": """ "createdAt" = "createdAt" + interval '1 day'""",
    "no moment": """ "createdAt" = 'infinity'""",
}


def state(ground: Ground, url: str | None = None) -> LogState:
    return ground.open(url).audit_log_state()


def note(ground: Ground, entries: int = 3) -> tuple[list[str], str]:
    """Write some entries and take a snapshot that notes them; return their ids, and the snapshot's name."""
    ids = [log(ground, n=number) for number in range(entries)]
    return ids, ground.open().create_snapshot().snapshot


def digest(ground: Ground, options: str = "") -> Noted | None:
    with ground.connect(options=options) as connection:
        return own_digest(connection, ground.open().schema)


def test_what_was_noted_last_holds_and_goes_on(ground: Ground) -> None:
    assert state(ground).state == "nothing noted"
    _, snapshot = note(ground)
    found = state(ground)
    assert (found.state, found.noted_in, found.entries) == ("holds", f"snapshot {snapshot}", 3)
    run = [run for run in ground.open().find_runs() if run.mode == "live"][-1].run
    plan = ground.open().plan_rollback(run, min_evidence="weak")
    assert isinstance(plan, Plan)
    found = state(ground)
    assert (found.state, found.noted_in, found.entries) == ("holds", f"plan {plan.id}", 4)
    ground.carry_out(plan)
    undoing = ground.open().plan_undo(plan.id)
    found = state(ground)
    assert (found.state, found.noted_in, found.entries) == ("holds", f"plan {undoing.id}", 5)
    log(ground)
    ground.execute("""DELETE FROM "AuditLog" WHERE metadata ->> 'source' IS DISTINCT FROM 'workbench'""")
    assert state(ground) == found


@pytest.mark.parametrize("change", [*ALTERED, *GONE])
def test_an_altered_entry_is_told(ground: Ground, change: str) -> None:
    (_, second, _), _ = note(ground)
    ground.execute(f'UPDATE "AuditLog" SET {({**ALTERED, **GONE})[change]} WHERE id = %s', second)
    found = state(ground)
    assert (found.state, found.missing, found.added) == ("differs", int(change in GONE), 0)


def test_entries_that_were_deleted_are_counted(ground: Ground) -> None:
    ids, _ = note(ground)
    for number, entry in enumerate(ids, 1):
        ground.execute('DELETE FROM "AuditLog" WHERE id = %s', entry)
        found = state(ground)
        assert (found.state, found.missing, found.added) == ("differs", number, 0)


def test_an_entry_put_in_between_is_counted(ground: Ground) -> None:
    (first, *_), _ = note(ground)
    added = log(ground)
    assert state(ground).state == "holds", "later entries are nothing to tell of"
    ground.execute(
        """UPDATE "AuditLog" SET "createdAt" = (SELECT "createdAt" FROM "AuditLog" WHERE id = %s) WHERE id = %s""",
        first,
        added,
    )
    found = state(ground)
    assert (found.state, found.missing, found.added) == ("differs", 0, 1)


@pytest.mark.parametrize("back", [False, True])
def test_a_restore_takes_away_what_was_noted_later(ground: Ground, back: bool) -> None:
    """And excuses nothing from before the snapshot; nor does the way back to the database that was replaced."""
    (first, *_), snapshot = note(ground)
    log(ground)
    ground.open().create_snapshot()
    assert state(ground).entries == 5
    wb = ground.open()
    request = wb.request_restore(snapshot)
    wb.approve_restore(request, request.digest, approver="erin", confirm=ground.name)
    wb.restore(request)
    found = state(ground)
    assert (found.state, found.noted_in, found.entries) == ("holds", f"snapshot {snapshot}", 3)
    assert found.restored == f"{snapshot}.dump"
    if back:
        log(ground)
        later = ground.open().create_snapshot().snapshot
        assert state(ground).noted_in == f"snapshot {later}"
        request = wb.request_undo_of_restore(request.id)
        wb.approve_restore(request, request.digest, approver="erin", confirm=ground.name)
        wb.restore(request)
        found = state(ground)
        assert (found.state, bool(found.restored)) == ("holds", True)
        assert found.entries > 5
    ground.execute('DELETE FROM "AuditLog" WHERE id = %s', first)
    found = state(ground)
    assert (found.state, found.missing) == ("differs", 1)


def test_it_takes_select_and_no_more(ground: Ground, login: Login) -> None:
    _, snapshot = note(ground)
    url = login("SELECT")
    assert state(ground, url).noted_in == f"snapshot {snapshot}"
    ground.execute(f'REVOKE SELECT ON "AuditLog" FROM role_of_{ground.database}')
    wb = ground.open(url)
    with wb.reading() as connection:
        assert own_digest(raw(connection), wb.schema) is None


def test_it_is_the_same_however_a_session_or_a_column_spells_things(ground: Ground) -> None:
    log(ground, words="Zoë \u2028 \"'%s\\", number=1e-7, nested={"b": [1, {"z": None}], "a": {}})
    told = digest(ground)
    assert told is not None
    assert digest(ground, "-c TimeZone=Asia/Kolkata -c DateStyle=German -c extra_float_digits=-5") == told
    ground.execute("""ALTER TABLE "AuditLog" ALTER COLUMN metadata TYPE json""")
    ground.execute(
        """ALTER TABLE "AuditLog" ALTER "createdAt" TYPE timestamptz USING "createdAt" AT TIME ZONE 'UTC'"""
    )
    assert digest(ground) == told
    assert digest(ground, "-c TimeZone=Asia/Kolkata") == told


def test_the_command_tells_it(clubs: Clubs, at: Callable[..., Shell]) -> None:
    run = at(clubs.clone("application", members=50))
    assert run("snapshot", "create").returncode == 0
    assert json.loads(run("audit", "--json").stdout)["log"]["state"] == "nothing noted"
    name = json.loads(run("snapshot", "create", "--json").stdout)["snapshot"]
    told = json.loads(run("audit", "--json").stdout)["log"]
    assert told == {
        "state": "holds", "noted_in": f"snapshot {Path(name).stem}", "entries": 1, "until": told["until"],
        "missing": 0, "added": 0, "restored": "",
    }  # fmt: skip
    assert Path(name).stem in run("audit").stdout
