"""Tables that people search, sort and choose in. Rows are known by their keys, never by where they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from ipywidgets import HTML, HBox, VBox
from itables.widget import ITable
from markupsafe import Markup

from workbench import Workbench
from workbench.panels.controls import button, line
from workbench.panels.work import Work
from workbench.reporting.masking import mask
from workbench.reporting.tables import heading, shorten, text_of

MOST = 2_000
"""Rows that are sent to the browser; who looks for more asks the database."""

LONGEST = 200  # characters of a value

# Given with every frame, since the library forgets them: text is text, and all rows are sent, for rows that it left out
# would give those after them other places.
_WHOLE: dict[str, Any] = dict.fromkeys(("allow_html", "showIndex"), False)
_WHOLE |= dict.fromkeys(("maxBytes", "maxRows", "maxColumns"), 0)


class Table(VBox):
    """A frame to search, sort and choose in; every value in it is text, whatever it contains.

    Parameters
    ----------
    key : str
        The column whose values name the rows.
    caption : str
        What the rows are.
    wb : Workbench
        Says whether people are shown.
    several : bool
        Whether more than one row can be chosen.
    chosen : callable
        Told the keys of the chosen rows whenever a person changes them.
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
        self._ours = False  # a change that is nobody's choice
        self._about = HTML()
        self._table = ITable(
            pd.DataFrame(),
            select={"style": "multi" if several else "single"},
            **_WHOLE,
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
        # A page that has not heard of a shorter table yet may choose what is there no more.
        return [self.names[place] for place in self._table.selected_rows if place < len(self.names)]

    def choose(self, keys: Sequence[str]) -> None:
        """Choose rows by their keys; those that are not there are passed over."""
        self._ours = True
        self._table.selected_rows = [self.names.index(key) for key in keys if key in self.names]
        self._ours = False

    def show(self, frame: pd.DataFrame, total: int = 0) -> None:
        """Show a frame instead of what is there; what was chosen stays chosen where it is still there.

        Parameters
        ----------
        frame : pandas.DataFrame
            Has the key's column.
        total : int, optional
            How many rows there are in all, where the frame is a part of them.
        """
        before, shown = self.chosen, frame.head(MOST)
        self.frame, self._total = frame, max(total, len(frame))
        self.names = [str(key) for key in shown[self.key]]
        kept = [self.names.index(key) for key in before if key in self.names]
        self._ours = True
        self._table.update(_as_shown(shown, self.wb.session.shows_people), selected_rows=kept, **_WHOLE)
        self._ours = False
        cut = f"; the first {len(shown):,} of {self._total:,}" if self._total > len(shown) else ""
        count = f"{self._total:,}" if self._total else "none"
        self._about.value = Markup('<p class="wb-caption">{}: {}{}</p>').format(self.caption, count, cut)

    def redraw(self) -> None:
        """Show the same rows again, with people or without them."""
        self.show(self.frame, self._total)


class Search(VBox):
    """A field to search in beside whatever else a panel does, and the table of what was found.

    Parameters
    ----------
    title, placeholder : str
        What the field is called, and what to type into it.
    ask : callable
        Given what was typed; returns a frame, whose ``attrs`` say how many were ``found`` in all, and whether there may
        be ``more``.
    table : Table
        Where the answer goes.
    changed : callable
        Called when there is another answer, and with it another choice.
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
        self._typed = line(title, placeholder)
        # Enter, or leaving the field, is a change; the button asks again for the same.
        self._typed.observe(lambda change: self._search() if change["new"].strip() else None, "value")
        find = button("Find", "search", lambda: None if self.work.busy else self._search())
        table.layout.display = "none"
        super().__init__([HBox([self._typed, find]), self.work, table])

    def clear(self) -> None:
        """Forget what was typed, and what was found."""
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


def _as_shown(frame: pd.DataFrame, unmask: bool) -> pd.DataFrame:
    """Return a frame of texts, and of numbers, which are to be sorted as such."""
    shown = {}
    for column, values in mask(frame, unmask).items():
        is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        texts = [] if is_number else [shorten(text_of(value, str(column)), LONGEST) for value in values]
        shown[heading(str(column))] = list(values) if is_number else texts
    return pd.DataFrame(shown)
