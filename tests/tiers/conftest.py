"""A club, its workbench with a folder for plans, and configurations written for one test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Ground
from tests.states import state
from workbench.settings import Settings
from workbench.workbench import Workbench

RIGHT = {
    "Newcomer": "NEWCOMER",
    "2nd Year": "NEWCOMER",
    "Third Year": "EXTENDED",
    "Alumni": "ALUMNI",
    "Prospect": "PROSPECT",
    "Extended Newcomer": "EXTENDED",
    "New Member": "NEWCOMER",
    "Lapsed": "LAPSED",
}
"""What the demo's own configuration says."""

Written = Callable[[str, str], Path]


def opened(club: Ground, home: Path, **options: object) -> Workbench:
    """Open a club, each question on the state of its moment, plans in a folder of the test."""
    return replace(club.workbench(**options), settings=Settings(operator="dana", home=home), one_state=False)


def rows(club: Ground) -> dict[str, list[str]]:
    """Return every row there is, but for the audit log."""
    with psycopg.connect(club.url) as connection:
        return state(connection, leave_out={"AuditLog"})


def ask(club: Ground, statement: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(club.url) as connection:
        return connection.execute(statement, values).fetchall()  # type: ignore[arg-type]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Return a function that writes a configuration file."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
