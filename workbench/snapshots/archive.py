"""What an archive of pg_dump says of itself, without restoring anything."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from workbench.database.programs import AGAIN, HOW, read_list
from workbench.errors import SnapshotError
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
        The file, or the folder of the directory format.
    database : str
        The database it was taken from.
    server_version : str
        The server's, such as ``18.4``.
    sha256 : str
        The file's digest; for a folder that of the lines ``sha256sum`` makes of its files, by name.
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
        An archive in pg_dump's custom, tar or directory format, or a plain script, which is read to its end.
    schema : str
        The schema whose tables are listed.
    tools : Path or None
        The configured folder of client programs.

    Raises
    ------
    SnapshotError
        When there is none, or it is something else, cut short, or no pg_restore here reads it.
    """
    try:
        if not path.exists():
            raise SnapshotError(f"There is no snapshot {path}.", f"Correct the name. {HOW}")
        if path.is_file() and path.stat().st_size == 0:
            raise SnapshotError(f"The snapshot {path} is empty.", AGAIN)
        sha256 = digest_of(path)
    except OSError as error:
        raise SnapshotError(f"The snapshot {path} cannot be read: {error.strerror}.", AGAIN) from None
    if is_script(path):
        database, server, tables = contents(path, schema)
        return Archive(path, database, server, sha256, tables, ())
    _, listing = read_list(path, tools)
    head = {key.rstrip(":"): value for key, value in _HEAD.findall(listing)}
    if head.get("Format") == "TAR":
        _refuse_cut_tar(path)
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
    with opened(path / "toc.dat" if path.is_dir() else path) as file:
        head = file.read(8192)
    return "SQL_ASCII" if b"SET client_encoding = 'SQL_ASCII'" in head else "UTF8"


def _refuse_cut_tar(path: Path) -> None:
    """Refuse a tar archive that is cut short: pg_restore would wait for the rest for ever."""
    try:
        with tarfile.open(path, "r:") as tar:
            tar.getmembers()
    except tarfile.ReadError as error:
        raise SnapshotError(f"The snapshot {path} is cut short or damaged: {error}.", AGAIN) from None


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
    """Return an archive's SHA-256: the file's; of a folder that of what ``sha256sum`` says of its files, by name."""
    if path.is_file():
        return _digest_of_file(path)
    files = sorted((each.relative_to(path).as_posix(), each) for each in path.rglob("*") if each.is_file())
    lines = [f"{_digest_of_file(each)}  {name}\n" for name, each in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
