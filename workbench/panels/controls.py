"""What panels are operated with: buttons, ticks and lines of text, as wide as their words."""

from __future__ import annotations

from collections.abc import Callable

from ipywidgets import Button, Checkbox, Text

WIDE = {"description_width": "initial"}
"""A field's style: what it is for is read whole."""


def button(title: str, icon: str, act: Callable[[], None], tip: str = "") -> Button:
    """Return a button that does one thing.

    It can be pressed on a page that has not heard yet that it cannot be: twice in haste, or while something else is
    being read. That is not heard.
    """
    made = Button(description=title, icon=icon, tooltip=tip or None)
    made.layout.width, made.layout.align_self = "auto", "flex-start"
    made.on_click(lambda _: None if made.disabled else act())
    return made


def tick(what: str, on: bool = False) -> Checkbox:
    """Return a box to tick."""
    return Checkbox(on, description=what, indent=False, layout={"width": "auto"})


def line(title: str, placeholder: str, value: str = "", width: str = "34rem") -> Text:
    """Return a line to type in; what is typed counts when it is left, or with Enter.

    Told letter by letter, the last ones could be overtaken by the click on the button beside it: the browser holds
    a letter back until the one before it has arrived.
    """
    made = Text(value, description=title, placeholder=placeholder, style=WIDE, continuous_update=False)
    made.layout.width = width
    return made
