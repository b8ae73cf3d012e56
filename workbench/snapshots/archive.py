"""What an archive of pg_dump says of itself, without restoring anything."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from workbench.database.connection import Database, Session
from workbench.database.programs import AGAIN, HOW, Unreadable, read_list
from workbench.errors import DocumentError
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.script import contents, is_script, opened

_HEAD = re.compile(r"^; +([A-Za-z _]+:) (.*)$", re.MULTILINE)

# What rows can need besides their table. A name is followed by its owner's, after the last space.
_ENTRY = re.compile(
    r"(\d+); \d+ \d+ (TABLE DATA|TABLE|SCHEMA|EXTENSION|(?:SHELL )?TYPE|DOMAIN|COLLATION|FUNCTION|AGGREGATE|CAST"
    r"|OPERATOR(?: CLASS| FAMILY)?|PROCEDURAL LANGUAGE|TEXT SEARCH \w+) (.*)"
)


class Entry(NamedTuple):
    """A line of an archive's list of contents; `table` is empty for what is no table."""

    number: str
    kind: str
    table: str
    line: str


@dataclass(frozen=True)
class Archive:
    """What an archive of pg_dump says of itself.

    Attributes
    ----------
    path : Path
        The file.
    database : str
        The database it was taken from.
    server_version : str
        The server's, such as ``18.4``.
    sha256 : str
        The file's digest.
    tables : tuple of str
        The tables of one schema whose rows it has, sorted.
    entries : tuple of Entry
        These tables' definitions and rows, and what these can need besides; of a script none.
    """

    path: Path
    database: str
    server_version: str
    sha256: str
    tables: tuple[str, ...]
    entries: tuple[Entry, ...] = field(repr=False)


def read_archive(path: Path, schema: str = "public", tools: Path | None = None) -> Archive:
    """Read what an archive says of itself; whether its rows are whole is seen when they are restored.

    Parameters
    ----------
    path : Path
        An archive of ``pg_dump -Fc``, or a plain script, which is read to its end.
    schema : str
        The schema whose tables are listed.
    tools : Path or None
        The configured folder of client programs.

    Raises
    ------
    DocumentError
        When there is none, or it is something else, cut short, or no pg_restore here reads it.
    """
    if not path.exists():
        raise DocumentError(f"There is no snapshot {path}.", f"Correct the name. {HOW}")
    try:
        if path.stat().st_size == 0:
            raise DocumentError(f"The snapshot {path} is empty.", AGAIN)
        sha256 = digest_of(path)
        with path.open("rb") as file:
            archived = file.read(5) == b"PGDMP"
    except OSError as error:
        raise DocumentError(f"The snapshot {path} cannot be read: {error.strerror}.", AGAIN) from None
    if is_script(path):
        database, server, tables = contents(path, schema)
        return Archive(path, database, server, sha256, tables, ())
    if not archived:
        raise DocumentError(f"The snapshot {path} is not an archive of pg_dump's custom format.", HOW)
    listing = read_list(path, tools)[1]
    head = {key.rstrip(":"): value for key, value in _HEAD.findall(listing)}
    entries = tuple(_entries(listing, schema))
    return Archive(
        path=path,
        database=head.get("dbname", ""),
        server_version=head.get("Dumped from database version", ""),
        sha256=sha256,
        tables=tuple(sorted(entry.table for entry in entries if entry.kind == "TABLE DATA")),
        entries=entries,
    )


def encoding_of(path: Path) -> str:
    """Return the encoding of the database in which the text of an archive or script fits: SQL_ASCII holds any bytes."""
    with opened(path) as file:
        return "SQL_ASCII" if b"SET client_encoding = 'SQL_ASCII'" in file.read(8192) else "UTF8"


def _entries(listing: str, schema: str) -> Iterator[Entry]:
    for line in listing.splitlines():
        if not (match := _ENTRY.match(line)):
            continue
        number, kind, rest = match.groups()
        if not kind.startswith("TABLE"):
            yield Entry(number, kind, "", line)
        elif rest.startswith(f"{schema} "):
            yield Entry(number, kind, rest.removeprefix(f"{schema} ").rpartition(" ")[0], line)


def digest_of(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_damaged(manifest: Manifest) -> None:
    """Refuse an archive that is not, byte for byte, the one that its manifest was written for."""
    path, size = manifest.archive, 0
    try:
        size, digest = path.stat().st_size, digest_of(path)
    except FileNotFoundError:
        raise DocumentError(f"The archive {path} of {manifest.snapshot} is not there.", AGAIN) from None
    except OSError as error:
        raise Unreadable(f"The archive {path} cannot be read: {error.strerror}.", AGAIN) from None
    if (size, digest) != (manifest.size, manifest.sha256):
        change = (
            "cut short"
            if size < manifest.size
            else "added to"
            if size > manifest.size
            else "damaged, or another"
        )
        raise DocumentError(
            f"The archive {path} is not what its manifest says: its SHA-256 is {digest}, not {manifest.sha256}; it is"
            f" {change}: {size:,} bytes instead of {manifest.size:,}.",
            AGAIN,
        )


def refuse_older_server(of: str, version: str, connection: Session, where: Database, remedy: str) -> None:
    """Refuse a server that is older than the one a snapshot was taken from: that says nothing against the snapshot."""
    ours = connection.info.server_version // 10000
    if (theirs := re.match(r"\d+", version)) and int(theirs.group()) > ours:
        raise Unreadable(
            f"The snapshot {of} was taken from PostgreSQL {version}; {where.environment} is older: of version {ours}.",
            remedy,
        )
