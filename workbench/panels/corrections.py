"""Roll a run back, correct tiers and statuses, correct mappings: choose, plan, review (guide §1, §4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from ipywidgets import HTML, Checkbox, HBox, ToggleButtons, VBox, Widget
from markupsafe import Markup

from workbench import LevelZero, Plan, Workbench, WorkbenchError
from workbench.mappings.problems import MappingFindings, sure_corrections
from workbench.mappings.questions import mapping_table, summary
from workbench.panels.panel import Details
from workbench.panels.plans import Planner
from workbench.panels.table import MOST, Search, Table, button, checkbox, dropdown, text_field
from workbench.reporting.tables import listed, show
from workbench.runs.questions import run_counts, run_summary
from workbench.tiers.questions import configuration, foremost
from workbench.tiers.review import CORRECTABLE, TierReview

_RUN = ["run", "importer", "mode", "sync", "started", "status", "rolled_back"]
_RUN += ["members", "events", "registrations", "why", "evidence"]
_WRONG = ["mapping_key", "problem", "how_surely", "contact", "person", "title", "should_be_id"]
_FOUND = ["mapping_key", "first_name", "last_name", "email", "title", "start", "leads_to_id", "should_be_id"]


class RunPicker(Planner):
    """Choose a run, see its records, and plan its rollback.

    Parameters
    ----------
    wb : Workbench
        The environment.
    wanted : str
        The first run; by default none.
    """

    title, key, caption = "Pick a run", "run", "Runs"
    reading, act = "Reading the runs", ("Plan the rollback", "undo")

    def parts(self) -> list[Widget]:
        """Create the list of runs, one run's records, and the options of a rollback."""
        self._summary, self._records = Details(), Table("record", "Records", self.wb)
        self._snapshot = dropdown("Old values from", [("none", None)], "34rem")
        self._restore = checkbox("Also undo what people changed since in columns that the run changed before")
        return [self.table, self._summary, self._records, self._snapshot, self._restore, *super().parts()]

    @property
    def run(self) -> str:
        """The run that is shown; empty when none is."""
        return self.shown[0] if self.shown else ""

    def rows(self) -> Any:
        """Read the runs, and the snapshots that may hold old values."""
        return self.wb.runs.frame(), self.wb.snapshots.here()

    def lay_out(self, rows: Any) -> None:
        """Show the runs, the latest first."""
        runs, snapshots = rows
        self.table.show(runs.iloc[::-1][_RUN])
        names = [
            (f"{snapshot.snapshot} ({snapshot.created_at:%Y-%m-%d %H:%M} UTC)", snapshot.snapshot)
            for snapshot in snapshots
        ]
        self._snapshot.options = [("none: what the run changed stays changed", None), *names[::-1]]

    def details(self, keys: list[str]) -> Any:
        """Read what a run did."""
        return self.wb.runs.records(keys[0], limit=MOST) if keys else None

    def tell(self, details: Any) -> None:
        """Show what a run did, and its records."""
        self._records.layout.display = "none" if details is None else ""
        if details is None:
            self._summary.show()
            return
        self._summary.show(
            lambda: listed(run_summary(details.run)),
            lambda: show(run_counts(details.run), "Found and reported"),
            lambda: show(details.left_out, "Left out", self.wb.session.shows_people),
        )
        numbered = details.records.assign(record=range(1, len(details.records) + 1))
        self._records.show(numbered, int(details.tally["records"].sum()))

    def offered(self) -> set[str]:
        """Enable the button once a run is chosen."""
        return set(self.buttons) if self.shown else set()

    def planning(self) -> Callable[[], Plan | LevelZero]:
        """Plan to roll the run back."""
        run, snapshot, conflict = self.run, self._snapshot.value, _on_conflict(self._restore)
        return lambda: self.wb.runs.plan_rollback(run, snapshot=snapshot, on_conflict=conflict)


