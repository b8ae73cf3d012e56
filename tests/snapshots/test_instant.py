"""``snapshot create --instant``: a clone beside the database, whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psycopg
import pytest

from workbench.checkpoints.instant import clone_of
from workbench.checkpoints.shelf import list_snapshots
from workbench.errors import Refused, UsageError


@pytest.fixture
def dropped(server):
    """Drop the test's clones at its end."""
    yield
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        for (name,) in connection.execute(
            r"SELECT datname FROM pg_database WHERE datname ~ '^backup_'"
        ).fetchall():
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.usefixtures("dropped")
def test_a_clone_with_a_manifest_that_is_proved_by_reading_it(club, opened, server, scratches):
    club.execute("CREATE SEQUENCE tickets; SELECT nextval('tickets'); SELECT nextval('tickets')")
    with opened(club) as wb:
        made = wb.create_snapshot(instant=True, reason="before the upgrade")
        assert (made.kind, made.file, made.sha256) == ("instant", made.snapshot, "")
        assert scratches() == [made.snapshot]
        dump = wb.create_snapshot()
        audit = wb.schema.resolved["audit"].table
        differ = {name for name, state in made.tables.items() if state.rows != dump.tables[name].rows}
        assert differ == {audit}
        assert made.sequences == dump.sequences
        assert made.timeline["database_oid"] == dump.timeline["database_oid"]
        assert made.target == dump.target
        assert [each.snapshot for each in wb.snapshots()] == [made.snapshot, dump.snapshot]
        # The transaction that logged it is later than what the manifest says the clone has seen.
        with psycopg.connect(club.url) as connection:
            later = connection.execute(
                f"""SELECT bool_and(pg_visible_in_snapshot(xmin::text::xid8, %s)) FROM "{audit}" """
                "WHERE metadata->>'snapshot' = %s",
                [made.transaction, made.snapshot],
            ).fetchone()
        assert later == (False,)
        club.execute('DELETE FROM "WaIdMapping"')
        tried = wb.verify_snapshot(made.snapshot).verifications[-1]
        assert tried.outcome == "pass", tried.detail
        assert "read in place" in tried.detail
        with (
            clone_of(wb.database, made).connect() as clone,
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        ):
            clone.execute('DELETE FROM "WaIdMapping"')
        with psycopg.connect(server.url("postgres")) as connection:
            said = connection.execute(
                "SELECT shobj_description(oid, 'pg_database'), has_database_privilege('public', oid, 'CONNECT')"
                " FROM pg_database WHERE datname = %s",
                [made.file],
            ).fetchone()
        assert "by dana" in said[0]
        assert said[1] is False


@pytest.mark.usefixtures("dropped")
def test_a_clone_that_was_changed_or_dropped_is_not_proved(clubs, opened, server):
    with opened(clubs.clone("guide")) as wb:
        made = wb.create_snapshot(instant=True)
        with psycopg.connect(server.url(made.file)) as clone:
            clone.execute("SET TRANSACTION READ WRITE")
            clone.execute(
                """UPDATE "Member" SET email = 'x@example.org' WHERE id = (SELECT max(id) FROM "Member")"""
            )
        tried = wb.verify_snapshot().verifications[-1]
        assert (tried.outcome, "Member has as many rows" in tried.detail) == ("fail", True)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {made.file}")
        tried = wb.verify_snapshot().verifications[-1]
        assert (tried.outcome, "not there any more" in tried.detail) == ("fail", True)


def test_while_others_are_connected_it_is_refused_by_name(clubs, opened, backups, scratches):
    club = clubs.clone("guide")
    with opened(club) as wb, psycopg.connect(club.url, application_name="the app"):
        with pytest.raises(Refused, match=r"postgres \(the app\)"):
            wb.create_snapshot(instant=True)
        assert wb.audit(action="migration:snapshot").empty
    assert scratches() == []
    assert list(backups.iterdir()) == []


def test_it_is_no_archive(clubs, opened):
    with opened(clubs.clone("guide")) as wb, pytest.raises(UsageError, match="no archive"):
        wb.create_snapshot(instant=True, format="custom")


def test_our_own_reading_is_not_in_the_way(clubs, opened, dropped):
    with opened(clubs.clone("guide")) as wb:
        wb.one_state = True
        assert len(wb.runs())
        assert wb.create_snapshot(instant=True).rows


KILLED = """
import os, signal
from workbench import open_workbench
def kill(what, done, total):
    if what == "counting":
        os.kill(os.getpid(), signal.SIGKILL)
with open_workbench() as wb:
    wb.create_snapshot(instant=True, advance=kill)
"""


def test_killed_on_the_way_its_clone_is_dropped_by_the_next_command(
    clubs, opened, backups, tmp_path, scratches
):
    club = clubs.clone("guide")
    settings = {
        "WORKBENCH_BACKUPS": str(backups),
        "WORKBENCH_HOME": str(tmp_path / "home"),
        "WORKBENCH_ENVIRONMENTS__CLUB__KIND": "development",
        "WORKBENCH_ENVIRONMENTS__CLUB__URL_ENV": "CLUB_URL",
        "WORKBENCH_ENVIRONMENT": "club",
        "CLUB_URL": club.url,
    }
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env=os.environ | settings,
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    (left,) = scratches()
    assert list_snapshots(backups) == []
    with opened(club, kind="development") as wb:
        assert wb.snapshots() == []
        assert wb.said == [f"{left} was unfinished: what was left of it is removed."]
    assert scratches() == []
    assert list(backups.iterdir()) == []
