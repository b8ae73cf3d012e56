"""Review pairs that may be one; then merge what was called the same, and nothing else (guide §4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from ipywidgets import HTML, BoundedFloatText, Dropdown, HBox, IntProgress, ToggleButtons
from markupsafe import Markup

from workbench import Beside, Found, Plan, Shown, Workbench, pairs_to_review, show
from workbench.panels.controls import button, line
from workbench.panels.merging import Merging
from workbench.panels.pairs import WORDS, Pair, PairCard
from workbench.panels.panel import WIDE, Panel, seeing
from workbench.panels.plans import PlanReview
from workbench.panels.table import MOST, Table
from workbench.panels.work import Advance

_ENTITIES = {"Members": "Member", "Events": "Event", "Registrations": "Registration"}
_ALL, _OPEN = "every pair", "not reviewed yet"


class DuplicateReview(Panel):
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
    review : PlanReview
        Where a merge that was planned is reviewed.
    """

    def __init__(
        self, wb: Workbench, found: Sequence[Found] = (), *, threshold: float = 0.7, model: str | Path = ""
    ) -> None:
        wb = seeing(wb)
        self.found: Found | None = None
        self._before = {each.entity: each for each in found}
        self._model = model or None
        self._order: list[Pair] = []
        self._wanted: Pair | None = None  # the pair that is to be seen
        self._entity = ToggleButtons(options=list(_ENTITIES.items()))
        self._entity.style.button_width = "auto"
        self._threshold = BoundedFloatText(
            threshold, min=0.05, max=1.0, step=0.05, description="from a probability of", style=WIDE
        )
        self._threshold.layout.width = "14rem"
        self._which = Dropdown(options=[_ALL, _OPEN, *WORDS.values()], description="Show", style=WIDE)
        self._which.layout.width = "14rem"
        self._find = line("Find", "a person, a title, an id", width="16rem")
        again = button("Look again", "refresh", self.look, "Compare anew, as the database is now")
        self._told = HTML()
        self._pairs = Table("pair_ids", "Pairs", wb=wb, chosen=self._chosen)
        self._bar, self._progress = IntProgress(0, 0, 1), HTML()
        self.card = PairCard(wb, self._decide, self._step)
        self.merging = Merging(wb, self._lay_group, self._plan)
        self.review = PlanReview(wb, listed=False)
        self.review.layout.display = "none"
        super().__init__(
            wb,
            "Review duplicates",
            [
                HBox([self._entity, self._threshold, self._which, self._find, again]),
                self._told,
                self._pairs,
                HBox([self._bar, self._progress]),
                self.card,
            ],
            below=[self.merging, self.review],
        )
        self.work.observe(lambda _: self._offer(), "busy")
        self.review.follow(self.look)  # records are gone, or back
        self._threshold.observe(lambda _: self.look(), "value")
        self._entity.observe(lambda _: self._look(), "value")
        for each in (self._which, self._find):
            each.observe(lambda _: self._list(), "value")
        self._look()

    def look(self) -> None:
        """Compare anew: what is there now, and what was said of it."""
        self._before.clear()
        self._look()

    def static(self) -> Shown:
        """Return the pairs, the most probable first."""
        self.work.wait()
        pairs = pairs_to_review(self.found) if self.found else pd.DataFrame()
        return show(pairs, f"Pairs of {self._entity.label.lower()}", self.wb.unmask, limit=40)

    # What there is.

    def _look(self) -> None:
        entity, threshold = self._entity.value, self._threshold.value

        def read(_: Advance) -> tuple[Found, pd.DataFrame]:
            found = self._before.get(entity) or self.wb.find_duplicates(entity, threshold, self._model)
            return self.wb.decided(found), self.wb.called_same(entity)

        self.work.start(f"Looking for {self._entity.label.lower()} that are there twice", read, self._lay_out)

    def _lay_out(self, read: tuple[Found, pd.DataFrame]) -> None:
        self._keep(*read)
        self.card.clear()
        self._list()
        self._show(next((pair for pair in self._order if not self._said(pair)), None) or self._first())

    def _keep(self, found: Found, same: pd.DataFrame) -> None:
        """Keep what was read, and say what of it could not be told."""
        self.found = self._before[found.entity] = found
        self.merging.offer(found, same)
        told = [found.not_run, *found.said, *same.attrs.get("said", ())]
        self._told.value = Markup("").join(
            Markup('<p class="wb-answer wb-warn">{}</p>').format(each) for each in told if each
        )

    def _list(self) -> None:
        """List the pairs that are wanted."""
        if self.found is not None:
            self._fill(self._arrange(self.found))

    def _arrange(self, found: Found) -> pd.DataFrame:
        """Return the pairs that are wanted, and count how many were reviewed."""
        said, which = found.pairs["decision"], self._which.value
        wanted = said.notna() if which == _ALL else said == ("" if which == _OPEN else which)
        if self._find.value.strip():
            wanted &= found.about(self._find.value)
        listed = found.pairs[wanted]
        self._order = list(zip(listed["left"], listed["right"], strict=True))
        reviewed, unsure = int((said != "").sum()), int((said == "unsure").sum())
        self._bar.max, self._bar.value = max(len(said), 1), reviewed
        self._progress.value = Markup('<p class="wb-progress" role="status">{} of {} reviewed{}</p>').format(
            f"{reviewed:,}", f"{len(said):,}", f", {unsure:,} of them unsure" if unsure else ""
        )
        return listed

    def _fill(self, listed: pd.DataFrame) -> None:
        assert self.found is not None
        self._pairs.show(pairs_to_review(replace(self.found, pairs=listed.head(MOST))), len(listed))
        self._choose()

    def _choose(self) -> None:
        self._pairs.choose([" ".join(self.card.pair)] if self.card.pair else [])

    def _said(self, pair: Pair) -> str:
        assert self.found is not None
        pairs = self.found.pairs
        return str(pairs["decision"][(pairs["left"] == pair[0]) & (pairs["right"] == pair[1])].iloc[0])

    def _first(self) -> Pair | None:
        return self._order[0] if self._order else None

    # One pair after the other.

    def _chosen(self, keys: list[str]) -> None:
        if keys:
            left, right = keys[0].split(" ")
            self._show((left, right))
            self.card.take_keys()

    def _step(self, far: int) -> None:
        """Go to the next pair of the list, or the one before; it ends where it ends."""
        if not self._order:
            return
        at = self._order.index(self._wanted) + far if self._wanted in self._order else 0
        if 0 <= at < len(self._order):
            self._show(self._order[at])

    def _show(self, pair: Pair | None) -> None:
        """Lay a pair side by side, unless another one is wanted by then."""
        self._wanted, found = pair, self.found
        if pair is None or found is None:
            return
        entity = found.entity
        if pair != self.card.pair:
            self.card.hold(True)  # a word said in haste is meant for the pair that is still to come

        def read(_: Advance) -> Beside | None:
            return self.wb.beside(pair, entity) if self._wanted == pair else None

        def lay(beside: Beside | None) -> None:
            if beside is None or self.found is None or self.found.entity != entity:
                return
            place = f" {self._order.index(pair) + 1:,} of {len(self._order):,}" if pair in self._order else ""
            self.card.show(self.found, beside, f"Pair{place}")
            self._choose()
            self.merging.choose(pair)

        self.work.start("Reading the two", read, lay)

    def _decide(self, word: str) -> None:
        found, pair, remark = self.found, self.card.pair, self.card.remark
        if self.card.held or found is None or pair is None:
            return
        self.card.hold(True)
        following = self._following(pair)

        def decide(_: Advance) -> tuple[Found, pd.DataFrame]:
            self.wb.decide(*pair, word, remark=remark, entity=found.entity)
            return self.wb.decided(found), self.wb.called_same(found.entity)

        def then(read: tuple[Found, pd.DataFrame]) -> str:
            told = f"{pair[0]} and {pair[1]}: {word}, says {self.wb.settings.operator}."
            if found.entity != self._entity.value:  # something else is being looked at by now
                self._before[found.entity] = read[0]
                return told
            self._keep(*read)
            listed = self._arrange(self.found or found)
            self.merging.choose(pair)
            self._show(following or pair)
            # The next two first: thousands of pairs take a moment to list, and nobody need wait for them.
            self.work.start("Listing the pairs", lambda _: listed, self._fill)
            rest = "" if following else " Nothing is left that nobody looked at."
            return f"{told}{rest}"

        self.work.start("Keeping what you say", decide, then)

    def _following(self, pair: Pair) -> Pair | None:
        """Return the next pair of the list that nobody looked at, from the start again after the end."""
        at = self._order.index(pair) + 1 if pair in self._order else 0
        others = [each for each in (*self._order[at:], *self._order[:at]) if each != pair]
        return next((each for each in others if not self._said(each)), None)

    # What was called the same.

    def _lay_group(self, members: list[str]) -> None:
        found = self.found
        assert found is not None
        self.merging.work.start(
            "Reading what would be merged",
            lambda _: self.wb.beside(members, found.entity),
            lambda beside: self.merging.show(found, beside),
        )

    def _plan(self, several: bool) -> None:
        found, asked = self.found, self.merging.asked_of_all() if several else self.merging.asked()
        assert found is not None

        def plan(_: Advance) -> Plan:
            if several:
                return self.wb.plan_merges(
                    **asked, entity=found.entity, skip_blocked=len(asked["merges"]) > 1
                )
            return self.wb.plan_merge(**asked, entity=found.entity)

        self.merging.work.start("Planning the merge", plan, self._planned)

    def _planned(self, made: Plan) -> None:
        self.review.layout.display = ""
        self.review.show(made)

    def _offer(self) -> None:
        if not self.work.busy and self.card.pair is not None:
            self.card.hold(False)  # what was said could not be kept
