"""Very many rows, snapshots that are opened while the database is read, and keys by the thousand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import psycopg
import pytest

from tests.conftest import Server, database_at
from tests.differences.test_agreement import both_ways, connection_name, facts, moment
from workbench.errors import SnapshotError, WorkbenchError
from workbench.investigate.differences import names, written
from workbench.investigate.differences.comparing import Earlier, compared
from workbench.investigate.differences.recent import Moment
from workbench.investigate.differences.sides import Shape, Side, side_of
from workbench.murmurant.catalogue import read_catalogue
from workbench.plans.journal import raw


def large_clone(server: Server, url: str, changes: str) -> tuple[Moment, str]:
    """Make a table with text keys and one with uuids, a clone of both, and then changes to both."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table, key in (("a", "md5(n::text)::uuid"), ("b", "'key ' || n")):
            connection.execute(
                f"CREATE TABLE {table} AS SELECT {key} AS id, n, repeat('w', 20) AS word FROM generate_series(1, 6000) n;"
                f"ALTER TABLE {table} ADD PRIMARY KEY (id)"
            )  # type: ignore[arg-type]
        taken = moment(connection)
    clone = server.url(server.create(connection_name(url)))
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("a", "b"):
            connection.execute(changes.format(table=table))  # type: ignore[arg-type]
    return taken, clone


def test_where_most_rows_are_new_all_are_compared(
    server: Server, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "MOST", 300)
    taken, clone = large_clone(server, empty_url, "UPDATE {table} SET word = 'x' WHERE n > 3000")
    with both_ways(empty_url, taken, clone) as (short, long):
        assert facts(short) == facts(long)
        assert {(each.how, each.why) for each in short.tables.values()} == {
            ("in full", "so many rows were written since that all are compared")
        }


def test_a_clone_that_cannot_be_opened_matters_where_something_changed(empty_url: str) -> None:
    @contextmanager
    def opened(tables: Sequence[str]) -> Iterator[Side]:
        raise SnapshotError("The clone is gone.")
        yield

    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
        told = Earlier("test", opened, {"a"}, {"a": 1}, moment(connection))

    def compare() -> tuple[bool, str]:
        with (
            database_at(empty_url).reading() as reading,
            compared(told, Side(raw(reading), read_catalogue(raw(reading))), keys={"a": ("id",)}) as found,
        ):
            return found.before is None, found.tables["a"].how

    assert compare() == (True, "by transaction")
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("INSERT INTO a VALUES (2)")
    with pytest.raises(SnapshotError, match="The clone is gone"):
        compare()


def test_rows_that_nobody_counted_are_counted(empty_url: str) -> None:
    """A table just restored is without statistics; taken for larger than it is it would be read in needless parts."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE a (id int PRIMARY KEY, word text)")
        connection.execute("INSERT INTO a SELECT n, repeat('w', 500) FROM generate_series(1, 300) n")
    with database_at(empty_url).reading() as reading:
        side = side_of(reading, "public", ["a"])
        assert side.about("a") == 300 < side.tables["a"]


def test_uuids_of_one_moment_are_told_apart() -> None:
    """Time-ordered uuids share their first half."""
    keys = [f"01890a5d-ac96-774b-bcce-{n:012x}" for n in range(1000)]
    shape = Shape("a", ("id",), ("id",), {"id": "uuid"})
    asked = names.names_of(shape, keys)
    found = names.names_of(shape, keys[700:] + keys[:10])
    assert found.where(asked).tolist() == [*range(700, 1000), *range(10)]
    assert found.text(np.array([0, 300])) == [keys[700], keys[0]]
    with pytest.raises(WorkbenchError, match="not asked for"):
        asked.where(found)
