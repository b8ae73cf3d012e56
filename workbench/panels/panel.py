"""What all panels share: the banner that says where one is, a place for what went wrong, and a static likeness."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

from ipywidgets import HTML, Checkbox, VBox, Widget
from markupsafe import Markup

from workbench import Shown, Workbench, WorkbenchError, open_workbench, prose, visible
from workbench.panels.work import Work

PEOPLE = "Show names, addresses and numbers of people"
"""The switch of every panel."""

WIDE = {"description_width": "initial"}
"""A field's style: what it is for is read whole."""


class Panel(VBox):
    """A part of the page that shows and does one thing.

    Parameters
    ----------
    wb : Workbench
        The environment; what it may show of people is the panel's limit too.
    title : str
        What it is for, as people say it.
    parts : sequence of Widget
        What it is made of, from top to bottom; then comes what it says of its work.
    below : sequence of Widget
        What follows from it.
    switch : bool
        Whether it has the switch that shows people or covers them; a panel within another has none.

    Attributes
    ----------
    work : Work
        What it is doing, and what became of it.
    """

    def __init__(
        self,
        wb: Workbench,
        title: str,
        parts: Sequence[Widget],
        below: Sequence[Widget] = (),
        switch: bool = True,
    ) -> None:
        self.wb = wb
        people = Checkbox(wb.shows_people, description=PEOPLE, indent=False, layout={"width": "auto"})
        people.observe(lambda change: self._uncover(change["new"]), "value")
        heading = HTML(Markup("<h3>{}</h3>").format(title))
        style = HTML(f"<style>{_style()}</style>")
        super().__init__(
            [style, banner(wb), heading, *([people] if switch else []), *parts, self.work, *below]
        )
        self.add_class("wb-panel")

    @property
    def work(self) -> Work:
        """What the panel is doing."""
        # Made when it is first asked for, since the parts that use it are made before the panel is.
        if "_work" not in self.__dict__:
            self.__dict__["_work"] = Work(self.wb.environment.name)
        found: Work = self.__dict__["_work"]
        return found

    def redraw(self) -> None:
        """Show again what the panel itself shows of people; its tables follow by themselves."""

    def _uncover(self, shown: bool) -> None:
        self.wb.people = shown
        for part in _within(self):
            if isinstance(part, Panel) or hasattr(part, "redraw"):
                part.redraw()

    def static(self) -> Shown:
        """Return what stands in the panel's place where nobody can click: in a report, or on paper."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        shown = self.static()
        return {
            **(super()._repr_mimebundle_(**kwargs) or {}),
            "text/html": shown.html,
            "text/plain": shown.text,
        }


def seeing(wb: Workbench) -> Workbench:
    """Return an environment as a panel looks at it: its own switch says whether people are seen on the screen.

    They are seen at first, but not on production.
    """
    if wb.people is not None:
        return wb  # a panel within another
    seen = copy(wb)
    seen.__dict__["_opened_as"] = wb  # what it holds open closes when nobody holds this any more
    seen.people = wb.unmask or not wb.environment.production
    return seen


def _within(widget: Widget) -> Iterator[Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _within(child)


def banner(wb: Workbench) -> HTML:
    """Say which environment this is, red on production."""
    here = wb.environment
    words = Markup("<strong>{}</strong> {} <span>{}</span>").format(here.kind.upper(), here.name, here.where)
    made = HTML(Markup('<div class="wb-banner wb-kind-{}" role="status">{}</div>').format(here.kind, words))
    made.add_class("wb-where")
    return made


def words(shown: Shown) -> HTML:
    """Show what a report would show, as it stands there."""
    return HTML(shown.html)


def opened(panel: Callable[[Workbench], Panel], *, unmask: bool = False) -> Widget:
    """Open the environment and make a panel on it, or say in words why that cannot be."""
    try:
        return panel(open_workbench(unmask=unmask))
    except WorkbenchError as error:
        said = Markup('<p class="wb-fail" role="alert">{}</p>').format(
            prose(visible(str(error)), os.environ.get("WORKBENCH_ENVIRONMENT") or "demo")
        )
        shown = VBox([HTML(f"<style>{_style()}</style>"), VBox([HTML(said)]).add_class("wb-said")])
        return shown.add_class("wb-panel")


@cache
def _style() -> str:
    return (Path(__file__).parent / "style.css").read_text()
