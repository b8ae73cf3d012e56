"""COPY, read as it comes: every line, the server's own errors, and a connection that can be used again."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from workbench.checkpoints.copying import copied_lines

MANY = sql.SQL("COPY (SELECT n, repeat('x', n % 300) FROM generate_series(1, 50000) n) TO STDOUT")


def test_every_line_comes_once_and_in_order(empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection:
        with connection.cursor().copy(MANY) as copy:
            expected = [bytes(line) for line in copy]
        assert [bytes(line) for lines in copied_lines(connection, MANY) for line in lines] == expected
        nothing = sql.SQL("COPY (SELECT 1 WHERE false) TO STDOUT")
        assert list(copied_lines(connection, nothing)) == []
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("COPY nowhere TO STDOUT", psycopg.errors.UndefinedTable),
        (
            "COPY (SELECT 1 / (30000 - n) FROM generate_series(1, 50000) n) TO STDOUT",
            psycopg.errors.DivisionByZero,
        ),
    ],
)
def test_an_error_is_the_servers_own(empty_url: str, query: str, error: type[psycopg.Error]) -> None:
    with psycopg.connect(empty_url) as connection:
        with pytest.raises(error):
            list(copied_lines(connection, sql.SQL(query)))  # type: ignore[arg-type]
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_whoever_has_enough_can_go_on(empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection:
        lines = copied_lines(connection, MANY)
        assert next(lines)
        lines.close()  # type: ignore[attr-defined]
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_lost_server_is_an_error_and_no_end(empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection, psycopg.connect(empty_url, autocommit=True) as other:
        lines = copied_lines(
            connection,
            sql.SQL(
                "COPY (SELECT repeat('x', 5000), pg_sleep(0.01) FROM generate_series(1, 5000) n) TO STDOUT"
            ),
        )
        assert next(lines)
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            list(lines)
