"""On the recordings of the real importers: the second run was bad, and people worked on before anybody noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import LOG, Server, Target, carry_out, database_at
from tests.fixes.test_recordings import RUNS
from tests.recorded import STATES, load
from tests.states import differences, state
from workbench.murmurant.reports import read_reports
from workbench.session import Session
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench

NEW, HERS = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2))

# What people did, on records that were there before the run.
WORK = f"""
    UPDATE "Member" SET phone = '8055550199', "updatedAt" = '2027-01-01' WHERE id = %(old_member)s;
    INSERT INTO "Member" (id, "firstName", "lastName", email, "joinedAt", "membershipStatusId", "createdAt", "updatedAt")
        SELECT '{NEW}', 'Nora', 'New', 'nora@example.org', '2027-01-01', "membershipStatusId", '2027-01-01', '2027-01-01'
        FROM "Member" WHERE id = %(old_member)s;
    INSERT INTO "EventRegistration" (id, "eventId", "memberId", status, "registeredAt", "createdAt", "updatedAt")
        VALUES ('{HERS}', %(old_event)s, '{NEW}', 'CONFIRMED', '2027-01-01', '2027-01-01', '2027-01-01');
    DELETE FROM "WaIdMapping" WHERE "clubosId" = %(old_registration)s;
    DELETE FROM "EventRegistration" WHERE id = %(old_registration)s;
"""


def the_one(connection: psycopg.Connection[Any], query: str) -> str:
    row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return str(row[0])


def work(url: str, statement: str, values: dict[str, str]) -> None:
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement, values)  # type: ignore[arg-type]


@pytest.mark.parametrize("importer", sorted(RUNS))
def test_the_second_run_is_gone_and_people_s_work_is_there(
    server: Server, recordings: Path, tmp_path: Path, importer: str
) -> None:
    first, second, report = RUNS[importer]
    live, expected = (server.url(server.create()) for _ in range(2))
    for url, name in ((live, second), (expected, first)):
        with psycopg.connect(url) as connection:
            load(connection, STATES[name])
    snapshot = Target(expected, tmp_path).dump()
    with psycopg.connect(expected) as other:
        values = {
            "old_member": the_one(other, 'SELECT min(id::text) FROM "Member"'),
            "old_event": the_one(other, 'SELECT min(id::text) FROM "Event"'),
            "old_registration": the_one(other, 'SELECT min(id::text) FROM "EventRegistration"'),
        }
        was = state(other, {LOG})
    work(live, WORK, values)
    work(expected, WORK, values)
    (path,) = recordings.glob(report)
    wb = Workbench(
        Session(
            database_at(live),
            EnvironmentSettings(kind="development"),
            Settings(operator="dana", home=tmp_path, scratch_url_env="SCRATCH_URL"),
            read_reports([path]),
        )
    )
    run = json.loads(path.read_text(encoding="utf-8"))["runId"]
    plan = wb.history.plan_replay(snapshot, [run])
    assert plan.changes["EventRegistration"] == {"delete": 1, "insert": 1}
    assert not plan.conflicts
    name = str(conninfo_to_dict(live)["dbname"])
    with psycopg.connect(make_conninfo(live, dbname="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    with psycopg.connect(live) as connection:
        load(connection, STATES[first])
    carry_out(wb, plan)
    club, wanted = (Target(url, tmp_path).state for url in (live, expected))
    assert not differences(wanted(LOG), club(LOG))
    carry_out(wb, wb.plans.plan_undo(plan.id))
    assert not differences(was, club(LOG))
