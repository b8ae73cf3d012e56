"""The distribution, the matrix, unknown levels and codes, and their checks: each proved both ways."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.conftest import Clubs, Ground
from tests.tiers.conftest import (
    RIGHT,
    Written,
    give,
    give_status,
    mapping_of,
    rename,
    some,
    statuses_of_tiers,
    tier,
)
from workbench.errors import NotMurmurant, SchemaGap, UsageError


def plain(frame: pd.DataFrame) -> list[list[Any]]:
    """Return a frame's rows, gaps as None whatever its columns are made of."""
    return [[None if pd.isna(value) else value for value in row] for row in frame.itertuples(index=False)]


def status(club: Ground, check: str, **options: Any) -> str:
    return str(club.open(**options).check([check]).findings[0].status)


def test_the_matrix_of_a_healthy_club_and_of_a_broken_one(club: Ground) -> None:
    wb = club.wb
    review = wb.tiers.review()
    assert list(review.matrix.columns) == ["level", "expected", "actual", "members", "finding"]
    assert set(review.matrix["finding"]) == {"right"}
    assert dict(review.matrix[["level", "actual"]].itertuples(index=False)) == {
        level: RIGHT[level] for level in review.matrix["level"]
    }
    assert review.matrix["members"].sum() == review.members == club.club.members
    assert (review.kind, review.none, review.everybody, review.findings) == ("tier", 0, None, [])
    assert wb.tiers.wrong().empty
    assert wb.tiers.distribution()["members"].sum() == review.members

    wrong, none = some(club, "Alumni", 3), some(club, "Third Year", 2)
    give(club, wrong, "PROSPECT")
    give(club, none, None)
    off = wb.tiers.review().matrix.query("finding != 'right'")
    assert plain(off) == [
        ["Alumni", "ALUMNI", "PROSPECT", 3, "wrong"],
        ["Third Year", "EXTENDED", None, 2, "none"],
    ]
    listed = wb.tiers.wrong()
    assert list(listed["key"]) == sorted([*wrong, *none])
    assert not listed["by_a_person"].any()
    assert list(wb.tiers.wrong(limit=2)["key"]) == sorted([*wrong, *none])[:2]
    review = wb.tiers.review()
    assert (review.correctable, review.none, len(review.findings)) == (5, 2, 2)

    club.execute(f'UPDATE "Member" SET "membershipTierId" = {tier("PROSPECT")}')
    assert wb.tiers.review().everybody == ("PROSPECT", 200, 200)
    if club.club.dialect == "guide":  # whose tables have no foreign key
        club.execute("""UPDATE "Member" SET "membershipTierId" = 'nowhere' WHERE id = %s""", wrong[0])
        assert set(wb.tiers.wrong()["finding"]) == {"wrong", "not there"}
        assert wb.tiers.review().none == 1


def test_unknown_levels_offer_the_nearest_and_match_nothing(guide: Ground, written: Written) -> None:
    renamed = {"Alumni": "ALUMNI ", "Third Year": "3rd Year", "Lapsed": "Gold <b>Circle</b>"}
    for level, name in renamed.items():
        rename(guide, level, name)
    review = guide.wb.tiers.review()
    assert {
        row.level: (row.nearest, row.covered_by, row.lookalike) for row in review.unknown_levels.itertuples()
    } == {
        "3rd Year": ("Third Year", None, False),
        "ALUMNI ": ("Alumni", None, True),
        "Gold <b>Circle</b>": (None, None, False),
    }
    assert len(review.open_levels) == len(review.findings) == 3
    assert set(review.matrix.loc[review.matrix["expected"].isna(), "finding"]) == {"unknown level"}
    assert guide.wb.tiers.wrong().empty
    (check,) = guide.wb.check(["tiers-unmapped-level"]).findings
    assert dict(plain(check.rows[["key", "nearest"]])) == {
        row.level: row.nearest for row in review.unknown_levels.itertuples()
    }

    # A default covers what is another level, but not what only looks like another one.
    path = written("m.yaml", "membership.tiers.default: PROSPECT\n" + mapping_of(RIGHT))
    covered = guide.wb.tiers.review(path)
    assert list(covered.open_levels["level"]) == ["ALUMNI "]
    assert set(covered.unknown_levels["covered_by"]) == {"PROSPECT"}
    assert covered.correctable
    (check,) = guide.open(tier_mapping=path).check(["tiers-unmapped-level"]).findings
    assert list(check.rows["key"]) == ["ALUMNI "]


