"""Level 2 for an environment: its application stopped, started and asked, and a snapshot restored (guide §3, §7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import psycopg

from workbench.checkpointing import Checkpointing
from workbench.checkpoints.manifest import Manifest
from workbench.checkpoints.restore import asking
from workbench.checkpoints.restore.act import Progress, Surroundings
from workbench.checkpoints.restore.asking import Seen, Wish
from workbench.checkpoints.restore.backing import bare_dump
from workbench.checkpoints.restore.cluster import Cluster
from workbench.checkpoints.restore.record import Record, records
from workbench.checkpoints.restore.request import Counted, Request, find_request, requests_folder
from workbench.checkpoints.restore.running import STEPS, abandon_restore, restore_request, resume_restore
from workbench.checkpoints.restore.watching import expected_of, watched
from workbench.checkpoints.service import Say, ServiceRun, run_service
from workbench.checkpoints.store import find_snapshot
from workbench.checks import Finding, run_checks
from workbench.differing import Differing
from workbench.documents import Approval, approve
from workbench.errors import NotMurmurant, Refused, SnapshotError, WrongEnvironment
from workbench.plans.plan import Plan
from workbench.runs.sync_state import plan_sync_state

HEALTH_CHECKS = ("app-health", "app-pages", "app-auth-refuses", "app-auth-admits")
"""What guide §7.2 asks of the application."""

_PAUSE = 0.25  # seconds between two rounds of questions

Heard = Callable[[list[Finding], float], None]
"""Told each round's findings, and how many seconds after the first."""