class TierCorrection(Planner):
    """Choose levels, or none for all of them, and plan to correct their members' tiers or statuses.

    Parameters
    ----------
    wb : Workbench
        The environment, with its tier mapping.
    wanted : str
        The first level; by default none.
    """

    title, key, caption = "Correct tiers", "level", "Levels with members in another tier"
    reading, several = "Comparing every member", True

    def parts(self) -> list[Widget]:
        """Create the list of levels, their members, and the options of a correction."""
        self._reviews: dict[str, TierReview] = {}
        self._kind = ToggleButtons(options=[("Tiers", "tier"), ("Statuses", "status")])
        self._kind.observe(lambda _: self.lay_out_anew(self._reviews) if self._reviews else None, "value")
        self._summary = Details()
        self._members = Table("key", "Members in another tier than their level's", self.wb)
        self._conflict = checkbox("Also change what a person set by hand after the import")
        self._reason = text_field("Reason", "goes into the plan")
        self._correction = VBox([self.table, self._members, self._conflict, self._reason])
        compare = button("Compare again", "refresh", self.look)
        return [compare, self._kind, self._summary, self._correction, *super().parts()]

    @property
    def _of(self) -> Literal["tiers", "statuses"]:
        return "statuses" if self._kind.value == "status" else "tiers"

    def rows(self) -> dict[str, TierReview]:
        """Compare every member with the configuration."""
        return self.wb.tiers.review()

    def lay_out(self, reviews: dict[str, TierReview]) -> None:
        """Show the levels, of tiers or of statuses."""
        self._reviews, kind = reviews, foremost(reviews).kind
        both = len(reviews) > 1 and all(review.mapping for review in reviews.values())
        self._kind.layout.display = "" if both else "none"
        if not both and self._kind.value != kind:
            self._kind.value = kind  # which calls this again
            return
        review = reviews[self._kind.value]
        problems = pd.DataFrame({"finding": review.findings})
        parts = [
            lambda: listed(configuration(review)),
            lambda: show(problems, "What is wrong", self.wb.session.shows_people, limit=40),
        ]
        self._summary.show(*parts[: 2 if len(problems) else 1])
        self.table.show(tier_corrections(review))
        self._correction.layout.display = self.row.layout.display = "" if review.correctable else "none"

    def details(self, levels: list[str]) -> Any:
        """Read the members of some levels, or of all."""
        review = self._reviews.get(self._kind.value)
        if review is None or not review.correctable:
            return None
        return self.wb.tiers.wrong(of=self._of, limit=MOST, levels=levels)

    def tell(self, members: Any) -> None:
        """Show the members."""
        if members is not None:
            levels = self.table.frame
            counted = levels[levels["level"].isin(self.wanted)] if self.wanted else levels
            self._members.show(members, int(counted["members"].sum()))

    def planning(self) -> Callable[[], Plan]:
        """Plan to correct the chosen levels."""
        levels, conflict, of = self.chosen, _on_conflict(self._conflict), self._of
        reason = self._reason.value.strip() or None
        return lambda: self.wb.tiers.plan(of=of, levels=levels, on_conflict=conflict, reason=reason)


