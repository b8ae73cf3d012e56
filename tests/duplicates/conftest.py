"""A small healthy club, open for planting doubles, with a place of its own for reports and decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs
from tests.conftest import Ground as Cloned
from tests.merging.planting import Planter
from tests.recorded import recording as recording
from workbench.settings import Settings
from workbench.workbench import Workbench

SAME_PERSON = {"firstName": "Aurelia", "lastName": "Quuxworthy", "phone": "+1 555 010 7788"}
HOSTILE = ("<script>alert(1)</script>", '=HYPERLINK("http://evil.example","x")', "\u202eevil", "x" * 10_000)


@dataclass
class Ground:
    """A club of one test's own."""

    club: Cloned
    home: Path

    @property
    def workbench(self) -> Workbench:
        settings = Settings(operator="dana", home=self.home, reports=self.home / "out")
        return replace(self.club.workbench(), settings=settings, one_state=False)

    def planting(self) -> Planter:
        return Planter(psycopg.connect(self.club.url, autocommit=True), self.workbench)

    def twins(self, planter: Planter, *emails: str, **more: Any) -> list[str]:
        """Make one person once for each address."""
        values = {**SAME_PERSON, "joinedAt": "2024-03-07", **more}
        if "joined_at" not in self.workbench.schema.members.c:
            values.pop("joinedAt")
        return sorted(planter.member(email=email, **values) for email in emails)


@pytest.fixture
def ground(clubs: Clubs, dialect: str, tmp_path: Path) -> Ground:
    """A healthy club of 60 members, in each dialect."""
    return Ground(clubs.clone(dialect, 60), tmp_path)


@pytest.fixture
def planter(ground: Ground) -> Iterator[Planter]:
    with ground.planting() as made:
        yield made


Pairs = Callable[[Any], dict[tuple[str, str], str]]


def kinds(pairs: Any) -> dict[tuple[str, str], str]:
    """Return each pair's kind."""
    return {
        (left, right): kind
        for left, right, kind in zip(pairs["left"], pairs["right"], pairs["kind"], strict=True)
    }
