"""``snapshot verify``: a restore proves a snapshot; what is damaged, lies or cannot be restored never passes."""

from __future__ import annotations

import errno
import random
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.snapshots.test_manifest import manifest
from workbench.errors import DocumentError, UsageError, WorkbenchError
from workbench.snapshots import namespace
from workbench.snapshots.archive import digest_of
from workbench.snapshots.contents import TableState
from workbench.snapshots.manifest import Manifest, Verification
from workbench.snapshots.namespace import size_in_range


@pytest.fixture(scope="module")
def kept(clubs, tmp_path_factory):
    """A club with a snapshot in each format, to be copied and damaged."""
    club = clubs.clone("application")
    return club, tmp_path_factory.mktemp("kept")


@pytest.fixture
def taken(kept, opened, backups):
    """Open the club, with a copy of its snapshot."""
    club, store = kept
    if not any(store.iterdir()):
        with opened(club, backups=store) as wb:
            wb.snapshots.create()
    shutil.copytree(store, backups)
    with opened(club) as wb:
        yield wb, wb.snapshots.find("latest")


def forge(found: Manifest, **changes) -> None:
    """Write a manifest that says something else, its own digest right."""
    found.model_copy(update=changes).write(found.path)


def unlog(wb) -> None:
    """Act as where the audit log knows nothing of it, so that only the restore can tell."""
    wb.snapshots._refuse_rewritten = lambda _: None


def test_a_restore_proves_it(club, opened):
    club.execute("CREATE SCHEMA other; CREATE TABLE other.t (id serial); INSERT INTO other.t DEFAULT VALUES")
    with opened(club) as wb:
        made = wb.snapshots.create()
        proved = wb.snapshots["latest"].verify()
        (tried,) = proved.verifications
        assert tried.outcome == "pass", tried.detail
        assert tried.where == "the embedded server"
        assert f"{made.rows:,} rows and the digests of {len(made.tables) + 1} tables" in tried.detail
        assert "no predecessor" in tried.detail
        assert proved.verified
        assert wb.snapshots.all() == [proved] == [Manifest.read(made.path)]
        (listed,) = wb.snapshots().tables.snapshots.to_dict("records")
        assert (listed["snapshot"], listed["verified"], listed["rows"]) == (made.snapshot, "pass", made.rows)
        assert proved.facts_digest == made.facts_digest
        (entry,) = wb.audit.entries(action="migration:snapshot:verified")["metadata"]
        assert (entry["outcome"], entry["snapshot"], entry["operator"]) == ("pass", made.snapshot, "dana")


ODD = """
CREATE SCHEMA "odd.one"; CREATE TABLE "odd.one"."it's ""a"" table" AS SELECT 1;
CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO parted SELECT n, date '2026-01-01' + n FROM generate_series(1, 50) n;
CREATE TABLE base (id int, note text); CREATE TABLE heir (own int) INHERITS (base);
ALTER TABLE base ADD COLUMN later text;
INSERT INTO heir SELECT n, 'note', -n, 'later' FROM generate_series(1, 50) n; DELETE FROM heir WHERE mod(id, 3) = 0;
INSERT INTO heir VALUES (99, 'in a gap', 0, '');
CREATE TABLE made (a int, twice int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO made VALUES (4);
CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE TABLE named (what regclass, moods mood[]);
INSERT INTO named VALUES ('base', '{sad,glad}');
CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES;
CREATE UNLOGGED TABLE "a.b" (x float8); INSERT INTO "a.b" VALUES ('-0'), ('NaN');
"""


def test_tables_of_every_kind_are_proved(clubs, opened):
    """Whose rows or columns come back in another order, whose values go by names, whose names are odd."""
    club = clubs.clone("guide", 50)
    club.execute(ODD)
    club.execute(f'ALTER DATABASE "{club.database}" SET search_path = "odd.one", public')
    with opened(club) as wb:
        made = wb.snapshots.create()
        tried = wb.snapshots.verify().verifications[-1]
    assert tried.outcome == "pass", tried.detail
    assert {"parted_1", "heir", "made", "named", "bare", "a.b"} <= set(made.tables)
    assert made.elsewhere['"odd.one"."it\'s ""a"" table"'].rows == 1


def flipped(path, at: float) -> None:
    content = bytearray(path.read_bytes())
    place = int(at * (len(content) - 1))
    content[place] ^= 1 << random.Random(at).randrange(8)
    path.write_bytes(content)


def test_a_damaged_archive(taken, monkeypatch):
    """Before the restore; and by the restore, where its manifest was made to fit."""
    wb, found = taken
    whole = found.archive.read_bytes()
    flipped(found.archive, 0.7)
    forge(found, sha256=digest_of(found.archive))
    with monkeypatch.context() as patched:
        patched.setattr(wb.snapshots, "_refuse_rewritten", lambda _: None)
        tried = wb.snapshots.verify().verifications[-1]
        assert (tried.outcome, "SHA-256" in tried.detail) == ("fail", False), tried.detail
    forge(found)
    monkeypatch.setattr(namespace, "scratch_database", lambda _: pytest.fail("it came to a restore"))
    for damaged in (found.archive.read_bytes(), whole[:-1], None):
        found.archive.write_bytes(damaged) if damaged else found.archive.unlink()
        tried = wb.snapshots.verify(found.snapshot).verifications[-1]
        assert (tried.outcome, tried.where, found.archive.name in tried.detail) == ("fail", "", True)
    assert not wb.snapshots.find("latest").verified


