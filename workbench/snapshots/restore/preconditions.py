"""What has to hold before a restore: looked at when it is asked for, and again, by the same list, when it is carried out."""

from __future__ import annotations

import re
import secrets
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from workbench.database.connection import Database, Session
from workbench.database.databases import Standing, create, drop, may_not_replace, name_beside, standing
from workbench.database.exclusion import RESTORING, is_half_made
from workbench.database.programs import entries_of, program_for, read_list
from workbench.documents import Approval, Target
from workbench.errors import Drift, Refused, SnapshotError, WrongEnvironment
from workbench.settings import Settings
from workbench.snapshots.archive import digest_of
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.in_place import refuse_what_is_not_ours
from workbench.snapshots.restore.request import (
    ABANDONED,
    DONE,
    UNDER_WAY,
    Record,
    Request,
    Way,
    record_of,
    records_in,
)
from workbench.snapshots.restore.swap import refuse_prepared

_MORE = 1.1  # room than the database's size

_EXTENSION = re.compile(r"\d+; \d+ \d+ EXTENSION - (\S+) ")

_DOUBTFUL = """
    SELECT name FROM unnest(%s::text[]) AS s(name) WHERE NOT EXISTS (
        SELECT FROM pg_available_extensions a JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
        WHERE a.name = s.name AND (v.trusted OR NOT v.superuser
            OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)))
"""

_ROOM = """
    SELECT coalesce((SELECT pg_database_size(oid) FROM pg_database WHERE oid = %(live)s), 0),
        pg_size_bytes(current_setting('max_wal_size')),
        CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END,
        pg_tablespace_location(dattablespace)
    FROM pg_database WHERE oid = %(live)s OR (%(live)s = 0 AND datname = 'template0')
"""


