"""The distribution, the matrix, unknown levels and codes: each proved both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Clubs, Ground
from tests.dialects import one_dialect as one_dialect
from tests.tiers.conftest import RIGHT, Written
from workbench.errors import SchemaGap, UsageError
from workbench.workbench import Workbench

SOME = 'SELECT id::text FROM "Member" WHERE "waMembershipLevelRaw" = %s ORDER BY id LIMIT %s'


def plain(frame: pd.DataFrame) -> list[list[Any]]:
    """Return a frame's rows, gaps as None whatever its columns are made of."""
    return [[None if pd.isna(value) else value for value in row] for row in frame.itertuples(index=False)]


def tier(code: str) -> str:
    return f"""(SELECT id FROM "MembershipTier" WHERE code = '{code}')"""


def some(club: Ground, level: str, count: int) -> list[str]:
    return sorted(str(key) for key in club.ask(SOME, level, count))


def give(club: Ground, keys: list[str], code: str | None) -> None:
    value = "NULL" if code is None else tier(code)
    club.execute(f'UPDATE "Member" SET "membershipTierId" = {value} WHERE id::text = ANY(%s)', keys)


@pytest.fixture
def wb(club: Ground, tmp_path: Path) -> Workbench:
    return club.open()


def test_a_healthy_club_is_on_the_diagonal(club: Ground, wb: Workbench) -> None:
    found = wb.tiers.matrix()
    assert list(found.columns) == ["level", "expected", "actual", "members", "finding"]
    assert set(found["finding"]) == {"right"}
    assert (found["expected"] == found["actual"]).all()
    assert {level: RIGHT[level] for level in found["level"]} == dict(
        found[["level", "actual"]].itertuples(index=False)
    )
    assert found["members"].sum() == club.club.members
    assert wb.tiers.wrong().empty
    review = wb.tiers.review()
    assert review.findings == []
    assert (review.kind, review.none, review.everybody) == ("tier", 0, None)
    assert review.unknown_levels.empty
    assert review.unknown_codes.empty


def test_wrong_and_missing_tiers_are_off_the_diagonal(club: Ground, wb: Workbench) -> None:
    wrong, none = some(club, "Alumni", 3), some(club, "Third Year", 2)
    give(club, wrong, "PROSPECT")
    give(club, none, None)
    found = wb.tiers.matrix()
    off = found[found["finding"] != "right"]
    assert off[["level", "expected", "members", "finding"]].to_numpy().tolist() == [
        ["Alumni", "ALUMNI", 3, "wrong"],
        ["Third Year", "EXTENDED", 2, "none"],
    ]
    listed = wb.tiers.wrong()
    assert list(listed["key"]) == sorted([*wrong, *none])
    assert not listed["by_a_person"].any()
    assert len(wb.tiers.wrong(limit=2)) == 2
    review = wb.tiers.review()
    assert (review.correctable, review.none) == (5, 2)
    assert len(review.findings) == 2


def test_everybody_in_one_is_named(club: Ground, wb: Workbench) -> None:
    club.execute(f'UPDATE "Member" SET "membershipTierId" = {tier("PROSPECT")}')
    assert wb.tiers.review().everybody == ("PROSPECT", 200, 200)
    assert "200 of 200 have PROSPECT" in wb.tiers.review().findings[0]


def test_a_tier_that_is_not_there(clubs: Clubs, tmp_path: Path) -> None:
    club = clubs.clone("guide")
    (key,) = some(club, "Alumni", 1)
    club.execute('UPDATE "Member" SET "membershipTierId" = %s WHERE id = %s', "nowhere", key)
    wb = club.open()
    assert list(wb.tiers.wrong()["finding"]) == ["not there"]
    assert wb.tiers.review().none == 1
    assert "1 of them one that is not there" in " ".join(wb.tiers.review().findings)


def test_unknown_levels_offer_the_nearest_and_match_nothing(
    club: Ground, wb: Workbench, written: Written
) -> None:
    renamed = {"Alumni": "ALUMNI ", "Third Year": "3rd Year", "Lapsed": "Gold <b>Circle</b>"}
    for level, name in renamed.items():
        club.execute(
            'UPDATE "Member" SET "waMembershipLevelRaw" = %s WHERE "waMembershipLevelRaw" = %s', name, level
        )
    review = wb.tiers.review()
    found = {
        row.level: (row.nearest, row.covered_by, row.lookalike) for row in review.unknown_levels.itertuples()
    }
    assert found == {
        "3rd Year": ("Third Year", None, False),
        "ALUMNI ": ("Alumni", None, True),
        "Gold <b>Circle</b>": (None, None, False),
    }
    assert len(review.open_levels) == len(review.findings) == 3
    assert set(review.matrix.loc[review.matrix["expected"].isna(), "finding"]) == {"unknown level"}
    assert wb.tiers.wrong().empty
    (check,) = wb.checks(["tiers-unmapped-level"])
    assert dict(plain(check.rows[["key", "nearest"]])) == {level: near for level, (near, *_) in found.items()}

    # A default covers what is another level, but not what only looks like another one.
    path = written("m.yaml", "membership.tiers.default: PROSPECT\n" + mapping_of(RIGHT))
    covered = wb.tiers.review(path)
    assert list(covered.open_levels["level"]) == ["ALUMNI "]
    assert set(covered.unknown_levels["covered_by"]) == {"PROSPECT"}
    assert covered.correctable
    assert "so it would become PROSPECT" in " ".join(covered.findings)
    configured = club.open(tier_mapping=path)
    assert list(configured.checks(["tiers-unmapped-level"])[0].rows["key"]) == ["ALUMNI "]


