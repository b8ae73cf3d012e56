"""A snapshot's rows made readable: the tables that are needed, restored into a scratch database.

The scratch database lies on the embedded server, or on the one ``scratch_url_env`` names, and is
dropped at the end. It gets columns and rows, and what these need, in pg_restore's own order: types, domains, functions.
It gets no defaults where these cannot be made, no checks, no keys, no triggers, no owners.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from workbench.checkpoints.archive import (
    AGAIN,
    HOW,
    Archive,
    Entry,
    chosen,
    encoding_of,
    failure,
    pg_restore,
    read_archive,
    reader,
)
from workbench.checkpoints.scratch_server import WRITING, ScratchServer, scratch_database
from workbench.checkpoints.script import is_script, load
from workbench.database.connection import SPELLING, Database
from workbench.database.tools import Tool, connected, plain_english
from workbench.errors import SnapshotError, WorkbenchError, nearest
from workbench.settings import Settings

_READING = f"-c default_transaction_read_only=on{SPELLING}"

_END_OF_ROWS = b"\\.\n"

# In a definition of pg_dump's, which has a column to a line: what a table needs for none of its rows.
_QUOTED = rb"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\""
_WITHOUT = re.compile(
    rb",?\n    CONSTRAINT (?:" + _QUOTED + rb"|[^'\"\n])*(?=,?\n|$)"
    rb"|(?<=\S) DEFAULT (?:" + _QUOTED + rb"|[^'\"\n])*?(?=(?: NOT NULL)?,?(?:\n|$))"
)

_CHECKS = """
    SELECT CASE WHEN contypid <> 0 THEN format('ALTER DOMAIN %s DROP CONSTRAINT %I', contypid::regtype, conname)
           ELSE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', conrelid::regclass, conname) END
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace
    WHERE contype = 'c' AND coninhcount = 0 AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid IN (contypid, conrelid) AND d.objid <> 0 AND d.deptype = 'e')
"""


@dataclass(frozen=True)
class Scratch:
    """A scratch database with an archive's rows.

    Attributes
    ----------
    archive : Archive
        Where the rows come from.
    server : ScratchServer
        The server, at this database.
    schema : str
        The schema the tables are in, as in the archive.
    database : Database or None
        Another environment, where it is that and no archive.
    """

    archive: Archive
    server: ScratchServer
    schema: str
    database: Database | None = None

    @property
    def url(self) -> str:
        """The scratch database's URL; a secret."""
        url = self.server.address.url.set(drivername="postgresql")
        # SQLAlchemy leaves spaces as they are, or as "+" in the query; libpq wants neither.
        before, mark, query = url.render_as_string(hide_password=False).partition("?")
        return before.replace(" ", "%20") + mark + query.replace("+", "%20")

    def connect(self) -> psycopg.Connection[TupleRow]:
        """Open a session that can only read: times in UTC, dates as ISO, the schema on the search path."""
        if self.database is not None:
            return self.database.look()

        def failed(reason: str) -> WorkbenchError:
            return WorkbenchError(f"The rows of the snapshot {self.archive.path} cannot be read: {reason}.")

        with self.server.speaking_plainly(failed):
            connection = self.server.connect(_READING)
            try:
                connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self.schema)))
                connection.commit()
                # A crash of the server empties unlogged tables; it would have ended that session too.
                if self.server.holder:
                    self.server.holder.execute("SELECT 1")
            except psycopg.Error:
                connection.close()
                raise
        return connection


