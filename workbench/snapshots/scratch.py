"""A snapshot's rows made readable: the tables that are needed, restored into a scratch database.

The scratch database lies on the embedded server, or on the one ``scratch_url_env`` names, and is
dropped at the end. It gets columns and rows, and what these need, in pg_restore's own order: types, domains, functions.
It gets no defaults where these cannot be made, no checks, no keys, no triggers, no owners.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from workbench.database.archives import Listing, restore
from workbench.database.connection import Database, Session
from workbench.database.databases import scratch_database
from workbench.errors import DocumentError, nearest
from workbench.settings import Settings
from workbench.snapshots.archive import HOW, Archive, encoding_of, read_archive, refuse_older_server
from workbench.snapshots.script import load

LONG = 3600.0  # seconds that a question to a snapshot may take

SCRATCH_REMEDY = "Let scratch_url_env name a server of at least that version."

# What rows can need besides their table.
_NEEDED = (
    *("SCHEMA", "EXTENSION", "(?:SHELL )?TYPE", "DOMAIN", "COLLATION", "FUNCTION", "AGGREGATE", "CAST"),
    *("OPERATOR(?: CLASS| FAMILY)?", "PROCEDURAL LANGUAGE", r"TEXT SEARCH \w+"),
)
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
        with self.database.speaking_plainly():
            if self.holder is not None:
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
    for table in tables:
        if table not in archive.tables:
            close = nearest(table, archive.tables)
            raise DocumentError(
                f"The snapshot {path} has no rows of the table {schema}.{table}.",
                f"Nearest: {', '.join(close)}." if close else HOW,
            )
    if (held := encoding_of(path)) == "SQL_ASCII":
        encoding = held
    with scratch_database(settings, encoding) as (made, holder):
        scratch = replace(made, address=replace(made.address, schema=schema), statement_timeout=LONG)
        refuse_older_server(str(path), archive.server_version, holder, scratch, SCRATCH_REMEDY)
        if archive.listing is None:
            load(scratch, path, tools)
        else:
            definitions = archive.listing.tables("TABLE", schema)
            _define(scratch, archive.listing, {each: definitions.get(each, "") for each in tables}, tools)
            rows = archive.listing.tables("TABLE DATA", schema)
            restore(path, scratch, tools, "--jobs=2", entries=[rows[each] for each in dict.fromkeys(tables)])
        yield Scratch(archive, scratch, holder)


def _define(scratch: Database, listing: Listing, definitions: dict[str, str], tools: Path | None) -> None:
    """Make the tables, still without rows."""
    schema = scratch.address.schema
    with scratch.speaking_plainly(), scratch.session(autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        # Failures are allowed: an extension or a type that cannot be made here matters only to the table that
        # needs it, so what counts is which tables are there afterwards.
        wanted = {*listing.of(*_NEEDED), *definitions.values()}
        entries = [entry for entry in listing.entries if entry in wanted]
        restore(listing.path, scratch, tools, *_BARE, entries=entries, failing=True)
        there = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
        made = {name for (name,) in there}
        for table, entry in definitions.items():
            if table not in made:
                _make_bare(connection, scratch, listing, table, entry)
            # The server's log, full, would take the server down.
            unlogged = sql.SQL("ALTER TABLE {} SET UNLOGGED").format(sql.Identifier(schema, table))
            connection.execute(unlogged)
        # A function that looks into other tables would find these empty: the rows passed it where they come from.
        for (statement,) in connection.execute(_CHECKS).fetchall():
            connection.execute(statement)


def _make_bare(connection: Session, scratch: Database, listing: Listing, table: str, entry: str) -> None:
    """Make a table without its defaults and checks, which its rows do not need."""
    name = f"The table {table} of the snapshot {listing.path}"
    if not entry:
        raise DocumentError(f"{name} has rows, but not its columns' types.", HOW)
    _, begun, rest = listing.script([entry]).partition("\nCREATE ")
    columns, closed, tail = rest.partition("\n)")
    statement = begun + _WITHOUT.sub("", columns) + closed + tail.partition(";\n")[0]
    try:
        connection.execute(statement.encode(errors="surrogateescape"))
    except (
        psycopg.errors.UndefinedObject,
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.UndefinedFunction,
    ) as error:
        raise DocumentError(
            f"{name} cannot be made in the scratch database: {scratch.redacted(str(error.diag.message_primary))}.",
            f"If that is an extension's, let scratch_url_env name a server with it. If not: {HOW}",
        ) from None


__all__ = ["LONG", "Archive", "Scratch", "read_archive", "restored"]
