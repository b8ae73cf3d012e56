"""The state before, in whichever form it is given: a snapshot, any dump of pg_dump, another environment; and its rows made readable.

The tables that are needed are restored into a scratch database, on the embedded server or on the one ``scratch_url_env``
names, dropped at the end. It gets columns and rows, and what these need, in pg_restore's own order: types, domains,
functions. It gets no defaults where these cannot be made, no checks, no keys, no triggers, no owners.
"""

from __future__ import annotations

import re
import secrets
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
from workbench.errors import DocumentError, UsageError, WrongEnvironment, nearest
from workbench.murmurant.schema import read_schema
from workbench.settings import Settings
from workbench.snapshots.archive import HOW, Archive, encoding_of, load, read_archive, refuse_older_server
from workbench.snapshots.contents import Connection
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.store import find_snapshot

LONG = 3600.0  # seconds that a question to a snapshot may take

_ENOUGH = 100
"""Records looked for to tell another club's database from this one's."""


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
class Snapshot:
    """A state from before: an archive of pg_dump, or another environment's database.

    Attributes
    ----------
    name : str
        Its manifest's, the archive's file name where it has none, or the other environment's.
    path : Path or None
        The archive; None for another environment.
    manifest : Manifest or None
        None for an archive that somebody made with pg_dump alone.
    database : Database or None
        Where its rows can be read: see `workbench.snapshots.scratch.opened`; another environment's database always.
    archive : Archive or None
        What the archive says of itself, once it is opened.
    """

    name: str
    path: Path | None = None
    manifest: Manifest | None = None
    database: Database | None = None
    archive: Archive | None = None

    @property
    def file_name(self) -> str:
        """How a plan's header names it: no path of this machine."""
        return self.path.name if self.path else self.name

    @property
    def taken_at(self) -> datetime | None:
        """When (UTC, without zone), as far as its manifest says."""
        return self.manifest.created_at.astimezone(UTC).replace(tzinfo=None) if self.manifest else None

    @property
    def readable(self) -> Database:
        """Where its rows can be read, once it is opened; its schema is the tables'."""
        assert self.database is not None
        return self.database

    @property
    def taken_from(self) -> str:
        """The name of the database it is of, once it is opened."""
        return self.archive.database if self.archive else self.readable.address.database

    @property
    def sha256(self) -> str:
        """The archive's digest, once it is opened; empty for another environment."""
        return self.archive.sha256 if self.archive else ""


