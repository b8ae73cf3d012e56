"""``wb.snapshots``: take, list, verify and prune an environment's snapshots (guide §2.1, §5.3).

Verifying a snapshot means restoring all of it into a scratch database and comparing the result with its manifest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any

import pandas as pd

from workbench.answer import Answer, Table
from workbench.audit.entries import audit_entries
from workbench.database.archives import Advance, read_listing, restore
from workbench.database.databases import scratch_database
from workbench.errors import DocumentError, NotMurmurant, UsageError, WorkbenchError
from workbench.murmurant.importers import DRY_RUN_PRUNED
from workbench.session import Session
from workbench.settings import Settings
from workbench.snapshots import store
from workbench.snapshots.archive import encoding_of, refuse_damaged, refuse_older_server
from workbench.snapshots.contents import contents_of, differences
from workbench.snapshots.dump import create_snapshot
from workbench.snapshots.manifest import Manifest, Outcome, Verification
from workbench.snapshots.store import Decision

# Roles, publications and tablespaces belong to the server. A subscription would start to copy from the club's own server.
_PORTABLE = "--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions"


def silent(what: str, done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class TakenSnapshot:
    """One snapshot, ``wb.snapshots[name]``: its manifest, and `Snapshots.verify` for it."""

    manifest: Manifest
    verify: Callable[..., Manifest]


class Snapshots:
    """``wb.snapshots``: call it to list the snapshots, index it by name or ``latest`` for one of them.

    Attributes
    ----------
    said : list of str
        Messages besides the answers: leftovers that were removed, audit entries that could not be written.
    """

    def __init__(self, wb: Session, dry_runs: Callable[[], list[Any]]) -> None:
        self._wb, self._folder, self._dry_runs = wb, wb.settings.backups, dry_runs
        self.said: list[str] = []

    def __call__(self) -> Answer:
        """List them, oldest first: ``tables.snapshots``.

        Its columns are ``snapshot``, ``created_at``, ``created_by``, ``size``, ``rows``, ``precedes``, ``reason``,
        ``verified`` (``pass``, ``fail``, ``not run``, or empty if it was never tried), ``verified_at``.
        """
        manifests = self.all()
        frame = pd.DataFrame([_row(manifest) for manifest in manifests])
        table = Table(frame, empty="no snapshots yet", first=("snapshot", "verified"))
        return Answer(parts={"snapshots": table}, facts=[manifest.facts() for manifest in manifests])

    def __getitem__(self, name: str) -> TakenSnapshot:
        manifest = self.find(name)
        return TakenSnapshot(manifest, partial(self.verify, manifest.snapshot))

    def all(self) -> list[Manifest]:
        """Return their manifests, oldest first; what killed processes left is cleaned up and reported."""
        self.said += store.clean_up(self._folder)
        scanned = store.scan(self._folder).values()
        self.said += [str(error) for error in scanned if isinstance(error, WorkbenchError)]
        return self._listed()

    def here(self) -> list[Manifest]:
        """Return those of this very database, oldest first."""
        return [manifest for manifest in self._listed() if manifest.target == self._wb.target]

    def _listed(self) -> list[Manifest]:
        return store.list_snapshots(self._folder, self._wb.environment.name)

    def find(self, name: str) -> Manifest:
        """Return one by its name or an unambiguous beginning, its file, or ``latest``."""
        return store.find_snapshot(self._folder, name, self._wb.environment.name)

    def create(
        self,
        *,
        precedes: str | None = None,
        reason: str | None = None,
        advance: Advance = silent,
        of_anything: bool = False,
    ) -> Manifest:
        """Take a snapshot; see `workbench.snapshots.dump.create_snapshot`.

        Parameters
        ----------
        precedes, reason : str, optional
            The run it is taken before; why it is taken.
        advance : callable
            Called with what begins, how many steps are done, and how many there are.
        of_anything : bool
            Whether the database may lack Murmurant's tables.
        """
        self._wb.database.refuse_pooler()
        self.said += store.clean_up(self._folder)
        try:
            schema = self._wb.schema
        except NotMurmurant:
            if not of_anything:
                raise
            schema = None
        manifest = create_snapshot(self._wb, schema, advance, precedes=precedes, reason=reason)
        self._log("created", manifest, rows=manifest.rows, precedes=precedes, reason=reason)
        return manifest

    def verify(self, name: str = "latest", *, any_size: bool = False, advance: Advance = silent) -> Manifest:
        """Verify a snapshot by restoring it; the outcome is added to its manifest and to the audit log.

        Parameters
        ----------
        name : str
            Its name, its file, or ``latest``.
        any_size : bool
            Whether its size may be out of range of its predecessors'.

        Returns
        -------
        Manifest
            With one more verification, the last: ``pass``, ``fail`` or ``not run``.

        Raises
        ------
        DocumentError
            When the manifest cannot be read, or was edited.
        UsageError
            When there is no such snapshot, or it belongs to another environment.
        WorkbenchError
            When the outcome could not be written into the manifest; it is still logged, and part of the message.
        """
        manifest, environment = self.find(name), self._wb.environment.name
        if (of := manifest.target.environment) != environment:
            raise UsageError(
                f"{manifest.snapshot} is of the environment {of!r}.", f"Verify it there: --environment {of}."
            )
        earlier = [] if any_size else [one for one in self._listed() if one.created_at < manifest.created_at]
        begun, where = perf_counter(), ""
        outcome: Outcome = "pass"
        try:
            self._refuse_rewritten(manifest)
            detail, where = _verify(manifest, earlier, self._wb.settings, advance)
        except DocumentError as error:  # the snapshot is wrong
            outcome, detail = "fail", error.what
        except WorkbenchError as error:  # it could not be tried
            outcome, detail = "not run", str(error)
        seconds, at = round(perf_counter() - begun, 1), datetime.now(UTC).replace(microsecond=0)
        attempt = Verification(at, self._wb.settings.operator, outcome, detail, seconds, where)
        unlogged = self._log("verified", manifest, outcome=outcome, detail=detail, where=where)
        try:
            latest = Manifest.read(manifest.path)  # it may have been verified in the meantime
            return Manifest.read(latest.with_verification(attempt).write(manifest.path).path)
        except WorkbenchError as error:
            raise WorkbenchError(
                f"{manifest.snapshot}: {outcome} ({detail.rstrip('.')}), but {error.what} {unlogged}".strip(),
                "Verify again once the manifest can be written; until then this outcome does not count.",
            ) from None

    def retention(self) -> list[Decision]:
        """Decide which of the environment's snapshots and dry runs may be pruned; nothing is deleted.

        Returns
        -------
        list of Decision
            ``name``, ``keep`` and ``reason``: the snapshots, then the dry runs, each oldest first.
        """
        migrations = [
            store.Migration(run.run, began.replace(tzinfo=UTC), ended.replace(tzinfo=UTC))
            for run in self._wb.find_runs()
            if run.mode == "live"
            and (began := run.started or run.finished or run.last_trace)
            and (ended := run.finished or run.last_trace or run.started)
        ]
        now = datetime.now(UTC)
        dry_runs = {dry_run.name: dry_run.started_at for dry_run in self._dry_runs()}
        return [
            *store.decide_snapshots(now, self.all(), migrations),
            *store.decide_dry_runs(now, dry_runs),
        ]

    def prune(self, decided: list[Decision]) -> list[str]:
        """Delete what `retention` decided and a user confirmed, unless a new decision differs; return the names deleted."""
        agreed = {decision.name for decision in decided if not decision.keep}
        going = [decision for decision in self.retention() if not decision.keep and decision.name in agreed]
        dry_runs = {dry_run.name: dry_run for dry_run in self._dry_runs()}
        for decision in going:
            if dry_run := dry_runs.get(decision.name):
                dry_run.prune()
                operator = self._wb.settings.operator
                facts = {"operator": operator, "dry_run": decision.name, "detail": decision.reason}
                self._note(self._wb.log(DRY_RUN_PRUNED, facts, about=decision.name))
            else:
                manifest = self.find(decision.name)
                store.prune_snapshot(manifest)
                self._log("pruned", manifest, detail=decision.reason)
        return [decision.name for decision in going]

    def _refuse_rewritten(self, manifest: Manifest) -> None:
        """Refuse a manifest that differs from the one in the audit log."""
        schema = self._wb.schema
        if not schema.has("audit.action", "audit.metadata", "audit.created_at"):
            return
        with self._wb.reading() as connection:
            log = audit_entries(connection, schema, action="migration:snapshot:created", limit=None)
        for entry in log["metadata"]:
            if entry.get("snapshot") == manifest.snapshot and entry.get("manifest") != manifest.facts_digest:
                by = entry.get("operator")
                raise DocumentError(f"The manifest was rewritten: the audit log has another one, by {by}.")

    def _log(self, done: str, manifest: Manifest, **more: Any) -> str:
        """Write to the audit log what was done with a snapshot; return why that failed, if it did."""
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


def _row(manifest: Manifest) -> dict[str, Any]:
    return {
        "snapshot": manifest.snapshot,
        "created_at": manifest.created_at.isoformat(),
        "created_by": manifest.created_by,
        "size": manifest.size,
        "rows": manifest.rows,
        "precedes": manifest.precedes or "",
        "reason": manifest.reason or "",
        "verified": manifest.outcome,
        "verified_at": "".join(attempt.at.isoformat() for attempt in manifest.verifications[-1:]),
    }


def _verify(
    manifest: Manifest, predecessors: Sequence[Manifest], settings: Settings, advance: Advance
) -> tuple[str, str]:
    """Restore a snapshot, compare it with its manifest, and drop it; return what was compared, and where.

    Raises
    ------
    DocumentError
        When the snapshot is wrong; any other error means that it could not be tried.
    """
    advance("reading the archive", 0, 4)
    refuse_damaged(manifest)
    listing = read_listing(manifest.archive, settings.client_tools)
    if (database := listing.head.get("dbname")) != manifest.target.database:
        raise DocumentError(f"It is of the database {database!r}, not of {manifest.target.database!r}.")
    size = size_in_range(manifest, predecessors)
    with scratch_database(settings, encoding_of(manifest.archive)) as (scratch, holder):
        refuse_older_server(manifest.snapshot, manifest.server_version, holder, scratch)
        advance(f"restoring on {scratch.environment}", 1, 4)
        of_roles = set(listing.of("POLICY", "USER MAPPING"))
        entries = [entry for entry in listing.entries if entry not in of_roles]
        jobs = f"--jobs={max(2, min(os.cpu_count() or 1, 8))}"
        broken = restore(listing.path, scratch, settings.client_tools, *_PORTABLE, jobs, entries=entries)
        advance("comparing", 2, 4)
        with scratch.translate_errors():
            contents = contents_of(scratch.session, manifest.target.schema)
        advance("dropping it", 3, 4)
    if wrong := differences(manifest.contents, contents):
        raise DocumentError(f"It differs from its manifest: {wrong}.")
    keys = f"; its rows break {len(broken)} foreign keys, which cannot be validated: {', '.join(broken)}"
    return (
        f"restored: {manifest.rows:,} rows and the digests of {len(contents):,} tables match the manifest;"
        f" {size}{keys if broken else ''}",
        scratch.environment.where,
    )


def size_in_range(manifest: Manifest, predecessors: Sequence[Manifest]) -> str:
    """Compare a snapshot's size with its predecessors' of the same compression.

    Raises
    ------
    DocumentError
        When it is less than half the smallest, or more than twice the largest.
    """
    sizes = [
        before.size
        for before in predecessors
        if before.compression == manifest.compression and before.outcome != "fail"
    ][-5:]
    if not sizes:
        return f"{manifest.size:,} bytes, compared with no predecessor"
    compared = f"{manifest.size:,} bytes, its predecessors {min(sizes):,} to {max(sizes):,}"
    if not min(sizes) / 2 <= manifest.size <= max(sizes) * 2:
        raise DocumentError(f"Its size is out of range: {compared}. Data lost? --any-size accepts it.")
    return compared
