"""The audit log, from a notebook: its questions, and whether it is whole."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd

from workbench import audit
from workbench.audit.verifying import Verdict
from workbench.covering import covering
from workbench.database.connection import raw
from workbench.session import Session


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

    def audit_verify(self, against: str | Path | None = None) -> Verdict:
        """Walk the hash chain of the workbench's own entries, and name the first break.

        Parameters
        ----------
        against : path, optional
            What ``workbench audit verify --json`` answered earlier: its end must still be part of the chain.
        """
        noted = audit.read_noted(Path(against)) if against is not None else None
        with self.reading() as connection:
            return audit.verify_chain(audit.read_chain(raw(connection), self.schema), noted)
