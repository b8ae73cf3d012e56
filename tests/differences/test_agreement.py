"""The short way, by transaction numbers, and the long way, row by row, always find the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import Server, database_at
from workbench.investigate.differences.comparing import Comparing, Earlier, compared, keys_of
from workbench.investigate.differences.recent import Moment, Since, since
from workbench.investigate.differences.sides import Side
from workbench.murmurant.catalogue import read_catalogue
from workbench.plans.journal import raw

TABLES = """
    SET client_min_messages = warning;
    DROP SCHEMA IF EXISTS before CASCADE; DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE TABLE by_uuid (id uuid PRIMARY KEY, word text, mood mood DEFAULT 'calm', size numeric, doc jsonb);
    CREATE TABLE by_text (id text PRIMARY KEY, word text, number int);
    CREATE TABLE by_pair (a text, b int, word text, PRIMARY KEY (a, b));
    CREATE TABLE by_nothing (word text, number int);
    CREATE TABLE elsewhere (n int);
    INSERT INTO by_uuid SELECT md5('u' || n)::uuid, 'w' || n, 'calm', n, '{}' FROM generate_series(1, 40) n;
    INSERT INTO by_text SELECT 'key ' || n, 'w' || n, n FROM generate_series(1, 40) n;
    INSERT INTO by_pair SELECT chr(97 + n % 4) || '/', n, 'w' || n FROM generate_series(1, 40) n;
    INSERT INTO by_nothing SELECT 'w' || n % 5, n % 3 FROM generate_series(1, 40) n;
"""
KEY = {
    "by_uuid": "md5('u' || %(n)s)::uuid = id",
    "by_text": "id = 'key ' || %(n)s",
    "by_pair": "b = %(n)s",
    "by_nothing": "word = 'w' || %(n)s %% 5 AND number = %(n)s %% 3",
}
NEW = {
    "by_uuid": "INSERT INTO by_uuid VALUES (md5('u' || %(n)s)::uuid, 'new', 'cross', 1.50, '[1]') ON CONFLICT DO NOTHING",
    "by_text": "INSERT INTO by_text VALUES ('key ' || %(n)s, 'new') ON CONFLICT DO NOTHING",
    "by_pair": "INSERT INTO by_pair VALUES ('n/', %(n)s, 'new') ON CONFLICT DO NOTHING",
    "by_nothing": "INSERT INTO by_nothing VALUES ('new', %(n)s %% 3)",
}
KINDS = ("update", "touch", "revert", "delete", "reinsert", "insert", "rename", "aborted", "within")
CLEANING = ("VACUUM FREEZE {}", "VACUUM FULL {}", "CLUSTER {} USING {}_pkey", "ALTER TABLE {} ADD more int DEFAULT 7",
            "ALTER TABLE {} DROP COLUMN word", "ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'")  # fmt: skip

EDIT = st.tuples(st.sampled_from(KINDS), st.sampled_from(sorted(KEY)), st.integers(1, 60))


def edit(connection: psycopg.Connection[Any], kind: str, table: str, n: int) -> None:
    """Do one thing to one row."""
    here, values = KEY[table], {"n": n}

    def run(statement: str) -> None:
        connection.execute(statement, values)  # type: ignore[arg-type]

    with connection.transaction():
        if kind == "update":
            run(f"UPDATE {table} SET word = word || '!' WHERE {here}")
        elif kind == "touch":
            run(f"UPDATE {table} SET word = word WHERE {here}")
        elif kind == "revert":
            run(f"UPDATE {table} SET word = word || '!' WHERE {here}")
            run(f"UPDATE {table} SET word = rtrim(word, '!') WHERE {here}")
        elif kind == "delete":
            run(f"DELETE FROM {table} WHERE {here}")
        elif kind == "reinsert":
            run(f"CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM {table} WHERE {here}")
            run(f"DELETE FROM {table} WHERE {here}")
            run(f"INSERT INTO {table} SELECT * FROM kept")
            run("DROP TABLE kept")
        elif kind == "insert":
            run(NEW[table])
        elif kind == "rename" and table == "by_text":
            run("UPDATE by_text SET id = id || '+' WHERE id = 'key ' || %(n)s")
        elif kind == "aborted":
            with connection.transaction(force_rollback=True):
                run(f"UPDATE {table} SET word = 'never' WHERE {here}")
        elif kind == "within":
            with connection.transaction():
                run(f"UPDATE {table} SET word = 'inner' WHERE {here}")


@contextmanager
def both_ways(url: str, earlier: Moment, clone: str | None = None) -> Iterator[tuple[Comparing, Comparing]]:
    """Compare a clone, or the copy in the schema "before", with the tables as they are: the short and the long way."""
    old = "public" if clone else "before"
    with ExitStack() as stack:
        reading = [stack.enter_context(database_at(each).reading()) for each in (clone or url, url)]
        was, now = (
            Side(raw(each), read_catalogue(raw(each), schema))
            for each, schema in zip(reading, (old, "public"), strict=True)
        )
        rows = {
            name: was.connection.execute(f"SELECT count(*) FROM {old}.{name}").fetchone()[0]  # type: ignore[index,arg-type]
            for name in was.tables
        }

        @contextmanager
        def opened(tables: Sequence[str]) -> Iterator[Side]:
            assert set(tables) <= set(was.tables)
            yield was

        told = Earlier("test", opened, set(was.tables), rows, earlier)
        keys = keys_of(now.catalogue.tables)
        assert isinstance(since(now, earlier), Since)
        yield (
            stack.enter_context(compared(told, now, keys=keys)),
            stack.enter_context(compared(told, now, keys=keys, in_full=True)),
        )


def moment(connection: psycopg.Connection[Any]) -> Moment:
    row = connection.execute(
        "SELECT s.system_identifier::text, (SELECT oid::text FROM pg_database WHERE datname = current_database()),"
        " c.timeline_id, pg_current_snapshot()::text FROM pg_control_system() s, pg_control_checkpoint() c"
    ).fetchone()
    assert row is not None
    return Moment(*row)


def snapshot(connection: psycopg.Connection[Any]) -> Moment:
    """Copy every table as it is to this transaction, and say which moment that is."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        now = moment(connection)
        connection.execute("CREATE SCHEMA before")
        for table in KEY:
            connection.execute(f"CREATE TABLE before.{table} AS SELECT * FROM public.{table}")  # type: ignore[arg-type]
    return now


