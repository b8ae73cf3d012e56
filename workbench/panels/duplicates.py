"""Review pairs that may be one; then merge what was called the same, and nothing else (guide §4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from ipywidgets import HTML, BoundedFloatText, Dropdown, HBox, ToggleButtons, Widget
from markupsafe import Markup

from workbench import Plan, Workbench
from workbench.duplicates.pairs import Found
from workbench.duplicates.records import Beside
from workbench.panels.controls import WIDE, button, line
from workbench.panels.merging import Merging
from workbench.panels.pairs import WORDS, PairCard
from workbench.panels.plans import Planner
from workbench.panels.table import MOST
from workbench.panels.work import Advance
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
        self._before = {each.entity: each for each in found}
        self._model = model or None
        self._threshold = BoundedFloatText(
            threshold, min=0.05, max=1.0, step=0.05, description="from a probability of", style=WIDE
        )
        super().__init__(wb)
        super().look()

    def parts(self) -> list[Widget]:
        """Lay out what is looked for, the pairs, the two that are seen, and the merge of what was called the same."""
        self.entity = ToggleButtons(options=list(_ENTITIES.items()))
        self.entity.style.button_width = "auto"
        self.which = Dropdown(
            options=[_ALL, _OPEN, *(word for word, *_ in WORDS.values())], description="Show", style=WIDE
        )
        self._threshold.layout.width = self.which.layout.width = "14rem"
        self.find = line("Find", "a person, a title, an id", width="16rem")
        self._threshold.observe(lambda _: self.look(), "value")
        self.entity.observe(lambda _: self._turn(), "value")
        for each in (self.which, self.find):
            each.observe(lambda _: self._list(), "value")
        again = button("Look again", "refresh", self.look, "Compare anew, as the database is now")
        self._unknown, self._progress = HTML(), HTML()
        self.card = PairCard(self.wb, self._decide, self._step)
        self.merging = Merging(self.wb, self._lay_group, self._plan)
        *_, review = super().parts()
        return [
            HBox([self.entity, self._threshold, self.which, self.find, again]),
            *(self._unknown, self.table, self._progress, self.card, self.work, self.merging, review),
        ]

    def actions(self) -> dict[str, tuple[str, Callable[[], None], str]]:
        """Return nothing: what is said of two, and what is planned, has its buttons beside it."""
        return {}

    def look(self) -> None:
        """Compare anew: what is there now, and what was said of it."""
        self._before.clear()
        super().look()

    def go(self, key: str) -> None:
        """Show a pair, of whichever entity."""
        entity, _, pair = key.rpartition("/")
        if entity in _ENTITIES.values():
            self.entity.value = entity
        self.choose([pair])

    def _turn(self) -> None:
        self.wanted = []  # the pair that is seen is another entity's
        super().look()

    # What there is.

    def rows(self) -> tuple[Found, pd.DataFrame]:
        """Find the pairs, what was said of them, and the clusters that were called the same."""
        entity = self.entity.value
        found = self._before.get(entity) or self.wb.duplicates.find(
            entity, self._threshold.value, self._model
        )
        return self.wb.duplicates.decided(found), self.wb.duplicates.called_same(entity)

    def lay_out(self, read: tuple[Found, pd.DataFrame]) -> None:
        """Show the pairs, and begin with the first that nobody looked at."""
        self.card.show(None, None, "")
        self._keep(*read)
        self._list()
        if not set(self.wanted) & set(self.order):
            self.wanted = (self._open() or self.order)[:1]

    def _keep(self, found: Found, same: pd.DataFrame) -> None:
        """Keep what was read, and say what of it could not be told."""
        self.found = self._before[found.entity] = found
        self.merging.offer(same)
        told = [found.not_run, *found.said, *same.attrs.get("said", ())]
        warning = Markup('<p class="wb-answer wb-warn">{}</p>')
        self._unknown.value = Markup("").join(warning.format(each) for each in told if each)

    def _list(self) -> None:
        """List the pairs that are wanted, and count how many were reviewed."""
        if self.found is None:
            return
        pairs, which = self.found.pairs, self.which.value
        said = pairs["decision"]
        wanted = said.notna() if which == _ALL else said == ("" if which == _OPEN else which)
        if self.find.value.strip():
            wanted &= self.found.about(self.find.value)
        listed = pairs[wanted]
        self.order = list(listed["left"] + " " + listed["right"])
        unsure = int((said == "unsure").sum())
        self._progress.value = Markup('<p class="wb-progress" role="status">{} of {} reviewed{}</p>').format(
            f"{int((said != '').sum()):,}", f"{len(said):,}", f", {unsure:,} of them unsure" if unsure else ""
        )
        self.table.show(pairs_to_review(replace(self.found, pairs=listed.head(MOST))), len(listed))
        self.table.choose([self.card.pair])

    def _open(self, after: str = "") -> list[str]:
        """Return the pairs of the list that nobody looked at, from one on and then from the start again."""
        assert self.found is not None
        pairs = self.found.pairs[self.found.pairs["decision"] == ""]
        unsaid = set(pairs["left"] + " " + pairs["right"]) - {after}
        at = self.order.index(after) + 1 if after in self.order else 0
        return [pair for pair in (*self.order[at:], *self.order[:at]) if pair in unsaid]

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

    def known(self, keys: list[str]) -> tuple[Found, Beside] | None:
        """Read the two."""
        found = self.found
        return (
            (found, self.wb.duplicates.beside(keys[0].split(" "), found.entity)) if keys and found else None
        )

    def tell(self, known: tuple[Found, Beside] | None) -> None:
        """Lay the two side by side."""
        if known is None:
            return
        pair = " ".join(known[1].ids)
        place = f" {self.order.index(pair) + 1:,} of {len(self.order):,}" if pair in self.order else ""
        self.card.show(*known, f"Pair{place}")
        self.table.choose([pair])
        self.merging.choose(set(known[1].ids))

    def _step(self, far: int) -> None:
        """Go to the next pair of the list, or the one before; it ends where it ends."""
        pair = next(iter(self.wanted), "")
        at = self.order.index(pair) + far if pair in self.order else 0
        if 0 <= at < len(self.order):
            super().choose([self.order[at]])

    def _decide(self, word: str) -> None:
        found, pair, remark = self.found, self.card.pair, self.card.remark
        if self.card.held or found is None:
            return
        self.card.hold(True)
        following = self._open(pair)[:1]

        def decide(_: Advance) -> tuple[Found, pd.DataFrame]:
            left, right = pair.split(" ")
            self.wb.duplicates.decide(left, right, word, remark=remark, entity=found.entity)
            return self.wb.duplicates.decided(found), self.wb.duplicates.called_same(found.entity)

        def then(read: tuple[Found, pd.DataFrame]) -> str:
            told = f"{pair.replace(' ', ' and ')}: {word}, says {self.wb.settings.operator}."
            if found.entity != self.entity.value:  # something else is being looked at by now
                self._before[found.entity] = read[0]
                return told
            self._keep(*read)
            self.merging.choose(set(pair.split(" ")))
            self.wanted = following or [pair]
            self._read()
            # The next two first: thousands of pairs take a moment to list, and nobody need wait for them.
            self.work.start("Listing the pairs", lambda _: None, lambda _: self._list())
            return told + ("" if following else " Nothing is left that nobody looked at.")

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
        entity, merging = self.found.entity, self.merging
        asked = merging.asked_of_all() if several else merging.asked_of_one()

        def make() -> Plan:
            return self.wb.duplicates.plan_merges(**asked, entity=entity)

        self.plan(make, merging.work)
