"""What an archive of pg_dump, or a script of it, says of itself, without restoring anything."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from workbench.database.archives import Listing, Unreadable, read_listing
from workbench.database.connection import Database, Session
from workbench.database.programs import AGAIN
from workbench.errors import DocumentError
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.script import is_script, opened, read_script

HOW = "Take one of the whole database with pg_dump -Fc."


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
    listing : Listing or None
        What it lists; None of a script.
    """

    path: Path
    database: str
    server_version: str
    sha256: str
    tables: tuple[str, ...]
    listing: Listing | None = field(repr=False, default=None)


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
        sha256, empty = digest_of(path), path.stat().st_size == 0
        with path.open("rb") as file:
            archived = file.read(5) == b"PGDMP"
    except OSError as error:
        raise DocumentError(f"The snapshot {path} cannot be read: {error.strerror}.", AGAIN) from None
    if empty:
        raise DocumentError(f"The snapshot {path} is empty.", AGAIN)
    if is_script(path):
        database, server, tables = read_script(path, schema)
        return Archive(path, database, server, sha256, tables)
    if not archived:
        raise DocumentError(f"The snapshot {path} is not an archive of pg_dump's custom format.", HOW)
    listing = read_listing(path, tools)
    tables = tuple(sorted(listing.tables("TABLE DATA", schema)))
    head = listing.head
    return Archive(
        path, head.get("dbname", ""), head.get("Dumped from database version", ""), sha256, tables, listing
    )


def encoding_of(path: Path) -> str:
    """Return the encoding of the database in which the text of an archive or script fits: SQL_ASCII holds any bytes."""
    with opened(path) as file:
        return "SQL_ASCII" if b"SET client_encoding = 'SQL_ASCII'" in file.read(8192) else "UTF8"


def digest_of(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_damaged(manifest: Manifest) -> None:
    """Refuse an archive that is not, byte for byte, the one that its manifest was written for."""
    path = manifest.archive
    try:
        size, digest = path.stat().st_size, digest_of(path)
    except FileNotFoundError:
        raise DocumentError(f"The archive {path} of {manifest.snapshot} is not there.", AGAIN) from None
    except OSError as error:
        raise Unreadable(f"The archive {path} cannot be read: {error.strerror}.", AGAIN) from None
    if (size, digest) != (manifest.size, manifest.sha256):
        raise DocumentError(
            f"The archive {path} is damaged, cut short or another than its manifest was written for: its SHA-256 is"
            f" {digest}, not {manifest.sha256}; it has {size:,} bytes instead of {manifest.size:,}.",
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
