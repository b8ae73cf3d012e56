"""A small club whose audit log is written to, in each dialect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Clubs, Ground
from workbench.audit.entries import record

Login = Callable[[str], str]


@pytest.fixture
def ground(clubs: Clubs, dialect: str) -> Ground:
    return clubs.clone(dialect, members=50)


@pytest.fixture
def login(ground: Ground) -> Iterator[Login]:
    """Make a role with some rights on every table; return the URL as it has it."""
    name = f"role_of_{ground.database}"

    def make(rights: str) -> str:
        ground.execute(f"CREATE ROLE {name} LOGIN; GRANT {rights} ON ALL TABLES IN SCHEMA public TO {name}")
        return ground.login(name)

    yield make
    ground.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def log(ground: Ground, action: str = "migration:test", url: str | None = None, **metadata: Any) -> str:
    """Write an entry as the workbench does; return its id."""
    here = ground.wb.session
    database = ground.open(url).session.database if url else here.database
    return record(database, here.schema, action, metadata, about=str(uuid4()))


def wait_for_a_lock(ground: Ground) -> None:
    """Return when somebody waits for a lock here."""
    deadline = time.monotonic() + 10
    while ground.ask("SELECT count(*) FROM pg_locks WHERE NOT granted") == [0]:
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.02)
