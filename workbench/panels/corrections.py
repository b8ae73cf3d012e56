"""Roll a run back, and give members the tier of their level: choose, plan, review (guide §1, §3, §4.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pandas as pd
from ipywidgets import Dropdown, HBox, ToggleButtons, VBox, Widget

from workbench import LevelZero, Plan, Workbench
from workbench.panels.controls import WIDE, button, line, tick
from workbench.panels.panel import Told
from workbench.panels.plans import Planner
from workbench.panels.table import MOST, Table
from workbench.reporting.tables import listed, show
from workbench.runs.questions import run_counts, run_summary
from workbench.tiers.questions import configuration, foremost
from workbench.tiers.review import CORRECTABLE, TierReview

_COLUMNS = ["run", "importer", "mode", "sync", "started", "status", "rolled_back"]
_COLUMNS += ["members", "events", "registrations", "why", "evidence"]


class RunPicker(Planner):
    """Choose a run; its records and its rollback follow.

    Parameters
    ----------
    wb : Workbench
        The environment.
    run : str
        The run to begin with; else none.
    """

    title, key, caption = "Pick a run", "run", "Runs"
    reading, act = "Reading the runs", ("Plan the rollback", "undo")

    def __init__(self, wb: Workbench, run: str = "") -> None:
        super().__init__(wb, [run] if run else [])
        self.look()

    def parts(self) -> list[Widget]:
        """Lay out the runs, one run's records, and what a rollback is asked for."""
        self._summary, self._records = Told(), Table("record", "Records", wb=self.wb)
        self._snapshot = Dropdown(description="Old values from", options=[("none", None)], style=WIDE)
        self._snapshot.layout.width = "34rem"
        self._restore = tick("Also take back what people changed since, where the run changed it before them")
        return [
            *(self.table, self._summary, self._records, self._snapshot, self._restore),
            *super().parts(),
        ]

    @property
    def run(self) -> str:
        """The run that is seen; empty when none is."""
        return self.shown[0] if self.shown else ""

    def rows(self) -> Any:
        """Read the runs, and the snapshots that may hold old values."""
        return self.wb.runs.frame(), self.wb.snapshots.here()

    def lay_out(self, rows: Any) -> None:
        """Show the runs, the latest first."""
        runs, snapshots = rows
        self.table.show(runs.iloc[::-1][_COLUMNS])
        self._snapshot.options = [
            ("none: what the run changed stays changed", None),
            *(
                (f"{each.snapshot} ({each.created_at:%Y-%m-%d %H:%M} UTC)", each.snapshot)
                for each in snapshots[::-1]
            ),
        ]

    def known(self, keys: list[str]) -> Any:
        """Read what a run did."""
        return self.wb.runs.records(keys[0], limit=MOST) if keys else None

    def tell(self, did: Any) -> None:
        """Show what a run did, and its records."""
        self._records.layout.display = "none" if did is None else ""
        if did is None:
            self._summary.tell()
            return
        self._summary.tell(
            lambda: listed(run_summary(did.run)),
            lambda: show(run_counts(did.run), "Found and reported"),
            lambda: show(did.left_out, "Left out", self.wb.session.shows_people),
        )
        numbered = did.records.assign(record=range(1, len(did.records) + 1))
        self._records.show(numbered, int(did.tally["records"].sum()))

    def offered(self) -> set[str]:
        """Offer to plan once a run is chosen."""
        return set(self.buttons) if self.shown else set()

    def planning(self) -> Callable[[], Plan | LevelZero]:
        """Plan to roll the run back."""
        run, snapshot, conflict = self.run, self._snapshot.value, _on_conflict(self._restore)
        return lambda: self.wb.runs.plan_rollback(run, snapshot=snapshot, on_conflict=conflict)


