"""What a rule is asked of: one consistent state of a database, and what is known of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, cast, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import TIMESTAMP

from workbench.errors import UsageError
from workbench.investigate.runs import pick_run
from workbench.investigate.traces import record_traces
from workbench.murmurant.importers import Run, Strength
from workbench.murmurant.schema import Schema


class NoAnswerError(Exception):
    """Raised by a rule that cannot be asked here; its text says why, and what would change that.

    Attributes
    ----------
    configured : bool
        False when it only lacks a setting that nobody gave, or may be left unanswered by its own word.
    """

    def __init__(self, why: str, *, configured: bool = True) -> None:
        super().__init__(why)
        self.configured = configured


@dataclass(frozen=True)
class Ground:
    """What a rule is asked of.

    Attributes
    ----------
    connection : sqlalchemy.Connection
        In a read-only transaction.
    capacity_limit : int or None
        The environment's ``event_capacity_limit``, for a rule that states no limit of its own.
    as_of : datetime or None
        The end of the last live run.
    sample : int
        The most rows an answer carries; its count is of all.
    timeout : float
        Longest a statement of the organisation's own may take, seconds.
    """

    connection: Connection
    schema: Schema
    capacity_limit: int | None = None
    runs: Sequence[Run] = ()
    as_of: datetime | None = None
    sample: int = 20
    timeout: float = 120.0

    @property
    def now(self) -> ColumnElement[datetime]:
        """The present: the database's clock, or the end of the last run where that is later (UTC)."""
        clock = func.timezone("UTC", func.now())
        return func.greatest(cast(clock, TIMESTAMP()), cast(literal(self.as_of), TIMESTAMP()))

    def written_by(self, run_id: str, entity: str) -> Select[Any]:
        """Select the ids, as text, of the records that a run created or updated, by evidence that is likely.

        Raises
        ------
        UsageError
            For a run that left no trace, or a dry run, which wrote nothing.
        """
        run, others = pick_run(self.runs, run_id)
        if run.mode == "dry":
            raise UsageError(f"Run {run_id} was a dry run and wrote nothing.", "Name the live run.")
        traces = record_traces(self.schema, run, others)
        if not traces:
            raise NoAnswerError(
                f"No trace ties a record to run {run_id}. Its report file may name them: --import-report."
            )
        seen = union_all(*traces).subquery("of_run")
        return select(seen.c.record_id).where(
            seen.c.entity == entity,
            seen.c.record_id.is_not(None),
            seen.c.action.in_(["created", "updated"]),
            seen.c.strength >= int(Strength.likely),
        )
