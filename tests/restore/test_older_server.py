"""A server older than the tools: what fits is verified, compared and restored there; what is of a newer one is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.restore.conftest import Lay, assert_same
from tests.snapshots.conftest import older as older
from workbench.demo.club import build_club
from workbench.errors import Refused


def test_an_older_server(lay: Lay, older: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = lay("guide")
    made = newer.snapshot()
    with psycopg.connect(older, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS club")
        connection.execute("CREATE DATABASE club")
    ground = replace(newer, url=older.replace("/postgres?", "/club?"))
    with ground.connect() as connection:
        build_club(connection, dialect="guide", members=50, imports=tmp_path / "imports")
    with pytest.raises(Refused, match=r"taken from PostgreSQL \d+\.\d+; .* of version 16"):
        ground.asked(made.snapshot, from_elsewhere=True)
    before = ground.whole()
    own = ground.snapshot()
    monkeypatch.setenv("SCRATCH_URL", older)
    with ground.open() as wb:
        (tried,) = wb.snapshots.verify(own.snapshot).verifications
        assert tried.outcome == "pass", tried.detail
        ground.execute("""UPDATE "Member" SET email = email || '.x'""")
        different = wb.history.differences(own.snapshot, tables=["Member"], in_full=True, limit=60)
        assert len(different.facts["rows"]) == 50
    for in_place in (False, True):
        ground.execute('DELETE FROM "WaIdMapping"')
        assert ground.restore(ground.asked(own.snapshot, in_place=in_place)).outcome == "done"
        assert_same(before, ground.whole())
