"""Give members the tier of their level: compare, choose the levels, plan the correction (guide §4.3)."""

from __future__ import annotations

from typing import Literal

import pandas as pd
from ipywidgets import HBox, ToggleButtons, VBox

from workbench import Plan, Shown, TierReview, Workbench, show, tier_configuration, tier_corrections
from workbench.panels.controls import button, line, tick
from workbench.panels.panel import Panel, seeing, words
from workbench.panels.plans import PlanReview
from workbench.panels.table import MOST, Table


class TierCorrection(Panel):
    """Choose levels, or none for all of them; their members' correction follows.

    Parameters
    ----------
    wb : Workbench
        The environment.
    mapping : str
        A tier policy or the importer's configuration; else those of the environment.

    Attributes
    ----------
    review : PlanReview
        Where the plan is reviewed.
    """

    def __init__(self, wb: Workbench, mapping: str = "") -> None:
        wb = seeing(wb)
        self._found: TierReview | None = None
        self._reviews: dict[str, TierReview] = {}
        configured = " and ".join(path.name for path in wb.options.mappings)
        placeholder = configured or "a tier policy, or the importer's configuration"
        self._mapping = line("Tier mapping", placeholder, mapping)
        self._mapping.observe(lambda _: self.look(), "value")
        self._again = button("Compare", "refresh", self.look)
        self._summary = VBox()
        self._of = ToggleButtons(options=[("Tiers", "tiers"), ("Statuses", "statuses")])
        self._of.observe(lambda _: self._show_chosen(), "value")
        self._levels = Table(
            "level",
            "Levels with members in another tier",
            several=True,
            wb=wb,
            chosen=lambda _: self._read_members(),
        )
        self._members = Table("key", "Members in another tier than their level's", wb=wb)
        self._conflict = tick("Also change what a person set by hand after the import")
        self._reason = line("Reason", "goes into the plan")
        self._plan = button("Plan the correction", "wrench", self._plan_correction)
        self._act = VBox([self._levels, self._members, self._conflict, self._reason, self._plan])
        self._act.layout.display = "none"
        self.review = PlanReview(wb, listed=False)
        self.review.layout.display = "none"
        asked = HBox([self._mapping, self._again])
        super().__init__(
            wb, "Correct tiers", [asked, self._of, self._summary, self._act], below=[self.review]
        )
        self.work.observe(lambda _: self._offer(), "busy")
        self.review.follow(self.look)
        self.look()

    @property
    def mapping(self) -> str | None:
        """The file that is named; None for the environment's own."""
        return self._mapping.value.strip() or None

    @property
    def levels(self) -> list[str]:
        """The levels that are chosen; none means all."""
        return self._levels.chosen

    def look(self) -> None:
        """Compare, as it is now."""
        mapping = self.mapping
        self.work.start("Comparing every member", lambda _: self.wb.tier_review(mapping), self._lay_out)

    def static(self) -> Shown:
        """Return the levels whose members have another tier."""
        self.work.wait()
        if self._found is None:
            return Shown(self.work.said, "The tiers could not be compared.")
        wrong = tier_corrections(self._found)
        return show(wrong, "Levels with members in another tier", self.wb.unmask, limit=40)

    def _lay_out(self, found: TierReview) -> None:
        self._reviews = found.both
        several = all(each.mapping for each in found.both.values()) and len(found.both) > 1
        self._of.layout.display = "" if several else "none"
        only = "statuses" if found.kind == "status" else "tiers"
        if several or self._of.value == only:
            self._show_chosen()
        else:
            self._of.value = only

    def _show_chosen(self) -> None:
        found = self._reviews.get("status" if self._of.value == "statuses" else "tier")
        if found is None:
            return
        self._found = found
        told = [words(tier_configuration(found))]
        if found.findings:
            rows = pd.DataFrame({"finding": found.findings})
            told.append(words(show(rows, "What is wrong", self.wb.shows_people, limit=40)))
        self._summary.children = tuple(told)
        self._levels.show(tier_corrections(found))
        self._act.layout.display = "" if found.correctable else "none"
        if found.correctable:
            self._read_members()

    def redraw(self) -> None:
        """Say again what was found."""
        if self._found is not None:
            self._lay_out(self._found)

    def _read_members(self) -> None:
        mapping, levels, of = self.mapping, self.levels, self._of.value
        self.work.start(
            "Reading the members",
            lambda _: self.wb.wrong_tiers(mapping, limit=MOST, levels=levels, of=of),
            lambda found: self._lay_out_members(found, levels),
        )

    def _lay_out_members(self, found: pd.DataFrame, levels: list[str]) -> None:
        if self._found is None:
            return
        counted = tier_corrections(self._found)
        of_them = counted[counted["level"].isin(levels)] if levels else counted
        self._members.show(found, int(of_them["members"].sum()))

    def _offer(self) -> None:
        self._plan.disabled = self.work.busy

    def _plan_correction(self) -> None:
        mapping, reason = self.mapping, self._reason.value.strip() or None
        conflict: Literal["keep", "restore"] = "restore" if self._conflict.value else "keep"
        levels, of = self.levels, self._of.value
        self.work.start(
            "Planning the correction",
            lambda _: self.wb.plan_tiers(mapping, of=of, levels=levels, on_conflict=conflict, reason=reason),
            self._planned,
        )

    def _planned(self, made: Plan) -> None:
        self.review.layout.display = ""
        self.review.show(made)