class Restoring(Checkpointing, Differing):
    """The acts around a restore."""

    def plan_sync_state(self) -> Plan:
        """Plan to reset the sync state (guide §7.3); writes a plan file and nothing else."""
        with self.planning() as context:
            return plan_sync_state(context)

    def service(self, act: Literal["stop", "start"], say: Say | None = None) -> ServiceRun:
        """Stop or start the application by its configured command: see `workbench.checkpoints.service`."""
        command = self.options.app_stop if act == "stop" else self.options.app_start
        return run_service(
            act, command, environment=self.environment.name, timeout=self.options.app_timeout, say=say
        )

    def health(self, limit: float | None = None, told: Heard | None = None) -> list[Finding]:
        """Ask the application how it is (guide §7.2), again and again until it is well.

        Parameters
        ----------
        limit : float, optional
            How long to go on asking, seconds; else ``app_health_limit``. 0 asks once.
        told : callable, optional
            Told each round's findings.

        Returns
        -------
        list of Finding
            Those of the last round: what nobody configured is ``not run``, never a pass.
        """
        wait = self.options.app_health_limit if limit is None else limit
        begun = time.monotonic()
        while True:
            with self.reading() as connection:
                found = run_checks(self.look(connection, runs=False), HEALTH_CHECKS)
            passed = time.monotonic() - begun
            if told:
                told(found, passed)
            if not any(each.open for each in found) or passed + _PAUSE > wait:
                return found
            time.sleep(_PAUSE)

    def request(self, name: str) -> Request:
        """Return a request to restore by its id or its file's path."""
        return find_request(self.settings, name)

    def request_restore(
        self,
        snapshot: str,
        *,
        in_place: bool = False,
        keep_sync_state: bool = False,
        from_elsewhere: bool = False,
        runs: Sequence[str] = (),
    ) -> Request:
        """Ask for the restore of a snapshot (guide §3, level 2); writes a request file and nothing else.

        Parameters
        ----------
        snapshot : str
            Its name or its file.
        in_place : bool
            Whether to replace the live database's contents in one transaction, instead of the database.
        keep_sync_state : bool
            Whether the sync state stays as the snapshot has it, instead of being reset (guide §7.3).
        from_elsewhere : bool
            Whether a snapshot of another server will do: the club has moved since.
        runs : sequence of str
            The bad runs, whose doing is not counted among what would be lost.

        Raises
        ------
        SnapshotError
            When it is damaged, or needs a newer server.
        Refused
            When it is another database's, or this is not possible here.
        """
        manifest = find_snapshot(self.settings.backups, snapshot, self.environment.name)
        cluster = self._cluster
        with cluster.beside() as beside:
            there = cluster.live in cluster.standing(beside)
            return asking.ask_for_restore(
                cluster,
                beside,
                manifest,
                Wish(in_place, keep_sync_state, from_elsewhere),
                lambda: self._seen(cluster, manifest, there, runs),
                planned_by=self.settings.operator,
                folder=requests_folder(self.settings),
            )

    def request_undo_of_restore(self, name: str | None = None) -> Request:
        """Ask to put the database back that the last restore kept; writes a request file and nothing else."""
        folder = requests_folder(self.settings)
        for each in records(folder):
            if (
                each.environment == self.environment.name
                and each.outcome == "under way"
                and (each.swapped or each.facts.get("new_oid"))
            ):
                raise Refused(
                    f"The restore {each.request} is not finished; what it keeps is not known before it is.",
                    "`workbench snapshot restore --resume` finishes it; then ask again.",
                )
        done = [
            each
            for each in records(folder)
            if each.outcome == "done" and each.environment == self.environment.name
            and each.facts.get("kept") and name in (None, each.request)
        ]  # fmt: skip
        if not done:
            raise Refused(
                f"No restore of {self.environment.name} is known here that kept a database.",
                "`workbench snapshot restore` restores a snapshot instead.",
            )
        last = max(done, key=lambda each: str(each.facts.get("ended", "")))
        facts = {"kept": last.facts["kept"], "request": last.request, "safety": last.facts.get("safety", "")}
        with self._cluster.beside() as beside:
            return asking.ask_to_swap_back(
                self._cluster, beside, facts, planned_by=self.settings.operator, folder=folder
            )

    def approve_restore(
        self, request: Request, digest: str, *, approver: str | None = None, confirm: str | None = None
    ) -> Approval:
        """Record a person's consent to a request: see `workbench.documents.approve`."""
        return approve(
            request,
            digest,
            by=approver or self.settings.operator,
            hours=self.settings.approval_hours,
            confirm=confirm,
        )

    def restore(self, request: Request, progress: Progress | None = None, say: Say | None = None) -> Record:
        """Carry out an approved request: see `workbench.checkpoints.restore.running.restore_request`."""
        return restore_request(self._cluster, request, self._around(request, progress, say))

    def resume_restore(
        self, name: str | None = None, progress: Progress | None = None, say: Say | None = None
    ) -> Record:
        """Go on with the restore that was interrupted."""
        folder = requests_folder(self.settings)
        return resume_restore(self._cluster, folder, self._around(None, progress, say), name)

    def abandon_restore(self, name: str | None = None, say: Say | None = None) -> Record:
        """Give the restore up that was interrupted: the live database is as it was."""
        folder = requests_folder(self.settings)
        return abandon_restore(self._cluster, folder, self._around(None, None, say), name)

    def restore_steps(self, request: Request) -> list[str]:
        """Return what would be done, step by step, in words."""
        return [each.called for each in STEPS[request.way]]

    def estimated_restore(self, request: Request) -> float | None:
        """Return how many seconds a restore may take, as measured here; None where nothing was measured."""
        done = [
            each
            for each in records(requests_folder(self.settings))
            if each.outcome == "done" and each.live == request.header.target.database
            and each.facts.get("snapshot") == request.source.snapshot
        ]  # fmt: skip
        if done:
            return float(sum(done[-1].facts.get("seconds", {}).values()))
        if request.way == "swap back":
            return None
        proved = [each for each in self._manifest(request).verifications if each.outcome == "pass"]
        return proved[-1].seconds if proved else None

    @property
    def _cluster(self) -> Cluster:
        return Cluster(self.database, self.settings.client_tools)

    def _back_up(self) -> str:
        """Take the safety backup: a snapshot with its manifest, where the database is still one of Murmurant's."""
        try:
            made = self.create_snapshot(reason=f"before a restore of {self.environment.name}")
        except NotMurmurant:
            return bare_dump(self._cluster, self.settings)
        return str(made.archive)

    def _seen(self, cluster: Cluster, manifest: Manifest, there: bool, runs: Sequence[str]) -> Seen:
        """Look at what a restore would take away: whose work, by the evidence, or else which tables."""
        if not there:
            return Seen({}, (), ("What was in it is lost already.",))
        now = self._watch(cluster.live)
        try:
            found = self.losses(manifest.archive, runs, limit=0)
        except (NotMurmurant, SnapshotError, WrongEnvironment) as error:
            note = f"Whose work would be lost could not be told, only which tables: {error.what}"
            was = expected_of(manifest)
            return Seen(now, tuple(asking.coarse_losses(was, now)), (note,))
        rows = [
            {str(key): _plain(each) for key, each in row.items()} for row in found.authors.to_dict("records")
        ]
        notes = [f"Not counted: the doing of {', '.join(found.runs)}."] if found.runs else []
        for what, frame in (
            ("cannot be put back by a replay", found.conflicts),
            ("are unresolved", found.unresolved),
        ):
            if len(frame):
                notes.append(
                    f"{len(frame):,} rows or values {what}; `workbench snapshot losses SNAPSHOT` lists them."
                )
        return Seen(now, tuple(rows), tuple(notes))

    def _manifest(self, request: Request) -> Manifest:
        """Read the manifest of a request's snapshot, wherever it lies."""
        return Manifest.read(Path(request.source.file))

    def _watch(self, name: str) -> Counted:
        with self._cluster.connect(name) as connection:
            return watched(connection, self.database.address.schema)

    def _around(self, request: Request | None, progress: Progress | None, say: Say | None) -> Surroundings:
        cluster = self._cluster
        options = self.options

        def examine(of: Request, beside: psycopg.Connection[Any]) -> None:
            if of.way != "swap back":
                asking.examine(cluster, beside, of, self._manifest(of))

        def health() -> list[dict[str, Any]]:
            return [
                {"check": each.check.id, "status": each.status, "configured": each.configured,
                 "reason": each.reason or "; ".join(each.rows.get("answer", []))}
                for each in self.health()
            ]  # fmt: skip

        return Surroundings(
            settings=self.settings,
            operator=self.settings.operator,
            stop=(lambda: self.service("stop", say)) if options.app_stop else None,
            start=(lambda: self.service("start", say)) if options.app_start else None,
            health=health,
            backup=self._back_up,
            watch=self._watch,
            manifest=self._manifest,
            examine=examine,
            progress=progress or _silent,
        )


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _silent(what: str, done: int, total: int) -> None:
    pass
