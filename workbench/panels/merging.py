"""Which record stays, and whose value each field has: what a merge is asked for (guide §4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from ipywidgets import HTML, Accordion, Dropdown, GridBox, HBox, Label, RadioButtons, VBox
from markupsafe import Markup

from workbench import Workbench
from workbench.answer import many
from workbench.duplicates.records import Beside
from workbench.duplicates.request import MERGE_RULES
from workbench.panels.controls import button, choice, line
from workbench.panels.panel import Details
from workbench.panels.work import Work
from workbench.reporting.beside import records_side_by_side
from workbench.reporting.masking import mask
from workbench.reporting.tables import heading, shorten, text_of

_LONGEST = 60  # characters of a value to choose
_REST = Markup(
    '<p class="wb-answer wb-warn">Nobody said of these that they are the same, so they stay as they are: {}</p>'
)


class Merging(VBox):
    """The clusters that were called the same, one of them to choose about, and what to plan.

    Parameters
    ----------
    wb : Workbench
        Says whether people are shown.
    chosen : callable
        Told the records of the cluster that is chosen.
    plan : callable
        Told to plan: whether all of them, or the one that is chosen.

    Attributes
    ----------
    work : Work
        What is being done about it: what is refused is said beside the button.
    """

    def __init__(
        self, wb: Workbench, chosen: Callable[[list[str]], None], plan: Callable[[bool], None]
    ) -> None:
        self._wb, self._chosen, self.work = wb, chosen, Work(wb.environment.name)
        self._same = pd.DataFrame({"cluster": [], "members": [], "decided_by": []})
        self._beside: Beside | None = None
        self._proposed: dict[str, Any] = {}
        self._ours = False  # a change that is nobody's choice
        self.group = choice("Called the same", [], "46rem")
        self.group.observe(lambda _: self._changed(), "value")
        self._table, self._rest = Details(), HTML()
        self._side_by_side = Accordion([self._table], titles=["Side by side"], selected_index=None)
        self.stays = RadioButtons(layout={"width": "auto"}).add_class("wb-stays")
        rules = [(f"{name}: {what}", name) for name, what in MERGE_RULES.items()]
        self.rule = choice("Fields that differ", rules)
        self.fields: dict[str, Dropdown] = {}
        self._grid = GridBox(layout={"grid_template_columns": "13rem minmax(0, 1fr)"})
        collide = "Rows that stay where two collide"
        self.keep = line(collide, "ids, if a merge is refused without them", width="40rem")
        tip = "By the rule for fields that differ; of each the record with most associations stays"
        self._one = button("Plan this merge", "compress", lambda: plan(False))
        self.all = button("Plan all of them", "compress", lambda: plan(True), tip)
        self.work.observe(lambda change: self._enable(not change["new"]), "busy")
        super().__init__(
            [
                *(HTML("<h4>Merge what was called the same</h4>"), self.group, self._side_by_side),
                *(HTML('<p class="wb-caption">Which record stays</p>'), self.stays, self._rest),
                *(HTML('<p class="wb-caption">Whose values it will have</p>'), self.rule, self._grid),
                *(HBox([self.keep]), HBox([self._one, self.all]), self.work),
            ]
        )
        self.add_class("wb-card")
        self.layout.display = "none"

    @property
    def members(self) -> list[str]:
        """The records of the cluster that is chosen."""
        return next(iter(self._same["members"][self._same["cluster"] == self.group.value]), [])

    @property
    def choices(self) -> dict[str, Any]:
        """What is chosen: which record stays, and by which rules its fields are."""
        by_hand = {name: str(field.value) for name, field in self.fields.items() if field.value}
        keep = self.keep.value.replace(",", " ").split()
        return {
            "stays": str(self.stays.value),
            "rules": str(self.rule.value),
            "by_hand": by_hand,
            "keep": keep,
        }

    def asked(self, several: bool) -> dict[str, Any]:
        """Return the arguments of `plan_merges`: for the cluster that is chosen, or by the rule alone for every one."""
        rows = self._same if several else self._same[self._same["cluster"] == self.group.value]
        choices = {"rules": str(self.rule.value), "skip_blocked": len(rows) > 1} if several else self.choices
        stays = choices.pop("stays", None)
        merges = [
            (stays, [member for member in members if member != stays], f"called the same by {by}")
            for members, by in zip(rows["members"], rows["decided_by"], strict=True)
        ]
        return {"merges": merges, **choices}

    def offer(self, same: pd.DataFrame) -> None:
        """Offer the clusters that were called the same; what was chosen about one that is still the same stays."""
        before, members = self.group.value, self.members
        self._same, clusters = same, list(same["cluster"])
        labels = [
            f"{number} of {len(same)}: {row.size_} records, {row.canonical}, says {row.decided_by}"
            for number, row in enumerate(same.rename(columns={"size": "size_"}).itertuples(), 1)
        ]
        self._ours = True
        self.group.options = list(zip(labels, clusters, strict=True))
        self.group.value = before if before in clusters else next(iter(clusters), None)
        self._ours = False
        self.all.description = f"Plan all {len(same):,} of them"
        self.all.layout.display = "" if len(same) > 1 else "none"
        self.layout.display = "" if len(same) else "none"
        if self.group.value != before or self.members != members:
            self._changed()

    def choose(self, pair: set[str]) -> None:
        """Choose the cluster that two records are in, unless somebody is choosing about another."""
        if self._beside is not None and self.choices != self._proposed:
            return
        for cluster, members in zip(self._same["cluster"], self._same["members"], strict=True):
            if pair <= set(members):
                self.group.value = cluster

    def show(self, beside: Beside, rest: list[str]) -> None:
        """Show records to choose about, and name those that stay as they are since nobody reviewed them."""
        self._beside = None  # nothing is chosen about these yet
        self._side_by_side.selected_index = 0 if len(beside.ids) > 2 else None  # two are seen above
        self.stays.options = [
            (f"Record {number}: {record}, {_why(beside, record)}", record)
            for number, record in enumerate(beside.ids, 1)
        ]
        self.stays.value = beside.canonical
        values = self._values(beside)
        self.fields = {name: choice("", options) for name, options in values.items()}
        self._grid.children = [
            part for name, field in self.fields.items() for part in (Label(heading(name)), field)
        ]
        self.keep.value = ""
        self._rest.value = _REST.format(", ".join(rest)) if rest else ""
        self._table.show(lambda: records_side_by_side(beside, self._wb.session.shows_people))
        self._beside, self._proposed = beside, self.choices

    def redraw(self) -> None:
        """Show the values again, with people or without them; what was chosen stays chosen."""
        for name, options in self._values(self._beside).items() if self._beside else ():
            chosen = self.fields[name].value
            self.fields[name].options = options
            self.fields[name].value = chosen

    def _values(self, beside: Beside) -> dict[str, list[tuple[str, str]]]:
        """Return what each field that differs can be: by the rule, or that of a record."""
        shown = mask(beside.records, self._wb.session.shows_people).set_index("id")
        options = {}
        for field in beside.differing:
            texts = [shorten(text_of(shown.at[record, field], field), _LONGEST) for record in beside.ids]
            labels = [f"Record {number}: {text}" for number, text in enumerate(texts, 1)]
            options[field] = [("by the rule above", ""), *zip(labels, beside.ids, strict=True)]
        return options

    def _enable(self, enabled: bool) -> None:
        self._one.disabled = self.all.disabled = not enabled

    def _changed(self) -> None:
        if self.group.value is not None and not self._ours:
            self._chosen(list(self.members))


def _why(beside: Beside, record: str) -> str:
    rows = f"{many(beside.associations[record], 'row')} refer to it"
    return rows + (f"; proposed: {beside.by}" if record == beside.canonical else "")
