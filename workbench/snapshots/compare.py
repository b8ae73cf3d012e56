"""The state before, in any form: a snapshot, any dump of pg_dump, another environment; and how its rows are read.

The tables needed are restored into a scratch database, on the embedded server or the one that ``scratch_url_env`` names,
which is dropped afterwards. It gets columns and rows, and what they depend on, in the order of pg_restore: types, domains,
functions. It gets no checks, keys, triggers or owners, and no defaults where these cannot be created.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from workbench.database.archives import Listing, restore
from workbench.database.connection import Database, Session, raw
from workbench.database.databases import connect, scratch_database
from workbench.errors import DocumentError, UsageError, WrongEnvironment
from workbench.murmurant.schema import read_schema
from workbench.settings import Settings
from workbench.snapshots.archive import HOW, Archive, encoding_of, load, read_archive, refuse_older_server
from workbench.snapshots.contents import Connection
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.store import find_snapshot

STATEMENT_TIMEOUT = 3600.0  # seconds, for a query on a snapshot


# What rows can depend on besides their table.
_DEPENDENCIES = (
    *("SCHEMA", "EXTENSION", "(?:SHELL )?TYPE", "DOMAIN", "COLLATION", "FUNCTION", "AGGREGATE", "CAST"),
    *("OPERATOR(?: CLASS| FAMILY)?", "PROCEDURAL LANGUAGE", r"TEXT SEARCH \w+"),
)

_BARE = "--no-owner", "--no-privileges", "--no-tablespaces", "--no-table-access-method"

# In a definition written by pg_dump, one column per line: constraints and defaults, which no row needs.
_QUOTED = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\""

_NOT_NEEDED = re.compile(
    r",?\n    CONSTRAINT (?:" + _QUOTED + r"|[^'\"\n])*(?=,?\n|$)"
    r"|(?<=\S) DEFAULT (?:" + _QUOTED + r"|[^'\"\n])*?(?=(?: NOT NULL)?,?(?:\n|$))"
)

_DROP_CHECKS = """
    SELECT CASE WHEN contypid <> 0 THEN format('ALTER DOMAIN %s DROP CONSTRAINT %I', contypid::regtype, conname)
           ELSE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', conrelid::regclass, conname) END
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace
    WHERE contype = 'c' AND coninhcount = 0 AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid IN (contypid, conrelid) AND d.objid <> 0 AND d.deptype = 'e')
"""


# A running server and a database in it; a copy of either has another start or number.
_IDENTITY = """
    SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()
"""


@dataclass(frozen=True)
class Snapshot:
    """A state from before: an archive of pg_dump, or another environment's database.

    Attributes
    ----------
    name : str
        The manifest's name, else the archive's file name, or the other environment's name.
    path : Path or None
        The archive; None for another environment.
    manifest : Manifest or None
        None for an archive that was made with pg_dump alone.
    database : Database or None
        Where its rows can be read; for an archive, only within `opened`.
    archive : Archive or None
        What the archive says about itself, within `opened`.
    """

    name: str
    path: Path | None = None
    manifest: Manifest | None = None
    database: Database | None = None
    archive: Archive | None = None

    @property
    def file_name(self) -> str:
        """Its name in a plan's header, without a path of this machine."""
        return self.path.name if self.path else self.name

    @property
    def taken_at(self) -> datetime | None:
        """When (UTC, without time zone); None without a manifest."""
        return self.manifest.created_at.astimezone(UTC).replace(tzinfo=None) if self.manifest else None

    @property
    def readable(self) -> Database:
        """Where its rows can be read, once it is opened."""
        assert self.database is not None
        return self.database

    @property
    def taken_from(self) -> str:
        """The name of the database it was taken from, once it is opened."""
        return self.archive.database if self.archive else self.readable.address.database

    @property
    def sha256(self) -> str:
        """The archive's digest, once it is opened; empty for another environment."""
        return self.archive.sha256 if self.archive else ""


def state_before(
    snapshot: str | Path | Snapshot | None, before: str | None, *, settings: Settings, live: Database
) -> Snapshot:
    """Find the state before, in whichever form it is given.

    Parameters
    ----------
    snapshot : str, path or Snapshot
        A snapshot's name, its file or ``latest``; any dump of pg_dump, plain ones too; or one that was found already.
    before : str
        Instead, another environment that holds the state, such as a hosted database's branch. It is only read.
    live : Database
        The database that it is compared with.

    Raises
    ------
    UsageError
        When both or neither are given, or there is no such snapshot.
    DocumentError
        When its manifest was edited, or does not fit the archive.
    WrongEnvironment
        When the other environment is another club's, or leads to this very database.
    """
    if bool(snapshot) == bool(before):
        raise UsageError(
            "The state before is given twice." if before else "No state before is given.",
            "Give a snapshot (a name, a file, latest), or --before ENVIRONMENT.",
        )
    if isinstance(snapshot, Snapshot):
        return snapshot
    if snapshot:
        path = Path(snapshot)
        if path.exists() and not path.with_suffix(".json").exists():
            return Snapshot(path.name, path)
        manifest = find_snapshot(settings.backups, str(snapshot), live.environment.name)
        return Snapshot(manifest.snapshot, manifest.archive, manifest)
    assert before is not None
    earlier = replace(connect(before, settings), statement_timeout=STATEMENT_TIMEOUT)
    with live.reading() as current, earlier.reading() as past:
        if raw(current).execute(_IDENTITY).fetchone() == raw(past).execute(_IDENTITY).fetchone():
            raise WrongEnvironment(
                f"{earlier.environment} is the same database as {live.environment}, not an earlier state of it.",
                "Name an environment that leads to the branch, or the copy, from before.",
            )
        _refuse_another_club(raw(current), raw(past), live, earlier)
    return Snapshot(before, database=earlier)


