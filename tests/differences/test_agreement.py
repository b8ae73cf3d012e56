"""What the comparison finds is what reading both databases whole, row by row, finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Server, database_at
from workbench.errors import DocumentError, WorkbenchError
from workbench.history import differences
from workbench.history.differences import KINDS, Comparison, compared, side_of
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot

TABLES = """
    SET client_min_messages = warning;
    DROP SCHEMA IF EXISTS before CASCADE; DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE TABLE by_uuid (id uuid PRIMARY KEY, word text, mood mood DEFAULT 'calm', size numeric, doc jsonb);
    CREATE TABLE by_text (id text PRIMARY KEY, word text, number int);
    CREATE TABLE by_pair (a text, b int, word text, PRIMARY KEY (a, b));
    CREATE TABLE by_nothing (word text, number int);
    INSERT INTO by_uuid SELECT md5('u' || n)::uuid, 'w' || n, 'calm', n, '{}' FROM generate_series(1, 40) n;
    INSERT INTO by_text SELECT 'key "\\, ' || n, 'w' || n, n FROM generate_series(1, 40) n;
    INSERT INTO by_pair SELECT chr(97 + n % 4) || '/', n, 'w' || n FROM generate_series(1, 40) n;
    INSERT INTO by_nothing SELECT 'w' || n % 5, n % 3 FROM generate_series(1, 40) n;
"""
KEY = {
    "by_uuid": "md5('u' || %(n)s)::uuid = id",
    "by_text": "number = %(n)s",
    "by_pair": "b = %(n)s",
    "by_nothing": "word = 'w' || %(n)s %% 5 AND number = %(n)s %% 3",
}
NEW = {
    "by_uuid": "INSERT INTO by_uuid VALUES (md5('u' || %(n)s)::uuid, 'new', 'cross', 1.50, '[1]') ON CONFLICT DO NOTHING",
    "by_text": "INSERT INTO by_text VALUES ('key ' || %(n)s, 'new') ON CONFLICT DO NOTHING",
    "by_pair": "INSERT INTO by_pair VALUES ('n/', %(n)s, 'new') ON CONFLICT DO NOTHING",
    "by_nothing": "INSERT INTO by_nothing VALUES ('new', %(n)s %% 3)",
}
EDITS = {
    "update": "UPDATE {table} SET word = word || '!' WHERE {here}",
    "empty": "UPDATE {table} SET word = NULL WHERE {here}",
    "revert": "UPDATE {table} SET word = rtrim(word, '!') WHERE {here}",
    "delete": "DELETE FROM {table} WHERE {here}",
    "exchange": "UPDATE by_text t SET word = o.word FROM by_text o"
    " WHERE (t.number, o.number) IN ((%(n)s, %(n)s - 1), (%(n)s - 1, %(n)s))",
    "rename": "UPDATE by_text SET id = id || '+' WHERE number = %(n)s",
    "insert": "{new}",
}
REDEFINED = (
    "ALTER TABLE by_text ADD more int DEFAULT 7",
    "ALTER TABLE by_text DROP COLUMN word",
    "ALTER TABLE by_text ALTER number TYPE text",
    "ALTER TABLE by_pair ALTER b TYPE bigint",
    "ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'",
)
EDIT = st.tuples(st.sampled_from(sorted(EDITS)), st.sampled_from(sorted(KEY)), st.integers(1, 60))


@contextmanager
def comparing(url: str, before: str = "", schema: str = "public") -> Iterator[Comparison]:
    """Compare another database, or a schema of this one, with the tables as they are."""
    database = database_at(before or url)
    snapshot = Snapshot("test", database=replace(database, address=replace(database.address, schema=schema)))
    with database_at(url).reading() as connection:
        now = side_of(connection, "public")
        with compared(snapshot, now, now.catalogue, Settings()) as comparison:
            yield comparison


def read(connection: psycopg.Connection[Any], schema: str, table: str) -> list[dict[str, Any]]:
    """Return a table's rows, every value as PostgreSQL writes it."""
    cursor = connection.execute(f'SELECT * FROM {schema}."{table}" LIMIT 0')  # type: ignore[arg-type]
    names = [column.name for column in cursor.description or ()]
    cells = ", ".join(f'"{name}"::text' for name in names)
    rows = connection.execute(f'SELECT {cells} FROM {schema}."{table}"')  # type: ignore[arg-type]
    return [dict(zip(names, row, strict=True)) for row in rows]


def by_hand(before: list[dict[str, Any]], now: list[dict[str, Any]], key: tuple[str, ...]) -> Any:
    """Return the rows that came, went and changed, and in how many each column did."""
    was, has = ({tuple(row[name] for name in key): row for row in rows} for rows in (before, now))
    changed = [
        [name for name in was[row].keys() & has[row].keys() if was[row][name] != has[row][name]]
        for row in was.keys() & has.keys()
    ]
    columns = Counter(name for names in changed for name in names)
    return len(has.keys() - was.keys()), len(was.keys() - has.keys()), sum(map(bool, changed)), columns


