"""Clubs with wrong mappings, opened with a folder for plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs, Ground
from tests.recorded import recording as recording
from workbench.demo.breakages import Truth, break_club
from workbench.settings import Settings
from workbench.workbench import Workbench

ALL = (
    *("swapped-mappings", "cycle-of-three", "wrong-person", "registrations-on-wrong-event"),
    *("duplicate-mappings", "shared-target", "orphaned-mappings", "wrong-entity"),
)
Broken = Callable[..., tuple[Ground, dict[str, Truth]]]


@pytest.fixture
def broken(clubs: Clubs, dialect: str) -> Broken:
    """Return a club in which some faults are planted, and their truths."""

    def plant(*names: str) -> tuple[Ground, dict[str, Truth]]:
        club = clubs.clone(dialect)
        with psycopg.connect(club.url) as connection:
            found = break_club(connection, club.club, names)
        return club, {each.breakage: each for each in found}

    return plant


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Ground], Workbench]:
    def open_it(club: Ground) -> Workbench:
        made: Any = replace(
            club.workbench(), settings=Settings(operator="dana", home=tmp_path), one_state=False
        )
        return made  # type: ignore[no-any-return]

    return open_it
