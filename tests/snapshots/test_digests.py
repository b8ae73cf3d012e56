"""Tables hashed on the server: the same for the same rows in any order, another for any other."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from workbench.murmurant.row_digest import table_digests

KINDS = (
    "CREATE TYPE mood AS ENUM ('glad', 'sad');"
    "CREATE TABLE t (id bigint, who uuid, said text, at timestamp, zoned timestamptz, half float8, exact numeric,"
    " mood mood, extra jsonb, many text[], raw bytea, yes boolean, n int, small smallint, day date, long interval,"
    " short varchar(9), padded char(5), price money)"
)

ROW = {
    "id": "1", "who": "'00000000-0000-0000-0000-000000000001'", "said": "'a'", "at": "'2026-01-01 09:00'",
    "zoned": "'2026-01-01 09:00+00'", "half": "0.1", "exact": "1.10", "mood": "'glad'", "extra": """'{"a": 1.0}'""",
    "many": "'{a,NULL}'", "raw": "'x'", "yes": "true", "n": "1", "small": "1", "day": "'2026-01-01'",
    "long": "'1 day'", "short": "'s'", "padded": "'p'", "price": "1.5",
}  # fmt: skip

OTHER = {
    "id": ["4294967296", "-2"], "who": ["'00000000-0000-0000-0000-000000000002'"], "said": ["'a '", "''", "'A'"],
    "at": ["timestamp '2026-01-01 09:00' + 4294967297 * interval '1 microsecond'"],
    "zoned": ["'2026-01-01 09:00+01'"], "half": ["0.10000000000000002", "'-0'", "0"], "exact": ["1.1"],
    "mood": ["'sad'"], "extra": ["""'{"a": 1}'"""], "many": ["'{a,\"NULL\"}'", "'{NULL,a}'"], "raw": ["'y'"],
    "yes": ["false"], "n": ["0"], "small": ["0"], "day": ["'2026-01-02'"], "long": ["'24 hours'"],
    "short": ["'S'"], "padded": ["'q'"], "price": ["1.51"],
}  # fmt: skip


@pytest.fixture(scope="module")
def template(server) -> str:
    return server.template("row-hashes-kinds", lambda connection: connection.execute(KINDS))


@pytest.fixture
def connection(server, template):
    with psycopg.connect(server.url(server.create(template))) as opened:
        yield opened
        opened.rollback()


def insert(connection, row: dict[str, str]) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, row))
    connection.execute(
        sql.SQL("INSERT INTO t ({}) VALUES ({})").format(columns, sql.SQL(", ".join(row.values())))
    )


def digest(connection) -> str:
    return table_digests(connection, "public", ["t"])["t"].digest


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


def test_neither_order_nor_settings_nor_numbers_of_types_matter(connection, server):
    other = {**ROW, "id": "2", "mood": "'sad'"}
    for row in (ROW, other, other):
        insert(connection, row)
    expected = digest(connection)
    with psycopg.connect(server.url(server.create())) as elsewhere:
        elsewhere.execute("CREATE TYPE unrelated AS ENUM ('x')")
        elsewhere.execute(KINDS)
        for row in (other, ROW, other):
            insert(elsewhere, row)
        elsewhere.execute(
            "SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'iso_8601';"
            "SET extra_float_digits = -10; SET bytea_output = 'escape'"
        )
        assert digest(elsewhere) == expected
        elsewhere.execute("DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t)")
        assert digest(elsewhere) != expected


CELLS = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**32, -(2**31)]))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6), st.data())
def test_the_same_rows_and_only_those_have_the_same_digest(quick, rows, data):
    if rows and data.draw(st.booleans()):
        # Values of one column change places: each column on its own stays as it was.
        column = data.draw(st.integers(0, 2))
        order = data.draw(st.permutations(range(len(rows))))
        others = [
            tuple(rows[order[n]][k] if k == column else value for k, value in enumerate(row))
            for n, row in enumerate(rows)
        ]
    else:
        others = data.draw(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6))
    one, other = quick(rows), quick(others)
    key = str
    assert (one == other) == (sorted(rows, key=key) == sorted(others, key=key))


@pytest.fixture(scope="module")
def quick(server):
    with psycopg.connect(server.url(server.template("row-hashes-quick", lambda _: None))) as connection:
        connection.execute("CREATE TEMPORARY TABLE many (a bigint, b numeric, c bigint)")
        (place,) = connection.execute("SELECT pg_my_temp_schema()::regnamespace::text").fetchone()

        def taken(rows):
            connection.execute("TRUNCATE many")
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO many VALUES (%s, %s, %s)", rows)
            return table_digests(connection, place, ["many"])["many"]

        yield taken
