"""Lead Wild Apricot ids to the right records: see the evidence, list the corrections, plan them (guide §4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ipywidgets import HTML, HBox, VBox, Widget
from markupsafe import Markup

from workbench import Plan, Workbench
from workbench.mappings.problems import MappingFindings
from workbench.mappings.questions import mapping_table, summary
from workbench.panels.controls import button, line, tick
from workbench.panels.panel import Told
from workbench.panels.plans import Planner
from workbench.panels.table import Search, Table
from workbench.reporting.mappings import mapping_circles, mapping_corrections
from workbench.reporting.tables import Shown, listed, prose, show, visible

_WRONG = ["mapping_key", "problem", "how_surely", "contact", "person", "title", "should_be_id"]
_FOUND = ["mapping_key", "first_name", "last_name", "email", "title", "start", "leads_to_id", "should_be_id"]
_LISTED = ["mapping_key", "leads_to_person", "should_be_person", "reason", "leads_to_id", "should_be_id"]


class MappingCorrection(Planner):
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
    corrections : dict of str to dict
        What is to be corrected, by the mapping's key.
    """

    title, key, caption = "Correct mappings", "mapping_key", "Problems with mappings, the worst first"
    reading, several = "Looking at every mapping", True

    def __init__(
        self, wb: Workbench, found: MappingFindings | None = None, exports: Sequence[str | Path] = ()
    ) -> None:
        self.exports = list(exports)
        self.corrections: dict[str, dict[str, Any]] = {}
        self._problems = pd.DataFrame()
        super().__init__(wb)
        if found is None:
            self.tell(None)
            self.look()
        else:
            self.lay_out(found)
            self.choose([])

    def parts(self) -> list[Widget]:
        """Lay out the problems, a search, where the chosen ids should lead, and the list of corrections."""
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
        self._about, self._evidence, self._circles = HTML(), Told(), Told()
        self._reason = line("Reason", "goes into the audit log")
        self._add = button("Add to the corrections", "plus", self._add_chosen)
        self._sure = button("Add all that are sure", "list", lambda: self._take(self._told()))
        self._listed = Table("mapping_key", "Corrections", several=True, wb=self.wb)
        remove = button("Remove", "minus", lambda: self.remove(self._listed.chosen), "Off the list again")
        self._whole = tick("Also correct the rest of a swap or cycle", True)
        self._move = tick("Also move the registrations that came through the wrong mappings")
        self._how = VBox([self._target, self._reason, self._add])
        listed = [self._listed, remove, self._circles, self._whole, self._move]
        plan, *rest = super().parts()
        self._asked = VBox([*listed, plan])
        look = button("Look again", "refresh", self.look)
        return [
            *(self.table, HBox([look, self._sure]), self._search, self._about, self._evidence),
            *(self._how, self._asked, *rest),
        ]

    def _searched(self, title: str, what: str, ask: Callable[[str], pd.DataFrame], table: Table) -> Search:
        return Search(title, what, ask, table, self._rechoose, self.wb.environment.name)

    @property
    def chosen(self) -> list[str]:
        """The keys of the mappings that are chosen, in either table."""
        return list(dict.fromkeys([*self.table.chosen, *self._search.table.chosen]))

    def static(self) -> Shown:
        """Return the corrections that need no more asking."""
        self.work.wait()
        if not len(self._problems.columns):
            return Shown(self.work.said, "The mappings could not be looked at.")
        sure = mapping_corrections(self._problems).rename(columns={"new_id": "should_be_id"})
        return show(sure, "Corrections that are sure", self.wb.unmask, limit=40)

    def rows(self) -> MappingFindings:
        """Look for what is wrong, as it is now."""
        return self.wb.mappings.findings(self.exports)

    def lay_out(self, found: MappingFindings) -> None:
        """Show what is wrong."""
        self._problems = found.problems
        if not len(found.problems):
            self._evidence.tell(lambda: listed(summary(found)))
        self.table.show(mapping_table(found.problems)[_WRONG])
        self._sure.disabled = not found.problems["sure"].any()
        self.wanted = self.chosen

    def choose(self, keys: list[str]) -> None:
        """Say of other mappings what is known; all of it was read already."""
        self.wanted = self.shown = keys
        self.tell(None)

    def tell(self, _: Any) -> None:
        """Say what is chosen, what is known of it, and what else is part of it."""
        keys, target, problems = self.chosen, self._target.table.chosen, self._problems
        where = f"to {target[0]}, as chosen below" if target else "where the traces say"
        chosen = f"Chosen: {', '.join(keys)}, to lead {where}."
        self._say(chosen if keys else "Choose the ids that are to be corrected, or search for them.", "note")
        self._how.layout.display = "" if keys else "none"
        self._asked.layout.display = "" if self.corrections else "none"
        self._add.disabled = not keys
        self.offer()
        if not len(problems.columns):
            return
        known = mapping_table(problems[(problems["entity"] + "/" + problems["wa_id"]).isin(keys)])
        self._evidence.tell(
            *[lambda: show(known, "What is known of it", self.wb.session.shows_people, limit=40)][
                : len(known)
            ]
        )
        of_it = [*keys, *self.corrections]
        self._circles.tell(lambda: mapping_circles(problems, of_it, self.wb.session.shows_people))

    def offered(self) -> set[str]:
        """Offer to plan once something is on the list."""
        return set(self.buttons) if self.corrections else set()

    def applied(self) -> None:
        """Begin anew: what was corrected needs no correction."""
        self.remove(list(self.corrections))
        self.look()

    def remove(self, keys: Iterable[str]) -> None:
        """Take corrections off the list."""
        self.corrections = {key: row for key, row in self.corrections.items() if key not in set(keys)}
        self._list()

    def planning(self) -> Callable[[], Plan]:
        """Plan what is on the list."""
        names = ("entity", "wa_id", "new_id", "reason")
        rows = [{name: row[name] for name in names} for row in self.corrections.values()]
        how = {"move_records": self._move.value, "whole_cycle": self._whole.value, "exports": self.exports}
        return lambda: self.wb.mappings.plan(rows, **how)

    def _rechoose(self, _: object = None) -> None:
        self.choose(self.chosen)

    def _find(self, typed: str) -> pd.DataFrame:
        found = self.wb.search(typed, "Mapping")
        told = self._told(list(found["mapping_key"]))
        right = [str(told.get(key, {}).get("new_id", "")) for key in found["mapping_key"]]
        laid = found.rename(columns={"target": "leads_to_id"}).assign(should_be_id=right)[_FOUND]
        # People have no title, and events no address.
        empty = [name for name in _FOUND[1:6] if len(found) and laid[name].isna().all()]
        shown = laid.drop(columns=empty)
        shown.attrs = dict(found.attrs)
        return shown

    def _told(self, keys: Sequence[str] | None = None) -> dict[str, dict[Any, Any]]:
        """Return where the traces say that mappings should lead, by their keys: some, or all that are sure."""
        if not len(self._problems):
            return {}
        rows = mapping_corrections(self._problems, keys).to_dict("records")
        return {f"{row['entity']}/{row['wa_id']}": row for row in rows}

    def _add_chosen(self) -> None:
        keys, target = self.chosen, self._target.table.chosen
        told = self._told(keys)
        if target:
            others = [key for key in keys if _entity(key) != _entity(keys[0])]
            if others:
                self._say(
                    f"{keys[0]} and {others[0]} are of two kinds, and cannot lead to one record.", "fail"
                )
                return
            told = {
                key: {
                    "entity": _entity(key),
                    "wa_id": key.partition("/")[2],
                    "new_id": target[0],
                    "reason": "",
                }
                for key in keys
            }
        if reason := self._reason.value.strip():
            told = {key: {**row, "reason": reason} for key, row in told.items()}
        self._take(told, self._target.table.row(target[0]) if target else {})
        if untold := [key for key in keys if key not in told]:
            self.table.choose(untold)
            self._search.table.choose(untold)
            self._rechoose()
            self._say(
                f"Nothing tells where {' and '.join(untold)} should lead. Find out who it is; search for that record"
                " below, choose it, and add again.",
                "warn",
            )

    def _take(self, rows: dict[str, dict[Any, Any]], target: dict[str, Any] | None = None) -> None:
        """Put corrections on the list, each with whom it is about; `target` is the record that was chosen for them."""
        problems = self._problems.to_dict("records")
        now = {f"{row['entity']}/{row['wa_id']}": row for row in reversed(problems)}
        for key, row in rows.items():
            known, met = now.get(key, {}), self._search.table.row(key)
            self.corrections[key] = {
                **row,
                "mapping_key": key,
                "leads_to_id": known.get("target") or met.get("leads_to_id"),
                "leads_to_person": known.get("person") or _called(met),
                "should_be_id": row["new_id"],
                "should_be_person": _called(target or {}) or known.get("contact"),
            }
        # What is on the list is chosen no more: the next record that is chosen is for others.
        self.table.choose([])
        self._search.table.choose([])
        self._reason.value = ""
        self._target.clear()
        self._list()

    def _list(self) -> None:
        self._listed.show(pd.DataFrame(list(self.corrections.values()), columns=_LISTED, dtype=object))
        self._rechoose()

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
