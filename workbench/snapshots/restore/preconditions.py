"""What has to hold before a restore: looked at when it is asked for, and again, by the same function, when it is carried out."""

from __future__ import annotations

import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql

from workbench.database.connection import Database, Session
from workbench.database.databases import Standing, create, drop, may_not_replace, name_beside
from workbench.database.exclusion import RESTORING
from workbench.database.programs import entries_of, program_for, read_list
from workbench.documents import Target
from workbench.errors import Refused, WrongEnvironment
from workbench.settings import Settings
from workbench.snapshots.archive import refuse_damaged, refuse_older_server
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.in_place import refuse_what_is_not_ours
from workbench.snapshots.restore.request import Way
from workbench.snapshots.restore.swap import refuse_prepared

_MORE = 1.1  # room than the database's size

_EXTENSION = re.compile(r"\d+; \d+ \d+ EXTENSION - (\S+) ")

_ROOM = """
    SELECT coalesce((SELECT pg_database_size(oid) FROM pg_database WHERE oid = %(live)s), 0),
        pg_size_bytes(current_setting('max_wal_size')),
        CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END,
        pg_tablespace_location(dattablespace)
    FROM pg_database WHERE oid = %(live)s OR (%(live)s = 0 AND datname = 'template0')
"""


def examine(
    beside: Session,
    database: Database,
    settings: Settings,
    manifest: Manifest,
    *,
    way: Way,
    live: Standing | None,
    from_elsewhere: bool,
) -> list[str]:
    """Refuse what cannot be restored, or not this way; return what whoever approves should know.

    Parameters
    ----------
    beside : psycopg.Connection
        A session at another database of the server.
    database : Database
        The one that is restored.
    live : Standing or None
        As it stands; None where it is not there any more.
    from_elsewhere : bool
        Whether a snapshot of another server or database will do.
    """
    refuse_prepared(beside, [database.address.database])
    _refuse_another_database(manifest, target_of(database, beside), from_elsewhere)
    refuse_damaged(manifest)
    remedy = "Restore it on a server of at least that version."
    refuse_older_server(manifest.snapshot, manifest.server_version, beside, database, remedy)
    if live is not None:  # for the safety backup
        program_for(
            "pg_dump",
            beside.info.parameter_status("server_version") or "",
            settings.client_tools,
            database.address.parameters(),
        )
    place = database.at(beside.info.dbname).address.parameters() if way == "swap" else None
    read_list(manifest.archive, settings.client_tools, place)
    _refuse_rights(beside, database, way, live)
    _refuse_extensions(beside, database, manifest, settings, way, live)
    notes = []
    if not manifest.verified:
        notes.append(
            "This snapshot was never proved by restoring it; it will be before it replaces anything."
        )
    if live is None:
        notes.append("There is no database of this name any more: nothing is replaced.")
    elif way == "swap" and not live.comment.startswith(RESTORING):
        notes.append(
            "The database that is replaced stays under a dated name until you drop it; it takes its room."
        )
    if not _refuse_without_room(beside, database, manifest, live):
        notes.append("Whether there is room for a second database on the server could not be asked.")
    return notes


def target_of(database: Database, beside: Session) -> Target:
    """Return which database is restored, whether or not it is there any more."""
    row = beside.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    assert row is not None
    address, here = database.address, database.environment
    return Target(row[0], address.database, address.schema, here.name, here.kind)


def elsewhere(manifest: Manifest, target: Target) -> str:
    """Return where a snapshot was taken, if that is another server or database."""
    of = manifest.target
    if (of.system_identifier, of.database) == (target.system_identifier, target.database):
        return ""
    return f"database {of.database} of server {of.system_identifier}"


def _refuse_another_database(manifest: Manifest, target: Target, from_elsewhere: bool) -> None:
    of = manifest.target
    for ours, theirs, what in (
        (f"{target.environment!r} ({target.kind})", f"{of.environment!r} ({of.kind})", "environment"),
        (repr(target.schema), repr(of.schema), "schema"),
    ):
        if ours != theirs:
            raise WrongEnvironment(
                f"The snapshot {manifest.snapshot} is of {what} {theirs}, this is {ours}.",
                "Restore it where it belongs.",
            )
    if (place := elsewhere(manifest, target)) and not from_elsewhere:
        raise WrongEnvironment(
            f"The snapshot {manifest.snapshot} was taken from {place}; this is database {target.database} of"
            f" server {target.system_identifier}.",
            "If the club has moved to another server since, add --from-elsewhere: the request will say so.",
        )


