"""The one thing a notebook imports: an environment, opened for looking."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal

import pandas as pd
from sqlalchemy import Connection

from workbench import audit
from workbench.checks import Finding, Look, run_checks
from workbench.checks.integrity import table_counts
from workbench.checks.registry import SAMPLE
from workbench.database.connection import Database, Identity, connect
from workbench.database.environment import Environment
from workbench.errors import NotMurmurant, WorkbenchError
from workbench.fixes.rollback import RollbackRequest, plan_rollback
from workbench.fixes.telling import LevelZero
from workbench.investigate import tiers
from workbench.investigate.readiness import readiness
from workbench.investigate.records import RunRecords, run_records
from workbench.investigate.runs import find_runs, pick_run, runs_frame
from workbench.murmurant.importers import Run
from workbench.murmurant.references import References
from workbench.murmurant.reports import ImportReport, read_reports
from workbench.murmurant.schema import Schema, read_schema
from workbench.plans import journal
from workbench.plans.apply import Progress, apply_plan
from workbench.plans.approvals import Approval, approve_plan
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan, Target
from workbench.plans.store import PlanState, applied_entry, find_plan, plan_states, plans_folder
from workbench.plans.undo import plan_undo
from workbench.settings import DEMO, EnvironmentSettings, Settings, load_settings


def open_workbench(
    environment: str | None = None,
    *,
    import_reports: Sequence[str | Path] = (),
    expected: Mapping[str, int | None] | None = None,
    one_state: bool = False,
    unmask: bool = False,
    settings: Settings | None = None,
) -> Workbench:
    """Open an environment for looking; nothing can be written through it.

    Parameters
    ----------
    environment : str, optional
        A name from ``workbench.toml``; else ``WORKBENCH_ENVIRONMENT``, else the embedded demo.
    import_reports : sequence of path, optional
        Report files of importers, or folders of them, besides those that are configured.
    expected : mapping, optional
        How many ``members``, ``events`` and ``registrations`` there should be (guide §7.1).
    one_state : bool
        Whether every question sees the database as it was at the first one. For a report; an
        interactive session should see changes, and not hold a transaction open for hours.
    unmask : bool
        Whether reports may show personal data.

    Raises
    ------
    UsageError
        For an unknown environment, or one whose URL is not set.
    WrongEnvironment
        When the environment's name, kind and address disagree.
    DatabaseUnreachable
        When there is no connection.
    """
    settings = settings or load_settings()
    name = environment or os.environ.get("WORKBENCH_ENVIRONMENT") or DEMO
    chosen = settings.environment(name)
    wanted = {key: value for key, value in (expected or {}).items() if value is not None}
    if wanted:
        chosen = EnvironmentSettings.model_validate(
            {**chosen.model_dump(), "expected": {**chosen.expected, **wanted}}
        )
    # The demo's own folder is there only once a demo was made; any other path that is named must be.
    own = (
        chosen.import_reports if chosen.url_env else [each for each in chosen.import_reports if each.exists()]
    )
    files = [*own, *map(Path, import_reports)]
    return Workbench(
        connect(name, settings), chosen, settings, read_reports(files), one_state=one_state, unmask=unmask
    )


@dataclass
class Workbench:
    """An environment, opened for looking. Made by `open_workbench`.

    Attributes
    ----------
    database : Database
        The guarded target.
    options : EnvironmentSettings
        What is configured for it.
    reports : tuple of ImportReport
        The importers' report files that count as evidence.
    """

    database: Database
    options: EnvironmentSettings
    settings: Settings
    reports: tuple[ImportReport, ...] = ()
    one_state: bool = False
    unmask: bool = False

    def __post_init__(self) -> None:
        self._open = ExitStack()
        self._held: Connection | None = None
        self._runs: list[Run] | None = None  # the same for as long as the state is
        # A notebook never closes what it opened; the interpreter's end must still find it closed.
        weakref.finalize(self, _close_quietly, self._open)

    def __enter__(self) -> Workbench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the transaction that `one_state` holds."""
        self._held = None
        self._open.close()

    @property
    def environment(self) -> Environment:
        """Name, kind and address: what the banner says."""
        return self.database.environment

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection in a read-only transaction, the held one where `one_state` is on."""
        if not self.one_state:
            with self.database.reading() as connection:
                yield connection
            return
        if self._held is None:
            self._held = self._open.enter_context(self.database.reading())
        with self.database.speaking_plainly():
            yield self._held

    @cached_property
    def identity(self) -> Identity:
        """Which database this is, by its own word."""
        with self.reading() as connection:
            return self.database.identify(connection)

    @cached_property
    def schema(self) -> Schema:
        """Murmurant's tables as they are here."""
        with self.reading() as connection:
            try:
                return read_schema(connection, self.database.address.schema)
            except NotMurmurant:
                if self.options.url_env is not None:
                    raise
                raise NotMurmurant(
                    "This is the embedded demo environment, and no demo club has been made in this folder.",
                    "Run `workbench demo`, or name your own database with --environment (-e).",
                ) from None

    @property
    def dialect(self) -> str:
        """``guide``, ``application`` or ``mixed``."""
        return self.schema.dialect

    @property
    def references(self) -> References:
        """Which rows refer to which."""
        return References(self.schema)

    def readiness(self) -> pd.DataFrame:
        """Tell what works here and what is missing: ``subject``, ``state``, ``detail``."""
        with self.reading() as connection:
            return readiness(
                connection, self.schema, self.environment, self.identity, self.options, self.reports
            )

    def find_runs(self) -> list[Run]:
        """Find every import run, with its traces."""
        if self._runs is None or not self.one_state:
            with self.reading() as connection:
                self._runs = find_runs(connection, self.schema, self.reports)
        return list(self._runs)

    def runs(self) -> pd.DataFrame:
        """List every import run: one row each, see `workbench.investigate.runs.runs_frame`."""
        return runs_frame(self.find_runs())

    def run(self, run_id: str, limit: int | None = None) -> RunRecords:
        """Tell record by record what one run did; `UsageError` for an id that left no trace."""
        run, others = pick_run(self.find_runs(), run_id)
        with self.reading() as connection:
            return run_records(connection, self.schema, run, others, limit)

    def checks(
        self, ids: Sequence[str] = (), waive: Mapping[str, str] | None = None, sample: int = SAMPLE
    ) -> list[Finding]:
        """Run checks, all or the named ones, on one state of the database; `sample` rows to a finding."""
        with self.reading() as connection:
            return run_checks(
                replace(self._look(connection), sample=sample), ids, waive, by=self.settings.operator
            )

    def counts(self) -> pd.DataFrame:
        """Count the rows that matter beside what is expected: ``table``, ``found``, ``expected``."""
        with self.reading() as connection:
            found = table_counts(self._look(connection, runs=False))
        expected: Mapping[str, int] = {str(key): value for key, value in self.options.expected.items()}
        rows = [(name, count, expected.get(name)) for name, count in found.items()]
        return pd.DataFrame(rows, columns=["table", "found", "expected"]).astype({"expected": "Int64"})

    def tier_distribution(self) -> pd.DataFrame:
        """Count the members in each tier (guide §4.3)."""
        with self.reading() as connection:
            return tiers.tier_distribution(connection, self.schema)

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

    def audit_summary(self) -> pd.DataFrame:
        """Count migration entries by run and action."""
        with self.reading() as connection:
            return audit.audit_summary(connection, self.schema)

    def imports_by_operator(self, since: datetime | None = None) -> pd.DataFrame:
        """Tell who ran imports, how many and how long (guide §5.2)."""
        with self.reading() as connection:
            return audit.imports_by_operator(connection, self.schema, since)

    @cached_property
    def target(self) -> Target:
        """Which database a plan is made for."""
        here, schema = self.environment, self.database.address.schema
        return Target(self.identity.system_identifier, self.identity.database, schema, here.name, here.kind)

    def plan_rollback(
        self,
        run_id: str,
        *,
        snapshot: str | Path | None = None,
        on_conflict: Literal["keep", "restore"] = "keep",
        min_evidence: str = "likely",
        sync_state: bool = False,
    ) -> Plan | LevelZero:
        """Plan to roll one run back (guide §3); writes a plan file and nothing else.

        Parameters
        ----------
        snapshot : path, optional
            A pg_dump archive from before the run: only it knows what rows were that the run changed.
        on_conflict : {"keep", "restore"}
            What becomes of a column that both the run and somebody after it changed.
        min_evidence : {"certain", "strong", "likely", "weak"}
            Records tied to the run more weakly are left alone, and listed as unresolved.
        sync_state : bool
            Whether to reset the sync state as well (guide §7.3).

        Returns
        -------
        Plan or LevelZero
            Level 0 for a dry run, which wrote nothing: what to fix.
        """
        request = RollbackRequest.checked(run_id, snapshot, on_conflict, min_evidence, sync_state)
        with self.reading() as connection:
            return plan_rollback(
                connection,
                self.schema,
                self.find_runs(),
                request,
                target=self.target,
                planned_by=self.settings.operator,
                settings=self.settings,
                folder=plans_folder(self.settings),
            )

    def plan(self, name: str) -> Plan:
        """Return a plan by its id or its file's path."""
        return find_plan(self.settings, name)

    def plans(self) -> pd.DataFrame:
        """List the plans of this environment and what became of each."""
        with self.reading() as connection:
            states = plan_states(
                self.settings, journal.entries(journal.raw(connection)), self.environment.name
            )
        return pd.DataFrame(states, columns=[each.name for each in fields(PlanState)]).drop(columns="path")

    def plan_undo(self, name: str) -> Plan:
        """Plan to take back what a plan did; writes a plan file and nothing else."""
        with self.reading() as connection:
            found = journal.raw(connection)
            return plan_undo(
                found,
                self.schema,
                applied_entry(found, self.settings, name),
                target=self.target,
                planned_by=self.settings.operator,
                folder=plans_folder(self.settings),
            )

    def approve(
        self, plan: Plan, digest: str, *, approver: str | None = None, confirm: str | None = None
    ) -> Approval:
        """Record a person's consent to a plan: see `workbench.plans.approvals.approve_plan`."""
        return approve_plan(
            plan,
            digest,
            approver=approver or self.settings.operator,
            hours=self.settings.approval_hours,
            confirmed_environment=confirm,
        )

    def apply(self, plan: Plan, progress: Progress | None = None) -> Entry:
        """Carry out an approved plan, whole or not at all; the only act here that writes rows."""
        return apply_plan(self.database, plan, operator=self.settings.operator, progress=progress)

    def _look(self, connection: Connection, runs: bool = True) -> Look:
        found = self.find_runs() if runs else []
        return Look(connection, self.schema, self.environment, self.options, found, self.reports)


def _close_quietly(held: ExitStack) -> None:
    # The server may have gone before us; there is nothing left to lose in a transaction that only read.
    with suppress(WorkbenchError):
        held.close()