@dataclass(frozen=True)
class Restoration:
    """A restore that is asked for, or about to begin: what the preconditions look at.

    Attributes
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

    beside: Session
    database: Database
    settings: Settings
    manifest: Manifest
    way: Way
    live: Standing | None
    from_elsewhere: bool

    @property
    def name(self) -> str:
        """The name that the application knows."""
        return self.database.address.database


def target_of(database: Database, beside: Session) -> Target:
    """Return which database is restored, whether or not it is there any more."""
    row = beside.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    assert row is not None
    address, here = database.address, database.environment
    return Target(row[0], address.database, address.schema, here.name, here.kind)


def examine(restoration: Restoration) -> list[str]:
    """Refuse what cannot be restored, or not this way; return what whoever approves should know."""
    return [note for precondition in PRECONDITIONS for note in [precondition(restoration)] if note]


def examine_again(
    database: Database, settings: Settings, beside: Session, request: Request, manifest: Manifest
) -> None:
    """Refuse what has become impossible since a request was made, before anything is touched."""
    if manifest.facts_digest != request.manifest:
        raise SnapshotError(
            f"The manifest of {manifest.snapshot} is another than when the restore was asked for.",
            request.remedy,
        )
    live = standing(beside).get(request.target.database)
    if (live.oid if live else 0) != request.oid:
        raise Drift(
            f"{request.target.database} is not the database that it was when the restore was asked for.",
            request.remedy,
        )
    elsewhere = bool(request.elsewhere)
    examine(Restoration(beside, database, settings, manifest, request.way, live, elsewhere))


def elsewhere(manifest: Manifest, target: Target) -> str:
    """Return where a snapshot was taken, if that is another server or database."""
    of = manifest.target
    if (of.system_identifier, of.database) == (target.system_identifier, target.database):
        return ""
    return f"database {of.database} of server {of.system_identifier}"


def _prepared(restoration: Restoration) -> None:
    refuse_prepared(restoration.beside, [restoration.name])


def _another_database(restoration: Restoration) -> None:
    manifest, target = restoration.manifest, target_of(restoration.database, restoration.beside)
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
    if (place := elsewhere(manifest, target)) and not restoration.from_elsewhere:
        raise WrongEnvironment(
            f"The snapshot {manifest.snapshot} was taken from {place}; this is database {target.database} of"
            f" server {target.system_identifier}.",
            "If the club has moved to another server since, add --from-elsewhere: the request will say so.",
        )


def _damage(restoration: Restoration) -> None:
    manifest, path = restoration.manifest, restoration.manifest.archive
    anew = "Use another snapshot, or copy this one anew from where it was made."
    if not path.exists():
        raise SnapshotError(f"The archive {path} of {manifest.snapshot} is not there.", anew)
    try:
        digest = digest_of(path)
    except OSError as error:
        raise SnapshotError(f"The archive {path} cannot be read: {error.strerror}.", anew) from None
    if digest != manifest.sha256:
        raise SnapshotError(
            f"The archive {path} is not what its manifest says: its SHA-256 is {digest}, not {manifest.sha256}.",
            anew,
        )


def _older_server(restoration: Restoration) -> None:
    manifest, ours = restoration.manifest, restoration.beside.info.server_version // 10000
    if int(manifest.server_version.split(".")[0]) > ours:
        raise SnapshotError(
            f"The snapshot {manifest.snapshot} was taken from PostgreSQL {manifest.server_version}; the server of"
            f" {restoration.database.environment} is of version {ours}.",
            "Restore it on a server of at least that version.",
        )


def _programs(restoration: Restoration) -> None:
    tools, beside = restoration.settings.client_tools, restoration.beside
    if restoration.live is not None:  # for the safety backup
        version = beside.info.parameter_status("server_version") or ""
        program_for("pg_dump", version, tools, restoration.database.address.parameters())
    beside_it = restoration.database.at(beside.info.dbname).address.parameters()
    read_list(restoration.manifest.archive, tools, beside_it if restoration.way == "swap" else None)


def _rights(restoration: Restoration) -> None:
    name, live = restoration.name, restoration.live
    if restoration.way == "swap":
        if reason := may_not_replace(restoration.beside, live):
            raise Refused(
                f"{name} cannot be restored into a new database: {reason}.",
                "Restore it in place, in one transaction: --in-place.",
            )
    elif live is None:
        raise Refused(
            f"There is no database {name} to be restored in place.", "Restore it without --in-place."
        )
    else:
        with restoration.database.session() as connection:
            refuse_what_is_not_ours(connection)


def _extensions(restoration: Restoration) -> None:
    """Refuse where this user may not make an extension that the snapshot needs, or the server has none of that name.

    What the server's catalogue leaves in doubt, for a hosted server may allow more, is tried in an empty database.
    """
    beside, manifest, in_place = restoration.beside, restoration.manifest, restoration.way == "in place"
    there: set[str] = set()
    if restoration.live is not None:
        with restoration.database.session() as connection:
            there = {name for (name,) in connection.execute("SELECT extname FROM pg_extension")}
    entries = entries_of(manifest.archive, restoration.settings.client_tools)
    needed = [match[1] for line in entries if (match := _EXTENSION.match(line))]
    needed = [each for each in needed if not (in_place and each in there)]
    doubtful = [name for (name,) in beside.execute(_DOUBTFUL, [needed])]
    if not doubtful:
        return
    empty = restoration.name if in_place else name_beside(restoration.name, f"_try_{secrets.token_hex(3)}")
    refused: dict[str, str] = {}
    if not in_place:
        create(beside, empty)
    try:
        with restoration.database.at(empty).session() as connection:
            for each in doubtful:
                try:
                    extension = sql.Identifier(each)
                    connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(extension))
                except psycopg.Error as error:
                    refused[each] = restoration.database.redacted(str(error))
                connection.rollback()
    finally:
        if not in_place:
            drop(beside, empty)
    if refused:
        names = ", ".join(refused)
        raise Refused(
            f"The extension {names}, which {manifest.snapshot} needs, cannot be made"
            f" {'in' if in_place else 'in a new database beside'} {restoration.name}: {min(refused.values())}.",
            f"It stands in {restoration.name} already: restore --in-place."
            if there.issuperset(refused)
            else f"Let a superuser CREATE EXTENSION {names} in {restoration.name}, then restore --in-place.",
        )


def _room(restoration: Restoration) -> str:
    """Refuse when there is no room for a second copy, and for the log that is written with it; a note where nobody can tell.

    Both ways of restoring need that much: also in place nothing of the old is freed before the commit.
    """
    live, manifest = restoration.live, restoration.manifest
    row = restoration.beside.execute(_ROOM, {"live": live.oid if live else 0}).fetchone()
    here = restoration.database.address.on_this_machine
    if row is None or row[2] is None or not here or not Path(row[2]).is_dir():
        return "Whether there is room for a second database on the server could not be asked."
    data, size = Path(row[2]), int(max(row[0], manifest.database_size or manifest.size * 4) * _MORE)
    needed: dict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    for folder, bytes_ in ((Path(row[3] or data), size), (data / "pg_wal", min(size, row[1]))):
        disk, known = next(_seen(folder, data))
        needed[disk] += bytes_
        folders.setdefault(disk, known)
    for disk, bytes_ in needed.items():
        if (free := shutil.disk_usage(folders[disk]).free) < bytes_:
            raise Refused(
                f"There is no room on the server for a second database: {free / 1e6:,.0f} MB are free,"
                f" {bytes_ / 1e6:,.0f} MB are needed, for it and the log that is written with it.",
                "Make room there first: a disk that is full can stop the whole server.",
            )
    return ""


def _seen(*folders: Path) -> Iterator[tuple[int, Path]]:
    """Yield the disks of folders; what only the server's own user may look into is passed over."""
    for each in folders:
        try:
            yield each.stat().st_dev, each
        except OSError:
            continue


