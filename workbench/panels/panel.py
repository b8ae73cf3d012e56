"""What all panels share: the banner, a place for what went wrong, rows to choose from, and a static likeness."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from anywidget import AnyWidget
from ipywidgets import HTML, Button, HBox, VBox, Widget
from markupsafe import Markup
from traitlets import Unicode

from workbench import Workbench, WorkbenchError, open_workbench
from workbench.panels.controls import button, tick
from workbench.panels.table import Table
from workbench.panels.work import Work
from workbench.reporting.tables import Shown, prose, show, visible

PEOPLE = "Show names, addresses and numbers of people"
"""The switch of every panel."""

Actions = dict[str, tuple[str, Callable[[], None], str]]
"""Buttons: title to icon, what it does, and what it is for."""


class Heading(AnyWidget):
    """A panel's heading, to which whoever looks elsewhere can be led."""

    _esm = Path(__file__).parent / "heading.js"
    title = Unicode().tag(sync=True)

    def lead(self) -> None:
        """Scroll here, and give it the focus."""
        self.send({"lead": True})


class Details(HTML):
    """What a report would show, shown again when people are to be seen or covered."""

    _makers: tuple[Callable[[], Shown], ...] = ()

    def show(self, *makers: Callable[[], Shown]) -> None:
        """Show what these make, one below the other, instead of what is there."""
        self._makers = makers
        self.redraw()

    def redraw(self) -> None:
        """Make it again."""
        self.value = Markup("\n").join(Markup(make().html) for make in self._makers)


class Panel(VBox):
    """Rows to choose from, what is known of those that are chosen, and what can be done about them.

    A subclass says what these are. `rows` and `details` ask the workbench, beside the page; `lay_out` and `tell` show what
    they return; `actions` are the buttons, and `offered` names those that can be pressed now.

    What is done is done about what is seen. A page shows what it was told last, and a click on it may arrive when
    something else is chosen: until that is read no button can be pressed, and then there are new ones.

    Attributes
    ----------
    wanted, shown : list of str, and that or None
        The keys that are chosen, and those whose details are seen.
    work : Work
        What it is doing, and what became of it.
    """

    title: ClassVar[str]
    key: ClassVar[str]
    caption: ClassVar[str]
    several: ClassVar[bool] = False
    reading: ClassVar[str]
    """What is being done while the rows are read."""

    seen = Unicode()
    """The key of the one row that is chosen; empty where none is, or several."""

    def __init__(self, wb: Workbench, wanted: Sequence[str] = ()) -> None:
        self.wb = seeing(wb)
        self.wanted = list(wanted)
        self.shown: list[str] | None = None
        self.buttons: dict[str, Button] = {}
        self.work, self.row = Work(wb.environment.name), HBox()
        self.table = Table(
            self.key, self.caption, self.wb, several=self.several, chosen=lambda _: self.choose(self.chosen)
        )
        self.heading, people = Heading(title=self.title), people_switch(self, self.wb)
        if wb.session.people is not None:  # the page around it has one
            people.layout.display = "none"
        super().__init__([styled(), banner(wb), self.heading, people, *self.parts()])
        self.add_class("wb-panel")
        self._renew()
        self.work.observe(lambda _: self.offer(), "busy")

    def parts(self) -> list[Widget]:
        """Make what is seen, from top to bottom."""
        return [self.table, self.row, self.work]

    @property
    def chosen(self) -> list[str]:
        """The keys that are chosen on the page."""
        return self.table.chosen

    def actions(self) -> Actions:
        """Return the buttons in `row`."""
        return {}

    def offered(self) -> set[str]:
        """Return the titles of the buttons that can be pressed, nothing else being done."""
        return set(self.buttons)

    def rows(self) -> Any:
        """Read the rows."""

    def lay_out(self, rows: Any) -> None:
        """Show the rows."""

    def details(self, keys: list[str]) -> Any:
        """Read what is known of the rows of these keys."""

    def tell(self, details: Any) -> None:
        """Show what is known, or that nothing is chosen."""

    def look(self) -> None:
        """Read everything as it is now."""
        self.work.start(self.reading, lambda _: self.rows(), self.lay_out_anew)

    def lay_out_anew(self, rows: Any) -> None:
        """Show rows that were read, and read the details of the chosen ones again."""
        self.lay_out(rows)
        self.table.choose(self.wanted)
        if self.several:  # what is gone is chosen no more
            self.wanted = self.chosen
        self._read()

    def go(self, key: str) -> None:
        """Show the row of a key, as if somebody had chosen it."""
        self.table.choose([key])
        self.choose([key])

    def choose(self, keys: list[str]) -> None:
        """Read the details of other rows, or again of those whose reading failed."""
        self.wanted = keys
        if keys != self.shown:
            self.shown = None
            self._read()
        self.offer()

    def offer(self) -> None:
        """Let those buttons be pressed that can be."""
        self.seen = self.wanted[0] if len(self.wanted) == 1 else ""
        pressable = set() if self.work.busy or self.shown != self.wanted else self.offered()
        for title, control in self.buttons.items():
            control.disabled = title not in pressable

    def _read(self) -> None:
        keys = self.wanted
        what = f"Reading {keys[0]}" if len(keys) == 1 else self.reading

        def tell(details: Any) -> None:
            if keys == self.wanted:
                if (
                    keys != self.shown
                ):  # a click on its way to the buttons of the row before, off by now, is not heard
                    self._renew()
                self.shown = keys
                self.tell(details)

        self.work.start(what, lambda _: self.details(keys) if keys == self.wanted else None, tell)

    def _renew(self) -> None:
        self.buttons = {title: button(title, *action) for title, action in self.actions().items()}
        self.row.children = tuple(self.buttons.values())
        self.offer()

    def static(self) -> Shown:
        """Return the rows, as they stand in the panel's place where nobody can click: in a report, or on paper."""
        self.work.wait()
        if self.table.frame.empty and self.work.message:
            return Shown(self.work.message, Markup(self.work.message).striptags())
        return show(self.table.frame, self.caption, self.wb.session.unmask, limit=40)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        shown, widget = self.static(), super()._repr_mimebundle_(**kwargs) or {}
        return {**widget, "text/html": shown.html, "text/plain": shown.text}


