"""A dry run's artefacts deleted, once retention has let them go (guide §5.3)."""

from __future__ import annotations

import shutil

from workbench.errors import Refused, WorkbenchError
from workbench.migration.dry_runs.manifest import DryRun, read_dry_run


def prune_dry_run(run: DryRun) -> None:
    """Delete a dry run: unlisted first, so that one that is listed is whole even if this is killed.

    Raises
    ------
    Refused
        When it runs, or has changed since it was looked at.
    WorkbenchError
        When it cannot be deleted.
    """
    if run.state == "running" or read_dry_run(run.folder) != run:
        raise Refused(f"{run.name} runs, or has changed since it was looked at.", "Look again.")
    hidden = run.folder.with_name(f".{run.name}.pruned")
    try:
        run.folder.rename(hidden)
        shutil.rmtree(hidden)
    except OSError as error:
        raise WorkbenchError(
            f"{run.name} could not be deleted: {error.strerror}.", f"Delete {hidden} by hand."
        ) from None
