"""Review pairs that may be one, then merge the records that were called the same (guide §4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from anywidget import AnyWidget
from ipywidgets import HTML, Dropdown, GridBox, HBox, Label, RadioButtons, ToggleButtons, VBox, Widget
from markupsafe import Markup
from traitlets import List, Unicode

from workbench import Workbench
from workbench.answer import many
from workbench.duplicates.pairs import Matches
from workbench.duplicates.plan import MERGE_RULES
from workbench.duplicates.records import SideBySide
from workbench.panels.panel import Actions, Details
from workbench.panels.plans import Planner
from workbench.panels.table import button, dropdown, text_field
from workbench.panels.work import Work
from workbench.reporting.beside import not_reviewed, pair_evidence, pairs_to_review, records_side_by_side
from workbench.reporting.masking import mask
from workbench.reporting.tables import heading, shorten, text_of

_ENTITIES = {"Members": "Member", "Events": "Event", "Registrations": "Registration"}
DECISIONS = {
    "s": ("same", "check", "They are one (s)"),
    "d": ("different", "times", "They are two (d)"),
    "u": ("unsure", "question", "Review them again later; revokes an earlier decision (u)"),
}
"""What can be decided about a pair, each by its key."""

_STEPS = {"ArrowDown": 1, "ArrowRight": 1, "ArrowUp": -1, "ArrowLeft": -1}
_LONGEST = 60  # characters of a value to choose
_WARNING = Markup('<p class="wb-answer wb-warn">{}</p>')
_NOT_REVIEWED = "Nobody called these records the same, so they are not merged: {}"


class DuplicateReview(Planner):
    """Decide of each pair whether it is one, and plan to merge the records that were called the same.

    Parameters
    ----------
    wb : Workbench
        The environment.
    matches : sequence of Matches
        Results to begin with; other entities are compared when they are chosen.
    threshold : float
        The lowest probability at which a pair is listed.
    model : path
        Trained parameters; by default the shipped ones.

    Attributes
    ----------
    matches : Matches or None
        The duplicates of the chosen entity.
    card : PairCard
        The pair in view.
    merging : MergeForm
        What to merge, and how.
    """

    title, key, caption = "Review duplicates", "pair_ids", "Pairs"
    reading, act = "Looking for duplicates", ("Plan the merge", "compress")

    def __init__(
        self,
        wb: Workbench,
        matches: Sequence[Matches] = (),
        *,
        threshold: float = 0.7,
        model: str | Path = "",
    ) -> None:
        self.matches: Matches | None = None
        self._cache = {pairs.entity: pairs for pairs in matches}
        self._how = (threshold, model or None)
        super().__init__(wb)

    def parts(self) -> list[Widget]:
        """Create the list of pairs, the pair in view, and the merge form."""
        self.entity = ToggleButtons(options=list(_ENTITIES.items()))
        self.entity.style.button_width = "auto"
        self.entity.observe(lambda _: self._change_entity(), "value")
        again = button("Look again", "refresh", self.applied, "Compare again, with the database as it is now")
        self._warnings, self._progress = HTML(), HTML()
        self.card = PairCard(self.wb, self._decide, self._step)
        self.merging = MergeForm(self.wb, self._show_cluster, self._plan)
        *_, review = super().parts()
        return [
            HBox([self.entity, again]),
            *(self._warnings, self.table, self._progress, self.card, self.work, self.merging, review),
        ]

    def actions(self) -> Actions:
        """Return nothing: the card and the merge form have their own buttons."""
        return {}

    def applied(self) -> None:
        """Compare again."""
        self._cache.clear()
        self.look()

    def go(self, key: str) -> None:
        """Show a pair of any entity."""
        entity, _, pair = key.rpartition("/")
        if entity in _ENTITIES.values():
            self.entity.value = entity
        self.choose([pair])

    def _change_entity(self) -> None:
        self.wanted = []
        self.look()

    @property
    def order(self) -> list[str]:
        """The pairs, in the order in which they are listed."""
        pairs = pd.DataFrame({"left": [], "right": []}) if self.matches is None else self.matches.pairs
        return list(pairs["left"] + " " + pairs["right"])

    def rows(self) -> tuple[Matches, pd.DataFrame]:
        """Find the pairs, their decisions, and the clusters that were called the same."""
        entity = self.entity.value
        return self._with_decisions(self._cache.get(entity) or self.wb.duplicates.find(entity, *self._how))

    def _with_decisions(self, matches: Matches) -> tuple[Matches, pd.DataFrame]:
        return self.wb.duplicates.decided(matches), self.wb.duplicates.called_same(matches.entity)

    def lay_out(self, rows: tuple[Matches, pd.DataFrame]) -> None:
        """Show the pairs, and begin with the first that nobody reviewed."""
        self.card.show(None, None, "")
        self._update(*rows)
        self._list()
        if not set(self.wanted) & set(self.order):
            self.wanted = (self._undecided() or self.order)[:1]

    def _update(self, matches: Matches, same: pd.DataFrame) -> None:
        self.matches = self._cache[matches.entity] = matches
        self.merging.offer(same)
        warnings = [matches.not_run, *matches.notes, *same.attrs.get("notes", ())]
        self._warnings.value = Markup("").join(_WARNING.format(text) for text in warnings if text)

    def _list(self) -> None:
        assert self.matches is not None
        decisions = self.matches.pairs["decision"]
        reviewed, unsure = int((decisions != "").sum()), int((decisions == "unsure").sum())
        progress = f"{reviewed:,} of {len(decisions):,} reviewed"
        progress += f", {unsure:,} of them unsure" if unsure else ""
        self._progress.value = Markup('<p class="wb-progress" role="status">{}</p>').format(progress)
        self.table.show(pairs_to_review(self.matches))
        self.table.choose([self.card.pair])

    def _undecided(self, after: str = "") -> list[str]:
        """Return the pairs that nobody reviewed, beginning after one of them."""
        assert self.matches is not None
        order, decisions = self.order, self.matches.pairs["decision"]
        place = order.index(after) + 1 if after in order else 0
        undecided = [
            pair for pair, decision in zip(order, decisions, strict=True) if not decision and pair != after
        ]
        first = {*order[:place]}
        return sorted(undecided, key=first.__contains__)

    def choose(self, keys: list[str]) -> None:
        """Show another pair; while none is chosen, the previous one stays."""
        if keys:
            super().choose(keys)
            self.card.keyboard.take_focus()

    def offer(self) -> None:
        """Accept a decision only while the pair that it is about is in view."""
        self.seen = f"{self.entity.value}/{self.wanted[0]}" if self.wanted else ""
        if self.shown != self.wanted:
            self.card.hold(True)
        elif not self.work.busy:
            self.card.hold(not self.card.pair)

    def details(self, keys: list[str]) -> Any:
        """Read the two records."""
        matches = self.matches
        if not keys or matches is None:
            return None
        return matches, self.wb.duplicates.side_by_side(keys[0].split(" "), matches.entity)

    def tell(self, details: Any) -> None:
        """Show the two records side by side."""
        if details is not None:
            matches, records = details
            pair, order = " ".join(records.ids), self.order
            place = f" {order.index(pair) + 1:,} of {len(order):,}" if pair in order else ""
            self.card.show(matches, records, f"Pair{place}")
            self.table.choose([pair])

    def _step(self, distance: int) -> None:
        """Show the next or previous pair of the list."""
        pair, order = next(iter(self.wanted), ""), self.order
        place = order.index(pair) + distance if pair in order else 0
        if 0 <= place < len(order):
            super().choose([order[place]])

    def _decide(self, decision: str) -> None:
        matches, pair, remark = self.matches, self.card.pair, self.card.remark.value.strip()
        if self.card.held or matches is None:
            return
        self.card.hold(True)
        following = self._undecided(pair)[:1]

        def decide(_: object) -> tuple[Matches, pd.DataFrame]:
            left, right = pair.split(" ")
            self.wb.duplicates.decide(left, right, decision, remark=remark, entity=matches.entity)
            return self._with_decisions(matches)

        def then(rows: tuple[Matches, pd.DataFrame]) -> str:
            sentence = f"{pair.replace(' ', ' and ')}: {decision}, says {self.wb.settings.operator}."
            if matches.entity != self.entity.value:  # another entity was chosen in the meantime
                self._cache[matches.entity] = rows[0]
                return sentence
            self._update(*rows)
            self.wanted = following or [pair]
            self._read()
            # The next pair first: thousands of pairs take a moment to list.
            self.work.start("Listing the pairs", lambda _: None, lambda _: self._list())
            return sentence + ("" if following else " Every pair is reviewed.")

        self.work.start("Recording the decision", decide, then)

    def _show_cluster(self, members: list[str]) -> None:
        matches = self.matches
        assert matches is not None
        self.merging.work.start(
            "Reading the records",
            lambda _: self.wb.duplicates.side_by_side(members, matches.entity),
            lambda records: self.merging.show(records, not_reviewed(matches, records.ids)),
        )

    def _plan(self, all_clusters: bool) -> None:
        assert self.matches is not None
        entity, request = self.matches.entity, self.merging.request(all_clusters)
        self.plan(lambda: self.wb.duplicates.plan_merges(**request, entity=entity), self.merging.work)


class Keys(AnyWidget):
    """Keyboard shortcuts while the panel has the focus, except in text fields.

    A decision counts for the pair that was shown when its key was pressed (`of`): a second press in haste decides
    nothing about the next pair. A step counts whenever it is pressed.
    """

    _esm = Path(__file__).parent / "keys.js"
    known = List(Unicode()).tag(sync=True)
    about = Unicode("s same, d different, u unsure, ↓ next pair, ↑ previous pair.").tag(sync=True)
    of = Unicode().tag(sync=True)

    def __init__(self, decide: Callable[[str], None], step: Callable[[int], None]) -> None:
        super().__init__(known=[*DECISIONS, *_STEPS])
        self._decide, self._step = decide, step
        self.on_msg(self._pressed)

    def take_focus(self) -> None:
        """Give the shortcuts the focus."""
        self.send({"focus": True})

    def _pressed(self, _: Any, content: Any, __: Any) -> None:
        key = str(content.get("key", ""))
        if key in _STEPS:
            self._step(_STEPS[key])
        elif key in DECISIONS and content.get("about") == self.of:
            self._decide(DECISIONS[key][0])


class PairCard(VBox):
    """The pair in view, and the buttons to decide about it.

    Parameters
    ----------
    wb : Workbench
        Says whether people are shown.
    decide : callable
        Called with the decision.
    step : callable
        Called with the number of pairs to go forward.

    Attributes
    ----------
    pair : str
        The two ids, separated by a blank; empty when no pair is shown.
    held : bool
        Whether no decision is accepted at the moment.
    """

    def __init__(self, wb: Workbench, decide: Callable[[str], None], step: Callable[[int], None]) -> None:
        self.pair, self.held, self._wb = "", True, wb
        self._title, self._evidence, self._records = HTML(), Details(), Details()
        self.keyboard = Keys(decide, step)
        self.remark = text_field(
            "Why", "without personal data; Enter takes you back to the keys", width="36rem"
        )
        self.remark.add_class("wb-remark")
        buttons = [
            button(word.capitalize(), icon, partial(decide, word), tip).add_class(f"wb-says-{key}")
            for key, (word, icon, tip) in DECISIONS.items()
        ]  # a click counts as the key (keys.js)
        previous = button("Previous", "arrow-up", partial(step, -1))
        following = button("Next", "arrow-down", partial(step, 1))
        controls = HBox([*buttons, previous, following, self.remark])
        super().__init__([self._title, self.keyboard, controls, self._evidence, self._records])
        self.add_class("wb-card")
        self.layout.display = "none"

    def show(self, matches: Matches | None, records: SideBySide | None, title: str) -> None:
        """Show a pair, or none."""
        self.layout.display = "none" if records is None else ""
        self.pair = "" if records is None else " ".join(records.ids)
        self.hold(not self.pair)
        if records is not None and matches is not None:
            self._title.value = Markup("<h4>{}</h4>").format(title)
            self._evidence.show(lambda: pair_evidence(matches, *records.ids))
            self._records.show(lambda: records_side_by_side(records, self._wb.session.shows_people))
            self.remark.value = ""

    def hold(self, held: bool) -> None:
        """Accept no decision for now, or accept them again.

        The buttons stay enabled: a disabled button loses the focus, and the keys with it.
        """
        self.held = held
        self.keyboard.of = "" if held else self.pair


class MergeForm(VBox):
    """The clusters that were called the same, and the options of the merge.

    Parameters
    ----------
    wb : Workbench
        Says whether people are shown.
    chosen : callable
        Called with the records of the chosen cluster.
    plan : callable
        Called to plan: with True for all clusters, with False for the chosen one.

    Attributes
    ----------
    work : Work
        Progress and refusals, shown beside the buttons.
    """

    def __init__(
        self, wb: Workbench, chosen: Callable[[list[str]], None], plan: Callable[[bool], None]
    ) -> None:
        self._wb, self._chosen, self.work = wb, chosen, Work(wb.environment.name)
        self._same = pd.DataFrame({"cluster": [], "members": [], "decided_by": []})
        self._records: SideBySide | None = None
        self._ours = False  # a change by the program
        self.cluster = dropdown("Called the same", [], "46rem")
        self.cluster.observe(lambda _: self._changed(), "value")
        self._table, self._not_reviewed = Details(), HTML()
        self.stays = RadioButtons(layout={"width": "auto"}).add_class("wb-stays")
        self.rule = dropdown(
            "Fields that differ", [(f"{name}: {what}", name) for name, what in MERGE_RULES.items()]
        )
        self.fields: dict[str, Dropdown] = {}
        self._grid = GridBox(layout={"grid_template_columns": "13rem minmax(0, 1fr)"})
        self.keep = text_field(
            "Rows that stay where two collide", "ids, if a merge is refused without", width="40rem"
        )
        tip = "Fields by the rule above; of each cluster the record with most associations stays"
        self._one = button("Plan this merge", "compress", partial(plan, False))
        self.all = button("Plan all of them", "compress", partial(plan, True), tip)
        self.work.observe(lambda change: self._enable(not change["new"]), "busy")
        super().__init__(
            [
                *(HTML("<h4>Merge the records that were called the same</h4>"), self.cluster, self._table),
                *(HTML('<p class="wb-caption">Which record stays</p>'), self.stays, self._not_reviewed),
                *(HTML('<p class="wb-caption">Whose values it takes</p>'), self.rule, self._grid),
                *(HBox([self.keep]), HBox([self._one, self.all]), self.work),
            ]
        )
        self.add_class("wb-card")
        self.layout.display = "none"

    @property
    def members(self) -> list[str]:
        """The records of the chosen cluster."""
        return next(iter(self._same["members"][self._same["cluster"] == self.cluster.value]), [])

    def request(self, all_clusters: bool) -> dict[str, Any]:
        """Return the arguments of `plan_merges`: for the chosen cluster, or by the rule alone for all of them."""
        rows = self._same if all_clusters else self._same[self._same["cluster"] == self.cluster.value]
        stays = None if all_clusters else str(self.stays.value)
        options: dict[str, Any] = {"skip_blocked": len(rows) > 1}
        if not all_clusters:
            by_hand = {name: str(field.value) for name, field in self.fields.items() if field.value}
            options = {"by_hand": by_hand, "keep": self.keep.value.replace(",", " ").split()}
        merges = [
            (stays, [member for member in members if member != stays], f"called the same by {by}")
            for members, by in zip(rows["members"], rows["decided_by"], strict=True)
        ]
        return {"merges": merges, "rules": str(self.rule.value), **options}

    def offer(self, same: pd.DataFrame) -> None:
        """Offer these clusters; the choices about a cluster that has not changed stay."""
        before, members = self.cluster.value, self.members
        self._same, clusters = same, list(same["cluster"])
        rows = zip(same["size"], same["canonical"], same["decided_by"], strict=True)
        labels = [
            f"{number} of {len(same)}: {size} records, {canonical}, says {by}"
            for number, (size, canonical, by) in enumerate(rows, 1)
        ]
        self._ours = True
        self.cluster.options = list(zip(labels, clusters, strict=True))
        self.cluster.value = before if before in clusters else next(iter(clusters), None)
        self._ours = False
        self.all.description = f"Plan all {len(same):,} of them"
        self.all.layout.display = "" if len(same) > 1 else "none"
        self.layout.display = "" if len(same) else "none"
        if self.cluster.value != before or self.members != members:
            self._changed()

    def show(self, records: SideBySide, unreviewed: list[str]) -> None:
        """Show the records of a cluster, and name similar ones that nobody reviewed."""
        self.stays.options = [
            (f"Record {number}: {record}, {_associations(records, record)}", record)
            for number, record in enumerate(records.ids, 1)
        ]
        self.stays.value = records.canonical
        self._records = records
        self.fields = {name: dropdown("", options) for name, options in self._values().items()}
        self._grid.children = [
            part for name, field in self.fields.items() for part in (Label(heading(name)), field)
        ]
        self.keep.value = ""
        warning = _WARNING.format(_NOT_REVIEWED.format(", ".join(unreviewed)))
        self._not_reviewed.value = warning if unreviewed else ""
        self._table.show(lambda: records_side_by_side(records, self._wb.session.shows_people))

    def redraw(self) -> None:
        """Show the values again, with people or without them; choices stay."""
        for name, options in self._values().items():
            chosen = self.fields[name].value
            self.fields[name].options = options
            self.fields[name].value = chosen

    def _values(self) -> dict[str, list[tuple[str, str]]]:
        """Return the options of each field that differs: the rule, or the value of a record."""
        records, options = self._records, dict[str, list[tuple[str, str]]]()
        if records is not None:
            shown = mask(records.records, self._wb.session.shows_people).set_index("id")
            for field in records.differing:
                texts = [shorten(text_of(shown.at[record, field], field), _LONGEST) for record in records.ids]
                labels = [f"Record {number}: {text}" for number, text in enumerate(texts, 1)]
                options[field] = [("by the rule above", ""), *zip(labels, records.ids, strict=True)]
        return options

    def _enable(self, enabled: bool) -> None:
        self._one.disabled = self.all.disabled = not enabled

    def _changed(self) -> None:
        if self.cluster.value is not None and not self._ours:
            self._chosen(list(self.members))


def _associations(records: SideBySide, record: str) -> str:
    proposed = f"; proposed: {records.by}" if record == records.canonical else ""
    return f"{many(records.associations[record], 'row')} refer to it{proposed}"
