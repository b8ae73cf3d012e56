"""Clubs with wrong mappings, opened with a folder for plans."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs, Ground
from tests.recorded import recording as recording
from workbench.demo.breakages import Truth

ALL = (
    *("swapped-mappings", "cycle-of-three", "wrong-person", "registrations-on-wrong-event"),
    *("duplicate-mappings", "shared-target", "orphaned-mappings", "wrong-entity"),
)
CHECKS = ("members-wrong-person", "events-wrong-record", "registrations-wrong-event", "mappings-duplicate")

Broken = Callable[..., tuple[Ground, dict[str, Truth]]]


@pytest.fixture
def broken(clubs: Clubs, dialect: str) -> Broken:
    """Return a club in which some faults are planted, and their truths."""

    def plant(*names: str) -> tuple[Ground, dict[str, Truth]]:
        club = clubs.clone(dialect, 60)
        found = club.breaks(*names)
        return club, {truth.breakage: truth for truth in found}

    return plant
