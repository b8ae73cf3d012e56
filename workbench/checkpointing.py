"""An environment's snapshots: taken, listed, proved by restoring, pruned (guide §2.1, §5.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pandas as pd

from workbench.audit import record
from workbench.checkpoints import manifest
from workbench.checkpoints.manifest import Manifest
from workbench.checkpoints.parts import clear_left_over
from workbench.checkpoints.snapshot import Wish, create_snapshot
from workbench.checkpoints.source import Source
from workbench.errors import NotLogged
from workbench.session import Session

Advance = Callable[[str, int, int], None]


class Checkpointing(Session):
    """What is done before a migration, and listed afterwards."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.said: list[str] = []
        """What an act had to say besides its answer: leftovers cleared away, entries that were not logged."""

    def create_snapshot(
        self,
        *,
        format: str | None = None,
        jobs: int | None = None,
        compression: str | None = None,
        precedes: str | None = None,
        reason: str | None = None,
        advance: Advance = lambda what, done, total: None,
    ) -> Manifest:
        """Take a snapshot; see `workbench.checkpoints.snapshot.create_snapshot`."""
        self.said += clear_left_over(self.settings.backups)
        wish = Wish(self.settings.operator, format, jobs, compression, precedes, reason)
        target = asdict(self.target)
        made = create_snapshot(
            Source(self.database),
            self.schema,
            target,
            self.settings.backups,
            wish,
            self.settings.client_tools,
            advance,
        )
        self._log(
            "created",
            made,
            {"size": made.size, "rows": made.rows, "precedes": made.precedes, "reason": made.reason},
        )
        return made

    def snapshots(self) -> list[Manifest]:
        """List the environment's snapshots, oldest first."""
        folder = self.settings.backups
        self.said += clear_left_over(folder)
        self.said += [str(each) for each in manifest.unreadable(folder)]
        return manifest.list_snapshots(folder, self.environment.name)

    def snapshot(self, name: str) -> Manifest:
        """Return one snapshot: by its name, its file, or ``latest``."""
        return manifest.find_snapshot(self.settings.backups, name, self.environment.name)

    def _log(self, done: str, about: Manifest, more: dict[str, Any]) -> None:
        facts = {
            "operator": self.settings.operator,
            "snapshot": about.snapshot,
            "backup_file": about.file,
            "sha256": about.sha256,
            "manifest": about.facts_digest,
            **more,
        }
        number = str(uuid5(NAMESPACE_URL, f"{about.timeline['system_identifier']}/{about.snapshot}"))
        try:
            record(self.database, self.schema, f"migration:snapshot:{done}", facts, about=number)
        except NotLogged as error:
            self.said.append(str(error))


def snapshots_frame(found: list[Manifest]) -> pd.DataFrame:
    """Return snapshots as a frame.

    Returns
    -------
    pandas.DataFrame
        ``snapshot``, ``kind``, ``created_at``, ``created_by``, ``size``, ``rows``, ``precedes``, ``reason``,
        ``verified`` (``pass``, ``fail``, ``not run``, or empty where it was never tried), ``verified_at``.
    """
    columns = ["snapshot", "kind", "created_at", "created_by", "size", "rows", "precedes", "reason"]
    columns += ["verified", "verified_at"]
    rows = [
        (
            each.snapshot,
            each.kind,
            each.created_at,
            each.created_by,
            each.size,
            each.rows,
            each.precedes or "",
            each.reason or "",
            each.verifications[-1].outcome if each.verifications else "",
            each.verifications[-1].at if each.verifications else "",
        )
        for each in found
    ]
    return pd.DataFrame(rows, columns=columns)
