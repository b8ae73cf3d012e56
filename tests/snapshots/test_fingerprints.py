"""A table's digest: of its rows as pg_dump writes them, the same in every format and after every restore."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.snapshots.test_row_hashes import KINDS, OTHER, ROW, insert
from workbench.checkpoints.archive import digest_of, digest_of_folder
from workbench.checkpoints.archived import digests_in
from workbench.checkpoints.fingerprints import (
    as_copied,
    fingerprints,
    row_counts,
    sequences_of,
    shapes,
    tables_of,
)
from workbench.checkpoints.growing import Growing
from workbench.database.programs import find_programs
from workbench.errors import SchemaGap, SnapshotError

ODD = r"""
CREATE SCHEMA "odd ""one"" TABLE DATA";
CREATE TABLE "odd ""one"" TABLE DATA"."a (b"" c, d" ("x y" int, "q""q" text, "COPY t (a) FROM stdin;" text);
INSERT INTO "odd ""one"" TABLE DATA"."a (b"" c, d" VALUES (1, E'\.', E'a
b	\N'), (2, E'\.
', 'COPY t FROM stdin;'), (3, NULL, '');
CREATE TABLE "a b" (n int); CREATE SCHEMA a; CREATE TABLE a.b (n int); INSERT INTO "a b" VALUES (1); INSERT INTO a.b VALUES (2);
CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE empty (a int, b text);
CREATE TABLE less (a int, gone text, c int); INSERT INTO less VALUES (1, 'x', 2); ALTER TABLE less DROP gone;
CREATE TABLE made (a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text); INSERT INTO made VALUES (4, DEFAULT, 'b');
CREATE TABLE only_made (one int GENERATED ALWAYS AS (1) STORED); INSERT INTO only_made DEFAULT VALUES;
CREATE TABLE parent (a int, b text); CREATE TABLE heir (c int) INHERITS (parent);
INSERT INTO parent VALUES (1, 'p'); INSERT INTO heir VALUES (2, 'h', 3);
CREATE TABLE split (n int, t text) PARTITION BY RANGE (n); CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (0) TO (9);
CREATE TABLE split_2 (t text, n int); ALTER TABLE split ATTACH PARTITION split_2 FOR VALUES FROM (9) TO (99);
INSERT INTO split VALUES (1, 'a'), (10, 'b');
CREATE UNLOGGED TABLE quick (n int); INSERT INTO quick VALUES (5);
CREATE TABLE large (id int, body text); ALTER TABLE large ALTER body SET STORAGE EXTERNAL;
INSERT INTO large SELECT n, repeat(md5(n::text), 40000) FROM generate_series(1, 3) n;
CREATE TABLE refs (what regclass, at timestamptz, half float8); INSERT INTO refs VALUES ('a.b', '2026-07-01 09:00+02', 0.1);
SELECT lo_from_bytea(0, 'a large object');
"""

# Rows that do not fit where the one before them ended, but many of which would fit on an earlier page.
UNEVEN = """
CREATE TABLE uneven (n int, body text); ALTER TABLE uneven ALTER body SET STORAGE PLAIN;
INSERT INTO uneven SELECT n, repeat('x', (n * 7919 % 11) * 700 + 10) FROM generate_series(1, 3000) n;
CREATE TABLE toasted (n int, body text); ALTER TABLE toasted ALTER body SET STORAGE EXTERNAL;
INSERT INTO toasted SELECT n, repeat('y', CASE n % 3 WHEN 0 THEN 9000 WHEN 1 THEN 1900 ELSE 5 END) FROM generate_series(1, 1500) n;
DELETE FROM uneven WHERE n % 5 = 0; UPDATE uneven SET n = -n WHERE n % 7 = 0; VACUUM uneven;
INSERT INTO uneven SELECT n, 'late' FROM generate_series(5000, 5100) n
"""

FORMATS = {
    "folder": ["--format=directory", "--compress=none", "--jobs=2"],
    "zipped": ["--format=directory", "--compress=gzip:1", "--jobs=2"],
    "file": ["--format=custom", "--compress=none"],
    "zipped file": ["--format=custom"],
}


def tool(name):
    return next(each for each in find_programs() if each.name == name)


def dumped(url, path, form):
    command = [tool("pg_dump").path, *FORMATS[form], f"--file={path}", url]
    subprocess.run(command, check=True, env=os.environ | {"PGTZ": "UTC"})  # as `Source.parameters` has it
    return path


def everything(connection):
    return {
        (schema, table): each
        for schema, tables in tables_of(connection).items()
        for table, each in fingerprints(connection, schema, tables).items()
    }


@pytest.fixture(scope="module")
def odd(server):
    template = server.template("fingerprint-odd", lambda connection: connection.execute(ODD))
    return server.url(server.create(template))


@pytest.fixture(scope="module")
def uneven(server):
    name = server.create()
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        for statement in UNEVEN.split(";"):
            connection.execute(statement)
    return server.url(name)


@pytest.fixture
def connection(server):
    template = server.template("fingerprint-kinds", lambda connection: connection.execute(KINDS))
    with psycopg.connect(server.url(server.create(template))) as opened:
        yield opened
        opened.rollback()


def digest(connection) -> str:
    return fingerprints(connection, "public", ["t"])["t"].digest


@pytest.mark.parametrize("form", FORMATS)
def test_what_an_archive_holds_and_what_the_server_copies_are_one(odd, tmp_path, form):
    path = dumped(odd, tmp_path / "archive", form)
    files = (
        {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in path.iterdir()}
        if path.is_dir()
        else {}
    )
    rows = digests_in(path, tool("pg_restore"), files)
    with psycopg.connect(odd) as connection:
        expected = everything(connection)
        with as_copied(connection):
            there = shapes(connection, tables_of(connection))
    assert {name: shape.digest(rows[shape.oid]) for name, shape in there.items()} == {
        name: each.digest for name, each in expected.items()
    }
    assert len(expected) == len(rows) == 15
    assert expected["public", "nothing"].rows == 2
    assert expected["public", "parent"].rows == 1
    if path.is_dir():
        assert digest_of(path) == digest_of_folder(files)


@pytest.mark.parametrize("form", ["folder", "file"])
@pytest.mark.parametrize("place", ["odd", "uneven"])
def test_a_restore_by_two_jobs_or_in_one_transaction_keeps_the_digests(
    server, odd, uneven, place, form, tmp_path
):
    url = {"odd": odd, "uneven": uneven}[place]
    path = dumped(url, tmp_path / "archive", form)
    with psycopg.connect(url) as connection:
        expected = everything(connection)
    for options in (["--jobs=2"], ["--single-transaction"]):
        again = server.url(server.create())
        subprocess.run([tool("pg_restore").path, *options, f"--dbname={again}", path], check=True)
        with psycopg.connect(again) as connection:
            assert everything(connection) == expected


def test_a_restore_by_one_job_without_a_transaction_does_not(server, uneven, tmp_path):
    """That is why ours never do: the rows are the same, and lie elsewhere."""
    path = dumped(uneven, tmp_path / "archive", "file")
    again = server.url(server.create())
    subprocess.run([tool("pg_restore").path, f"--dbname={again}", path], check=True)
    with psycopg.connect(uneven) as connection, psycopg.connect(again) as other:
        one, two = everything(connection), everything(other)
    assert {name for name in one if one[name] != two[name]} == {("public", "uneven")}
    assert {name: each.rows for name, each in one.items()} == {name: each.rows for name, each in two.items()}


def test_every_type_is_told_apart(connection):
    insert(connection, ROW)
    seen = {"as it was": digest(connection)}
    for column, values in OTHER.items():
        for value in [*values, "NULL"]:
            change = f'UPDATE t SET "{column}" = {value}'
            connection.execute("SAVEPOINT before")
            connection.execute(change)
            seen[change] = digest(connection)
            connection.execute("ROLLBACK TO before")
    assert len(set(seen.values())) == len(seen)
    assert {len(each) for each in seen.values()} == {64}


def test_settings_do_not_matter_and_stay(connection):
    insert(connection, ROW)
    expected = digest(connection)
    connection.execute(
        "SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'iso_8601';"
        "SET extra_float_digits = -10; SET bytea_output = 'escape'; SET search_path = pg_catalog;"
        "SET client_encoding = 'LATIN1'"
    )
    assert digest(connection) == expected
    kept = connection.execute(
        "SELECT current_setting('TimeZone'), current_setting('search_path'), current_setting('client_encoding')"
    ).fetchone()
    assert kept == ("Asia/Tokyo", "pg_catalog", "LATIN1")


CELLS = st.one_of(st.none(), st.text("\\\nN.\té\r", max_size=3))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), max_size=4), st.lists(st.tuples(CELLS, CELLS), max_size=4))
def test_the_same_rows_in_the_same_order_and_only_those_have_the_same_digest(quick, rows, others):
    assert (quick(rows) == quick(others)) == (rows == others)
    assert quick(rows) == quick(list(rows))


@pytest.fixture(scope="module")
def quick(server):
    with psycopg.connect(server.url(server.template("fingerprint-quick", lambda _: None))) as connection:
        connection.execute("CREATE TEMPORARY TABLE many (a text, b text)")
        (place,) = connection.execute("SELECT pg_my_temp_schema()::regnamespace::text").fetchone()

        def taken(rows):
            connection.execute("TRUNCATE many")
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO many VALUES (%s, %s)", rows)
            return fingerprints(connection, place, ["many"])["many"]

        yield taken


def test_a_column_with_another_name_or_type_is_another_table(connection):
    insert(connection, ROW)
    seen = {digest(connection)}
    for change in ("RENAME n TO m", "ALTER small TYPE int", "DROP yes"):
        connection.execute(f"ALTER TABLE t {change}")
        seen.add(digest(connection))
    assert len(seen) == 4


def test_a_table_that_is_not_there(connection):
    with pytest.raises(SchemaGap, match='no table "gone"'):
        fingerprints(connection, "public", ["t", "gone"])


def test_a_compressed_archive_that_is_cut_short_has_no_digests(uneven, tmp_path):
    path = dumped(uneven, tmp_path / "archive", "zipped")
    largest = max(path.glob("*.dat.gz"), key=lambda each: each.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    with pytest.raises(SnapshotError, match="cut short"):
        digests_in(path, tool("pg_restore"), {})


def test_files_are_hashed_while_they_grow(tmp_path):
    folder = tmp_path / "later"
    growing = Growing(folder)
    time.sleep(0.1)
    folder.mkdir()
    for size in (10, 300_000, 0, 5):
        for name in ("one", "other"):
            with (folder / name).open("ab") as file:
                file.write(os.urandom(size))
        time.sleep(0.08)
    (folder / "last").write_bytes(b"")
    found = growing.digests()
    assert found == {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.iterdir()}
    assert len(found) == 3
    assert Growing(tmp_path / "never").digests() == {}


def test_which_tables_and_sequences_there_are(connection):
    connection.execute(
        'CREATE SCHEMA other; CREATE TABLE other."Odd, one" (id serial);'
        "CREATE VIEW v AS SELECT 1; CREATE TEMPORARY TABLE passing (n int);"
        "CREATE TABLE split (n int) PARTITION BY RANGE (n);"
        "CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (0) TO (9); INSERT INTO split VALUES (1), (2);"
        'CREATE TABLE heir () INHERITS (other."Odd, one"); INSERT INTO heir VALUES (7), (8)'
    )
    found = {schema: sorted(tables) for schema, tables in tables_of(connection).items()}
    assert found == {"public": ["heir", "split_1", "t"], "other": ["Odd, one"]}
    assert row_counts(connection, "other", ["Odd, one"]) == {"Odd, one": 0}
    assert fingerprints(connection, "public", ["heir", "split_1"])["split_1"].rows == 2
    assert sequences_of(connection) == {"other": {"Odd, one_id_seq": (1, False)}}
    connection.execute('INSERT INTO other."Odd, one" DEFAULT VALUES')
    assert sequences_of(connection) == {"other": {"Odd, one_id_seq": (1, True)}}
