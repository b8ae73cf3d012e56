"""Reports made for whoever asks: the same that ``workbench report`` makes (guide §7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.session import Session

if TYPE_CHECKING:
    from workbench.reporting.runner import Progress, ReportResult


class Publishing(Session):
    """The reports."""

    def report(
        self, name: str, parameters: Mapping[str, Any] | None = None, progress: Progress | None = None
    ) -> ReportResult:
        """Run a report on this environment: an executed notebook, a page and a verdict; nothing is changed.

        Parameters
        ----------
        name : str
            Of a notebook that declares parameters, without its ending: ``post-recovery``, ``plan``, ...
        parameters : mapping, optional
            As its tagged cell declares them.
        progress : callable, optional
            Told the heading that begins, how many cells are done, and how many there are.

        Raises
        ------
        UsageError
            For an unknown report or parameter, or a wrong value; nothing was run then.
        NotebookFailed
            When a cell failed; notebook and page were kept.
        """
        # Half a second of imports that only a report needs.
        from workbench.reporting.runner import run_report

        return run_report(
            name,
            parameters,
            environment=self.environment.name,
            settings=self.settings,
            unmask=self.unmask,
            import_reports=[each.path for each in self.reports],
            progress=progress,
        )
