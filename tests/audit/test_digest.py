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
from workbench.audit.digest import LogState, Noted, compare_with_noted, own_digest
from workbench.database.connection import raw
from workbench.plans.plan import Plan
from workbench.snapshots.restore.request import Request

CHANGES = {
    """UPDATE "AuditLog" SET metadata = metadata || '{"n": 99}' WHERE id = %s""": (0, 0),
    """UPDATE "AuditLog" SET metadata = jsonb_set(metadata, '{n}', '1.0') WHERE id = %s""": (0, 0),
    """UPDATE "AuditLog" SET "createdAt" = "createdAt" - interval '1 ms' WHERE id = %s""": (0, 0),
    """UPDATE "AuditLog" SET id = gen_random_uuid() WHERE id = %s""": (0, 0),
    """UPDATE "AuditLog" SET metadata = metadata - 'source' WHERE id = %s""": (1, 0),
    """UPDATE "AuditLog" SET "createdAt" = "createdAt" + interval '1 day' WHERE id = %s""": (1, 0),
    """DELETE FROM "AuditLog" WHERE id = %s""": (1, 0),
    """DELETE FROM "AuditLog" WHERE metadata ->> 'source' = 'workbench' AND id <> %s""": (2, 0),
    """INSERT INTO "AuditLog" SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid()))).*
    FROM "AuditLog" t WHERE id = %s""": (0, 1),
}
"""What is done to the second of three entries, to how many are missing and how many were added then."""


def state(ground: Ground, url: str | None = None) -> LogState:
    return ground.open(url).audit.state()


def note(ground: Ground) -> tuple[str, str]:
    """Write some entries and take a snapshot that notes them; return the first's id, and the snapshot's name."""
    first, *_ = [log(ground, n=number) for number in range(3)]
    return first, ground.open().snapshots.create().snapshot


def digest(ground: Ground, options: str = "") -> Noted | None:
    with ground.connect(options=options) as connection:
        return own_digest(connection, ground.open().session.schema)


def test_what_was_noted_last_holds_and_goes_on(ground: Ground) -> None:
    assert state(ground).state == "nothing noted"
    _, snapshot = note(ground)
    now = state(ground)
    assert (now.state, now.noted_in, now.entries) == ("holds", f"snapshot {snapshot}", 3)
    run = [run for run in ground.open().session.find_runs() if run.mode == "live"][-1].run
    plan = ground.open().runs.plan_rollback(run, min_evidence="weak")
    assert isinstance(plan, Plan)
    now = state(ground)
    assert (now.state, now.noted_in, now.entries) == ("holds", f"plan {plan.id}", 4)
    ground.carry_out(plan)
    undoing = ground.open().plans.plan_undo(plan.id)
    now = state(ground)
    assert (now.state, now.noted_in, now.entries) == ("holds", f"plan {undoing.id}", 5)
    log(ground)
    ground.execute("""DELETE FROM "AuditLog" WHERE metadata ->> 'source' IS DISTINCT FROM 'workbench'""")
    assert state(ground) == now


def test_what_was_altered_deleted_or_put_in_is_told(ground: Ground) -> None:
    _, second, _ = (log(ground, n=number) for number in range(3))
    schema, noted = ground.open().session.schema, digest(ground)
    assert noted is not None
    for change, missing_and_added in CHANGES.items():
        with ground.connect() as connection:
            connection.execute(change, [second])  # type: ignore[arg-type]
            now = compare_with_noted(connection, schema, [("a note", noted)])
            assert (now.state, (now.missing, now.added)) == ("differs", missing_and_added), change
            connection.rollback()
    log(ground)
    with ground.connect() as connection:
        assert compare_with_noted(connection, schema, [("a note", noted)]).state == "holds"


@pytest.mark.parametrize("dialect", ["application"])
def test_a_restore_takes_away_what_was_noted_later(ground: Ground) -> None:
    """And excuses nothing from before the snapshot; nor does the way back to the database that was replaced."""

    def restore(request: Request) -> Request:
        wb.plans.approve(request, request.digest, approver="erin", confirm=ground.name)
        wb.restores.carry_out(request)
        return request

    first, snapshot = note(ground)
    log(ground)
    ground.open().snapshots.create()
    assert state(ground).entries == 5
    wb = ground.open()
    request = restore(wb.restores.ask(snapshot))
    now = state(ground)
    assert (now.state, now.noted_in, now.entries) == ("holds", f"snapshot {snapshot}", 3)
    assert now.restored == f"{snapshot}.dump"
    restore(wb.restores.ask_undo(request.id))
    now = state(ground)
    assert (now.state, now.entries > 4) == ("holds", True)
    ground.execute('DELETE FROM "AuditLog" WHERE id = %s', first)
    now = state(ground)
    assert (now.state, now.missing) == ("differs", 1)


@pytest.mark.parametrize("dialect", ["application"])
def test_it_takes_select_and_no_more(ground: Ground, login: Login) -> None:
    _, snapshot = note(ground)
    url = login("SELECT")
    assert state(ground, url).noted_in == f"snapshot {snapshot}"
    ground.execute(f'REVOKE SELECT ON "AuditLog" FROM role_of_{ground.database}')
    wb = ground.open(url)
    with wb.session.reading() as connection:
        assert own_digest(raw(connection), wb.session.schema) is None


@pytest.mark.parametrize("dialect", ["application"])
def test_it_is_the_same_however_a_session_or_a_column_spells_things(ground: Ground) -> None:
    log(ground, words="Zoë \u2028 \"'%s\\", number=1e-7, nested={"b": [1, {"z": None}], "a": {}})
    noted = digest(ground)
    assert noted is not None
    assert digest(ground, "-c TimeZone=Asia/Kolkata -c DateStyle=German -c extra_float_digits=-5") == noted
    ground.execute("""ALTER TABLE "AuditLog" ALTER COLUMN metadata TYPE json""")
    ground.execute(
        """ALTER TABLE "AuditLog" ALTER "createdAt" TYPE timestamptz USING "createdAt" AT TIME ZONE 'UTC'"""
    )
    assert digest(ground) == noted
    assert digest(ground, "-c TimeZone=Asia/Kolkata") == noted


def test_the_command_tells_it(clubs: Clubs, at: Callable[..., Shell]) -> None:
    run = at(clubs.clone("application", members=50))
    assert run("snapshot", "create").returncode == 0
    assert json.loads(run("audit", "--json").stdout)["log"]["state"] == "nothing noted"
    name = json.loads(run("snapshot", "create", "--json").stdout)["snapshot"]
    noted = json.loads(run("audit", "--json").stdout)["log"]
    assert noted == {
        "state": "holds", "noted_in": f"snapshot {Path(name).stem}", "entries": 1, "until": noted["until"],
        "missing": 0, "added": 0, "restored": "",
    }  # fmt: skip
    assert Path(name).stem in run("audit").stdout
