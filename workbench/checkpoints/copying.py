"""COPY TO STDOUT, read as it comes: all lines that are there at a time.

psycopg hands over a line at a time, each through several of its own calls, which takes three times the processor
that hashing a large table does. Here one wait is for all that has arrived.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import psycopg
from psycopg import sql
from psycopg.errors import error_from_result
from psycopg.generators import fetch
from psycopg.pq import ExecStatus
from psycopg.waiting import Wait

Lines = list[Any]
"""Of bytes-like objects, each a line with its end."""


def copied_lines(connection: psycopg.Connection[Any], query: sql.Composable) -> Iterator[Lines]:
    """Yield what a COPY TO STDOUT writes, some lines at a time.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction; it can be used for nothing else until the last line was taken.
    query : Composable
        The COPY.

    Raises
    ------
    psycopg.Error
        The server's own, before the first line or between two.
    """
    pgconn = connection.pgconn
    pgconn.send_query(query.as_bytes(connection))
    begun = connection.wait(fetch(pgconn))
    if begun is None or begun.status != ExecStatus.COPY_OUT:
        _end(connection, begun)
        return
    ended = False
    try:
        while not ended:
            lines, ended = connection.wait(_arrived(connection))
            if lines:
                yield lines
    finally:
        if not ended:  # whoever reads has enough, and the connection is wanted again
            connection.cancel_safe()
            while not connection.wait(_arrived(connection))[1]:
                pass
            while connection.wait(fetch(pgconn)) is not None:
                pass
    _end(connection, connection.wait(fetch(pgconn)))


def _arrived(connection: psycopg.Connection[Any]) -> Generator[Wait, int, tuple[Lines, bool]]:
    """Return the lines that are there, at least one where more are to come; and whether it was the end."""
    pgconn, lines = connection.pgconn, []
    while True:
        size, line = pgconn.get_copy_data(1)
        if size > 0:
            lines.append(line)
        elif size < 0 or lines:
            return lines, size < 0
        elif (yield Wait.R):
            pgconn.consume_input()


def _end(connection: psycopg.Connection[Any], result: Any) -> None:
    """Take the last results; raise the error that is among them."""
    failed = result if result is not None and result.status == ExecStatus.FATAL_ERROR else None
    while (more := connection.wait(fetch(connection.pgconn))) is not None:
        failed = failed or (more if more.status == ExecStatus.FATAL_ERROR else None)
    if failed is not None:
        raise error_from_result(failed, encoding=connection.info.encoding)
