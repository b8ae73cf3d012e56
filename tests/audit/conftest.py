"""A small club whose audit log is written to, in each dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.audit.chained import Chained, chain_of
from tests.audit.ground import Ground, ground_of
from tests.conftest import DIALECTS, Clubs


@pytest.fixture
def ground(clubs: Clubs, dialect: str, tmp_path: Path) -> Ground:
    return ground_of(clubs, dialect, tmp_path)


Role = Callable[[Ground], str]


@pytest.fixture
def roles(ground: Ground) -> Iterator[Callable[[Ground, str], str]]:
    """Make a role with some rights; return the URL as it has it."""
    made: list[str] = []

    def make(ground: Ground, rights: str) -> str:
        name = f"role_{len(made)}_of_{ground.database.address.url.database}"
        ground.club.execute(
            f"CREATE ROLE {name} LOGIN; GRANT {rights} ON ALL TABLES IN SCHEMA public TO {name}"
        )
        made.append(name)
        return ground.url.replace("postgres:@", f"{name}:@")

    yield make
    with psycopg.connect(ground.url) as connection:
        for name in made:
            connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def reader(roles: Callable[[Ground, str], str]) -> Role:
    """A role that may read and no more."""
    return lambda ground: roles(ground, "SELECT")


@pytest.fixture
def writer(roles: Callable[[Ground, str], str]) -> Role:
    """A role that may add entries, and make nothing."""
    return lambda ground: roles(ground, "SELECT, INSERT")


@pytest.fixture(scope="module", params=DIALECTS)
def chained(
    request: pytest.FixtureRequest, clubs: Clubs, tmp_path_factory: pytest.TempPathFactory
) -> Chained:
    """A chain in each dialect; what is done to it is rolled back."""
    return chain_of(clubs, request.param, tmp_path_factory.mktemp("chained"))
