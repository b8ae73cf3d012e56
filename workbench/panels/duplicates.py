"""Review pairs that may be one; then merge what was called the same, and nothing else (guide §4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from ipywidgets import HTML, BoundedFloatText, HBox, ToggleButtons, Widget
from markupsafe import Markup

from workbench import Workbench
from workbench.duplicates.pairs import Found
from workbench.panels.controls import WIDE, button, choice
from workbench.panels.merging import Merging
from workbench.panels.pairs import WORDS, PairCard
from workbench.panels.panel import Actions
from workbench.panels.plans import Planner
from workbench.panels.table import MOST
from workbench.reporting.beside import not_reviewed, pairs_to_review

_ENTITIES = {"Members": "Member", "Events": "Event", "Registrations": "Registration"}
_ALL, _OPEN = "every pair", "not reviewed yet"


class DuplicateReview(Planner):
    """Say of each pair whether it is one, and plan to merge what was called the same.

    Parameters
    ----------
    wb : Workbench
        The environment.
    found : sequence of Found
        What was found already, of any entity; the rest is looked for when it is asked for.
    threshold : float
        From which probability on a pair is listed.
    model : path
        Trained parameters; else those shipped.

    Attributes
    ----------
    found : Found or None
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
        self, wb: Workbench, found: Sequence[Found] = (), *, threshold: float = 0.7, model: str | Path = ""
    ) -> None:
        self.found: Found | None = None
        self.order: list[str] = []
        self._known = {each.entity: each for each in found}
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

    def rows(self) -> tuple[Found, pd.DataFrame]:
        """Find the pairs, what was said of them, and the clusters that were called the same."""
        entity, threshold = self.entity.value, self._threshold.value
        return self._with_words(
            self._known.get(entity) or self.wb.duplicates.find(entity, threshold, self._model)
        )

    def lay_out(self, rows: tuple[Found, pd.DataFrame]) -> None:
        """Show the pairs, and begin with the first that nobody looked at."""
        self.card.show(None, None, "")
        self._keep(*rows)
        self._list()
        if not set(self.wanted) & set(self.order):
            self.wanted = (self._undecided() or self.order)[:1]

    def _with_words(self, found: Found) -> tuple[Found, pd.DataFrame]:
        return self.wb.duplicates.decided(found), self.wb.duplicates.called_same(found.entity)

    def _keep(self, found: Found, same: pd.DataFrame) -> None:
        """Keep what was read, and say what of it could not be told."""
        self.found = self._known[found.entity] = found
        self.merging.offer(same)
        warnings = [found.not_run, *found.said, *same.attrs.get("said", ())]
        warning = Markup('<p class="wb-answer wb-warn">{}</p>')
        self._unknown.value = Markup("").join(warning.format(text) for text in warnings if text)

    def _list(self) -> None:
        """List the pairs that are wanted, and count how many were reviewed."""
        if self.found is None:
            return
        words, which = self.found.pairs["decision"], self.which.value
        wanted = words.notna() if which == _ALL else words == ("" if which == _OPEN else which)
        pairs = self.found.pairs[wanted]
        self.order = list(pairs["left"] + " " + pairs["right"])
        unsure = int((words == "unsure").sum())
        progress = f"{int((words != '').sum()):,} of {len(words):,} reviewed"
        progress += f", {unsure:,} of them unsure" if unsure else ""
        self._progress.value = Markup('<p class="wb-progress" role="status">{}</p>').format(progress)
        self.table.show(pairs_to_review(replace(self.found, pairs=pairs.head(MOST))), len(pairs))
        self.table.choose([self.card.pair])

    def _undecided(self, after: str = "") -> list[str]:
        """Return the pairs of the list that nobody looked at, from one on and then from the start again."""
        assert self.found is not None
        pairs = self.found.pairs[self.found.pairs["decision"] == ""]
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
        found = self.found
        return (
            (found, self.wb.duplicates.beside(keys[0].split(" "), found.entity)) if keys and found else None
        )

    def tell(self, details: Any) -> None:
        """Lay the two side by side."""
        if details is None:
            return
        found, beside = details
        pair = " ".join(beside.ids)
        place = f" {self.order.index(pair) + 1:,} of {len(self.order):,}" if pair in self.order else ""
        self.card.show(found, beside, f"Pair{place}")
        self.table.choose([pair])
        self.merging.choose(set(beside.ids))

    def _step(self, far: int) -> None:
        """Go to the next pair of the list, or the one before; it ends where it ends."""
        pair = next(iter(self.wanted), "")
        place = self.order.index(pair) + far if pair in self.order else 0
        if 0 <= place < len(self.order):
            super().choose([self.order[place]])

    def _decide(self, word: str) -> None:
        found, pair, remark = self.found, self.card.pair, self.card.remark.value.strip()
        if self.card.held or found is None:
            return
        self.card.hold(True)
        following = self._undecided(pair)[:1]

        def decide(_: object) -> tuple[Found, pd.DataFrame]:
            left, right = pair.split(" ")
            self.wb.duplicates.decide(left, right, word, remark=remark, entity=found.entity)
            return self._with_words(found)

        def then(rows: tuple[Found, pd.DataFrame]) -> str:
            sentence = f"{pair.replace(' ', ' and ')}: {word}, says {self.wb.settings.operator}."
            if found.entity != self.entity.value:  # something else is being looked at by now
                self._known[found.entity] = rows[0]
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
        found = self.found
        assert found is not None
        self.merging.work.start(
            "Reading what would be merged",
            lambda _: self.wb.duplicates.beside(members, found.entity),
            lambda beside: self.merging.show(beside, not_reviewed(found, beside.ids)),
        )

    def _plan(self, several: bool) -> None:
        assert self.found is not None
        entity, asked = self.found.entity, self.merging.asked(several)
        self.plan(lambda: self.wb.duplicates.plan_merges(**asked, entity=entity), self.merging.work)
