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
    made: list[Workbench] = []

    def open_club(club: Ground, **changes: Any) -> Workbench:
        monkeypatch.setenv("CLUB_URL", club.url)
        here = club.options.model_copy(update={"url_env": "CLUB_URL"})
        made.append(club.open(unmask=False, url_env="CLUB_URL", environments={"demo": here}, **changes))
        return made[-1]

    yield open_club
    for each in made:
        each.close()
    Widget.close_all()
    gc.collect()


def press(panel: Widget, title: str) -> None:
    """Press the button of a panel, as a person would, and wait for what follows."""
    button = next(each for each in parts(panel) if isinstance(each, Button) and each.description == title)
    assert not button.disabled, f"{title} cannot be pressed"
    button.click()
    settle(panel)


def parts(panel: Widget) -> Iterator[Widget]:
    """Yield a widget and all that is in it, from top to bottom."""
    yield panel
    for each in getattr(panel, "children", ()):
        yield from parts(each)


def settle(panel: Widget) -> None:
    """Wait until nothing is being done any more, in the panel or in those within it."""
    working = [each for each in parts(panel) if hasattr(each, "wait") and hasattr(each, "busy")]
    while True:
        for each in working:
            each.wait()
        if not any(each.busy for each in working):
            return


def said(panel: Widget) -> str:
    """Return all the words that a panel shows, as HTML."""
    return "\n".join(
        str(each.value) for each in parts(panel) if isinstance(getattr(each, "value", None), str)
    )


def table(panel: Widget, caption: str) -> Table:
    """Return the table of a panel that is called so."""
    return next(each for each in parts(panel) if isinstance(each, Table) and each.caption == caption)


def choose(panel: Widget, caption: str, *keys: str) -> Table:
    """Click on rows of a table, or on none, and wait for what follows."""
    made = table(panel, caption)
    made._table.selected_rows = [made.names.index(key) for key in keys]
    settle(panel)
    return made


def field(panel: Widget, words: str) -> Any:
    """Return what has these words beside it: a box to tick, a line to type in."""
    return next(each for each in parts(panel) if words in str(getattr(each, "description", "")))


def offered(panel: Any) -> set[str]:
    """Return the buttons of a panel's row that can be pressed."""
    return {title for title, each in panel.buttons.items() if not each.disabled}
