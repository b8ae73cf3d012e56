"""Many keys on their way to the server, and the digests of the rows they name."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.murmurant.catalogue import read_catalogue
from workbench.plans import digests, rows
from workbench.plans.arrays import UuidArray, digest_array, key_array, uuids_in
from workbench.plans.digests import digests_of
from workbench.plans.plan import format_pairs, format_row

from .conftest import Server, database_at

SEEN = ("id", "note")


@pytest.fixture(scope="module", params=["uuid", "text"])
def filled(request: pytest.FixtureRequest, server: Server) -> tuple[str, list[str]]:
    """A table of forty rows, and their keys, hostile ones among those that are text."""
    url = server.url(server.create())
    keys = [str(UUID(int=number << 64)) for number in range(30)] + [
        str(UUID(int=number)) for number in range(1, 11)
    ]
    if request.param == "text":
        keys = [*keys[:36], 'a"b', "a\\b", "a\tb", "ü,{}"]
    with psycopg.connect(url) as connection:
        connection.execute(f'CREATE TABLE "Member" (id {request.param} PRIMARY KEY, note text)')  # type: ignore[arg-type]
        with connection.cursor() as cursor:
            cursor.executemany('INSERT INTO "Member" VALUES (%s, %s)', [(key, key[::-1]) for key in keys])
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE")
    return url, sorted(keys)


def asked(url: str, keys: list[str]) -> dict[str, int]:
    with database_at(url).reading() as reading:
        connection: Any = reading.connection.driver_connection
        found, values = digests_of(connection, read_catalogue(reading, "public"), "Member", SEEN, keys)
    return dict(zip(found, values.tolist(), strict=True))


def said_by_the_server(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        return dict(
            connection.execute('SELECT id::text, hash_record_extended(ROW(id, note), 0) FROM "Member"')
        )  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [0, 2], ids=["joined", "read through"])
def test_both_ways_give_what_the_server_says_and_leave_out_what_is_gone(
    filled: tuple[str, list[str]], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_MOST", most)
    url, keys = filled
    truth = said_by_the_server(url)
    assert asked(url, keys) == truth
    assert list(asked(url, keys[::-1])) == keys[::-1]
    # After all keys, and between two of them: what is looked up there is somebody else.
    gone = [str(UUID(int=0xFF << 120)), str(UUID(int=3 << 64 | 5)), str(UUID(int=11))]
    assert asked(url, [*gone, *keys[5:]]) == {key: truth[key] for key in keys[5:]}
    assert asked(url, gone) == {}


@given(st.lists(st.uuids(), max_size=20))
@settings(max_examples=25, deadline=None)
def test_uuids_in_binary_are_what_their_text_says(server: Server, values: list[UUID]) -> None:
    keys = [str(each) for each in values]
    with psycopg.connect(server.handle.get_uri()) as connection:
        row = connection.execute("SELECT %s::uuid[]::text[]", [key_array(keys, "uuid")]).fetchone()
    assert row == (keys,)
    if keys:
        assert [
            UUID(bytes=bytes(each).ljust(16, b"\0")) for each in uuids_in(UuidArray(key_array(keys, "uuid")))
        ] == values  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "odd",
    ["", "{}", "a" * 36, "db123191-1108-4e51-a81d-94b5efc66205x", "zzzzzzzz-0000-0000-0000-000000000000"],
)
def test_keys_that_are_no_uuids_go_as_text_for_the_server_to_judge(odd: str) -> None:
    keys = [str(uuid4()), odd]
    assert key_array(keys, "uuid") == rows.as_array(keys)
    assert key_array(keys, "text") == rows.as_array(keys)


def test_digests_in_binary_are_what_they_were(server: Server) -> None:
    values = [0, 1, -1, 2**63 - 1, -(2**63)]
    with psycopg.connect(server.handle.get_uri()) as connection:
        row = connection.execute("SELECT %s::bigint[]", [digest_array(values)]).fetchone()
    assert row == (values,)
    with pytest.raises(OverflowError):
        digest_array([2**63])


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), st.integers(-9, 9)), max_size=6))
def test_rows_written_at_once_are_those_written_one_by_one(pairs: list[tuple[str, int]]) -> None:
    keys, values = [key for key, _ in pairs], [value for _, value in pairs]
    assert format_pairs(keys, values) == b"".join(format_row((key, str(value))) for key, value in pairs)
