"""The sync state: emptied whole, and gone with the run that made it (guide §7.3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs
from tests.recorded import Recording
from tests.recorded import recording as recording

STATE = 'SELECT "lastFullSync", "lastIncSync", "lastContactSync", "lastEventSync", "lastRegSync" FROM "WaSyncState"'


def test_a_reset_empties_every_moment(recording: Callable[..., Recording]) -> None:
    """After the recording's own reset the three that an incremental sync goes by still stand."""
    club = recording("incremental")
    before = club.state()
    club.execute('ALTER TABLE "WaSyncState" ADD "lastPaymentSync" timestamp(3) DEFAULT now()')
    planned = club.carry_out("sync-state")
    assert planned["changes"] == {"WaSyncState": {"update": 1}}
    assert club.ask(STATE) == [(None,) * 5]
    assert club.ask('SELECT "lastPaymentSync" FROM "WaSyncState"') == [None]
    club.undo(planned)
    club.execute('ALTER TABLE "WaSyncState" DROP "lastPaymentSync"')
    assert not club.changed(before)


@pytest.mark.parametrize("asked", [(), ("--sync-state",)])
def test_a_row_that_the_run_made_goes_with_it(
    recording: Callable[..., Recording], asked: tuple[str, ...]
) -> None:
    club = recording("truncated")
    (run,) = club.json("runs")
    planned = club.carry_out("rollback", run["run"], *asked)
    assert planned["changes"]["WaSyncState"] == {"delete": 1}
    assert club.ask(STATE) == []


@pytest.mark.parametrize("dialect", ["guide", "application"])
def test_both_dialects_know_what_the_last_run_left_of_it(
    clubs: Clubs, at: Callable[..., Shell], dialect: str
) -> None:
    club = clubs.clone(dialect, 50)
    last, run = club.club.last_live_run, at(club)
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = '\"WaSyncState\"'::regclass AND attnum > 0"
    moments = [name for name in club.ask(columns) if name.startswith("last")]
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
