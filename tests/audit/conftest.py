"""A small club whose audit log is written to, in each dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest

from tests.conftest import ClonedClub, Clubs
from workbench.database.connection import Database
from workbench.murmurant.schema import Schema
from workbench.workbench import Workbench


@dataclass(frozen=True)
class Ground:
    """A club of one test's own, opened."""

    club: ClonedClub
    workbench: Workbench

    @property
    def url(self) -> str:
        return self.club.url

    @property
    def database(self) -> Database:
        return self.workbench.database

    @property
    def schema(self) -> Schema:
        return self.workbench.schema


@pytest.fixture
def ground(clubs: Clubs, dialect: str) -> Ground:
    cloned = clubs.clone(dialect, members=50)
    wb = cloned.workbench()
    wb.one_state = False
    return Ground(cloned, wb)


@pytest.fixture
def reader(ground: Ground) -> Iterator[Callable[[Ground], str]]:
    """Return a URL as a role has it that may read and no more."""
    made: list[str] = []

    def make(ground: Ground) -> str:
        name = f"reader_of_{ground.database.address.url.database}"
        ground.club.execute(
            f"CREATE ROLE {name} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"
        )
        made.append(name)
        return ground.url.replace("postgres:@", f"{name}:@")

    yield make
    with psycopg.connect(ground.url) as connection:
        for name in made:
            connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