@contextmanager
def restored(
    path: Path, tables: Sequence[str], *, settings: Settings, schema: str = "public"
) -> Iterator[Scratch]:
    """Restore some tables of an archive into a scratch database, for as long as the block lasts.

    Parameters
    ----------
    path : Path
        An archive in pg_dump's custom, tar or directory format, or a plain script, which is loaded whole.
    tables : sequence of str
        The tables that are needed, all of one schema.
    settings : Settings
        Says where the scratch database is made.
    schema : str
        The tables' schema.

    Yields
    ------
    Scratch
        Holds every row of these tables.

    Raises
    ------
    SnapshotError
        When the archive cannot be read, lacks a table or its rows, is damaged where they are, or
        needs a newer server or another extension than the scratch server's.
    UsageError
        When the variable that ``scratch_url_env`` names is not set or holds no URL.
    DatabaseUnreachable
        When there is no connection to the scratch server.
    WorkbenchError
        When the scratch database cannot be made there: no right to, or no room.
    """
    archive = read_archive(path, schema, settings.client_tools)
    wanted = list(dict.fromkeys(tables))
    if is_script(path):
        for table in wanted:
            if table not in archive.tables:
                raise _no_table(archive, table, schema)
        with scratch_database(settings, encoding_of(path)) as scratch:
            _refuse_an_older_server(scratch, archive)
            load(scratch, path, schema, wanted, settings.client_tools)
            yield Scratch(archive, scratch, schema)
        return
    definitions, rows = _needed(archive, wanted, schema)
    with scratch_database(settings, encoding_of(path)) as scratch:
        _refuse_an_older_server(scratch, archive)
        _define(scratch, archive, definitions, schema, settings.client_tools)
        _fill(scratch, archive, rows, schema)
        yield Scratch(archive, scratch, schema)


def _needed(archive: Archive, tables: list[str], schema: str) -> tuple[list[Entry], list[Entry]]:
    """Find the entries of the tables' definitions and of their rows, both in the archive's order."""
    definitions = {entry.table: entry for entry in archive.entries if entry.kind == "TABLE"}
    rows = {entry.table: entry for entry in archive.entries if entry.kind == "TABLE DATA"}
    for table in tables:
        if table not in definitions and table not in rows:
            raise _no_table(archive, table, schema)
        if table not in rows:
            raise SnapshotError(
                f"The snapshot {archive.path} has no rows of the table {schema}.{table}.", HOW
            )
        if table not in definitions:
            raise SnapshotError(
                f"The snapshot {archive.path} has the rows of {schema}.{table}, but not its columns' types.",
                HOW,
            )
    # In a tar archive the rows of a table can only be reached from those before it.
    return (
        [entry for entry in definitions.values() if entry.table in tables],
        [entry for entry in rows.values() if entry.table in tables],
    )


def _no_table(archive: Archive, table: str, schema: str) -> SnapshotError:
    close = nearest(table, archive.tables)
    return SnapshotError(
        f"The snapshot {archive.path} has no table {schema}.{table}.",
        f"Nearest: {', '.join(close)}." if close else HOW,
    )


def _refuse_an_older_server(scratch: ScratchServer, archive: Archive) -> None:
    with scratch.speaking_plainly(WorkbenchError), scratch.connect(autocommit=True) as connection:
        theirs, ours = re.match(r"\d+", archive.server_version), connection.info.server_version // 10000
        if theirs and int(theirs.group()) > ours:
            raise SnapshotError(
                f"The snapshot {archive.path} was taken from PostgreSQL {archive.server_version};"
                f" {scratch.where} is of version {ours}.",
                "Let scratch_url_env name a server of at least that version.",
            )


def _define(
    scratch: ScratchServer, archive: Archive, definitions: list[Entry], schema: str, tools: Path | None
) -> None:
    """Make the tables, still without rows."""

    def failed(reason: str) -> WorkbenchError:
        return SnapshotError(f"The tables of {archive.path} cannot be made: {reason}.", AGAIN)

    with scratch.speaking_plainly(failed), scratch.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        said = _make(scratch, archive, definitions, tools)
        made = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]
        ).fetchall()
        for entry in definitions:
            if (entry.table,) not in made and not _made_bare(connection, archive, entry):
                raise _not_made(scratch, archive, entry, said)
        # A function that looks into other tables would find these empty: the rows passed it where they come from.
        for (statement,) in connection.execute(_CHECKS).fetchall():
            connection.execute(statement)


def _make(scratch: ScratchServer, archive: Archive, definitions: list[Entry], tools: Path | None) -> str:
    # Not with --exit-on-error: an extension or a type that cannot be made here matters only to the
    # table that needs it, so what counts is which tables are there afterwards.
    parameters = scratch.parameters(f"{WRITING} -c synchronous_commit=off")
    dbname, secret = connected(parameters)
    options = (
        "--use-list=/dev/stdin",
        "--no-owner",
        "--no-privileges",
        "--no-tablespaces",
        "--no-table-access-method",
    )
    entries = chosen(each for each in archive.entries if not each.table or each in definitions)

    def said_by(tool: Tool | None) -> str:
        done = subprocess.run(
            pg_restore(
                archive.path, tool, dbname, "--verbose", *options
            ),  # so it says which entry an error is of
            input=entries,
            capture_output=True,
            env=plain_english(**secret),
            check=False,
        )
        return done.stderr.decode(errors="replace")

    said = said_by(archive.reader)
    if re.search("SSL support|error: connection to server", said):
        said = said_by(reader(archive.path, tools, parameters))
    return said


