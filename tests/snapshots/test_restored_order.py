"""Rows in another order than the archive's are the same rows; manifests of the first version are still understood."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import psycopg
import pytest

from tests.snapshots.test_fingerprints import UNEVEN, tool
from tests.snapshots.test_verify import forge, unlog
from workbench.checkpoints.comparing import differences_from, way_of
from workbench.checkpoints.fingerprints import fingerprints
from workbench.checkpoints.manifest import Contents, TableState, read_manifest
from workbench.checkpoints.restore.steps import compare_with
from workbench.checkpoints.restore.watching import contents, expected_of
from workbench.checkpoints.restored_order import as_restored
from workbench.checkpoints.row_hashes import row_hashes
from workbench.checkpoints.shelf import list_snapshots
from workbench.errors import SnapshotError

# Of an heir that joined later, pg_dump makes a table whose inherited columns come first.
HEIRS = '''
CREATE SCHEMA "a b";
CREATE TABLE "a b".elder ("the ""a""" int, b text); CREATE TABLE "a b"."c d" (c int, b text, "the ""a""" int);
ALTER TABLE "a b"."c d" INHERIT "a b".elder; INSERT INTO "a b"."c d" VALUES (1, 'one', 2), (3, 'two', 4);
CREATE TABLE "a b"."c d e" (c int, b text, "the ""a""" int); INSERT INTO "a b"."c d e" VALUES (1, 'one', 2), (5, 'two', 4)
'''


@pytest.fixture
def wide(clubs):
    club = clubs.clone("guide")
    with psycopg.connect(club.url, autocommit=True) as connection:
        for statement in (UNEVEN + ";" + HEIRS).split(";"):
            connection.execute(statement)
    return club


@pytest.mark.parametrize("form", ["custom", "directory"])
def test_the_same_rows_in_another_order_are_no_difference(wide, opened, server, form):
    with opened(wide) as wb:
        made = wb.create_snapshot(format=form)
        tried = wb.verify_snapshot().verifications[-1]  # the heir's columns are in another order there
        assert tried.outcome == "pass", tried.detail
    again = server.url(server.create())
    # As we never do: by one job, without a transaction.
    subprocess.run([tool("pg_restore").path, "--no-owner", f"--dbname={again}", made.path], check=True)

    def connect():
        return psycopg.connect(again)

    def differences(way):
        return [said.partition(" has as many")[0] for said in differences_from(made, connect, way)]

    lenient = as_restored(made, None)
    assert differences(way_of(made)) == ["a b.c d", "uneven"]
    assert differences(lenient) == []
    restore = Restored(made)
    with connect() as connection:
        compare_with(restore, *contents(connection, "public", expected_of(made).tables, lenient))
    # Values that changed places between two rows are a difference, whatever lies where.
    with connect() as connection:
        connection.execute(
            "UPDATE uneven SET n = CASE n WHEN 1 THEN 2 ELSE 1 END WHERE n IN (1, 2);"
            'UPDATE "a b"."c d" SET b = \'three\' WHERE c = 3'
        )
    assert differences(lenient) == ["a b.c d", "uneven"]
    with (
        connect() as connection,
        pytest.raises(SnapshotError, match="uneven has other contents"),
    ):
        compare_with(restore, *contents(connection, "public", expected_of(made).tables, lenient))


class Restored:
    """As much of a restore as comparing needs."""

    def __init__(self, made) -> None:
        self.around = self.request = self.source = self
        self.snapshot = made.snapshot
        self.expected = lambda _: expected_of(made)


def test_a_manifest_that_lies_of_a_table_in_another_order(wide, opened):
    with opened(wide) as wb:
        made = wb.create_snapshot()
        unlog(wb)
        lied = Contents(
            {
                **made.elsewhere["a b"].tables,
                "c d": TableState(2, made.elsewhere["a b"].tables["c d e"].digest),
            }
        )
        forge(made, elsewhere={**made.elsewhere, "a b": lied})
        tried = wb.verify_snapshot().verifications[-1]
    assert tried.outcome == "fail"
    assert "a b.c d has as many rows, 2, but others" in tried.detail


def test_a_manifest_of_the_first_version_is_listed_and_verified(club, opened, backups):
    """Its digests were made on the server, of rows in any order."""
    with opened(club) as wb:
        made = wb.create_snapshot()
        unlog(wb)
        with psycopg.connect(club.url) as connection:
            old = {
                table: TableState(state.rows, row_hashes(connection, "public", [table])[table].digest)
                for table, state in made.tables.items()
            }
            audit = wb.schema.resolved["audit"].table
            old[audit] = TableState(made.tables[audit].rows, None)  # it has the snapshot's own entry since
        forge(made, version=1, tables=old)
        first = read_manifest(made.path)
        assert (first.version, way_of(first), way_of(made)) == (1, row_hashes, fingerprints)
        assert list_snapshots(backups) == [first]
        tried = wb.verify_snapshot().verifications[-1]
        assert tried.outcome == "pass", tried.detail
        forge(
            replace(first, verifications=()),
            tables={**old, "Member": TableState(old["Member"].rows, "0" * 64)},
        )
        tried = wb.verify_snapshot().verifications[-1]
        assert "Member has as many rows" in tried.detail