def _refuse_another_club(current: Connection, past: Connection, live: Database, earlier: Database) -> None:
    """Refuse a database whose members and events are all unknown here."""
    ours = read_schema(current, live.address.schema)
    theirs = read_schema(past, earlier.address.schema)
    strangers = False
    for concept in ("members", "events"):
        if ours.has(concept) and theirs.has(concept):
            their_table, our_table = (
                sql.Identifier(schema.catalogue.schema, schema.resolved[concept].table)
                for schema in (theirs, ours)
            )
            some = sql.SQL("SELECT id::text FROM {} ORDER BY id LIMIT %s").format(their_table)
            keys = [key for (key,) in past.execute(some, [100])]
            both = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE id::text = ANY(%s)), EXISTS (SELECT FROM {})")
            [(known, anybody)] = current.execute(both.format(our_table, our_table), [keys])
            if known:
                return
            strangers = strangers or (bool(keys) and anybody)
    if strangers:
        raise WrongEnvironment(
            f"{earlier.environment} is another club's: {live.environment} has none of its members and events.",
            "Name an environment that holds this club as it was before.",
        )


@contextmanager
def opened(
    snapshot: Snapshot,
    tables: Sequence[str],
    *,
    settings: Settings,
    schema: str = "public",
    encoding: str = "UTF8",
) -> Iterator[Snapshot]:
    """Make all rows of some tables of a snapshot readable, for as long as the block lasts.

    Parameters
    ----------
    tables : sequence of str
        The tables needed. Another environment, and a script, which is loaded completely, have all of theirs.
    settings : Settings
        Where the scratch database is created.
    schema : str
        The schema of an archive's tables; another environment has its own.
    encoding : str
        The encoding of the database to compare with, since text is compared by its bytes.

    Yields
    ------
    Snapshot
        With its database.

    Raises
    ------
    DocumentError
        When the archive cannot be read, is not the one of its manifest, lacks a table or its rows, is damaged, or needs
        a newer server or an extension that the scratch server lacks.
    UsageError, DatabaseUnreachable, WorkbenchError
        When the scratch database cannot be created: see `workbench.database.databases.scratch_database`.
    """
    if snapshot.path is None:
        yield snapshot
        return
    path, manifest, tools = snapshot.path, snapshot.manifest, settings.client_tools
    archive = read_archive(path, schema, tools)
    for table in tables:
        if table not in archive.tables:
            raise DocumentError(f"The snapshot {path} has no rows of the table {schema}.{table}.", HOW)
    if manifest is not None and archive.sha256 != manifest.sha256:
        raise DocumentError(f"{path} is not the archive described by its manifest.", manifest.remedy)
    if encoding_of(path) == "SQL_ASCII":
        encoding = "SQL_ASCII"
    with scratch_database(settings, encoding) as (empty, holder):
        scratch = replace(
            empty, address=replace(empty.address, schema=schema), statement_timeout=STATEMENT_TIMEOUT
        )
        refuse_older_server(str(path), archive.server_version, holder, scratch)
        if archive.listing is None:
            load(scratch, path, tools)
        else:
            definitions = archive.listing.tables("TABLE", schema)
            _define(scratch, archive.listing, {table: definitions.get(table, "") for table in tables}, tools)
            rows = archive.listing.tables("TABLE DATA", schema)
            restore(
                path, scratch, tools, "--jobs=2", entries=[rows[table] for table in dict.fromkeys(tables)]
            )
        yield replace(snapshot, database=scratch, archive=archive)
        with scratch.translate_errors():
            # A server crash empties unlogged tables, but it would also have ended this session.
            holder.execute("SELECT 1")


def _define(scratch: Database, listing: Listing, definitions: dict[str, str], tools: Path | None) -> None:
    """Create the tables, still without rows."""
    schema = scratch.address.schema
    with scratch.translate_errors(), scratch.session(autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        # Failures are tolerated: an extension or a type that cannot be created here matters only to the tables that
        # need it. What counts is which tables exist afterwards.
        wanted = {*listing.of(*_DEPENDENCIES), *definitions.values()}
        entries = [entry for entry in listing.entries if entry in wanted]
        restore(listing.path, scratch, tools, *_BARE, entries=entries, failing=True)
        query = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
        names = {name for (name,) in connection.execute(query, [schema])}
        for table, entry in definitions.items():
            if table not in names:
                _create_bare(connection, scratch, listing, table, entry)
            # A write-ahead log that fills the disk would take the server down.
            unlogged = sql.SQL("ALTER TABLE {} SET UNLOGGED").format(sql.Identifier(schema, table))
            connection.execute(unlogged)
        # A check may look into other tables, which are empty here; the rows passed it in their own database.
        for (statement,) in connection.execute(_DROP_CHECKS).fetchall():
            connection.execute(statement)


def _create_bare(connection: Session, scratch: Database, listing: Listing, table: str, entry: str) -> None:
    """Create a table without its defaults and checks, which its rows do not need."""
    name = f"The table {table} of the snapshot {listing.path}"
    if not entry:
        raise DocumentError(f"{name} has rows, but no definition of its columns.", HOW)
    _, begun, rest = listing.script([entry]).partition("\nCREATE ")
    columns, closed, tail = rest.partition("\n)")
    statement = begun + _NOT_NEEDED.sub("", columns) + closed + tail.partition(";\n")[0]
    try:
        connection.execute(statement.encode(errors="surrogateescape"))
    except psycopg.ProgrammingError as error:
        raise DocumentError(
            f"{name} cannot be created in the scratch database: {scratch.redacted(str(error.diag.message_primary))}.",
            f"If it is part of an extension, let scratch_url_env name a server that has it. If not: {HOW}",
        ) from None
