"""What a check can query: one consistent state of a database, and what is known from elsewhere, as relations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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
from workbench.runs.discovery import rehearsals
from workbench.settings import EnvironmentSettings
from workbench.tiers.configuration import TierMapping, distinct, read_tier_mapping
from workbench.tiers.review import TierReview, review_tiers

NO_RUNS = (
    "No import run left a trace: no run id in the database, no audit row, no report file."
    " Give the importer's report files with --import-report."
)


class NotRunError(Exception):
    """Raised by a check that cannot run here; the message says why, and what would change that."""


class NotConfiguredError(NotRunError):
    """Raised by a check that needs a setting which nobody has made."""


@dataclass(frozen=True)
class Look:
    """Everything that a check can query: one consistent state of one database.

    Attributes
    ----------
    connection : sqlalchemy.Connection
        In a read-only transaction.
    schema : Schema
        The tables of this database.
    environment, settings : Environment, EnvironmentSettings
        The target and its settings.
    find_runs, find_reports : callable
        Return every import run, and the report files. Called when a check first needs them.
    sample : int
        The largest number of rows in a finding; its count covers all rows.
    production_members : int or None
        The number of members that the settings expect in the production environment.
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
        """Every known import run; `SchemaGap` where their traces may not be read."""
        return self.find_runs()

    @property
    def live(self) -> list[Run]:
        """The live runs."""
        return [run for run in self.runs if run.mode == "live"]

    def require_runs(self) -> None:
        """Raise `NotRunError` where no live run is known."""
        if not self.live:
            raise NotRunError(NO_RUNS)

    @property
    def as_of(self) -> datetime | None:
        """The end of the last live run, in UTC without zone; None where no run is known."""
        with suppress(SchemaGap):
            return max(filter(None, (run.finished or run.last_trace for run in self.live)), default=None)
        return None

    @cached_property
    def tiers(self) -> tuple[dict[str, TierReview], list[str]]:
        """The tiers compared with the configurations, and the errors in configurations."""
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
        """The tables as relations, and further relations of what is known from elsewhere: see `docs/architecture.md`."""
        further = {
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
        return Canonical(self.schema, further)

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Query the relations and return tuples."""
        return self.canonical.execute(raw(self.connection), query, values).fetchall()

    def _here(self) -> Relation:
        """Return one row of facts about this environment."""
        limit, as_of = self.settings.event_capacity_limit, self.as_of
        columns = (
            "as_of timestamp, now timestamp, capacity_limit integer, environment text, kind text, schema text,"
            " dry_run_hours float8, club_members integer, demo_mark text"
        )
        now = max(filter(None, (_now(), as_of)))
        environment, schema = self.environment, self.schema.catalogue.schema
        row: list[Any] = [as_of, now, limit, environment.name, environment.kind, schema]
        row += [self.settings.dry_run_hours, self.production_members, DEMO_MARK]
        why = "No limit is configured. Set event_capacity_limit for this environment, or write it into the rule."
        lacking = {"capacity_limit": NotConfiguredError(why)} if limit is None else {}
        return replace(_relation("here", columns, [row]), lacking=lacking)

    def _columns_here(self) -> Relation:
        """Return the columns that this database has, such as ``events.status``, and their real names."""
        rows = [
            (f"{concept}.{column}", spelling)
            for concept, table in self.schema.resolved.items()
            for column, spelling in table.spelling.items()
        ]
        return _relation("columns_here", "name text, spelling text", rows)

    def _runs(self, name: str, mode: str) -> Relation:
        """Return the live or the dry import runs."""
        columns = (
            "run text, importer text, environment text, sync text, status text, why text, evidence text,"
            " started timestamp, finished timestamp, last_trace timestamp, ended timestamp, rolled_back boolean,"
            " rolled_back_at timestamp, superseded boolean, made_up boolean, audit_rows integer, importer_reports boolean"
        )
        reporting = {report.importer for report in self.find_reports()}
        rows = []
        for run in self.runs:
            if run.mode == mode:
                facts = [
                    run.run,
                    run.importer,
                    run.environment or None,
                    run.sync,
                    run.status,
                    run.why,
                    run.evidence,
                ]
                times = [run.started, run.finished, run.last_trace, run.finished or run.last_trace]
                undone = [
                    run.rolled_back,
                    run.rolled_back_at,
                    bool(run.superseded_by),
                    made_up(run, self.runs),
                ]
                logged = [run.traces.get(Trace.AUDIT, 0), run.importer in reporting]
                rows.append([*facts, *times, *undone, *logged])
        return _relation(name, columns, rows, NotRunError(NO_RUNS))

    def _run_counts(self) -> Relation:
        """Return the records that each run created and updated, by its report (NULL without one) and by its traces."""
        rows = []
        for run in self.runs:
            for entity in {*run.reported, *run.traced}:
                reported, traced = run.reported.get(entity), run.traced.get(entity, {})
                for action in ("created", "updated"):
                    count = None if reported is None else reported.get(action, 0)
                    rows.append((run.run, entity, action, count, traced.get(action, 0)))
        columns = "run text, entity text, action text, reported integer, traced integer"
        return _relation("run_counts", columns, rows)

    def _run_entries(self) -> Relation:
        """Return the guide's audit entries about runs."""
        rows = [(run.run, action) for run in self.runs for action, _, _ in run.entries]
        return _relation("run_entries", "run text, action text", rows)

    def _reported(self) -> Relation:
        """Return the records that reports of live runs name."""
        rows = [
            (run.run, record.entity, record.record_id, record.action)
            for run in self.live
            for report in run.reports
            for record in report.records
            if record.record_id
        ]
        return _relation("reported", "reported_by text, entity text, record_id text, reported_as text", rows)

    def _rehearsals(self) -> Relation:
        """Return each live run with its dry run, and how well that rehearsed it."""
        rows = [
            (run.run, dry and dry.started, judged)
            for run, dry, _, judged in rehearsals(self.runs, self.settings.dry_run_hours)
        ]
        columns = "run text, dry_started timestamp, rehearsed text"
        return _relation("rehearsals", columns, rows, NotRunError(NO_RUNS))

    def _taken(self) -> Relation:
        """Return the records that plans removed, and the run id of each: ``entity``, ``record_id``, ``run``."""
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
        """Return the plans that were applied here, by the journal."""
        try:
            rows = [
                (entry.plan, entry.kind, entry.at, entry.applied_by, entry.digest, entry.total)
                for entry in entries(raw(self.connection))
            ]
        except WorkbenchError as error:
            raise NotRunError(str(error)) from None
        columns = "plan text, kind text, at timestamp, applied_by text, digest text, total integer"
        return _relation("applied_plans", columns, rows, NotRunError("No plan was applied here."))

    def _expected_counts(self) -> Relation:
        """Return the expected number of rows of each relation."""
        why = (
            "No counts are expected. Set expected (members, events, registrations) for this environment,"
            " or give the report expected_members and so on."
        )
        rows = [*self.settings.expected.items()]
        return _relation("expected_counts", "name text, expected integer", rows, NotConfiguredError(why))


def made_up(run: Run, runs: Sequence[Run]) -> bool:
    """Whether a later live run of the same importer fetched everything and completed."""
    later = runs[list(runs).index(run) + 1 :]
    return any(
        (other.importer, other.mode, other.status) == (run.importer, "live", "completed")
        and other.sync != "incremental"
        and not other.rolled_back
        for other in later
    )


def _relation(
    name: str, columns: str, rows: Sequence[Sequence[Any]], if_empty: Exception | None = None
) -> Relation:
    """Return rows as a relation; `if_empty` is why it cannot be queried when there are none."""
    cells = {}
    for position, declaration in enumerate(columns.split(", ")):
        column, kind = declaration.split(" ")
        cells[column] = (kind, [row[position] for row in rows])
    return listed(name, cells, {"": if_empty} if if_empty and not rows else {})


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