def seeing(wb: Workbench) -> Workbench:
    """Return an environment as a panel looks at it: its own switch says whether people are seen on the screen.

    They are seen at first, but not on production.
    """
    if wb.session.people is not None:
        return wb  # a panel within another
    return Workbench(wb.session.as_seen(wb.session.unmask or not wb.environment.production))


def people_switch(panel: Widget, wb: Workbench) -> Widget:
    """Return what shows or covers people in a panel and in all that is within it."""
    switch = tick(PEOPLE, wb.session.shows_people)

    def uncover(shown: bool) -> None:
        wb.session.people = shown
        for part in _within(panel):
            if hasattr(part, "redraw"):
                part.redraw()

    switch.observe(lambda change: uncover(change["new"]), "value")
    return switch


def _within(widget: Widget) -> Iterator[Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _within(child)


@cache
def _style() -> str:
    return (Path(__file__).parent / "style.css").read_text()


def styled() -> HTML:
    """Return the panels' own look."""
    return HTML(f"<style>{_style()}</style>")


def banner(wb: Workbench) -> HTML:
    """Say which environment this is, red on production."""
    kind, name, where = wb.environment.kind, wb.environment.name, wb.environment.where
    text = '<div class="wb-banner wb-kind-{}" role="status"><strong>{}</strong> {} <span>{}</span></div>'
    return HTML(Markup(text).format(kind, kind.upper(), name, where)).add_class("wb-where")


def opened(panel: Callable[..., Widget], *arguments: Any, unmask: bool = False) -> Widget:
    """Open the environment and make a panel on it, or say in words why that cannot be."""
    try:
        return panel(open_workbench(unmask=unmask), *arguments)
    except WorkbenchError as error:
        environment = os.environ.get("WORKBENCH_ENVIRONMENT") or "demo"
        words = Markup('<p class="wb-fail" role="alert">{}</p>').format(
            prose(visible(str(error)), environment)
        )
        return VBox([styled(), HTML(words).add_class("wb-said")]).add_class("wb-panel")
