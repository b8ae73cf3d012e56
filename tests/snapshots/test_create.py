"""``snapshot create``: one state, whole or not listed."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.stepping import Stepping
from workbench.database.embedded import client_tools
from workbench.errors import Refused, WorkbenchError
from workbench.murmurant.row_digest import table_digests
from workbench.session import Session
from workbench.snapshots.archive import read_archive
from workbench.snapshots.contents import TableState
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.store import list_snapshots
from workbench.workbench import Workbench


def test_what_a_snapshot_says(club, opened, backups):
    club.execute("CREATE SCHEMA other; CREATE TABLE other.notes (id serial PRIMARY KEY, said text)")
    club.execute("INSERT INTO other.notes (said) VALUES ('a'), ('b')")
    with opened(club) as wb:
        made = wb.snapshots.create(precedes="sync_1", reason="before the re-run")
        target = wb.session.target
        audit = wb.session.schema.resolved["audit"].table
        (entry,) = wb.audit.entries(action="migration:snapshot:created")["metadata"]
        assert wb.snapshots.said == []
    assert Manifest.read(made.path) == made
    archive = read_archive(made.archive)
    assert made.sha256 == archive.sha256
    assert made.sha256 == hashlib.sha256(made.archive.read_bytes()).hexdigest()
    assert made.size == made.archive.stat().st_size
    assert set(made.tables) == set(archive.tables)
    assert made.target == target
    assert (made.created_by, made.precedes, made.reason) == ("dana", "sync_1", "before the re-run")
    with psycopg.connect(club.url) as connection:
        now = table_digests(connection, "public", made.tables)
        notes = TableState(*table_digests(connection, "other", ["notes"])["notes"])
    for table, state in made.tables.items():
        if table == audit:
            assert state.rows == now[table].rows - 1  # the entry that says it was taken
        else:
            assert state == TableState(*now[table])
    assert made.elsewhere == {"other.notes": notes}
    assert entry["sha256"] == made.sha256
    assert entry["manifest"] == made.facts_digest
    assert entry["operator"] == "dana"
    assert sorted(each.name for each in backups.iterdir()) == [made.archive.name, made.path.name]
    assert made.archive.stat().st_mode & 0o077 == 0


def test_writing_goes_on_and_the_state_is_one(clubs, opened):
    """Rows change all the while; archive and manifest agree all the same."""
    club = clubs.clone("application")
    club.execute("CREATE TABLE late (id serial)")
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(club.url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO late DEFAULT VALUES")
                connection.execute("DELETE FROM late WHERE id % 2 = 0")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with opened(club) as wb:
            made = wb.snapshots.create()
    finally:
        stop.set()
        writer.join()
    script = subprocess.run(
        [client_tools() / "pg_restore", "--data-only", "--table=late", "--file=-", made.archive],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = script.partition("FROM stdin;\n")[2].partition("\\.\n")[0].splitlines()
    assert made.tables["late"].rows == len(rows) > 0


def test_a_pg_dump_older_than_the_server_is_refused_by_name(clubs, opened, monkeypatch, backups):
    """With real ones: of PostgreSQL 16, which the embedded wheel brings for upgrades."""
    older = client_tools().parent.parent / "pginstall" / "bin"
    club = clubs.clone("guide")
    with opened(club, client_tools=older) as wb:
        assert wb.snapshots.create().tool_version.startswith("18")  # the next one found is new enough
    monkeypatch.setattr("workbench.database.programs.client_tools", lambda: older)
    monkeypatch.setattr("shutil.which", lambda name: None)
    before = list_snapshots(backups)
    with (
        opened(club) as wb,
        pytest.raises(Refused, match=r"pginstall/bin/pg_dump: it is of PostgreSQL 16\.") as caught,
    ):
        wb.snapshots.create()
    assert "server's PostgreSQL 18" in str(caught.value)
    assert list_snapshots(backups) == before


def test_a_table_that_somebody_locks(clubs, opened, backups):
    club = clubs.clone("guide")
    with opened(club) as wb:
        wb.session.database = replace(wb.session.database, lock_timeout=0.2)
        assert wb.session.schema
        with psycopg.connect(club.url) as other:
            other.execute('LOCK TABLE "Member" IN ACCESS EXCLUSIVE MODE')
            with pytest.raises(Refused, match="Another session"):
                wb.snapshots.create()
    assert not backups.exists() or list(backups.iterdir()) == []


def test_a_disk_without_room_keeps_nothing(clubs, opened, small_disk):
    (small_disk / "filler").write_bytes(bytes(1_000_000))
    with opened(clubs.clone("application"), backups=small_disk / "backups") as wb:
        with pytest.raises(WorkbenchError, match="No space left"):
            wb.snapshots.create()
        assert list((small_disk / "backups").iterdir()) == []
        assert wb.audit.entries(action="migration:snapshot").empty


def create(progress, opened) -> str:
    """Take a snapshot in a process of its own, which stops at what it tells, and before the archive has its name."""
    write = Manifest.write

    def write_and_stop(manifest: Manifest, path: Path) -> Manifest:
        written = write(manifest, path)
        progress("published", 0, 0)
        return written

    Manifest.write = write_and_stop
    with Workbench(Session(*opened)) as wb:
        wb.snapshots.create(advance=progress)
    return "done"


@pytest.mark.parametrize("published", [False, True])
def test_killed_on_the_way_nothing_half_is_listed(clubs, opened, backups, published):
    with opened(clubs.clone("guide")) as wb:
        session = wb.session
    making = Stepping(create, (session.database, session.options, session.settings))
    while published and making.step != "published":
        making.go_on()
    making.close()
    assert list_snapshots(backups) == []
    assert [each.name for each in backups.iterdir() if each.name.startswith(".")]
    mine = backups / "backup_by_hand.dump"
    mine.write_text("a person's own", encoding="utf-8")
    deadline = time.monotonic() + 20
    # pg_dump may outlive its parent for a moment, and holds the lock as long.
    while not wb.snapshots.said and time.monotonic() < deadline:
        found = wb.snapshots.all()
        time.sleep(0.05)
    (said,) = wb.snapshots.said
    assert ("whole" in said, "unfinished" in said) == (published, not published)
    assert len(found) == int(published)
    assert len(list(backups.iterdir())) == 1 + 2 * published
    assert mine.exists()
