"""Others at the live database: prepared transactions, open sessions, and an owner who may not create extensions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.plans.conftest import OWNER_OF_ALL
from tests.restore.conftest import Ground, Lay, assert_same, laid
from tests.restore.test_crash import OwnServer, broken, own
from tests.restore.test_refused import refused
from workbench.errors import Refused
from workbench.snapshots.restore import swapping

__all__ = ["own"]


def test_a_prepared_transaction_is_named_before_anything_begins(
    own: OwnServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH_URL", own.server.url("postgres"))
    with psycopg.connect(own.server.url("postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_prepared_transactions = 2")
    own.crash()  # so that it starts with that
    ground = laid(own.clubs.clone("guide", 50))
    before, after = broken(ground)
    requests = [ground.asked(), ground.asked(in_place=True)]
    with ground.connect() as connection:
        connection.execute("""UPDATE "Member" SET email = 'late@example.org'""")
        connection.execute("PREPARE TRANSACTION 'payments-7'")
    for request in requests:
        with pytest.raises(Refused, match="payments-7"):
            ground.restore(request)
    with pytest.raises(Refused, match="payments-7"):
        ground.asked()
    assert ground.databases() == [ground.database]
    assert_same(after, ground.whole())
    with ground.connect(autocommit=True) as connection:
        connection.execute("ROLLBACK PREPARED 'payments-7'")
    assert ground.restore(requests[0]).outcome == "done"
    assert_same(before, ground.whole())


@pytest.fixture
def owned(lay: Lay) -> Iterator[tuple[Ground, Ground]]:
    """A club, and the same as its owner has it, who may make databases and is nobody's superior."""
    ground = replace(lay("guide"), kept=None)  # its owner takes the snapshot
    name = f"owner_of_{ground.database}"
    ground.execute(f"CREATE ROLE {name} LOGIN CREATEDB; ALTER DATABASE {ground.database} OWNER TO {name}")
    with ground.connect() as connection:
        connection.execute(f"ALTER SCHEMA public OWNER TO {name};" + OWNER_OF_ALL.replace("ROLE", name))
    url = ground.login(name)
    yield ground, replace(ground, url=url)
    ground.drop_all()
    with ground.connect("postgres") as connection:
        connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_who_may_not_be_disconnected_is_named_before_anything_is_restored(
    owned: tuple[Ground, Ground], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swapping, "_PATIENCE", 0.1)
    ground, theirs = owned
    before, after = broken(theirs)
    with theirs.open() as wb:
        (snapshot,) = [each.snapshot for each in wb.snapshots.all()]
    request = theirs.asked(snapshot)
    with ground.connect(application_name="nightly report") as connection:
        connection.execute("SELECT 1")
        with pytest.raises(Refused, match=r"postgres \(nightly report, pid \d+\)") as caught:
            theirs.restore(request)
        assert "GRANT pg_signal_backend" in caught.value.next_step
        assert f"Nothing was changed: {ground.database} is as it was" in caught.value.next_step
    assert ground.databases() == [ground.database]
    assert_same(after, ground.whole())
    # One that comes later is seen at the swap.
    request, late = theirs.asked(snapshot), []

    def progress(what: str, done: int, total: int) -> None:
        if what == "swapping":
            late.append(ground.connect(application_name="nightly report"))

    with theirs.open() as wb, pytest.raises(Refused, match=r"postgres \(nightly report, pid "):
        wb.restores.carry_out(request, progress)
    late[0].close()
    assert ground.databases() == [ground.database]
    assert_same(after, ground.whole())
    assert theirs.restore(theirs.asked(snapshot)).outcome == "done"
    assert_same(before, ground.whole())


def test_an_extension_that_only_a_superuser_may_make_is_named_when_asked(
    owned: tuple[Ground, Ground],
) -> None:
    ground, theirs = owned
    ground.execute("CREATE EXTENSION vector")
    snapshot = theirs.snapshot().snapshot
    before = ground.whole()
    ground.execute('DELETE FROM "WaIdMapping"')
    error = refused(ground, lambda: theirs.asked(snapshot), "vector")
    assert "--in-place" in error.next_step
    assert ground.databases() == [ground.database]
    assert theirs.restore(theirs.asked(snapshot, in_place=True)).outcome == "done"
    assert_same(before, ground.whole())
    ground.execute("DROP EXTENSION vector")
    refused(ground, lambda: theirs.restore(theirs.asked(snapshot, in_place=True)), "vector")
