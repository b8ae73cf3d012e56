"""Buttons, fields, and tables to search, sort and choose in. Rows are identified by key, never by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from ipywidgets import HTML, Button, Checkbox, Dropdown, HBox, Text, VBox
from itables.widget import ITable
from markupsafe import Markup

from workbench import Workbench
from workbench.panels.work import Work
from workbench.reporting.masking import mask
from workbench.reporting.tables import heading, shorten, text_of

MOST = 2_000
"""Rows that are sent to the browser; a search asks the database."""

LONGEST = 200  # characters of a value

_STYLE = {"description_width": "initial"}  # labels are not cut

# Passed with every frame, since ITable forgets them: values are text, and all rows are sent, since rows that it leaves out
# would shift the positions of the following ones.
_OPTIONS: dict[str, Any] = dict.fromkeys(("allow_html", "showIndex"), False)
_OPTIONS |= dict.fromkeys(("maxBytes", "maxRows", "maxColumns"), 0)


def button(title: str, icon: str, act: Callable[[], None], tip: str = "") -> Button:
    """Return a button; a click that arrives after it was disabled, such as a second one in haste, is ignored."""
    control = Button(description=title, icon=icon, tooltip=tip or None)
    control.layout.width, control.layout.align_self = "auto", "flex-start"
    control.on_click(lambda _: None if control.disabled else act())
    return control


def checkbox(title: str, checked: bool = False) -> Checkbox:
    """Return a checkbox."""
    return Checkbox(checked, description=title, indent=False, layout={"width": "auto"})


def dropdown(title: str, options: Sequence[Any], width: str = "auto") -> Dropdown:
    """Return a list to choose from."""
    layout = {"width": width, "max_width": "60rem"}
    return Dropdown(options=options, description=title, style=_STYLE, layout=layout)


def text_field(title: str, placeholder: str, value: str = "", width: str = "34rem") -> Text:
    """Return a text field that sends its text when it is left, or with Enter.

    Sent letter by letter, the last letters could arrive after a click on a button.
    """
    field = Text(value, description=title, placeholder=placeholder, style=_STYLE, continuous_update=False)
    field.layout.width = width
    return field


class Table(VBox):
    """A frame to search, sort and choose in; every value is shown as text.

    Parameters
    ----------
    key : str
        The column that identifies the rows.
    caption : str
        What the rows are.
    wb : Workbench
        Says whether people are shown.
    several : bool
        Whether more than one row can be chosen.
    chosen : callable
        Called with the keys of the chosen rows when the user changes them.
    """

    def __init__(
        self,
        key: str,
        caption: str,
        wb: Workbench,
        *,
        several: bool = False,
        chosen: Callable[[list[str]], Any] = list,
    ) -> None:
        self.key, self.caption, self.wb = key, caption, wb
        self.frame, self._total, self.names = pd.DataFrame(columns=[key]), 0, list[str]()
        self._ours = False  # a change by the program
        self._about = HTML()
        self._table = ITable(
            pd.DataFrame(),
            select={"style": "multi" if several else "single"},
            **_OPTIONS,
            classes="display compact nowrap",
            lengthMenu=[10, 25, 100],
            keys=True,
            scrollX=True,
        )
        self._table.observe(lambda _: self._ours or chosen(self.chosen), "selected_rows")
        super().__init__([self._about, self._table])
        self.add_class("wb-choose")

    @property
    def chosen(self) -> list[str]:
        """The keys of the chosen rows."""
        # The page may still show a longer table.
        return [self.names[place] for place in self._table.selected_rows if place < len(self.names)]

    def choose(self, keys: Sequence[str]) -> None:
        """Choose rows by key; unknown keys are ignored."""
        self._ours = True
        self._table.selected_rows = [self.names.index(key) for key in keys if key in self.names]
        self._ours = False

    def show(self, frame: pd.DataFrame, total: int = 0) -> None:
        """Show a frame; rows that were chosen and are still there stay chosen.

        Parameters
        ----------
        frame : pandas.DataFrame
            Has the key's column.
        total : int, optional
            The number of all rows, where the frame is a part of them.
        """
        before, shown = self.chosen, frame.head(MOST)
        self.frame, self._total = frame, max(total, len(frame))
        self.names = [str(key) for key in shown[self.key]]
        kept = [self.names.index(key) for key in before if key in self.names]
        self._ours = True
        self._table.update(_displayed(shown, self.wb.session.shows_people), selected_rows=kept, **_OPTIONS)
        self._ours = False
        cut = f"; the first {len(shown):,} of {self._total:,}" if self._total > len(shown) else ""
        count = f"{self._total:,}" if self._total else "none"
        self._about.value = Markup('<p class="wb-caption">{}: {}{}</p>').format(self.caption, count, cut)

    def redraw(self) -> None:
        """Show the same rows again, with people or without them."""
        self.show(self.frame, self._total)


class Search(VBox):
    """A search field and the table of its results.

    Parameters
    ----------
    title, placeholder : str
        The field's label, and what to type.
    ask : callable
        Given the text, returns a frame whose ``attrs`` say how many rows were ``found`` in all, and whether there may
        be ``more``.
    table : Table
        Where the results go.
    changed : callable
        Called when the results change, and with them the choice.
    """

    def __init__(
        self,
        title: str,
        placeholder: str,
        ask: Callable[[str], pd.DataFrame],
        table: Table,
        changed: Callable[[], None],
    ) -> None:
        self._ask, self.table, self._changed = ask, table, changed
        self.work = Work(table.wb.environment.name)
        self._typed = text_field(title, placeholder)
        # Enter, or leaving the field, is a change; the button searches again for the same text.
        self._typed.observe(lambda change: self._search() if change["new"].strip() else None, "value")
        find = button("Find", "search", lambda: None if self.work.busy else self._search())
        table.layout.display = "none"
        super().__init__([HBox([self._typed, find]), self.work, table])

    def clear(self) -> None:
        """Clear the field and the results."""
        self._typed.value = ""
        self._lay_out(pd.DataFrame(columns=[self.table.key]))
        self.table.layout.display = "none"

    def _search(self) -> None:
        typed = self._typed.value
        self.work.start("Searching", lambda _: self._ask(typed), self._lay_out)

    def _lay_out(self, rows: pd.DataFrame) -> str | None:
        self.table.layout.display = ""
        self.table.show(rows, int(rows.attrs.get("found", 0)))
        self._changed()
        return "There may be more: type more of what you know." if rows.attrs.get("more") else None


def _displayed(frame: pd.DataFrame, unmask: bool) -> pd.DataFrame:
    """Return a frame of texts, and of numbers, which sort as numbers."""
    shown = {}
    for column, values in mask(frame, unmask).items():
        is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        texts = [] if is_number else [shorten(text_of(value, str(column)), LONGEST) for value in values]
        shown[heading(str(column))] = list(values) if is_number else texts
    return pd.DataFrame(shown)
