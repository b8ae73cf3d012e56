"""Ask for a restore: look at the snapshot, the server and the live database, and write down what would be done."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from workbench.checkpoints.archive import digest_of
from workbench.checkpoints.manifest import Manifest
from workbench.checkpoints.restore.cluster import Cluster, Session, Standing, name_beside
from workbench.checkpoints.restore.in_place import refuse_what_is_not_ours
from workbench.checkpoints.restore.request import (
    Counted,
    Replaced,
    Request,
    RequestHeader,
    Source,
    Way,
    write_request,
)
from workbench.checkpoints.restore.room import refuse_without_room
from workbench.checkpoints.restore.swap import refuse_prepared
from workbench.database.exclusion import RESTORING
from workbench.database.programs import entries_of, program_for, read_list
from workbench.documents import Target
from workbench.errors import Drift, Refused, SnapshotError, WrongEnvironment

_EXTENSION = re.compile(r"\d+; \d+ \d+ EXTENSION - (\S+) ")

_DOUBTFUL = """
    SELECT name FROM unnest(%s::text[]) AS s(name) WHERE NOT EXISTS (
        SELECT FROM pg_available_extensions a JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
        WHERE a.name = s.name AND (v.trusted OR NOT v.superuser
            OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)))
"""


@dataclass(frozen=True)
class Wish:
    """What was asked for.

    Attributes
    ----------
    in_place : bool
        Whether to replace the contents instead of the database.
    keep_sync_state : bool
        Whether the sync state stays as the snapshot has it.
    elsewhere : bool
        Whether a snapshot of another server or database will do.
    """

    in_place: bool = False
    keep_sync_state: bool = False
    elsewhere: bool = False


@dataclass(frozen=True)
class Seen:
    """What was seen of the live database, and what a restore would take away from it.

    Attributes
    ----------
    tables : mapping
        Table to rows and digest; empty where there is no such database.
    losses : tuple of dict
        A row each.
    notes : tuple of str
        What could not be told.
    """

    tables: Counted
    losses: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


def target_of(cluster: Cluster, beside: Session) -> Target:
    """Return which database is restored, whether or not it is there any more."""
    here = cluster.database.environment
    return Target(
        *(cluster.system_identifier(beside), cluster.live, cluster.database.address.schema),
        *(here.name, here.kind),
    )


def ask_for_restore(
    cluster: Cluster,
    beside: Session,
    manifest: Manifest,
    wish: Wish,
    look: Callable[[], Seen],
    *,
    planned_by: str,
    folder: Path,
) -> Request:
    """Write the request to restore a snapshot; nothing else.

    Parameters
    ----------
    look : callable
        Looks at the live database; asked only once nothing else speaks against it.

    Raises
    ------
    SnapshotError
        When the archive is not what its manifest says, or needs a newer server.
    WrongEnvironment
        When it is another database's.
    Refused
        When this user may not do it this way, or there is no room.
    """
    refuse_prepared(beside, [cluster.live])
    target = target_of(cluster, beside)
    live = cluster.standing(beside).get(cluster.live)
    way: Way = "in place" if wish.in_place else "swap"
    elsewhere = refuse_another_database(manifest, target, allowed=wish.elsewhere)
    refuse_damage(manifest)
    refuse_an_older_server(manifest, cluster, beside)
    refuse_what_may_not_be(cluster, beside, manifest, way, live)
    seen = look()
    notes = [*seen.notes, *_worth_knowing(manifest, way, live)]
    notes += filter(None, [refuse_without_room(cluster, beside, live, manifest)])
    source = Source(
        *(manifest.snapshot, str(manifest.archive.resolve()), "dump", manifest.facts_digest, manifest.sha256),
        *(manifest.created_at.isoformat(), _verified(manifest), elsewhere),
    )
    draft = Request(
        *(folder, "", RequestHeader(target, planned_by), way, source),
        Replaced(live is not None, live.oid if live else 0, seen.tables),
        *(seen.losses, tuple(notes), wish.keep_sync_state),
    )
    return write_request(folder, draft)


def examine(cluster: Cluster, beside: Session, request: Request, manifest: Manifest) -> None:
    """Refuse what has become impossible since the request was made, before anything is touched."""
    if manifest.facts_digest != request.source.manifest:
        raise SnapshotError(
            f"The manifest of {manifest.snapshot} is another than when the restore was asked for.",
            "Ask for the restore anew.",
        )
    live = cluster.standing(beside).get(cluster.live)
    if (live.oid if live else 0) != request.replaced.oid:
        raise Drift(
            f"{cluster.live} is not the database that it was when the restore was asked for.",
            "Ask for the restore anew.",
        )
    refuse_damage(manifest)
    refuse_an_older_server(manifest, cluster, beside)
    refuse_what_may_not_be(cluster, beside, manifest, request.way, live)
    refuse_prepared(beside, [cluster.live])
    refuse_without_room(cluster, beside, live, manifest)


def coarse_losses(was: Counted, now: Counted) -> list[dict[str, Any]]:
    """Tell table by table what is not as the snapshot has it: all of that goes, whoever did it."""
    found = []
    for table in sorted({*was, *now}):
        before, after = was.get(table), now.get(table)
        if before is not None and after is not None:
            told = before[1] is not None and after[1] is not None
            if before[0] == after[0] and (not told or before[1] == after[1]):
                continue
        rows = [None if each is None else each[0] for each in (before, after)]
        found.append({"table": table, "rows in the snapshot": rows[0], "rows now": rows[1]})
    return found


def ask_to_swap_back(
    cluster: Cluster, beside: Session, done: Mapping[str, Any], *, planned_by: str, folder: Path
) -> Request:
    """Write the request to put the database back that an earlier restore kept.

    Parameters
    ----------
    done : mapping
        ``kept``, ``request`` and ``safety`` of that restore.

    Raises
    ------
    Refused
        When it is not there any more, or this user may not rename.
    """
    standing = cluster.standing(beside)
    live, kept = standing.get(cluster.live), standing.get(str(done["kept"]))
    if live is None or kept is None:
        raise Refused(
            f"The database {done['kept']}, as {cluster.live} was before {done['request']}, is not there any more.",
            f"Its safety backup is {done['safety']}: restore that."
            if done.get("safety")
            else "No safety backup of it is known.",
        )
    if reason := cluster.may_rename(beside, live):
        raise Refused(
            f"The databases cannot be renamed: {reason}.", "Ask somebody who may. Nothing was changed."
        )
    source = Source(str(done["request"]), kept.name, "kept", "", "", "", f"kept by {done['request']}")
    draft = Request(
        *(folder, "", RequestHeader(target_of(cluster, beside), planned_by), "swap back", source),
        Replaced(True, live.oid),
        notes=(
            f"What was written to {cluster.live} since the restore stays in the database that is put aside;"
            " nothing is deleted.",
        ),
        keep_sync_state=True,
        kept=kept.name,
    )
    return write_request(folder, draft)


def refuse_another_database(manifest: Manifest, target: Target, *, allowed: bool) -> str:
    """Refuse a snapshot of another database; return where it was taken, if that is elsewhere and allowed."""
    of = manifest.target
    place = f"database {of.database} of server {of.system_identifier}"
    kind = of.environment, of.kind
    if kind != (target.environment, target.kind):
        raise WrongEnvironment(
            f"The snapshot {manifest.snapshot} is of environment {kind[0]!r} ({kind[1]}), this is"
            f" {target.environment!r} ({target.kind}).",
            "Restore it where it belongs.",
        )
    if manifest.target.schema != target.schema:
        raise WrongEnvironment(
            f"The snapshot {manifest.snapshot} is of the schema {manifest.target.schema!r}, the environment's is"
            f" {target.schema!r}.",
            "Restore it where it belongs.",
        )
    if (of.system_identifier, of.database) == (target.system_identifier, target.database):
        return ""
    if not allowed:
        raise WrongEnvironment(
            f"The snapshot {manifest.snapshot} was taken from {place}; this is database {target.database} of"
            f" server {target.system_identifier}.",
            "If the club has moved to another server since, add --from-elsewhere: the request will say so.",
        )
    return place


def refuse_damage(manifest: Manifest) -> None:
    """Refuse an archive that is not the one that the manifest speaks of."""
    path = manifest.archive
    if not path.exists():
        raise SnapshotError(
            f"The archive {path} of the snapshot {manifest.snapshot} is not there.", "Copy it there anew."
        )
    try:
        found = digest_of(path)
    except OSError as error:
        raise SnapshotError(
            f"The archive {path} cannot be read: {error.strerror}.", "Copy it there anew."
        ) from None
    if found != manifest.sha256:
        raise SnapshotError(
            f"The archive {path} is not what its manifest says: its SHA-256 is {found}, not {manifest.sha256}.",
            "It was damaged or replaced since it was made. Use another snapshot, or copy this one anew.",
        )


def refuse_an_older_server(manifest: Manifest, cluster: Cluster, beside: Session) -> None:
    """Refuse a server older than the one that the snapshot was taken from."""
    theirs, ours = int(manifest.server_version.split(".")[0]), cluster.server_version(beside)
    if theirs > ours:
        raise SnapshotError(
            f"The snapshot {manifest.snapshot} was taken from PostgreSQL {manifest.server_version}; the server of"
            f" {cluster.database.environment} is of version {ours}.",
            "Restore it on a server of at least that version.",
        )


def refuse_what_may_not_be(
    cluster: Cluster, beside: Session, manifest: Manifest, way: Way, live: Standing | None
) -> None:
    """Refuse a way of restoring that this user may not, or cannot, take, or that no program here carries out."""
    if live is not None:
        version = beside.info.parameter_status("server_version") or ""
        program_for("pg_dump", version, cluster.tools, cluster.parameters(live.name))  # the safety backup's
    to = cluster.parameters(beside.info.dbname) if way == "swap" else None
    read_list(manifest.archive, cluster.tools, to)
    if way == "swap":
        if reason := cluster.may_rename(beside, live):
            raise Refused(
                f"{cluster.live} cannot be restored into a new database: {reason}.",
                "Restore it in place, in one transaction: --in-place.",
            )
        _refuse_extensions(cluster, beside, manifest, live)
        return
    if live is None:
        raise Refused(
            f"There is no database {cluster.live} to be restored in place.", "Restore it without --in-place."
        )
    with cluster.connect(cluster.live) as connection:
        refuse_what_is_not_ours(connection)
    _refuse_extensions(cluster, beside, manifest, live, in_place=True)


def _refuse_extensions(
    cluster: Cluster, beside: Session, manifest: Manifest, live: Standing | None, *, in_place: bool = False
) -> None:
    """Refuse where this user may not make an extension that the snapshot needs, or the server has none of that name.

    What the server's catalogue leaves in doubt, for a hosted server may allow more, is tried in an empty database.
    """
    needed = [
        match[1] for line in entries_of(manifest.archive, cluster.tools) if (match := _EXTENSION.match(line))
    ]
    there: set[str] = set()
    if live is not None:
        with cluster.connect(cluster.live) as connection:
            there = {name for (name,) in connection.execute("SELECT extname FROM pg_extension")}
    needed = [each for each in needed if not (in_place and each in there)]
    doubtful = [name for (name,) in beside.execute(_DOUBTFUL, [needed])]
    if not doubtful:
        return
    refused: dict[str, str] = {}
    empty = cluster.live if in_place else name_beside(cluster.live, f"_try_{secrets.token_hex(3)}")
    if not in_place:
        beside.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(empty)))
    try:
        with cluster.connect(empty) as connection:
            for each in doubtful:
                try:
                    connection.execute(
                        sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(sql.Identifier(each))
                    )
                except psycopg.Error as error:
                    refused[each] = cluster.redacted(error)
                connection.rollback()
    finally:
        if not in_place:
            cluster.drop(beside, empty)
    if refused:
        names = ", ".join(refused)
        raise Refused(
            f"The extension {names}, which {manifest.snapshot} needs, cannot be made"
            f" {'in' if in_place else 'in a new database beside'} {cluster.live}: {min(refused.values())}.",
            f"It stands in {cluster.live} already: restore --in-place."
            if there.issuperset(refused)
            else f"Let a superuser CREATE EXTENSION {names} in {cluster.live}, then restore --in-place.",
        )


def _verified(manifest: Manifest) -> str:
    if not manifest.verifications:
        return "never verified"
    last = manifest.verifications[-1]
    return f"{last.outcome} at {last.at} by {last.by} ({last.detail})"


def _worth_knowing(manifest: Manifest, way: Way, live: Standing | None) -> list[str]:
    found = []
    if not manifest.verified:
        found.append(
            "This snapshot was never proved by restoring it; it will be before it replaces anything."
        )
    if live is None:
        found.append("There is no database of this name any more: nothing is replaced.")
    if way == "swap" and live is not None and not live.comment.startswith(RESTORING):
        found.append(
            "The database that is replaced stays under a dated name until you drop it; it takes its room."
        )
    return found
