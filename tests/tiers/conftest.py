"""Configurations of tiers, written for one test, and members given a tier behind the workbench's back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ground

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


def mapping_of(levels: dict[str, str], key: str = "membership.tiers.waMapping") -> str:
    lines = (f"  {json.dumps(level)}: {json.dumps(code)}\n" for level, code in levels.items())
    return f"{key}:\n" + "".join(lines)


def tier(code: str) -> str:
    return f"""(SELECT id FROM "MembershipTier" WHERE code = '{code}')"""


def some(club: Ground, level: str, count: int = 200) -> list[str]:
    query = 'SELECT id::text FROM "Member" WHERE "waMembershipLevelRaw" = %s ORDER BY id LIMIT %s'
    return sorted(str(key) for key in club.ask(query, level, count))


def give(club: Ground, keys: list[str], code: str | None) -> None:
    value = "NULL" if code is None else tier(code)
    club.execute(f'UPDATE "Member" SET "membershipTierId" = {value} WHERE id::text = ANY(%s)', keys)


def rename(club: Ground, level: str, name: str | None) -> None:
    club.execute(
        'UPDATE "Member" SET "waMembershipLevelRaw" = %s WHERE "waMembershipLevelRaw" = %s', name, level
    )


def statuses_of_tiers(club: Ground) -> None:
    """Let no tier ever have been made, and each code be a status."""
    club.execute('UPDATE "Member" SET "membershipTierId" = NULL')
    club.execute('DELETE FROM "MembershipTier"')
    club.execute(
        """INSERT INTO "MembershipStatus" (id, code, label, "updatedAt")
        SELECT gen_random_uuid(), code, code, now() FROM unnest(%s::text[]) code ON CONFLICT DO NOTHING""",
        sorted(set(RIGHT.values())),
    )


def give_status(club: Ground, level: str, code: str) -> None:
    club.execute(
        """UPDATE "Member" SET "membershipStatusId" = (SELECT id FROM "MembershipStatus" WHERE code = %s)
        WHERE "waMembershipLevelRaw" = %s""",
        *(code, level),
    )
