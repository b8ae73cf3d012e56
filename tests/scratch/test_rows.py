"""Rows come back exactly, and only those that are needed."""

from __future__ import annotations

import psycopg
import pytest

from tests.dialects import one_dialect as one_dialect
from tests.scratch.ground import NEEDED, ODD, dump, execute, restored, rows
from workbench.snapshots.archive import read_archive


@pytest.mark.parametrize("options", ["-Fc", "-Fp"])
def test_every_row_comes_back_exactly(club, options, tmp_path, settings, scratches):
    club.execute(ODD)
    path = dump(club.url, tmp_path, options)
    with (
        psycopg.connect(club.url, options="-c TimeZone=UTC -c DateStyle=ISO") as live,
        restored(path, NEEDED, settings=settings) as back,
        back.readable.look() as connection,
    ):
        assert scratches() == [back.readable.address.database]
        for table in NEEDED:
            assert len(rows(live, table)) >= 3
            assert rows(connection, table) == rows(live, table)


def test_only_what_is_needed_is_restored(snapshot, settings):
    path = snapshot("-Fc")
    with (
        restored(path, ["second", "second"], settings=settings) as back,
        back.readable.look() as connection,
    ):
        relations = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert connection.execute(relations).fetchall() == [("second",)]
        assert connection.execute("SELECT 1 FROM pg_constraint WHERE contype = 'f'").fetchall() == []
        assert connection.execute(
            "SELECT relpersistence FROM pg_class WHERE relname = 'second'"
        ).fetchall() == [("u",)]


def test_another_schema(small, tmp_path, settings):
    execute(small, 'CREATE SCHEMA "my club"; CREATE TABLE "my club".first AS SELECT 7 AS seven')
    path = dump(small, tmp_path, "-Fc")
    assert read_archive(path, "my club").tables == ("first",)
    with (
        restored(path, ["first"], settings=settings, schema="my club") as back,
        back.readable.look() as connection,
    ):
        assert connection.execute("SELECT seven FROM first").fetchall() == [(7,)]
