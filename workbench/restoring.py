"""Level 2 for an environment: its snapshots, its application, and restores of the ones over the other (guide §2.1, §3, §7)."""

from __future__ import annotations

from functools import cached_property

from workbench.history.questions import History
from workbench.migration.dry_runs import list_dry_runs
from workbench.session import Session
from workbench.snapshots.application import Application
from workbench.snapshots.namespace import Snapshots
from workbench.snapshots.restore.restores import Restores


class Restoring(Session):
    """What is done before a migration, and when nothing smaller than the whole database will do."""

    @cached_property
    def snapshots(self) -> Snapshots:
        """The environment's snapshots."""
        return Snapshots(self, lambda: list_dry_runs(self.settings.backups, self.environment.name))

    @cached_property
    def history(self) -> History:
        """What came after a snapshot."""
        return History(self)

    @cached_property
    def app(self) -> Application:
        """The environment's application."""
        return Application(self)

    @cached_property
    def restores(self) -> Restores:
        """The restores of snapshots over this database."""
        return Restores(self, self.snapshots, self.app, self.history.losses)
