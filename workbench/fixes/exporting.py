"""Rows as JSON lines beside the snapshots, with their SHA-256: what is exported before it goes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import psycopg
from psycopg import sql

from workbench.errors import WorkbenchError
from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.drafting import in_chunks
from workbench.plans.rows import as_array, table_of

_CHUNK = 5_000  # whole rows at a time


@dataclass(frozen=True)
class Export:
    """A file of exported rows.

    Attributes
    ----------
    path : Path
        Its name tells its digest's beginning.
    sha256 : str
        Of its bytes; `shasum -a 256 -c` takes the file beside it.
    rows : int
        How many lines it has.
    """

    path: Path
    sha256: str
    rows: int


def export_rows(
    connection: psycopg.Connection[Any],
    schema: Schema,
    table: str,
    keys: Sequence[str],
    *,
    folder: Path,
    named: str,
) -> Export:
    """Write rows as JSON lines, in the order of the keys, flushed and renamed when they are whole.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction, with times in UTC.
    table : str
        Real name of a table with a key of one column.
    folder : Path
        Where the file goes; readable by its owner only, for it holds what the rows hold.
    named : str
        How its name begins.

    Raises
    ------
    WorkbenchError
        When it cannot be written; nothing is left behind.
    """
    digest, rows = hashlib.sha256(), 0
    part: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = mkstemp(prefix=".export-", suffix=".part", dir=folder)
        part = Path(name)
        with os.fdopen(handle, "wb") as file:
            for lines, count in _lines(connection, schema, table, keys):
                file.write(lines)
                digest.update(lines)
                rows += count
            file.flush()
            os.fsync(file.fileno())
        path = folder / f"{named}_{digest.hexdigest()[:12]}.jsonl"
        part.rename(path)
        beside = path.with_name(f"{path.name}.sha256")
        beside.write_text(f"{digest.hexdigest()}  {path.name}\n", encoding="ascii")
    except OSError as error:
        raise WorkbenchError(
            f"The export to {folder} could not be written: {error.strerror}.",
            "Make room, or let `backups` name a folder that may be written to. Nothing was planned.",
        ) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return Export(path, digest.hexdigest(), rows)


def sha256_of(path: Path) -> str | None:
    """Return a file's SHA-256; None when there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _lines(
    connection: psycopg.Connection[Any], schema: Schema, table: str, keys: Sequence[str]
) -> Iterator[tuple[bytes, int]]:
    described = table_of(schema.catalogue, table)
    key = rows.key_of(described)
    query = sql.SQL(
        "SELECT string_agg(row_to_json(t)::text || E'\\n', '' ORDER BY place), count(*)"
        " FROM unnest({keys}::{type}[]) WITH ORDINALITY wanted (key, place)"
        " JOIN {table} t ON t.{key} = wanted.key"
    )
    for chunk in in_chunks(keys, _CHUNK):
        statement = query.format(
            keys=sql.Literal(as_array(list(chunk))),
            type=sql.SQL(described.columns[key].type),
            table=sql.Identifier(schema.catalogue.schema, table),
            key=sql.Identifier(key),
        )
        for lines, count in connection.execute(statement):
            yield (lines or "").encode(), count
