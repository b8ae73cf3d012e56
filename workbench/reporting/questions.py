"""Reports: run, and what their notebooks are made of (guide §7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.answer import Answer
from workbench.checks import Finding
from workbench.errors import DatabaseUnreachable, WorkbenchError
from workbench.reporting.plans import Review, applied_plans, review_plan
from workbench.reporting.verdict import Verdict, conclude
from workbench.session import Session

if TYPE_CHECKING:
    from workbench.reporting.runner import Progress, ReportResult


class Reports:
    """``wb.report("post-recovery")`` leaves an executed notebook, a page and a verdict; the rest is for the notebooks."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    def __call__(
        self, name: str, parameters: Mapping[str, Any] | None = None, progress: Progress | None = None
    ) -> ReportResult:
        """Run a report on this environment; nothing is changed: see `workbench.reporting.runner.run_report`."""
        from workbench.reporting.runner import run_report  # half a second of imports that only a report needs

        return run_report(
            name,
            parameters,
            environment=self.wb.environment.name,
            settings=self.wb.settings,
            unmask=self.wb.unmask,
            import_reports=[report.path for report in self.wb.reports],
            progress=progress,
        )

    def conclude(
        self, question: str, *answers: Answer | Sequence[Finding], facts: Mapping[str, Any] | None = None
    ) -> Verdict:
        """Answer a report's question by the worst of what was found: its first screen, and its verdict for machines.

        Parameters
        ----------
        question : str
            To which yes is good.
        answers : Answer or sequence of Finding
            What the verdict rests on.
        facts : mapping, optional
            What the verdict carries besides, for machines.
        """
        return conclude(self.wb, question, answers, facts)

    def ask(self, question: Callable[..., Answer], *args: Any, **how: Any) -> Answer:
        """Ask a question; where this database or its configuration cannot answer, say why instead, and let the report go on."""
        try:
            with self.wb.reading() as connection, connection.begin_nested():
                return question(*args, **how)
        except DatabaseUnreachable:
            raise
        except WorkbenchError as error:
            return Answer(parts={"why": f"Not run: {error}"}, environment=self.wb.environment.name)

    def review(self, plan: str) -> Review:
        """Look at a plan, given by its id or file, beside the database: see `workbench.reporting.plans.review_plan`."""
        return review_plan(self.wb, plan)

    def applied(self) -> Answer:
        """List the plans that were applied to this database, by its own journal."""
        return applied_plans(self.wb)
