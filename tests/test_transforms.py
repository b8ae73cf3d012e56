"""What the importers fill in where Wild Apricot says nothing: the day of joining, the state of an event (guide §1.5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Ground
from tests.recorded import Recording
from tests.recorded import recording as recording

JOINED, DRAFTS = "members-joined-at-import", "events-published-as-draft"


def answers(club: Shell | Recording) -> dict[str, Any]:
    run = club.run if isinstance(club, Recording) else club
    found = json.loads(run("check", JOINED, DRAFTS, "--json").stdout)["findings"]
    return {each["check"]: each for each in found}


@pytest.mark.parametrize(
    ("name", "members", "events"),
    [
        ("csv_over_api", 4, 10),
        ("truncated", 3, 40),
        ("incremental", 3, 10),
    ],
)
def test_what_importers_filled_in_is_found(
    recording: Callable[..., Recording], name: str, members: int, events: int
) -> None:
    club = recording(name)
    found = answers(club)
    assert (found[JOINED]["status"], found[JOINED]["count"]) == ("warn", members)
    assert (found[DRAFTS]["status"], found[DRAFTS]["count"]) == ("warn", events)
    with club.connect() as connection:
        rows = connection.execute(
            """SELECT id::text FROM "Member" WHERE "joinedAt" >= '2026-11-30' AND "waRawData"->>'memberSince' IS NULL"""
        )
        assert {row["key"] for row in found[JOINED]["rows"]} == {key for (key,) in rows}
    assert all(row["run"] for row in found[JOINED]["rows"])
    # An import that left no trace is known by its writes: several in a minute.
    assert answers(recording(name, reports=False))[JOINED]["count"] == members


def test_nothing_is_said_where_nothing_is_known(recording: Callable[..., Recording]) -> None:
    club = recording("csv_over_api", reports=False)
    with club.connect() as connection:
        connection.execute('TRUNCATE "AuditLog", "WaIdMapping", "WaSyncState"')
    assert {each["status"] for each in answers(club).values()} == {"not run"}


def test_people_s_own_doing_is_no_fault(club: Ground, at: Callable[..., Shell]) -> None:
    run = at(club)
    assert {each["status"] for each in answers(run).values()} == {"pass"}
    # Somebody joins by the application while an import runs, and it maps them; somebody drafts an event.
    rest = 'FROM "Member" ORDER BY id LIMIT 1'
    status = ', "membershipStatusId"' if club.club.dialect == "application" else ""
    target = "clubosId" if club.club.dialect == "application" else "murmurantId"
    club.execute(
        f"""WITH joined AS (INSERT INTO "Member" ("firstName", "lastName", email, "joinedAt", "createdAt", "updatedAt" {status},
        id) SELECT 'Ann', 'Own', 'ann@own.example', "createdAt", "createdAt", "createdAt" {status}, gen_random_uuid() {rest}
        RETURNING id, "createdAt")
        INSERT INTO "WaIdMapping" (id, "entityType", "waId", "{target}", "syncedAt", "updatedAt")
        SELECT gen_random_uuid(), 'Member', 7654321, id, "createdAt", "createdAt" FROM joined"""
    )
    club.execute(
        """INSERT INTO "Event" (id, title, "startTime", "isPublished", "updatedAt")
        VALUES (gen_random_uuid(), 'Own', '2026-07-01', true, now())"""
    )
    # Somebody who was imported joins anew.
    club.execute(
        """UPDATE "Member" SET "joinedAt" = '2026-06-05 10:00:00.1', "updatedAt" = '2026-06-05 10:00:00.2'
        WHERE id = (SELECT max(id::text) FROM "Member" WHERE "lastName" <> 'Own')::"""
        + ("uuid" if club.club.dialect == "application" else "text")
    )
    assert {each["status"] for each in answers(run).values()} == {"pass"}

    with club.connect() as connection:
        (member,) = connection.execute(
            """UPDATE "Member" SET "joinedAt" = "createdAt" WHERE id = (SELECT id FROM "Member"
            WHERE "lastName" <> 'Own' ORDER BY id LIMIT 1) RETURNING id::text"""
        )
        (event,) = connection.execute(
            """UPDATE "Event" SET status = 'DRAFT' WHERE id = (SELECT id FROM "Event"
            WHERE title <> 'Own' AND "isPublished" ORDER BY id LIMIT 1) RETURNING id::text"""
        )
    found = answers(run)
    assert [row["key"] for row in found[JOINED]["rows"]] == [*member]
    assert [row["key"] for row in found[DRAFTS]["rows"]] == [*event]
