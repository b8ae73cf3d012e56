"""A plain SQL script, as pg_dump writes by default: what it holds, and how it is loaded, whole or not at all."""

from __future__ import annotations

import gzip
import re
import secrets
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from workbench.database.connection import WITHOUT_LIMITS, Database
from workbench.database.programs import explain, program_for
from workbench.errors import DocumentError

AGAIN = (
    "Take it anew with `pg_dump --file=FILE` of the whole database, or copy it anew from where it was made."
)

_DAMAGED = (EOFError, OSError, zlib.error)
_NAME = rb'("(?:[^"]|"")+"|[\w$]+)'

# What a line begins, outside of rows.
_BEGINS = re.compile(
    rb"(?P<copy>COPY (?:" + _NAME + rb"\.)?" + _NAME + rb" .*FROM stdin;)"
    rb"|(?P<version>-- Dumped from database version (?P<number>\S+))"
    rb"|(?P<end>-- PostgreSQL database (?:cluster )?dump complete)"
    rb"|(?P<connect>\\connect (?:-\S+ )*(?P<database>\S+))"
    # What is the server's, not this database's, or would act beyond it: never carried out.
    rb"|(?P<server>(?:CREATE|DROP|ALTER) (?:DATABASE|ROLE|USER|GROUP|TABLESPACE|SUBSCRIPTION) "
    rb"|SET SESSION AUTHORIZATION |\\(?:un)?restrict )"
    rb"|(?P<psql>\\(?P<command>\w*))"
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
    for kind, _, found in _lines(path):
        complete = kind == "end" or (complete and kind in {"", *_LEFT_OUT})
        if found is None:
            continue
        if kind == "version":
            server = found["number"].decode()
        elif kind == "connect":
            if database:
                raise DocumentError(f"The script {path} is of several databases.", AGAIN)
            database = _bare(found["database"])
        elif kind == "psql":
            command = found["command"].decode(errors="replace")
            raise DocumentError(
                f"The script {path} has a command of psql's, \\{command}, which no dump has.", AGAIN
            )
        elif kind == "copy" and (found[2] is None or _bare(found[2]) == schema):
            tables.add(_bare(found[3]))
    if not complete:
        raise DocumentError(f"The script {path} is cut short: the last line of a dump is not there.", AGAIN)
    if not tables:
        raise DocumentError(
            f"The script {path} has no rows of the schema {schema} as COPY.",
            f"{AGAIN} It must not be without rows, nor with --inserts.",
        )
    return database, server, tuple(sorted(tables))


def load(scratch: Database, path: Path, tools: Path | None) -> None:
    """Carry a whole script out in a scratch database; what only says whose things are may fail there, nothing else.

    Raises
    ------
    DocumentError
        When anything of the tables or their rows cannot be made: it is damaged, or needs another server.
    """
    parameters = scratch.address.parameters(f"{WITHOUT_LIMITS} -c synchronous_commit=off")
    psql = program_for("psql", "0", tools, parameters)
    # So that nothing of it can be a command to psql, which may run programs.
    key = secrets.token_hex(16).encode()
    options = "--no-psqlrc", "--quiet", "--echo-errors", "--file=-"
    with (
        tempfile.TemporaryFile() as heard,
        psql.started(*options, to=parameters, stdin=subprocess.PIPE, stderr=heard) as process,
    ):
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as script:
            script.write(b"\\restrict " + key + b"\n")
            script.writelines(line for kind, line, _ in _lines(path) if kind not in _LEFT_OUT)
            script.write(b"\n\\unrestrict " + key + b"\n")
        code = process.wait()
        heard.seek(0)
        said = heard.read().decode(errors="replace")
    problems = re.split(r"^psql:[^:]*:\d+: (?=ERROR|error|FATAL)|^psql: (?=error)", said, flags=re.MULTILINE)
    for problem in problems[1:]:
        reason, _, statement = problem.partition("STATEMENT: ")
        if not _HARMLESS.match(statement.strip()):
            raise explain(path, reason.splitlines()[0], scratch)
    if code:
        raise scratch.explained(said.strip()[-300:] or f"psql ended with {code}", "08000")


def _lines(path: Path) -> Iterator[tuple[str, bytes, re.Match[bytes] | None]]:
    """Tell of each line what it begins, empty for what is empty or a comment; rows are never taken for anything else."""
    copying = False
    try:
        with opened(path) as file:
            for line in file:
                if copying:
                    copying = line.rstrip(b"\r\n") != b"\\."
                    yield "rows", line, None
                    continue
                found = _BEGINS.match(line)
                kind = next(name for name, hit in found.groupdict().items() if hit) if found else "sql"
                copying = kind == "copy"
                blank = kind == "sql" and (line.startswith(b"--") or not line.strip())
                yield "" if blank else kind, line, found
    except _DAMAGED as error:
        raise DocumentError(f"The script {path} is cut short or damaged: {error}.", AGAIN) from None


def opened(path: Path) -> IO[bytes]:
    """Open a file, packed or not."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _bare(name: bytes) -> str:
    text = name.decode(errors="replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