def _refuse_rights(beside: Session, database: Database, way: Way, live: Standing | None) -> None:
    name = database.address.database
    if way == "swap":
        if reason := may_not_replace(beside, live):
            raise Refused(
                f"{name} cannot be restored into a new database: {reason}.",
                "Restore it in place, in one transaction: --in-place.",
            )
    elif live is None:
        raise Refused(
            f"There is no database {name} to be restored in place.", "Restore it without --in-place."
        )
    else:
        with database.session() as connection:
            refuse_what_is_not_ours(connection)


def _refuse_extensions(
    beside: Session,
    database: Database,
    manifest: Manifest,
    settings: Settings,
    way: Way,
    live: Standing | None,
) -> None:
    """Refuse where this user may not make an extension that the snapshot needs: tried in an empty database."""
    name, there = database.address.database, set[str]()
    entries = entries_of(manifest.archive, settings.client_tools)
    needed = [match[1] for line in entries if (match := _EXTENSION.match(line))]
    if needed and live is not None:
        with database.session() as connection:
            there = {each for (each,) in connection.execute("SELECT extname FROM pg_extension")}
    needed = [each for each in needed if way == "swap" or each not in there]
    refused: dict[str, str] = {}
    with _place_to_try(beside, name, way, needed) as place:
        for each in needed:
            with database.at(place).session() as connection:
                try:
                    extension = sql.Identifier(each)
                    connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(extension))
                except psycopg.Error as error:
                    refused[each] = database.redacted(str(error))
                connection.rollback()
    if refused:
        names = ", ".join(refused)
        raise Refused(
            f"The extension {names}, which {manifest.snapshot} needs, cannot be made"
            f" {'in' if way == 'in place' else 'in a new database beside'} {name}: {min(refused.values())}.",
            f"It stands in {name} already: restore --in-place."
            if there.issuperset(refused)
            else f"Let a superuser CREATE EXTENSION {names} in {name}, then restore --in-place.",
        )


@contextmanager
def _place_to_try(beside: Session, live: str, way: Way, needed: list[str]) -> Iterator[str]:
    if way == "in place" or not needed:
        yield live
        return
    empty = name_beside(live, f"_try_{secrets.token_hex(3)}")
    create(beside, empty)
    try:
        yield empty
    finally:
        drop(beside, empty)


def _refuse_without_room(
    beside: Session, database: Database, manifest: Manifest, live: Standing | None
) -> bool:
    """Refuse when there is no room for a second copy, and for the log that is written with it; False where nobody can tell.

    Both ways of restoring need that much: also in place nothing of the old is freed before the commit.
    """
    row = beside.execute(_ROOM, {"live": live.oid if live else 0}).fetchone()
    here = database.address.on_this_machine
    if row is None or row[2] is None or not here or not Path(row[2]).is_dir():
        return False
    data, size = Path(row[2]), int(max(row[0], manifest.database_size or manifest.size * 4) * _MORE)
    needed: Counter[int] = Counter()
    free: dict[int, int] = {}
    for folder, size_there in ((Path(row[3] or data), size), (data / "pg_wal", min(size, row[1]))):
        known = data
        with suppress(OSError):  # what only the server's own user may look into
            folder.stat()
            known = folder
        disk = known.stat().st_dev
        needed[disk] += size_there
        free[disk] = shutil.disk_usage(known).free
    for disk, size_there in needed.items():
        if free[disk] < size_there:
            raise Refused(
                f"There is no room on the server for a second database: {free[disk] / 1e6:,.0f} MB are free,"
                f" {size_there / 1e6:,.0f} MB are needed, for it and the log that is written with it.",
                "Make room there first: a disk that is full can stop the whole server.",
            )
    return True
