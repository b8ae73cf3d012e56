"""A small database with odd values in it, its dumps, and what a reading of one says when it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from workbench.database.embedded import client_tools
from workbench.errors import DocumentError, WorkbenchError
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened

NEEDED = ("WaIdMapping", "Member", "Event", "EventRegistration", "Odd rows")

ODD = r"""
CREATE SCHEMA other;
CREATE DOMAIN other.seats AS int CHECK (VALUE >= 0);
CREATE TYPE place AS (town text, "no" int);
CREATE TABLE "Odd rows" (id serial PRIMARY KEY, said text NOT NULL DEFAULT 'nothing', at timestamptz,
    half float8, exact numeric, place place, free other.seats, raw bytea, many text[],
    twice int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO "Odd rows" (said, at, half, exact, place, free, raw, many) VALUES
    (E'\\.', '2026-01-01 09:00+05', 0.1, 1.10, ('Zürich', 1), 3, 'x', '{a,"b c",NULL}'),
    (E'tab\t newline\n\\.\n return\r back\\slash \\N', 'infinity', 'NaN', 'NaN', NULL, NULL, '\x00ff', '{}'),
    ('', '0044-03-15 BC', '-0', 12345678901234567890.123, (NULL, NULL), 0, '', NULL);
"""


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def dump(url: str, folder: Path, *options: str) -> Path:
    path = folder / "snapshot"
    subprocess.run([client_tools() / "pg_dump", *options, f"--file={path}", url], check=True)
    return path


def restored(path: Path, tables: Sequence[str], **how: Any) -> AbstractContextManager[Snapshot]:
    """Open some tables of a dump that has no manifest."""
    return opened(Snapshot(path.name, path), tables, **how)


def rows(connection, table: str) -> list[str]:
    query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(table))
    return [row for (row,) in connection.execute(query).fetchall()]


def failure(
    path: Path, tables: list[str], settings: Settings, said: str, kind: type[WorkbenchError] = DocumentError
) -> WorkbenchError:
    """Restore what cannot be restored; return the error, which says `said`."""
    with pytest.raises(kind, match=said) as caught, restored(path, tables, settings=settings):
        pytest.fail("it was restored")
    return caught.value
