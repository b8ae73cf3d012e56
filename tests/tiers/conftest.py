"""Configurations of tiers, written for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Return a function that writes a configuration file."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
