"""The hash chain: silent on what the workbench wrote, one line of it, and what it says where it cannot tell."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from tests.audit.chained import ENTRIES, Chained, Connection
from tests.audit.ground import Ground
from tests.conftest import Server
from workbench.audit import read_chain, record, verify_chain, write_entry
from workbench.database.connection import raw
from workbench.database.embedded import client_tools
from workbench.errors import WorkbenchError
from workbench.murmurant.importers import RESTORED


def test_what_was_written_holds(chained: Chained) -> None:
    found = chained.after(lambda connection: None)
    assert (found.status, found.entries, found.breaks, found.open) == ("pass", ENTRIES, (), ())
    assert found.last is not None
    assert (found.last.number, found.last.entry) == (ENTRIES, chained.ids[-1])


def test_it_holds_however_a_session_spells_things(chained: Chained) -> None:
    spelled = "SET LOCAL TimeZone = 'Asia/Kolkata'; SET LOCAL DateStyle = 'German'; SET LOCAL extra_float_digits = -5"
    assert chained.after(lambda connection: connection.execute(spelled)).status == "pass"


def test_it_holds_after_a_dump_of_the_entries_as_text(chained: Chained) -> None:
    def rewrite(connection: Connection) -> None:
        connection.execute('CREATE TEMP TABLE kept AS SELECT t::text AS line FROM "AuditLog" t')
        connection.execute('DELETE FROM "AuditLog"')
        connection.execute('INSERT INTO "AuditLog" SELECT (line::"AuditLog").* FROM kept')

    assert chained.after(rewrite).status == "pass"


def test_what_is_rolled_back_leaves_no_gap(chained: Chained) -> None:
    def twice(connection: Connection) -> None:
        with connection.transaction(force_rollback=True):
            write_entry(connection, chained.ground.schema, "migration:test:lost", {}, about=str(uuid4()))
        write_entry(connection, chained.ground.schema, "migration:test:kept", {}, about=str(uuid4()))

    found = chained.after(twice)
    assert (found.status, found.entries) == ("pass", ENTRIES + 1)


def test_many_at_once_stand_in_one_line(ground: Ground) -> None:
    def write(number: int) -> str:
        return record(
            ground.database, ground.schema, "migration:test:many", {"n": number}, about=str(uuid4())
        )

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(write, range(24)))
    found = ground.workbench.audit_verify()
    assert (found.status, found.entries, len(ids)) == ("pass", 24, 24)


def test_the_second_waits_for_the_first(ground: Ground) -> None:
    """And takes the place that the first left when it gave up."""
    schema = ground.schema
    with ground.database.writing() as first, ThreadPoolExecutor(1) as pool:
        write_entry(first, schema, "migration:test:first", {}, about=str(uuid4()))
        waiting = pool.submit(
            record, ground.database, schema, "migration:test:second", {}, about=str(uuid4())
        )
        ground.wait_for_a_lock()
        assert not waiting.done()
        first.rollback()
        entry = waiting.result(10)
    found = ground.workbench.audit_verify()
    assert found.last is not None
    assert (found.status, found.last.number, found.last.entry) == ("pass", 1, entry)


def test_nothing_chained_is_not_green(ground: Ground) -> None:
    found = ground.workbench.audit_verify()
    assert (found.status, found.entries) == ("not run", 0)


def test_a_log_that_stores_otherwise_takes_no_entry(ground: Ground) -> None:
    ground.club.execute(
        """CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.metadata := NEW.metadata || '{"meddled": true}'; RETURN NEW; END $$"""
    )
    ground.club.execute(
        'CREATE TRIGGER meddle BEFORE INSERT ON "AuditLog" FOR EACH ROW EXECUTE FUNCTION meddle()'
    )
    with pytest.raises(WorkbenchError, match="otherwise than it was written"):
        record(ground.database, ground.schema, "migration:test", {}, about=str(uuid4()))
    assert ground.workbench.audit(action="migration:test").empty


def test_where_no_schema_may_be_made_the_chain_goes_without_a_kept_end(
    ground: Ground, writer: Callable[[Ground], str]
) -> None:
    database = ground.reached_at(writer(ground))
    for number in range(2):
        record(database, ground.schema, "migration:test", {"n": number}, about=str(uuid4()))
    found = ground.workbench.audit_verify()
    assert (found.status, found.entries, found.breaks) == ("not run", 2, ())


def test_an_end_that_may_not_be_read_is_said(ground: Ground, writer: Callable[[Ground], str]) -> None:
    record(ground.database, ground.schema, "migration:test", {}, about=str(uuid4()))
    database = ground.reached_at(writer(ground))
    with pytest.raises(WorkbenchError, match="may not read where the audit chain ends"):
        record(database, ground.schema, "migration:test", {}, about=str(uuid4()))
    with database.reading() as connection:
        found = verify_chain(read_chain(raw(connection), ground.schema))
    assert (found.status, found.breaks) == ("not run", ())
    assert "may not read" in found.open[0]


def test_it_holds_after_a_dump_and_a_restore_and_goes_on(
    chained: Chained, server: Server, tmp_path: Path
) -> None:
    """Restored with `pg_restore` into another database, as Level 2 does, and logged there."""
    archive = tmp_path / "backup.dump"
    subprocess.run([client_tools() / "pg_dump", "-Fc", "-Z0", "-f", archive, chained.ground.url], check=True)
    url = server.url(server.create())
    subprocess.run([client_tools() / "pg_restore", "-d", url, archive], check=True)
    restored = chained.ground.reached_at(url)
    told = {"backup_file": archive.name, "restore_time": "2026-01-02T00:00:00Z"}
    record(restored, chained.ground.schema, RESTORED, told, about=str(uuid4()))
    with restored.reading() as connection:
        found = verify_chain(read_chain(raw(connection), chained.ground.schema))
    assert (found.status, found.entries, len(found.restores)) == ("pass", ENTRIES + 1, 1)
