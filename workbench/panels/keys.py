"""Keys that act while a panel has the focus, and never while somebody types; a line that says whether they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from anywidget import AnyWidget
from traitlets import List, Unicode


class Keys(AnyWidget):
    """Listens within the panel that it is a part of.

    A key counts for what was shown when it was pressed: pressed twice in haste, it says nothing of what came next.
    A step counts whenever it is pressed, since it says nothing of anything.

    Parameters
    ----------
    keys : sequence of str
        As browsers name them: ``s``, ``d``.
    steps : sequence of str
        Those that lead elsewhere: ``ArrowDown``.
    about : str
        What they do, for the line.
    pressed : callable
        Told the key.

    Attributes
    ----------
    of : str
        What the keys are about now.
    """

    _esm = Path(__file__).parent / "keys.js"
    known = List(Unicode()).tag(sync=True)
    about = Unicode().tag(sync=True)
    of = Unicode().tag(sync=True)

    def __init__(
        self, keys: Sequence[str], steps: Sequence[str], about: str, pressed: Callable[[str], None]
    ) -> None:
        super().__init__(known=[*keys, *steps], about=about)
        self._steps, self._pressed = frozenset(steps), pressed
        self.on_msg(self._heard)

    def take(self) -> None:
        """Give the keys the focus."""
        self.send({"focus": True})

    def _heard(self, _: Any, content: Any, __: Any) -> None:
        key, of = str(content.get("key", "")), str(content.get("about", ""))
        if key in self._steps or (key in self.known and of == self.of):
            self._pressed(key)
