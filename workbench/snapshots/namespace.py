"""``wb.snapshots``: an environment's snapshots, taken, listed, proved by restoring, kept as long as the guide says (§2.1, §5.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pandas as pd

from workbench.answer import Answer, Table
from workbench.audit.entries import audit_entries
from workbench.database.archives import Advance
from workbench.errors import NotMurmurant, UsageError, WorkbenchError
from workbench.murmurant.importers import DRY_RUN_PRUNED
from workbench.session import Session
from workbench.snapshots import store
from workbench.snapshots.dump import create_snapshot
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.retention import Decision, Migration, decide_dry_runs, decide_snapshots
from workbench.snapshots.verify import verify_snapshot


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody how far it is."""


@dataclass(frozen=True)
class TakenSnapshot:
    """One snapshot, ``wb.snapshots[name]``: its manifest, and what `Snapshots.verify` does with it."""

    manifest: Manifest
    verify: Callable[..., Manifest]


class Snapshots:
    """``wb.snapshots``: called, an answer that lists them, oldest first; by name or ``latest`` in brackets, one of them.

    Attributes
    ----------
    said : list of str
        What an act had to say besides its answer: leftovers cleared away, entries that were not logged.
    """

    def __init__(self, wb: Session, dry_runs: Callable[[], list[Any]]) -> None:
        self._wb, self._folder, self._dry_runs = wb, wb.settings.backups, dry_runs
        self.said: list[str] = []

    def __call__(self) -> Answer:
        """List them: ``tables.snapshots``.

        Its columns are ``snapshot``, ``created_at``, ``created_by``, ``size``, ``rows``, ``precedes``, ``reason``,
        ``verified`` (``pass``, ``fail``, ``not run``, or empty where it was never tried), ``verified_at``.
        """
        manifests = self.all()
        columns = [
            "snapshot",
            "created_at",
            "created_by",
            "size",
            "rows",
            "precedes",
            "reason",
            "verified",
            "verified_at",
        ]
        frame = pd.DataFrame([_row(manifest) for manifest in manifests], columns=columns)
        table = Table(frame, empty="no snapshots yet", first=("snapshot", "verified"))
        return Answer(parts={"snapshots": table}, facts=[manifest.facts() for manifest in manifests])

    def __getitem__(self, name: str) -> TakenSnapshot:
        manifest = self.find(name)
        return TakenSnapshot(manifest, partial(self.verify, manifest.snapshot))

    def all(self) -> list[Manifest]:
        """Return their manifests, oldest first; what killed processes left is cleared away, and said."""
        self.said += store.clear_left_over(self._folder)
        scanned = store.scan(self._folder).values()
        self.said += [str(error) for error in scanned if isinstance(error, WorkbenchError)]
        return self._listed()

    def here(self) -> list[Manifest]:
        """Return those of this very database, oldest first: of its server and its name."""
        target = self._wb.target
        place = target.system_identifier, target.database
        return [
            manifest
            for manifest in self._listed()
            if (manifest.target.system_identifier, manifest.target.database) == place
        ]

    def _listed(self) -> list[Manifest]:
        return store.list_snapshots(self._folder, self._wb.environment.name)

    def find(self, name: str) -> Manifest:
        """Return one: by its name or an unambiguous beginning, its file, or ``latest``."""
        return store.find_snapshot(self._folder, name, self._wb.environment.name)

    def create(
        self,
        *,
        precedes: str | None = None,
        reason: str | None = None,
        advance: Advance = silent,
        of_anything: bool = False,
    ) -> Manifest:
        """Take a snapshot, listed when it is whole; see `workbench.snapshots.dump.create_snapshot`.

        Parameters
        ----------
        precedes, reason : str, optional
            The run it is taken before; why it is taken.
        advance : callable
            Told what begins, how many steps are done, and how many there are.
        of_anything : bool
            Whether the database may be one that does not hold Murmurant's tables any more.
        """
        self._wb.database.refuse_pooler()
        self.said += store.clear_left_over(self._folder)
        try:
            schema = self._wb.schema
        except NotMurmurant:
            if not of_anything:
                raise
            schema = None
        manifest = create_snapshot(self._wb, schema, advance, precedes=precedes, reason=reason)
        self._log(
            "created", manifest, size=manifest.size, rows=manifest.rows, precedes=precedes, reason=reason
        )
        return manifest

    def verify(self, name: str = "latest", *, any_size: bool = False, advance: Advance = silent) -> Manifest:
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
        manifest, environment = self.find(name), self._wb.environment.name
        if (of := manifest.target.environment) != environment:
            raise UsageError(
                f"{manifest.snapshot} is of the environment {of!r}.", f"Verify it there: --environment {of}."
            )
        taken = [] if any_size else store.list_snapshots(manifest.folder, environment)
        before = [earlier for earlier in taken if earlier.created_at < manifest.created_at]
        tried = verify_snapshot(manifest, before, self._wb.settings, advance, self._rewritten(manifest))
        facts = {"outcome": tried.outcome, "detail": tried.detail, "where": tried.where}
        unlogged = self._log("verified", manifest, **facts)
        try:
            now = Manifest.read(manifest.path)  # which may have been verified meanwhile
            return Manifest.read(now.with_verification(tried).write(manifest.path).path)
        except WorkbenchError as error:
            raise WorkbenchError(
                f"{manifest.snapshot}: {tried.outcome} ({tried.detail.rstrip('.')}), but {error.what} {unlogged}".strip(),
                "Verify again once it can be written: until then the snapshot counts as it did before.",
            ) from None

    def retention(self, now: datetime | None = None) -> list[Decision]:
        """Decide which of the environment's snapshots and dry runs may be pruned; nothing is touched.

        Returns
        -------
        list of Decision
            ``name``, ``keep`` and ``reason`` of each: the snapshots, then the dry runs, oldest first.
        """
        migrations = [
            Migration(run.run, began.replace(tzinfo=UTC), ended.replace(tzinfo=UTC))
            for run in self._wb.find_runs()
            if run.mode == "live"
            and (began := run.started or run.finished or run.last_trace)
            and (ended := run.finished or run.last_trace or run.started)
        ]
        moment = now or datetime.now(UTC)
        dry_runs = {dry_run.name: dry_run.started_at for dry_run in self._dry_runs()}
        return [*decide_snapshots(moment, self.all(), migrations), *decide_dry_runs(moment, dry_runs)]

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
        agreed = {decision.name for decision in decided if not decision.keep}
        going = [decision for decision in self.retention() if not decision.keep and decision.name in agreed]
        dry_runs = {dry_run.name: dry_run for dry_run in self._dry_runs()}
        for decision in going:
            if dry_run := dry_runs.get(decision.name):
                dry_run.prune()
                facts = {
                    "operator": self._wb.settings.operator,
                    "dry_run": decision.name,
                    "detail": decision.reason,
                }
                self._note(self._wb.log(DRY_RUN_PRUNED, facts, about=decision.name))
            else:
                manifest = self.find(decision.name)
                store.prune_snapshot(manifest)
                self._log("pruned", manifest, detail=decision.reason)
        return [decision.name for decision in going]

    def _rewritten(self, manifest: Manifest) -> str:
        """Return what is wrong with a manifest that is not the one the audit log knows; else nothing."""
        schema = self._wb.schema
        if not schema.has("audit.action", "audit.metadata", "audit.created_at"):
            return ""
        with self._wb.reading() as connection:
            log = audit_entries(connection, schema, action="migration:snapshot:created", limit=None)
        for entry in log["metadata"]:
            if entry.get("snapshot") == manifest.snapshot and entry.get("manifest") != manifest.facts_digest:
                return f"The manifest was rewritten: the audit log knows another, by {entry.get('operator')}."
        return ""

    def _log(self, done: str, manifest: Manifest, **more: Any) -> str:
        """Write into the audit log what was done with a snapshot; return why that could not be, and say so."""
        facts = {
            "operator": self._wb.settings.operator,
            "snapshot": manifest.snapshot,
            "backup_file": manifest.archive.name,
            "sha256": manifest.sha256,
            "manifest": manifest.facts_digest,
            **more,
        }
        about = f"{manifest.target.system_identifier}/{manifest.snapshot}"
        return self._note(self._wb.log(f"migration:snapshot:{done}", facts, about=about))

    def _note(self, unlogged: str) -> str:
        self.said += [unlogged] if unlogged else []
        return unlogged


def _row(manifest: Manifest) -> tuple[Any, ...]:
    last = manifest.verifications[-1:]
    tried = (last[0].outcome, last[0].at.isoformat()) if last else ("", "")
    taken = manifest.snapshot, manifest.created_at.isoformat(), manifest.created_by
    return (*taken, manifest.size, manifest.rows, manifest.precedes or "", manifest.reason or "", *tried)
