"""A plain SQL script, as pg_dump writes by default: what it holds, and how it is loaded, whole or not at all."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import secrets
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal

from psycopg import sql

from workbench.database.connection import WITHOUT_LIMITS, Database
from workbench.database.programs import explain, program_for
from workbench.errors import DocumentError

AGAIN = (
    "Take it anew with `pg_dump --file=FILE` of the whole database, or copy it anew from where it was made."
)

Kind = Literal["rows", "copy", "insert", "table", "comment", "psql", "server", "sql"]

_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))
_DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError)

_NAME = rb'(?:"(?:[^"]|"")+"|[\w$]+)'
_PLACE = rb"(?:(" + _NAME + rb")\.)?(" + _NAME + rb")"
_BEGINS: tuple[tuple[Kind, re.Pattern[bytes]], ...] = (
    ("comment", re.compile(rb"--|\s*$")),
    ("psql", re.compile(rb"\\(\w+)\s*(.*)")),
    ("copy", re.compile(rb"COPY " + _PLACE + rb" .*FROM stdin;")),
    ("insert", re.compile(rb"INSERT INTO " + _PLACE)),
    ("table", re.compile(rb"CREATE (?:UNLOGGED )?TABLE " + _PLACE + rb" \(")),
    # What is the server's, not this database's, or would act beyond it: never carried out.
    (
        "server",
        re.compile(
            rb"(?:CREATE|DROP|ALTER) (?:DATABASE|ROLE|USER|GROUP|TABLESPACE|SUBSCRIPTION) |SET SESSION AUTHORIZATION "
        ),
    ),
)

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
    if not path.is_file():
        return False
    named = ".sql" in path.suffixes
    try:
        with opened(path) as file:
            head = file.read(4096)
    except _DAMAGED:
        return named
    archived = head.startswith(b"PGDMP") or head[257:262] == b"ustar"
    return not archived and (named or b"-- PostgreSQL database" in head)


def contents(path: Path, schema: str) -> tuple[str, str, tuple[str, ...]]:
    """Read which database a script is of, its server's version, and the tables whose rows it has.

    Raises
    ------
    DocumentError
        When it is cut short, has no rows, or is of several databases.
    """
    made: set[str] = set()
    filled: dict[str, set[str]] = {"copy": set(), "insert": set()}
    here, server, databases, complete = "", "", set(), False
    for kind, line, found in _lines(path):
        if kind == "comment":
            complete = complete or line.startswith(_END)
            if line.startswith(b"-- Dumped from database version"):
                server = line.partition(b"version ")[2].split()[0].decode()
        elif kind == "psql" and found is not None:
            if found[1] not in (b"restrict", b"unrestrict", b"connect"):
                raise DocumentError(
                    f"The script {path} has a command of psql's, \\{found[1].decode(errors='replace')}, which no dump has.",
                    AGAIN,
                )
            if found[1] == b"connect":
                here = _bare(re.sub(rb"^-\S+\s+", b"", found[2].strip()).split(b" ")[0])
        else:
            complete = False
        if kind in ("copy", "insert", "table") and found is not None:
            if kind != "table":
                databases.add(here)
            if found[1] is None or _bare(found[1]) == schema:
                (made if kind == "table" else filled[kind]).add(_bare(found[2]))
    if not complete:
        raise DocumentError(f"The script {path} is cut short: the last line of a dump is not there.", AGAIN)
    if len(databases) > 1:
        raise DocumentError(
            f"The script {path} is of several databases: {', '.join(sorted(databases))}.", AGAIN
        )
    if not databases:
        raise DocumentError(f"The script {path} has no rows: it is of the schema alone.", AGAIN)
    tables = filled["copy"] | (made if filled["insert"] else set())
    return "".join(databases), server, tuple(sorted(tables))


def load(scratch: Database, path: Path, schema: str, tables: list[str], tools: Path | None) -> None:
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
            for kind, line, _ in _lines(path):
                if kind not in ("psql", "server"):
                    script.write(line)
            script.write(b"\n\\unrestrict " + key + b"\n")
        code = process.wait()
        heard.seek(0)
        said = heard.read().decode(errors="replace")
    for problem in re.split(
        r"^psql:[^:]*:\d+: (?=ERROR|error|FATAL)|^psql: (?=error)", said, flags=re.MULTILINE
    )[1:]:
        reason, _, statement = problem.partition("STATEMENT: ")
        if not _HARMLESS.match(statement.strip()):
            raise explain(path, reason.splitlines()[0], scratch)
    if code:
        raise scratch.explained(said.strip()[-300:] or f"psql ended with {code}", "08000")
    with scratch.speaking_plainly(), scratch.session() as connection:
        query = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s)) AND relkind IN ('r', 'p')"
        there = {name for (name,) in connection.execute(query, [schema])}
        for table in tables:
            if table not in there:
                name = sql.Identifier(schema, table).as_string(connection)
                raise DocumentError(f"The table {name} of the script {path} was not made.", AGAIN)


_END = b"-- PostgreSQL database dump complete", b"-- PostgreSQL database cluster dump complete"


def _lines(path: Path) -> Iterator[tuple[Kind, bytes, re.Match[bytes] | None]]:
    """Tell of each line what it begins; rows, and what an INSERT goes on with, are never taken for anything else."""
    copying, inserting, quotes = False, False, 0
    begun: list[tuple[Kind, re.Match[bytes]]]
    kind: Kind
    found: re.Match[bytes] | None
    try:
        with opened(path) as file:
            for number, line in enumerate(file):
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
                if number == 0 and text.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise DocumentError(
                        f"The script {path} is in UTF-16, as PowerShell's > writes, which may have changed names in it.",
                        AGAIN,
                    )
                if copying:
                    copying = text.rstrip(b"\r\n") != b"\\."
                    yield "rows", text, None
                    continue
                begun = (
                    [] if inserting else [(name, hit) for name, each in _BEGINS if (hit := each.match(text))]
                )
                kind, found = begun[0] if begun else ("sql", None)
                copying, inserting = kind == "copy", inserting or kind == "insert"
                if inserting:
                    quotes += text.count(b"'")
                    if quotes % 2 == 0 and text.rstrip().endswith(b";"):
                        inserting, quotes = False, 0
                yield ("rows" if inserting and found is None else kind), text, found
    except _DAMAGED as error:
        raise DocumentError(f"The script {path} is cut short or damaged: {error}.", AGAIN) from None


def opened(path: Path) -> IO[bytes]:
    """Open a file, packed or not."""
    with path.open("rb") as file:
        head = file.read(8)
    for mark, unpacked in _PACKED:
        if head.startswith(mark):
            return unpacked(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _bare(name: bytes) -> str:
    text = name.decode(errors="replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
