"""Ask for a restore: look at the snapshot, the server and the live database, and write down what would be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.database.connection import Database
from workbench.database.databases import connect_beside, may_not_replace, standing
from workbench.errors import Refused
from workbench.settings import Settings
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.preconditions import Restoration, elsewhere, examine, target_of
from workbench.snapshots.restore.request import (
    DONE,
    UNDER_WAY,
    Record,
    Request,
    Tables,
    Way,
    records_in,
    requests_in,
    sorted_rows,
)
from workbench.snapshots.restore.tables import tables_in

Losses = Callable[[Tables], tuple[list[dict[str, Any]], list[str]]]
"""Given what is in the live database, returns a row for everything that a restore would lose, and what could not be told."""


def ask_for_restore(
    database: Database,
    settings: Settings,
    manifest: Manifest,
    losses: Losses,
    *,
    way: Way,
    from_elsewhere: bool,
    keep_sync_state: bool,
) -> Request:
    """Write the request to restore a snapshot; nothing else.

    Parameters
    ----------
    losses : callable
        Asked only once nothing else speaks against it.

    Raises
    ------
    SnapshotError
        When the archive is not what its manifest says, or needs a newer server.
    WrongEnvironment
        When it is another database's.
    Refused
        When this user may not do it this way, or there is no room.
    """
    with connect_beside(database, "A restore") as beside:
        live = standing(beside).get(database.address.database)
        notes = examine(Restoration(beside, database, settings, manifest, way, live, from_elsewhere))
        tables: Tables = {}
        lost: list[dict[str, Any]] = []
        more = ["What was in it is lost already."]
        if live is not None:
            with database.session() as connection:
                tables = tables_in(connection, database.address.schema)
            lost, more = losses(tables)
        target, verified = target_of(database, beside), "never verified"
        if manifest.verifications:
            last = manifest.verifications[-1]
            verified = f"{last.outcome} at {last.at} by {last.by} ({last.detail})"
        request = Request(
            target=target,
            planned_by=settings.operator,
            way=way,
            snapshot=manifest.snapshot,
            file=str(manifest.archive.resolve()),
            oid=live.oid if live else 0,
            sha256=manifest.sha256,
            created_at=manifest.created_at.isoformat(),
            manifest=manifest.facts_digest,
            verified=verified,
            elsewhere=elsewhere(manifest, target),
            tables=tables,
            losses=sorted_rows(lost),
            notes=(*more, *notes),
            keep_sync_state=keep_sync_state,
        )
    return requests_in(settings).write(request)


def ask_to_swap_back(database: Database, settings: Settings, name: str | None = None) -> Request:
    """Write the request to put the database back that an earlier restore kept: the last one, or that of a name.

    Raises
    ------
    Refused
        When there is none, it is not there any more, or this user may not rename.
    """
    last = _last_that_kept(settings, database.environment.name, name)
    with connect_beside(database, "A restore") as beside:
        there = standing(beside)
        live, kept = there.get(database.address.database), there.get(str(last.facts["kept"]))
        if live is None or kept is None:
            backup = last.facts.get("safety")
            raise Refused(
                f"The database {last.facts['kept']}, as {database.address.database} was before {last.request}, is not"
                " there any more.",
                f"Its safety backup is {backup}: restore that."
                if backup
                else "No safety backup of it is known.",
            )
        if reason := may_not_replace(beside, live):
            raise Refused(
                f"The databases cannot be renamed: {reason}.", "Ask somebody who may. Nothing was changed."
            )
        request = Request(
            target=target_of(database, beside),
            planned_by=settings.operator,
            way="swap back",
            snapshot=last.request,
            file=kept.name,
            oid=live.oid,
            verified=f"kept by {last.request}",
            notes=(
                f"What was written to {live.name} since the restore stays in the database that is put aside; nothing is"
                " deleted.",
            ),
            keep_sync_state=True,
        )
    return requests_in(settings).write(request)


def _last_that_kept(settings: Settings, environment: str, name: str | None) -> Record:
    records = [each for each in records_in(settings) if each.environment == environment]
    for each in records:
        if each.outcome == UNDER_WAY and (each.swapped or each.facts.get("new_oid")):
            raise Refused(
                f"The restore {each.request} is not finished; what it keeps is not known before it is.",
                "`workbench snapshot restore --resume` finishes it; then ask again.",
            )
    kept = [
        each
        for each in records
        if each.outcome == DONE and each.facts.get("kept") and name in (None, each.request)
    ]
    if not kept:
        raise Refused(
            f"No restore of {environment} is known here that kept a database.",
            "`workbench snapshot restore` restores a snapshot instead.",
        )
    return max(kept, key=lambda each: str(each.facts.get("ended", "")))
