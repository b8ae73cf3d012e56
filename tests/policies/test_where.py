"""A rule may be about some records only."""

from __future__ import annotations

import pytest

from tests.policies.conftest import keys


def found(club, path):
    with club.workbench() as wb:
        return {each.check: each for each in wb.policies(path, sample=100_000)}


def test_events_to_come_and_published_ones(club, write):
    rule = "id = '{0}'\ntitle = 'T'\nask = 'number-range'\nscope = 'Event'\nfield = 'capacity'\nmost = 0\nwhere = {{ {1} }}"
    path = write(
        rule.format("coming", "upcoming = true"),
        rule.format("over", "upcoming = false"),
        rule.format("drafts", "published = false"),
        rule.format("both", "published = true, upcoming = false"),
    )
    club.execute("""UPDATE "Event" SET "startTime" = now() + interval '9 days', "endTime" = NULL
                    WHERE id IN (SELECT id FROM "Event" WHERE "isPublished" ORDER BY id LIMIT 2)""")
    with club.connect() as connection:

        def ids(condition):
            rows = connection.execute(f'SELECT id::text FROM "Event" WHERE capacity > 0 AND {condition}')
            return {row[0] for row in rows}

        expected = {
            "coming": ids("\"startTime\" > now() AT TIME ZONE 'UTC'"),
            "over": ids("\"startTime\" <= now() AT TIME ZONE 'UTC'"),
            "drafts": ids('NOT "isPublished"'),
            "both": ids('"isPublished" AND "startTime" <= now() AT TIME ZONE \'UTC\''),
        }
    assert {name: keys(each) for name, each in found(club, path).items()} == expected
    assert len(expected["coming"]) >= 2


def test_registrations_for_such_events(club, write):
    rule = "id = '{0}'\ntitle = 'T'\nask = 'date-range'\nscope = 'Registration'\nfield = 'registeredAt'\nnot_before = 2200-01-01\nwhere = {{ {1} }}"
    path = write(rule.format("all", ""), rule.format("drafts", "published = false"))
    reg = "Registration" if club.club.dialect == "guide" else "EventRegistration"
    club.execute(
        f'UPDATE "Event" SET "isPublished" = false WHERE id = (SELECT min("eventId"::text) FROM "{reg}")::{"text" if reg == "Registration" else "uuid"}'
    )
    with club.connect() as connection:
        rows = connection.execute(
            f'SELECT r.id::text FROM "{reg}" r JOIN "Event" e ON e.id = r."eventId" WHERE NOT e."isPublished"'
        )
        expected = {row[0] for row in rows}
    told = found(club, path)
    assert keys(told["drafts"]) == expected != set()
    assert told["all"].count > len(expected)


@pytest.mark.parametrize("scope", ["Member", "Event"])
def test_the_records_of_one_run(club, write, scope):
    run = club.club.last_live_run
    field = "joined_at" if scope == "Member" else "start"
    path = write(
        f"id = 'run'\ntitle = 'T'\nask = 'date-range'\nscope = '{scope}'\nfield = '{field}'\nnot_before = 2300-01-01\nwhere = {{ run = '{run.run}' }}"
    )
    told = found(club, path)["run"]
    assert told.count == run.counts[scope]["created"] + run.counts[scope]["updated"]
