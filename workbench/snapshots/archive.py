"""What an archive of pg_dump, or a plain script of it, says of itself; and how a script is loaded, whole or not at all."""

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
from workbench.errors import DocumentError, Refused, WorkbenchError
from workbench.snapshots.manifest import Manifest

HOW = "Take one of the whole database with pg_dump -Fc."


_PLAIN = (
    "Take it anew with `pg_dump --file=FILE` of the whole database, or copy it anew from where it was made."
)

_DAMAGED = (EOFError, OSError, zlib.error)

_NAME = rb'("(?:[^"]|"")+"|[\w$]+)'

# What a line begins, outside of rows. What is the server's, not this database's, or would act beyond it, is left out.
_BEGINS = re.compile(
    rb"(?P<copy>COPY (?:" + _NAME + rb"\.)?" + _NAME + rb" .*FROM stdin;)"
    rb"|(?P<version>-- Dumped from database version (?P<number>\S+))"
    rb"|(?P<end>-- PostgreSQL database (?:cluster )?dump complete)"
    rb"|(?P<connect>\\connect (?:-\S+ )*(?P<database>\S+))"
    rb"|(?P<server>(?:CREATE|DROP|ALTER) (?:DATABASE|ROLE|USER|GROUP|TABLESPACE|SUBSCRIPTION) "
    rb"|SET SESSION AUTHORIZATION |\\(?:un)?restrict )"
    rb"|(?P<psql>\\(?P<command>\w*))|(?P<nothing>--|\s*$)"
)

_LEFT_OUT = {"server", "connect", "psql"}

