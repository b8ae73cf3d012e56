"""For modules whose subject is the same in both dialects: their tests run in one.

What reads or writes a dialect's own SQL is proved in both: checks, mappings, plans, every planner once, the reports.
"""

from __future__ import annotations

import pytest


@pytest.fixture(name="dialect")
def one_dialect() -> str:
    return "application"
