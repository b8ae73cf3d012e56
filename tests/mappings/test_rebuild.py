"""Mappings that were lost: found, put back from every trace there is, and taken back again (guide §1.2, §4.2)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.commands import Shell
from tests.conftest import DIALECTS, Clubs, Ground
from tests.recorded import STATES, Recording, load

At = Callable[..., Shell]
Open = Callable[..., Recording]


def rows(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute('SELECT * FROM "WaIdMapping" ORDER BY id').fetchall()


def triples(url: str) -> set[tuple[str, str, str]]:
    """Entity type, WA id and target: the second to the fourth column in both dialects."""
    return {(row[1], str(row[2]), str(row[3])) for row in rows(url)}


def execute(url: str, statement: LiteralString, *parameters: object) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute(statement, parameters).rowcount


def asked(run: Shell, check: str = "mappings-missing") -> tuple[str, int]:
    (finding,) = json.loads(run("check", check, "--json").stdout)["findings"]
    return finding["status"], finding["count"]


def planned(run: Shell, *more: str) -> dict[str, Any]:
    done = run("plan", "mapping", *(more or ("--rebuild",)), "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def applied(run: Shell, plan: dict[str, Any]) -> dict[str, Any]:
    for words in (("approve", plan["id"], "--digest", plan["digest"]), ("apply", plan["id"], "--yes")):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    return plan


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_emptied_table_comes_back_and_goes_again(clubs: Clubs, at: At, dialect: str) -> None:
    club = clubs.clone(dialect)
    run, before = at(club), triples(club.url)
    execute(club.url, 'DELETE FROM "WaIdMapping"')
    status, count = asked(run)
    # Whom a sync found by e-mail it did not make: five members of the application's club, whom the CSV import brought.
    made = before if dialect == "guide" else {row for row in before if row[1] not in _adopted(before)}
    assert (status, count) == ("fail", len(made))
    plan = applied(run, planned(run))
    assert plan["changes"] == {"WaIdMapping": {"insert": len(made)}}
    assert [row["reason"] != "" for row in plan["reasons"]] == [True] * len(made)
    assert triples(club.url) == made
    assert asked(run) == ("pass", 0)
    again = run("plan", "mapping", "--rebuild")
    assert again.returncode == 3  # nothing is missing now
    assert run("undo", plan["id"], "--yes").returncode == 0
    assert rows(club.url) == []


def _adopted(mappings: set[tuple[str, str, str]]) -> set[str]:
    return {wa_id for entity, wa_id, _ in mappings if entity == "Member" and 50140 <= int(wa_id) < 50150}


def test_a_snapshot_brings_back_the_rows_as_they_were(guide: Ground, at: At) -> None:
    club = guide
    run, before = at(club), rows(club.url)
    assert run("snapshot", "create").returncode == 0
    thinned = execute(club.url, """DELETE FROM "WaIdMapping" WHERE right("waId"::text, 1) = '3'""")
    rest = rows(club.url)
    plan = applied(run, planned(run, "--rebuild", "--snapshot", "latest"))
    assert plan["changes"] == {"WaIdMapping": {"insert": thinned}}
    assert rows(club.url) == before
    assert run("undo", plan["id"], "--yes").returncode == 0
    assert rows(club.url) == rest


@pytest.mark.parametrize(
    ("name", "silent", "whole"),
    [
        ("incremental", 0, False),
        ("csv_over_api", 0, True),
        ("rebooked", 2, True),
    ],
)
def test_recorded_mappings_come_back(recording: Open, name: str, silent: int, whole: bool) -> None:
    club = recording(name, whole=whole)
    before = triples(club.url)
    assert asked(club.run) == ("pass", 0)
    if name in ("incremental", "rebooked"):  # in the others a sync made anew what a CSV import had made
        assert asked(club.run, "records-imported-twice") == ("pass", 0)
    # As the application's own clean-up does: registrations' mappings by their age.
    old = execute(
        club.url,
        """DELETE FROM "WaIdMapping" WHERE "entityType" = 'EventRegistration'
           AND "syncedAt" < (SELECT max("syncedAt") - interval '3 minutes' FROM "WaIdMapping")""",
    )
    if old:
        assert asked(club.run) == ("fail", old)
        plan = applied(club.run, planned(club.run))
        assert plan["changes"] == {"WaIdMapping": {"insert": old}}
        assert triples(club.url) == before
    execute(club.url, 'TRUNCATE "WaIdMapping"')
    assert asked(club.run)[0] == "fail"
    plan = applied(club.run, planned(club.run))
    # A contact found by e-mail and left as it was has no trace but its mapping, and the next sync finds it again.
    lost = before - triples(club.url)
    assert triples(club.url) <= before
    assert {entity for entity, *_ in lost} <= {"Member"}
    assert len(lost) <= silent
    # Booked, cancelled, booked again: one row for two ids, of which a sync maps the one it made the row for.
    mapped = {f"{entity}/{wa_id}".replace("EventRegistration", "Registration") for entity, wa_id, _ in before}
    assert not {row["key"] for row in plan["unresolved"]} & mapped
    assert asked(club.run) == ("pass", 0)


def test_a_csv_import_leaves_no_mapping_and_is_not_blamed(
    server: Any, shell: Shell, tmp_path: Any, recordings: Any
) -> None:
    url = server.url(server.create(server.template("csv_run2", lambda made: load(made, STATES["csv_run2"]))))
    reports = f'"{recordings}/csv_import/run1/reports", "{recordings}/csv_import/run2/reports"'
    (tmp_path / "workbench.toml").write_text(
        f'operator = "dana"\n[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\nimport_reports = [{reports}]\n'
    )

    def command(*words: str) -> Any:
        return shell(*words, "--environment", "club", CLUB_URL=url)

    assert asked(command) == ("pass", 0)
    facts = json.loads(command("mappings", "--json").stdout)
    with psycopg.connect(url) as connection:
        ((events,),) = connection.execute('SELECT count(*) FROM "Event"').fetchall()
    assert facts["without_mapping"]["Event"] == events


def test_what_a_csv_import_made_is_mapped_on_request(recording: Open) -> None:
    club = recording("csv_over_api")
    execute(club.url, """DELETE FROM "WaIdMapping" WHERE "entityType" <> 'Member'""")
    # Without its audit rows nothing says that the sync made the events; the CSV import's report made one of them.
    execute(club.url, """DELETE FROM "AuditLog" WHERE "resourceType" <> 'Member'""")
    left, mapped = planned(club.run), planned(club.run, "--rebuild", "--csv-records")
    reasons = [{row["key"].split()[0] for row in plan["reasons"]} for plan in (mapped, left)]
    unresolved = [{row["key"] for row in plan["unresolved"]} for plan in (mapped, left)]
    added = reasons[0] - reasons[1]
    assert added
    assert added <= unresolved[1]
    assert not added & unresolved[0]


def test_the_ambiguous_are_left_out_and_listed(application: Ground, at: At) -> None:
    club, run = application, at(application)
    with club.connect() as connection:
        made = connection.execute(
            """SELECT metadata->>'waId', "resourceId"::text FROM "AuditLog" WHERE action = 'CREATE'
               AND "resourceType" = 'Member' AND metadata ? 'waId' ORDER BY 1 LIMIT 6"""
        ).fetchall()
        (twice, first), (_, second), (gone, deleted), (moved, _), (_, right), (undone, own) = made
        # One id that two runs made a record for; one whose record is gone.
        connection.execute(
            """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata)
               SELECT gen_random_uuid(), action, "resourceType", %s::uuid, metadata FROM "AuditLog"
               WHERE action = 'CREATE' AND "resourceId" = %s::uuid""",
            (second, first),
        )
        connection.execute('DELETE FROM "EventRegistration" WHERE "memberId" = %s::uuid', (deleted,))
        connection.execute('DELETE FROM "Member" WHERE id = %s::uuid', (deleted,))
    # One that was corrected on purpose, and one whose correction was taken back.
    applied(run, planned(run, "Member", moved, right))
    taken_back = applied(run, planned(run, "Member", undone, right))
    assert run("undo", taken_back["id"], "--yes").returncode == 0
    execute(club.url, 'DELETE FROM "WaIdMapping"')
    plan = applied(run, planned(run))
    unresolved = {row["key"] for row in plan["unresolved"]}
    now = {wa_id: target for entity, wa_id, target in triples(club.url) if entity == "Member"}
    assert {f"Member/{twice}", f"Member/{gone}"} <= unresolved
    assert not {twice, gone} & now.keys()
    assert (now[moved], now[undone]) == (right, own)


def _sync_again(club: Ground) -> str:
    """Play the sync that finds no mapping: members by their e-mail, every event and registration made anew."""
    guide = club.club.dialect == "guide"
    run = "run_20260701_again1" if guide else "sync_1782900000000_again1"
    names = {
        "regs": sql.Identifier("Registration" if guide else "EventRegistration"),
        "target": sql.Identifier("murmurantId" if guide else "clubosId"),
        "bare": sql.SQL("'{}'::jsonb" if not guide else f"jsonb_build_object('importRunId', '{run}')"),
        "run": sql.SQL(f""", "syncRunId" = '{run}'""" if guide else ""),
        "kind": sql.Literal("Registration" if guide else "EventRegistration"),
        "id": sql.SQL("text" if guide else "uuid"),
    }
    statements: list[LiteralString] = [
        'CREATE TEMP TABLE old AS SELECT * FROM "WaIdMapping"',
        'DELETE FROM "WaIdMapping"',
        """CREATE TEMP TABLE twin AS SELECT m.{target} AS was, gen_random_uuid()::text::{id} AS becomes, m.*
           FROM old m WHERE "entityType" <> 'Member'""",
        """INSERT INTO "Event" SELECT (jsonb_populate_record(e, jsonb_build_object('id', t.becomes, 'createdAt', now,
           'updatedAt', now) || {bare})).* FROM "Event" e JOIN twin t ON t.was = e.id, moment""",
        """INSERT INTO {regs} SELECT (jsonb_populate_record(r, jsonb_build_object('id', t.becomes, 'eventId', e.becomes,
           'createdAt', now, 'updatedAt', now) || {bare})).*
           FROM {regs} r JOIN twin t ON t.was = r.id JOIN twin e ON e.was = r."eventId", moment""",
        """INSERT INTO "WaIdMapping" SELECT * FROM old WHERE "entityType" = 'Member'""",
        """INSERT INTO "WaIdMapping" SELECT (jsonb_populate_record(o, jsonb_build_object('id', gen_random_uuid(),
           {target_name}, t.becomes))).* FROM old o JOIN twin t ON t.id = o.id""",
        """UPDATE "WaIdMapping" SET "syncedAt" = now{run} FROM moment""",
    ]
    if guide:
        statements += [
            """INSERT INTO "AuditLog" (action, metadata, "createdAt") SELECT a, jsonb_build_object('run_id', {name}::text,
               'mode', 'live', 'operator', 'sam', 'counts', '{{}}'::jsonb, 'duration', 60), now + s
               FROM moment, (VALUES ('migration:started', interval '0'), ('migration:completed', interval '1 minute')) v(a, s)"""
        ]
    else:
        statements += [
            """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata, "createdAt")
               SELECT gen_random_uuid(), 'CREATE', "entityType", becomes, jsonb_build_object('mode', 'full', 'waId', "waId",
               'source', 'wa_import', 'syncRunId', {name}::text), now FROM twin, moment""",
            """UPDATE "WaSyncState" SET "lastFullSync" = now + interval '1 minute' FROM moment""",
        ]
    known = {
        **names,
        "name": sql.Literal(run),
        "target_name": sql.Literal("murmurantId" if guide else "clubosId"),
    }
    with club.connect() as connection:
        connection.execute("CREATE TEMP TABLE moment AS SELECT timestamp '2026-07-01 10:00:00' AS now")
        for statement in statements:
            connection.execute(sql.SQL(statement).format(**known))
    return run


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_run_that_made_everything_twice_is_named(clubs: Clubs, at: At, dialect: str) -> None:
    club = clubs.clone(dialect, 60)
    first = {target for entity, _, target in triples(club.url) if entity != "Member"}
    run_id = _sync_again(club)
    run = at(club)
    words = ("check", "records-imported-twice", "--limit", "10000", "--json")
    (finding,) = json.loads(run(*words).stdout)["findings"]
    assert (finding["status"], finding["count"]) == ("fail", len(first))
    assert {row["first"] for row in finding["rows"]} == first
    assert {row["run"] for row in finding["rows"]} == {run_id}
    assert asked(run) == ("pass", 0)  # each id leads somewhere: rolling the run back comes first
    # Once it is rolled back the mappings are missing, and come back.
    plan = json.loads(run("plan", "rollback", run_id, "--json").stdout)
    applied(run, plan)
    assert asked(run, "records-imported-twice") == ("pass", 0)
    assert asked(run)[0] == "fail"
    if dialect == "application":  # triage knows no dialect, and asks much
        ways = {way["way"]: way for way in json.loads(run("triage", "--json").stdout)["ways"]}
        assert not ways["re-run"]["possible"]  # it would make everything twice once more
        assert any("plan mapping --rebuild" in line for line in ways["targeted"]["commands"].splitlines())
    applied(run, planned(run))
    assert first <= {target for _, _, target in triples(club.url)}
    assert asked(run) == ("pass", 0)


def test_what_is_not_whole_is_refused(guide: Ground, at: At) -> None:
    run = at(guide)
    assert run("plan", "mapping", "--rebuild", "Member", "5", "x").returncode == 2
    assert run("plan", "mapping", "--csv-records").returncode == 2
    assert run("plan", "mapping", "--rebuild", "--snapshot", "nowhere.dump").returncode in (2, 4)
    assert Counter(run("plan", "mapping", "--rebuild").stdout.split())["insert"] == 0