class TierCorrection(Planner):
    """Choose levels, or none for all of them; their members' correction follows.

    Parameters
    ----------
    wb : Workbench
        The environment.
    mapping : str
        A tier policy or the importer's configuration; else those of the environment.
    """

    title, key, caption = "Correct tiers", "level", "Levels with members in another tier"
    reading, several = "Comparing every member", True

    def __init__(self, wb: Workbench, mapping: str = "") -> None:
        self._mapping = line("Tier mapping", "", mapping)
        self._reviews: dict[str, TierReview] = {}
        super().__init__(wb)
        self.look()

    def parts(self) -> list[Widget]:
        """Lay out what is compared with what, the levels, their members, and what a correction is asked for."""
        configured = " and ".join(path.name for path in self.wb.session.options.mappings)
        self._mapping.placeholder = configured or "a tier policy, or the importer's configuration"
        self._mapping.observe(lambda _: self.look(), "value")
        self._of = ToggleButtons(options=[("Tiers", "tier"), ("Statuses", "status")])
        self._of.observe(lambda _: self.lay_out_anew(self._reviews) if self._reviews else None, "value")
        self._summary = Told()
        self._members = Table("key", "Members in another tier than their level's", wb=self.wb)
        self._conflict = tick("Also change what a person set by hand after the import")
        self._reason = line("Reason", "goes into the plan")
        self._correction = VBox([self.table, self._members, self._conflict, self._reason])
        compare = HBox([self._mapping, button("Compare", "refresh", self.look)])
        return [compare, self._of, self._summary, self._correction, *super().parts()]

    @property
    def _found(self) -> TierReview | None:
        return self._reviews.get(self._of.value)

    @property
    def _asked(self) -> dict[str, Any]:
        return {"mapping": self._mapping.value.strip() or None, "of": _OF[self._of.value]}

    def rows(self) -> Any:
        """Compare every member with the configuration."""
        return self.wb.tiers.review(self._asked["mapping"])

    def lay_out(self, reviews: dict[str, TierReview]) -> None:
        """Show the levels, of tiers or of statuses."""
        self._reviews, kind = reviews, foremost(reviews).kind
        several = len(reviews) > 1 and all(review.mapping for review in reviews.values())
        self._of.layout.display = "" if several else "none"
        if not several and self._of.value != kind:
            self._of.value = kind  # which lays it out
            return
        found = reviews[self._of.value]
        told = [lambda: listed(configuration(found))]
        if found.findings:
            rows = pd.DataFrame({"finding": found.findings})
            told.append(lambda: show(rows, "What is wrong", self.wb.session.shows_people, limit=40))
        self._summary.tell(*told)
        self.table.show(tier_corrections(found))
        self._correction.layout.display = self.row.layout.display = "" if found.correctable else "none"

    def known(self, levels: list[str]) -> Any:
        """Read the members of some levels, or of all."""
        if self._found is None or not self._found.correctable:
            return None
        return self.wb.tiers.wrong(**self._asked, limit=MOST, levels=levels)

    def tell(self, members: Any) -> None:
        """Show the members."""
        if members is None or self._found is None:
            return
        levels = tier_corrections(self._found)
        counted = levels[levels["level"].isin(self.wanted)] if self.wanted else levels
        self._members.show(members, int(counted["members"].sum()))

    def planning(self) -> Callable[[], Plan | LevelZero]:
        """Plan to correct the chosen levels."""
        asked = {**self._asked, "levels": self.chosen, "on_conflict": _on_conflict(self._conflict)}
        reason = self._reason.value.strip() or None
        return lambda: self.wb.tiers.plan(**asked, reason=reason)


_OF = {"tier": "tiers", "status": "statuses"}


def tier_corrections(review: TierReview) -> pd.DataFrame:
    """List the levels whose members have another tier than it gives, or none: ``level``, ``expected``, ``members``, ``found``."""
    wrong = review.matrix[review.matrix["finding"].isin(CORRECTABLE)]
    actual = wrong["actual"].astype(object).where(wrong["actual"].notna(), "none")
    wrong = wrong.assign(
        found=[f"{code}: {members:,}" for code, members in zip(actual, wrong["members"], strict=True)]
    )
    levels = wrong.groupby("level", sort=True).agg(
        expected=("expected", "first"), members=("members", "sum"), found=("found", ", ".join)
    )
    return levels.reset_index().sort_values(["members", "level"], ascending=[False, True], ignore_index=True)


def _on_conflict(also: Any) -> Literal["keep", "restore"]:
    return "restore" if also.value else "keep"
