"""Two records that may be one, side by side, and what a person says of them: by a button, or by a key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from anywidget import AnyWidget
from ipywidgets import HTML, HBox, VBox
from markupsafe import Markup
from traitlets import List, Unicode

from workbench import Workbench
from workbench.duplicates.pairs import Found
from workbench.duplicates.records import Beside
from workbench.panels.controls import button, line
from workbench.panels.panel import Details
from workbench.reporting.beside import pair_evidence, records_side_by_side

WORDS = {
    "s": ("same", "check", "They are one (s)"),
    "d": ("different", "times", "They are two (d)"),
    "u": ("unsure", "question", "To be looked at again; takes an earlier word back (u)"),
}
"""What may be said of two records, each by its key."""

_STEPS = {"ArrowDown": 1, "ArrowRight": 1, "ArrowUp": -1, "ArrowLeft": -1}


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
            self._decide(key)


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
        self.pair, self.held, self._wb, self._told = "", True, wb, decide
        self._title, self._evidence, self._records = HTML(), Details(), Details()
        self.keyboard = Keys(self._decide, step)
        self.remark = line("Why", "without personal data; Enter takes you back to the keys", width="36rem")
        self.remark.add_class("wb-remark")
        words = [self._word(key) for key in WORDS]  # a click is the key (keys.js)
        steps = [
            button("Previous", "arrow-up", lambda: step(-1)),
            button("Next", "arrow-down", lambda: step(1)),
        ]
        controls = HBox([*words, *steps, self.remark])
        super().__init__([self._title, self.keyboard, controls, self._evidence, self._records])
        self.add_class("wb-card")
        self.layout.display = "none"

    def show(self, found: Found | None, beside: Beside | None, place: str) -> None:
        """Show a pair, or none; `place` says which of how many it is."""
        self.layout.display = "none" if beside is None else ""
        self.pair = "" if beside is None else " ".join(beside.ids)
        self.hold(not self.pair)
        if beside is not None and found is not None:
            self._title.value = Markup("<h4>{}</h4>").format(place)
            self._evidence.show(lambda: pair_evidence(found, *beside.ids))
            self._records.show(lambda: records_side_by_side(beside, self._wb.session.shows_people))
            self.remark.value = ""

    def hold(self, held: bool) -> None:
        """Let nothing be said of the pair for now, or let it again.

        The buttons are left as they are: a button that is disabled loses the focus, and the keys with it.
        """
        self.held = held
        self.keyboard.of = "" if held else self.pair

    def _word(self, key: str) -> Any:
        word, icon, tip = WORDS[key]
        control = button(word.capitalize(), icon, lambda: self._decide(key), tip)
        return control.add_class(f"wb-says-{key}")

    def _decide(self, key: str) -> None:
        self._told(WORDS[key][0])
