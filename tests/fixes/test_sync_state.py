"""The sync state: emptied whole, and gone with the run that made it (guide §7.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.commands import shell as shell
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