def test_members_without_a_level_are_not_judged(guide: Ground) -> None:
    keys = some(guide, "Lapsed")
    rename(guide, "Lapsed", " ")
    guide.execute('UPDATE "Member" SET "waMembershipLevelRaw" = NULL WHERE id = %s', keys[0])
    review = guide.wb.tiers.review()
    assert set(review.matrix["finding"]) == {"right", "no level"}
    assert (review.count("no level"), review.findings) == (len(keys), [])
    assert status(guide, "tiers-unmapped-level") == "pass"
    guide.execute('ALTER TABLE "Member" DROP COLUMN "waMembershipLevelRaw"')
    with pytest.raises(SchemaGap, match="waMembershipLevelRaw"):
        guide.open().tiers.review()
    assert status(guide, "tiers-wrong") == "not run"
    assert status(guide, "tiers-missing") == "pass"


def test_codes_that_are_no_tier_are_named(guide: Ground, written: Written) -> None:
    path = written("m.yaml", mapping_of({**RIGHT, "Alumni": "ALUMNUS", "Lapsed": "ZZZ"}))
    unknown = guide.wb.tiers.review(path).unknown_codes
    assert plain(unknown) == [["ALUMNUS", "Alumni", "ALUMNI"], ["ZZZ", "Lapsed", None]]
    (check,) = guide.open(tier_mapping=path).check(["tiers-not-seeded"]).findings
    assert (check.status, list(check.rows["key"])) == ("fail", ["ALUMNUS", "ZZZ"])
    assert status(guide, "tiers-not-seeded") == "pass"


def test_a_configuration_that_is_wrong_or_not_there(guide: Ground, written: Written) -> None:
    wb = guide.open(tier_mapping=written("m.yaml", ""))
    found = {each.check: each for each in wb.check(["tiers-wrong", "tiers-missing"]).findings}
    assert (found["tiers-wrong"].status, found["tiers-missing"].status) == ("not run", "pass")
    assert "is empty" in found["tiers-wrong"].reason
    wb = guide.open(tier_mapping=None)
    review = wb.tiers.review()
    assert (review.mapping, review.matrix.empty, review.members) == (None, True, 60)
    for asked in (wb.tiers.wrong, wb.tiers.plan):
        with pytest.raises(UsageError, match="No tier mapping is configured"):
            asked()


def test_where_no_tier_was_made_the_statuses_are_judged(clubs: Clubs, written: Written) -> None:
    club = clubs.clone("application")
    statuses_of_tiers(club)
    said = written("said.yaml", mapping_of(RIGHT, "membership_status_mapping"))
    # As the CSV importer fills them: from the level, beside what a sync has set by other rules.
    for level, code in {**RIGHT, "Lapsed": "ALUMNI", "Newcomer": "active"}.items():
        give_status(club, level, code)
    wb = club.open(tier_mapping=said)
    review = wb.tiers.review()
    assert (review.kind, set(wb.tiers.distribution()["kind"])) == ("status", {"status"})
    assert review.correctable == len(some(club, "Lapsed"))
    assert review.count("of its own") == len(some(club, "Newcomer"))
    (check,) = wb.check(["tiers-wrong"]).findings
    assert (check.count, set(check.rows["kind"])) == (review.correctable, {"status"})
    give_status(club, "Lapsed", "LAPSED")
    assert status(club, "tiers-wrong", tier_mapping=said) == "pass"
    # None of its codes is a status: nothing was compared, so nothing is right.
    general = mapping_of({"Newcomer": "GENERAL"}, "membership_status_mapping")
    (check,) = club.open(tier_mapping=written("m.yaml", general)).check(["tiers-wrong"]).findings
    assert (check.status, "None of the codes" in check.reason) == ("not run", True)


def test_where_no_club_was_made_that_is_said_and_not_that_its_mapping_is_missing(
    application: Ground, empty_url: str
) -> None:
    tiers = application.open(empty_url, tier_mapping=application.folder / "none.yaml").tiers
    for ask in (tiers, tiers.wrong, tiers.plan):
        with pytest.raises(NotMurmurant, match="no demo club"):
            ask()
