"""What a planner has found so far, on its way into a plan."""

from __future__ import annotations

from dataclasses import dataclass, field

Note = tuple[str, str, str]
"""A row that is left alone: table, key, reason."""

Conflict = tuple[str | None, ...]
"""A column left alone or not: table, key, column, before, run, now, reason."""

Open = tuple[str, str, str, str]
"""What could not be decided: table, key, reason, and what would decide it."""

Doomed = dict[str, list[str]]
"""Table to the keys of rows that are to be deleted, sorted."""


@dataclass
class Ledger:
    """What goes, what stays and what is open.

    Attributes
    ----------
    doomed : dict of str to list of str
        Rows to be deleted.
    kept, conflicts, unresolved : list
        As a plan lists them.
    columns : list
        Open as well, but only a column of a row: what became of the rest of it is listed elsewhere.
    notes : list of str
        What whoever approves should know besides.
    """

    doomed: Doomed = field(default_factory=dict)
    kept: list[Note] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    unresolved: list[Open] = field(default_factory=list)
    columns: list[Open] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
