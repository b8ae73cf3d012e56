"""Lead Wild Apricot ids to the right records: see the evidence, list the corrections, plan them (guide §4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ipywidgets import HTML, HBox, VBox
from markupsafe import Markup

from workbench import (
    MappingFindings,
    Plan,
    Shown,
    Workbench,
    mapping_circles,
    mapping_corrections,
    mapping_summary,
    mapping_table,
    prose,
    show,
    visible,
)
from workbench.panels.controls import button, line, tick
from workbench.panels.listing import Listed
from workbench.panels.panel import Panel, seeing, words
from workbench.panels.plans import PlanReview
from workbench.panels.search import Search
from workbench.panels.table import Table

_WRONG = ["mapping_key", "problem", "how_surely", "contact", "person", "title", "should_be_id"]
_FOUND = ["mapping_key", "first_name", "last_name", "email", "title", "start", "leads_to_id", "should_be_id"]
_LISTED = ["mapping_key", "leads_to_person", "should_be_person", "reason", "leads_to_id", "should_be_id"]


class MappingCorrection(Panel):
    """Choose ids that lead to the wrong record, or search for them; then say where they should lead.

    Parameters
    ----------
    wb : Workbench
        The environment.
    found : MappingFindings, optional
        What is wrong, where that was asked already; else it is asked now.
    exports : sequence of path
        Wild Apricot's own CSV exports, or folders of them, as evidence.

    Attributes
    ----------
    corrections : Listed
        What is to be corrected: rows by the mapping's key.
    review : PlanReview
        Where the plan is reviewed.
    """

    def __init__(
        self, wb: Workbench, found: MappingFindings | None = None, exports: Sequence[str | Path] = ()
    ) -> None:
        wb = seeing(wb)
        self._exports = list(exports)
        self._problems = pd.DataFrame()

        def table(key: str, caption: str, several: bool = True) -> Table:
            return Table(key, caption, several=several, wb=wb, chosen=lambda _: self._tell())

        self._wrong = table("mapping_key", "Problems with mappings, the worst first")
        self._search = Search(
            self._find,
            "a WA id, a name, an e-mail address, a title, an id",
            table("mapping_key", "Mappings found"),
            "Find a mapping",
            wb.environment.name,
            changed=lambda: self._tell(),
        )
        self._target = Search(
            self._find_target,
            "only where the traces say nothing, or are wrong",
            table("key", "Records found", several=False),
            "Lead it to another record",
            wb.environment.name,
            changed=lambda: self._tell(),
        )
        self._about, self._evidence, self._circles = HTML(), VBox(), VBox()
        self._reason = line("Reason", "goes into the audit log")
        self._add = button("Add to the corrections", "plus", self._add_chosen)
        self.corrections = Listed("mapping_key", _LISTED, "Corrections", wb=wb, changed=lambda: self._tell())
        self._whole = tick("Also correct the rest of a swap or cycle", True)
        self._move = tick("Also move the registrations that came through the wrong mappings")
        self._plan = button("Plan the correction", "wrench", self._plan_correction)
        self._asked = VBox([self.corrections, self._circles, self._whole, self._move, self._plan])
        self.review = PlanReview(wb, listed=False)
        self.review.layout.display = "none"
        look = button("Look again", "refresh", self.look)
        self._sure = button("Add all that are sure", "list", self._add_sure)
        self._how = VBox([self._target, self._reason, self._add])
        parts = [
            *(self._wrong, HBox([look, self._sure]), self._search, self._about, self._evidence),
            *(self._how, self._asked),
        ]
        super().__init__(wb, "Correct mappings", parts, below=[self.review])
        self.work.observe(lambda _: self._offer(), "busy")
        self.review.follow(self._carried_out)
        if found is None:
            self._tell()
            self.look()
        else:
            self._lay_out(found)

    @property
    def chosen(self) -> list[str]:
        """The keys of the mappings that are chosen, in either table."""
        return list(dict.fromkeys([*self._wrong.chosen, *self._search.chosen]))

    def look(self) -> None:
        """Look for what is wrong, as it is now."""
        self.work.start(
            "Looking at every mapping", lambda _: self.wb.mapping_findings(self._exports), self._lay_out
        )

    def _carried_out(self) -> None:
        """Begin anew once a plan was applied: what it corrected needs no correction."""
        self.corrections.remove(list(self.corrections.rows))
        self.look()

    def static(self) -> Shown:
        """Return the corrections that need no more asking."""
        self.work.wait()
        if not len(self._problems.columns):
            return Shown(self.work.said, "The mappings could not be looked at.")
        sure = mapping_corrections(self._problems).rename(columns={"new_id": "should_be_id"})
        return show(sure, "Corrections that are sure", self.wb.unmask, limit=40)

    def _lay_out(self, found: MappingFindings) -> None:
        self._problems = found.problems
        self._wrong.show(mapping_table(found.problems)[_WRONG])
        self._sure.disabled = not found.problems["sure"].any()
        self._tell()
        if not len(found.problems):
            self._evidence.children = (words(mapping_summary(found)),)

    def _find(self, typed: str) -> pd.DataFrame:
        found = self.wb.find_mappings(typed)
        told = self._told(list(found["mapping_key"]))
        right = [str(told.get(key, {}).get("new_id", "")) for key in found["mapping_key"]]
        laid = found.rename(columns={"target": "leads_to_id"}).assign(should_be_id=right)[_FOUND]
        # People have no title, and events no address.
        empty = [each for each in _FOUND[1:6] if len(found) and laid[each].isna().all()]
        shown = laid.drop(columns=empty)
        shown.attrs = dict(found.attrs)
        return shown

    def _find_target(self, typed: str) -> pd.DataFrame:
        entities = sorted({_entity(key) for key in self.chosen}) or ["Member"]
        return self.wb.find_records(typed, entities[0])

    def _told(self, keys: Sequence[str]) -> dict[str, dict[Any, Any]]:
        """Return where the traces say that some mappings should lead, by their keys."""
        if not len(self._problems):
            return {}
        rows = mapping_corrections(self._problems, keys).to_dict("records")
        return {f"{row['entity']}/{row['wa_id']}": row for row in rows}

    def _tell(self) -> None:
        """Say what is chosen, what is known of it, and what else is part of it."""
        keys, target, listed = self.chosen, self._target.chosen, self.corrections.rows
        self._offer()
        self._how.layout.display = "" if keys else "none"
        self._asked.layout.display = "" if listed else "none"
        where = f"to {target[0]}, as chosen below" if target else "where the traces say"
        sentence = f"Chosen: {', '.join(keys)}, to lead {where}." if keys else ""
        self._say(sentence or "Choose the ids that are to be corrected, or search for them.", "note")
        if not len(self._problems):
            return
        named = self._problems["entity"] + "/" + self._problems["wa_id"]
        known = mapping_table(self._problems[named.isin(keys)])
        shown = [show(known, "What is known of it", self.wb.shows_people, limit=40)] if len(known) else []
        self._evidence.children = tuple(words(each) for each in shown)
        circles = mapping_circles(self._problems, [*keys, *listed], self.wb.shows_people)
        self._circles.children = (words(circles),) if circles.text else ()

    def redraw(self) -> None:
        """Say again what is known of the chosen ids."""
        self._tell()

    def _offer(self) -> None:
        self._add.disabled = not self.chosen
        self._plan.disabled = self.work.busy or not self.corrections.rows

    def _add_chosen(self) -> None:
        keys, target = self.chosen, self._target.chosen
        reason = {"reason": self._reason.value.strip()} if self._reason.value.strip() else {}
        if not target:
            told = self._told(keys)
            self._take({key: {**row, **reason} for key, row in told.items()}, {})
            if untold := [key for key in keys if key not in told]:
                self._wrong.choose(untold)
                self._search.choose(*untold)
                self._tell()
                self._say(
                    f"Nothing tells where {' and '.join(untold)} should lead. Find out who it is; search for that record"
                    " below, choose it, and add again.",
                    "warn",
                )
            return
        others = [key for key in keys if _entity(key) != _entity(keys[0])]
        if others:
            self._say(f"{keys[0]} and {others[0]} are of two kinds, and cannot lead to one record.", "fail")
            return
        rows = {
            key: {
                "entity": _entity(key),
                "wa_id": key.partition("/")[2],
                "new_id": target[0],
                "reason": "",
                **reason,
            }
            for key in keys
        }
        self._take(rows, self._target.facts(target[0], "key"))

    def _add_sure(self) -> None:
        rows = mapping_corrections(self._problems).to_dict("records")
        self._take({f"{row['entity']}/{row['wa_id']}": row for row in rows}, {})

    def _take(self, rows: dict[str, dict[Any, Any]], facts: dict[str, Any]) -> None:
        """Put corrections on the list, each with whom it is about; `facts` are the record's that was chosen."""
        problems = self._problems.to_dict("records")
        now = {f"{row['entity']}/{row['wa_id']}": row for row in reversed(problems)}
        listed = []
        for key, row in rows.items():
            known, met = now.get(key, {}), self._search.facts(key, "mapping_key")
            listed.append(
                {
                    **row,
                    "mapping_key": key,
                    "leads_to_id": known.get("target") or met.get("leads_to_id"),
                    "leads_to_person": known.get("person") or _called(met),
                    "should_be_id": row["new_id"],
                    "should_be_person": _called(facts) or known.get("contact"),
                }
            )
        # What is on the list is chosen no more: the next record that is chosen is for others.
        self._wrong.choose([])
        self._search.choose()
        self._target.clear()
        self._reason.value = ""
        self.corrections.put(listed)

    def _plan_correction(self) -> None:
        rows = [
            {name: row[name] for name in ("entity", "wa_id", "new_id", "reason")}
            for row in self.corrections.rows.values()
        ]
        how = {"move_records": self._move.value, "whole_cycle": self._whole.value, "exports": self._exports}
        self.work.start(
            "Planning the correction", lambda _: self.wb.plan_mappings(rows, **how), self._planned
        )

    def _planned(self, made: Plan) -> None:
        self.review.layout.display = ""
        self.review.show(made)

    def _say(self, sentence: str, tone: str) -> None:
        self._about.value = Markup('<p class="wb-{}">{}</p>').format(
            tone, prose(visible(sentence), self.wb.environment.name)
        )


def _entity(key: str) -> str:
    return key.partition("/")[0]


def _called(facts: dict[str, Any]) -> str:
    """Return what a record that was found is called."""
    names = [facts.get(name) for name in ("first_name", "last_name")]
    return " ".join(str(each) for each in names if each) or str(facts.get("title") or "")
