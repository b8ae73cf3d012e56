"""Review pairs that may be one; then merge what was called the same, and nothing else (guide §4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from anywidget import AnyWidget
from ipywidgets import (
    HTML,
    Accordion,
    BoundedFloatText,
    Dropdown,
    GridBox,
    HBox,
    Label,
    RadioButtons,
    ToggleButtons,
    VBox,
    Widget,
)
from markupsafe import Markup
from traitlets import List, Unicode

from workbench import Workbench
from workbench.answer import many
from workbench.duplicates.pairs import Matches
from workbench.duplicates.plan import MERGE_RULES
from workbench.duplicates.records import SideBySide
from workbench.panels.controls import WIDE, button, choice, line
from workbench.panels.panel import Actions, Details
from workbench.panels.plans import Planner
from workbench.panels.table import MOST
from workbench.panels.work import Work
from workbench.reporting.beside import not_reviewed, pair_evidence, pairs_to_review, records_side_by_side
from workbench.reporting.masking import mask
from workbench.reporting.tables import heading, shorten, text_of

_ENTITIES = {"Members": "Member", "Events": "Event", "Registrations": "Registration"}
_ALL, _OPEN = "every pair", "not reviewed yet"
WORDS = {
    "s": ("same", "check", "They are one (s)"),
    "d": ("different", "times", "They are two (d)"),
    "u": ("unsure", "question", "To be looked at again; takes an earlier word back (u)"),
}
"""What may be said of two records, each by its key."""

_STEPS = {"ArrowDown": 1, "ArrowRight": 1, "ArrowUp": -1, "ArrowLeft": -1}

_LONGEST = 60  # characters of a value to choose
_REST = Markup(
    '<p class="wb-answer wb-warn">Nobody said of these that they are the same, so they stay as they are: {}</p>'
)


class DuplicateReview(Planner):
    """Say of each pair whether it is one, and plan to merge what was called the same.

    Parameters
    ----------
    wb : Workbench
        The environment.
    matches : sequence of Matches
        What was found already, of any entity; the rest is looked for when it is asked for.
    threshold : float
        From which probability on a pair is listed.
    model : path
        Trained parameters; else those shipped.

    Attributes
    ----------
    matches : Matches or None
        The duplicates of the entity that is chosen.
    order : list of str
        The pairs that are listed.
    card : PairCard
        The two that are side by side.
    merging : Merging
        What is to be merged, and how.
    """

    title, key, caption = "Review duplicates", "pair_ids", "Pairs"
    reading, act = "Looking for what is there twice", ("Plan the merge", "compress")

    def __init__(
        self,
        wb: Workbench,
        matches: Sequence[Matches] = (),
        *,
        threshold: float = 0.7,
        model: str | Path = "",
    ) -> None:
        self.matches: Matches | None = None
        self.order: list[str] = []
        self._known = {pairs.entity: pairs for pairs in matches}
        self._model = model or None
        self._threshold = BoundedFloatText(
            threshold, min=0.05, max=1.0, step=0.05, description="from a probability of", style=WIDE
        )
        super().__init__(wb)

    def parts(self) -> list[Widget]:
        """Lay out what is looked for, the pairs, the two that are seen, and the merge of what was called the same."""
        self.entity = ToggleButtons(options=list(_ENTITIES.items()))
        self.entity.style.button_width = "auto"
        self.which = choice("Show", [_ALL, _OPEN, *(word for word, *_ in WORDS.values())], "14rem")
        self._threshold.layout.width = "14rem"
        self._threshold.observe(lambda _: self._look_anew(), "value")
        self.entity.observe(lambda _: self._turn(), "value")
        self.which.observe(lambda _: self._list(), "value")
        again = button("Look again", "refresh", self._look_anew, "Compare anew, as the database is now")
        self._unknown, self._progress = HTML(), HTML()
        self.card = PairCard(self.wb, self._decide, self._step)
        self.merging = Merging(self.wb, self._lay_group, self._plan)
        *_, review = super().parts()
        return [
            HBox([self.entity, self._threshold, self.which, again]),
            *(self._unknown, self.table, self._progress, self.card, self.work, self.merging, review),
        ]

    def actions(self) -> Actions:
        """Return nothing: what is said of two, and what is planned, has its buttons beside it."""
        return {}

    def applied(self) -> None:
        """Compare anew, now that a plan was applied."""
        self._look_anew()

    def go(self, key: str) -> None:
        """Show a pair, of whichever entity."""
        entity, _, pair = key.rpartition("/")
        if entity in _ENTITIES.values():
            self.entity.value = entity
        self.choose([pair])

    def _look_anew(self) -> None:
        self._known.clear()
        self.look()

    def _turn(self) -> None:
        self.wanted = []  # the pair that is seen is another entity's
        self.look()

    # What there is.

    def rows(self) -> tuple[Matches, pd.DataFrame]:
        """Find the pairs, what was said of them, and the clusters that were called the same."""
        entity, threshold = self.entity.value, self._threshold.value
        return self._with_words(
            self._known.get(entity) or self.wb.duplicates.find(entity, threshold, self._model)
        )

    def lay_out(self, rows: tuple[Matches, pd.DataFrame]) -> None:
        """Show the pairs, and begin with the first that nobody looked at."""
        self.card.show(None, None, "")
        self._keep(*rows)
        self._list()
        if not set(self.wanted) & set(self.order):
            self.wanted = (self._undecided() or self.order)[:1]

    def _with_words(self, matches: Matches) -> tuple[Matches, pd.DataFrame]:
        return self.wb.duplicates.decided(matches), self.wb.duplicates.called_same(matches.entity)

    def _keep(self, matches: Matches, same: pd.DataFrame) -> None:
        """Keep what was read, and say what of it could not be told."""
        self.matches = self._known[matches.entity] = matches
        self.merging.offer(same)
        warnings = [matches.not_run, *matches.notes, *same.attrs.get("notes", ())]
        warning = Markup('<p class="wb-answer wb-warn">{}</p>')
        self._unknown.value = Markup("").join(warning.format(text) for text in warnings if text)

    def _list(self) -> None:
        """List the pairs that are wanted, and count how many were reviewed."""
        if self.matches is None:
            return
        words, which = self.matches.pairs["decision"], self.which.value
        wanted = words.notna() if which == _ALL else words == ("" if which == _OPEN else which)
        pairs = self.matches.pairs[wanted]
        self.order = list(pairs["left"] + " " + pairs["right"])
        unsure = int((words == "unsure").sum())
        progress = f"{int((words != '').sum()):,} of {len(words):,} reviewed"
        progress += f", {unsure:,} of them unsure" if unsure else ""
        self._progress.value = Markup('<p class="wb-progress" role="status">{}</p>').format(progress)
        self.table.show(pairs_to_review(replace(self.matches, pairs=pairs.head(MOST))), len(pairs))
        self.table.choose([self.card.pair])

    def _undecided(self, after: str = "") -> list[str]:
        """Return the pairs of the list that nobody looked at, from one on and then from the start again."""
        assert self.matches is not None
        pairs = self.matches.pairs[self.matches.pairs["decision"] == ""]
        undecided = set(pairs["left"] + " " + pairs["right"]) - {after}
        place = self.order.index(after) + 1 if after in self.order else 0
        return [pair for pair in (*self.order[place:], *self.order[:place]) if pair in undecided]

    # One pair after the other.

    def choose(self, keys: list[str]) -> None:
        """Show another pair; while none is chosen, the one before stays."""
        if keys:
            super().choose(keys)
            self.card.keyboard.take()

    def offer(self) -> None:
        """Let a word be said once the pair it would be about is seen: one in haste is meant for what is to come."""
        self.seen = f"{self.entity.value}/{self.wanted[0]}" if self.wanted else ""
        if self.shown != self.wanted:
            self.card.hold(True)
        elif not self.work.busy:
            self.card.hold(not self.card.pair)

    def details(self, keys: list[str]) -> Any:
        """Read the two."""
        matches = self.matches
        return (
            (matches, self.wb.duplicates.side_by_side(keys[0].split(" "), matches.entity))
            if keys and matches
            else None
        )

    def tell(self, details: Any) -> None:
        """Lay the two side by side."""
        if details is None:
            return
        matches, beside = details
        pair = " ".join(beside.ids)
        place = f" {self.order.index(pair) + 1:,} of {len(self.order):,}" if pair in self.order else ""
        self.card.show(matches, beside, f"Pair{place}")
        self.table.choose([pair])
        self.merging.choose(set(beside.ids))

    def _step(self, far: int) -> None:
        """Go to the next pair of the list, or the one before; it ends where it ends."""
        pair = next(iter(self.wanted), "")
        place = self.order.index(pair) + far if pair in self.order else 0
        if 0 <= place < len(self.order):
            super().choose([self.order[place]])

    def _decide(self, word: str) -> None:
        matches, pair, remark = self.matches, self.card.pair, self.card.remark.value.strip()
        if self.card.held or matches is None:
            return
        self.card.hold(True)
        following = self._undecided(pair)[:1]

        def decide(_: object) -> tuple[Matches, pd.DataFrame]:
            left, right = pair.split(" ")
            self.wb.duplicates.decide(left, right, word, remark=remark, entity=matches.entity)
            return self._with_words(matches)

        def then(rows: tuple[Matches, pd.DataFrame]) -> str:
            sentence = f"{pair.replace(' ', ' and ')}: {word}, says {self.wb.settings.operator}."
            if matches.entity != self.entity.value:  # something else is being looked at by now
                self._known[matches.entity] = rows[0]
                return sentence
            self._keep(*rows)
            self.merging.choose(set(pair.split(" ")))
            self.wanted = following or [pair]
            self._read()
            # The next two first: thousands of pairs take a moment to list, and nobody need wait for them.
            self.work.start("Listing the pairs", lambda _: None, lambda _: self._list())
            return sentence + ("" if following else " Nothing is left that nobody looked at.")

        self.work.start("Keeping what you say", decide, then)

    # What was called the same.

    def _lay_group(self, members: list[str]) -> None:
        matches = self.matches
        assert matches is not None
        self.merging.work.start(
            "Reading what would be merged",
            lambda _: self.wb.duplicates.side_by_side(members, matches.entity),
            lambda beside: self.merging.show(beside, not_reviewed(matches, beside.ids)),
        )

    def _plan(self, several: bool) -> None:
        assert self.matches is not None
        entity, asked = self.matches.entity, self.merging.asked(several)
        self.plan(lambda: self.wb.duplicates.plan_merges(**asked, entity=entity), self.merging.work)


class Keys(AnyWidget):
    """Keys that act while the panel they are in has the focus, and never while somebody types.

    A word counts for what was shown when its key was pressed (`of`): pressed twice in haste, it says nothing of what
    came next. A step counts whenever it is pressed, since it says nothing of anything.
    """

    _esm = Path(__file__).parent / "keys.js"
    known = List(Unicode()).tag(sync=True)
    about = Unicode("s same, d different, u unsure, ↓ next pair, ↑ the one before.").tag(sync=True)
    of = Unicode().tag(sync=True)

    def __init__(self, decide: Callable[[str], None], step: Callable[[int], None]) -> None:
        super().__init__(known=[*WORDS, *_STEPS])
        self._decide, self._step = decide, step
        self.on_msg(self._pressed)

    def take(self) -> None:
        """Give the keys the focus."""
        self.send({"focus": True})

    def _pressed(self, _: Any, content: Any, __: Any) -> None:
        key = str(content.get("key", ""))
        if key in _STEPS:
            self._step(_STEPS[key])
        elif key in WORDS and content.get("about") == self.of:
            self._decide(WORDS[key][0])


class PairCard(VBox):
    """A pair to look at.

    Parameters
    ----------
    wb : Workbench
        Says whether people are shown.
    decide : callable
        Told what is said of the pair that is shown.
    step : callable
        Told how many pairs further a person wants to see.

    Attributes
    ----------
    pair : str
        The ids of the two that are seen, with a blank between; empty when none are.
    held : bool
        Whether nothing can be said of them, since something was said already or none are seen.
    """

    def __init__(self, wb: Workbench, decide: Callable[[str], None], step: Callable[[int], None]) -> None:
        self.pair, self.held, self._wb = "", True, wb
        self._title, self._evidence, self._records = HTML(), Details(), Details()
        self.keyboard = Keys(decide, step)
        self.remark = line("Why", "without personal data; Enter takes you back to the keys", width="36rem")
        self.remark.add_class("wb-remark")
        words = [
            button(word.capitalize(), icon, partial(decide, word), tip).add_class(f"wb-says-{key}")
            for key, (word, icon, tip) in WORDS.items()
        ]  # a click is the key (keys.js)
        steps = [
            button("Previous", "arrow-up", lambda: step(-1)),
            button("Next", "arrow-down", lambda: step(1)),
        ]
        controls = HBox([*words, *steps, self.remark])
        super().__init__([self._title, self.keyboard, controls, self._evidence, self._records])
        self.add_class("wb-card")
        self.layout.display = "none"

    def show(self, matches: Matches | None, beside: SideBySide | None, place: str) -> None:
        """Show a pair, or none; `place` says which of how many it is."""
        self.layout.display = "none" if beside is None else ""
        self.pair = "" if beside is None else " ".join(beside.ids)
        self.hold(not self.pair)
        if beside is not None and matches is not None:
            self._title.value = Markup("<h4>{}</h4>").format(place)
            self._evidence.show(lambda: pair_evidence(matches, *beside.ids))
            self._records.show(lambda: records_side_by_side(beside, self._wb.session.shows_people))
            self.remark.value = ""

    def hold(self, held: bool) -> None:
        """Let nothing be said of the pair for now, or let it again.

        The buttons are left as they are: a button that is disabled loses the focus, and the keys with it.
        """
        self.held = held
        self.keyboard.of = "" if held else self.pair


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
        self._beside: SideBySide | None = None
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

    def show(self, beside: SideBySide, rest: list[str]) -> None:
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

    def _values(self, beside: SideBySide) -> dict[str, list[tuple[str, str]]]:
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


def _why(beside: SideBySide, record: str) -> str:
    rows = f"{many(beside.associations[record], 'row')} refer to it"
    return rows + (f"; proposed: {beside.by}" if record == beside.canonical else "")
