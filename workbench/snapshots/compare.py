"""A snapshot made ready to be compared: what its manifest says, and how its tables are read."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from psycopg import sql
from sqlalchemy import Connection as Asking

from workbench.database.connection import Database, connect, raw
from workbench.errors import DocumentError, UsageError, WrongEnvironment
from workbench.murmurant.schema import read_schema
from workbench.settings import Settings
from workbench.snapshots.archive import Archive
from workbench.snapshots.contents import Connection
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.scratch import LONG, Scratch, restored
from workbench.snapshots.store import find_snapshot

_ENOUGH = 100
"""Records looked for to tell another club's database from this one's."""


@dataclass(frozen=True)
class Snapshot:
    """A snapshot to compare with.

    Attributes
    ----------
    name : str
        Its manifest's, or the archive's file name where it has none.
    archive : Path or None
        The archive; None for another environment.
    manifest : Manifest or None
        None for an archive that somebody made with pg_dump alone.
    taken_at : datetime or None
        When (UTC, without zone).
    database : Database or None
        Another environment's database as it is, instead of an archive.
    """

    name: str
    archive: Path | None
    manifest: Manifest | None
    taken_at: datetime | None
    database: Database | None = None

    @property
    def file_name(self) -> str:
        """How a plan's header names it: no path of this machine."""
        return self.archive.name if self.archive else self.name


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
    other = replace(connect(before, settings), statement_timeout=LONG)
    with live.reading() as here, other.reading() as there:
        _refuse_the_same(raw(here), raw(there), live, other)
        _refuse_another_club(here, there, live, other)
    return Snapshot(before, None, None, None, other)


def _refuse_the_same(here: Connection, there: Connection, live: Database, other: Database) -> None:
    """Refuse a database that is this one: by a lock that is seen there, for a copied server has the same names and numbers."""
    number = secrets.randbits(62)
    here.execute("SELECT pg_advisory_xact_lock_shared(%s)", [number])
    seen = there.execute(
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (classid::bigint << 32) | objid::bigint = %s",
        [number],
    ).fetchone()
    if seen:
        raise WrongEnvironment(
            f"{other.environment} is the same database as {live.environment}: it is no state before.",
            "Name an environment that leads to the branch, or the copy, from before.",
        )


def _refuse_another_club(here: Asking, there: Asking, live: Database, other: Database) -> None:
    """Refuse a database with members or events of its own, of which this one has none."""
    ours = read_schema(raw(here), live.address.schema)
    theirs = read_schema(raw(there), other.address.schema)
    strangers = False
    for concept in ("members", "events"):
        if not (ours.has(concept) and theirs.has(concept)):
            continue
        table = sql.Identifier(other.address.schema, theirs.resolved[concept].table)
        query = sql.SQL("SELECT id::text FROM {} ORDER BY id LIMIT %s").format(table)
        keys = [key for (key,) in raw(there).execute(query, [_ENOUGH])]
        table = sql.Identifier(live.address.schema, ours.resolved[concept].table)
        both = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE id::text = ANY(%s)), EXISTS (SELECT FROM {})")
        known, anybody = raw(here).execute(both.format(table, table), [keys]).fetchone() or (False, False)
        if known:
            return
        strangers = strangers or (bool(keys) and anybody)
    if strangers:
        raise WrongEnvironment(
            f"{other.environment} is another club's: of its members and events {live.environment} has none.",
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
        return Snapshot(path.name, path, None, None)
    manifest = (
        Manifest.read(path)
        if path.exists()
        else find_snapshot(settings.backups, str(name), live.environment.name)
    )
    taken_at = manifest.created_at.astimezone(UTC).replace(tzinfo=None)
    return Snapshot(manifest.snapshot, manifest.archive, manifest, taken_at)


@contextmanager
def opened(
    snapshot: Snapshot,
    tables: Sequence[str],
    *,
    settings: Settings,
    schema: str = "public",
    encoding: str = "UTF8",
) -> Iterator[Scratch]:
    """Make some tables of a snapshot readable, for as long as the block lasts.

    Parameters
    ----------
    tables : sequence of str
        Those that are needed.
    schema : str
        The schema they are in, of an archive; another environment has its own.
    encoding : str
        That of the database with which they are compared.

    Raises
    ------
    DocumentError
        When the archive is damaged, not what its manifest says, or lacks a table.
    """
    if snapshot.database is not None:
        database = snapshot.database
        schema = database.address.schema if snapshot.manifest is None else schema
        archive = Archive(Path(snapshot.name), database.address.database, "", "", tuple(tables))
        yield Scratch(archive, replace(database, address=replace(database.address, schema=schema)))
        return
    assert snapshot.archive is not None
    with restored(snapshot.archive, tables, settings=settings, schema=schema, encoding=encoding) as scratch:
        if snapshot.manifest is not None and scratch.archive.sha256 != snapshot.manifest.sha256:
            raise DocumentError(
                f"The archive {snapshot.archive} is not the one its manifest was written for: its SHA-256 differs.",
                "Use another snapshot, or copy this one anew from where it was made.",
            )
        yield scratch
