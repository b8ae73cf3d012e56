"""Rows that a sync made and could not map: known by their time, and by the errors that name them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.commands import shell as shell
from tests.conftest import LOG, Clubs, Server
from tests.fixes.test_rebooked import snapshot_of
from tests.recorded import Recording
from tests.recorded import recording as recording
from tests.states import differences

FAILED = """
Invalid `prisma.waIdMapping.create()` invocation in
/app/src/lib/importing/wildapricot/importer.ts:561:31
Unique constraint failed on the fields: (`entityType`,`waId`)"""
WORDS = {"Member": "members", "EventRegistration": "registrations"}


class Lost(NamedTuple):
    """A club in which the sync made a row, and failed to map it or to log it."""

    club: Recording
    run: str
    table: str
    key: str

    def row(self) -> dict[str, Any]:
        found = self.club.json("run", self.run, "--limit", "2000")
        (row,) = [each for each in found["listed"] if each["record_id"] == self.key]
        return dict(row)

    def plan(self, *options: str) -> Any:
        return self.club.json("plan", "rollback", self.run, *options)


@pytest.fixture
def lose(
    recording: Callable[..., Recording], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Lost]:
    """Return a function that lets the sync of `rebooked` fail at the mapping, or the audit row, of one of its rows."""

    def stage(table: str, *, named: bool = True, mapped: bool = False) -> Lost:
        club = recording("rebooked")
        with club.connect() as connection:
            found = connection.execute(
                """SELECT "clubosId"::text, "waId" FROM "WaIdMapping" m JOIN "Member" t ON t.id = "clubosId"
                   WHERE (SELECT count(*) FROM "WaIdMapping" o WHERE o."clubosId" = t.id) = 1
                   AND NOT EXISTS (SELECT FROM "Event" WHERE "eventChairId" = t.id) ORDER BY 2 LIMIT 1"""
                if table == "Member"
                else """SELECT "clubosId"::text, "waId" FROM "WaIdMapping"
                        WHERE "entityType" = 'EventRegistration' ORDER BY 2 DESC LIMIT 1"""
            ).fetchone()
            assert found is not None
            key, wa_id = found
            if (
                table == "Member"
            ):  # nothing came after it: the sync skips the registrations of whom it could not map
                gone = connection.execute(
                    'DELETE FROM "EventRegistration" WHERE "memberId" = %s RETURNING id', [key]
                ).fetchall()
                for (each,) in gone:
                    connection.execute('DELETE FROM "WaIdMapping" WHERE "clubosId" = %s', [each])
                    connection.execute('DELETE FROM "AuditLog" WHERE "resourceId" = %s', [each])
            if not mapped:
                connection.execute('DELETE FROM "WaIdMapping" WHERE "clubosId" = %s', [key])
            connection.execute('DELETE FROM "AuditLog" WHERE "resourceId" = %s', [key])
        report = json.loads((club.files / "imports" / "report.json").read_text())
        if named:
            report["errors"] = [{"entityType": table, "waId": wa_id, "message": FAILED}]
            report["stats"][WORDS[table]]["created"] -= 1
            report["stats"][WORDS[table]]["errors"] += 1
        (tmp_path / "report.json").write_text(json.dumps(report))
        toml = tmp_path / "workbench.toml"
        settings = toml.read_text().replace(str(club.files / "imports"), str(tmp_path / "report.json"))
        toml.write_text(f'scratch_url_env = "SCRATCH_URL"\n{settings}')
        monkeypatch.setenv("SCRATCH_URL", server.url("postgres"))
        return Lost(club, report["runId"], table, key)

    return stage


@pytest.mark.parametrize(("table", "mapped"), [("EventRegistration", False), ("Member", True)])
def test_what_an_error_names_is_the_run_s(
    lose: Callable[..., Lost], server: Server, tmp_path: Path, table: str, mapped: bool
) -> None:
    lost = lose(table, mapped=mapped)
    row = lost.row()
    assert (row["action"], row["strength"], row["touched_since"]) == ("created", "likely", "")
    assert "error in report" in row["evidence"]
    before = lost.club.state(LOG)
    careful = lost.plan("--min-evidence", "strong")
    assert (table, lost.key) in {(each["table"], each["key"]) for each in careful["unresolved"]}
    assert careful["changes"][table]["delete"] < len(before[table])
    planned = lost.plan("--snapshot", str(snapshot_of(server, tmp_path)))
    assert (planned["kept"], planned["unresolved"]) == ([], [])
    lost.club.apply(planned)
    assert {name for name, rows in lost.club.state(LOG).items() if rows} == {"MembershipStatus"}
    lost.club.undo(planned)
    assert not differences(before, lost.club.state(LOG))


def test_time_alone_is_weak_and_acted_on_when_asked(lose: Callable[..., Lost]) -> None:
    table = "Member"
    lost = lose(table, named=False)
    row = lost.row()
    assert (row["action"], row["strength"], row["evidence"]) == ("created", "weak", "own time")
    planned = lost.plan()
    assert [(each["table"], each["key"]) for each in planned["unresolved"]] == [(table, lost.key)]
    assert "weak" in planned["unresolved"][0]["resolved_by"]
    there = lost.club.state(LOG)
    assert planned["changes"][table]["delete"] == len(there[table]) - 1
    weak = lost.plan("--min-evidence", "weak")
    assert weak["changes"][table]["delete"] == len(there[table])


def test_a_person_who_came_meanwhile_is_not_the_run_s(lose: Callable[..., Lost]) -> None:
    """Nothing but the time fits: no raw data, and a registration made as the person registered."""
    lost = lose("EventRegistration")
    with lost.club.connect() as connection:
        registration, member = (
            str(connection.execute(statement).fetchone()[0])  # type: ignore[index]
            for statement in (
                """INSERT INTO "EventRegistration" (id, "eventId", "memberId", status, "registeredAt", "createdAt", "updatedAt")
                   SELECT gen_random_uuid(), e.id, m.id, 'CONFIRMED', r."createdAt", r."createdAt", r."createdAt"
                   FROM "Event" e, "Member" m, (SELECT min("createdAt") AS "createdAt" FROM "EventRegistration") r
                   WHERE NOT EXISTS (SELECT FROM "EventRegistration" o WHERE o."eventId" = e.id AND o."memberId" = m.id)
                   ORDER BY e.id, m.id LIMIT 1 RETURNING id""",
                """INSERT INTO "Member" (id, "firstName", "lastName", email, "joinedAt", "membershipStatusId", "createdAt", "updatedAt")
                   SELECT gen_random_uuid(), 'Pat', 'Walk-in', 'pat@example.org', "createdAt", "membershipStatusId", "createdAt", "updatedAt"
                   FROM "Member" ORDER BY id LIMIT 1 RETURNING id""",
            )
        )
    assert lost.row()["strength"] == "likely"
    planned = lost.plan()
    unresolved = {(each["table"], each["key"]) for each in planned["unresolved"]}
    assert unresolved == {("EventRegistration", registration), ("Member", member)}
    lost.club.apply(planned)
    with lost.club.connect() as connection:
        assert connection.execute('SELECT id::text FROM "EventRegistration"').fetchall() == [(registration,)]
        assert (member,) in connection.execute('SELECT id::text FROM "Member"').fetchall()


def test_more_unmapped_registrations_than_errors_are_told_by_none(lose: Callable[..., Lost]) -> None:
    lost = lose("EventRegistration")
    with lost.club.connect() as connection:
        other = connection.execute(
            """DELETE FROM "WaIdMapping" WHERE id = (SELECT id FROM "WaIdMapping"
               WHERE "entityType" = 'EventRegistration' ORDER BY "waId" LIMIT 1) RETURNING "clubosId" """
        ).fetchone()
        assert other is not None
        connection.execute('DELETE FROM "AuditLog" WHERE "resourceId" = %s', other)
    assert lost.row()["strength"] == "weak"


def test_in_the_guide_s_dialect_where_records_bear_no_run_id(clubs: Clubs) -> None:
    club = clubs.clone("guide")
    run = club.club.last_live_run.run
    for table in ("Member", "Event", "Registration"):
        club.execute(f'ALTER TABLE "{table}" DROP "importRunId"')
    with club.workbench(import_reports=()) as wb:
        before = wb.runs.records(run).records
    victim = before[(before["entity"] == "Registration") & (before["action"] == "created")].iloc[0][
        "record_id"
    ]
    club.execute('DELETE FROM "WaIdMapping" WHERE "murmurantId" = %s', victim)
    with club.workbench(import_reports=()) as wb:
        records = wb.runs.records(run).records
    (row,) = records[records["record_id"] == victim].to_dict("records")
    assert (row["action"], row["strength"], row["evidence"]) == ("created", "weak", "own time")
    assert len(records) == len(before)
