"""Events that stand twice some hours apart, as an import in another time zone leaves them; and those that only look so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, LiteralString

import pytest
from psycopg import sql

from tests.commands import Shell
from tests.conftest import Clubs, Ground
from tests.recorded import Recording

At = Callable[..., Shell]
Open = Callable[..., Recording]


def answered(run: Shell, *words: str) -> dict[str, Any]:
    return dict(json.loads(run(*words, "--json").stdout))


def finding_of(run: Shell) -> dict[str, Any]:
    (finding,) = answered(run, "check", "events-shifted", "--limit", "10000")["findings"]
    return dict(finding)


def clusters(run: Shell) -> set[frozenset[str]]:
    facts = answered(run, "duplicates", "--entity", "event")["events"]
    return {frozenset(cluster["members"]) for cluster in facts["clusters"]}


def test_a_second_import_in_another_time_zone_is_found(recording: Open) -> None:
    club = recording("other_time_zone", whole=True)
    # The truth: the mapping leads to one record of an id, the CSV import's id map and full report to another.
    mapped = {
        (entity.replace("EventRegistration", "Registration"), str(wa_id)): str(target)
        for entity, wa_id, target in club.ask('SELECT "entityType", "waId", "clubosId" FROM "WaIdMapping"')
    }
    (full,) = (club.files / "imports").glob("*-full.json")
    report = json.loads(full.read_text())
    twice = {
        entity: {
            frozenset((mapped[entity, row["_waId"]], row["_murmurantId"]))
            for row in report[f"{entity.lower()}s"]["records"]
            if row["_action"] == "create" and (entity, row.get("_waId")) in mapped
        }
        for entity in ("Event", "Registration")
    }
    assert (len(twice["Event"]), len(twice["Registration"])) == (40, 758)
    facts = answered(club.run, "duplicates")
    assert {frozenset(cluster["members"]) for cluster in facts["events"]["clusters"]} == twice["Event"]
    pairs = {frozenset((pair["left"], pair["right"])) for pair in facts["registrations"]["pairs"]}
    assert twice["Registration"] <= pairs
    reasons = " ".join(pair["why"] for pair in facts["events"]["pairs"])
    assert [hours for hours in ("7 h later", "8 h later") if hours not in reasons] == []
    (finding,) = answered(club.run, "check", "records-imported-twice")["findings"]
    assert finding["count"] >= sum(map(len, twice.values()))
    problems: dict[str, set[frozenset[str]]] = {"Event": set(), "Registration": set(), "Member": set()}
    for row in answered(club.run, "mappings")["problems"]:
        if row["problem"] == "two-records":
            problems[row["entity"]].add(frozenset((row["target"], row["other_record"])))
    assert problems["Event"] == twice["Event"]
    assert twice["Registration"] <= problems["Registration"]


def test_without_reports_hours_and_people_decide(recording: Open) -> None:
    club = recording("other_time_zone", whole=True, reports=False)
    finding = finding_of(club.run)
    # The fortieth was moved by three weeks in Wild Apricot in between: no clock parts it from its twin.
    assert (finding["status"], finding["count"]) == ("fail", 39)
    later = "\"createdAt\" > '2026-11-30 11:40'"
    keys = [row["key"] for row in finding["rows"]]
    assert club.ask(f'SELECT count(*) FROM "Event" WHERE id::text = ANY(%s) AND {later}', keys) == [39]
    assert len(clusters(club.run)) == 39
    club.execute(f'DELETE FROM "EventRegistration" WHERE "eventId" IN (SELECT id FROM "Event" WHERE {later})')
    assert finding_of(club.run)["count"] == 39, "the clock alone tells where nobody is on the second"


def test_recordings_in_one_time_zone_pass(recording: Open) -> None:
    for name in ("csv_over_api", "rebooked"):
        assert finding_of(recording(name).run)["status"] == "pass"


def _sessions(
    club: Ground,
    *,
    hours: int,
    same_people: bool,
    made: str,
    mapped: bool = False,
    titles: int | None = None,
) -> int:
    """Give every event of some weight a second one of its title, some hours later.

    Of a number of titles alone where one is given; then nobody is on the second ones.
    """
    guide = club.club.dialect == "guide"
    names = {
        "regs": sql.Identifier("Registration" if guide else "EventRegistration"),
        "id": sql.SQL("text" if guide else "uuid"),
        "none": sql.SQL("""'{"importRunId": null}'""" if guide else "'{}'"),
        "hours": sql.Literal(f"{hours} hours"),
        "made": sql.SQL({"later": "'2026-07-01 10:00:00'::timestamp", "then": '"createdAt"'}[made]),
        "who": sql.SQL('r."memberId"' if same_people else "other.id"),
        "titles": sql.Literal(titles),
        "target": sql.Literal("murmurantId" if guide else "clubosId"),
        "which": sql.SQL(
            """EXISTS (SELECT FROM "WaIdMapping" m WHERE e.id::text IN (SELECT value FROM jsonb_each_text(to_jsonb(m))))"""
            if mapped
            else "true"
        ),
    }
    statements: list[LiteralString] = [
        """CREATE TEMP TABLE twin AS SELECT e.id AS was, gen_random_uuid()::text::{id} AS becomes FROM "Event" e
           JOIN {regs} r ON r."eventId" = e.id WHERE {which} AND title IN (SELECT title FROM "Event" JOIN {regs} s
           ON s."eventId" = "Event".id GROUP BY 1 HAVING count(*) >= 4 ORDER BY 1 LIMIT {titles})
           GROUP BY e.id HAVING count(*) >= 4""",
        """INSERT INTO "Event" SELECT (jsonb_populate_record(e, jsonb_build_object('id', t.becomes,
           'startTime', "startTime" + {hours}::interval, 'endTime', "endTime" + {hours}::interval,
           'createdAt', {made}) || {none})).* FROM "Event" e JOIN twin t ON t.was = e.id""",
        """INSERT INTO {regs} SELECT (jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid(),
           'eventId', t.becomes, 'memberId', {who}) || {none})).*
           FROM (SELECT *, row_number() OVER (PARTITION BY "eventId" ORDER BY id) AS place FROM {regs}) n
           JOIN {regs} r ON r.id = n.id JOIN twin t ON t.was = r."eventId"
           JOIN LATERAL (SELECT m.id FROM "Member" m WHERE NOT EXISTS (SELECT FROM {regs} x WHERE x."eventId" = t.was
           AND x."memberId" = m.id) ORDER BY m.id OFFSET n.place LIMIT 1) other ON true""",
    ]
    if titles is not None:
        statements.pop()
    if mapped:
        statements.append(
            """INSERT INTO "WaIdMapping" SELECT (jsonb_populate_record(m, jsonb_build_object('id', gen_random_uuid(),
               'waId', (m."waId"::int + 500000), {target}, t.becomes))).* FROM "WaIdMapping" m
               JOIN twin t ON to_jsonb(m)->>{target} = t.was::text"""
        )
    with club.connect() as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement).format(**names))
        ((count,),) = connection.execute("SELECT count(*) FROM twin").fetchall()
    return int(count)


@pytest.mark.parametrize(
    "sessions",
    [
        {"same_people": False, "made": "later"},  # a morning and an evening session
        {"same_people": True, "made": "later", "mapped": True},  # two parts of one course, two events there
        {"same_people": True, "made": "then"},  # one import brought both
        {
            "same_people": True,
            "made": "later",
            "titles": 3,
        },  # evenings added to three courses, without people
    ],
)
def test_two_sessions_are_two_events(clubs: Clubs, at: At, sessions: dict[str, Any]) -> None:
    club = clubs.clone("application")
    run = at(club)
    assert _sessions(club, hours=8, **sessions) >= sessions.get("titles", 10)
    assert clusters(run) == set()
    assert finding_of(run)["status"] == "pass"


@pytest.mark.parametrize(
    ("dialect", "hours", "titles"), [("guide", 7, None), ("application", 10, None), ("guide", 8, 1000)]
)
def test_events_imported_in_another_time_zone_are_found(
    clubs: Clubs, at: At, dialect: str, hours: int, titles: int | None
) -> None:
    """With the same people, or without any under many titles."""
    club = clubs.clone(dialect)
    run = at(club)
    count = _sessions(club, hours=hours, same_people=True, made="later", titles=titles)
    finding = finding_of(run)
    assert (finding["status"], finding["count"]) == ("fail", count)
    assert all(f"{hours} h later" in row["why"] for row in finding["rows"])
    assert len(clusters(run)) == count
