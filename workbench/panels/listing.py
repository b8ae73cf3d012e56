"""A list that people gather, one thing after another, before they act on all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from ipywidgets import VBox

from workbench import Workbench
from workbench.panels.controls import button
from workbench.panels.table import Table


class Listed(VBox):
    """Rows that were put together, each to be taken out again.

    Parameters
    ----------
    key : str
        The column whose values name the rows; a row put in again replaces what was there.
    columns : sequence of str
        What is shown.
    caption : str
        What the rows are.
    wb : Workbench
        Says whether people are shown.
    changed : callable
        Called when a row was put in or taken out.

    Attributes
    ----------
    rows : dict of str to dict
        What is in it, by key, in the order it came.
    """

    def __init__(
        self,
        key: str,
        columns: Sequence[str],
        caption: str,
        *,
        wb: Workbench,
        changed: Callable[[], None],
    ) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self._key, self._columns, self._changed = key, list(columns), changed
        self._table = Table(key, caption, several=True, wb=wb)
        out = button("Remove", "minus", lambda: self.remove(self._table.chosen))
        out.tooltip = "Take the chosen rows out of the list"
        super().__init__([self._table, out])
        self._lay_out()

    def put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put rows in."""
        self.rows |= {str(row[self._key]): dict(row) for row in rows}
        self._lay_out()
        self._changed()

    def remove(self, keys: Sequence[str]) -> None:
        """Take rows out by their keys."""
        for key in keys:
            self.rows.pop(key, None)
        self._lay_out()
        self._changed()

    def _lay_out(self) -> None:
        self.layout.display = "" if self.rows else "none"
        self._table.show(pd.DataFrame(list(self.rows.values()), columns=self._columns, dtype=object))
