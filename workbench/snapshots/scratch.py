"""A snapshot's rows made readable: the tables that are needed, restored into a scratch database.

The scratch database lies on the embedded server, or on the one ``scratch_url_env`` names, and is
dropped at the end. It gets columns and rows, and what these need, in pg_restore's own order: types, domains, functions.
It gets no defaults where these cannot be made, no checks, no keys, no triggers, no owners.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from workbench.database.connection import Database, Session
from workbench.database.databases import scratch_database
from workbench.database.programs import HOW, explain, restore, restore_within, script_of
from workbench.errors import DocumentError, WorkbenchError, nearest
from workbench.settings import Settings
from workbench.snapshots.archive import Archive, Entry, encoding_of, read_archive, refuse_older_server
from workbench.snapshots.script import is_script, load

LONG = 3600.0  # seconds that a question to a snapshot may take

SCRATCH_REMEDY = "Let scratch_url_env name a server of at least that version."

_BARE = "--no-owner", "--no-privileges", "--no-tablespaces", "--no-table-access-method"

# In a definition of pg_dump's, which has a column to a line: what a table needs for none of its rows.
_QUOTED = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\""
_WITHOUT = re.compile(
    r",?\n    CONSTRAINT (?:" + _QUOTED + r"|[^'\"\n])*(?=,?\n|$)"
    r"|(?<=\S) DEFAULT (?:" + _QUOTED + r"|[^'\"\n])*?(?=(?: NOT NULL)?,?(?:\n|$))"
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
    """A database with an archive's rows.

    Attributes
    ----------
    archive : Archive
        Where the rows come from.
    database : Database
        The scratch database; or another environment, where it is that and no archive. Its schema is the tables'.
    holder : psycopg.Connection or None
        The session that holds a scratch database for as long as it is needed.
    """

    archive: Archive
    database: Database
    holder: Session | None = None

    @property
    def schema(self) -> str:
        """The schema the tables are in, as in the archive."""
        return self.database.address.schema

    def connect(self) -> Session:
        """Open a session that can only read: times in UTC, dates as ISO, the schema on the search path."""
        if self.holder is None:
            return self.database.look()
        with self.database.speaking_plainly():
            # A crash of the server empties unlogged tables; it would have ended that session too.
            self.holder.execute("SELECT 1")
            return self.database.look()


@contextmanager
def restored(
    path: Path, tables: Sequence[str], *, settings: Settings, schema: str = "public", encoding: str = "UTF8"
) -> Iterator[Scratch]:
    """Restore some tables of an archive into a scratch database, for as long as the block lasts.

    Parameters
    ----------
    path : Path
        An archive of ``pg_dump -Fc``, or a plain script, which is loaded whole.
    tables : sequence of str
        The tables that are needed, all of one schema.
    settings : Settings
        Says where the scratch database is made.
    schema : str
        The tables' schema.
    encoding : str
        That of the database with which they are compared: by the bytes of their text.

    Yields
    ------
    Scratch
        Holds every row of these tables.

    Raises
    ------
    DocumentError
        When the archive cannot be read, lacks a table or its rows, is damaged where they are, or
        needs a newer server or another extension than the scratch server's.
    UsageError
        When the variable that ``scratch_url_env`` names is not set or holds no URL.
    DatabaseUnreachable
        When there is no connection to the scratch server.
    WorkbenchError
        When the scratch database cannot be made there: no right to, or no room.
    """
    tools = settings.client_tools
    archive = read_archive(path, schema, tools)
    wanted = list(dict.fromkeys(tables))
    definitions, rows = _needed(archive, wanted, schema)
    if (held := encoding_of(path)) == "SQL_ASCII":
        encoding = held
    with scratch_database(settings, encoding) as (made, holder):
        scratch = replace(made, address=replace(made.address, schema=schema), statement_timeout=LONG)
        refuse_older_server(str(path), archive.server_version, holder, scratch, SCRATCH_REMEDY)
        if is_script(path):
            load(scratch, path, schema, wanted, tools)
        else:
            _define(scratch, archive, definitions, tools)
            _fill(scratch, archive, rows, tools)
        yield Scratch(archive, scratch, holder)


def _needed(archive: Archive, tables: list[str], schema: str) -> tuple[list[Entry], list[Entry]]:
    """Find the entries of the tables' definitions and of their rows, both in the archive's order."""
    definitions = {entry.table: entry for entry in archive.entries if entry.kind == "TABLE"}
    rows = {entry.table: entry for entry in archive.entries if entry.kind == "TABLE DATA"}
    for table in tables:
        if table not in definitions and table not in rows and table not in archive.tables:
            close = nearest(table, archive.tables)
            raise DocumentError(
                f"The snapshot {archive.path} has no table {schema}.{table}.",
                f"Nearest: {', '.join(close)}." if close else HOW,
            )
        if not archive.entries:
            continue  # a script
        if table not in rows:
            raise DocumentError(
                f"The snapshot {archive.path} has no rows of the table {schema}.{table}.", HOW
            )
        if table not in definitions:
            raise DocumentError(
                f"The snapshot {archive.path} has the rows of {schema}.{table}, but not its columns' types.",
                HOW,
            )
    return (
        [entry for entry in definitions.values() if entry.table in tables],
        [entry for entry in rows.values() if entry.table in tables],
    )


def _define(scratch: Database, archive: Archive, definitions: list[Entry], tools: Path | None) -> None:
    """Make the tables, still without rows."""
    schema = scratch.address.schema
    with scratch.speaking_plainly(), scratch.session(autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        # Failures are allowed: an extension or a type that cannot be made here matters only to the table that
        # needs it, so what counts is which tables are there afterwards.
        entries = [each.line for each in archive.entries if not each.table or each in definitions]
        _, failures = restore(archive.path, scratch, tools, *_BARE, entries=entries, failing=True)
        there = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
        made = {name for (name,) in there}
        for entry in definitions:
            if entry.table not in made and not _made_bare(connection, archive, entry, tools):
                raise _not_made(scratch, archive, entry, failures.get(entry.number) or failures.get("", ""))
        # A function that looks into other tables would find these empty: the rows passed it where they come from.
        for (statement,) in connection.execute(_CHECKS).fetchall():
            connection.execute(statement)


def _made_bare(connection: Session, archive: Archive, entry: Entry, tools: Path | None) -> bool:
    """Make a table without its defaults and checks, which its rows do not need; return whether that went."""
    script = script_of(archive.path, tools, [entry.line])
    _, begun, rest = script.partition("\nCREATE ")
    columns, closed, tail = rest.partition("\n)")
    statement = begun + _WITHOUT.sub("", columns) + closed + tail.partition(";\n")[0]
    with suppress(psycopg.Error):
        connection.execute(statement.encode(errors="surrogateescape"))
        return bool(closed)
    return False


def _not_made(scratch: Database, archive: Archive, entry: Entry, said: str) -> WorkbenchError:
    """Make the error for a table that could not be made."""
    table = f"The table {entry.table} of the snapshot {archive.path}"
    if unknown := re.search(r'type "(.+)" does not exist', said):
        return DocumentError(
            f"{table} has a column of the type {unknown.group(1)}, which the scratch server does not have.",
            f"If it is an extension's, let scratch_url_env name a server with that extension. If not: {HOW}",
        )
    error = explain(archive.path, f"error: {said}", scratch)
    if not isinstance(error, DocumentError):
        return error
    return DocumentError(
        f"{table} cannot be made in the scratch database: {scratch.redacted(said.rpartition('ERROR: ')[2])}.",
        "Let scratch_url_env name a server that has what it needs.",
    )


def _fill(scratch: Database, archive: Archive, rows: list[Entry], tools: Path | None) -> None:
    """Copy the tables' rows, all or none: in a transaction, which gives back what it took where the disk is full."""
    with scratch.speaking_plainly(), scratch.session() as connection:
        for entry in rows:
            # The server's log, full, would take the server down.
            table = sql.Identifier(scratch.address.schema, entry.table)
            connection.execute(sql.SQL("ALTER TABLE {} SET UNLOGGED").format(table))
        entries = [each.line for each in rows]
        restore_within(connection, archive.path, scratch, tools, entries=entries)


__all__ = ["LONG", "Archive", "Scratch", "read_archive", "restored"]
