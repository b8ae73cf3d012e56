"""People, and what becomes of their rows in a merge."""

from __future__ import annotations

from typing import Any

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Ground, State
from tests.planting import Planter
from workbench.errors import Refused, UsageError


def two(planter: Planter) -> tuple[str, str]:
    return planter.member(), planter.member()


def plan_of(ground: Ground, *merges: tuple[str | None, Any], **options: Any) -> Any:
    """Plan some merges, each the record that stays and one that goes, or several."""
    lists = [(stays, [goes] if isinstance(goes, str) else goes) for stays, goes in merges]
    return ground.wb.duplicates.plan_merges(lists, **options)


def remaining(after: State, table: str, *keys: str) -> list[str]:
    """Return which of some rows are there."""
    present = {row[1:].partition(",")[0] for row in after[table]}
    return [key for key in keys if key in present]


def refused(
    ground: Ground, merges: Any, *names: str, error: type[Refused | UsageError] = Refused, **options: Any
) -> Refused | UsageError:
    """Return why merges are refused: all these names are in it, and no plan was written."""
    before = {*ground.plans.glob("*")}
    with pytest.raises(error) as caught:
        ground.wb.duplicates.plan_merges(merges, **options)
    assert [name for name in names if name not in str(caught.value)] == [], caught.value
    assert {*ground.plans.glob("*")} == before
    return caught.value
