"""A club with doubles in it, and rows of every kind that refer to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import Clubs
from tests.conftest import Ground as Cloned
from tests.fixes.conftest import carry_out
from tests.merging.planting import Planter
from tests.states import differences, state
from workbench.plans.plan import Plan
from workbench.settings import Settings
from workbench.workbench import Workbench

LOG = "AuditLog"


@dataclass
class Ground:
    """A club of one test's own, open for planting."""

    club: Cloned
    home: Path

    @cached_property
    def workbench(self) -> Workbench:
        return replace(
            self.club.workbench(), settings=Settings(operator="dana", home=self.home), one_state=False
        )

    def planting(self) -> Planter:
        return Planter(psycopg.connect(self.club.url, autocommit=True), self.workbench)

    def state(self) -> dict[str, list[str]]:
        with psycopg.connect(self.club.url) as connection:
            return state(connection)

    def ask(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.club.url) as connection:
            return connection.execute(statement, parameters).fetchall()  # type: ignore[arg-type]

    def apply(self, plan: Plan) -> dict[str, list[str]]:
        """Carry a plan out, and return what is there then."""
        carry_out(self.workbench, plan)
        return self.state()

    def proved(self, plan: Plan, before: dict[str, list[str]]) -> dict[str, list[str]]:
        """Carry a plan out and take it back: every table is what it was, but for entries added to the log."""
        after = self.apply(plan)
        wb = self.workbench
        carry_out(wb, wb.plan_undo(plan.id))
        changed = differences(before, self.state())
        gone, _ = changed.pop(LOG, ([], []))
        assert not gone
        assert not changed
        return after


Opening = Callable[..., Ground]


@pytest.fixture
def opened(clubs: Clubs, tmp_path: Path) -> Opening:
    def open_(dialect: str, members: int = 60) -> Ground:
        return Ground(clubs.clone(dialect, members), tmp_path)

    return open_


@pytest.fixture
def ground(opened: Opening, dialect: str) -> Ground:
    """A club of 60 members, in each dialect."""
    return opened(dialect)
