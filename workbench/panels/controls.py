"""What panels are operated with: buttons, ticks and lines of text, as wide as their words."""

from __future__ import annotations

from collections.abc import Callable

from ipywidgets import Button, Checkbox, Text

from workbench.panels.panel import WIDE


def button(title: str, icon: str, act: Callable[[], None]) -> Button:
    """Return a button that does one thing."""
    made = Button(description=title, icon=icon)
    made.layout.width, made.layout.align_self = "auto", "flex-start"
    made.on_click(lambda _: act())
    return made


def tick(what: str, on: bool = False) -> Checkbox:
    """Return a box to tick."""
    made = Checkbox(on, description=what, indent=False)
    made.layout.width = "auto"
    return made


def line(title: str, placeholder: str, value: str = "") -> Text:
    """Return a line to type in; what is typed counts when it is left, or with Enter."""
    made = Text(value, description=title, placeholder=placeholder, style=WIDE, continuous_update=False)
    made.layout.width = "34rem"
    return made
