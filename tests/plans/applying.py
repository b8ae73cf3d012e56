"""An apply in a process of its own."""

from __future__ import annotations

from pathlib import Path

from tests.stepping import Progress, Stepping
from workbench.database.connection import Database
from workbench.plans.apply import apply_plan
from workbench.plans.plan import Plan


class Applying(Stepping):
    """An apply that stops before each of its steps; it says ``applied`` in the end."""

    def __init__(self, database: Database, plan: Plan) -> None:
        super().__init__(_apply, database, plan.path)


def _apply(progress: Progress, database: Database, path: Path) -> str:
    apply_plan(database, Plan.read(path), operator="dana", progress=progress)
    return "applied"
