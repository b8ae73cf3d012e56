"""Level 2 for an environment: its application stopped, started and asked, and a snapshot restored (guide §3, §7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from workbench.checkpointing import Checkpointing, silent
from workbench.checks import Finding, run_checks
from workbench.differing import Differing
from workbench.errors import NotMurmurant, SnapshotError, WrongEnvironment
from workbench.plans.plan import Plan
from workbench.runs.sync_state import plan_sync_state
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.act import STEPS, abandon_restore, restore_request, resume_restore
from workbench.snapshots.restore.asking import ask_for_restore, ask_to_swap_back
from workbench.snapshots.restore.request import DONE, Record, Request, Tables, records_in, requests_in
from workbench.snapshots.restore.steps import Progress
from workbench.snapshots.restore.tables import losses, tables_of
from workbench.snapshots.service import Say, ServiceRun, run_service
from workbench.snapshots.store import find_snapshot

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
        """Stop or start the application by its configured command: see `workbench.snapshots.service`."""
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
        return requests_in(self.settings).find(name)

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
        return ask_for_restore(
            self.database,
            self.settings,
            manifest,
            lambda tables: self._losses(manifest, tables, runs),
            way="in place" if in_place else "swap",
            from_elsewhere=from_elsewhere,
            keep_sync_state=keep_sync_state,
        )

    def request_undo_of_restore(self, name: str | None = None) -> Request:
        """Ask to put the database back that the last restore kept; writes a request file and nothing else."""
        return ask_to_swap_back(self.database, self.settings, name)

    def restore(self, request: Request, progress: Progress | None = None, say: Say | None = None) -> Record:
        """Carry out an approved request: see `workbench.snapshots.restore.act.restore_request`."""
        return restore_request(self, request, progress or silent, say)

    def resume_restore(
        self, name: str | None = None, progress: Progress | None = None, say: Say | None = None
    ) -> Record:
        """Go on with the restore that was interrupted."""
        return resume_restore(self, name, progress or silent, say)

    def abandon_restore(self, name: str | None = None, say: Say | None = None) -> Record:
        """Give the restore up that was interrupted: the live database is as it was."""
        return abandon_restore(self, name, silent, say)

    def restore_steps(self, request: Request) -> list[str]:
        """Return what would be done, step by step, in words."""
        return [each.called for each in STEPS[request.way]]

    def estimated_restore(self, request: Request) -> float | None:
        """Return how many seconds a restore may take, as measured here; None where nothing was measured."""
        done = [
            each
            for each in records_in(self.settings)
            if each.outcome == DONE and each.live == request.target.database
            and each.facts.get("snapshot") == request.snapshot
        ]  # fmt: skip
        if done:
            return float(sum(done[-1].facts.get("seconds", {}).values()))
        if request.way == "swap back":
            return None
        proved = [each for each in Manifest.read(Path(request.file)).verifications if each.outcome == "pass"]
        return proved[-1].seconds if proved else None

    def _losses(
        self, manifest: Manifest, tables: Tables, runs: Sequence[str]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Tell what a restore would take away: whose work, by the evidence, or else which tables; and what could not be told."""
        try:
            found = self.losses(manifest.archive, runs, limit=0)
        except (NotMurmurant, SnapshotError, WrongEnvironment) as error:
            note = f"Whose work would be lost could not be told, only which tables: {error.what}"
            return losses(tables_of(manifest.contents, manifest.target.schema), tables), [note]
        rows = [
            {str(key): value.item() if hasattr(value, "item") else value for key, value in row.items()}
            for row in found.authors.to_dict("records")
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
        return rows, notes