def _never_proved(restoration: Restoration) -> str:
    if restoration.manifest.verified:
        return ""
    return "This snapshot was never proved by restoring it; it will be before it replaces anything."


def _what_stays(restoration: Restoration) -> str:
    if restoration.live is None:
        return "There is no database of this name any more: nothing is replaced."
    if restoration.way == "in place" or restoration.live.comment.startswith(RESTORING):
        return ""
    return "The database that is replaced stays under a dated name until you drop it; it takes its room."


PRECONDITIONS: tuple[Callable[[Restoration], str | None], ...] = (
    _prepared,
    _another_database,
    _damage,
    _older_server,
    _programs,
    _rights,
    _extensions,
    _never_proved,
    _what_stays,
    _room,
)
"""Each refuses, or returns a note for whoever approves."""


def refuse_interrupted(settings: Settings, database: Database) -> None:
    """Refuse while a restore of this database, begun in this home, is neither done nor given up."""
    here = database.environment.name, database.address.database
    for record in records_in(settings):
        if record.outcome == UNDER_WAY and (record.environment, record.live) == here:
            last = f"its step '{record.done[-1]}'" if record.done else "it began"
            raise Refused(
                f"The restore {record.request} of {record.live}, begun by {record.operator} at"
                f" {record.facts['begun']}, was interrupted after {last}.",
                "`workbench snapshot restore --resume` goes on with it, --abandon gives it up.",
            )


def refuse_once_more(request: Request, approval: Approval) -> Record | None:
    """Refuse a request that was carried out, or an approval that was used; return the record of a failed attempt."""
    if (before := record_of(request)) is None:
        return None
    if before.outcome == DONE:
        raise Refused(
            f"The request {request.id} was carried out by {before.operator} at"
            f" {before.facts.get('settled', {}).get('restore_time', 'a moment not noted')}.",
            f"Nothing is restored twice by one request. {request.remedy}",
        )
    if before.approval == approval.number:
        ended = "was given up" if before.outcome == ABANDONED else "failed"
        raise Refused(
            f"The approval of {request.id} was used before; that restore {ended}.", "Approve it again."
        )
    return before


def refuse_traces(beside: Session, live: str) -> None:
    """Refuse while what another home's interrupted restore made still stands."""
    for name, each in standing(beside).items():
        if is_half_made(each.comment, live):
            raise Refused(
                f"The database {name} is what an interrupted restore of {live} left: {each.comment}.",
                "Resume or abandon it where it was begun; or drop that database yourself.",
            )
