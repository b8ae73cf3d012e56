"""``snapshot prune``: carry out what retention decided, on files of our own manifests only."""

from __future__ import annotations

from workbench.checkpoints.manifest import Manifest, read_manifest
from workbench.checkpoints.parts import part_of
from workbench.errors import Refused


def prune_snapshot(found: Manifest) -> None:
    """Delete a snapshot: unlisted first, so that one that is listed is whole even if this is killed.

    Parameters
    ----------
    found : Manifest
        As it was when it was decided about.

    Raises
    ------
    Refused
        When it has changed since, or somebody is at work on it.
    """
    path = found.folder / f"{found.snapshot}.json"
    with part_of(found) as made:
        if read_manifest(path) != found:
            raise Refused(f"{found.snapshot} has changed since it was looked at.", "Look again.")
        made.take_back(found)