@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    edits=st.lists(EDIT, max_size=12),
    redefined=st.lists(st.sampled_from(REDEFINED), max_size=2, unique=True),
    slice_of=st.sampled_from([1 << 28, 1 << 12]),
    rows_at_once=st.sampled_from([1 << 18, 8]),
)
def test_as_by_hand(
    empty_url: str, edits: list[tuple[str, str, int]], redefined: list[str], slice_of: int, rows_at_once: int
) -> None:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(TABLES)
        connection.execute("CREATE SCHEMA before")
        for table in KEY:
            connection.execute(f"CREATE TABLE before.{table} AS SELECT * FROM public.{table}")  # type: ignore[arg-type]
        was = {table: read(connection, "before", table) for table in KEY}
        for kind, table, n in edits:
            statement = EDITS[kind].format(table=table, here=KEY[table], new=NEW[table])
            connection.execute(statement, {"n": n})  # type: ignore[arg-type]
        for statement in redefined:
            connection.execute(statement)  # type: ignore[arg-type]
        now = {table: read(connection, "public", table) for table in KEY}
        # A label that was renamed is renamed in the copy, too, which has the type from here.
        was["by_uuid"] = read(connection, "before", "by_uuid")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(differences, "_SLICE", slice_of)
        patch.setattr(differences, "_ROWS", rows_at_once)
        comparison = stack.enter_context(comparing(empty_url, schema="before"))
        for name, key in (("by_uuid", ("id",)), ("by_text", ("id",)), ("by_pair", ("a", "b"))):
            table = comparison.tables[name]
            assert (table.before, table.now) == (len(was[name]), len(now[name]))
            counts = [len(table.rows[kind]) for kind in KINDS]
            assert (*counts, table.columns) == by_hand(was[name], now[name], key), name
            for kind in KINDS:
                rows = table.rows[kind]
                assert rows == sorted(rows)
                for left, right in comparison.values(name, kind, rows):
                    assert (left is None, right is None) == (kind == "added", kind == "removed")
                    assert left != right
        left, right = (Counter(tuple(row.items()) for row in rows["by_nothing"]) for rows in (was, now))
        rows_of = comparison.tables["by_nothing"].rows
        assert (len(rows_of["added"]), len(rows_of["removed"])) == (
            (right - left).total(),
            (left - right).total(),
        )


def test_rows_that_a_new_key_does_not_tell_apart_are_refused(empty_url: str) -> None:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1);"
            "CREATE SCHEMA before; CREATE TABLE before.a (id int); INSERT INTO before.a VALUES (1), (1)"
        )
    with pytest.raises(WorkbenchError, match="not unique by id"), comparing(empty_url, schema="before"):
        pass


@pytest.mark.parametrize(
    ("encodings", "same"), [(("LATIN1", "UTF8"), True), (("UTF8", "LATIN1"), True), (("SQL_ASCII", "UTF8"), False)]
)  # fmt: skip
def test_text_of_two_encodings_is_compared_by_its_characters(
    server: Server, encodings: tuple[str, str], same: bool
) -> None:
    urls = []
    for encoding in encodings:
        name = server.create()
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name}")  # type: ignore[arg-type]
            connection.execute(
                f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
            )  # type: ignore[arg-type]
        urls.append(server.url(name))
        with psycopg.connect(urls[-1], client_encoding="UTF8") as connection:
            connection.execute(
                "CREATE TABLE a (id text PRIMARY KEY, name varchar(20), doc jsonb);"
                "INSERT INTO a VALUES ('é', 'González', '{\"ñ\": \"ü\"}'), ('è', 'Ä', NULL)"
            )
    before, now = urls
    if not same:
        with pytest.raises(DocumentError, match="SQL_ASCII"), comparing(now, before):
            pass
        return
    with comparing(now, before) as comparison:
        assert not comparison.different
    with psycopg.connect(now) as connection:
        connection.execute("UPDATE a SET name = 'Gonzàlez' WHERE id = 'é'")
    added, at = ("€", now) if encodings[1] == "UTF8" else ("ø", now)
    with psycopg.connect(at, client_encoding="UTF8") as connection:
        connection.execute("INSERT INTO a VALUES (%s, 'new')", [added])
    with comparing(now, before) as comparison:
        rows = comparison.tables["a"].rows
        assert (rows["changed"], comparison.tables["a"].columns) == (["é"], {"name": 1})
        assert list(comparison.values("a", "changed", rows["changed"])) == [
            ({"name": "González"}, {"name": "Gonzàlez"})
        ]
        assert rows["added"] == [added]
        assert [now and now["name"] for _, now in comparison.values("a", "added", [added])] == ["new"]
