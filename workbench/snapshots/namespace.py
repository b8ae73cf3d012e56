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
class Snapshot:
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
        rows, manifests = [], self.all()
        for each in manifests:
            last = each.verifications[-1] if each.verifications else None
            tried = (last.outcome, last.at.isoformat()) if last else ("", "")
            taken = each.snapshot, each.created_at.isoformat(), each.created_by, each.size, each.rows
            rows.append((*taken, each.precedes or "", each.reason or "", *tried))
        columns = "snapshot created_at created_by size rows precedes reason verified verified_at"
        table = Table(
            pd.DataFrame(rows, columns=columns.split()),
            empty="no snapshots yet",
            first=("snapshot", "verified"),
        )
        return Answer(parts={"snapshots": table}, facts=[each.facts() for each in manifests])

    def __getitem__(self, name: str) -> Snapshot:
        manifest = self.find(name)
        return Snapshot(manifest, partial(self.verify, manifest.snapshot))

    def all(self) -> list[Manifest]:
        """Return their manifests, oldest first; what killed processes left is cleared away, and said."""
        self.said += store.clear_left_over(self._folder)
        self.said += [
            str(each) for each in store.scan(self._folder).values() if isinstance(each, WorkbenchError)
        ]
        return store.list_snapshots(self._folder, self._wb.environment.name)

    def here(self) -> list[Manifest]:
        """Return those of this very database, oldest first: of its server and its name."""
        target = self._wb.target
        here = target.system_identifier, target.database
        every = store.list_snapshots(self._folder, self._wb.environment.name)
        return [each for each in every if (each.target.system_identifier, each.target.database) == here]

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
        made = create_snapshot(self._wb, schema, advance, precedes=precedes, reason=reason)
        self._log("created", made, size=made.size, rows=made.rows, precedes=precedes, reason=reason)
        return made

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
        manifest, here = self.find(name), self._wb.environment.name
        if (of := manifest.target.environment) != here:
            raise UsageError(
                f"{manifest.snapshot} is of the environment {of!r}.", f"Verify it there: --environment {of}."
            )
        taken = [] if any_size else store.list_snapshots(manifest.folder, here)
        before = [each for each in taken if each.created_at < manifest.created_at]
        tried = verify_snapshot(manifest, before, self._wb.settings, advance, self._rewritten(manifest))
        facts = {"outcome": tried.outcome, "detail": tried.detail, "where": tried.where}
        unlogged = self._log("verified", manifest, **facts)
        try:
            others = Manifest.read(manifest.path)  # which may have been verified meanwhile
            return Manifest.read(others.with_verification(tried).write(manifest.path).path)
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
            Migration(each.run, began.replace(tzinfo=UTC), ended.replace(tzinfo=UTC))
            for each in self._wb.find_runs()
            if each.mode == "live"
            and (began := each.started or each.finished or each.last_trace)
            and (ended := each.finished or each.last_trace or each.started)
        ]
        moment = now or datetime.now(UTC)
        dry_runs = {each.name: each.started_at for each in self._dry_runs()}
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
        agreed = {each.name for each in decided if not each.keep}
        going = [each for each in self.retention() if not each.keep and each.name in agreed]
        dry_runs = {each.name: each for each in self._dry_runs()}
        for each in going:
            if each.name in dry_runs:
                dry_runs[each.name].prune()
                facts = {"operator": self._wb.settings.operator, "dry_run": each.name, "detail": each.reason}
                self._note(self._wb.log(DRY_RUN_PRUNED, facts, about=each.name))
            else:
                manifest = self.find(each.name)
                store.prune_snapshot(manifest)
                self._log("pruned", manifest, detail=each.reason)
        return [each.name for each in going]

    def _rewritten(self, manifest: Manifest) -> str:
        """Return what is wrong with a manifest that is not the one the audit log knows; else nothing."""
        schema = self._wb.schema
        if not all(schema.has(f"audit.{each}") for each in ("action", "metadata", "created_at")):
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