def state_before(
    snapshot: str | Path | Snapshot | None, before: str | None, *, settings: Settings, live: Database
) -> Snapshot:
    """Find the state before, in whichever form it is given; the one way for every command that takes one.

    Parameters
    ----------
    snapshot : str, path or Snapshot
        As for `snapshot_named`; one that was found already is returned as it is.
    before : str
        Instead, another environment that holds the state: a hosted database's branch. It is only read.
    live : Database
        The database that is compared.

    Raises
    ------
    UsageError
        When both are given, or neither, or there is none of this name.
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
        return snapshot_named(snapshot, settings, live)
    assert before is not None
    earlier = replace(connect(before, settings), statement_timeout=LONG)
    with live.reading() as current, earlier.reading() as past:
        _refuse_the_same(raw(current), raw(past), live, earlier)
        _refuse_another_club(raw(current), raw(past), live, earlier)
    return Snapshot(before, database=earlier)


def _refuse_the_same(current: Connection, past: Connection, live: Database, earlier: Database) -> None:
    """Refuse a database that is this one: by a lock that is seen there, for a copied server has the same names and numbers."""
    number = secrets.randbits(62)
    current.execute("SELECT pg_advisory_xact_lock_shared(%s)", [number])
    seen = past.execute(
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (classid::bigint << 32) | objid::bigint = %s",
        [number],
    ).fetchone()
    if seen:
        raise WrongEnvironment(
            f"{earlier.environment} is the same database as {live.environment}: it is no state before.",
            "Name an environment that leads to the branch, or the copy, from before.",
        )


def _refuse_another_club(current: Connection, past: Connection, live: Database, earlier: Database) -> None:
    """Refuse a database with members or events of its own, of which this one has none."""
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
            keys = [key for (key,) in past.execute(some, [_ENOUGH])]
            both = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE id::text = ANY(%s)), EXISTS (SELECT FROM {})")
            [(known, anybody)] = current.execute(both.format(our_table, our_table), [keys])
            if known:
                return
            strangers = strangers or (bool(keys) and anybody)
    if strangers:
        raise WrongEnvironment(
            f"{earlier.environment} is another club's: of its members and events {live.environment} has none.",
            "Name an environment that holds this club as it was before.",
        )


def snapshot_named(name: str | Path, settings: Settings, live: Database) -> Snapshot:
    """Find a snapshot: by its name among the backups, by its file, ``latest``, or any dump of pg_dump, plain ones too.

    Raises
    ------
    DocumentError
        When its manifest was edited, or does not fit the archive.
    UsageError
        When there is none of this name.
    """
    path = Path(name)
    if path.exists() and not path.with_suffix(".json").exists():
        return Snapshot(path.name, path)
    manifest = (
        Manifest.read(path)
        if path.exists()
        else find_snapshot(settings.backups, str(name), live.environment.name)
    )
    return Snapshot(manifest.snapshot, manifest.archive, manifest)


@contextmanager
def opened(
    snapshot: Snapshot,
    tables: Sequence[str],
    *,
    settings: Settings,
    schema: str = "public",
    encoding: str = "UTF8",
) -> Iterator[Snapshot]:
    """Make some tables of a snapshot readable, for as long as the block lasts: every row of them.

    Parameters
    ----------
    tables : sequence of str
        Those that are needed. Of another environment, and of a script, which is loaded whole, all are there.
    settings : Settings
        Says where the scratch database is made.
    schema : str
        The schema they are in, of an archive; another environment has its own.
    encoding : str
        That of the database with which they are compared: by the bytes of their text.

    Yields
    ------
    Snapshot
        With its database.

    Raises
    ------
    DocumentError
        When the archive cannot be read, is not what its manifest says, lacks a table or its rows, is damaged where
        they are, or needs a newer server or another extension than the scratch server's.
    UsageError, DatabaseUnreachable, WorkbenchError
        When the scratch database cannot be made: see `workbench.database.databases.scratch_database`.
    """
    if snapshot.path is None:
        yield snapshot
        return
    path, manifest, tools = snapshot.path, snapshot.manifest, settings.client_tools
    archive = read_archive(path, schema, tools)
    for table in tables:
        if table not in archive.tables:
            close = nearest(table, archive.tables)
            raise DocumentError(
                f"The snapshot {path} has no rows of the table {schema}.{table}.",
                f"Nearest: {', '.join(close)}." if close else HOW,
            )
    if manifest is not None and archive.sha256 != manifest.sha256:
        raise DocumentError(f"{path} is not the archive its manifest was written for.", manifest.remedy)
    if encoding_of(path) == "SQL_ASCII":
        encoding = "SQL_ASCII"
    with scratch_database(settings, encoding) as (empty, holder):
        scratch = replace(empty, address=replace(empty.address, schema=schema), statement_timeout=LONG)
        refuse_older_server(str(path), archive.server_version, holder, scratch, SCRATCH_REMEDY)
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
            # A crash of the server empties unlogged tables; it would have ended this session too.
            holder.execute("SELECT 1")


def _define(scratch: Database, listing: Listing, definitions: dict[str, str], tools: Path | None) -> None:
    """Make the tables, still without rows."""
    schema = scratch.address.schema
    with scratch.translate_errors(), scratch.session(autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        # Failures are allowed: an extension or a type that cannot be made here matters only to the table that
        # needs it, so what counts is which tables are there afterwards.
        wanted = {*listing.of(*_NEEDED), *definitions.values()}
        entries = [entry for entry in listing.entries if entry in wanted]
        restore(listing.path, scratch, tools, *_BARE, entries=entries, failing=True)
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
        there = {name for (name,) in names}
        for table, entry in definitions.items():
            if table not in there:
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
