"""Booked, cancelled, booked again: one record is one row, whatever number of Wild Apricot ids and writes it has."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.commands import shell as shell
from tests.conftest import LOG, Server, Target
from tests.recorded import Recording, load
from tests.recorded import recording as recording
from tests.states import differences

SEEDED = "MembershipStatus"
ALL = {"EventRegistration", "Event", "Member", "WaIdMapping", "WaSyncState"}


@pytest.fixture
def club(
    request: pytest.FixtureRequest,
    recording: Callable[..., Recording],
    tmp_path: Path,
) -> Recording:
    """The first sync of an empty club, in which people cancelled and booked again."""
    found = recording("rebooked", whole=getattr(request, "param", False))
    toml = tmp_path / "workbench.toml"
    toml.write_text('scratch_url_env = "SCRATCH_URL"\n' + toml.read_text())
    return found


def run_of(club: Recording) -> str:
    (run,) = club.json("runs")
    return str(run["run"])


def snapshot_of(server: Server, folder: Path, *tables: Path) -> Path:
    """Take a snapshot of a club that has these tables' rows and no other."""
    seeds = folder / "seeds"
    seeds.mkdir()
    for each in tables:
        shutil.copy(each, seeds)
    url = server.url(server.create())
    with psycopg.connect(url) as connection:
        load(connection, seeds)
    return Target(url, folder).dump()


def test_a_record_is_listed_once_with_all_its_ids_and_nobody_else_s_hand(club: Recording) -> None:
    found = club.json("run", run_of(club), "--limit", "2000")
    listed = [each for each in found["listed"] if each["record_id"]]
    ids = Counter(each["record_id"] for each in listed)
    assert set(ids.values()) == {1}
    assert ids.keys() == {
        key
        for table in ("Member", "Event", "EventRegistration")
        for key in club.ask(f'SELECT id::text FROM "{table}"')
    }
    assert {each["action"] for each in listed} == {"created"}
    assert {each["touched_since"] for each in listed} == {""}
    assert not found["differences"]
    with club.connect() as connection:
        told = connection.execute(
            """SELECT id, array_agg(DISTINCT wa ORDER BY wa) FROM (
                   SELECT "resourceId"::text AS id, metadata ->> 'waId' AS wa FROM "AuditLog" WHERE action = 'UPDATE'
                   UNION SELECT "clubosId"::text, "waId"::text FROM "WaIdMapping"
               ) t GROUP BY id HAVING count(DISTINCT wa) > 1"""
        ).fetchall()
    shown = {each["record_id"]: [each["wa_id"], *each["other_wa_ids"].split(", ")] for each in listed}
    assert len(told) > 1
    assert {key: sorted(shown[key]) for key, _ in told} == dict(told)


@pytest.mark.parametrize(("club", "seeded"), [(False, False), (True, True)], indirect=["club"])
def test_the_first_sync_rolled_back_is_the_empty_club(
    club: Recording, server: Server, tmp_path: Path, seeded: bool
) -> None:
    before = club.state(LOG)
    seeds = [club.files / f"{SEEDED}.csv"] if seeded else []
    snapshot = snapshot_of(server, tmp_path, *seeds)
    planned = club.carry_out("rollback", run_of(club), "--snapshot", str(snapshot))
    assert (planned["kept"], planned["conflicts"], planned["unresolved"]) == ([], [], [])
    assert planned["changes"] == {table: {"delete": len(before[table])} for table in ALL}
    assert {table: rows for table, rows in club.state(LOG).items() if rows} == {SEEDED: before[SEEDED]}
    club.undo(planned)
    assert not differences(before, club.state(LOG))


def test_without_a_snapshot_nothing_but_a_person_s_work_is_kept(club: Recording) -> None:
    with club.connect() as connection:
        found = connection.execute(
            """UPDATE "EventRegistration" SET "cancelledAt" = '2026-12-01', "updatedAt" = '2026-12-01' WHERE id = (
                   SELECT "resourceId" FROM "AuditLog" WHERE action = 'UPDATE' ORDER BY id LIMIT 1)
               RETURNING id::text, "memberId"::text, "eventId"::text"""
        ).fetchone()
    assert found is not None
    registration, member, event = found
    planned = club.json("plan", "rollback", run_of(club))
    kept = {(each["table"], each["key"]): each["reason"] for each in planned["kept"]}
    assert not planned["unresolved"]
    assert "somebody" in kept["EventRegistration", registration]
    assert kept.keys() >= {("Member", member), ("Event", event)}
    assert not any("not part of the run" in reason for reason in kept.values())  # all of it is
    before = club.state(LOG)
    club.apply(planned)
    left = club.state(LOG)
    assert len(left["EventRegistration"]) == 1
    assert sum(map(len, left.values())) - len(left[SEEDED]) == len(kept)
    club.undo(planned)
    assert not differences(before, club.state(LOG))


