"""People who are there twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Ground
from tests.planting import Planter
from tests.recorded import recording as recording

SAME_PERSON = {"firstName": "Aurelia", "lastName": "Quuxworthy", "phone": "+1 555 010 7788"}
HOSTILE = ("<script>alert(1)</script>", '=HYPERLINK("http://evil.example","x")', "\u202eevil", "x" * 10_000)


@pytest.fixture
def planter(ground: Ground) -> Iterator[Planter]:
    with Planter(ground) as made:
        yield made


def twins(planter: Planter, *emails: str, **more: Any) -> list[str]:
    """Make one person once for each address."""
    values = {**SAME_PERSON, "joinedAt": "2024-03-07", **more}
    if "joined_at" not in planter.schema.members.c:
        values.pop("joinedAt")
    return sorted(planter.member(email=email, **values) for email in emails)


def kinds(pairs: Any) -> dict[tuple[str, str], str]:
    """Return each pair's kind."""
    return {
        (left, right): kind
        for left, right, kind in zip(pairs["left"], pairs["right"], pairs["kind"], strict=True)
    }