# What may fail without a row or a column being other than it was: whose something is, who may, and what only guards.
_HARMLESS = re.compile(
    r"(?:ALTER .* OWNER TO |GRANT |REVOKE |COMMENT |SECURITY LABEL |DROP |ALTER DEFAULT PRIVILEGES |SET (?!client_encoding)"
    r"|CREATE (?:EXTENSION|SCHEMA|POLICY|PUBLICATION|EVENT TRIGGER|STATISTICS|RULE|(?:UNIQUE )?INDEX|(?:CONSTRAINT )?TRIGGER"
    r"|(?:OR REPLACE )?(?:FUNCTION|PROCEDURE|VIEW)|MATERIALIZED VIEW) |REFRESH |ALTER (?:PUBLICATION|INDEX|EVENT TRIGGER) "
    r"|ALTER TABLE .* (?:ADD CONSTRAINT .* FOREIGN KEY|DROP CONSTRAINT|ENABLE|DISABLE|FORCE|CLUSTER ON|REPLICA IDENTITY) ?)",
    re.DOTALL,
)


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
    tables : tuple of str
        The tables of one schema whose rows it has, sorted.
    sha256 : str
        The file's digest.
    listing : Listing or None
        What it lists; None of a script.
    """

    path: Path
    database: str
    server_version: str
    tables: tuple[str, ...]
    sha256: str
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
        sha256 = digest_of(path)
        with path.open("rb") as file:
            head = file.read(5)
    except OSError as error:
        raise DocumentError(f"The snapshot {path} cannot be read: {error.strerror}.", AGAIN) from None
    if not head:
        raise DocumentError(f"The snapshot {path} is empty.", AGAIN)
    if is_script(path):
        return Archive(path, *read_script(path, schema), sha256)
    if head != b"PGDMP":
        raise DocumentError(f"The snapshot {path} is not an archive of pg_dump's custom format.", HOW)
    listing = read_listing(path, tools)
    tables = tuple(sorted(listing.tables("TABLE DATA", schema)))
    database, version = listing.head.get("dbname", ""), listing.head.get("Dumped from database version", "")
    return Archive(path, database, version, tables, sha256, listing)


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
        digest = digest_of(path)
    except FileNotFoundError:
        raise DocumentError(f"The archive {path} of {manifest.snapshot} is not there.", AGAIN) from None
    except OSError as error:
        raise WorkbenchError(f"The archive {path} cannot be read: {error.strerror}.", AGAIN) from None
    if digest != manifest.sha256:
        raise DocumentError(
            f"The archive {path} is damaged, cut short or another than its manifest was written for: its SHA-256 is"
            f" {digest}, not {manifest.sha256}.",
            AGAIN,
        )


def refuse_older_server(of: str, version: str, connection: Session, where: Database, remedy: str) -> None:
    """Refuse a server that is older than the one a snapshot was taken from: that says nothing against the snapshot."""
    ours = connection.info.server_version // 10000
    if (theirs := re.match(r"\d+", version)) and int(theirs.group()) > ours:
        raise Refused(
            f"The snapshot {of} was taken from PostgreSQL {version}; {where.environment} is older: of version {ours}.",
            remedy,
        )


def is_script(path: Path) -> bool:
    """Whether a file is a plain script, packed or not: by its beginning, else by its name."""
    named = ".sql" in path.suffixes
    try:
        with opened(path) as file:
            head = file.read(4096)
    except _DAMAGED:
        return named
    return not head.startswith(b"PGDMP") and (named or b"-- PostgreSQL database" in head)


def read_script(path: Path, schema: str) -> tuple[str, str, tuple[str, ...]]:
    """Read which database a script is of, its server's version, and the tables whose rows it has.

    Raises
    ------
    DocumentError
        When it is cut short, has no rows or not as COPY, or is of several databases.
    """
    database, server, complete, tables = "", "", False, set[str]()
    for kind, _, match in _lines(path):
        complete = kind == "end" or (complete and kind in {"nothing", *_LEFT_OUT})
        if match is None:
            continue
        if kind == "version":
            server = match["number"].decode()
        elif kind == "connect":
            if database:
                raise DocumentError(f"The script {path} is of several databases.", _PLAIN)
            database = _bare(match["database"])
        elif kind == "psql":
            command = _bare(match["command"])
            raise DocumentError(f"The script {path} has a command of psql's: \\{command}.", _PLAIN)
        elif kind == "copy" and (match[2] is None or _bare(match[2]) == schema):
            tables.add(_bare(match[3]))
    if not complete:
        raise DocumentError(f"The script {path} is cut short: the last line of a dump is not there.", _PLAIN)
    if not tables:
        raise DocumentError(
            f"The script {path} has no rows of the schema {schema} as COPY.",
            f"{_PLAIN} It must not be without rows, nor with --inserts.",
        )
    return database, server, tuple(sorted(tables))


def load(scratch: Database, path: Path, tools: Path | None) -> None:
    """Carry a whole script out in a scratch database; what only says whose things are may fail there, nothing else.

    Raises
    ------
    DocumentError
        When anything of the tables or their rows cannot be made: it is damaged, or needs another server.
    """
    parameters = scratch.address.parameters(f"{SESSION_OPTIONS} -c synchronous_commit=off")
    psql = program_for("psql", "0", tools, parameters)
    # So that nothing of it can be a command to psql, which may run programs.
    key = secrets.token_hex(16).encode()
    options = "--no-psqlrc", "--quiet", "--echo-errors", "--file=-"
    with (
        tempfile.TemporaryFile() as errors,
        psql.started(*options, to=parameters, stdin=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as script:
            script.write(b"\\restrict " + key + b"\n")
            script.writelines(line for kind, line, _ in _lines(path) if kind not in _LEFT_OUT)
            script.write(b"\n\\unrestrict " + key + b"\n")
        code = process.wait()
        errors.seek(0)
        output = errors.read().decode(errors="replace")
    problems = re.split(
        r"^psql:[^:]*:\d+: (?=ERROR|error|FATAL)|^psql: (?=error)", output, flags=re.MULTILINE
    )
    for problem in problems[1:]:
        reason, _, statement = problem.partition("STATEMENT: ")
        if not _HARMLESS.match(statement.strip()):
            raise explain(path, reason.splitlines()[0], scratch)
    if code:
        raise scratch.translate(output.strip()[-300:] or f"psql ended with {code}", "08000")


def _lines(path: Path) -> Iterator[tuple[str, bytes, re.Match[bytes] | None]]:
    """Tell of each line what it begins; rows are never taken for anything else."""
    copying = False
    try:
        with opened(path) as file:
            for line in file:
                if copying:
                    copying = line.rstrip(b"\r\n") != b"\\."
                    yield "rows", line, None
                    continue
                match = _BEGINS.match(line)
                kind = str(match.lastgroup) if match else "sql"
                copying = kind == "copy"
                yield kind, line, match
    except _DAMAGED as error:
        raise DocumentError(f"The script {path} is cut short or damaged: {error}.", _PLAIN) from None


def opened(path: Path) -> IO[bytes]:
    """Open a file, packed or not."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _bare(name: bytes) -> str:
    text = name.decode(errors="replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
