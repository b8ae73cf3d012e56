"""The base of all panels: banner, rows to choose from, progress and errors, a static version; and the page of all panels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from anywidget import AnyWidget
from ipywidgets import HTML, Button, HBox, ToggleButtons, VBox, Widget
from markupsafe import Markup
from traitlets import Unicode

from workbench import Workbench, WorkbenchError, open_workbench
from workbench.panels import PAGES, panel_of
from workbench.panels.table import Table, button, checkbox
from workbench.panels.work import Work
from workbench.reporting.tables import Shown, prose, show, visible

PEOPLE = "Show names, addresses and numbers of people"
"""The switch of every panel."""

Actions = dict[str, tuple[str, Callable[[], None], str]]
"""Buttons: title to icon, callback and tooltip."""


class Heading(AnyWidget):
    """A panel's heading, which can be scrolled into view."""

    _esm = Path(__file__).parent / "heading.js"
    title = Unicode().tag(sync=True)

    def lead(self) -> None:
        """Scroll here, and take the focus."""
        self.send({"lead": True})


class Details(HTML):
    """Parts of a report, rendered again when people are shown or hidden."""

    _makers: tuple[Callable[[], Shown], ...] = ()

    def show(self, *makers: Callable[[], Shown]) -> None:
        """Show what these return, one below the other."""
        self._makers = makers
        self.redraw()

    def redraw(self) -> None:
        """Render it again."""
        self.value = Markup("\n").join(Markup(make().html) for make in self._makers)


class Panel(VBox):
    """Rows to choose from, details of the chosen ones, and buttons to act on them.

    A subclass overrides `rows` and `details`, which query the workbench in the background, `lay_out` and `tell`, which
    show the results, `actions` (the buttons) and `offered` (the buttons enabled at the moment).

    A button acts on what is seen. A click may arrive after something else was chosen, so no button is enabled until the
    details of the new choice are shown, and then there are new buttons.

    Attributes
    ----------
    wanted, shown : list of str, and that or None
        The chosen keys, and those whose details are shown.
    work : Work
        Progress, results and errors.
    """

    title: ClassVar[str]
    key: ClassVar[str]
    caption: ClassVar[str]
    several: ClassVar[bool] = False
    reading: ClassVar[str]
    """The progress text while rows are read."""

    seen = Unicode()
    """The key of the one chosen row; empty where none or several are chosen."""

    def __init__(self, wb: Workbench, wanted: Sequence[str] = ()) -> None:
        self.wb = seeing(wb)
        self.wanted = list(wanted)
        self.shown: list[str] | None = None
        self.buttons: dict[str, Button] = {}
        self.work, self.row = Work(wb.environment.name), HBox()
        self.table = Table(self.key, self.caption, self.wb, several=self.several, chosen=self._choose_shown)
        self.heading, people = Heading(title=self.title), people_switch(self, self.wb)
        if wb.session.people is not None:  # the page around has one
            people.layout.display = "none"
        super().__init__([styled(), banner(wb), self.heading, people, *self.parts()])
        self.add_class("wb-panel")
        self._renew_buttons()
        self.work.observe(lambda _: self.offer(), "busy")

    def parts(self) -> list[Widget]:
        """Create the widgets, from top to bottom."""
        return [self.table, self.row, self.work]

    @property
    def chosen(self) -> list[str]:
        """The keys chosen on the page."""
        return self.table.chosen

    def actions(self) -> Actions:
        """Return the buttons in `row`."""
        return {}

    def offered(self) -> set[str]:
        """Return the titles of the buttons that are enabled when nothing is in progress."""
        return set(self.buttons)

    def rows(self) -> Any:
        """Read the rows."""

    def lay_out(self, rows: Any) -> None:
        """Show the rows."""

    def details(self, keys: list[str]) -> Any:
        """Read the details of the rows with these keys."""

    def tell(self, details: Any) -> None:
        """Show the details, or that nothing is chosen."""

    def look(self) -> None:
        """Read everything again."""
        self.work.start(self.reading, lambda _: self.rows(), self.lay_out_anew)

    def lay_out_anew(self, rows: Any) -> None:
        """Show rows, and read the details of the chosen ones again."""
        self.lay_out(rows)
        self.table.choose(self.wanted)
        if self.several:  # rows that are gone are no longer chosen
            self.wanted = self.chosen
        self._read()

    def go(self, key: str) -> None:
        """Choose a row by key."""
        self.table.choose([key])
        self.choose([key])

    def choose(self, keys: list[str]) -> None:
        """Read the details of other rows, or again where reading failed."""
        self.wanted = keys
        if keys != self.shown:
            self.shown = None
            self._read()
        self.offer()

    def _choose_shown(self, _: list[str]) -> None:
        self.choose(self.chosen)

    def offer(self) -> None:
        """Enable the buttons that apply now."""
        self.seen = self.wanted[0] if len(self.wanted) == 1 else ""
        enabled = set() if self.work.busy or self.shown != self.wanted else self.offered()
        for title, control in self.buttons.items():
            control.disabled = title not in enabled

    def _read(self) -> None:
        keys = self.wanted
        what = f"Reading {keys[0]}" if len(keys) == 1 else self.reading

        def tell(details: Any) -> None:
            if keys == self.wanted:
                if keys != self.shown:  # a late click on the previous row's buttons is ignored
                    self._renew_buttons()
                self.shown = keys
                self.tell(details)

        self.work.start(what, lambda _: self.details(keys) if keys == self.wanted else None, tell)

    def _renew_buttons(self) -> None:
        self.buttons = {title: button(title, *action) for title, action in self.actions().items()}
        self.row.children = tuple(self.buttons.values())
        self.offer()

    def static(self) -> Shown:
        """Return the rows as a table, for a report or on paper."""
        self.work.wait()
        if self.table.frame.empty and self.work.message:
            return Shown(self.work.message, Markup(self.work.message).striptags())
        return show(self.table.frame, self.caption, self.wb.session.unmask, limit=40)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        shown, widget = self.static(), super()._repr_mimebundle_(**kwargs) or {}
        return {**widget, "text/html": shown.html, "text/plain": shown.text}


