"""Which database this is: what to see before anything else."""

from __future__ import annotations

from workbench import Shown, Workbench, looked_at
from workbench.panels.panel import Panel, words


class Where(Panel):
    """Says which environment one is in, in a banner that is red on production, and how it is looked at."""

    def __init__(self, wb: Workbench) -> None:
        super().__init__(wb, "This is the database you look at", [words(looked_at(wb))])

    def static(self) -> Shown:
        """Return the same facts."""
        return looked_at(self.wb)
