"""Pick an import run, see what it did, and plan to roll it back (guide §1, §3)."""

from __future__ import annotations

from typing import Any, Literal

from ipywidgets import Checkbox, Dropdown, VBox

from workbench import LevelZero, Plan, Shown, Workbench, listed, show
from workbench.panels.controls import button
from workbench.panels.panel import WIDE, Panel, seeing, words
from workbench.panels.plans import PlanReview
from workbench.panels.table import Table
from workbench.runs.questions import run_counts, run_summary

_COLUMNS = [
    "run",
    "importer",
    "mode",
    "sync",
    "started",
    "status",
    "rolled_back",
    "members",
    "events",
    "registrations",
    "why",
    "evidence",
]
_RECORDS = 2_000


class RunPicker(Panel):
    """Choose a run; its records and its rollback follow.

    Parameters
    ----------
    wb : Workbench
        The environment.
    run : str
        The run to begin with; else none.

    Attributes
    ----------
    run : str
        The run that is chosen; empty when none is.
    review : PlanReview
        Where a rollback that was planned is reviewed.
    """

    def __init__(self, wb: Workbench, run: str = "") -> None:
        wb = seeing(wb)
        self.run = self._wanted = ""
        self._did: Any = None
        self._runs = Table("run", "Runs", wb=wb, chosen=self._chosen)
        self._summary = VBox()
        self._records = Table("record", "Records", wb=wb)
        self._snapshot = Dropdown(description="Old values from", options=[("none", None)], style=WIDE)
        self._snapshot.layout.width = "34rem"
        self._restore = Checkbox(
            False,
            indent=False,
            description="Also take back what people changed since, where the run changed it before them",
        )
        self._restore.layout.width = "auto"
        self._plan = button("Plan the rollback", "undo", self._plan_rollback)
        self._plan.disabled = True
        self.review = PlanReview(wb, listed=False)
        self.review.layout.display = "none"
        asked = VBox([self._snapshot, self._restore, self._plan])
        super().__init__(
            wb, "Pick a run", [self._runs, self._summary, self._records, asked], below=[self.review]
        )
        self._records.layout.display = "none"
        self.work.observe(lambda _: self._offer(), "busy")
        self.work.start("Reading the runs", lambda _: (wb.runs.frame(), wb.snapshots_here()), self._lay_out)
        if run:
            self._chosen([run])

    def static(self) -> Shown:
        """Return the runs, the latest first."""
        return show(self.wb.runs.frame().iloc[::-1][_COLUMNS], "Runs", self.wb.unmask, limit=40)

    def _lay_out(self, read: tuple[Any, Any]) -> None:
        runs, snapshots = read
        self._runs.show(runs.iloc[::-1][_COLUMNS])
        self._runs.choose([self._wanted])
        named = [
            (f"{each.snapshot} ({each.created_at:%Y-%m-%d %H:%M} UTC)", each.snapshot)
            for each in reversed(snapshots)
        ]
        self._snapshot.options = [("none: what the run changed stays changed", None), *named]

    def _chosen(self, keys: list[str]) -> None:
        """Read the run of a row; until it is read, and when the row is left, no run is chosen.

        Another row is chosen in two messages, and a click on a button may come between them.
        """
        self._wanted = keys[0] if keys else ""
        if self._wanted == self.run:
            return
        self.run = ""
        self._summary.children, self._records.layout.display = (), "none"
        self._offer()
        if keys:
            self.work.start(
                f"Reading {keys[0]}",
                lambda _: self.wb.runs.records(keys[0], limit=_RECORDS),
                lambda did: self._tell(keys[0], did),
            )

    def _tell(self, run: str, did: Any) -> None:
        if run != self._wanted:
            return
        self.run = run
        self._did = did
        self.redraw()
        records = did.records.assign(record=range(1, len(did.records) + 1))
        self._records.show(records, int(did.tally["records"].sum()))
        self._records.layout.display = ""
        self._runs.choose([self.run])

    def redraw(self) -> None:
        """Sum up the chosen run again."""
        if self._did is not None and self.run:
            summary = listed(run_summary(self._did.run))
            self._summary.children = (
                words(summary),
                words(show(run_counts(self._did.run), "Found and reported")),
                words(show(self._did.left_out, "Left out", self.wb.shows_people)),
            )

    def _offer(self) -> None:
        self._plan.disabled = self.work.busy or not self.run

    def _plan_rollback(self) -> None:
        run, snapshot = self.run, self._snapshot.value
        conflict: Literal["keep", "restore"] = "restore" if self._restore.value else "keep"
        self.work.start(
            f"Planning the rollback of {run}",
            lambda _: self.wb.plan_rollback(run, snapshot=snapshot, on_conflict=conflict),
            self._planned,
        )

    def _planned(self, made: Plan | LevelZero) -> str | None:
        if isinstance(made, LevelZero):
            self.review.layout.display = "none"
            return " ".join((str(made), "To put right before it is run again:", *made.fix))
        self.review.layout.display = ""
        self.review.show(made)
        return None
