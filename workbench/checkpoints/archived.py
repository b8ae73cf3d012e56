"""The rows that an archive holds, table by table, and their digests (see `workbench.checkpoints.fingerprints`)."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from workbench.checkpoints.fingerprints import END_OF_DATA, END_OF_ROWS
from workbench.database.programs import Program, failure
from workbench.errors import SnapshotError

# A line of an archive's list of contents: its number there, the table's on the server it was taken from, and
# schema, table and owner, whose names can have spaces.
_DATA = re.compile(r"^((\d+); \d+ (\d+) TABLE DATA (.*))$", re.MULTILINE)
_BEGUN = re.compile(rb"-- TOC entry \d+ \(class \d+ OID (\d+)\)\n")
_COPY = b" FROM stdin;\n"

_STREAMS = 2
_AT_A_TIME = 1 << 18


class Rows(NamedTuple):
    """A table's rows in an archive: its number, the statement that takes them, and all of them before the next's."""

    oid: str
    copy: bytes
    parts: Iterator[bytes]


class _Entry(NamedTuple):
    line: str
    number: str
    oid: str
    names: str


def digests_in(archive: Path, pg_restore: Program, files: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each table's rows and of what ends them, by the table's number.

    Parameters
    ----------
    archive : Path
        In pg_dump's custom or directory format.
    pg_restore : Program
        Which reads it.
    files : mapping of str to str
        The SHA-256 of the files of a folder, where these are known: of a table that is not compressed that is it.
    """
    entries = _entries(archive, pg_restore)
    found = {each.oid: files[f"{each.number}.dat"] for each in entries if f"{each.number}.dat" in files}
    rest = sorted((each for each in entries if each.oid not in found), key=lambda each: -_size(archive, each))
    portions = [rest[n::_STREAMS] for n in range(min(_STREAMS, os.cpu_count() or 1, len(rest)))]
    if len(portions) == 1:
        portions = [rest]

    def digested(portion: list[_Entry]) -> dict[str, str]:
        with _rows_of(archive, pg_restore, portion) as tables:
            return {each.oid: _digest(each.parts) for each in tables}

    with ThreadPoolExecutor(_STREAMS) as pool:
        for each in pool.map(digested, portions):
            found |= each
    return found


@contextmanager
def rows_in(archive: Path, pg_restore: Program, table: tuple[str, str]) -> Iterator[Iterator[Rows]]:
    """Read the rows of a table, given its schema and name, and of any that the list of contents spells alike."""
    begun = " ".join(table).replace("\n", " ").replace("\r", " ")  # as that list does
    entries = [each for each in _entries(archive, pg_restore) if each.names.startswith(f"{begun} ")]
    with _rows_of(archive, pg_restore, entries) as tables:
        yield tables


def _entries(archive: Path, tool: Program) -> list[_Entry]:
    done = tool.run("--list", archive.absolute())
    if done.returncode:
        raise SnapshotError(f"The archive {archive} cannot be read: {failure(done.stderr)}.")
    listing = done.stdout.decode(errors="surrogateescape")
    return [_Entry(*each) for each in _DATA.findall(listing)]


def _size(archive: Path, entry: _Entry) -> int:
    """Return the size of a table's file, however it is compressed; 0 where all are one."""
    return sum(each.stat().st_size for each in archive.glob(f"{entry.number}.dat*"))


@contextmanager
def _rows_of(archive: Path, tool: Program, entries: list[_Entry]) -> Iterator[Iterator[Rows]]:
    if not entries:
        yield iter(())
        return
    # Told to be verbose it says of which table's the rows are that follow.
    options = ["--verbose", "--data-only", "--file=-", "--use-list=/dev/stdin"]
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
    }
    with tool.started(*options, archive.absolute(), **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with process.stdin:
                process.stdin.write(
                    "".join(f"{each.line}\n" for each in entries).encode(errors="surrogateescape")
                )
            yield _Script(process.stdout, archive).tables()
        finally:
            process.kill()  # what is left unread is not wanted


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    digest.update(END_OF_DATA)
    return digest.hexdigest()


class _Script:
    """A script of pg_restore's, read table by table."""

    def __init__(self, stream: IO[bytes], archive: Path) -> None:
        self._stream, self._archive = stream, archive
        self._ahead = b""

    def tables(self) -> Iterator[Rows]:
        oid = b""
        for line in self._lines():
            if match := _BEGUN.fullmatch(line):
                oid = match.group(1)
            elif oid and line.endswith(_COPY):
                yield Rows(oid.decode(), line, self._rows())
                oid = b""

    def _lines(self) -> Iterator[bytes]:
        while True:
            line, mark, self._ahead = self._ahead.partition(b"\n")
            if mark:
                yield line + mark
            elif more := self._stream.read(_AT_A_TIME):
                self._ahead = line + more
            else:
                return

    def _rows(self) -> Iterator[bytes]:
        # Begun with the end of a line, for the first may be the last already.
        end, ahead, first = b"\n" + END_OF_ROWS, b"\n" + self._ahead, 1
        while (place := ahead.find(end)) < 0:
            if len(ahead) - first >= len(end):
                yield ahead[first : 1 - len(end)]
                ahead, first = ahead[1 - len(end) :], 0
            if not (more := self._stream.read(_AT_A_TIME)):
                raise SnapshotError(f"The archive {self._archive} is cut short: rows of it have no end.")
            ahead += more
        if place + 1 > first:
            yield ahead[first : place + 1]
        self._ahead = ahead[place + len(end) :]