def _made_bare(connection: psycopg.Connection[TupleRow], archive: Archive, entry: Entry) -> bool:
    """Make a table without its defaults and checks, which its rows do not need; return whether that went."""
    done = subprocess.run(
        pg_restore(archive.path, archive.reader, "--file=-", "--use-list=/dev/stdin"),
        input=chosen([entry]),
        capture_output=True,
        env=plain_english(),
        check=False,
    )
    _, begun, rest = done.stdout.partition(b"\nCREATE ")
    columns, closed, tail = rest.partition(b"\n)")
    statement = begun + _WITHOUT.sub(b"", columns) + closed + tail.partition(b";\n")[0]
    with suppress(psycopg.Error):
        connection.execute(statement)
        return bool(closed)
    return False


def _not_made(scratch: ScratchServer, archive: Archive, entry: Entry, said: str) -> WorkbenchError:
    """Find the reason why a table could not be made in what pg_restore said."""
    of_it = said.partition(f"from TOC entry {entry.number};")[2] or said
    of_it = of_it.partition("Command was:")[0]
    table = f"The table {entry.table} of the snapshot {archive.path}"

    def failed(reason: str) -> WorkbenchError:
        if unknown := re.search(r'type "(.+)" does not exist', reason):
            return SnapshotError(
                f"{table} has a column of the type {unknown.group(1)}, which the scratch server does not have.",
                f"If it is an extension's, let scratch_url_env name a server with that extension. If not: {HOW}",
            )
        return SnapshotError(
            f"{table} cannot be made in the scratch database: {reason}.",
            "Let scratch_url_env name a server that has what it needs.",
        )

    reason = re.search(r"(?:ERROR|FATAL): +(.*)", of_it)
    return scratch.explained(reason.group(1) if reason else failure(of_it.encode()), "", failed)


def _fill(scratch: ScratchServer, archive: Archive, rows: list[Entry], schema: str) -> None:
    """Copy the tables' rows, all or none.

    They come from pg_restore but are sent from here: of an uncompressed folder that is cut short it
    restores what rows there are and calls that a success.
    """

    def failed(reason: str) -> WorkbenchError:
        return SnapshotError(
            f"The rows of the snapshot {archive.path} are cut short or damaged: {reason}.", AGAIN
        )

    with (
        scratch.speaking_plainly(failed),
        scratch.connect() as connection,
        subprocess.Popen(
            pg_restore(archive.path, archive.reader, "--file=-", "--use-list=/dev/stdin"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=plain_english(),
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(chosen(rows))
        for entry in rows:
            # Where the disk is full this transaction fails, and frees what it took; the server's log,
            # full, would take the server down.
            table = sql.Identifier(schema, entry.table)
            connection.execute(sql.SQL("ALTER TABLE {} SET UNLOGGED").format(table))
        begun, whole = _copy(connection, process.stdout)
        said = process.stderr.read()
        if process.wait():
            raise failed(failure(said))
        if begun > whole:
            raise failed(f"those of {rows[min(whole, len(rows) - 1)].table} have no end")
        if begun < len(rows):
            raise SnapshotError(
                f"The snapshot {archive.path} has the rows of {rows[begun].table} as INSERT statements.",
                "Take one with pg_dump's defaults, without --inserts.",
            )


def _copy(connection: psycopg.Connection[TupleRow], script: IO[bytes]) -> tuple[int, int]:
    """Send the rows of a script of pg_restore's; return of how many tables any came, and of how many all."""
    begun = whole = 0
    for line in script:
        if line.startswith(b"SET client_encoding = "):
            connection.execute(line)
        elif line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
            begun += 1
            with connection.cursor().copy(line) as copy:
                for row in script:
                    if row == _END_OF_ROWS:
                        whole += 1
                        break
                    copy.write(row)
    return begun, whole


__all__ = ["Archive", "Scratch", "read_archive", "restored"]
