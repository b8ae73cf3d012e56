"""One entry in a transaction of its own, for what is no apply."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.audit.ground import Ground
from workbench.audit import record
from workbench.errors import NotLogged

SNAPSHOT = "migration:snapshot:created"


def test_what_was_recorded_can_be_asked_for(ground: Ground) -> None:
    about = str(uuid4())
    number = record(ground.database, ground.schema, SNAPSHOT, {"operator": "dana", "rows": 3}, about=about)
    found = ground.workbench.audit(action=SNAPSHOT)
    assert list(found["id"]) == [number]
    assert list(found["operator"]) == ["dana"]
    assert found["metadata"][0]["rows"] == 3
    assert found["metadata"][0]["source"] == "workbench"


def test_a_role_that_may_not_write_is_told(ground: Ground, reader: Callable[[Ground], str]) -> None:
    with pytest.raises(NotLogged, match=r"was not logged.*lacks a right") as caught:
        record(ground.reached_at(reader(ground)), ground.schema, SNAPSHOT, {}, about=str(uuid4()))
    assert "What was done stands" in caught.value.next_step
    assert ground.workbench.audit(action=SNAPSHOT).empty


def test_a_server_that_is_gone_is_told(ground: Ground) -> None:
    nowhere = ground.reached_at("postgresql://nobody@127.0.0.1:1/club")
    with pytest.raises(NotLogged, match="No connection"):
        record(nowhere, ground.schema, SNAPSHOT, {}, about=str(uuid4()))


def test_a_database_without_an_audit_log_is_told(ground: Ground) -> None:
    ground.club.execute('ALTER TABLE "AuditLog" RENAME TO "AuditLogOfOld"')
    with pytest.raises(NotLogged, match="was not logged"):
        record(ground.database, ground.schema, SNAPSHOT, {}, about=str(uuid4()))
