"""``snapshot prune``: carry out what retention decided, on files of our own manifests only."""

from __future__ import annotations

from workbench.checkpoints.instant import administration, claim_clone, drop_clone
from workbench.checkpoints.manifest import Manifest, read_manifest
from workbench.checkpoints.parts import part_of
from workbench.database.connection import Database
from workbench.errors import Refused


def prune_snapshot(database: Database, found: Manifest) -> None:
    """Delete a snapshot: unlisted first, so that one that is listed is whole even if this is killed.

    Parameters
    ----------
    database : Database
        For a clone: a database on its server.
    found : Manifest
        As it was when it was decided about.

    Raises
    ------
    Refused
        When it has changed since, or somebody is at work on it, or a clone is on another server.
    """
    path = found.folder / f"{found.snapshot}.json"
    with part_of(found) as made:
        if read_manifest(path) != found:
            raise Refused(f"{found.snapshot} has changed since it was looked at.", "Look again.")
        if found.kind == "dump":
            made.take_back(found)
            return
        with administration(database) as connection:
            row = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
            if row != (found.timeline["system_identifier"],):
                raise Refused(
                    f"The clone {found.file} is on another server than {database.environment}.",
                    "Prune it from the environment it is of.",
                )
            claim_clone(made.place, found)
            made.take_back(found)
            drop_clone(connection, found.file)
