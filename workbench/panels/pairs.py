"""Two records that may be one, side by side, and what a person says of them: by a button, or by a key."""

from __future__ import annotations

from collections.abc import Callable

from ipywidgets import HTML, Accordion, Button, HBox, VBox
from markupsafe import Markup

from workbench import (
    Beside,
    Found,
    Workbench,
    match_waterfall_chart,
    pair_evidence,
    records_side_by_side,
    show_figure,
)
from workbench.panels.controls import button, line
from workbench.panels.keys import Keys
from workbench.panels.panel import words

Pair = tuple[str, str]

WORDS = {"s": "same", "d": "different", "u": "unsure"}
"""What may be said of two records, each by its key."""

_STEPS = {"ArrowDown": 1, "ArrowRight": 1, "ArrowUp": -1, "ArrowLeft": -1}
_KEYS = "s same, d different, u unsure, ↓ next pair, ↑ the one before."
_SAYING = {
    "same": ("check", "They are one (s)"),
    "different": ("times", "They are two (d)"),
    "unsure": ("question", "To be looked at again; takes an earlier word back (u)"),
}


class PairCard(VBox):
    """A pair to look at.

    Parameters
    ----------
    wb : Workbench
        Says whether people are shown.
    decided : callable
        Told what is said of the pair that is shown.
    stepped : callable
        Told how many pairs further a person wants to see.

    Attributes
    ----------
    pair : tuple of (str, str) or None
        The ids of the two that are seen.
    held : bool
        Whether nothing can be said of them, since something was said already or none are seen.
    """

    def __init__(self, wb: Workbench, decided: Callable[[str], None], stepped: Callable[[int], None]) -> None:
        self.pair: Pair | None = None
        self.held = True
        self._wb, self._decided, self._stepped = wb, decided, stepped
        self._beside: Beside | None = None
        self._found: Found | None = None
        self._title, self._evidence, self._records, self._drawing = HTML(), VBox(), VBox(), VBox()
        self._keys = Keys(list(WORDS), list(_STEPS), _KEYS, self._key)
        self._chart = Accordion([self._drawing], titles=["Why, step by step"], selected_index=None)
        self._chart.observe(lambda _: self._draw(), "selected_index")
        self._remark = line("Why", "without personal data; Enter takes you back to the keys", width="36rem")
        self._remark.add_class("wb-remark")
        self._say = {word: self._saying(key, word) for key, word in WORDS.items()}
        self._step = [self._stepping("Previous", "arrow-up", -1), self._stepping("Next", "arrow-down", 1)]
        super().__init__(
            [
                self._title,
                self._keys,
                HBox([*self._say.values(), *self._step, self._remark]),
                self._evidence,
                self._records,
                self._chart,
            ]
        )
        self.add_class("wb-card")
        self.clear()

    @property
    def remark(self) -> str:
        """Why, in the words of whoever decides."""
        return str(self._remark.value).strip()

    def clear(self) -> None:
        """Show no pair."""
        self.pair, self.layout.display = None, "none"
        self.hold(True)

    def show(self, found: Found, beside: Beside, place: str) -> None:
        """Show a pair; `place` says which of how many it is."""
        left, right = beside.ids
        self._found, self._beside, self.pair = found, beside, (left, right)
        self._title.value = Markup("<h4>{}</h4>").format(place)
        self._evidence.children = (words(pair_evidence(found, left, right)),)
        self.redraw()
        self._remark.value = ""
        self._chart.layout.display = "none" if found.chance(left, right) is None else ""
        self.layout.display = ""
        self.hold(False)  # whoever sees the two can say what they are, though the chart is still being drawn
        self._draw()

    def redraw(self) -> None:
        """Show the two again, with people or without them."""
        if self._beside is not None:
            self._records.children = (words(records_side_by_side(self._beside, self._wb.shows_people)),)

    def take_keys(self) -> None:
        """Give the keys the focus."""
        self._keys.take()

    def hold(self, held: bool) -> None:
        """Let nothing be said of the pair for now, or let it again.

        The buttons are left as they are: a button that is disabled loses the focus, and the keys with it.
        """
        self.held = held
        self._keys.of = "" if held or self.pair is None else " ".join(self.pair)

    def _draw(self) -> None:
        """Draw the chart where somebody looks at it."""
        if self._chart.selected_index is None or self._found is None or self.pair is None:
            return
        chance = self._found.chance(*self.pair)
        drawn = () if chance is None else (words(show_figure(match_waterfall_chart(chance))),)
        self._drawing.children = drawn

    def _key(self, key: str) -> None:
        if key in WORDS:
            self._decided(WORDS[key])
        else:
            self._stepped(_STEPS[key])

    def _saying(self, key: str, word: str) -> Button:
        icon, tip = _SAYING[word]
        made = button(word.capitalize(), icon, lambda: self._decided(word), tip)
        made.add_class(f"wb-says-{key}")  # a click is the key (keys.js)
        return made

    def _stepping(self, title: str, icon: str, far: int) -> Button:
        return button(title, icon, lambda: self._stepped(far))
