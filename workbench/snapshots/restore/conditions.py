"""Whether a snapshot can be restored over a database, and this way: asked before anything is touched."""

from __future__ import annotations

import shutil
from pathlib import Path

from workbench.database.archives import Listing, read_listing
from workbench.database.connection import Database, Session
from workbench.database.databases import Standing, cannot_replace
from workbench.database.exclusion import RESTORING
from workbench.database.programs import program_for
from workbench.documents import Target
from workbench.errors import Refused, WrongEnvironment
from workbench.session import Session as Workbench
from workbench.snapshots.archive import refuse_damaged, refuse_older_server
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.request import Way
from workbench.snapshots.restore.steps import refuse_what_is_not_ours
from workbench.snapshots.restore.swapping import refuse_prepared

_MORE = 1.1  # room than the database's size

_ROOM = """
    SELECT coalesce((SELECT pg_database_size(oid) FROM pg_database WHERE oid = %s), 0),
        pg_size_bytes(current_setting('max_wal_size')),
        CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END
"""

# The extensions that this user may make in a database of their own.
_EXTENSIONS = """
    SELECT name FROM pg_available_extensions e JOIN pg_available_extension_versions v USING (name)
    WHERE v.version = e.default_version
    AND (v.trusted OR NOT v.superuser OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
"""


def examine(
    wb: Workbench,
    beside: Session,
    manifest: Manifest,
    target: Target,
    way: Way,
    live: Standing | None,
    from_elsewhere: bool,
) -> list[str]:
    """Refuse what cannot be restored, or not this way; return what whoever approves should know.

    Parameters
    ----------
    beside : psycopg.Connection
        A session at another database of the server.
    target : Target
        Which database is to be restored.
    live : Standing or None
        As it stands; None where it is not there any more.
    from_elsewhere : bool
        Whether a snapshot of another server or database will do.
    """
    database, tools = wb.database, wb.settings.client_tools
    refuse_prepared(beside, [target.database])
    _refuse_another_database(manifest, target, from_elsewhere)
    refuse_damaged(manifest)
    remedy = "Restore it on a server of at least that version."
    refuse_older_server(manifest.snapshot, manifest.server_version, beside, database, remedy)
    if live is not None:  # for the safety backup
        version = beside.info.parameter_status("server_version") or ""
        program_for("pg_dump", version, tools, database.address.parameters())
    place = database.at(beside.info.dbname).address.parameters() if way == "swap" else None
    listing = read_listing(manifest.archive, tools, place)
    extensions = _refuse_rights(beside, database, way, live)
    _refuse_extensions(beside, listing, target, way, extensions)
    notes = []
    if not manifest.verified:
        notes.append("This snapshot was never proved by restoring; it will be before it replaces anything.")
    if live is None:
        notes.append("There is no database of this name any more: what was in it is lost already.")
    elif way == "swap" and not live.comment.startswith(RESTORING):
        notes.append("The replaced database stays under a dated name until you drop it; it takes its room.")
    if not _refuse_without_room(beside, database, manifest, live):
        notes.append("Whether there is room for a second database on the server could not be asked.")
    return notes


def elsewhere(manifest: Manifest, target: Target) -> str:
    """Return where a snapshot was taken, if that is another server or database."""
    source = manifest.target
    if (source.system_identifier, source.database) == (target.system_identifier, target.database):
        return ""
    return f"database {source.database} of server {source.system_identifier}"


def _refuse_another_database(manifest: Manifest, target: Target, from_elsewhere: bool) -> None:
    for name in ("environment", "kind", "schema"):
        if (theirs := getattr(manifest.target, name)) != (ours := getattr(target, name)):
            raise WrongEnvironment(
                f"The snapshot {manifest.snapshot} is of {name} {theirs!r}, this is {ours!r}.",
                "Restore it where it belongs.",
            )
    if (place := elsewhere(manifest, target)) and not from_elsewhere:
        raise WrongEnvironment(
            f"The snapshot {manifest.snapshot} was taken from {place}; this is database {target.database} of"
            f" server {target.system_identifier}.",
            "If the club has moved to another server since, add --from-elsewhere: the request will say so.",
        )


def _refuse_rights(beside: Session, database: Database, way: Way, live: Standing | None) -> set[str]:
    """Refuse who may not restore this way; return the extensions of the live database."""
    name = database.address.database
    if way == "swap" and (reason := cannot_replace(beside, live)):
        raise Refused(
            f"{name} cannot be restored into a new database: {reason}.",
            "Restore it in place, in one transaction: --in-place.",
        )
    if live is None:
        if way == "in place":
            raise Refused(
                f"There is no database {name} to be restored in place.", "Restore it without --in-place."
            )
        return set()
    with database.session() as connection:
        if way == "in place":
            refuse_what_is_not_ours(connection)
        return {extension for (extension,) in connection.execute("SELECT extname FROM pg_extension")}


def _refuse_extensions(beside: Session, listing: Listing, target: Target, way: Way, there: set[str]) -> None:
    """Refuse where this user may not make an extension that the snapshot needs."""
    needed = {entry.split("EXTENSION - ")[1].split()[0] for entry in listing.of("EXTENSION")}
    needed -= there if way == "in place" else set()
    if lacking := needed.difference(name for (name,) in beside.execute(_EXTENSIONS)):
        names = ", ".join(sorted(lacking))
        remedy = f"Let a superuser CREATE EXTENSION {names} in {target.database}, then restore --in-place."
        if lacking <= there:
            remedy = f"It stands in {target.database} already: restore --in-place."
        raise Refused(
            f"This user cannot make the extension {names}, which {listing.path.stem} needs.", remedy
        )


def _refuse_without_room(
    beside: Session, database: Database, manifest: Manifest, live: Standing | None
) -> bool:
    """Refuse when there is no room for a second copy, and for the log that is written with it; False where nobody can tell.

    Both ways of restoring need that much: also in place nothing of the old is freed before the commit.
    """
    [(size, log, folder)] = beside.execute(_ROOM, [live.oid if live else 0])
    if folder is None or not database.address.on_this_machine or not Path(folder).is_dir():
        return False
    size = max(size, manifest.database_size) * _MORE
    needed, free = size + min(size, log), shutil.disk_usage(folder).free
    if free < needed:
        raise Refused(
            f"There is no room on the server for a second database and the log that is written with it: {free / 1e6:,.0f} MB"
            f" are free, {needed / 1e6:,.0f} MB are needed.",
            "Make room there first: a disk that is full can stop the whole server.",
        )
    return True