def test_an_outcome_that_cannot_be_written_is_told_and_logged(taken, backups, monkeypatch):
    wb, made = taken

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("workbench.documents.keep", full)
    with pytest.raises(WorkbenchError, match=rf"{made.snapshot}: pass \(.* rows .*No space left") as caught:
        wb.snapshots.verify()
    assert str(backups) in caught.value.what
    monkeypatch.undo()
    assert not wb.snapshots.find(made.snapshot).verified
    last = wb.audit.entries(action="migration:snapshot:verified")["metadata"].iloc[-1]
    assert (last["outcome"], last["snapshot"]) == ("pass", made.snapshot)


def test_a_manifest_that_lies(taken):
    """Of rows, digests, and which tables there are; another than the audit log knows, and of another database."""
    wb, found = taken
    tables, member = found.tables, found.tables["Member"]
    lies = {
        **{name: state for name, state in tables.items() if name != "Event"},
        "Member": TableState(7, member.digest),
        "MembershipTier": TableState(tables["MembershipTier"].rows, ""),  # a digest that lacks proves nothing
        "Gone": TableState(0, "00" * 32),
    }
    forge(found, tables=lies)
    tried = wb.snapshots.verify().verifications[-1]
    assert (tried.outcome, "the audit log has another one, by dana" in tried.detail) == ("fail", True)
    unlog(wb)
    tried = wb.snapshots.verify().verifications[-1]
    assert tried.outcome == "fail"
    for wrong in (
        "instead of 7 rows",
        "MembershipTier has",
        "Event has",
        "Gone has nothing",
    ):
        assert wrong in tried.detail
    forge(found, target=replace(found.target, database="another"))
    tried = wb.snapshots.verify().verifications[-1]
    assert (tried.outcome, "not of 'another'" in tried.detail) == ("fail", True)


def test_an_older_scratch_server_proves_nothing(taken, older, monkeypatch):
    wb, _ = taken
    monkeypatch.setenv("SCRATCH_URL", older)
    wb.session.settings = wb.settings.model_copy(update={"scratch_url_env": "SCRATCH_URL"})
    tried = wb.snapshots.verify().verifications[-1]
    assert tried.outcome == "not run"
    assert "of version 16" in tried.detail
    with psycopg.connect(older) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_database WHERE datname ~ '^scratch'"
        ).fetchone() == (0,)


def test_a_scratch_server_without_room(taken, server, small_disk, monkeypatch):
    """A real disk that is really full."""
    wb, _ = taken
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        place = small_disk / "space"
        place.mkdir(mode=0o777)
        if server.handle.system_user:
            shutil.chown(place, server.handle.system_user)
        connection.execute(f"CREATE TABLESPACE narrow LOCATION '{place}'")
        connection.execute("CREATE ROLE cramped LOGIN SUPERUSER")
        connection.execute("ALTER ROLE cramped SET default_tablespace = narrow")
    try:
        monkeypatch.setenv("SCRATCH_URL", server.url("postgres").replace("postgres:@", "cramped:@"))
        wb.session.settings = wb.settings.model_copy(update={"scratch_url_env": "SCRATCH_URL"})
        tried = wb.snapshots.verify().verifications[-1]
    finally:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("DROP ROLE cramped")
            connection.execute("DROP TABLESPACE narrow")
    assert tried.outcome == "not run", tried.detail
    assert "No space left on device" in tried.detail


def test_rows_that_break_their_foreign_keys_are_proved_and_told(clubs, opened, backups):
    club = clubs.clone("application")
    club.execute(
        'SET session_replication_role = replica; UPDATE "EventRegistration" SET "memberId" = gen_random_uuid()'
        ' WHERE id = (SELECT min(id::text)::uuid FROM "EventRegistration")'
    )
    with opened(club) as wb:
        made = wb.snapshots.create()
        larger = {"created_at": made.created_at - timedelta(days=1), "size": made.size * 3}
        made.model_copy(update=larger).write(backups / "backup_20200101_000000.json")
        tried = wb.snapshots.verify().verifications[-1]
        assert (tried.outcome, "out of range" in tried.detail) == ("fail", True)
        tried = wb.snapshots.verify(any_size=True).verifications[-1]
    assert tried.outcome == "pass"
    assert "break 1 foreign keys, which cannot be validated: EventRegistration_memberId_fkey" in tried.detail


def test_its_size_is_in_the_range_of_its_predecessors():
    before = [manifest(size=size) for size in (900, 1000, 1200)]
    assert "900 to 1,200" in size_in_range(manifest(size=2400), before)
    assert size_in_range(manifest(size=450), before)
    for size in (449, 2401):
        with pytest.raises(DocumentError, match="out of range"):
            size_in_range(manifest(size=size), before)
    failed = Verification(datetime(2026, 1, 2, tzinfo=UTC), "dana", "fail", "", 1, "")
    tiny = manifest(size=1).with_verification(failed)
    with pytest.raises(DocumentError, match="out of range"):
        size_in_range(manifest(size=9), [tiny, *before])
    assert "with no predecessor" in size_in_range(manifest(size=9, compression="gzip"), before)


def test_a_snapshot_that_is_not_there(taken):
    wb, _ = taken
    with pytest.raises(UsageError, match="Nearest"):
        wb.snapshots.verify("backup_20200101_000000")
    found = wb.snapshots.find("latest")
    forge(found, target=replace(found.target, environment="another"))
    with pytest.raises(UsageError, match="--environment another"):
        wb.snapshots.verify(found.snapshot)
