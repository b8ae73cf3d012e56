"""All panels on one page; each has an address, and so has what is chosen in it."""

from __future__ import annotations

from pathlib import Path

from anywidget import AnyWidget
from ipywidgets import ToggleButtons, VBox
from traitlets import Unicode

from workbench import Workbench
from workbench.panels import PAGES, panel_of
from workbench.panels.panel import Panel, banner, people_switch, seeing, styled


class Location(AnyWidget):
    """The part of the page's address behind the ``#``: ``runs/sync_1700000000000_abc``."""

    _esm = Path(__file__).parent / "location.js"
    place = Unicode().tag(sync=True)


class Pages(VBox):
    """Every panel, one at a time; what was begun in one goes on while another is seen.

    Parameters
    ----------
    wb : Workbench
        The environment.
    page : str
        The page to begin with, one of `PAGES`, where the address names none.

    Attributes
    ----------
    location : Location
        The page, and the run, plan, pair, mapping or level that is seen there.
    panels : dict of str to Panel
        Those that were opened already.
    """

    def __init__(self, wb: Workbench, page: str) -> None:
        self.wb, self.panels = seeing(wb), dict[str, Panel]()
        self.location = Location(place=page)
        self._links = ToggleButtons(
            options=[(title, name) for name, (title, *_) in PAGES.items()], value=page
        )
        self._links.add_class("wb-links").style.button_width = "auto"
        self._page, people = VBox(), people_switch(self, self.wb)
        super().__init__([styled(), banner(wb), self._links, people, self._page, self.location])
        self.add_class("wb-panel").add_class("wb-pages")
        self._show(page)
        self._links.observe(lambda change: self._show(change["new"]), "value")
        self.location.observe(lambda change: self.go(change["new"]), "place")

    def go(self, place: str) -> None:
        """Show a page and what the place names on it; a place that is none leaves everything as it is."""
        page, _, key = place.partition("/")
        if page in PAGES:
            if key and key != self._panel(page).seen:
                self._panel(page).go(key)
            self._links.value = page

    def _panel(self, page: str) -> Panel:
        if page not in self.panels:
            self.panels[page] = panel_of(page)(self.wb)
            self.panels[page].observe(lambda _: self._write(page), "seen")
        return self.panels[page]

    def _show(self, page: str) -> None:
        self._page.children = (self._panel(page),)
        self._write(page)

    def _write(self, page: str) -> None:
        if page == self._links.value:
            self.location.place = f"{page}/{self.panels[page].seen}".rstrip("/")