def test_what_a_person_logged_between_two_bookings_is_theirs(club: Recording) -> None:
    with club.connect() as connection:
        key = connection.execute(
            """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", "createdAt")
               SELECT gen_random_uuid(), 'UPDATE', "resourceType", "resourceId", "createdAt" - interval '1 ms'
               FROM "AuditLog" WHERE action = 'UPDATE' ORDER BY id LIMIT 1 RETURNING "resourceId"::text"""
        ).fetchone()
    assert key is not None
    planned = club.json("plan", "rollback", run_of(club))
    kept = {each["key"]: each["reason"] for each in planned["kept"]}
    assert "a person" in kept[key[0]]


def test_the_snapshot_of_an_empty_club_is_refused_where_there_were_records_before_the_run(
    club: Recording, server: Server, tmp_path: Path
) -> None:
    with club.connect() as connection:
        connection.execute(
            """UPDATE "Member" SET "createdAt" = '2026-01-01', "updatedAt" = '2026-01-01' WHERE id = (
                   SELECT "resourceId" FROM "AuditLog" WHERE "resourceType" = 'Member' ORDER BY id LIMIT 1)"""
        )
        connection.execute("""DELETE FROM "AuditLog" WHERE "resourceId" = (
            SELECT id FROM "Member" WHERE "createdAt" = '2026-01-01')""")
    snapshot = snapshot_of(server, tmp_path)
    asked = ("plan", "rollback", run_of(club), "--snapshot", str(snapshot))
    refused = club.run(*asked)
    assert refused.returncode == 3
    assert "another database" in refused.stderr
    with club.connect() as connection:  # unless the audit log says that it was taken here
        sha256 = hashlib.sha256(snapshot.read_bytes()).hexdigest()
        connection.execute(
            """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata)
               VALUES (gen_random_uuid(), 'UNDO', 'MigrationRun', gen_random_uuid(), %s)""",
            [json.dumps({"migrationAction": "migration:snapshot:created", "sha256": sha256})],
        )
    assert club.run(*asked).returncode == 0


def test_a_mapping_that_the_run_turned_to_its_own_record_leads_where_it_led(
    club: Recording, server: Server, tmp_path: Path
) -> None:
    """It was there before, and led to nobody: it goes back, and the record that it leads to now goes."""
    mappings = (club.files / "WaIdMapping.csv").read_text().splitlines()
    place = tmp_path / "WaIdMapping.csv"
    row = next(each for each in mappings if ",Member,50000," in each).split(",")
    was = [*row[:3], "00000000-0000-4000-8000-000000000000", "2026-01-01 00:00:00", "2026-01-01 00:00:00"]
    place.write_text(f"{mappings[0]}\n{','.join(was)}\n")
    before = club.state(LOG)
    planned = club.json(
        "plan", "rollback", run_of(club), "--snapshot", str(snapshot_of(server, tmp_path, place))
    )
    assert (planned["kept"], planned["conflicts"], planned["unresolved"]) == ([], [], [])
    assert planned["changes"]["Member"] == {"delete": len(before["Member"])}
    assert planned["changes"]["WaIdMapping"] == {"delete": len(before["WaIdMapping"]) - 1, "update": 1}
    club.apply(planned)
    assert [each for each in club.state(LOG)["WaIdMapping"] if was[3] in each] == club.state(LOG)[
        "WaIdMapping"
    ]
    club.undo(planned)
    assert not differences(before, club.state(LOG))


def test_a_person_s_hand_is_seen_below_a_run_that_was_taken_back(
    recording: Callable[..., Recording],
) -> None:
    """The second sync wrote to the record after the person did, and was rolled back: their work is still there."""
    club = recording("incremental")
    first, second = (each["run"] for each in club.json("runs")[:2])
    with club.connect() as connection:
        found = connection.execute(
            """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", "createdAt")
               SELECT gen_random_uuid(), 'UPDATE'::"AuditAction", "resourceType", "resourceId", max("createdAt") - interval '1 minute'
               FROM "AuditLog" WHERE "resourceType" = 'Member' AND metadata ->> 'syncRunId' IN (%s, %s)
               GROUP BY 3, 4 HAVING count(*) = 2 ORDER BY 4 LIMIT 1 RETURNING "resourceId"::text""",
            [first, second],
        ).fetchone()
    assert found is not None
    club.carry_out("rollback", second)
    planned = club.json("plan", "rollback", first)
    kept = {each["key"]: each["reason"] for each in planned["kept"]}
    assert "a person" in kept[found[0]]
