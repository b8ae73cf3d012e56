"""The sync state: emptied whole, and gone with the run that made it (guide §7.3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs
from tests.recorded import Recording
from tests.recorded import recording as recording
from tests.states import differences, state

STATE = 'SELECT "lastFullSync", "lastIncSync", "lastContactSync", "lastEventSync", "lastRegSync" FROM "WaSyncState"'


def rows(recording: Recording, question: str = STATE) -> list[tuple[Any, ...]]:
    with psycopg.connect(recording.url) as connection:
        return connection.execute(question).fetchall()  # type: ignore[call-overload, no-any-return]


def carry_out(recording: Recording, *plan: str) -> dict[str, Any]:
    """Plan, approve and apply; return what the plan said."""
    planned = recording.json("plan", *plan)
    approved = recording.run("approve", planned["plan"], "--digest", planned["digest"], "--as", "erin")
    assert approved.returncode == 0, approved.stderr
    applied = recording.run("apply", planned["plan"], "--yes")
    assert applied.returncode == 0, applied.stderr
    return dict(planned)


def test_a_reset_empties_every_moment(recording: Callable[..., Recording]) -> None:
    """After the recording's own reset the three that an incremental sync goes by still stand."""
    club = recording("incremental")
    with psycopg.connect(club.url) as connection:
        before = state(connection, {"AuditLog"})
        connection.execute('ALTER TABLE "WaSyncState" ADD "lastPaymentSync" timestamp(3) DEFAULT now()')
    planned = carry_out(club, "sync-state")
    assert planned["changes"] == {"WaSyncState": {"update": 1}}
    assert rows(club) == [(None,) * 5]
    assert rows(club, 'SELECT "lastPaymentSync" FROM "WaSyncState"') == [(None,)]
    assert club.run("undo", planned["plan"], "--as", "erin", "--yes").returncode == 0
    with psycopg.connect(club.url) as connection:
        connection.execute('ALTER TABLE "WaSyncState" DROP "lastPaymentSync"')
        assert not differences(before, state(connection, {"AuditLog"}))


@pytest.mark.parametrize("asked", [(), ("--sync-state",)])
def test_a_row_that_the_run_made_goes_with_it(
    recording: Callable[..., Recording], asked: tuple[str, ...]
) -> None:
    club = recording("truncated")
    (run,) = club.json("runs")
    planned = carry_out(club, "rollback", run["run"], *asked)
    assert planned["changes"]["WaSyncState"] == {"delete": 1}
    assert rows(club) == []


@pytest.mark.parametrize("dialect", ["guide", "application"])
def test_both_dialects_know_what_the_last_run_left_of_it(
    clubs: Clubs, at: Callable[..., Shell], dialect: str
) -> None:
    club = clubs.clone(dialect, 50)
    last, run = club.club.last_live_run, at(club)
    moments = [name for (name,) in _columns(club.url) if name.startswith("last")]
    assert len(moments) == (2 if dialect == "guide" else 5)

    def answer(*words: str) -> Any:
        return json.loads(run(*words, "--json").stdout)

    def check() -> str:
        (found,) = answer("check", "sync-state")["findings"]
        return str(found["status"])

    def apply(*plan: str) -> Any:
        planned = answer("plan", *plan)
        for words in (
            ("approve", planned["plan"], "--digest", planned["digest"]),
            ("apply", planned["plan"], "--yes"),
        ):
            assert run(*words, "--as", "erin").returncode == 0
        return planned

    assert check() == "pass"
    # An incremental sync on a quiet day refreshes the application's mappings of events; the guide's leaves nothing.
    for moved, told in (('"lastIncSync"', "lastIncSync"), ('"lastFullSync"', "lastFullSync")):
        club.execute(f'UPDATE "WaSyncState" SET {moved} = "lastFullSync" + interval \'9 days\'')
        assert check() == ("pass" if dialect == "guide" and told == "lastIncSync" else "fail")
        club.execute(f'UPDATE "WaSyncState" SET {moved} = "lastFullSync" - interval \'9 days\'')
    club.execute('UPDATE "WaSyncState" SET "lastIncSync" = NULL')
    assert check() == "pass"
    kept = apply("rollback", last.run)
    assert "WaSyncState" not in kept["changes"]
    assert check() == "fail"
    assert run("undo", kept["plan"], "--as", "erin", "--yes").returncode == 0
    assert check() == "pass"
    club.execute('UPDATE "WaSyncState" SET "createdAt" = %s, "updatedAt" = %s', last.finished, last.finished)
    assert apply("rollback", last.run)["changes"]["WaSyncState"] == {"delete": 1}
    assert check() == "pass"


def _columns(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = '\"WaSyncState\"'::regclass AND attnum > 0"
        ).fetchall()
