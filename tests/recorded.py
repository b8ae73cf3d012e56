"""Loads the recordings of Murmurant's importers into the application's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.conftest import RECORDINGS, SCHEMAS

STATES = {
    "api_first": RECORDINGS / "api_sync" / "after_first",
    "api_second": RECORDINGS / "api_sync" / "after_second",
    "csv_run1": RECORDINGS / "csv_import" / "run1" / "tables",
    "csv_run2": RECORDINGS / "csv_import" / "run2" / "tables",
}


def load(connection: psycopg.Connection[Any], folder: Path) -> None:
    """Make the application's schema and copy every recorded table into it, as it is."""
    connection.execute((SCHEMAS / "application.sql").read_text(encoding="utf-8"))
    # The recordings leave out tables that their rows refer to (committees, photos, ...).
    connection.execute("SET session_replication_role = replica")
    for path in sorted(folder.glob("*.csv")):
        content = path.read_text(encoding="utf-8")
        columns = content.split("\n", 1)[0].split(",")
        statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv, HEADER)").format(
            sql.Identifier(path.stem), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with connection.cursor().copy(statement) as copy:
            copy.write(content)
    connection.commit()
    connection.autocommit = True
    connection.execute("ANALYZE")
