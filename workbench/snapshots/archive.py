"""Archives and plain scripts of pg_dump: what they say about themselves, and loading a script completely or not at all."""

from __future__ import annotations

import gzip
import hashlib
import re
import secrets
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from workbench.database.archives import Listing, read_listing
from workbench.database.connection import SESSION_OPTIONS, Database, Session
from workbench.database.programs import AGAIN, explain, program_for
from workbench.errors import DocumentError, Refused
from workbench.snapshots.manifest import Manifest

HOW = "Take one of the whole database with pg_dump -Fc."

_PLAIN = "Create it again with `pg_dump --file=FILE` of the whole database, or copy it again from where it was made."

_DAMAGED = (EOFError, OSError, zlib.error)

_NAME = rb'(?:"(?:[^"]|"")+"|[\w$]+)'

# How lines begin outside of rows. Commands for the whole server or for psql are never sent.
_LINE = re.compile(
    rb"(?P<copy>COPY (?:(?P<schema>" + _NAME + rb")\.)?(?P<table>" + _NAME + rb") .*FROM stdin;)"
    rb"|-- Dumped from database version (?P<version>\S+)"
    rb"|(?P<end>-- PostgreSQL database (?:cluster )?dump complete)"
    rb"|(?P<server>(?:CREATE|DROP|ALTER) (?:DATABASE|ROLE|USER|GROUP|TABLESPACE|SUBSCRIPTION) "
    rb"|SET SESSION AUTHORIZATION |\\(?:connect|restrict|unrestrict) )"
    rb"|\\(?P<psql>\w*)|(?P<nothing>--|\s*$)"
)

_NOT_SENT = {"server", "psql"}


@dataclass(frozen=True)
class Archive:
    """What an archive or script of pg_dump says about itself.

    Attributes
    ----------
    database : str
        The database it was taken from; empty for a script.
    server_version : str
        The server's version, such as ``18.4``.
    tables : tuple of str
        The tables of one schema whose rows it has, sorted.
    sha256 : str
        The file's digest.
    listing : Listing or None
        The entries of an archive; None for a script.
    """

    database: str
    server_version: str
    tables: tuple[str, ...]
    sha256: str
    listing: Listing | None = field(repr=False, default=None)


def read_archive(path: Path, schema: str = "public", tools: Path | None = None) -> Archive:
    """Read what an archive says about itself; damaged rows show only when they are restored.

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
        When it does not exist, is something else or cut short, or no pg_restore here can read it.
    """
    try:
        sha256 = digest_of(path)
        with opened(path) as file:
            head = file.read(4096)
    except _DAMAGED as error:
        raise DocumentError(f"The snapshot {path} cannot be read: {error}.", HOW) from None
    if not head.startswith(b"PGDMP"):
        if ".sql" in path.suffixes or b"-- PostgreSQL database" in head:
            return _read_script(path, schema, sha256)
        raise DocumentError(f"The snapshot {path} is not an archive of pg_dump's custom format.", HOW)
    listing = read_listing(path, tools)
    tables = tuple(sorted(listing.tables("TABLE DATA", schema)))
    database, version = listing.head.get("dbname", ""), listing.head.get("Dumped from database version", "")
    return Archive(database, version, tables, sha256, listing)


def encoding_of(path: Path) -> str:
    """Return the encoding of a database that can hold the text of an archive or script: SQL_ASCII holds any bytes."""
    with opened(path) as file:
        return "SQL_ASCII" if b"SET client_encoding = 'SQL_ASCII'" in file.read(8192) else "UTF8"


