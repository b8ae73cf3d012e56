"""What a comparison found, table by table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from workbench.investigate.differences.keys import Keys
from workbench.investigate.differences.sides import Shape

Kind = Literal["added", "removed", "changed"]
KINDS: tuple[Kind, ...] = ("added", "removed", "changed")


@dataclass
class TableDifference:
    """What differs in one table.

    Attributes
    ----------
    table : str
        Real name.
    before, now : int or None
        How many rows it has on either side; None where the table is not there.
    added, removed, changed : Keys
        The rows concerned, by key.
    columns : Counter of str
        Column to the number of rows in which it changed.
    how : str
        ``by transaction``, ``by digest`` or ``in full``.
    why : str
        For a comparison in full, why there was no shorter one; else what to know of the table.
    shape : Shape or None
        How its rows were compared; None where it is in one of the databases only.
    """

    table: str
    before: int | None = None
    now: int | None = None
    added: Keys = field(default_factory=Keys)
    removed: Keys = field(default_factory=Keys)
    changed: Keys = field(default_factory=Keys)
    columns: Counter[str] = field(default_factory=Counter)
    how: str = "in full"
    why: str = ""
    shape: Shape | None = None

    def keys(self, kind: Kind) -> Keys:
        """Return the keys of the rows of one kind."""
        found: Keys = getattr(self, kind)
        return found

    @property
    def rows(self) -> int:
        """How many rows differ."""
        return len(self.added) + len(self.removed) + len(self.changed)

    @property
    def differs(self) -> bool:
        """Whether anything does, rows or columns."""
        shape = self.shape
        return bool(self.rows or (shape and (shape.only_before or shape.only_now or shape.retyped)))
