"""Many tables counted and digested by several sessions at once, while something else goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import psycopg

from workbench.checkpoints.fingerprints import Connection, Fingerprint, row_counts
from workbench.checkpoints.manifest import Contents, TableState

WORKERS = 2
"""Sessions at a time."""

Wanted = tuple[str, str, bool]
"""A schema, a table of it, and whether its rows are digested too."""

Way = Callable[[Connection, str, Iterable[str]], dict[str, Fingerprint]]
"""How tables are digested: `fingerprints`, `row_hashes`, or what rests on them."""


class Tallies:
    """The states of tables, being found out.

    Parameters
    ----------
    connect : callable
        Opens a session that sees the state that is wanted.
    wanted : iterable of (schema, table, digested)
        The largest first, so that no session is left with one in the end.
    way : callable
        How they are digested.
    """

    def __init__(self, connect: Callable[[], Connection], wanted: Iterable[Wanted], way: Way) -> None:
        self._connect, self._way = connect, way
        self._wanted: queue.SimpleQueue[Wanted] = queue.SimpleQueue()
        for each in wanted:
            self._wanted.put(each)
        self._found: dict[str, dict[str, TableState]] = {}
        self._open: list[Connection] = []
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(WORKERS)
        self._work: list[Future[None]] = [self._pool.submit(self._run) for _ in range(WORKERS)]

    def contents(self) -> dict[str, Contents]:
        """Wait for the end; return what each schema's tables hold, by name."""
        try:
            for each in self._work:
                each.result()
        finally:
            self.stop()
        return {name: Contents(dict(sorted(tables.items()))) for name, tables in self._found.items()}

    def stop(self) -> None:
        """End the sessions, when they are not wanted any more."""
        self._stopped.set()
        for each in self._open:
            with suppress(psycopg.Error):
                each.cancel_safe(timeout=5)
        self._pool.shutdown()

    def _run(self) -> None:
        with self._connect() as connection:
            self._open.append(connection)
            while not self._stopped.is_set():
                try:
                    schema, table, digest = self._wanted.get_nowait()
                except queue.Empty:
                    break
                self._found.setdefault(schema, {})[table] = self._state(connection, schema, table, digest)
            self._open.remove(connection)
            connection.rollback()

    def _state(self, connection: Connection, schema: str, table: str, digest: bool) -> TableState:
        if digest:
            return TableState(*self._way(connection, schema, [table])[table])
        return TableState(row_counts(connection, schema, [table])[table], None)
