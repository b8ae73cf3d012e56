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


def asked(run: Shell, check: str) -> dict[str, Any]:
    (finding,) = answered(run, "check", check, "--limit", "10000")["findings"]
    return dict(finding)


def clusters(run: Shell, entity: str = "event") -> set[frozenset[str]]:
    told = answered(run, "duplicates", "--entity", entity)[f"{entity}s"]
    return {frozenset(each["members"]) for each in told["clusters"]}


@pytest.mark.parametrize(("whole", "events", "registrations"), [(True, 40, 758), (False, None, None)])
def test_the_same_club_from_another_time_zone_is_found(
    recording: Open, whole: bool, events: int | None, registrations: int | None
) -> None:
    club = recording("other_time_zone", whole=whole)
    # The truth: the mapping leads to one record of an id, the CSV import's id map and full report to another.
    with club.connect() as connection:
        mapped = {
            (entity.replace("EventRegistration", "Registration"), str(wa_id)): str(target)
            for entity, wa_id, target in connection.execute(
                'SELECT "entityType", "waId", "clubosId" FROM "WaIdMapping"'
            )
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
    assert (len(twice["Event"]), len(twice["Registration"])) == (events, registrations) or not whole
    assert twice["Event"]
    told = answered(club.run, "duplicates")
    assert {frozenset(each["members"]) for each in told["events"]["clusters"]} == twice["Event"]
    pairs = {frozenset((each["left"], each["right"])): each for each in told["registrations"]["pairs"]}
    assert twice["Registration"] <= pairs.keys()
    said = " ".join(each["why"] for each in told["events"]["pairs"])
    assert "7 h later" in said
    assert "8 h later" in said
    assert asked(club.run, "records-imported-twice")["count"] >= sum(map(len, twice.values()))
    problems = [
        each for each in answered(club.run, "mappings")["problems"] if each["problem"] == "two-records"
    ]
    assert {
        frozenset((each["target"], each["other_record"])) for each in problems if each["entity"] == "Event"
    } == (twice["Event"])
    assert twice["Registration"] <= {frozenset((each["target"], each["other_record"])) for each in problems}


def test_without_a_report_the_hours_and_the_people_tell(recording: Open) -> None:
    club = recording("other_time_zone", whole=True, reports=False)
    found = asked(club.run, "events-shifted")
    # The fortieth was moved by three weeks in Wild Apricot in between: no clock parts it from its twin.
    assert (found["status"], found["count"]) == ("fail", 39)
    with club.connect() as connection:
        ((later,),) = connection.execute(
            """SELECT count(*) FROM "Event" WHERE id::text = ANY(%s) AND "createdAt" > '2026-11-30 11:40'""",
            ([each["key"] for each in found["rows"]],),
        ).fetchall()
    assert later == 39  # the second is the one at fault
    assert len(clusters(club.run)) == 39
    club.execute(
        """DELETE FROM "EventRegistration" r USING "Event" e
           WHERE e.id = r."eventId" AND e."createdAt" > '2026-11-30 11:40'"""
    )
    found = asked(club.run, "events-shifted")
    assert (found["status"], found["count"]) == ("fail", 39), (
        "the clock alone tells where nobody is on the second"
    )


def test_recordings_with_one_clock_are_silent(recording: Open) -> None:
    for name in ("csv_over_api", "incremental", "rebooked", "truncated"):
        assert asked(recording(name).run, "events-shifted")["status"] == "pass"


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
        },  # evenings added to three courses; nobody is on them yet
    ],
)
def test_two_sessions_are_two_events(clubs: Clubs, at: At, sessions: dict[str, Any]) -> None:
    club = clubs.clone("application")
    run = at(club)
    assert _sessions(club, hours=8, **sessions) >= sessions.get("titles", 10)
    assert clusters(run) == set()
    assert asked(run, "events-shifted")["status"] == "pass"


@pytest.mark.parametrize(("dialect", "hours"), [("guide", 7), ("application", 10)])
def test_what_came_twice_by_another_clock_is_found(clubs: Clubs, at: At, dialect: str, hours: int) -> None:
    club = clubs.clone(dialect)
    run = at(club)
    count = _sessions(club, hours=hours, same_people=True, made="later")
    found = asked(run, "events-shifted")
    assert (found["status"], found["count"]) == ("fail", count)
    assert all(f"{hours} h later" in each["why"] for each in found["rows"])
    assert len(clusters(run)) == count


def test_many_titles_twice_by_one_clock_are_found_without_people(clubs: Clubs, at: At) -> None:
    club = clubs.clone("guide")
    count = _sessions(club, hours=8, same_people=True, made="later", titles=1000)
    found = asked(at(club), "events-shifted")
    assert (found["status"], found["count"]) == ("fail", count)
