"""``wb.audit``: the audit log's migration entries (guide §5.2), and whether the workbench's own were changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from workbench.answer import Answer, Table
from workbench.audit.digest import LogState, compare_with_noted
from workbench.audit.entries import BY_OPERATOR, BY_RUN, audit_entries, query_log
from workbench.covering import answering, covering
from workbench.database.connection import raw
from workbench.documents import Store
from workbench.murmurant.spellings import RUN_ID_KEYS
from workbench.plans.plan import Plan
from workbench.reporting.masking import mask
from workbench.runs.discovery import pick_run
from workbench.session import Session
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.store import list_snapshots

_NONE = "no entries"
_OWN_COLUMNS = {*RUN_ID_KEYS, "operator", "source", "migrationAction"}


class Audit:
    """The audit log of migrations: ``wb.audit()`` lists its entries; they can be counted by run or by operator."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(
        self,
        run_id: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        limit: int | None = 200,
    ) -> Answer:
        """List the latest `limit` migration entries, and check whether the workbench's own were changed.

        Parameters
        ----------
        run_id, action : str, optional
            Only entries of this run; only actions that begin with this. `UsageError` for a run that left no trace.
        since : datetime, optional
            Only entries at or after this moment (UTC, without zone).
        """
        if run_id is not None:
            run_id = pick_run(self.wb.find_runs(), run_id)[0].run
        entries = self.entries(run_id=run_id, action=action, since=since, limit=limit)
        more = f"The latest {limit}. For more: --limit N; for counts of all: --summary."
        log = self.state()
        shown = mask(entries, self.wb.shows_people)
        brief = shown.assign(metadata=[_brief(facts) for facts in shown["metadata"]])
        brief.attrs["harmless"] = ("metadata",)  # already masked
        table = Table(
            brief[["at", "action", "operator", "metadata", "run", "id"]],
            empty=_NONE,
            note=more if len(entries) == limit else "",
        )
        return Answer(
            parts={"entries": table, "log": f"\n{log}"}, facts={"entries": entries, "log": log._asdict()}
        )

    @answering
    def summary(self, since: datetime | None = None) -> Answer:
        """Count the entries by run and action: ``run``, ``action``, ``entries``, ``first``, ``last``."""
        return self._counted(BY_RUN, since)

    @answering
    def operators(self, since: datetime | None = None) -> Answer:
        """Show who ran imports, how many, and for how long in total."""
        return self._counted(BY_OPERATOR, since)

    def _counted(self, query: str, since: datetime | None) -> Answer:
        with self.wb.reading() as connection:
            counts = query_log(connection, self.wb.schema, query, since=since)
        return Answer(parts={"counts": Table(counts, empty=_NONE)}, facts=counts)

    @covering
    def entries(self, /, **which: Any) -> pd.DataFrame:
        """Return the entries as a frame: see `workbench.audit.entries.audit_entries`."""
        with self.wb.reading() as connection:
            return audit_entries(connection, self.wb.schema, **which)

    def state(self) -> LogState:
        """Compare the workbench's own entries with the digest that a snapshot or plan recorded last."""
        wb = self.wb
        snapshots = list_snapshots(wb.settings.backups, wb.environment.name)
        noting: list[tuple[str, Manifest | Plan]] = [
            (f"snapshot {item.snapshot}", item) for item in snapshots
        ]
        for _, plan in Store(wb.plans_folder, Plan).scan():  # `plans` lists damaged ones
            noting += [(f"plan {plan.id}", plan)] if isinstance(plan, Plan) else []
        notes = [(name, item.log) for name, item in noting if item.log and item.target == wb.target]
        with wb.reading() as connection:
            return compare_with_noted(raw(connection), wb.schema, notes)


def _brief(metadata: Any) -> str:
    """Return an entry's metadata without the values that have columns of their own."""
    if not isinstance(metadata, dict):
        return str(metadata)
    return ", ".join(f"{key}: {value}" for key, value in metadata.items() if key not in _OWN_COLUMNS)
