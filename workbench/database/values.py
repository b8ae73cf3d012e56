"""psycopg adapters for every session: dates outside Python's range, and per cent signs in names."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader

from workbench.database.encoding import read_as_bytes
from workbench.hints import odd

EARLIEST, LATEST = datetime(2, 1, 1), datetime(9998, 12, 31)  # noqa: DTZ001
"""Stand-ins for dates outside Python's range, one year inside it so that a day can be added or subtracted."""

# By PostgreSQL's type name: the stand-ins for values below and above Python's range.
_BOUNDS: dict[str, tuple[Any, Any]] = {
    "date": (date(2, 1, 1), date(9998, 12, 31)),
    "timestamp": (EARLIEST, LATEST),
    "timestamptz": (EARLIEST.replace(tzinfo=UTC), LATEST.replace(tzinfo=UTC)),
    "time": (time.min, time.max),
    "timetz": (time.min.replace(tzinfo=UTC), time.max.replace(tzinfo=UTC)),
    "interval": (timedelta.min, timedelta.max),
}


def _loader(name: str) -> type[Loader]:
    oid = psycopg.adapters.types[name].oid
    usual = psycopg.adapters.get_loader(oid, psycopg.pq.Format.TEXT) or Loader
    smallest, largest = _BOUNDS[name]

    class Tolerant(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._usual = usual(oid, context).load

        def load(self, data: Buffer) -> Any:
            try:
                return self._usual(data)
            except (psycopg.DataError, OverflowError, ValueError):
                text = bytes(data).decode(errors="replace")
                odd.add(text)
                return smallest if text.startswith("-") or text.endswith("BC") else largest

    return Tolerant


_LOADERS = {name: _loader(name) for name in _BOUNDS}


class _Cursor(psycopg.Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **more: Any) -> Any:
        return super().execute(_doubled(query, params), params, **more)


class _ServerCursor(psycopg.ServerCursor[Any]):
    def execute(self, query: Any, params: Any = None, **more: Any) -> Any:
        return super().execute(_doubled(query, params), params, **more)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Register the loaders and cursors of a new session."""
    connection.cursor_factory, connection.server_cursor_factory = _Cursor, _ServerCursor
    for name, loader in _LOADERS.items():
        connection.adapters.register_loader(name, loader)
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        read_as_bytes(connection)


def _doubled(query: Any, params: Any) -> Any:
    """Double the per cent signs in names and literals, which are no placeholders."""
    if (
        params is None
        or isinstance(query, sql.SQL | sql.Placeholder)
        or not isinstance(query, sql.Composable)
    ):
        return query
    if isinstance(query, sql.Composed):
        return sql.Composed([_doubled(part, params) for part in query])
    return sql.SQL(query.as_string().replace("%", "%%"))
