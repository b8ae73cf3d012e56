"""An environment's snapshots: taken, listed, proved by restoring, pruned (guide §2.1, §5.3)."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pandas as pd

from workbench.audit import audit_entries, record
from workbench.database.programs import Advance
from workbench.errors import NotLogged, UsageError, WorkbenchError
from workbench.session import Session
from workbench.snapshots import store
from workbench.snapshots.dump import create_snapshot
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.verify import NotAsSaidError, judged, verify_snapshot


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody how far it is."""


class Checkpointing(Session):
    """What is done before a migration, and listed afterwards."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.said: list[str] = []
        """What an act had to say besides its answer: leftovers cleared away, entries that were not logged."""

    def create_snapshot(
        self,
        *,
        precedes: str | None = None,
        reason: str | None = None,
        advance: Advance = silent,
    ) -> Manifest:
        """Take a snapshot, listed when it is whole.

        Parameters
        ----------
        precedes, reason : str, optional
            The run it is taken before; why it is taken.
        advance : callable
            Told what begins, how many steps are done, and how many there are.

        Returns
        -------
        Manifest
            What it is; see `workbench.snapshots.dump.create_snapshot` for what can go wrong.
        """
        self.database.refuse_pooler("A snapshot")
        self._clear()
        made = create_snapshot(
            self.database,
            self.schema,
            self.target,
            self.settings.backups,
            by=self.settings.operator,
            precedes=precedes,
            reason=reason,
            tools=self.settings.client_tools,
            advance=advance,
        )
        self._log(
            "created",
            made,
            {
                "size": made.size,
                "rows": made.rows,
                "precedes": made.precedes,
                "reason": made.reason,
            },
        )
        return made

    def snapshots(self) -> list[Manifest]:
        """List the environment's snapshots, oldest first."""
        folder = self.settings.backups
        self._clear()
        self.said += [str(each) for each in store.unreadable(folder)]
        return store.list_snapshots(folder, self.environment.name)

    def snapshots_here(self) -> list[Manifest]:
        """List the snapshots of this very database, oldest first: of its server and its name."""
        here = self.target
        return [
            each
            for each in store.list_snapshots(self.settings.backups, self.environment.name)
            if (each.target.system_identifier, each.target.database)
            == (here.system_identifier, here.database)
        ]

    def snapshot(self, name: str) -> Manifest:
        """Return one snapshot: by its name, its file, or ``latest``."""
        return store.find_snapshot(self.settings.backups, name, self.environment.name)

    def verify_snapshot(
        self, name: str = "latest", *, any_size: bool = False, advance: Advance = silent
    ) -> Manifest:
        """Prove a snapshot by restoring it; the outcome goes into its manifest and the audit log.

        Parameters
        ----------
        name : str
            Its name, its file, or ``latest``.
        any_size : bool
            Whether its size may be out of the range of its predecessors'.

        Returns
        -------
        Manifest
            With one verification more, the last: ``pass``, ``fail`` or ``not run``.

        Raises
        ------
        DocumentError
            When the manifest itself cannot be read, or was edited.
        UsageError
            When there is none of that name, or it is another environment's.
        WorkbenchError
            When the outcome could not be written into the manifest; it is logged all the same, and told.
        """
        found = self.snapshot(name)
        if found.target.environment != self.environment.name:
            raise UsageError(
                f"{found.snapshot} is of the environment {found.target.environment!r}.",
                f"Verify it there: --environment {found.target.environment}.",
            )
        folder, by = found.folder, self.settings.operator
        before = [
            each
            for each in store.list_snapshots(folder, self.environment.name)
            if (each.created_at, each.snapshot) < (found.created_at, found.snapshot)
        ]
        if lie := self._logged_otherwise(found):

            def refused() -> tuple[str, str]:
                raise NotAsSaidError(lie)

            tried = judged(refused, by)
        else:
            tried = verify_snapshot(found, before, self.settings, advance, any_size=any_size)
        path, unwritten = found.path, ""
        try:
            # Others may have verified it meanwhile.
            found = Manifest.read(Manifest.read(path).with_verification(tried).write(path).path)
        except WorkbenchError as error:
            unwritten = error.what
        facts = {"outcome": tried.outcome, "detail": tried.detail, "where": tried.where}
        logged = self._log("verified", found, facts)
        if unwritten:
            where = (
                "The audit log has the outcome"
                if logged
                else f"Nor is it in the audit log ({self.said[-1].rstrip('.')})"
            )
            raise WorkbenchError(
                f"{found.snapshot}: {tried.outcome} ({tried.detail.rstrip('.')}), but that could not be written into its"
                f" manifest {path}: {unwritten} {where}.",
                f"Make room in {folder} and let it be written to, then verify again: until then the snapshot counts as"
                " it did before.",
            )
        return found

    def _logged_otherwise(self, found: Manifest) -> str:
        """Return what is wrong with a manifest that is not the one the audit log knows; else nothing."""
        if not all(self.schema.has(f"audit.{each}") for each in ("action", "metadata", "created_at")):
            return ""
        with self.reading() as connection:
            log = audit_entries(connection, self.schema, action="migration:snapshot:created", limit=None)
        for entry in log["metadata"]:
            if entry.get("snapshot") == found.snapshot and entry.get("manifest") != found.facts_digest:
                return (
                    f"The manifest of {found.snapshot} was rewritten: the audit log knows another, by"
                    f" {entry.get('operator')}."
                )
        return ""

    def _clear(self) -> None:
        self.said += store.clear_left_over(self.settings.backups)

    def _log(self, done: str, about: Manifest, more: dict[str, Any]) -> bool:
        """Write it into the audit log; return whether that was done, and say so where it was not."""
        facts = {
            "operator": self.settings.operator,
            "snapshot": about.snapshot,
            "backup_file": about.archive.name,
            "sha256": about.sha256,
            "manifest": about.facts_digest,
            **more,
        }
        number = str(uuid5(NAMESPACE_URL, f"{about.target.system_identifier}/{about.snapshot}"))
        try:
            record(self.database, self.schema, f"migration:snapshot:{done}", facts, about=number)
        except NotLogged as error:
            self.said.append(str(error))
            return False
        return True


def snapshots_frame(found: list[Manifest]) -> pd.DataFrame:
    """Return snapshots as a frame.

    Returns
    -------
    pandas.DataFrame
        ``snapshot``, ``created_at``, ``created_by``, ``size``, ``rows``, ``precedes``, ``reason``,
        ``verified`` (``pass``, ``fail``, ``not run``, or empty where it was never tried), ``verified_at``.
    """
    columns = ["snapshot", "created_at", "created_by", "size", "rows", "precedes", "reason"]
    columns += ["verified", "verified_at"]
    rows = [
        (
            each.snapshot,
            each.created_at.isoformat(),
            each.created_by,
            each.size,
            each.rows,
            each.precedes or "",
            each.reason or "",
            each.verifications[-1].outcome if each.verifications else "",
            each.verifications[-1].at.isoformat() if each.verifications else "",
        )
        for each in found
    ]
    return pd.DataFrame(rows, columns=columns)
