"""Level 2 for an environment: its application stopped, started and asked, and a snapshot restored (guide §3, §7)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from workbench.checkpoints.service import Say, ServiceRun, run_service
from workbench.checks import Finding, run_checks
from workbench.fixes.sync_state import plan_sync_state
from workbench.plans.plan import Plan
from workbench.plans.store import plans_folder
from workbench.session import Session

HEALTH_CHECKS = ("app-health", "app-pages", "app-auth-refuses", "app-auth-admits")
"""What guide §7.2 asks of the application."""

_PAUSE = 0.25  # seconds between two rounds of questions

Heard = Callable[[list[Finding], float], None]
"""Told each round's findings, and how many seconds after the first."""


class Restoring(Session):
    """The acts around a restore."""

    def plan_sync_state(self) -> Plan:
        """Plan to reset the sync state (guide §7.3); writes a plan file and nothing else."""
        with self.reading() as connection:
            return plan_sync_state(
                connection,
                self.schema,
                target=self.target,
                planned_by=self.settings.operator,
                folder=plans_folder(self.settings),
            )

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
