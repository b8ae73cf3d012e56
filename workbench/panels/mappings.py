"""Lead Wild Apricot ids to the right records: choose them, see the evidence, plan the correction (guide §4.2)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ipywidgets import HTML, HBox, VBox, Widget
from markupsafe import Markup

from workbench import Plan, Workbench, WorkbenchError
from workbench.mappings.problems import MappingFindings, sure_corrections
from workbench.mappings.questions import mapping_table, summary
from workbench.panels.controls import button, line, tick
from workbench.panels.panel import Told
from workbench.panels.plans import Planner
from workbench.panels.table import Search, Table
from workbench.reporting.tables import listed, show

_WRONG = ["mapping_key", "problem", "how_surely", "contact", "person", "title", "should_be_id"]
_FOUND = ["mapping_key", "first_name", "last_name", "email", "title", "start", "leads_to_id", "should_be_id"]


class MappingCorrection(Planner):
    """Choose ids that lead to the wrong record, or none for all that are sure; or search, and say where they should lead.

    Parameters
    ----------
    wb : Workbench
        The environment.
    found : MappingFindings, optional
        What is wrong, where that was asked already; else it is asked now.
    exports : sequence of path
        Wild Apricot's own CSV exports, or folders of them, as evidence.
    """

    title, key, caption = "Correct mappings", "mapping_key", "Problems with mappings, the worst first"
    reading, several = "Looking at every mapping", True

    def __init__(
        self, wb: Workbench, found: MappingFindings | None = None, exports: Sequence[str | Path] = ()
    ) -> None:
        self.exports = list(exports)
        self._problems = pd.DataFrame()
        super().__init__(wb)
        if found is None:
            self.tell(None)
            self.look()
        else:
            self.lay_out(found)
            self.choose([])

    def parts(self) -> list[Widget]:
        """Lay out the problems, a search, where the chosen ids should lead, and how they are corrected."""
        self._search = self._searched(
            "Find a mapping",
            "a WA id, a name, an e-mail address, a title, an id",
            self._find,
            Table("mapping_key", "Mappings found", several=True, wb=self.wb, chosen=self._rechoose),
        )
        self._target = self._searched(
            "Lead it to another record",
            "only where the traces say nothing, or are wrong",
            lambda typed: self.wb.search(typed, min(map(_entity, self.chosen), default="Member")),
            Table("key", "Records found", wb=self.wb, chosen=self._rechoose),
        )
        self._about, self._evidence = HTML(), Told()
        self._reason = line("Reason", "goes into the audit log")
        self._whole = tick("Also correct the rest of a swap or cycle", True)
        self._move = tick("Also move the registrations that came through the wrong mappings")
        self._how = VBox([self._target, self._reason])
        look = button("Look again", "refresh", self.look)
        return [
            *(self.table, look, self._search, self._about, self._evidence, self._how),
            *(HBox([self._whole, self._move]), *super().parts()),
        ]

    def _searched(self, title: str, what: str, ask: Callable[[str], pd.DataFrame], table: Table) -> Search:
        return Search(title, what, ask, table, self._rechoose, self.wb.environment.name)

    @property
    def chosen(self) -> list[str]:
        """The keys of the mappings that are chosen, in either table."""
        return list(dict.fromkeys([*self.table.chosen, *self._search.table.chosen]))

    def rows(self) -> MappingFindings:
        """Look for what is wrong, as it is now."""
        return self.wb.mappings.findings(self.exports)

    def lay_out(self, found: MappingFindings) -> None:
        """Show what is wrong."""
        self._problems = found.problems
        if not len(found.problems):
            self._evidence.tell(lambda: listed(summary(found)))
        self.table.show(mapping_table(found.problems)[_WRONG])

    def choose(self, keys: list[str]) -> None:
        """Say of other mappings what is known; all of it was read already."""
        self.wanted = self.shown = keys
        self.tell(None)

    def tell(self, _: Any) -> None:
        """Say what is chosen, and what is known of it."""
        keys, target, problems = self.chosen, self._target.table.chosen, self._problems
        where = f"to {target[0]}, as chosen below" if target else "where the traces say"
        chosen = f"Chosen: {', '.join(keys)}, to lead {where}." if keys else "None chosen: all that are sure."
        self._about.value = Markup('<p class="wb-note">{}</p>').format(chosen)
        self._how.layout.display = "" if keys else "none"
        self.offer()
        if not len(problems.columns):
            return
        known = mapping_table(problems[(problems["entity"] + "/" + problems["wa_id"]).isin(keys)])
        shown = [lambda: show(known, "What is known of it", self.wb.session.shows_people, limit=40)]
        self._evidence.tell(*shown[: len(known)])

    def offered(self) -> set[str]:
        """Offer to plan once there is something to correct."""
        sure = len(self._problems) and self._problems["sure"].any()
        return set(self.buttons) if self.chosen or sure else set()

    def planning(self) -> Callable[[], Plan]:
        """Plan to correct what is chosen, else all that is sure."""
        keys, target, reason = self.chosen, self._target.table.chosen, self._reason.value.strip()
        how = {"move_records": self._move.value, "whole_cycle": self._whole.value, "exports": self.exports}

        def make() -> Plan:
            rows = self._corrections(keys, target[0] if target else "")
            rows = rows.assign(reason=reason) if reason else rows
            return self.wb.mappings.plan(rows.to_dict("records"), **how)

        return make

    def _corrections(self, keys: list[str], target: str) -> pd.DataFrame:
        """Return where mappings should lead: ``entity``, ``wa_id``, ``new_id``, ``reason``."""
        if not keys:
            return sure_corrections(self._problems)
        pairs = [key.split("/", 1) for key in keys]
        if target:
            if len({entity for entity, _ in pairs}) > 1:
                raise WorkbenchError(f"{' and '.join(keys)} are of two kinds, and cannot lead to one record.")
            return pd.DataFrame(
                [(*pair, target, "") for pair in pairs], columns=["entity", "wa_id", "new_id", "reason"]
            )
        told = _told(self._problems, keys)
        if untold := [key for key in keys if key not in set(told["entity"] + "/" + told["wa_id"])]:
            raise WorkbenchError(
                f"Nothing tells where {' and '.join(untold)} should lead.",
                "Find out who it is, search for that record below and choose it; or choose others.",
            )
        return told

    def applied(self) -> None:
        """Begin anew: what was corrected needs no correction."""
        self._search.clear()
        self._target.clear()
        super().applied()

    def _rechoose(self, _: object = None) -> None:
        self.choose(self.chosen)

    def _find(self, typed: str) -> pd.DataFrame:
        found = self.wb.search(typed, "Mapping")
        told = _told(self._problems, list(found["mapping_key"]))
        right = dict(zip(told["entity"] + "/" + told["wa_id"], told["new_id"], strict=True))
        laid = found.rename(columns={"target": "leads_to_id"})
        laid = laid.assign(should_be_id=[right.get(key, "") for key in laid["mapping_key"]])[_FOUND]
        # People have no title, and events no address.
        empty = [name for name in _FOUND[1:6] if len(found) and laid[name].isna().all()]
        shown = laid.drop(columns=empty)
        shown.attrs = dict(found.attrs)
        return shown


def _told(problems: pd.DataFrame, keys: Collection[str]) -> pd.DataFrame:
    """Return where the traces say that some mappings should lead; of an id of which nothing tells, no row."""
    columns = ["entity", "wa_id", "new_id", "reason"]
    if not len(problems):
        return pd.DataFrame(columns=columns, dtype=str)
    told = problems[(problems["entity"] + "/" + problems["wa_id"]).isin(keys) & (problems["should_be"] != "")]
    # Of several problems of one id the surest says where it should lead.
    told = told.sort_values("sure", ascending=False, kind="stable").drop_duplicates(["entity", "wa_id"])
    return told[["entity", "wa_id", "should_be", "evidence"]].set_axis(columns, axis=1)


def _entity(key: str) -> str:
    return key.partition("/")[0]
