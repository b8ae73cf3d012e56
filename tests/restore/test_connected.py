"""Who else is at the live database when it is restored: prepared transactions, sessions that stay."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.restore.conftest import Ground, assert_same
from tests.restore.test_crash import OwnServer, broken, own
from workbench.errors import Refused

__all__ = ["own"]


def test_a_prepared_transaction_is_named_before_anything_begins(
    own: OwnServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH_URL", own.server.url("postgres"))
    with psycopg.connect(own.server.url("postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_prepared_transactions = 2")
    own.crash()  # it is started with that now
    cloned = own.clubs.clone("guide", 50)
    ground = Ground(own.server, cloned, tmp_path, cloned.options)
    before, after = broken(ground)
    requests = [ground.asked(), ground.asked(in_place=True)]
    said = f"The prepared transaction 'payments-7' of postgres waits in {ground.live} since 2"
    with ground.connect() as connection:
        connection.execute("""UPDATE "Member" SET email = 'late@example.org'""")
        connection.execute("PREPARE TRANSACTION 'payments-7'")
    for request in requests:
        with pytest.raises(Refused, match=said) as caught:
            ground.restore(request)
        assert "ROLLBACK PREPARED 'payments-7'" in caught.value.next_step
    with pytest.raises(Refused, match=said):
        ground.asked()
    assert ground.databases() == [ground.live]
    assert_same(after, ground.whole())
    with ground.connect(autocommit=True) as connection:
        connection.execute("ROLLBACK PREPARED 'payments-7'")
    assert ground.restore(requests[0]).outcome == "done"
    assert_same(before, ground.whole())
