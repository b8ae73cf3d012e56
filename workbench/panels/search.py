"""A field to search in, and a table of what was found: the database is asked, and answers in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from ipywidgets import HBox, VBox

from workbench.panels.controls import button, line
from workbench.panels.table import Table
from workbench.panels.work import Work


class Search(VBox):
    """Asks for what is typed, beside whatever else the panel does.

    Parameters
    ----------
    ask : callable
        Given what was typed; returns a frame, whose ``attrs`` say how many were ``found`` in all, and whether there may be ``more``.
    what : str
        What to type, for whoever looks at the empty field.
    table : Table
        Where the answer goes; the column that names its rows is the frame's.
    title : str
        What the field is called.
    environment : str
        The name of the environment that is searched.
    changed : callable
        Called when there is another answer, and with it another choice.

    Attributes
    ----------
    work : Work
        The search, and what became of it.
    answer : pandas.DataFrame
        What was found last.
    """

    def __init__(
        self,
        ask: Callable[[str], pd.DataFrame],
        what: str,
        table: Table,
        title: str,
        environment: str,
        *,
        changed: Callable[[], None],
    ) -> None:
        self._ask, self._table, self._changed = ask, table, changed
        self.answer = pd.DataFrame()
        self.work = Work(environment)
        self._typed = line(title, what)
        # Enter, or leaving the field, is a change; the button asks again for the same.
        self._typed.observe(lambda _: self._search() if self._typed.value.strip() else None, "value")
        find = button("Find", "search", lambda: None if self.work.busy else self._search())
        self._table.layout.display = "none"
        super().__init__([HBox([self._typed, find]), self.work, self._table])

    @property
    def chosen(self) -> list[str]:
        """The keys of the chosen rows."""
        return self._table.chosen

    def choose(self, *keys: str) -> None:
        """Choose rows of the last answer by their keys; none, when none is named."""
        self._table.choose(keys)

    def facts(self, key: str, column: str) -> dict[str, Any]:
        """Return one row of the last answer."""
        if column not in self.answer:
            return {}
        rows = self.answer[self.answer[column] == key].to_dict("records")
        return {str(name): value for name, value in rows[0].items()} if rows else {}

    def clear(self) -> None:
        """Forget what was typed, and what was found."""
        self._typed.value = ""
        self._lay_out(pd.DataFrame())

    def _search(self) -> None:
        typed = self._typed.value
        self.work.start("Searching", lambda _: self._ask(typed), self._lay_out)

    def _lay_out(self, found: pd.DataFrame) -> str | None:
        self.answer = found
        self._table.layout.display = "none" if not len(found.columns) else ""
        if len(found.columns):
            self._table.show(found, int(found.attrs.get("found", len(found))))
        else:
            self._table.choose([])
        self._changed()
        return "There may be more: type more of what you know." if found.attrs.get("more") else None
