"""What a check may look at: one consistent state of a database, and what is known of it from elsewhere, as relations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from workbench.checks.finding import SAMPLE
from workbench.database.connection import raw
from workbench.database.environment import DEMO_MARK, Environment
from workbench.errors import SchemaGap, UsageError, WorkbenchError
from workbench.murmurant.canonical import Canonical, listed
from workbench.murmurant.importers import Run, Trace
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.schema import Relation, Schema
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.journal import applied_plans, entries, removed_records
from workbench.runs.rehearsals import rehearsals
from workbench.settings import EnvironmentSettings
from workbench.tiers.configuration import TierMapping, distinct, read_tier_mapping
from workbench.tiers.review import TierReview, review_tiers

NO_RUNS = (
    "No import run left a trace: no run id in the database, no audit row, no report file."
    " Give the importer's report files with --import-report."
)


class NotRunError(Exception):
    """Raised by a check that cannot answer here; its text says why and what would change that."""


class NotConfiguredError(NotRunError):
    """Raised by a check that nobody has asked for: it needs a setting that is not there."""


@dataclass(frozen=True)
class Look:
    """Everything a check may look at: one consistent state of one database.

    Attributes
    ----------
    connection : sqlalchemy.Connection
        In a read-only transaction.
    schema : Schema
        The tables, in this database's spelling.
    environment, settings : Environment, EnvironmentSettings
        The target and what is configured for it.
    find_runs, find_reports : callable
        What finds every import run, and the report files: asked when a check first needs them.
    sample : int
        The most rows that a finding carries; its count is of all.
    production_members : int or None
        How many members the settings expect of the club itself.
    """

    connection: Connection
    schema: Schema
    environment: Environment
    settings: EnvironmentSettings
    find_runs: Callable[[], Sequence[Run]]
    find_reports: Callable[[], Sequence[ImportReport]]
    sample: int = SAMPLE
    production_members: int | None = None

    @cached_property
    def runs(self) -> Sequence[Run]:
        """Every import run that is known; a `SchemaGap` where their traces may not be read."""
        return self.find_runs()

    @property
    def live(self) -> list[Run]:
        """The live ones."""
        return [run for run in self.runs if run.mode == "live"]

    def require_runs(self) -> None:
        """Raise `NotRunError` where no live run is known."""
        if not self.live:
            raise NotRunError(NO_RUNS)

    @property
    def as_of(self) -> datetime | None:
        """The end of the last run: "now", as far as the imported data know; None where none is known. UTC, without zone."""
        with suppress(SchemaGap):
            return max(filter(None, (run.finished or run.last_trace for run in self.live)), default=None)
        return None

    @cached_property
    def tiers(self) -> tuple[dict[str, TierReview], list[str]]:
        """The tiers as the configurations judge them, and what is wrong with a configuration."""
        mappings: list[TierMapping] = []
        wrong = []
        for path in self.settings.mappings:
            try:
                mappings = [*distinct([*mappings, read_tier_mapping(path)])]
            except UsageError as error:
                wrong.append(str(error))
        if not self.schema.has("members.level"):
            mappings = [mapping for mapping in mappings if not mapping.enabled]
        return review_tiers(self.connection, self.schema, mappings), wrong

    @cached_property
    def canonical(self) -> Canonical:
        """The tables as relations, and beside them what is known from elsewhere: see `docs/architecture.md`."""
        besides = {
            "here": self._here,
            "columns_here": self._columns_here,
            "runs": lambda: self._runs("runs", "live"),
            "dry_runs": lambda: self._runs("dry_runs", "dry"),
            "run_counts": self._run_counts,
            "run_entries": self._run_entries,
            "reported": self._reported,
            "rehearsals": self._rehearsals,
            "taken": self._taken,
            "applied_plans": self._applied_plans,
            "expected_counts": self._expected_counts,
        }
        return Canonical(self.schema, besides)

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Ask the canonical relations, as it is, and return tuples."""
        return self.canonical.execute(raw(self.connection), query, values).fetchall()

    def _here(self) -> Relation:
        """Give what is known of this environment, as one row."""
        limit, as_of = self.settings.event_capacity_limit, self.as_of
        facts = {
            "as_of": ("timestamp", as_of),
            "now": ("timestamp", max(filter(None, (datetime.now(UTC).replace(tzinfo=None), as_of)))),
            "capacity_limit": ("integer", limit),
            "environment": ("text", self.environment.name),
            "kind": ("text", self.environment.kind),
            "schema": ("text", self.schema.catalogue.schema),
            "dry_run_hours": ("float8", self.settings.dry_run_hours),
            "club_members": ("integer", self.production_members),
            "demo_mark": ("text", DEMO_MARK),
        }
        why = "No limit is configured. Set event_capacity_limit for this environment, or write it into the rule."
        lacking = {"capacity_limit": NotConfiguredError(why)} if limit is None else {}
        return listed("here", {name: (kind, [value]) for name, (kind, value) in facts.items()}, lacking)

    def _columns_here(self) -> Relation:
        """Give the columns that this database has, as ``events.status``, and how it spells them."""
        rows = [
            (f"{concept}.{column}", spelling)
            for concept, table in self.schema.resolved.items()
            for column, spelling in table.spelling.items()
        ]
        return _relation("columns_here", {"name": "text", "spelling": "text"}, rows)

    def _runs(self, name: str, mode: str) -> Relation:
        """Give the live import runs, or the dry ones."""
        columns = {
            "run": "text",
            "importer": "text",
            "environment": "text",
            "sync": "text",
            "status": "text",
            "why": "text",
            "evidence": "text",
            "started": "timestamp",
            "finished": "timestamp",
            "last_trace": "timestamp",
            "ended": "timestamp",
            "rolled_back": "boolean",
            "rolled_back_at": "timestamp",
            "superseded": "boolean",
            "made_up": "boolean",
            "audit_rows": "integer",
            "importer_reports": "boolean",
        }
        reporting = {report.importer for report in self.find_reports()}
        rows = []
        for run in self.runs:
            if run.mode == mode:
                special = {
                    "environment": run.environment or None,
                    "ended": run.finished or run.last_trace,
                    "superseded": bool(run.superseded_by),
                    "made_up": made_up(run, self.runs),
                    "audit_rows": run.traces.get(Trace.AUDIT, 0),
                    "importer_reports": run.importer in reporting,
                }
                rows.append([special[c] if c in special else getattr(run, c) for c in columns])
        return _relation(name, columns, rows, NotRunError(NO_RUNS))

    def _run_counts(self) -> Relation:
        """Give what runs created and updated of an entity, as they report it and by its traces; NULL where no report says."""
        columns = {
            "run": "text",
            "entity": "text",
            "action": "text",
            "reported": "integer",
            "traced": "integer",
        }
        rows = [
            (
                run.run,
                entity,
                action,
                run.reported[entity].get(action, 0) if entity in run.reported else None,
                run.traced.get(entity, {}).get(action, 0),
            )
            for run in self.runs
            for entity in {*run.reported, *run.traced}
            for action in ("created", "updated")
        ]
        return _relation("run_counts", columns, rows)

    def _run_entries(self) -> Relation:
        """Give the guide's audit entries of runs: ``run`` and ``action``."""
        rows = [(run.run, action) for run in self.runs for action, _, _ in run.entries]
        return _relation("run_entries", {"run": "text", "action": "text"}, rows)

    def _reported(self) -> Relation:
        """Give what the reports of live runs say of single records."""
        rows = [
            (run.run, record.entity, record.record_id, record.action)
            for run in self.runs
            if run.mode == "live"
            for report in run.reports
            for record in report.records
            if record.record_id
        ]
        columns = ("reported_by", "entity", "record_id", "reported_as")
        return _relation("reported", dict.fromkeys(columns, "text"), rows)

    def _rehearsals(self) -> Relation:
        """Give each live run with its dry run, and how well that rehearsed it."""
        columns = {"run": "text", "dry_started": "timestamp", "rehearsed": "text"}
        rows = [
            (run.run, dry and dry.started, judged)
            for run, dry, _, judged in rehearsals(self.runs, self.settings.dry_run_hours)
        ]
        return _relation("rehearsals", columns, rows, NotRunError(NO_RUNS))

    def _taken(self) -> Relation:
        """Give the records that plans which stand took away, and the run that each bears: ``entity``, ``record_id``, ``run``."""
        try:
            plans = applied_plans(self.connection)
        except WorkbenchError as error:
            raise NotRunError(str(error)) from None
        selects = [
            f"SELECT '{entity}' AS entity, record_id, run FROM ({removed_records(self.schema, entity, plans)}) AS of_{entity}"
            for entity in ENTITIES
        ]
        return Relation(" UNION ALL ".join(selects))

    def _applied_plans(self) -> Relation:
        """Give the plans that were applied here, as the journal has them."""
        columns = {
            "plan": "text",
            "kind": "text",
            "at": "timestamp",
            "applied_by": "text",
            "digest": "text",
            "total": "integer",
        }
        try:
            journal = entries(raw(self.connection))
        except WorkbenchError as error:
            raise NotRunError(str(error)) from None
        rows = [[getattr(entry, column) for column in columns] for entry in journal]
        return _relation("applied_plans", columns, rows, NotRunError("No plan was applied here."))

    def _expected_counts(self) -> Relation:
        """Give how many rows of a relation there should be: ``name`` and ``expected``."""
        why = (
            "Nobody said how many there should be. Set expected (members, events, registrations) for this environment,"
            " or give the report expected_members and so on."
        )
        rows = [*self.settings.expected.items()]
        columns = {"name": "text", "expected": "integer"}
        return _relation("expected_counts", columns, rows, NotConfiguredError(why))


def made_up(run: Run, runs: Sequence[Run]) -> bool:
    """Whether a later live run of the same importer fetched everything, and reached its end."""
    later = runs[list(runs).index(run) + 1 :]
    return any(
        (other.importer, other.mode, other.status) == (run.importer, "live", "completed")
        and other.sync != "incremental"
        and not other.rolled_back
        for other in later
    )


def _relation(
    name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]], if_empty: Exception | None = None
) -> Relation:
    cells = {column: (kind, [row[at] for row in rows]) for at, (column, kind) in enumerate(columns.items())}
    return listed(name, cells, {"": if_empty} if if_empty and not rows else {})
