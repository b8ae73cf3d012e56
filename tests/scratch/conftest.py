"""Snapshots of a small database, and a server to restore them on."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from tests.scratch.ground import dump, execute
from workbench.settings import Settings


@pytest.fixture
def settings(server) -> Settings:
    """Settings whose embedded server is the run's own."""
    return Settings(home=Path(server.handle.pgdata).parent)


@pytest.fixture(autouse=True)
def scratches(server):
    """Say which scratch databases there are; at the end there must be none."""

    def names() -> list[str]:
        with psycopg.connect(server.url("postgres")) as connection:
            found = connection.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'scratch\_%'")
            return sorted(name for (name,) in found.fetchall())

    yield names
    assert names() == []


@pytest.fixture(scope="module")
def template(server) -> str:
    """Name of a database with two tables, quick to dump; for looking only."""
    return server.template(
        "scratch-tests",
        lambda connection: connection.execute(
            "CREATE TYPE mood AS ENUM ('glad');"
            "CREATE TABLE first (id int PRIMARY KEY, note text, mood mood);"
            "CREATE TABLE second (id int PRIMARY KEY REFERENCES first, note text);"
            "INSERT INTO first SELECT n, md5(n::text), 'glad' FROM generate_series(1, 3000) n;"
            "INSERT INTO second SELECT n, md5(n::text) FROM generate_series(1, 3000) n"
        ),
    )


@pytest.fixture
def small(server, template) -> str:
    """URL of such a database, to be changed."""
    return server.url(server.create(template))


@pytest.fixture(scope="module")
def dumps(tmp_path_factory) -> dict[tuple[str, ...], Path]:
    """The dumps that were made of the database for looking, by pg_dump's options."""
    return {}


@pytest.fixture
def snapshot(server, template, dumps, tmp_path, tmp_path_factory):
    """Return a copy of a dump of the database for looking; each is made once."""

    def copy(*options: str) -> Path:
        if options not in dumps:
            dumps[options] = dump(server.url(template), tmp_path_factory.mktemp("dumps"), *options)
        return Path(shutil.copy(dumps[options], tmp_path / "snapshot"))

    return copy


@pytest.fixture
def elsewhere(server, monkeypatch):
    """Name a scratch server by a variable, and make its user with a password and the given rights."""

    def make(rights: str) -> Settings:
        execute(server.url("postgres"), f"CREATE ROLE maker LOGIN {rights} PASSWORD 'hunter2 hunter+2'")
        url = server.url("postgres").replace("postgres:@", "maker:hunter2%20hunter+2@")
        monkeypatch.setenv("SCRATCH_URL", f"{url}&options=-c%20work_mem%3D5MB&connection_limit=5")
        return Settings(scratch_url_env="SCRATCH_URL")

    yield make
    execute(server.url("postgres"), "DROP ROLE maker")
