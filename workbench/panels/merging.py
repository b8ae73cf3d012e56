"""Which record stays, and whose value each field has: what a merge is asked for (guide §4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from ipywidgets import HTML, Accordion, Dropdown, GridBox, HBox, Label, RadioButtons, VBox
from markupsafe import Markup

from workbench import Workbench
from workbench.duplicates.records import Beside
from workbench.duplicates.request import MERGE_RULES
from workbench.panels.controls import WIDE, button, line
from workbench.panels.panel import Told
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
        self._wb, self._told, self.work = wb, chosen, Work(wb.environment.name)
        self._same = pd.DataFrame({"cluster": [], "members": []})
        self._beside: Beside | None = None
        self._proposed: dict[str, Any] = {}
        self._ours = False  # a change that is nobody's choice
        self.group = Dropdown(description="Called the same", style=WIDE, layout={"width": "46rem"})
        self.group.observe(lambda _: self._changed(), "value")
        self._table, self._rest = Told(), HTML()
        self._side_by_side = Accordion([self._table], titles=["Side by side"], selected_index=None)
        self.stays = RadioButtons(layout={"width": "auto"}).add_class("wb-stays")
        rules = [(f"{name}: {what}", name) for name, what in MERGE_RULES.items()]
        wide = {"width": "auto", "max_width": "60rem"}
        self.rule = Dropdown(options=rules, description="Fields that differ", style=WIDE, layout=wide)
        self.fields: dict[str, Dropdown] = {}
        self._grid = GridBox(layout={"grid_template_columns": "13rem minmax(0, 1fr)"})
        collide = "Rows that stay where two collide"
        self.keep = line(collide, "ids, if a merge is refused without them", width="40rem")
        self._one = button("Plan this merge", "compress", lambda: plan(False))
        self.all = button("Plan all of them", "compress", lambda: plan(True))
        self.all.tooltip = (
            "By the rule for fields that differ; of each the record with most associations stays"
        )
        self.work.observe(lambda _: self._enable(), "busy")
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
    def asked(self) -> dict[str, Any]:
        """What is chosen: which record stays, which go into it, and by which rules."""
        stays = str(self.stays.value)
        return {
            "canonical": stays,
            "duplicates": [each for each in self._beside.ids if each != stays] if self._beside else [],
            "rules": str(self.rule.value),
            "by_hand": {name: str(each.value) for name, each in self.fields.items() if each.value},
            "keep": self.keep.value.replace(",", " ").split(),
        }

    def asked_of_one(self) -> dict[str, Any]:
        """Return the arguments of `plan_merges` for the cluster that is chosen."""
        (by,) = self._same["decided_by"][self._same["cluster"] == self.group.value]
        how = self.asked
        merge = how.pop("canonical"), how.pop("duplicates"), f"called the same by {by}"
        return {"merges": [merge], **how}

    def asked_of_all(self) -> dict[str, Any]:
        """Return the arguments of `plan_merges` for every cluster: by the rule, no field chosen by hand."""
        clusters = zip(self._same["members"], self._same["decided_by"], strict=True)
        merges = [(None, members, f"called the same by {by}") for members, by in clusters]
        return {"merges": merges, "rules": str(self.rule.value), "skip_blocked": len(merges) > 1}

    def offer(self, same: pd.DataFrame) -> None:
        """Offer the clusters that were called the same; what was chosen about one that is still the same stays."""
        before, members = self.group.value, self.members
        self._same, known = same, list(same["cluster"])
        columns = (same[name] for name in ("size", "canonical", "decided_by", "cluster"))
        labels = [
            (f"{number} of {len(same)}: {size} records, {canonical}, says {by}", cluster)
            for number, (size, canonical, by, cluster) in enumerate(zip(*columns, strict=True), 1)
        ]
        self._ours = True
        self.group.options = labels
        self.group.value = before if before in known else next(iter(known), None)
        self._ours = False
        self.all.description = f"Plan all {len(same):,} of them"
        self.all.layout.display = "" if len(same) > 1 else "none"
        self.layout.display = "" if len(same) else "none"
        if self.group.value != before or self.members != members:
            self._changed()

    def choose(self, pair: set[str]) -> None:
        """Choose the cluster that two records are in, unless somebody is choosing about another."""
        if self._beside is not None and self.asked != self._proposed:
            return
        for cluster, members in zip(self._same["cluster"], self._same["members"], strict=True):
            if pair <= set(members):
                self.group.value = cluster

    def show(self, beside: Beside, rest: list[str]) -> None:
        """Show records to choose about, and name those that stay as they are since nobody reviewed them."""
        self._beside = None  # nothing is chosen about these yet
        self._side_by_side.selected_index = 0 if len(beside.ids) > 2 else None  # two are seen above
        self.stays.options = [
            (f"Record {number}: {each}, {_why(beside, each)}", each)
            for number, each in enumerate(beside.ids, 1)
        ]
        self.stays.value = beside.canonical
        self.fields = {
            name: Dropdown(options=options, layout={"width": "auto"}, tooltip=name)
            for name, options in self._values(beside).items()
        }
        labelled = [(Label(heading(name)), field) for name, field in self.fields.items()]
        self._grid.children = [part for pair in labelled for part in pair]
        self.keep.value = ""
        self._rest.value = _REST.format(", ".join(rest)) if rest else ""
        self._table.tell(lambda: records_side_by_side(beside, self._wb.session.shows_people))
        self._beside = beside
        self._proposed = self.asked

    def redraw(self) -> None:
        """Show the values again, with people or without them; what was chosen stays chosen."""
        for name, options in self._values(self._beside).items() if self._beside else ():
            chosen = self.fields[name].value
            self.fields[name].options = options
            self.fields[name].value = chosen

    def _values(self, beside: Beside) -> dict[str, list[tuple[str, str]]]:
        """Return what each field that differs can be: by the rule, or that of a record."""
        shown = mask(beside.records, self._wb.session.shows_people).set_index("id")
        numbered = list(enumerate(beside.ids, 1))
        return {
            field: [
                ("by the rule above", ""),
                *(
                    (f"Record {n}: {shorten(text_of(shown.at[each, field], field), _LONGEST)}", each)
                    for n, each in numbered
                ),
            ]
            for field in beside.differing
        }

    def _enable(self) -> None:
        self._one.disabled = self.all.disabled = self.work.busy

    def _changed(self) -> None:
        if self.group.value is not None and not self._ours:
            self._told(list(self.members))


def _why(beside: Beside, record: str) -> str:
    count = beside.associations[record]
    rows = f"{count:,} row{'s' * (count != 1)} refer{'s' * (count == 1)} to it"
    return rows + (f"; proposed: {beside.by}" if record == beside.canonical else "")