def connection_name(url: str) -> str:
    return str(conninfo_to_dict(url)["dbname"])


def facts(found: Comparing) -> dict[str, Any]:
    return {
        name: (each.before, each.now, sorted(each.added), sorted(each.removed), sorted(each.changed), each.columns)
        for name, each in found.tables.items()
    }  # fmt: skip


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    earlier=st.lists(EDIT, max_size=4),
    under_way=st.lists(EDIT, max_size=4),
    later=st.lists(EDIT, max_size=12),
    cleaning=st.lists(st.sampled_from(CLEANING), max_size=2, unique=True),
    committed=st.booleans(),
)
def test_both_ways_find_the_same(
    empty_url: str,
    earlier: list[Any],
    under_way: list[Any],
    later: list[Any],
    cleaning: list[str],
    committed: bool,
) -> None:
    url = empty_url
    with (
        psycopg.connect(url, autocommit=True) as one,
        psycopg.connect(url) as other,
        psycopg.connect(url) as taker,
    ):
        one.execute(TABLES)
        for each in earlier:
            edit(one, *each)
        other.execute("SELECT 1")  # begins a transaction, in which each edit is a subtransaction
        for number, each in enumerate(under_way):
            edit(other, *each)
            one.execute("INSERT INTO elsewhere VALUES (%s)", [number])  # somebody finishes in between
        taken = snapshot(taker)
        other.commit() if committed else other.rollback()
        for each in later:
            edit(one, *each)
        for statement in cleaning:
            if "ALTER TYPE" not in statement:
                one.execute(statement.format("by_text", "by_text"))  # type: ignore[arg-type]
            elif one.execute("SELECT FROM pg_enum WHERE enumlabel = 'calm'").rowcount:
                one.execute(statement)  # type: ignore[arg-type]
        taker.close()
    with both_ways(url, taken) as (short, long):
        assert facts(short) == facts(long)
        assert all(each.how == "in full" for each in long.tables.values())
        if not cleaning:
            assert {name for name, each in short.tables.items() if each.how == "by transaction"} == {"by_uuid", "by_text", "by_pair"}  # fmt: skip


def test_rows_gone_from_a_large_table(server: Server, empty_url: str) -> None:
    """More pages than one, some emptied and filled anew; and a table that was written anew."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE a (id uuid PRIMARY KEY, word text)")
        connection.execute(
            "INSERT INTO a SELECT md5(n::text)::uuid, repeat('w', 100) FROM generate_series(1, 4000) n"
        )
        connection.execute("CREATE TABLE b (LIKE a INCLUDING ALL); INSERT INTO b TABLE a")
        taken = moment(connection)
    clone = server.url(server.create(connection_name(empty_url)))
    with psycopg.connect(empty_url, autocommit=True) as connection:
        for table in ("a", "b"):
            connection.execute(f"DELETE FROM {table} WHERE id < '20000000-0000-0000-0000-000000000000'")  # type: ignore[arg-type]
            connection.execute(f"VACUUM {table}")  # type: ignore[arg-type]
            connection.execute(
                f"INSERT INTO {table} SELECT gen_random_uuid(), 'new' FROM generate_series(1, 300)"
            )  # type: ignore[arg-type]
            connection.execute(
                f"UPDATE {table} SET word = 'x' WHERE id > 'f0000000-0000-0000-0000-000000000000'"
            )  # type: ignore[arg-type]
        connection.execute("VACUUM FULL b")
    with both_ways(empty_url, taken, clone) as (short, long):
        assert facts(short) == facts(long)
        assert len(short.tables["a"].removed) > 400
        assert {each.how for each in short.tables.values()} == {"by transaction"}