def digest_of(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_damaged(manifest: Manifest) -> None:
    """Refuse an archive that is not, byte for byte, the one described by its manifest."""
    path = manifest.archive
    try:
        digest = digest_of(path)
    except OSError as error:
        raise DocumentError(f"The archive {path} cannot be read: {error.strerror}.", AGAIN) from None
    if digest != manifest.sha256:
        raise DocumentError(
            f"The archive {path} is damaged, cut short or another one: its SHA-256 is {digest}, not {manifest.sha256}.",
            AGAIN,
        )


def refuse_older_server(of: str, version: str, connection: Session, where: Database) -> None:
    """Refuse a server older than the one that the snapshot was taken from; the snapshot itself may be fine."""
    ours = connection.info.server_version // 10000
    if (theirs := re.match(r"\d+", version)) and int(theirs.group()) > ours:
        raise Refused(
            f"The snapshot {of} was taken from PostgreSQL {version}; {where.environment} is older: of version {ours}.",
            "Use a server of at least that version; scratch_url_env names the one for scratch databases.",
        )


def _read_script(path: Path, schema: str, sha256: str) -> Archive:
    """Read a script to its end; refuse one that is cut short, without rows as COPY, or of several databases."""
    version, complete, tables = "", False, set[str]()
    for kind, _, match in _lines(path):
        complete = kind == "end" or (complete and kind in {"nothing", *_NOT_SENT})
        if match is None:
            continue
        if kind == "version":
            if version:
                raise DocumentError(f"The script {path} is of several databases.", _PLAIN)
            version = match["version"].decode()
        elif kind == "psql":
            command = match["psql"].decode(errors="replace")
            raise DocumentError(f"The script {path} contains a psql command: \\{command}.", _PLAIN)
        elif kind == "copy":
            own, table = (
                _unquoted((match[part] or b"").decode(errors="replace")) for part in ("schema", "table")
            )
            tables |= {table} if own in ("", schema) else set()
    if not complete:
        raise DocumentError(f"The script {path} is cut short: the last line of a dump is missing.", _PLAIN)
    if not tables:
        raise DocumentError(
            f"The script {path} has no rows of the schema {schema} as COPY.",
            f"{_PLAIN} It must include the rows, and not as --inserts.",
        )
    return Archive("", version, tuple(sorted(tables)), sha256)


def load(scratch: Database, path: Path, tools: Path | None) -> None:
    """Run a whole script in a scratch database. Owners, rights and the like may fail there, but every row must arrive.

    Raises
    ------
    DocumentError
        When rows are missing afterwards: the script is damaged, or needs another server.
    """
    parameters = scratch.address.parameters(f"{SESSION_OPTIONS} -c synchronous_commit=off")
    psql = program_for("psql", "0", tools, parameters)
    # So that no line of the script can be a psql command, which could run programs.
    key = secrets.token_hex(16).encode()
    rows: list[int] = []  # of each COPY
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
        psql.started(
            *("--no-psqlrc", "--file=-"), to=parameters, stdin=subprocess.PIPE, stdout=output, stderr=errors
        ) as process,
    ):
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as script:
            script.write(b"\\restrict " + key + b"\n")
            for kind, line, _ in _lines(path):
                if kind == "copy":
                    rows.append(0)
                elif kind == "row":
                    rows[-1] += 1
                if kind not in _NOT_SENT:
                    script.write(line)
            script.write(b"\n\\unrestrict " + key + b"\n")
        code = process.wait()
        output.seek(0)
        copied = [int(number) for number in re.findall(rb"^COPY (\d+)$", output.read(), re.MULTILINE)]
        errors.seek(0)
        messages = errors.read().decode(errors="replace")
    if code:
        raise scratch.translate(messages.strip()[-300:] or f"psql ended with {code}", "08000")
    if copied != rows or "backslash commands are restricted" in messages:
        reason = re.search(r"(?:ERROR|FATAL|error): +(?!role ).*", messages)
        raise explain(path, reason[0] if reason else "rows are missing", scratch)


def _lines(path: Path) -> Iterator[tuple[str, bytes, re.Match[bytes] | None]]:
    """Classify every line by how it begins; rows are never taken for anything else."""
    in_rows = False
    try:
        with opened(path) as file:
            for line in file:
                if in_rows:
                    in_rows = line.rstrip(b"\r\n") != b"\\."
                    yield "row" if in_rows else "end of rows", line, None
                    continue
                match = _LINE.match(line)
                kind = str(match.lastgroup) if match else "sql"
                in_rows = kind == "copy"
                yield kind, line, match
    except _DAMAGED as error:
        raise DocumentError(f"The script {path} is cut short or damaged: {error}.", _PLAIN) from None


def opened(path: Path) -> IO[bytes]:
    """Open a file, compressed or not."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else path.open("rb")  # type: ignore[return-value]


def _unquoted(name: str) -> str:
    """Return an SQL identifier without its quotes."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
