"""Panels without a browser: what a person would click on is called, what they would see is read."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ipywidgets import Button, Widget

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from workbench.panels.table import Table
from workbench.workbench import Workbench


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Workbench]]:
    """Open a club as a notebook does, with a folder of its own for plans and reports."""
    workbenches: list[Workbench] = []

    def open_club(club: Ground, **changes: Any) -> Workbench:
        monkeypatch.setenv("CLUB_URL", club.url)
        options = club.options.model_copy(update={"url_env": "CLUB_URL"})
        workbenches.append(
            club.open(unmask=False, url_env="CLUB_URL", environments={"demo": options}, **changes)
        )
        return workbenches[-1]

    yield open_club
    for wb in workbenches:
        wb.close()
    Widget.close_all()
    gc.collect()


def press(panel: Widget, title: str) -> None:
    """Press the button of a panel, as a person would, and wait for what follows."""
    button = next(part for part in parts(panel) if isinstance(part, Button) and part.description == title)
    assert not button.disabled, f"{title} cannot be pressed"
    button.click()
    settle(panel)


def parts(panel: Widget) -> Iterator[Widget]:
    """Yield a widget and all that is in it, from top to bottom."""
    yield panel
    for child in getattr(panel, "children", ()):
        yield from parts(child)


def settle(panel: Widget) -> Any:
    """Wait until nothing is being done any more, in the panel or in those within it; return it."""
    working = [part for part in parts(panel) if hasattr(part, "wait") and hasattr(part, "busy")]
    while True:
        for part in working:
            part.wait()
        if not any(part.busy for part in working):
            return panel


def said(panel: Widget) -> str:
    """Return all the words that a panel shows, as HTML."""
    values = (getattr(part, "value", None) for part in parts(panel))
    return "\n".join(str(value) for value in values if isinstance(value, str))


def table(panel: Widget, caption: str) -> Table:
    """Return the table of a panel that is called so."""
    return next(part for part in parts(panel) if isinstance(part, Table) and part.caption == caption)


def choose(panel: Widget, caption: str, *keys: str) -> Table:
    """Click on rows of a table, or on none, and wait for what follows."""
    rows = table(panel, caption)
    rows._table.selected_rows = [rows.names.index(key) for key in keys]
    settle(panel)
    return rows


def field(panel: Widget, words: str) -> Any:
    """Return what has these words beside it: a box to tick, a line to type in."""
    return next(part for part in parts(panel) if words in str(getattr(part, "description", "")))


def offered(panel: Any) -> set[str]:
    """Return the buttons of a panel's row that can be pressed."""
    return {title for title, button in panel.buttons.items() if not button.disabled}
