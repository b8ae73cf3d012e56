"""Two records that may be one, side by side, and what a person says of them: by a button, or by a key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from anywidget import AnyWidget
from ipywidgets import HTML, Accordion, HBox, VBox
from markupsafe import Markup
from traitlets import List, Unicode

from workbench import Workbench
from workbench.duplicates.pairs import Found
from workbench.duplicates.records import Beside
from workbench.panels.controls import button, line
from workbench.panels.panel import Told
from workbench.reporting.beside import pair_evidence, records_side_by_side
from workbench.reporting.charts import match_waterfall_chart
from workbench.reporting.drawing import show_figure

WORDS = {
    "s": ("same", "check", "They are one (s)"),
    "d": ("different", "times", "They are two (d)"),
    "u": ("unsure", "question", "To be looked at again; takes an earlier word back (u)"),
}
"""What may be said of two records, each by its key."""

_STEPS = {"ArrowDown": 1, "ArrowRight": 1, "ArrowUp": -1, "ArrowLeft": -1}
_KEYS = "s same, d different, u unsure, ↓ next pair, ↑ the one before."


class Keys(AnyWidget):
    """Keys that act while the panel they are in has the focus, and never while somebody types.

    A word counts for what was shown when its key was pressed (`of`): pressed twice in haste, it says nothing of what
    came next. A step counts whenever it is pressed, since it says nothing of anything.
    """

    _esm = Path(__file__).parent / "keys.js"
    known = List(Unicode()).tag(sync=True)
    about = Unicode().tag(sync=True)
    of = Unicode().tag(sync=True)

    def __init__(self, pressed: Callable[[str], None]) -> None:
        super().__init__(known=[*WORDS, *_STEPS], about=_KEYS)
        self._pressed = pressed
        self.on_msg(self._heard)

    def take(self) -> None:
        """Give the keys the focus."""
        self.send({"focus": True})

    def _heard(self, _: Any, content: Any, __: Any) -> None:
        key, of = str(content.get("key", "")), str(content.get("about", ""))
        if key in _STEPS or (key in WORDS and of == self.of):
            self._pressed(key)


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
    pair : str
        The ids of the two that are seen, with a blank between; empty when none are.
    held : bool
        Whether nothing can be said of them, since something was said already or none are seen.
    """

    def __init__(self, wb: Workbench, decided: Callable[[str], None], stepped: Callable[[int], None]) -> None:
        self.pair, self.held = "", True
        self._wb, self._decided, self._stepped = wb, decided, stepped
        self._title, self._evidence, self._records, self._drawing = HTML(), Told(), Told(), Told()
        self.keyboard = Keys(self._key)
        self._chart = Accordion([self._drawing], titles=["Why, step by step"], selected_index=None)
        self._chart.observe(lambda _: self._draw(), "selected_index")
        self._remark = line("Why", "without personal data; Enter takes you back to the keys", width="36rem")
        self._remark.add_class("wb-remark")
        buttons = [
            button(word.capitalize(), icon, partial(decided, word), tip).add_class(f"wb-says-{key}")
            for key, (word, icon, tip) in WORDS.items()
        ]  # a click is the key (keys.js)
        steps = [
            button("Previous", "arrow-up", lambda: stepped(-1)),
            button("Next", "arrow-down", lambda: stepped(1)),
        ]
        said = HBox([*buttons, *steps, self._remark])
        super().__init__([self._title, self.keyboard, said, self._evidence, self._records, self._chart])
        self.add_class("wb-card")
        self.layout.display = "none"

    @property
    def remark(self) -> str:
        """Why, in the words of whoever decides."""
        return str(self._remark.value).strip()

    def show(self, found: Found | None, beside: Beside | None, place: str) -> None:
        """Show a pair, or none; `place` says which of how many it is."""
        self.layout.display = "none" if beside is None else ""
        self.pair = "" if beside is None else " ".join(beside.ids)
        self.hold(
            not self.pair
        )  # whoever sees the two can say what they are, though the chart is still being drawn
        if beside is None or found is None:
            return
        left, right = beside.ids
        self._title.value = Markup("<h4>{}</h4>").format(place)
        self._evidence.tell(lambda: pair_evidence(found, left, right))
        self._records.tell(lambda: records_side_by_side(beside, self._wb.session.shows_people))
        self._remark.value = ""
        self._chance = found.chance(left, right)
        self._chart.layout.display = "none" if self._chance is None else ""
        self._draw()

    def hold(self, held: bool) -> None:
        """Let nothing be said of the pair for now, or let it again.

        The buttons are left as they are: a button that is disabled loses the focus, and the keys with it.
        """
        self.held = held
        self.keyboard.of = "" if held else self.pair

    def _draw(self) -> None:
        """Draw the chart where somebody looks at it."""
        if self._chart.selected_index is not None and self._chance is not None:
            self._drawing.tell(lambda: show_figure(match_waterfall_chart(self._chance)))

    def _key(self, key: str) -> None:
        if key in WORDS:
            self._decided(WORDS[key][0])
        else:
            self._stepped(_STEPS[key])