def yaml(levels: dict[str, str]) -> str:
    return "".join(f"  {json.dumps(level)}: {json.dumps(code)}\n" for level, code in levels.items())


def mapping_of(levels: dict[str, str], key: str = "membership.tiers.waMapping") -> str:
    return f"{key}:\n" + yaml(levels)


def test_members_without_a_level_are_not_judged(club: Ground, wb: Workbench) -> None:
    club.execute(
        """UPDATE "Member" SET "waMembershipLevelRaw" = CASE WHEN "lastName" < 'M' THEN ' ' END
        WHERE "waMembershipLevelRaw" = 'Lapsed'"""
    )
    found = wb.tiers.matrix()
    assert set(found.loc[found["finding"] != "right", "finding"]) == {"no level"}
    assert wb.tiers.review().findings == []
    assert wb.checks(["tiers-unmapped-level"])[0].status == "pass"


def test_codes_that_are_no_tier_are_named(club: Ground, wb: Workbench, written: Written) -> None:
    path = written("m.yaml", mapping_of({**RIGHT, "Alumni": "ALUMNUS", "Lapsed": "ZZZ"}))
    review = wb.tiers.review(path)
    assert review.unknown_codes.to_numpy().tolist() == [
        ["ALUMNUS", "Alumni", "ALUMNI"],
        ["ZZZ", "Lapsed", None],
    ]
    assert "nearest: ALUMNI" in review.findings[0]
    configured = club.open(tier_mapping=path)
    (check,) = configured.checks(["tiers-not-seeded"])
    assert (check.status, list(check.rows["key"])) == ("fail", ["ALUMNUS", "ZZZ"])
    assert wb.checks(["tiers-not-seeded"])[0].status == "pass"


def test_a_wrong_configuration_silences_no_other_check(club: Ground, written: Written) -> None:
    wb = club.open(tier_mapping=written("m.yaml", ""))
    found = {each.check: each for each in wb.checks(["tiers-wrong", "tiers-missing"])}
    assert found["tiers-wrong"].status == "not run"
    assert "is empty" in found["tiers-wrong"].reason
    assert found["tiers-missing"].status == "pass"


def test_where_no_tier_was_made_the_statuses_are_judged(
    clubs: Clubs, tmp_path: Path, written: Written
) -> None:
    club = clubs.clone("application")
    club.execute('UPDATE "Member" SET "membershipTierId" = NULL')
    club.execute('DELETE FROM "MembershipTier"')
    said = written("said.yaml", mapping_of(RIGHT, "membership_status_mapping"))
    wb = club.open(tier_mapping=said)
    assert wb.tiers.review().kind == "status"
    assert set(wb.tiers.distribution()["kind"]) == {"status"}
    # None of its codes is a status: nothing was compared, so nothing is right.
    general = mapping_of({"Newcomer": "GENERAL"}, "membership_status_mapping")
    strange = club.open(tier_mapping=written("m.yaml", general))
    (check,) = strange.checks(["tiers-wrong"])
    assert check.status == "not run"
    assert "None of the codes" in check.reason

    # As the CSV importer fills them: from the level, beside what a sync has set by other rules.
    club.execute(
        """INSERT INTO "MembershipStatus" (id, code, label, "updatedAt")
        SELECT gen_random_uuid(), code, code, now() FROM unnest(%s::text[]) code
        ON CONFLICT DO NOTHING""",
        sorted(set(RIGHT.values())),
    )
    club.execute(
        """UPDATE "Member" SET "membershipStatusId" = (SELECT id FROM "MembershipStatus" WHERE code = 'active')"""
    )
    status = """UPDATE "Member" SET "membershipStatusId" = s.id FROM "MembershipStatus" s WHERE s.code = %s
        AND "waMembershipLevelRaw" = %s"""
    for level, code in {**RIGHT, "Lapsed": "ALUMNI"}.items():
        if level != "Newcomer":
            club.execute(status, code, level)
    review = wb.tiers.review()
    lapsed = len(some(club, "Lapsed", 200))
    assert review.correctable == lapsed
    assert review.count("of its own") == len(some(club, "Newcomer", 200))
    assert wb.checks(["tiers-wrong"])[0].count == lapsed
    club.execute(status, "LAPSED", "Lapsed")
    assert wb.checks(["tiers-wrong"])[0].status == "pass"


def test_without_a_mapping_there_is_only_the_distribution(club: Ground, tmp_path: Path) -> None:
    wb = club.open(tier_mapping=None)
    review = wb.tiers.review()
    assert review.mapping is None
    assert review.matrix.empty
    assert review.members == 200
    for ask_ in (wb.tiers.matrix, wb.tiers.wrong, wb.tiers.plan):
        with pytest.raises(UsageError, match="No tier mapping is configured"):
            ask_()


def test_without_levels_nothing_is_compared(club: Ground, wb: Workbench) -> None:
    club.execute('ALTER TABLE "Member" DROP COLUMN "waMembershipLevelRaw"')
    with pytest.raises(SchemaGap, match="waMembershipLevelRaw"):
        wb.tiers.matrix()
