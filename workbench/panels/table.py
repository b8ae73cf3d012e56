"""A table that people search, sort and choose in. Rows are known by their keys, never by where they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from ipywidgets import HTML, VBox
from itables.widget import ITable
from markupsafe import Markup

from workbench import Workbench, heading, mask, text_of

MOST = 2_000
"""Rows that are sent to the browser; who looks for more asks the database."""

LONGEST = 200  # characters of a value

# Said with every frame, since the library forgets them: text is text, and all rows are sent, for rows that it left out
# would give those after them other places.
_WHOLE: dict[str, Any] = {
    "allow_html": False,
    "showIndex": False,
    "maxBytes": 0,
    "maxRows": 0,
    "maxColumns": 0,
}


class Table(VBox):
    """A frame to search, sort and choose in; every value in it is text, whatever it contains.

    Parameters
    ----------
    key : str
        The column whose values name the rows.
    caption : str
        What the rows are.
    several : bool
        Whether more than one row can be chosen.
    wb : Workbench
        Says whether people are shown.
    chosen : callable, optional
        Told the keys of the chosen rows whenever they change.
    """

    def __init__(
        self,
        key: str,
        caption: str,
        *,
        several: bool = False,
        wb: Workbench,
        chosen: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._key, self._caption, self._wb = key, caption, wb
        self._shown: tuple[pd.DataFrame, int | None] | None = None
        self._keys: list[str] = []
        self._told = chosen
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
        self._table.observe(self._changed, "selected_rows")
        super().__init__([self._about, self._table])
        self.add_class("wb-choose")

    @property
    def chosen(self) -> list[str]:
        """The keys of the chosen rows."""
        # A page that has not heard of a shorter table yet may choose what is there no more.
        return [self._keys[place] for place in self._table.selected_rows if place < len(self._keys)]

    def lists(self, key: str) -> bool:
        """Tell whether a row of that key is there."""
        return key in self._keys

    def choose(self, keys: Sequence[str]) -> None:
        """Choose rows by their keys; those that are not there are passed over."""
        self._ours = True
        self._table.selected_rows = [self._keys.index(each) for each in keys if each in self._keys]
        self._ours = False

    def show(self, frame: pd.DataFrame, total: int | None = None) -> None:
        """Show a frame instead of what is there; what was chosen stays chosen where it is still there.

        Parameters
        ----------
        frame : pandas.DataFrame
            Has the key's column.
        total : int, optional
            How many rows there are in all, where the frame is a part of them.
        """
        self._shown = frame, total
        before = self.chosen
        shown = frame.head(MOST)
        self._keys = [str(each) for each in shown[self._key]]
        kept = [self._keys.index(each) for each in before if each in self._keys]
        self._ours = True
        self._table.update(_as_shown(shown, self._wb.shows_people), selected_rows=kept, **_WHOLE)
        self._ours = False
        of_all = max(len(frame), total or 0)
        cut = f"; the first {len(shown):,} of {of_all:,}" if of_all > len(shown) else ""
        self._about.value = Markup('<p class="wb-caption">{}: {}{}</p>').format(
            self._caption, f"{of_all:,}" if of_all else "none", cut
        )

    def redraw(self) -> None:
        """Show the same rows again, with people or without them."""
        if self._shown is not None:
            self.show(*self._shown)

    def _changed(self, _: Any) -> None:
        if self._told is not None and not self._ours:
            self._told(self.chosen)


def _as_shown(frame: pd.DataFrame, unmask: bool) -> pd.DataFrame:
    """Return a frame of texts, and of numbers, which are to be sorted as such."""
    masked = mask(frame, unmask)
    columns = {}
    for column in masked.columns:
        values = masked[column]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            columns[heading(column)] = values
        else:
            columns[heading(column)] = pd.Series(
                [_cut(text_of(each, column)) for each in values], dtype=object
            )
    return pd.DataFrame({name: list(values) for name, values in columns.items()})


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
