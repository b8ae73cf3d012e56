"""The audit log, from a notebook: its questions, and whether it is as it was noted last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pandas as pd

from workbench import audit
from workbench.audit import LogState, Noted
from workbench.covering import covering
from workbench.database.connection import raw
from workbench.documents import Store
from workbench.plans.plan import Plan
from workbench.session import Session
from workbench.snapshots.store import list_snapshots


class Auditing(Session):
    """What the audit log says of migrations."""

    @covering
    def audit(
        self,
        run_id: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        limit: int | None = 200,
    ) -> pd.DataFrame:
        """List the audit log's migration entries (guide §5.2)."""
        with self.reading() as connection:
            return audit.audit_entries(
                connection, self.schema, run_id=run_id, action=action, since=since, limit=limit
            )

    @covering
    def audit_summary(self, since: datetime | None = None) -> pd.DataFrame:
        """Count migration entries by run and action."""
        with self.reading() as connection:
            return audit.audit_summary(connection, self.schema, since)

    def imports_by_operator(self, since: datetime | None = None) -> pd.DataFrame:
        """Tell who ran imports, how many and how long (guide §5.2)."""
        with self.reading() as connection:
            return audit.imports_by_operator(connection, self.schema, since)

    def audit_log_state(self) -> LogState:
        """Tell whether the workbench's own entries are as a snapshot or a plan noted them last."""
        with self.reading() as connection:
            return audit.compare_with_noted(raw(connection), self.schema, self._log_notes())

    def _log_notes(self) -> Iterator[tuple[str, Noted]]:
        for manifest in list_snapshots(self.settings.backups, self.environment.name):
            if manifest.log is not None and manifest.target == self.target:
                yield f"snapshot {manifest.snapshot}", manifest.log
        for _, plan in Store(self.plans_folder, Plan).scan():  # `plans` tells of a damaged one
            if isinstance(plan, Plan) and plan.log is not None and plan.target == self.target:
                yield f"plan {plan.id}", plan.log
