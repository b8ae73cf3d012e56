"""What panels are operated with: buttons, ticks, choices and lines of text, as wide as their words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ipywidgets import Button, Checkbox, Dropdown, Text

WIDE = {"description_width": "initial"}
"""A field's style: its label is not cut."""


def button(title: str, icon: str, act: Callable[[], None], tip: str = "") -> Button:
    """Return a button that does one thing.

    It can be pressed on a page that has not heard yet that it cannot be: twice in haste, or while something else is
    being read. That is not heard.
    """
    control = Button(description=title, icon=icon, tooltip=tip or None)
    control.layout.width, control.layout.align_self = "auto", "flex-start"
    control.on_click(lambda _: None if control.disabled else act())
    return control


def tick(title: str, on: bool = False) -> Checkbox:
    """Return a box to tick."""
    return Checkbox(on, description=title, indent=False, layout={"width": "auto"})


def choice(title: str, options: Sequence[Any], width: str = "auto") -> Dropdown:
    """Return a list to choose one of."""
    layout = {"width": width, "max_width": "60rem"}
    return Dropdown(options=options, description=title, style=WIDE, layout=layout)


def line(title: str, placeholder: str, value: str = "", width: str = "34rem") -> Text:
    """Return a line to type in; what is typed counts when it is left, or with Enter.

    Told letter by letter, the last ones could be overtaken by the click on the button beside it: the browser holds
    a letter back until the one before it has arrived.
    """
    field = Text(value, description=title, placeholder=placeholder, style=WIDE, continuous_update=False)
    field.layout.width = width
    return field
