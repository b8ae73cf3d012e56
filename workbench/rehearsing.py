"""An environment's dry runs: run, shown to their reviewer, approved (guide §2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd
from sqlalchemy import Connection

from workbench.covering import covering
from workbench.errors import DatabaseUnreachable, DocumentError, NotMurmurant, UsageError
from workbench.investigate.runs import find_runs, pick_run
from workbench.migration.dry_run_review import DryRunReview, review_dry_run
from workbench.migration.dry_runs import DryRun, approve_dry_run, find_dry_run, list_dry_runs
from workbench.migration.invariants import read_files
from workbench.migration.running import run_dry, told_by, transaction_mark, written_since
from workbench.murmurant.importers import DRY_RUN_REVIEWED, Run
from workbench.murmurant.reports import ImportReport, read_reports
from workbench.session import Session

T = TypeVar("T")


class Approved(NamedTuple):
    """A dry run that was just approved; `not_logged` says why the audit log does not say so, where it does not."""

    dry_run: DryRun
    not_logged: str


class Rehearsing(Session):
    """Dry runs."""

    def dry_run(
        self,
        command: Sequence[str],
        *,
        show: Callable[[str], None] | None = None,
        vouched: bool = False,
        reports: Sequence[str | Path] = (),
        folder: str | Path = ".",
    ) -> DryRun:
        """Run an importer with ``DRY_RUN=1``, and keep its log, its reports and what is known of it.

        Parameters
        ----------
        command : sequence of str
            The importer and its arguments.
        show : callable, optional
            Given every piece of output as it comes; else it is printed.
        vouched : bool
            Whether the operator says that ``DRY_RUN`` reaches an importer which another program starts elsewhere.
        reports : sequence of path
            Where it leaves its reports, besides ``import_reports`` of the environment.
        folder : path
            Where it is started.

        Raises
        ------
        Refused
            When the command itself says that the run is not dry, or loses the variable.
        """
        told = told_by(command, Path(folder), vouched)
        since = self._asked(transaction_mark)
        return run_dry(
            command,
            backups=self.settings.backups,
            environment=self.environment.name,
            kind=self.environment.kind,
            operator=self.settings.operator,
            told_by=told,
            show=show or (lambda piece: print(piece, end="", flush=True)),
            reports=[*self.options.import_reports, *map(Path, reports)],
            configuration=self.options.mappings,
            folder=Path(folder),
            written_meanwhile=lambda: (
                self._asked(lambda asked: written_since(asked, self.schema, since)) if since else None
            ),
        )

    def dry_runs(self) -> pd.DataFrame:
        """List the dry runs of this environment that are kept, the latest first.

        Returns
        -------
        pandas.DataFrame
            ``dry_run``, ``started`` (UTC), ``seconds``, ``operator``, ``state``, ``exit_code``, ``runs``,
            ``reviewed_by``, ``reviewed_at``, ``fresh`` (within ``dry_run_hours``), ``command``.
        """
        now, hours = datetime.now(UTC), self.options.dry_run_hours
        rows = [
            (
                *(run.name, run.started_at.astimezone(UTC).replace(tzinfo=None), run.seconds, run.operator),
                *(run.state, run.exit_code, ", ".join(run.runs)),
                *((review.by, review.at.isoformat()) if (review := run.approval) else ("", "")),
                *(run.is_fresh(now, hours), " ".join(run.command)),
            )
            for run in list_dry_runs(self.settings.backups, self.environment.name)
        ]
        columns = (
            "dry_run started seconds operator state exit_code runs reviewed_by reviewed_at fresh command"
        )
        return pd.DataFrame(rows, columns=columns.split())

    def kept_dry_run(self, name: str | None = None) -> DryRun:
        """Return a dry run by its name or by the run id that its report names; else the latest of this environment."""
        return find_dry_run(self.settings.backups, name, self.environment.name)

    @covering
    def review_dry_run(self, name: str | None = None, sample: int = 3) -> DryRunReview:
        """Lay out what a dry run would do, beside the dry run before and the live run after it.

        Parameters
        ----------
        name : str, optional
            A dry run, by its name or run id; also of one that only left its report. Else the latest.

        Raises
        ------
        DocumentError
            When it left no report that could be reviewed.
        UsageError
            For a name that is none, or is a live run's.
        """
        run_id, kept = self._reported(name)
        known = {(each.run_id, each.path.name): each for each in (*self.reports, *kept)}
        with self.reading() as connection:
            runs = find_runs(connection, self.schema, list(known.values()))
        run = _dry(runs, run_id)
        paths = [each.path for each in run.reports if each.path.suffix == ".json"]
        return review_dry_run(
            run, runs, read_files(paths, [], datetime.now(UTC)), sample, self.options.expected
        )

    def approve_dry_run(self, name: str | None = None, *, remark: str = "") -> Approved:
        """Record that the operator read a dry run and approves of it, in its manifest and in the audit log.

        Raises
        ------
        Refused
            When it did not come to its end, left no report, was altered since; on production, when who ran it would.
        """
        reviewed = approve_dry_run(self.kept_dry_run(name), self.settings.operator, remark)
        review = reviewed.reviews[-1]
        facts = {
            "run_id": reviewed.runs[0] if reviewed.runs else None,
            "operator": review.by,
            "dry_run": reviewed.name,
            "content_sha256": review.content_sha256,
            "configuration_sha256": reviewed.configuration_sha256,
            "remark": review.remark,
        }
        return Approved(reviewed, self.log(DRY_RUN_REVIEWED, facts, about=review.content_sha256))

    def _reported(self, name: str | None) -> tuple[str, tuple[ImportReport, ...]]:
        """Return which run is meant, and the reports that its dry run kept."""
        try:
            kept = self.kept_dry_run(name)
        except UsageError:
            if name is None or not any(each.run_id == name for each in self.reports):
                raise
            return name, ()
        if not kept.runs:
            raise DocumentError(
                f"{kept.name} left no report file, so there is nothing to review but its log, which is not an incremental sync's.",
                f"It is {kept.folder / (kept.log.file if kept.log else '')}. Name the importer's folder in"
                " import_reports, and run it again.",
            )
        return name if name in kept.runs else kept.runs[-1], read_reports(
            kept.folder / each.file for each in kept.evidence if each.run
        )

    def _asked(self, question: Callable[[Connection], T]) -> T | None:
        """Ask; a database that cannot be reached must not keep an importer from being tried out."""
        try:
            with self.database.reading() as connection:
                return question(connection)
        except (DatabaseUnreachable, NotMurmurant):
            return None


def _dry(runs: Sequence[Run], run_id: str) -> Run:
    run, _ = pick_run(runs, run_id)
    if run.mode != "dry":
        raise UsageError(f"{run_id} was a live run.", f"`workbench run {run_id}` tells what it did.")
    return run