class Location(AnyWidget):
    """The part of the page's address after the ``#``: ``runs/sync_1700000000000_abc``."""

    _esm = Path(__file__).parent / "location.js"
    place = Unicode().tag(sync=True)


class Pages(VBox):
    """All panels, one at a time; work that was started in one goes on while another is shown.

    Parameters
    ----------
    wb : Workbench
        The environment.
    page : str
        The first page, one of `PAGES`, where the address names none.

    Attributes
    ----------
    location : Location
        The page, and the run, plan, pair, mapping or level shown there.
    panels : dict of str to Panel
        The panels opened so far.
    """

    def __init__(self, wb: Workbench, page: str) -> None:
        self.wb, self.panels = seeing(wb), dict[str, Panel]()
        self.location = Location(place=page)
        titles = [(title, name) for name, (title, *_) in PAGES.items()]
        self._links = ToggleButtons(options=titles, value=page)
        self._links.add_class("wb-links").style.button_width = "auto"
        self._page, people = VBox(), people_switch(self, self.wb)
        super().__init__([styled(), banner(wb), self._links, people, self._page, self.location])
        self.add_class("wb-panel").add_class("wb-pages")
        self._show(page)
        self._links.observe(lambda change: self._show(change["new"]), "value")
        self.location.observe(lambda change: self.go(change["new"]), "place")

    def go(self, place: str) -> None:
        """Show a page and the row that an address names; an unknown address is ignored."""
        page, _, key = place.partition("/")
        if page in PAGES:
            if key and key != self._panel(page).seen:
                self._panel(page).go(key)
            self._links.value = page

    def _panel(self, page: str) -> Panel:
        if page not in self.panels:
            self.panels[page] = panel_of(page)(self.wb)
            self.panels[page].observe(lambda _: self._write_address(page), "seen")
        return self.panels[page]

    def _show(self, page: str) -> None:
        self._page.children = (self._panel(page),)
        self._write_address(page)

    def _write_address(self, page: str) -> None:
        if page == self._links.value:
            self.location.place = f"{page}/{self.panels[page].seen}".rstrip("/")


def seeing(wb: Workbench) -> Workbench:
    """Return an environment with a switch of its own for people: shown at first, but not on production."""
    if wb.session.people is not None:
        return wb  # a panel within another
    return Workbench(wb.session.as_seen(wb.session.unmask or not wb.environment.production))


def people_switch(panel: Widget, wb: Workbench) -> Widget:
    """Return the checkbox that shows or hides people in a panel and everything in it."""
    switch = checkbox(PEOPLE, wb.session.shows_people)

    def redraw(shown: bool) -> None:
        wb.session.people = shown
        for part in _within(panel):
            if hasattr(part, "redraw"):
                part.redraw()

    switch.observe(lambda change: redraw(change["new"]), "value")
    return switch


def _within(widget: Widget) -> Iterator[Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _within(child)


@cache
def _style() -> str:
    return (Path(__file__).parent / "style.css").read_text()


def styled() -> HTML:
    """Return the panels' style sheet."""
    return HTML(f"<style>{_style()}</style>")


def banner(wb: Workbench) -> HTML:
    """Return the banner that names the environment, red on production."""
    kind, name, where = wb.environment.kind, wb.environment.name, wb.environment.where
    text = '<div class="wb-banner wb-kind-{}" role="status"><strong>{}</strong> {} <span>{}</span></div>'
    return HTML(Markup(text).format(kind, kind.upper(), name, where)).add_class("wb-where")


def opened(panel: Callable[..., Widget], *arguments: Any, unmask: bool = False) -> Widget:
    """Open the environment and create a panel, or show why that is not possible."""
    try:
        return panel(open_workbench(unmask=unmask), *arguments)
    except WorkbenchError as error:
        environment = os.environ.get("WORKBENCH_ENVIRONMENT") or "demo"
        words = prose(visible(str(error)), environment)
        shown = HTML(Markup('<p class="wb-fail" role="alert">{}</p>').format(words)).add_class("wb-said")
        return VBox([styled(), shown]).add_class("wb-panel")
