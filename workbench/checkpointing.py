"""An environment's snapshots: taken, listed, proved by restoring, kept as long as the guide says (§2.1, §5.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from workbench.audit import audit_entries
from workbench.database.programs import Advance
from workbench.errors import UsageError, WorkbenchError
from workbench.migration.dry_runs import list_dry_runs, prune_dry_run
from workbench.murmurant.importers import DRY_RUN_PRUNED
from workbench.session import Session
from workbench.snapshots import store
from workbench.snapshots.dump import create_snapshot
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.retention import Decision, Migration, decide_dry_runs, decide_snapshots
from workbench.snapshots.verify import verify_snapshot


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody how far it is."""


class Checkpointing(Session):
    """What is done before a migration, and listed and tidied away afterwards."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.said: list[str] = []
        """What an act had to say besides its answer: leftovers cleared away, entries that were not logged."""

    def create_snapshot(
        self, *, precedes: str | None = None, reason: str | None = None, advance: Advance = silent
    ) -> Manifest:
        """Take a snapshot, listed when it is whole; see `workbench.snapshots.dump.create_snapshot`.

        Parameters
        ----------
        precedes, reason : str, optional
            The run it is taken before; why it is taken.
        advance : callable
            Told what begins, how many steps are done, and how many there are.
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
        self._log("created", made, size=made.size, rows=made.rows, precedes=precedes, reason=reason)
        return made

    def snapshots(self) -> list[Manifest]:
        """List the environment's snapshots, oldest first."""
        folder = self.settings.backups
        self._clear()
        self.said += [str(each) for each in store.unreadable(folder)]
        return store.list_snapshots(folder, self.environment.name)

    def snapshots_here(self) -> list[Manifest]:
        """List the snapshots of this very database, oldest first: of its server and its name."""
        here = self.target.system_identifier, self.target.database
        every = store.list_snapshots(self.settings.backups, self.environment.name)
        return [each for each in every if (each.target.system_identifier, each.target.database) == here]

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
        manifest = self.snapshot(name)
        if manifest.target.environment != self.environment.name:
            raise UsageError(
                f"{manifest.snapshot} is of the environment {manifest.target.environment!r}.",
                f"Verify it there: --environment {manifest.target.environment}.",
            )
        before = [
            each
            for each in store.list_snapshots(manifest.folder, self.environment.name)
            if (each.created_at, each.snapshot) < (manifest.created_at, manifest.snapshot)
        ]
        lie = self._logged_otherwise(manifest)
        tried = verify_snapshot(manifest, before, self.settings, advance, any_size=any_size, lie=lie)
        unwritten = ""
        try:
            others = Manifest.read(manifest.path)  # which may have been verified meanwhile
            manifest = Manifest.read(others.with_verification(tried).write(manifest.path).path)
        except WorkbenchError as error:
            unwritten = error.what
        unlogged = self._log(
            "verified", manifest, outcome=tried.outcome, detail=tried.detail, where=tried.where
        )
        if unwritten:
            where = (
                f"Nor is it in the audit log ({unlogged})" if unlogged else "The audit log has the outcome"
            )
            raise WorkbenchError(
                f"{manifest.snapshot}: {tried.outcome} ({tried.detail.rstrip('.')}), but that could not be written into"
                f" its manifest {manifest.path}: {unwritten} {where}.",
                f"Make room in {manifest.folder} and let it be written to, then verify again: until then the snapshot"
                " counts as it did before.",
            )
        return manifest

    def retention(self, now: datetime | None = None) -> list[Decision]:
        """Decide which of the environment's snapshots and dry runs may be pruned; nothing is touched.

        Returns
        -------
        list of Decision
            ``name``, ``keep`` and ``reason`` of each: the snapshots, then the dry runs, oldest first.
        """
        migrations = [
            Migration(each.run, began.replace(tzinfo=UTC), ended.replace(tzinfo=UTC))
            for each in self.find_runs()
            if each.mode == "live"
            and (began := each.started or each.finished or each.last_trace)
            and (ended := each.finished or each.last_trace or each.started)
        ]
        moment = now or datetime.now(UTC)
        dry_runs = {name: each.started_at for name, each in self._dry_runs().items()}
        return [*decide_snapshots(moment, self.snapshots(), migrations), *decide_dry_runs(moment, dry_runs)]

    def prune(self, decided: list[Decision]) -> list[str]:
        """Delete what was decided about, as far as a fresh decision says the same; each is logged.

        Parameters
        ----------
        decided : list of Decision
            As `retention` returned it and somebody confirmed it.

        Returns
        -------
        list of str
            The names of what is gone.
        """
        agreed = {each.name for each in decided if not each.keep}
        going = [each for each in self.retention() if not each.keep and each.name in agreed]
        dry_runs = self._dry_runs()
        for each in going:
            if each.name in dry_runs:
                prune_dry_run(dry_runs[each.name])
                facts = {"operator": self.settings.operator, "dry_run": each.name, "detail": each.reason}
                self._note(self.log(DRY_RUN_PRUNED, facts, about=each.name))
            else:
                manifest = self.snapshot(each.name)
                store.prune_snapshot(manifest)
                self._log("pruned", manifest, detail=each.reason)
        return [each.name for each in going]

    def _dry_runs(self) -> dict[str, Any]:
        return {each.name: each for each in list_dry_runs(self.settings.backups, self.environment.name)}

    def _logged_otherwise(self, manifest: Manifest) -> str:
        """Return what is wrong with a manifest that is not the one the audit log knows; else nothing."""
        if not all(self.schema.has(f"audit.{each}") for each in ("action", "metadata", "created_at")):
            return ""
        with self.reading() as connection:
            log = audit_entries(connection, self.schema, action="migration:snapshot:created", limit=None)
        for entry in log["metadata"]:
            if entry.get("snapshot") == manifest.snapshot and entry.get("manifest") != manifest.facts_digest:
                return (
                    f"The manifest of {manifest.snapshot} was rewritten: the audit log knows another, by"
                    f" {entry.get('operator')}."
                )
        return ""

    def _clear(self) -> None:
        self.said += store.clear_left_over(self.settings.backups)

    def _log(self, done: str, manifest: Manifest, **more: Any) -> str:
        """Write into the audit log what was done with a snapshot; return why that could not be, and say so."""
        facts = {
            "operator": self.settings.operator,
            "snapshot": manifest.snapshot,
            "backup_file": manifest.archive.name,
            "sha256": manifest.sha256,
            "manifest": manifest.facts_digest,
            **more,
        }
        about = f"{manifest.target.system_identifier}/{manifest.snapshot}"
        return self._note(self.log(f"migration:snapshot:{done}", facts, about=about))

    def _note(self, unlogged: str) -> str:
        self.said += [unlogged] if unlogged else []
        return unlogged.rstrip(".")


def snapshots_frame(manifests: list[Manifest]) -> pd.DataFrame:
    """Return snapshots as a frame.

    Returns
    -------
    pandas.DataFrame
        ``snapshot``, ``created_at``, ``created_by``, ``size``, ``rows``, ``precedes``, ``reason``,
        ``verified`` (``pass``, ``fail``, ``not run``, or empty where it was never tried), ``verified_at``.
    """
    columns = ["snapshot", "created_at", "created_by", "size", "rows", "precedes", "reason"]
    rows = []
    for each in manifests:
        last = each.verifications[-1] if each.verifications else None
        facts = {name: getattr(each, name) for name in columns}
        facts |= {"created_at": each.created_at.isoformat(), "precedes": each.precedes or ""}
        facts |= {"reason": each.reason or "", "verified": last.outcome if last else ""}
        rows.append(facts | {"verified_at": last.at.isoformat() if last else ""})
    return pd.DataFrame(rows, columns=[*columns, "verified", "verified_at"])
