"""After a merge both WA ids lead to one record: the plan says what the next sync will do, and a check when it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Ground

CHECK = "merges-written-over"


def answer(run: Shell, *words: str) -> dict[str, Any]:
    done = run(*words, "--json")
    assert done.returncode in (0, 1), done
    return dict(json.loads(done.stdout))


def finding(run: Shell) -> tuple[str, list[dict[str, Any]]]:
    (finding,) = answer(run, "check", CHECK)["findings"]
    return finding["status"], finding["rows"]


def with_ids(club: Ground, entity: str) -> list[tuple[str, str]]:
    """Return some records which a WA id leads to, with the ids."""
    target = "murmurantId" if club.club.dialect == "guide" else "clubosId"
    with club.connect() as connection:
        return connection.execute(
            f"""SELECT m."{target}"::text, m."waId"::text FROM "WaIdMapping" m WHERE m."entityType" = %s
                ORDER BY m."waId" LIMIT 12""",  # type: ignore[arg-type]
            [entity],
        ).fetchall()


def write_over(club: Ground, entity: str, record: str, wa_id: str) -> None:
    """Leave what a later sync leaves of a contact whose mapping leads to the record."""
    if club.club.dialect == "guide":
        club.execute(
            """UPDATE "WaIdMapping" SET "syncRunId" = 'later', "syncedAt" = now() AT TIME ZONE 'UTC'
               WHERE "waId" = %s AND "entityType" = %s""",
            *(wa_id, entity),
        )
        club.execute(
            f"""UPDATE "{entity}" SET "updatedAt" = now() AT TIME ZONE 'UTC' WHERE id::text = %s""", record
        )
        return
    club.execute(
        """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata, "createdAt")
           VALUES (gen_random_uuid(), 'UPDATE', %s, %s::uuid, jsonb_build_object('source', 'wa_import', 'syncRunId',
                   'sync_1790000000000_later1', 'waId', %s::int), now() AT TIME ZONE 'UTC')""",
        *(entity, record, wa_id),
    )


@pytest.mark.parametrize(("dialect", "entity"), [("guide", "Event"), ("application", "Member")])
def test_the_plan_warns_of_the_next_sync_and_the_check_reports_it(
    at: Callable[..., Shell], club: Ground, entity: str
) -> None:
    run = at(club)
    club.execute('UPDATE "Event" SET capacity = NULL')
    assert finding(run) == ("pass", [])
    (stays, own), (goes, other) = next(  # two with an account each cannot be merged
        pair
        for pair in pairwise(with_ids(club, entity))
        if run("plan", "merge", "--entity", entity.lower(), *(key for key, _ in pair)).returncode == 0
    )
    plan = answer(run, "plan", "merge", "--entity", entity.lower(), stays, goes)
    name = Path(plan["plan"]).stem
    (note,) = [text for text in plan["notes"] if own in text and other in text]
    assert stays in note
    assert note.split(":")[0] in run("show", name).stdout.replace("\n", " ")
    (merge,) = answer(run, "show", name)["header"]["parameters"]["merges"]
    assert merge["wa_ids"] == {stays: [own], goes: [other]}
    assert run("approve", name, "--digest", plan["digest"], "--as", "robin").returncode == 0
    done = answer(run, "apply", name, "--yes")
    assert done["to_do"] == [note]
    assert finding(run) == ("pass", [])
    write_over(club, entity, stays, own)
    assert finding(run) == ("pass", []), "its own contact may be written into it"
    write_over(club, entity, stays, other)
    status, rows = finding(run)
    assert (status, [(row["key"], row["wa_id"], row["plan"]) for row in rows]) == (
        *("fail", [(stays, other, name)]),
    )
