"""One entry, in a transaction of its own or in an apply's: written as the dialect wants it, or told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.audit.conftest import Login, log, wait_for_a_lock
from tests.conftest import Ground
from workbench.audit.entries import record, write_entry
from workbench.errors import NotLogged

SNAPSHOT = "migration:snapshot:created"


def test_what_was_recorded_can_be_asked_for(ground: Ground) -> None:
    number = log(ground, SNAPSHOT, operator="dana", rows=3)
    (entry,) = ground.open().audit.entries(action=SNAPSHOT).to_dict("records")
    assert (entry["id"], entry["action"], entry["operator"]) == (number, SNAPSHOT, "dana")
    assert (entry["metadata"]["rows"], entry["metadata"]["source"]) == (3, "workbench")
    raw: list[Any] = ground.ask('SELECT action::text FROM "AuditLog" WHERE id = %s', number)
    assert raw == ["UNDO" if ground.club.dialect == "application" else SNAPSHOT]
    if ground.club.dialect == "application":
        needed = ground.ask('SELECT "resourceType", "resourceId" FROM "AuditLog" WHERE id = %s', number)
        assert all(needed[0])


def test_who_may_add_entries_writes_them_and_whoever_cannot_is_told(ground: Ground, login: Login) -> None:
    with pytest.raises(NotLogged, match="was not logged") as caught:
        log(ground, SNAPSHOT, login("SELECT"))
    assert "What was done stands" in caught.value.next_step
    ground.execute(f'GRANT INSERT ON "AuditLog" TO role_of_{ground.database}')
    number = log(ground, SNAPSHOT, ground.login(f"role_of_{ground.database}"))
    assert list(ground.open().audit.entries(action=SNAPSHOT)["id"]) == [number]
    with pytest.raises(NotLogged):
        log(ground, SNAPSHOT, "postgresql://nobody@127.0.0.1:1/club")
    ground.execute('ALTER TABLE "AuditLog" RENAME TO "AuditLogOfOld"')
    with pytest.raises(NotLogged):
        log(ground, SNAPSHOT)


@pytest.mark.parametrize("dialect", ["application"])
def test_the_second_waits_for_the_first(ground: Ground) -> None:
    """So that whoever notes a digest between the two has all that is older; what is rolled back leaves nothing."""
    wb = ground.open()
    with wb.session.database.writing() as first, ThreadPoolExecutor(1) as pool:
        write_entry(first, wb.session.schema, "migration:test:first", {}, about=str(uuid4()))
        waiting = pool.submit(
            record, wb.session.database, wb.session.schema, "migration:test:second", {}, about=str(uuid4())
        )
        wait_for_a_lock(ground)
        assert not waiting.done()
        first.rollback()
        number = waiting.result(10)
    assert list(wb.audit.entries(action="migration:test")["id"]) == [number]
