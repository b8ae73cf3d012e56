"""Which record stays, and whose value each field has: what a merge is asked for (guide §4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from ipywidgets import (
    HTML,
    Accordion,
    Checkbox,
    Dropdown,
    GridBox,
    HBox,
    Label,
    RadioButtons,
    VBox,
)
from markupsafe import Markup

from workbench import (
    MERGE_RULES,
    Beside,
    Found,
    Workbench,
    heading,
    mask,
    not_reviewed,
    records_side_by_side,
    text_of,
)
from workbench.panels.controls import button, line
from workbench.panels.panel import WIDE, words
from workbench.panels.work import Work

_LONGEST = 60  # characters of a value to choose
_BY_RULE = ("rule", "")


class MergeChoice(VBox):
    """Records that are to become one, with everything that a person may choose about it."""

    def __init__(self, wb: Workbench) -> None:
        self._wb = wb
        self._beside: Beside | None = None
        self._as_shown: dict[str, Any] = {}
        self._table, self._rest = VBox(), HTML()
        self._beside_them = Accordion([self._table], titles=["Side by side"], selected_index=None)
        self._stays = RadioButtons(layout={"width": "auto"})
        self._stays.add_class("wb-stays")
        self._goes: dict[str, Checkbox] = {}
        self._going = VBox()
        self._rule = Dropdown(
            options=[(f"{name}: {what}", name) for name, what in MERGE_RULES.items()],
            description="Fields that differ",
            style=WIDE,
            layout={"width": "auto", "max_width": "60rem"},
        )
        self._fields: dict[str, Dropdown] = {}
        self._grid = GridBox(layout={"grid_template_columns": "13rem minmax(0, 1fr)"})
        self._keep = line(
            "Rows that stay where two collide", "ids, if a merge is refused without them", width="40rem"
        )
        self._stays.observe(lambda _: self._settle(), "value")
        super().__init__(
            [
                self._beside_them,
                HTML('<p class="wb-caption">Which record stays</p>'),
                self._stays,
                self._going,
                self._rest,
                HTML('<p class="wb-caption">Whose values it will have</p>'),
                self._rule,
                self._grid,
                HBox([self._keep]),
            ]
        )

    def show(self, beside: Beside, rest: list[str]) -> None:
        """Show records to choose about, and name those that stay as they are since nobody reviewed them."""
        self._beside = beside
        self._beside_them.selected_index = 0 if len(beside.ids) > 2 else None  # of two, they are seen above
        names = {each: f"Record {number}" for number, each in enumerate(beside.ids, 1)}
        self._goes = {
            each: Checkbox(True, description=f"{name} ({each}) goes into it", indent=False)
            for each, name in names.items()
        }
        for each in self._goes.values():
            each.layout.width = "auto"
        self._stays.options = [(f"{name}: {each}, {self._why(each)}", each) for each, name in names.items()]
        self._stays.value = beside.canonical
        self._going.children = tuple(self._goes.values())
        self._going.layout.display = "" if len(names) > 2 else "none"
        self._offer_fields(beside)
        self.redraw()
        self._keep.value = ""
        left = Markup(
            '<p class="wb-answer wb-warn">Nobody said of these that they are the same, so they stay as they are: {}</p>'
        )
        self._rest.value = left.format(", ".join(rest)) if rest else ""
        self._settle()
        self._as_shown = self.asked

    @property
    def edited(self) -> bool:
        """Whether somebody chose otherwise than was proposed."""
        return self._beside is not None and self.asked != self._as_shown

    @property
    def rule(self) -> str:
        """The rule for fields about which nothing else was said."""
        return str(self._rule.value)

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked for, as the arguments of `Workbench.plan_merge`."""
        assert self._beside is not None
        stays = str(self._stays.value)
        goes = [each for each, box in self._goes.items() if each != stays and box.value]
        chosen = {name: each.value for name, each in self._fields.items()}
        return {
            "canonical": stays,
            "duplicates": goes,
            "rules": {"*": self.rule}
            | {name: of for name, (kind, of) in chosen.items() if kind == "rule" and of},
            "by_hand": {name: of for name, (kind, of) in chosen.items() if kind == "record"},
            "keep": self._keep.value.replace(",", " ").split(),
        }

    def _why(self, record: str) -> str:
        assert self._beside is not None
        count = self._beside.associations[record]
        rows = f"{count:,} row{'s' * (count != 1)} refer{'s' * (count == 1)} to it"
        proposed = f"; proposed: {self._beside.by}" if record == self._beside.canonical else ""
        return rows + proposed

    def _offer_fields(self, beside: Beside) -> None:
        self._fields, cells = {}, []
        for field in beside.differing:
            self._fields[field] = Dropdown(options=self._values(beside, field), layout={"width": "auto"})
            self._fields[field].tooltip = field
            cells += [Label(heading(field)), self._fields[field]]
        self._grid.children = tuple(cells)

    def _values(self, beside: Beside, field: str) -> list[tuple[str, tuple[str, str]]]:
        shown = mask(beside.records, self._wb.shows_people).set_index("id")
        return [
            ("by the rule above", _BY_RULE),
            *((f"rule: {name}", ("rule", name)) for name in MERGE_RULES),
            *(
                (f"Record {number}: {_cut(text_of(shown.at[each, field], field))}", ("record", each))
                for number, each in enumerate(beside.ids, 1)
            ),
        ]

    def redraw(self) -> None:
        """Show the records again, with people or without them; what was chosen stays chosen."""
        if self._beside is None:
            return
        self._table.children = (words(records_side_by_side(self._beside, self._wb.shows_people)),)
        for field, choice in self._fields.items():
            chosen = choice.value
            choice.options = self._values(self._beside, field)
            choice.value = chosen

    def _settle(self) -> None:
        """Leave out the box of the record that stays."""
        for each, box in self._goes.items():
            box.layout.display = "none" if each == self._stays.value else ""


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
    choice : MergeChoice
        Which record stays, and whose value each field has.
    work : Work
        What is being done about it.
    """

    def __init__(
        self, wb: Workbench, chosen: Callable[[list[str]], None], plan: Callable[[bool], None]
    ) -> None:
        self._same = pd.DataFrame({"cluster": []})
        self._told = chosen
        self._ours = False
        self._group = Dropdown(description="Called the same", style=WIDE, layout={"width": "46rem"})
        self._group.observe(lambda _: self._changed(), "value")
        self.choice = MergeChoice(wb)
        self.work = Work(wb.environment.name)  # of its own: what is refused is said beside the button
        self._one = button("Plan this merge", "compress", lambda: plan(False))
        self._all = button("Plan all of them", "compress", lambda: plan(True))
        super().__init__(
            [
                HTML("<h4>Merge what was called the same</h4>"),
                self._group,
                self.choice,
                HBox([self._one, self._all]),
                self.work,
            ]
        )
        self.add_class("wb-card")
        self.layout.display = "none"
        self.work.observe(lambda _: self._enable(), "busy")

    def offer(self, found: Found, same: pd.DataFrame) -> None:
        """Offer the clusters that were called the same, whatever else is known of their records."""
        before, records = self._group.value, self._records()
        self._same = same
        labels = [
            (f"{number} of {len(same)}: {size} records, {canonical}, says {by}", cluster)
            for number, (size, canonical, by, cluster) in enumerate(
                zip(same["size"], same["canonical"], same["decided_by"], same["cluster"], strict=True), 1
            )
        ]
        self._ours = True
        self._group.options = labels
        self._ours = False
        self._all.description = f"Plan all {len(same):,} of them"
        self._all.tooltip = (
            "By the rule for fields that differ; of each the record with most associations stays"
        )
        self._all.layout.display = "" if len(same) > 1 else "none"
        self.layout.display = "" if labels else "none"
        known = [cluster for _, cluster in labels]
        self._ours = True
        self._group.value = before if before in known else next(iter(known), None)
        self._ours = False
        if self._group.value != before or self._records() != records:
            self._changed()  # else what was chosen about it stays

    def choose(self, pair: tuple[str, str]) -> None:
        """Choose the cluster that two records are in, if they are in one and nobody is choosing about another."""
        if self.choice.edited:
            return
        for cluster, members in zip(self._same["cluster"], self._members(), strict=True):
            if set(pair) <= set(members):
                self._group.value = cluster

    def show(self, found: Found, beside: Beside) -> None:
        """Show the cluster that is chosen."""
        self.choice.show(beside, not_reviewed(found, beside.ids))

    def asked(self) -> dict[str, Any]:
        """Return the arguments of `Workbench.plan_merge` for the cluster that is chosen."""
        return self.choice.asked | {"reason": self._reason(self._chosen())}

    def asked_of_all(self) -> dict[str, Any]:
        """Return the arguments of `Workbench.plan_merges` for every cluster: by the rule, no field chosen by hand."""
        merges = [(None, each["members"], self._reason(each)) for each in self._same.to_dict("records")]
        return {"merges": merges, "rules": self.choice.rule}

    def _enable(self) -> None:
        self._one.disabled = self._all.disabled = self.work.busy

    def _chosen(self) -> dict[Any, Any]:
        return dict(self._same[self._same["cluster"] == self._group.value].iloc[0])

    def _records(self) -> list[str]:
        """Return the records of the cluster that is chosen."""
        of = self._same["members"][self._same["cluster"] == self._group.value] if len(self._same) else []
        return list(next(iter(of), []))

    def _members(self) -> list[list[str]]:
        return list(self._same["members"]) if len(self._same) else []

    def _reason(self, cluster: dict[Any, Any]) -> str:
        return f"called the same by {cluster['decided_by']}"

    def _changed(self) -> None:
        if self._group.value is not None and not self._ours:
            self._told(list(self._chosen()["members"]))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