class MappingCorrection(Planner):
    """Choose wrong mappings, or none for all that are sure; or search for one, and choose the record it should lead to.

    Parameters
    ----------
    wb : Workbench
        The environment.
    exports : sequence of path
        Wild Apricot's CSV exports, or folders of them, as evidence.
    """

    title, key, caption = "Correct mappings", "mapping_key", "Problems with mappings, the worst first"
    reading, several = "Checking every mapping", True

    def __init__(self, wb: Workbench, exports: Sequence[str | Path] = ()) -> None:
        self.exports = list(exports)
        self._problems = pd.DataFrame()
        super().__init__(wb)
        self.tell(None)

    def parts(self) -> list[Widget]:
        """Create the problems, the two searches, and the options of a correction."""
        self._search = Search(
            "Find a mapping",
            "a WA id, a name, an e-mail address, a title, an id",
            self._find,
            Table("mapping_key", "Mappings found", self.wb, several=True, chosen=self._choose_shown),
            self._choose_found,
        )
        self._target = Search(
            "Lead it to another record",
            "only where there is no evidence, or the evidence is wrong",
            lambda typed: self.wb.search(typed, min(map(_entity, self.chosen), default="Member")),
            Table("key", "Records found", self.wb, chosen=self._choose_shown),
            self._choose_found,
        )
        self._about, self._evidence = HTML(), Details()
        self._reason = text_field("Reason", "goes into the audit log")
        self._whole = checkbox("Also correct the rest of a swap or cycle", True)
        self._move = checkbox("Also move the registrations that came through the wrong mappings")
        self._how = VBox([self._target, self._reason])
        look = button("Look again", "refresh", self.look)
        return [
            *(self.table, look, self._search, self._about, self._evidence, self._how),
            *(HBox([self._whole, self._move]), *super().parts()),
        ]

    @property
    def chosen(self) -> list[str]:
        """The keys of the chosen mappings, in either table."""
        return list(dict.fromkeys([*self.table.chosen, *self._search.table.chosen]))

    def _choose_found(self) -> None:
        self.choose(self.chosen)

    def rows(self) -> MappingFindings:
        """Find the problems."""
        return self.wb.mappings.findings(self.exports)

    def lay_out(self, findings: MappingFindings) -> None:
        """Show the problems."""
        self._problems = findings.problems
        if not len(findings.problems):
            self._evidence.show(lambda: listed(summary(findings)))
        self.table.show(mapping_table(findings.problems)[_WRONG])

    def choose(self, keys: list[str]) -> None:
        """Show the evidence of other mappings, which was read already."""
        self.wanted = self.shown = keys
        self.tell(None)

    def tell(self, _: Any) -> None:
        """Show what is chosen, and its evidence."""
        keys, target, problems = self.chosen, self._target.table.chosen, self._problems
        where = f"to {target[0]}, as chosen below" if target else "where the evidence says"
        chosen = f"Chosen: {', '.join(keys)}, to lead {where}." if keys else "None chosen: all that are sure."
        self._about.value = Markup('<p class="wb-note">{}</p>').format(chosen)
        self._how.layout.display = "" if keys else "none"
        self.offer()
        if len(problems):
            known = mapping_table(problems[_keys(problems).isin(keys)])
            parts = [lambda: show(known, "Evidence", self.wb.session.shows_people, limit=40)]
            self._evidence.show(*parts[: len(known)])

    def offered(self) -> set[str]:
        """Enable the button once there is something to correct."""
        sure = len(self._problems) and self._problems["sure"].any()
        return set(self.buttons) if self.chosen or sure else set()

    def planning(self) -> Callable[[], Plan]:
        """Plan to correct what is chosen, else all that is sure."""
        keys, target, reason = self.chosen, self._target.table.chosen, self._reason.value.strip()
        how = {"move_records": self._move.value, "whole_cycle": self._whole.value, "exports": self.exports}

        def make() -> Plan:
            rows = self._corrections(keys, target[0] if target else "")
            if reason:
                rows = rows.assign(reason=reason)
            return self.wb.mappings.plan(rows.to_dict("records"), **how)

        return make

    def _corrections(self, keys: list[str], target: str) -> pd.DataFrame:
        """Return where mappings should lead: ``entity``, ``wa_id``, ``new_id``, ``reason``."""
        if not keys:
            return sure_corrections(self._problems)
        rows = _corrections_known(self._problems).reindex(keys)
        rows["entity"], rows["wa_id"] = zip(*(key.split("/", 1) for key in keys), strict=True)
        if target:
            if rows["entity"].nunique() > 1:
                raise WorkbenchError(f"{' and '.join(keys)} are of two kinds, and cannot lead to one record.")
            return rows.assign(new_id=target, reason="")
        if unknown := list(rows.index[rows["new_id"].isna()]):
            raise WorkbenchError(
                f"There is no evidence where {' and '.join(unknown)} should lead.",
                "Search below for the right record and choose it; or choose other mappings.",
            )
        return rows

    def applied(self) -> None:
        """Clear the searches, and read the problems again."""
        self._search.clear()
        self._target.clear()
        super().applied()

    def _find(self, typed: str) -> pd.DataFrame:
        mappings = self.wb.search(typed, "Mapping")
        should_be = _corrections_known(self._problems)["new_id"].reindex(
            mappings["mapping_key"], fill_value=""
        )
        rows = mappings.rename(columns={"target": "leads_to_id"}).assign(should_be_id=list(should_be))[_FOUND]
        # People have no title, and events no address.
        rows = rows.drop(columns=[name for name in _FOUND[1:6] if len(rows) and rows[name].isna().all()])
        rows.attrs = dict(mappings.attrs)
        return rows


def tier_corrections(review: TierReview) -> pd.DataFrame:
    """List the levels with members in another tier, or in none: ``level``, ``expected``, ``members``, ``found``."""
    wrong = review.matrix[review.matrix["finding"].isin(CORRECTABLE)]
    actual = wrong["actual"].astype(object).where(wrong["actual"].notna(), "none")
    counts = [f"{code}: {members:,}" for code, members in zip(actual, wrong["members"], strict=True)]
    levels = wrong.assign(found=counts).groupby("level", as_index=False)
    table = levels.agg(expected=("expected", "first"), members=("members", "sum"), found=("found", ", ".join))
    return table.sort_values(["members", "level"], ascending=[False, True], ignore_index=True)


def _on_conflict(also: Checkbox) -> Literal["keep", "restore"]:
    return "restore" if also.value else "keep"


def _keys(problems: pd.DataFrame) -> pd.Series[str]:
    return problems["entity"] + "/" + problems["wa_id"]


def _corrections_known(problems: pd.DataFrame) -> pd.DataFrame:
    """Return by key where mappings should lead by the evidence; a mapping without evidence has no row."""
    columns = ["entity", "wa_id", "new_id", "reason"]
    if not len(problems):
        return pd.DataFrame(columns=columns, dtype=str)
    # Of several problems of one mapping the surest says where it should lead.
    known = problems[problems["should_be"] != ""].sort_values("sure", ascending=False, kind="stable")
    known = known.drop_duplicates(["entity", "wa_id"])
    rows = known[["entity", "wa_id", "should_be", "evidence"]].set_axis(columns, axis=1)
    return rows.set_axis(_keys(known), axis=0)


def _entity(key: str) -> str:
    return key.partition("/")[0]
